import os
from pathlib import Path

import pytest

from spikeduel.system import memory

MEMINFO = "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  600 kB\nHugePages_Total:  0\n"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system's files, to be written by the test."""
    root = tmp_path / "system"
    root.mkdir()
    monkeypatch.setattr(memory, "ROOT", root)
    return root


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def test_what_the_machine_has_available(system: Path) -> None:
    write(system, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n"})
    assert memory.available_memory() == 600 * 1024


def test_a_limit_of_version_2_counts_what_it_leaves_with_the_cache(system: Path) -> None:
    write(
        system,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/box/job\n",
            "sys/fs/cgroup/box/job/memory.max": "500000\n",
            "sys/fs/cgroup/box/job/memory.current": "400000\n",
            "sys/fs/cgroup/box/job/memory.stat": (
                "anon 90000\nfile 310000\ninactive_file 200000\nactive_file 100000\n"
            ),
        },
    )
    assert memory.available_memory() == 400_000


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"": "max", "box": "max", "box/job": "max"}, 600 * 1024),
        ({"": "max", "box": "300000", "box/job": "max"}, 300_000 - 10),
        ({"": "max", "box": "300000", "box/job": "200000"}, 200_000 - 10),
        ({"": "100000", "box": "300000", "box/job": "200000"}, 100_000 - 10),
        ({"": "5", "box": "max", "box/job": "max"}, 0),
    ],
    ids=str,
)
def test_the_narrowest_limit_above_a_group_holds(
    limits: dict[str, str], expected: int, system: Path
) -> None:
    write(system, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/box/job\n"})
    # Whatever lies above the groups is none of them.
    write(system, {"sys/fs/memory.max": "1\n", "sys/fs/memory.current": "0\n"})
    for group, limit in limits.items():
        folder = f"sys/fs/cgroup/{group}"
        write(system, {f"{folder}/memory.max": f"{limit}\n", f"{folder}/memory.current": "10\n"})
    assert memory.available_memory() == expected


def test_elsewhere_the_system_is_asked(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}

    def sysconf(name: str) -> int:
        if name not in known:
            raise ValueError("unrecognized configuration name")
        return known[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert memory.available_memory() == 100 * 4096
    known["SC_AVPHYS_PAGES"] = 30
    assert memory.available_memory() == 30 * 4096
    monkeypatch.delattr(os, "sysconf")
    assert memory.available_memory() == memory.UNKNOWN


def test_a_limit_on_this_process(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    write(
        system,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/\n",
            "proc/self/status": "VmData:\t 100 kB\n",
        },
    )
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (300 * 1024, resource.RLIM_INFINITY))
    assert memory.available_memory() == 200 * 1024
