"""The fused scan on the CPU as autograd, layouts, threads and older CPUs see it. `test_scans.py` compares
its kernels with the reference.
"""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numba import njit

from spikeduel.engine import ConstantInput, kernels
from spikeduel.engine.kernels import Dynamics, cpu, cpu_kernels, reference
from spikeduel.engine.kernels.reference import SURROGATES
from spikeduel.system import parallel

pytestmark = pytest.mark.usefixtures("buffers_full_of_nan")


def sequence(shape, seed=0, dtype=torch.float32):
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.8 + 0.3).to(dtype)


def forward_and_backward(scan, current, beta, dynamics, state=None):
    """The results and the gradients of current, state and beta; the reference gets a
    `ConstantInput` as a sequence.
    """
    leaf = (
        (current.value if isinstance(current, ConstantInput) else current)
        .detach()
        .clone()
        .requires_grad_()
    )
    x = ConstantInput(leaf, current.num_steps) if isinstance(current, ConstantInput) else leaf
    if scan is reference.scan:
        x = leaf.expand(current.shape) if isinstance(current, ConstantInput) else leaf
    before = None if state is None else state.clone().requires_grad_()
    decay = torch.tensor(beta, requires_grad=True)
    results = scan(x, decay, dynamics, before)
    sum((r * sequence(r.shape, seed)).sum() for seed, r in enumerate(results, 1)).backward()
    gradients = leaf.grad, torch.zeros(0) if before is None else before.grad, decay.grad
    return [r.detach() for r in results], gradients


def assert_agree(current, beta, dynamics, state=None):
    (theirs, their_gradients), (ours, our_gradients) = (
        forward_and_backward(scan, current, beta, dynamics, state)
        for scan in (reference.scan, kernels.scan)
    )
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == torch.float32
        assert torch.equal(our, their)
    for our, their in zip(our_gradients, their_gradients, strict=True):
        # Relative to the size of the gradients: single elements can cancel.
        scale = their.abs().max().item() if their.numel() else 1.0
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-6 * max(scale, 1.0))


@pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])
@pytest.mark.parametrize("shape", [(7, 5, 3), (6, 3, 2, 5, 7)], ids=str)
@pytest.mark.parametrize("adaptation", [None, (0.9, 0.3)], ids=["LIF", "ALIF"])
def test_agrees_with_the_reference(adaptation, shape, constant):
    current = ConstantInput(sequence(shape[1:]), shape[0]) if constant else sequence(shape)
    dynamics = Dynamics(0.7, adaptation=adaptation)
    assert_agree(current, 0.95, dynamics)
    state = sequence((dynamics.state_size, *shape[1:]), seed=9) + 0.4
    assert_agree(current, 0.95, dynamics, state)


def test_bfloat16_is_rounded_as_torch_rounds_it():
    infinity = float("inf")
    ends = torch.tensor([0.0, -0.0, infinity, -infinity, float("nan")])
    bits = torch.tensor([0x3F808000, 0x3F818000, 0x7FFFFFFF], dtype=torch.int32)
    values = torch.cat([sequence((4096,)) * 1e3, ends, bits.view(torch.float32)])
    spk = torch.zeros(1, len(values), dtype=torch.bfloat16)
    gradients, beta = (None, values[None], None), torch.tensor(0.5)
    out = cpu.scan_backward(gradients, spk, None, beta, Dynamics(1.0), 1, False)[0]
    assert out.dtype == torch.bfloat16
    assert torch.equal(out[0].nan_to_num(nan=7.0), values.bfloat16().nan_to_num(nan=7.0))


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("alpha", [0.5, 2.0, 25.0])
def test_surrogates_have_a_kernel_that_equals_their_gradient(surrogate, alpha):
    """A new surrogate works without one, through the reference: give it one, or leave it out
    here.
    """
    u = torch.cat(
        [
            torch.linspace(-30, 30, 2001),
            torch.tensor([0.0, -0.0, 1e-8, float("inf"), -float("inf")]),
        ]
    )
    out, level = np.full(len(u), np.nan, np.float32), np.zeros(len(u), np.float32)
    njit(cpu_kernels.surrogate_gradient)(
        u.numpy(), level, reference.SURROGATE_KERNELS.index(surrogate), alpha, out
    )
    exact = SURROGATES[surrogate].gradient(u.double(), alpha).float()
    torch.testing.assert_close(torch.from_numpy(out), exact, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda x: x.transpose(1, 2), id="transposed"),
        pytest.param(lambda x: x[:, :, ::2], id="strided"),
        pytest.param(lambda x: x.transpose(0, 1), id="batch first"),
        pytest.param(lambda x: x[:, :1].expand(-1, 5, -1), id="expanded"),
    ],
)
def test_inputs_that_are_not_contiguous(view):
    current, dynamics = view(sequence((6, 7, 8))), Dynamics(1.0)
    state = view(sequence((6, 7, 8), seed=1))[:1]
    for ours, theirs in zip(
        kernels.scan(current, 0.9, dynamics, state),
        reference.scan(current, 0.9, dynamics, state),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_channels_last_stays_channels_last():
    images = sequence((6 * 2, 3, 5, 4)).contiguous(memory_format=torch.channels_last)
    gradients = []
    for scan in (reference.scan, kernels.scan):
        current = images.unflatten(0, (6, 2)).detach().clone().requires_grad_()
        spk, mem, _ = scan(current, 0.9, Dynamics(1.0))
        gradients += torch.autograd.grad((spk + mem).sum(), current)
    for result in (spk, mem):
        assert result.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(*gradients)


def run_large(seed):
    """Large enough to be cut into parts; bytes of results and gradients."""
    current = sequence((25, 16, 1024), seed=seed)
    assert current.numel() >= 4 * parallel.MIN_PART
    results, gradients = forward_and_backward(kernels.scan, current, 0.95, Dynamics(1.0))
    return [x.numpy().tobytes() for x in (*results, *gradients)]


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
    results = cpu.scan_forward(
        torch.from_numpy(current), None, torch.tensor(0.95), Dynamics(1.0), 25, True
    )
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
