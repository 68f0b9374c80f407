"""The Triton scans against the reference: to the last bit forward, to 1e-4 backward."""

import re

import pytest
import torch

from spikeduel.engine.kernels import gpu, reference
from spikeduel.engine.kernels.gpu import surrogate_gradient
from spikeduel.engine.kernels.reference import SURROGATES, Dynamics, resolve_alpha
from triton_device import DEVICE, compiled, tl, triton

ADAPTATIONS = {"lif": None, "alif": (0.9, 0.3)}

adaptations = pytest.mark.parametrize("adaptation", ADAPTATIONS.values(), ids=ADAPTATIONS)
constants = pytest.mark.parametrize("constant", [False, True], ids=["sequence", "constant"])


@pytest.fixture(autouse=True)
def buffers_full_of_nan(monkeypatch):
    """Values that a kernel fails to write show."""
    monkeypatch.setattr(
        gpu,
        "empty",
        lambda shape, dtype, device: torch.full(shape, torch.nan, dtype=dtype).to(device),
    )


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 0.3


def dynamics(adaptation=None, reset_mechanism="subtract", surrogate="atan", threshold=0.7):
    return Dynamics(threshold, reset_mechanism, surrogate, resolve_alpha(surrogate), adaptation)


def some_state(neurons, num_neurons):
    """Some membranes above the threshold; adaptations that are not negative."""
    state = normal(1 if neurons.adaptation is None else 2, num_neurons, seed=7)
    state[1:].abs_()
    return state


def by_reference(current, state, beta, neurons, num_steps):
    """`(spk, mem, last)` of plain PyTorch, in `current`'s dtype."""
    sequence = current.expand(num_steps, -1) if len(current) == 1 else current
    return reference.scan(sequence, beta, neurons, state)


def by_autograd(current, state, beta, neurons, num_steps, gradients):
    """The gradients of `current`, `state` and `beta`, by autograd of the reference in float64."""
    if state is None:
        state = torch.zeros(1 if neurons.adaptation is None else 2, current.shape[1])
    leaves = [x.double().requires_grad_() for x in (current, state, beta)]
    results = by_reference(*leaves, neurons, num_steps)
    incoming = [torch.zeros(()) if gradient is None else gradient for gradient in gradients]
    incoming = [
        gradient.double().expand_as(result)
        for result, gradient in zip(results, incoming, strict=True)
    ]
    return torch.autograd.grad(results, leaves, incoming, allow_unused=True, materialize_grads=True)


def on_device(*tensors):
    return [None if x is None else x.to(DEVICE) for x in tensors]


def forward(current, state, beta, neurons, num_steps, with_mem=True):
    arguments = *on_device(current, state, beta), neurons, num_steps, with_mem
    return [x.cpu() for x in gpu.scan_forward(*arguments)]


def backward(gradients, current, state, beta, neurons, num_steps, needs_beta=True):
    arguments = (
        on_device(*gradients),
        *on_device(current, state, beta),
        neurons,
        num_steps,
        needs_beta,
    )
    return [x.cpu() for x in gpu.scan_backward(*arguments)]


def some_gradients(results):
    return [normal(*result.shape, seed=seed) for seed, result in enumerate(results, start=1)]


def assert_same(ours, expected):
    for mine, theirs in zip(ours, expected, strict=True):
        assert mine.dtype == torch.float32
        assert torch.equal(mine, theirs)


def assert_close(ours, expected, rtol=1e-4):
    for mine, theirs in zip(ours, expected, strict=True):
        # Relative to the size of the gradients: single elements can cancel.
        scale = theirs.abs().max().item() if theirs.numel() else 1.0
        torch.testing.assert_close(mine.double(), theirs, rtol=rtol, atol=1e-6 * max(scale, 1.0))


def assert_agree(current, state, neurons, num_steps, beta=0.95):
    beta = torch.tensor(beta)
    exactly = by_reference(
        current.double(), None if state is None else state.double(), beta, neurons, num_steps
    )
    spk, *others = forward(current, state, beta, neurons, num_steps)
    assert spk.dtype == current.dtype
    results = [spk.float(), *others]
    assert_same(results, by_reference(current.float(), state, beta, neurons, num_steps))
    # Or else the gradients of float64 would be those of other spikes.
    assert torch.equal(results[0].double(), exactly[0])
    gradients = some_gradients(results)
    ours = backward(gradients, current, state, beta, neurons, num_steps)
    assert ours[0].dtype == current.dtype
    # A gradient in bfloat16 is right to its 8 bits.
    rtol = max(1e-4, torch.finfo(current.dtype).eps)
    assert_close(ours, by_autograd(current, state, beta, neurons, num_steps, gradients), rtol)


@pytest.mark.parametrize("surrogate", reference.SURROGATE_KERNELS)
@adaptations
def test_agrees_with_the_reference(adaptation, surrogate):
    neurons = dynamics(adaptation, "subtract", surrogate)
    assert_agree(normal(8, 37), some_state(neurons, 37), neurons, 8)


@pytest.mark.parametrize(
    ("num_neurons", "num_steps", "with_state"),
    [(1, 5, False), (7, 1, True), (128, 1, False), (129, 5, True)],
)
@constants
@adaptations
def test_any_size(adaptation, constant, num_neurons, num_steps, with_state):
    neurons = dynamics(adaptation, "zero", "triangular")
    current = normal(1 if constant else num_steps, num_neurons)
    assert_agree(
        current, some_state(neurons, num_neurons) if with_state else None, neurons, num_steps
    )


@pytest.mark.parametrize(
    ("reset_mechanism", "beta"), [("subtract", 0.5), ("zero", 1.0), ("none", 0.0)]
)
@constants
@pytest.mark.parametrize("adaptation", [None, (0.5, 0.25)], ids=ADAPTATIONS)
def test_to_the_last_bit_where_floats_are_exact(adaptation, constant, reset_mechanism, beta):
    neurons = dynamics(adaptation, reset_mechanism, "straight_through_estimator", threshold=1.0)
    generator = torch.Generator().manual_seed(3)
    current = torch.randint(-16, 112, (1 if constant else 4, 50), generator=generator) / 64
    state = torch.randint(0, 160, (1 if adaptation is None else 2, 50), generator=generator) / 64
    beta = torch.tensor(beta)
    results = forward(current, state, beta, neurons, 4)
    assert 0 < results[0].mean() < 1
    expected = by_reference(current.double(), state.double(), beta.double(), neurons, 4)
    assert_same(results, [x.float() for x in expected])
    gradients = [torch.randint(-8, 9, x.shape, generator=generator) / 8 for x in results]
    ours = backward(gradients, current, state, beta, neurons, 4)
    assert_same(ours, [x.float() for x in by_autograd(current, state, beta, neurons, 4, gradients)])


@pytest.mark.parametrize("used", [(0,), (1,), (2,), (0, 1), ()], ids=str)
@adaptations
def test_gradients_of_some_results_only(adaptation, used):
    neurons = dynamics(adaptation, "zero")
    current, state, beta = normal(5, 19), some_state(neurons, 19), torch.tensor(0.8)
    gradients = some_gradients(forward(current, state, beta, neurons, 5))
    gradients = [gradient if i in used else None for i, gradient in enumerate(gradients)]
    ours = backward(gradients, current, state, beta, neurons, 5)
    assert_close(ours, by_autograd(current, state, beta, neurons, 5, gradients))
    assert used or not any(gradient.any() for gradient in ours)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@constants
@adaptations
def test_currents_of_two_bytes(adaptation, constant, dtype):
    neurons = dynamics(adaptation)
    assert_agree(normal(1 if constant else 5, 33).to(dtype), some_state(neurons, 33), neurons, 5)


def test_nan_is_passed_on():
    current = normal(4, 3)
    current[1, 2] = float("nan")
    spk, mem, _ = forward(current, None, torch.tensor(0.9), dynamics(), 4)
    assert mem[1:, 2].isnan().all()
    assert not mem[:, :2].isnan().any()
    assert (spk[1:, 2] == 0).all()


@pytest.mark.parametrize(
    ("dtype", "num_rows", "adaptation", "traces"),
    [
        (torch.float32, 6, None, 0),
        (torch.float32, 6, (0.9, 0.3), 1),
        (torch.bfloat16, 6, None, 1),
        (torch.float32, 1, None, 1),
    ],
    ids=["shared", "adaptation", "other type", "constant"],
)
def test_going_back_keeps_the_membranes_where_the_gradient_will_be(
    monkeypatch, dtype, num_rows, adaptation, traces
):
    shapes = []

    def recorded(shape, dtype, device):
        shapes.append(tuple(shape))
        return torch.empty(shape, dtype=dtype, device=device)

    monkeypatch.setattr(gpu, "empty", recorded)
    current = normal(num_rows, 40).to(dtype)
    backward([normal(6, 40), None, None], current, None, torch.tensor(0.9), dynamics(adaptation), 6)
    assert shapes.count((6, 40)) == traces + (num_rows == 6)


SCANS = {
    "forward lif": ("_forward", "*fp32", None, ("state", "mem_out")),
    "forward alif": ("_forward", "*bf16", (0.9, 0.3), ()),
    "backward lif": (
        *("_backward", "*bf16", None),
        ("state", "grad_spk", "adaptation_trace", "grad_beta_parts"),
    ),
    "backward alif": ("_backward", "*fp32", (0.9, 0.3), ()),
}


def a_scan(kernel, pointer, adaptation, left_out):
    launch = gpu.launch_options(torch.empty(2, 0), dynamics(adaptation, "zero"))
    assert launch["BLOCK"] == 32 * launch["num_warps"]
    if kernel == "_backward":
        launch["SURROGATE"] = "atan"
    constants = {name: value for name, value in launch.items() if name.isupper()} | dict.fromkeys(
        left_out
    )
    options = {name: value for name, value in launch.items() if not name.isupper()}
    types = dict.fromkeys(("current", "spk", "grad_spk", "grad_current"), pointer)
    types |= dict.fromkeys(
        ("state", "beta", "mem_out", "last", "grad_mem", "grad_last", "grad_state"), "*fp32"
    )
    types |= dict.fromkeys(("mem_trace", "adaptation_trace", "grad_beta_parts"), "*fp32")
    types |= dict.fromkeys(("threshold", "decay", "gain", "alpha"), "fp32")
    types |= dict.fromkeys(("num_neurons", "num_steps"), "i32")
    return gpu.__name__, kernel, types, constants, options


def an_encoding(pointer):
    types = {"images": "*u8", "keys": "*i64", "spikes": pointer}
    types |= dict.fromkeys(("num_images", "num_pixels", "num_tiles"), "i32")
    return gpu.__name__, "_rate_rows", types, {"BLOCK": 128}, {"num_warps": 4}


def test_what_is_compiled_for_cuda(tmp_path):
    """Scans without fused multiply-add and for one neuron a thread, on which the equality with the
    reference, and reading back what was written without waiting, rest; encodings to ten rounds of
    32 bits.
    """
    asked = [a_scan(*scan) for scan in SCANS.values()] + [an_encoding("*bf16"), an_encoding("*u8")]
    *scans, of_bf16, of_bytes = compiled(tmp_path, asked)
    for name, stages in zip(SCANS, scans, strict=True):
        assert not re.search(r"\bfma\.", stages["ptx"]), name
        (layout,) = set(re.findall(r"#ttg\.blocked<.*?>", stages["ttgir"]))
        assert "sizePerThread = [1]" in layout, name
    for stages in (of_bf16, of_bytes):
        assert stages["ttgir"].count("tt.mulhiui") == 20
        assert "tensor<128xi32" in stages["ttgir"]


@triton.jit
def fill(out, u, size, alpha, SURROGATE: tl.constexpr, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(
        out + i,
        surrogate_gradient(tl.load(u + i, mask=i < size, other=0.0), alpha, SURROGATE),
        mask=i < size,
    )


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("alpha", [0.5, 2.0, 25.0])
def test_surrogates_have_a_kernel_that_equals_their_gradient(surrogate, alpha):
    """A new surrogate works without one, through the reference: give it one, or leave it out
    here.
    """
    infinity = float("inf")
    ends = torch.tensor([0.0, -0.0, 1e-8, -1e-8, 1e4, -1e4, 1e30, -1e30, infinity, -infinity])
    u = torch.cat([torch.linspace(-30, 30, 2001), ends])
    out = torch.full_like(u, torch.nan, device=DEVICE)
    fill[(1,)](
        out, u.to(DEVICE), len(u), alpha, SURROGATE=surrogate, BLOCK=2048, enable_fp_fusion=False
    )
    exact = SURROGATES[surrogate].gradient(u.double(), alpha).float()
    torch.testing.assert_close(out.cpu(), exact, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("surrogate", ["atan", "fast_sigmoid", "sigmoid", "triangular"])
def test_the_gradient_at_nan_is_nan(surrogate):
    out, u = torch.zeros(16, device=DEVICE), torch.full((16,), torch.nan, device=DEVICE)
    fill[(1,)](out, u, 16, 2.0, SURROGATE=surrogate, BLOCK=16, enable_fp_fusion=False)
    assert out.isnan().all()
