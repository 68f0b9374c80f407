import os
import signal
from pathlib import Path

import pytest

import bench_fakes
from bench_fakes import TINY, contender, output_devices
from spikeduel.measuring.bench.contenders import (
    CONTENDERS,
    PEER_OF_SCALING,
    Failed,
    Worker,
    call,
    in_one_line,
    taking_part,
)
from spikeduel.measuring.bench.workloads import WORKLOADS


def test_every_contender_is_known_by_its_name():
    assert all(name == contender.name for name, contender in CONTENDERS.items())


def test_the_full_run_has_everyone_spikeduel_first():
    spiking = [
        contender.name
        for contender in taking_part(WORKLOADS["snn-28-rate"], quick=False, faster="bf16")
    ]
    assert spiking == [name for name in CONTENDERS if not name.startswith("torch-")]
    cnn = [
        contender.name for contender in taking_part(WORKLOADS["cnn-97"], quick=False, faster="bf16")
    ]
    assert cnn == ["spikeduel", "spikeduel-float32", "torch-cnn", "torch-cnn-tuned"]
    assert PEER_OF_SCALING in CONTENDERS
    events = [
        contender.name
        for contender in taking_part(WORKLOADS["events-34"], quick=False, faster="bf16")
    ]
    assert events == ["spikeduel", "spikeduel-float32"]


@pytest.mark.parametrize("faster", ["bf16", "float32"])
def test_the_quick_run_has_each_peer_in_the_faster_precision_and_compiles_nothing(faster):
    suffix = "-bf16" if faster == "bf16" else ""
    quick = [
        contender.name
        for contender in taking_part(WORKLOADS["snn-28-rate"], quick=True, faster=faster)
    ]
    assert quick == [
        "spikeduel",
        "snntorch-study",
        f"snntorch-fastest{suffix}",
        f"spikingjelly-hoisted{suffix}",
    ]
    quick = [
        contender.name for contender in taking_part(WORKLOADS["cnn-28"], quick=True, faster=faster)
    ]
    assert quick == ["spikeduel", "torch-cnn", "torch-cnn-tuned"]


def test_spikeduels_allocator_setting_is_given_to_those_that_say_so():
    kept = {name for name, contender in CONTENDERS.items() if contender.keeps_memory}
    assert kept == {
        name for name in CONTENDERS if name.startswith("spikeduel") or name.endswith("+memory")
    }


# ---- at work


@pytest.fixture
def work():
    """Starts workers and ends them."""
    started = []

    def start(function, threads=1, **settings):
        started.append(Worker(contender(getattr(bench_fakes, function), **settings), TINY, threads))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


def test_steps_are_timed_one_by_one(work):
    worker = work("steady", seconds=0.01)
    assert worker.precision == "float32"
    milliseconds = worker.steps(3)
    assert len(milliseconds) == 3
    assert all(ms >= 10 for ms in milliseconds)


def test_the_first_steps_are_taken_before_it_is_ready(work):
    assert all(ms < 300 for ms in work("slow_at_first", first_steps=2).steps(2))


def test_threads_are_set_before_anything_is_built(work):
    assert work("counts_threads", threads=2, wanted=2).steps(1)


def test_memory_is_the_process_own(work):
    small, large = work("hoards", megabytes=1), work("hoards", megabytes=200)
    small.steps(1)
    large.steps(1)
    difference = large.peak_memory_bytes() - small.peak_memory_bytes()
    assert 150 << 20 < difference < 250 << 20


def test_what_a_process_prints_goes_nowhere():
    assert call(output_devices) == [Path(os.devnull).stat().st_rdev] * 2


@pytest.mark.parametrize(
    ("function", "settings", "says"),
    [
        ("raises", {"text": "it is\nall wrong"}, "ValueError: it is"),
        (
            "misses",
            {"module": "a_module_of_nobody"},
            "ModuleNotFoundError: No module named 'a_module_of_nobody'",
        ),
        ("exits", {}, "its process ended with exit code 7"),
    ],
)
def test_who_cannot_be_built_says_why(function, settings, says):
    with pytest.raises(Failed) as caught:
        Worker(contender(getattr(bench_fakes, function), **settings), TINY, 1)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("fails_later", "RuntimeError: no more"),
        ("is_killed", "its process was ended by SIGKILL (out of memory?)"),
    ],
)
def test_who_fails_later_says_why(function, says, work):
    worker = work(function)
    with pytest.raises(Failed) as caught:
        worker.steps(1)
    assert str(caught.value) == says


def test_ctrl_c_is_not_for_workers_and_close_ends_them(work):
    worker = work("steady")
    os.kill(worker._process.pid, signal.SIGINT)
    assert len(worker.steps(2)) == 2
    worker.close()
    assert not worker._process.is_alive()


def test_call_computes_elsewhere():
    assert call(os.getpid) != os.getpid()
    with pytest.raises(Failed, match="ZeroDivisionError: integer"):
        call(divmod, 1, 0)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            ModuleNotFoundError("No module", name="snntorch"),
            "needs snntorch: pip install 'spikeduel[bench]'",
        ),
        (
            ModuleNotFoundError("No module", name="spikingjelly.activation_based"),
            "needs spikingjelly: pip install 'spikeduel[bench]'",
        ),
        (
            OSError("cannot open /home/someone/.cache/x-1/lib.so: no"),
            "OSError: cannot open lib.so: no",
        ),
        (ValueError("1/2 of it, and/or more"), "ValueError: 1/2 of it, and/or more"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_is_one_line_without_the_folders_of_the_machine(error, says):
    assert in_one_line(error) == says
