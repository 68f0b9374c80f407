"""Load of the machine by other processes, and when it is busy."""

import math
import os
import statistics
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

BUSY_SHARE = 0.25
"""Share of the cores that others may use during timings."""
LOOK_SECONDS = 0.2


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
    try:
        all_before, own_before, begun = _busy_seconds(cores), time.process_time(), time.monotonic()
        time.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - begun
        used = _busy_seconds(cores) - all_before - (time.process_time() - own_before)
    except (OSError, ValueError, IndexError):
        return 0.0
    return min(max(used / seconds, 0.0), float(len(cores)))


def _busy_seconds(cores: Collection[int]) -> float:
    """Return the summed busy seconds of `cores` since the machine started."""
    names = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in Path("/proc/stat").read_text(encoding="utf-8").splitlines():
        name, *counters = line.split()
        if name in names:
            user, nice, kernel, _idle, _waiting, *interrupts = map(int, counters[:8])
            ticks += user + nice + kernel + sum(interrupts)
    return ticks / os.sysconf("SC_CLK_TCK")
