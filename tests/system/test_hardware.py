import subprocess
import sys

import pytest
import torch

from spikeduel.system import hardware
from spikeduel.system.errors import InputError
from spikeduel.system.hardware import Compute
from spikeduel.system.registry import GPUS


@pytest.fixture
def gpus(monkeypatch):
    """The number of GPUs of each kind that torch is made to find."""
    present = dict.fromkeys(GPUS, 0)
    monkeypatch.setattr(hardware, "num_gpus", present.__getitem__)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    hardware.has_bf16.cache_clear()
    yield present
    hardware.has_bf16.cache_clear()


@pytest.mark.parametrize(
    ("present", "device", "message"),
    [
        ({}, "cuda", r"--device cuda: torch .* finds no CUDA GPU here\. Use --device cpu"),
        ({}, "mps", r"--device mps: torch .* finds no Apple GPU here\. Use --device cpu"),
        ({}, "xpu:1", r"--device xpu:1: torch .* finds no Intel GPU here\. Use --device cpu"),
        ({"cuda": 2, "xpu": 1}, "cuda:2", "2 CUDA GPUs here: cuda:0, cuda:1"),
        ({"cuda": 2, "xpu": 1}, "xpu:1", "1 Intel GPU here: xpu:0"),
    ],
)
def test_an_absent_gpu_is_an_error(present, device, message, gpus):
    gpus |= present
    with pytest.raises(InputError, match=message):
        hardware.resolve(device)


def test_auto_takes_a_gpu_that_has_kernels(gpus):
    assert hardware.resolve("auto").device == hardware.resolve("cpu").device == "cpu"
    gpus |= {"xpu": 1, "mps": 1}
    assert hardware.resolve("auto").device == "cpu"
    # Whether bfloat16 is faster on these has not been measured.
    resolved = [hardware.resolve(kind) for kind in ("xpu", "mps")]
    assert resolved == [Compute("xpu", "32"), Compute("mps", "32")]
    gpus["cuda"] = 2
    assert hardware.resolve("auto") == Compute("cuda", "bf16")
    assert hardware.resolve("cuda:1") == Compute("cuda:1", "bf16")
    assert hardware.resolve("cuda:1").kind == "cuda"


def test_what_a_gpu_is_called_is_its_own_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU called {device}")
    assert hardware.environment(Compute("cuda:1"))["gpu"] == "the GPU called cuda:1"
    # Times and trials are of a kind of device; which one it was, the name says.
    assert hardware.environment(Compute("cuda:1"))["device"] == "cuda"
    assert hardware.environment(Compute("mps"))["gpu"] is None


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx2"}, "32"),
        ({"avx2", "avx512_f"}, "32"),
        ({"avx512_f", "avx512_bf16"}, "bf16"),
        ({"avx512_f", "amx_bf16"}, "bf16"),
    ],
)
def test_auto_is_bfloat16_where_the_cpu_has_it(features, expected, monkeypatch):
    hardware.has_bf16.cache_clear()
    monkeypatch.setattr(hardware, "cpu_features", lambda: frozenset(features))
    assert hardware.resolve("cpu", "auto").precision == expected
    assert hardware.resolve("cpu", "32").precision == "32"
    assert hardware.resolve("cpu", "bf16").precision == "bf16"
    hardware.has_bf16.cache_clear()


@pytest.mark.parametrize(
    ("text", "features"),
    [
        (
            "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\nbugs\t:\nflags\t: avx2\n",
            {"avx2", "avx512_f", "avx512_bf16"},
        ),
        (None, set()),
    ],
    ids=["Linux", "elsewhere"],
)
def test_cpu_features_are_those_that_linux_names(text, features, monkeypatch, tmp_path):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    assert hardware.cpu_features.__wrapped__() == features


def test_computing_in_bfloat16():
    linear, x = torch.nn.Linear(3, 2), torch.ones(1, 3)
    with Compute("cpu", "bf16").autocast():
        assert linear(x).dtype == torch.bfloat16
    with Compute("cpu", "32").autocast():
        assert linear(x).dtype == torch.float32


FAULTS = """
import resource, sys, torch
from spikeduel.system import hardware
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(12 << 20).add_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
before = faults()
assert hardware.keep_freed_memory()
faults()
after = faults()
assert after < before / 10, (before, after)
# What was given back has to be fetched anew.
hardware.release_freed_memory()
again = faults()
assert after + 1000 < again < before, (after, again)
"""


@pytest.mark.skipif(not hardware.keep_freed_memory(), reason="another C library than glibc")
def test_freed_memory_stays_until_it_is_released():
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_float32_on_a_gpu_is_not_tf32():
    before = torch.backends.cudnn.allow_tf32
    with hardware.Compute("cuda:1", "32").autocast():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
