"""The fused scan against the reference: to the last bit forward, to 1e-4 backward."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from spikeduel.constant import Constant
from spikeduel.kernels import RESET_MECHANISMS, cpu, reference, threads
from spikeduel.surrogates import SURROGATES

SHAPES = [(1, 1), (7, 5, 3), (25, 2, 2049), (3, 0, 4), (4, 5, 0), (6, 3, 2, 5, 7)]


@pytest.fixture(autouse=True)
def buffers_full_of_nan(monkeypatch):
    """What a kernel fails to write shows."""

    def full_of_nan(shape, dtype=torch.float32):
        return torch.full(shape, float("nan"), dtype=dtype)

    monkeypatch.setattr(cpu, "empty", full_of_nan)


def sequence(shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) + 0.3


def forward_and_backward(scan, current, *settings, outputs=("spk", "mem")):
    """`(spk, mem, gradient)`; a `Constant` is given to the reference as the sequence it stands for."""
    leaf = (current.value if isinstance(current, Constant) else current).detach().clone().requires_grad_()
    x = leaf
    if isinstance(current, Constant):
        x = Constant(leaf, current.num_steps)
        x = x.expand() if scan is reference.lif_scan else x
    spk, mem = scan(x, *settings)
    loss = 0
    if "spk" in outputs:
        loss = loss + (spk * sequence(spk.shape, seed=1)).sum()
    if "mem" in outputs:
        loss = loss + (mem * sequence(spk.shape, seed=2)).sum()
    loss.backward()
    return spk.detach(), mem.detach(), leaf.grad


def assert_agree(current, *settings, outputs=("spk", "mem")):
    expected = forward_and_backward(reference.lif_scan, current, *settings, outputs=outputs)
    spk, mem, gradient = forward_and_backward(cpu.lif_scan, current, *settings, outputs=outputs)
    assert spk.dtype == mem.dtype == torch.float32
    assert torch.equal(spk, expected[0])
    assert torch.equal(mem, expected[1])
    # Relative to the size of the gradients: single elements can cancel.
    scale = expected[2].abs().max().item() if gradient.numel() else 1.0
    torch.testing.assert_close(gradient, expected[2], rtol=1e-4, atol=1e-6 * max(scale, 1.0))


@pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reset_mechanism", RESET_MECHANISMS)
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_agrees_with_the_reference(surrogate, reset_mechanism, shape, constant):
    current = Constant(sequence(shape[1:]), shape[0]) if constant else sequence(shape)
    assert_agree(current, 0.95, 0.7, reset_mechanism, surrogate, SURROGATES[surrogate].alpha)


@pytest.mark.parametrize("outputs", [("spk",), ("mem",)])
@pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])
def test_a_loss_on_one_output_only(outputs, constant):
    current = Constant(sequence((5, 11)), 9) if constant else sequence((9, 5, 11))
    assert_agree(current, 0.8, 1.0, "zero", outputs=outputs)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.1, 1.0])
@pytest.mark.parametrize("reset_mechanism", RESET_MECHANISMS)
def test_forward_to_the_last_bit(reset_mechanism, threshold, beta):
    current = sequence((40, 4099), seed=3)
    expected = reference.lif_scan(current, beta, threshold, reset_mechanism)
    for mine, theirs in zip(cpu.lif_scan(current, beta, threshold, reset_mechanism), expected, strict=True):
        assert mine.numpy().tobytes() == theirs.numpy().tobytes()


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("alpha", [0.5, 2.0, 25.0])
def test_surrogates_have_a_kernel_that_equals_their_gradient(surrogate, alpha):
    """A new surrogate works without one, through the reference: give it one, or leave it out here."""
    u = torch.cat([torch.linspace(-30, 30, 2001), torch.tensor([0.0, -0.0, 1e-8, float("inf"), -float("inf")])])
    out = np.full(len(u), np.nan, np.float32)
    cpu.surrogate_gradient(out, u.numpy(), cpu.SURROGATE_KERNELS.index(surrogate), alpha)
    exact = SURROGATES[surrogate].gradient(u.double(), alpha).float()
    torch.testing.assert_close(torch.from_numpy(out), exact, rtol=1e-5, atol=1e-7)


def test_nan_is_passed_on():
    current = sequence((4, 3))
    current[1, 2] = float("nan")
    spk, mem = cpu.lif_scan(current, 0.9, 1.0)
    assert mem[1:, 2].isnan().all()
    assert not mem[:, :2].isnan().any()
    assert (spk[1:, 2] == 0).all()


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
    current = view(sequence((6, 7, 8)))
    expected = reference.lif_scan(current, 0.9, 1.0)
    for mine, theirs in zip(cpu.lif_scan(current, 0.9, 1.0), expected, strict=True):
        assert torch.equal(mine, theirs)


def test_channels_last_stays_channels_last():
    images = sequence((6 * 2, 3, 5, 4)).contiguous(memory_format=torch.channels_last)
    current = images.unflatten(0, (6, 2)).requires_grad_()
    spk, mem = cpu.lif_scan(current, 0.9, 1.0)
    for x in (spk, mem):
        assert x.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    (spk + mem).sum().backward()
    expected = forward_and_backward_of_sum(current)
    torch.testing.assert_close(current.grad, expected)


def forward_and_backward_of_sum(current):
    x = current.detach().clone().requires_grad_()
    spk, mem = reference.lif_scan(x, 0.9, 1.0)
    (spk + mem).sum().backward()
    return x.grad


def test_gradients_of_gradients_are_refused():
    current = sequence((3, 4)).requires_grad_()
    loss = cpu.lif_scan(current, 0.9, 1.0)[1].square().sum()
    (gradient,) = torch.autograd.grad(loss, current, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def run_large(seed):
    """Large enough to be cut into parts; bytes of the spikes, membranes and gradients."""
    current = sequence((25, 16, 1024), seed=seed)
    assert current.numel() >= 4 * threads.SMALLEST_PART
    results = forward_and_backward(cpu.lif_scan, current, 0.95, 1.0)
    return [x.numpy().tobytes() for x in results]


def test_results_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        results = []
        for num_threads in (1, 2, 3):
            torch.set_num_threads(num_threads)
            results.append(run_large(0))
    finally:
        torch.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_threads_that_call_at_once_agree_with_one():
    alone = [run_large(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(run_large, range(4))) == alone


def run_forward(seed):
    """Nothing here needs PyTorch's own threads, which do not survive a fork."""
    current = np.random.default_rng(seed).standard_normal((25, 16 * 1024), np.float32)
    spk, mem = cpu.lif_scan(torch.from_numpy(current), 0.95, 1.0)
    return [spk.numpy().tobytes(), mem.numpy().tobytes()]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_kernels_work_after_a_fork(monkeypatch):
    monkeypatch.undo()
    # Whatever the machine has: the parent's pool must exist, and the child need its own.
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
