"""The kernels of the CPU with several threads, after a fork, and on older CPUs."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from spikeduel.engine import kernels
from spikeduel.engine.kernels import Dynamics
from spikeduel.system import parallel

pytestmark = pytest.mark.usefixtures("buffers_full_of_nan")


def run_large(seed):
    """Large enough to be cut into parts; bytes of results and gradients."""
    generator = torch.Generator().manual_seed(seed)
    current = torch.randn(25, 16, 1024, generator=generator).requires_grad_()
    assert current.numel() >= 4 * parallel.MIN_PART
    beta = torch.tensor(0.95, requires_grad=True)
    results = kernels.scan(current, beta, Dynamics(1.0))
    gradients = torch.autograd.grad(results, (current, beta), [x + 1 for x in results])
    return [x.detach().numpy().tobytes() for x in (*results, *gradients)]


def test_results_do_not_depend_on_the_number_of_threads():
    before, results = torch.get_num_threads(), []
    try:
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            results.append(run_large(0))
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("openmp", [True, False], ids=["PyTorch's threads", "own threads"])
def test_threads_that_call_at_once_agree_with_one(openmp, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    if not openmp:
        monkeypatch.setattr(parallel, "_openmp", lambda: None)
    alone = [run_large(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(run_large, range(4))) == alone


def run_forward(seed):
    """Nothing here needs PyTorch's own threads, which do not survive a fork."""
    current = np.random.default_rng(seed).standard_normal((25, 16 * 1024), np.float32)
    results = kernels.scan(torch.from_numpy(current), 0.95, Dynamics(1.0))
    return [x.numpy().tobytes() for x in results]


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform"
)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_kernels_work_after_a_fork(monkeypatch):
    monkeypatch.undo()
    # Whatever the machine has: the parent's threads must exist, and the child need its own.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    parent = run_forward(0)
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(run_forward(0)))
    child.start()
    try:
        assert receiver.poll(30), "the child hangs"
        assert receiver.recv() == parent
        child.join(30)
        assert child.exitcode == 0
    finally:
        child.kill()


AVX2_ONLY = """
import made_normalised
import torch
from numba import njit
from numba.core import config
assert config.CPU_NAME == "haswell"
from spikeduel.engine.kernels import Dynamics, cpu_kernels, normalised_scan, reference, scan
current = torch.randn(9, 333, generator=torch.Generator().manual_seed(0)).requires_grad_()
for dynamics in (Dynamics(0.7), Dynamics(0.7, "zero", adaptation=(0.9, 0.2))):
    results = []
    for run in (scan, reference.scan):
        spk, mem, _ = run(current, 0.9, dynamics)
        (gradient,) = torch.autograd.grad((spk * mem.detach()).sum() + mem.square().sum(), current)
        results.append((spk, mem, gradient))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert torch.equal(results[0][1], results[1][1])
if cpu_kernels.scan_backward.stats.cache_misses:  # code from the cache cannot be looked at
    assembly = "".join(cpu_kernels.scan_backward.inspect_asm().values())
    assert "%ymm" in assembly and "%zmm" not in assembly
norm = torch.nn.BatchNorm2d(16)
current = torch.randn(2, 2, 16, 4, 5, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
for settings in (Dynamics(0.7), Dynamics(0.7, "zero")):
    results = []
    ours = normalised_scan(current, norm, 0.9, settings, 2)
    theirs = made_normalised.normalised_scan(current, norm.weight, norm.bias, 0.9, norm.eps, settings, 2, 2)[0]
    assert torch.equal(ours, theirs)
    weights = torch.arange(ours.numel()).reshape(ours.shape).bfloat16()
    for spk in (ours, theirs):
        results.append(torch.autograd.grad((spk * weights).sum(), (current, norm.weight, norm.bias)))
    assert all(map(torch.equal, *results))
if cpu_kernels.normalised_backward.stats.cache_misses:  # code from the cache cannot be looked at
    assembly = "".join(cpu_kernels.normalised_backward.inspect_asm().values())
    assert "%ymm" in assembly and "%zmm" not in assembly
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="another instruction set")
def test_a_cpu_with_avx2_and_no_more_gets_the_same():
    """The compiler is told of an older CPU, and PyTorch to keep to AVX2."""
    limited = {
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx2,+fma,-avx512f",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    }
    run = subprocess.run(
        [sys.executable, "-c", AVX2_ONLY],
        env={**os.environ, **limited, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
