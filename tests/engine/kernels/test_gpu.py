"""The Triton kernels: what is compiled for CUDA, and their surrogate gradients. `test_scans.py` compares
them with the reference.
"""

import re

import pytest
import torch

from spikeduel.engine.kernels import gpu
from spikeduel.engine.kernels.gpu import surrogate_gradient
from spikeduel.engine.kernels.reference import SURROGATES, Dynamics
from triton_device import DEVICE, compiled, tl, triton


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
    current = torch.zeros(num_rows, 40, dtype=dtype, device=DEVICE)
    gradients, beta = [torch.ones(6, 40, device=DEVICE), None, None], torch.tensor(0.9).to(DEVICE)
    gpu.scan_backward(gradients, current, None, beta, Dynamics(0.7, adaptation=adaptation), 6, True)
    assert shapes.count((6, 40)) == traces + (num_rows == 6)


SCANS = {
    "forward lif": ("_forward", "*fp32", None, ("state", "mem_out")),
    "forward alif": ("_forward", "*bf16", (0.9, 0.3), ()),
    "backward lif": (
        "_backward",
        "*bf16",
        None,
        ("state", "grad_spk", "adaptation_trace", "grad_beta_parts"),
    ),
    "backward alif": ("_backward", "*fp32", (0.9, 0.3), ()),
}


def a_scan(kernel, pointer, adaptation, left_out):
    launch = gpu.launch_options(torch.empty(2, 0), Dynamics(0.7, "zero", adaptation=adaptation))
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
