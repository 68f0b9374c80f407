"""Cores and memory that the machine has left, and when it is busy."""

import math
import os
import statistics
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

BUSY_SHARE = 0.25
"""Share of the cores that others may use during timings."""
LOOK_SECONDS = 0.2
UNKNOWN = 1 << 31
"""Bytes assumed to be available if the system does not say."""
ROOT = Path("/")


def cores() -> list[int]:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def is_busy(load: float | None, cores: int, own_threads: int = 0) -> bool:
    """Return True if other work uses more than `BUSY_SHARE` of `cores`.

    `load`: threads by `load_average`, `own_threads` of them this process's; None is not busy.
    """
    return load is not None and load - own_threads > BUSY_SHARE * cores


def load_average(own_threads: int = 0) -> float | None:
    """Return the mean number of running or waiting threads in the last minute, `own_threads` of
    them this process's; None if unknown.

    The number now counts if smaller: what has ended disturbs nobody.
    """
    if not hasattr(os, "getloadavg"):
        return None
    return min(os.getloadavg()[0], own_threads + _other_threads_now())


def _other_threads_now() -> float:
    running = []
    with suppress(OSError, ValueError, IndexError):
        for _ in range(10):
            # The reading thread is running, too.
            counted = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
            running.append(int(counted) - 1)
            time.sleep(0.02)
    return statistics.median(running) if running else math.inf


def used_by_others(cores: Collection[int]) -> float:
    """Return how many of `cores` other processes use, mean over `LOOK_SECONDS`; 0 if unknown (not
    Linux).
    """
    before, begun = _seconds_of_others(cores), time.monotonic()
    time.sleep(LOOK_SECONDS)
    used = (_seconds_of_others(cores) - before) / (time.monotonic() - begun)
    return min(max(used, 0.0), float(len(cores)))


def _seconds_of_others(cores: Collection[int]) -> float:
    """Return seconds that `cores` worked for others, up to a constant; 0 if unknown."""
    names = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in _text(ROOT / "proc/stat").splitlines():
        name, _, counters = line.partition(" ")
        if name in names:
            user, nice, kernel, _idle, _waiting, *interrupts = map(int, counters.split()[:8])
            ticks += user + nice + kernel + sum(interrupts)
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time() if ticks else 0.0


def available_memory() -> int:
    """Return the bytes that this process may still take: the machine, control groups and ulimit
    set limits.
    """
    machine = _table(ROOT / "proc/meminfo").get("MemAvailable:", 0) * 1024
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        with suppress(AttributeError, ValueError, OSError):
            machine = machine or os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    left = [machine or UNKNOWN, *_of_control_groups()]
    used = _table(ROOT / "proc/self/status").get("VmData:")
    if used is not None and resource is not None:
        most, _ = resource.getrlimit(resource.RLIMIT_DATA)
        left += [most - used * 1024] if most != resource.RLIM_INFINITY else []
    return max(min(left), 0)


def _of_control_groups() -> Iterator[int]:
    top = ROOT / "sys/fs/cgroup"
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        if not line.startswith("0::"):  # groups of version 1
            continue
        group = top / line.removeprefix("0::").lstrip("/")
        for folder in (group, *group.parents):
            values = [_text(folder / name).strip() for name in ("memory.max", "memory.current")]
            if folder.is_relative_to(top) and all(value.isdecimal() for value in values):
                cached = _table(folder / "memory.stat")
                # The kernel gives these pages back on demand.
                cache = cached.get("active_file", 0) + cached.get("inactive_file", 0)
                yield int(values[0]) - int(values[1]) + cache


def _table(path: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
