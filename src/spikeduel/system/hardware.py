"""The machine: where and in which precision to compute, and what it is."""

import ctypes
import importlib.metadata
import os
import platform
import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from spikeduel.system import processes
from spikeduel.system.errors import InputError

Precision = Literal["32", "bf16"]
FAST_INSTRUCTIONS = frozenset({"avx2", "avx512_f", "avx512_bf16", "amx_bf16"})
"""The instruction sets on which speed depends, as PyTorch names them."""
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Compute:
    """A device ("cpu" or "cuda") and a precision ("32", or "bf16": matrix products and convolutions in bfloat16)."""

    device: str = "cpu"
    precision: Precision = "32"

    def autocast(self) -> AbstractContextManager[Any]:
        """Within, torch computes in this precision; weights stay float32."""
        if self.device == "cuda" and self.precision == "32":
            return _without_tf32()
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")


@contextmanager
def _without_tf32() -> Iterator[None]:
    """float32 on a GPU: by default cuDNN's convolutions round it to the ten bits of TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def resolve(device: str = "auto", precision: str = "auto") -> Compute:
    """What `device` and `precision` mean on this machine.

    `auto` is a GPU where there is one, and bfloat16 where the device has it in hardware; float32 elsewhere, where
    bfloat16 would be slower. Raises `InputError` where CUDA is asked for and absent.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no CUDA GPU here. Use --device cpu, or auto.")
    resolved = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    wants_bf16 = has_bf16(resolved) if precision == "auto" else precision == "bf16"
    return Compute(resolved, "bf16" if wants_bf16 else "32")


@cache
def has_bf16(device: str) -> bool:
    """Whether `device` multiplies matrices of bfloat16 in hardware: AMX or AVX512-BF16, tensor cores."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(cpu_features() & {"avx512_bf16", "amx_bf16"})


@cache
def cpu_features() -> frozenset[str]:
    """The instruction sets of `FAST_INSTRUCTIONS` that this CPU has."""
    if hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return frozenset(name for name in FAST_INSTRUCTIONS if capabilities.get(name))
    flags = set((_first_value(CPU_INFO, "flags") or "").split())
    return FAST_INSTRUCTIONS & (flags | ({"avx512_f"} if "avx512f" in flags else set()))


def _first_value(file: Path, name: str) -> str | None:
    """What one of Linux's files of `name: value` lines says first of `name`; None where it says nothing."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)


@cache
def keep_freed_memory() -> bool:
    """Has the C library keep freed memory for the next request; True where it can (glibc).

    By default it gives large blocks back to Linux, which has to fill them with zeros anew at the next training step.
    Holds for the process; `release_freed_memory` gives back what is not in use.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, mmap_max = -1, -4
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, 2**31 - 1))


def release_freed_memory() -> None:
    """Returns to the system the unused memory that `keep_freed_memory` kept."""
    if keep_freed_memory.cache_info().currsize and keep_freed_memory():
        ctypes.CDLL(None).malloc_trim(0)


def peak_memory_bytes() -> int | None:
    """The most memory that this process has held; None where the system does not say."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage tells a process that another one has started of that one's peak, if it is higher.
        peak = _first_value(status, "VmHWM:")
        return int(peak.split()[0]) << 10 if peak else None
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def environment(compute: Compute) -> dict[str, Any]:
    """What a measurement depends on: versions, processor, threads, processes, device and precision."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpu": _first_value(CPU_INFO, "model name") or platform.processor() or platform.machine(),
        "cpu_features": sorted(cpu_features()),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": processes.count(),
        "gpu": torch.cuda.get_device_name() if compute.device == "cuda" else None,
        "device": compute.device,
        "precision": compute.precision,
    }


def cores() -> list[int]:
    """The processor cores that this process may use, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def gpus() -> list[str]:
    """The CUDA GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]


def compute_on(threads: int, cores: Collection[int] = ()) -> None:
    """From now on this process computes with so many threads, on these `cores` alone where the system can do that."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)


def package_version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def load_average() -> float | None:
    """Processes that were running or waiting to run in the last minute, on average; None if the system has no such."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
