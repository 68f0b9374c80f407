import importlib.util
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from spikeduel.system import hardware

# A copy of the module, for the tests' own is told that the machine is idle.
spec = importlib.util.find_spec("spikeduel.system.load")
load = importlib.util.module_from_spec(spec)
spec.loader.exec_module(load)


@contextmanager
def another_busy_process():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            yield
        finally:
            other.kill()


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="the system does not tell")
def test_load_that_has_ended_is_no_load(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    if Path("/proc/loadavg").exists():
        assert 0 <= load.load_average() < 1000
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert load.load_average() == 0


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="the system does not tell")
def test_load_of_others_is_not_taken_for_own_threads_that_have_ended(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            assert load.load_average(own_threads=8) >= 9
        finally:
            other.kill()


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


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not tell")
def test_what_other_processes_use_is_measured_and_the_own_is_left_out(monkeypatch):
    one_core = hardware.cores()[:1]
    monkeypatch.setattr(load.time, "sleep", busy_for)
    idle = load.used_by_others(one_core)
    with another_busy_process(), another_busy_process(), another_busy_process():
        assert load.used_by_others(hardware.cores()) > 0.25
    assert 0 <= idle <= 1


def busy_for(seconds):
    """Keep a core busy, so that only its use by others may count."""
    end = load.time.process_time() + seconds / 2
    while load.time.process_time() < end:
        pass


@pytest.fixture
def eight_threads(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(hardware, "cores", lambda: list(range(8)))
    monkeypatch.setattr(hardware, "_chosen_threads", [])
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("used", "threads"), [(0.0, 8), (0.4, 8), (1.0, 7), (2.6, 5), (7.0, 1), (8.0, 1)]
)
def test_a_training_takes_as_many_threads_as_there_are_free_cores(
    eight_threads, monkeypatch, used, threads
):
    monkeypatch.setattr("spikeduel.system.load.used_by_others", lambda cores: used)
    told = []
    with hardware.threads_on_free_cores(told.append):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 8
    assert len(told) == (threads < 8)
    assert all(f"{threads} of 8 threads" in text for text in told)


def test_a_number_of_threads_that_was_chosen_is_kept(eight_threads, monkeypatch):
    monkeypatch.setattr("spikeduel.system.load.used_by_others", lambda cores: 4.0)
    hardware.compute_on(6)
    with hardware.threads_on_free_cores():
        assert torch.get_num_threads() == 6
    hardware.compute_on(6, chosen=False)
    with hardware.threads_on_free_cores():
        assert torch.get_num_threads() == 4
