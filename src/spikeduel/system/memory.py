"""Memory available under the limits of the machine, control groups and ulimit."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

UNKNOWN = 1 << 31
"""Bytes assumed if the system does not say."""
ROOT = Path("/")


def available_memory() -> int:
    """Return the bytes that this process may still take."""
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
