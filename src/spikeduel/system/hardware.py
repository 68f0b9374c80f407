"""Device and precision to compute on, and a description of the machine."""

import ctypes
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel.system import load
from spikeduel.system.errors import InputError
from spikeduel.system.registry import GPUS, Precision
from spikeduel.system.sentences import counted

FAST_INSTRUCTIONS = frozenset({"avx2", "avx512_f", "avx512_bf16", "amx_bf16"})
"""Instruction sets that matter for speed, as PyTorch names them."""
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Compute:
    """A device ("cpu", or of `GPUS`, such as "cuda:1") and a precision."""

    device: str = "cpu"
    precision: Precision = "32"

    @property
    def kind(self) -> str:
        """Device without its number: results depend on the kind."""
        return self.device.partition(":")[0]

    def autocast(self) -> AbstractContextManager[Any]:
        """Compute in this precision; weights stay float32."""
        if self.kind == "cuda" and self.precision == "32":
            return _without_tf32()
        return torch.autocast(self.kind, torch.bfloat16, enabled=self.precision == "bf16")


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Compute in float32 on a GPU, where cuDNN defaults to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast("cuda", enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def resolve(device: str = "auto", precision: str = "auto") -> Compute:
    """Return the device and precision to use.

    `auto`: a CUDA GPU if present, else the CPU; bfloat16 if known to be in hardware. Raises
    `InputError` for an unknown device.
    """
    if device == "auto":
        device = "cuda" if num_gpus("cuda") else "cpu"
    kind, _, number = device.partition(":")
    if kind in GPUS and int(number or 0) >= (count := num_gpus(kind)):
        present = f"no {GPUS[kind]} here"
        if count:
            names = ", ".join(f"{kind}:{index}" for index in range(count))
            present = f"{counted(count, GPUS[kind])} here: {names}"
        raise InputError(
            f"--device {device}: torch {torch.__version__} finds {present}. Use --device cpu, or "
            f"auto."
        )
    wants_bf16 = has_bf16(kind) if precision == "auto" else precision == "bf16"
    return Compute(device, "bf16" if wants_bf16 else "32")


def num_gpus(kind: str) -> int:
    return int(torch.get_device_module(kind).device_count())


@cache
def has_bf16(kind: str) -> bool:
    """Return True if a kind of device is known to multiply bfloat16 matrices in hardware.

    AMX, AVX512-BF16 and tensor cores do; Apple's and Intel's GPUs were not measured.
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and bool(cpu_features() & {"avx512_bf16", "amx_bf16"})


def widest(device: torch.device) -> torch.dtype:
    """Return the type for sums: float64 if all devices of the kind have it."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32


@cache
def cpu_features() -> frozenset[str]:
    """Return the `FAST_INSTRUCTIONS` of this CPU; Linux only."""
    flags = (_first_value(CPU_INFO, "flags") or "").replace("avx512f", "avx512_f").split()
    return FAST_INSTRUCTIONS.intersection(flags)


def _first_value(file: Path, name: str) -> str | None:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), None)


@cache
def keep_freed_memory() -> bool:
    """Have glibc keep freed memory; return True if it can.

    Linux would take large blocks back, and zero them at the next training step.
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, mmap_max = -1, -4
    return bool(mallopt(mmap_max, 0)) and bool(mallopt(trim_threshold, 2**31 - 1))


def release_freed_memory() -> None:
    """Return memory that `keep_freed_memory` withholds to the system."""
    if keep_freed_memory.cache_info().currsize and keep_freed_memory():
        ctypes.CDLL(None).malloc_trim(0)


def peak_memory_bytes() -> int | None:
    """Return this process's peak memory; None if unknown."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage gives the parent's peak if higher.
        peak = _first_value(status, "VmHWM:")
        return int(peak.split()[0]) << 10 if peak else None
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def environment(compute: Compute) -> dict[str, Any]:
    """Return a measurement's conditions: versions, processor, threads, device, precision."""
    # Torch does not name Apple's.
    name_of = getattr(torch.get_device_module(compute.device), "get_device_name", None)
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpu": _first_value(CPU_INFO, "model name") or platform.processor() or platform.machine(),
        "cpu_features": sorted(cpu_features()),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": str(name_of(compute.device)) if name_of and compute.kind != "cpu" else None,
        "device": compute.kind,
        "precision": compute.precision,
    }


def gpus() -> list[str]:
    """Return the CUDA GPUs of this process, as in `CUDA_VISIBLE_DEVICES`."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        visible.split(",")
        if visible
        else [str(number) for number in range(torch.cuda.device_count())]
    )


_chosen_threads: list[int] = []
"""Number of threads that the user chose for this process; empty if none."""


def compute_on(threads: int, cores: Collection[int] = (), chosen: bool = True) -> None:
    """Compute with `threads` threads, on `cores` alone if the system can.

    `threads_on_free_cores` keeps a number `chosen` by the user.
    """
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)
    _chosen_threads[:] = [threads] if chosen else []


def may_compute_on(threads: int) -> bool:
    """Return True if the user chose no other number, and there are as many cores."""
    return _chosen_threads in ([], [threads]) and threads <= len(load.cores())


@contextmanager
def threads_on_free_cores(say: Callable[[str], None] = lambda text: None) -> Iterator[None]:
    """Use no more threads than free cores, and `say` so if fewer: one more slows all.

    Begins with all threads if the user chose the number. Leaves as many threads as there were.
    """
    before = torch.get_num_threads()
    threads = before
    if before > 1 and not _chosen_threads:
        usable = load.cores()
        used = load.used_by_others(usable)
        threads = max(1, min(before, len(usable) - round(used)))
    if threads < before:
        say(
            f"{threads} of {before} threads: other processes use {used:.1f} of {len(usable)} cores "
            f"(--threads sets the number)"
        )
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def package_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
