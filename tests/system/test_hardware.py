import subprocess
import sys

import pytest
import torch

from spikeduel.system import hardware
from spikeduel.system.errors import InputError
from spikeduel.system.hardware import Compute


def test_no_gpu_is_said(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert hardware.resolve("auto").device == hardware.resolve("cpu").device == "cpu"
    with pytest.raises(InputError, match="--device cuda: torch finds no CUDA GPU"):
        hardware.resolve("cuda")


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


def test_cpu_features_are_known_without_pytorchs_query(monkeypatch, tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_bf16\nbugs\t:\nflags\t: avx2\n")
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for file, expected in ((cpuinfo, {"avx2", "avx512_f", "avx512_bf16"}), (tmp_path / "none", set())):
        monkeypatch.setattr(hardware, "CPU_INFO", file)
        assert hardware.cpu_features.__wrapped__() == expected


@pytest.mark.skipif(not hasattr(torch.cpu, "get_capabilities"), reason="PyTorch cannot be asked")
@pytest.mark.skipif(not hardware._first_value(hardware.CPU_INFO, "flags"), reason="Linux does not name the features")
def test_both_sources_of_cpu_features_agree(monkeypatch):
    asked = hardware.cpu_features()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert hardware.cpu_features.__wrapped__() == asked


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
    for _ in range(20):
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
def test_freed_memory_is_kept_and_given_back():
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


def test_float32_on_a_gpu_is_not_tf32():
    before = torch.backends.cudnn.allow_tf32
    with hardware.Compute("cuda", "32").autocast():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before
