"""How much memory may still be taken: what the machine has to spare, and what a container's limit leaves."""

import os
from collections.abc import Iterator
from pathlib import Path

SHARE = 0.5
"""A data set is held in memory if it takes at most this share of what is available; the rest is for training."""

UNKNOWN = 1 << 31
"""What is taken to be available, in bytes, where the system does not say."""

ROOT = Path("/")


def fits(num_bytes: int) -> bool:
    """Whether a data set of this size should be held in memory now."""
    return num_bytes <= SHARE * available()


def available() -> int:
    """The bytes that this process may still take: the machine's, or less under a control group's limit."""
    return max(min([_of_the_machine(), *_of_control_groups()]), 0)


def _of_the_machine() -> int:
    kilobytes = _table(ROOT / "proc/meminfo").get("MemAvailable:")
    if kilobytes is not None:
        return kilobytes * 1024
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        try:
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            continue
    return UNKNOWN


def _of_control_groups() -> Iterator[int]:
    """What each limit leaves that is set on this process's group, or on one above it."""
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, limit, usage, prefix = ROOT / "sys/fs/cgroup", "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            top, limit, usage = ROOT / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
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
                # The kernel gives these pages back when somebody asks for memory.
                cache = sum(statistics.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
                yield int(values[0]) - int(values[1]) + cache


def _table(path: Path) -> dict[str, int]:
    """A file of lines that begin with a name and a number."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
