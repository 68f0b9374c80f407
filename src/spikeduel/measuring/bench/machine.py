"""This machine: what it is, how busy it is, and how fast it multiplies matrices and moves bytes."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spikeduel.measuring.bench.worker import EXTRA
from spikeduel.system.hardware import environment, load_average, package_version, resolve
from spikeduel.system.typed import Frozen, converted

SQUARE = (2048, 2048, 2048)
TALL = (3200, 9409, 1024)
"""The largest product of the workloads: 25 steps of 128 images of 97×97 pixels by 1024 neurons."""

BUSY = 0.25
"""The share of the cores in use by other work above which times are unreliable."""

_SMALLEST_COPY = 256 << 20


@dataclass(frozen=True)
class Limits:
    """The best rates measured: matrix products in bf16 and in float32, and bytes read and written."""

    bf16_gflops: float
    float32_gflops: float
    bandwidth_gbs: float

    @property
    def faster(self) -> str:
        """The precision whose matrix products are faster here: "bf16" or "float32"."""
        return "bf16" if self.bf16_gflops > self.float32_gflops else "float32"

    @property
    def gflops(self) -> float:
        """The rate of that precision."""
        return max(self.bf16_gflops, self.float32_gflops)

    @property
    def operand_bytes(self) -> int:
        """The size of a number in that precision."""
        return 2 if self.faster == "bf16" else 4


def measure_limits(threads: int, seconds: float) -> Limits:
    """The limits with `threads` threads, each the best of about `seconds` of trying per kind of work.

    Products: a large square and `TALL`. Bandwidth: copying and adding arrays far larger than the caches, counted as
    STREAM does (McCalpin 1995): each array that is read or written once.
    """
    torch.set_num_threads(threads)
    rates = {}
    for dtype in (torch.bfloat16, torch.float32):
        rates[dtype] = max(_product_rate(shape, dtype, seconds / 2) for shape in (SQUARE, TALL))
    return Limits(rates[torch.bfloat16] / 1e9, rates[torch.float32] / 1e9, _bandwidth(seconds) / 1e9)


class Machine(Frozen):
    """The surroundings of the measurement: hardware, versions (of `peers`: None if not installed), other work."""

    python: str
    torch: str
    numpy: str
    platform: str
    cpu: str
    cpu_features: tuple[str, ...]
    cores: int | None
    threads: int
    gpu: str | None
    device: str
    precision: str
    last_level_cache_bytes: int | None
    load_average: float | None
    peers: dict[str, str | None]
    load_average_after: float | None = None


def describe(threads: int) -> Machine:
    """This machine now, computing with `threads` threads."""
    return converted(
        {
            **environment(resolve("cpu")),
            "threads": threads,
            "last_level_cache_bytes": last_level_cache_bytes(),
            "load_average": load_average(),
            "peers": {package: package_version(package) for package in EXTRA},
        },
        Machine,
    )


def busy(load: float | None, when: str, own_threads: int = 0) -> tuple[str, ...]:
    """A warning if more than `own_threads` and a few of the cores were in use, by `load_average`; else none."""
    cores = os.cpu_count() or 1
    if load is None or load - own_threads <= BUSY * cores:
        return ()
    return (
        f"The machine was busy {when} (load {load:.1f} on {cores} cores): times and ratios are unreliable. Measure "
        "again when it is idle.",
    )


def last_level_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int | None:
    """The size of the largest cache of the first core; None where the system does not say."""
    sizes = (path.read_text(encoding="utf-8").strip() for path in folder.glob("index*/size"))
    return max((int(size[:-1]) << 10 for size in sizes if size.endswith("K") and size[:-1].isdigit()), default=None)


def _product_rate(shape: tuple[int, int, int], dtype: torch.dtype, seconds: float) -> float:
    """The most operations a second of `[rows, inner]` by `[inner, columns]`."""
    rows, inner, columns = shape
    a, b = torch.rand(rows, inner).to(dtype), torch.rand(inner, columns).to(dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return 2 * rows * inner * columns / _shortest(lambda: torch.mm(a, b, out=out), seconds)


def _bandwidth(seconds: float) -> float:
    """The most bytes a second of copying and of adding."""
    size = max(_SMALLEST_COPY, 4 * (last_level_cache_bytes() or 0))
    a, b, c = (torch.ones(size // 4) for _ in range(3))
    copied = 2 * a.nbytes / _shortest(lambda: c.copy_(a), seconds / 2)
    added = 3 * a.nbytes / _shortest(lambda: torch.add(a, b, out=c), seconds / 2)
    return max(copied, added)


def _shortest(work: Callable[[], Any], seconds: float) -> float:
    """The shortest time that `work` takes, of at least 3 and about `seconds`, after one that is not counted."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
