"""Memory available to this process, under the limits of the machine, control groups and ulimit."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

UNKNOWN = 1 << 31
"""Bytes assumed to be available if the system does not say."""

ROOT = Path("/")


def available_memory() -> int:
    """Return the bytes that this process may still take."""
    machine = _table(ROOT / "proc/meminfo").get("MemAvailable:", 0) * 1024
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        with suppress(AttributeError, ValueError, OSError):
            machine = machine or os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return max(min([machine or UNKNOWN, *_of_control_groups(), *_of_this_process()]), 0)


def _of_this_process() -> Iterator[int]:
    """Yield the bytes left by the limits of this process (`ulimit -d`, `ulimit -v`)."""
    used = _table(ROOT / "proc/self/status")
    for limit, name in (("RLIMIT_DATA", "VmData:"), ("RLIMIT_AS", "VmSize:")):
        if name in used and resource is not None:
            most = resource.getrlimit(getattr(resource, limit))[0]
            if most != resource.RLIM_INFINITY:
                yield most - used[name] * 1024


def _of_control_groups() -> Iterator[int]:
    """Yield the bytes left by the limits of this process's control group and of groups above."""
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, limit, usage, prefix = ROOT / "sys/fs/cgroup", "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            top, limit, usage = (
                ROOT / "sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
            prefix = "total_"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            values = _text(folder / limit).strip(), _text(folder / usage).strip()
            if all(value.isdecimal() for value in values):
                statistics = _table(folder / "memory.stat")
                # The kernel gives these pages back when a process asks for memory.
                cache = sum(
                    statistics.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive")
                )
                yield int(values[0]) - int(values[1]) + cache


def _table(path: Path) -> dict[str, int]:
    """Return the numbers of a file whose lines begin with a name and a number."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
