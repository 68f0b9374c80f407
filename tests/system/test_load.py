import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from spikeduel.system import hardware

# A copy of the module: the fixtures of all tests replace functions of the module itself.
spec = importlib.util.find_spec("spikeduel.system.load")
load = importlib.util.module_from_spec(spec)
spec.loader.exec_module(load)


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="the system does not tell")
def test_load_that_has_ended_is_no_load_and_that_of_others_is(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    if Path("/proc/loadavg").exists():
        assert 0 <= load.load_average() < 1000
        command = [sys.executable, "-S", "-c", "while True: pass"]
        with subprocess.Popen(command) as other:
            try:
                # The other process adds to the threads of this one.
                assert load.load_average(own_threads=8) >= 9
            finally:
                other.kill()
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert load.load_average() == 0


@pytest.mark.parametrize(
    ("used", "cores", "threads", "busy"),
    [
        (None, 2, 0, False),
        (0.5, 2, 0, False),
        (0.6, 2, 0, True),
        (2.5, 2, 2, False),
        (9, 8, 6, True),
    ],
)
def test_a_machine_is_busy_if_others_use_more_than_a_quarter_of_the_cores(
    used, cores, threads, busy
):
    assert load.is_busy(used, cores, threads) is busy


@pytest.fixture
def eight_threads(machine):
    machine.cores = 8
    torch.set_num_threads(8)
    return machine


@pytest.mark.parametrize(
    ("used", "threads"), [(0.0, 8), (0.4, 8), (1.0, 7), (2.6, 5), (7.0, 1), (8.0, 1)]
)
def test_a_training_takes_as_many_threads_as_there_are_free_cores(eight_threads, used, threads):
    eight_threads.use = used
    lines = []
    with hardware.threads_on_free_cores(lines.append):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 8
    assert len(lines) == (threads < 8)
    assert all(f"{threads} of 8 threads" in text for text in lines)


def test_the_number_of_threads_that_the_user_chose_stays(eight_threads):
    eight_threads.use = 4.0
    hardware.compute_on(6)
    with hardware.threads_on_free_cores():
        assert torch.get_num_threads() == 6
    hardware.compute_on(6, chosen=False)
    with hardware.threads_on_free_cores():
        assert torch.get_num_threads() == 4


MEMINFO = "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  600 kB\nHugePages_Total:  0\n"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system's files, to be written by the test."""
    root = tmp_path / "system"
    root.mkdir()
    monkeypatch.setattr(load, "ROOT", root)
    return root


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def test_what_other_processes_use_is_measured_and_the_own_is_left_out(
    system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = os.sysconf("SC_CLK_TCK")
    # Of the first core user, nice, kernel, idle, waiting, two of interrupts, stolen, guests (in user).
    before = f"cpu 9 9 9 9\ncpu0 {' '.join(['100'] * 10)}\ncpu1 7 7 7 7 7 7 7 7 7 7\n"
    more = [second, 0, second, 5000, 5000, second, second, 0, 5000, 5000]
    after = f"cpu0 {' '.join(str(100 + ticks) for ticks in more)}\ncpu1 9 9 9 9 9 9 9 9 9 9\n"
    write(system, {"proc/stat": before})
    # In ten seconds the core worked for four, of which one was this process's.
    clock = SimpleNamespace(
        sleep=lambda seconds: write(system, {"proc/stat": after}),
        monotonic=iter([50.0, 60.0]).__next__,
        process_time=iter([5.0, 6.0]).__next__,
    )
    monkeypatch.setattr(load, "time", clock)
    assert load.used_by_others([0]) == pytest.approx(0.3)


def test_without_a_table_of_cores_nothing_is_known(system: Path, monkeypatch) -> None:
    monkeypatch.setattr(load.time, "sleep", lambda seconds: None)
    assert load.used_by_others([0]) == 0


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
    assert load.available_memory() == 400_000


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
    assert load.available_memory() == expected


def test_elsewhere_the_system_is_asked(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}

    def sysconf(name: str) -> int:
        if name not in known:
            raise ValueError("unrecognized configuration name")
        return known[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert load.available_memory() == 100 * 4096
    known["SC_AVPHYS_PAGES"] = 30
    assert load.available_memory() == 30 * 4096
    monkeypatch.delattr(os, "sysconf")
    assert load.available_memory() == load.UNKNOWN


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
    assert load.available_memory() == 200 * 1024
