"""Trials by several processes: the same numbers as one after another, whatever happens."""

import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import made_recordings as moving
from factories import planned
from forked import Forked
from made_jobs import EXPERIMENT, numbers, run
from spikeduel import data
from spikeduel.data.catalogue import binned
from spikeduel.experiment.settings import Experiment
from spikeduel.system import files, load, signals
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training.jobs import MAX_LOSSES, Job, Message, Pool, Processes, Workers
from spikeduel.training.store import Store
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")

TWO_CORES = pytest.mark.skipif(len(load.cores()) < 2, reason="this machine lends a single core")


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The store of the trials of `EXPERIMENT`, one after another with one thread."""
    threads, root = torch.get_num_threads(), tmp_path_factory.mktemp("serial")
    with Workers(1) as workers:
        run(workers, root)
    torch.set_num_threads(threads)
    return root


class Killing(Telling):
    """Kills the process that trains, once."""

    def __init__(self, workers: Processes):
        super().__init__()
        self.workers, self.is_due = workers, True

    def epoch(self, title, epochs, num_epochs):
        super().epoch(title, epochs, num_epochs)
        if self.is_due:
            self.is_due = False
            worker = next(worker for worker in self.workers._workers if worker.key)
            worker.process.kill()
            worker.process.join()


@TWO_CORES
def test_processes_end_in_the_numbers_of_one_after_another_even_if_killed(serial, tmp_path):
    with Processes(2, threads=1) as workers:
        log = Killing(workers)
        records = run(workers, tmp_path, log)
        assert [record.settings["contender"] for record in records] == ["dense-lif", "dense-relu"]
        assert numbers(tmp_path) == numbers(serial)
        assert sum("SIGKILL" in line for line in log.messages) == 1
        # All jobs share one copy of the data.
        assert len(workers._places) == 1
        # Trials of the store go to no worker.
        epochs = log.trained
        run(workers, tmp_path, log)
    assert log.trained == epochs
    assert log.found == len(records)
    assert Store(tmp_path).trials() == Store(serial).trials()
    ledgers = [(root / "ledger.jsonl").read_text().splitlines() for root in (tmp_path, serial)]
    assert len(ledgers[0]) == len(ledgers[1])


class Losing(Pool):
    """Loses every worker."""

    worker_name = "its process"

    def begin(self, job, store):
        self.key = job.key

    def messages(self):
        return [Message(self.key, "lost", ("killed by SIGKILL",))]


def test_a_trial_that_costs_process_after_process_is_recorded_as_failed(tmp_path):
    one = replace(EXPERIMENT, contenders=("dense-relu",))
    log = Telling()
    (record,) = run(Losing(), tmp_path, log, one)
    assert record.status == "failed"
    assert "SIGKILL" in record.error
    assert sum("begins again" in line for line in log.messages) == MAX_LOSSES - 1
    assert Store(tmp_path).record(record.key) is None


def test_a_trial_that_costs_process_after_process_when_measured_keeps_its_training(
    serial, tmp_path
):
    store = Store(shutil.copytree(serial, tmp_path / "store"))
    _, (trial, _) = planned(EXPERIMENT)
    store.measure_path(trial.key, "classification").unlink()
    record, _ = run(Losing(), store.root)
    assert record == store.record(trial.key) == Store(serial).record(trial.key)
    assert store.failed_measures(trial.key).keys() == {"classification"}


def test_equal_sets_are_placed_once(tmp_path):
    moving.directions(tmp_path / "bars", 4)
    recorded = Experiment(dataset=str(tmp_path / "bars"))
    prepared, (_, (trial, _)) = data.load(recorded), planned(EXPERIMENT)
    with Processes(1, threads=1) as workers:
        merged, again, collapsed = (
            workers.place_of_data(Job(trial, binned(prepared, recorded, None, change), Telling()))
            for change in ("merged", "merged", "collapsed")
        )
    assert merged is again is not collapsed


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is played by /dev/full")
def test_a_full_disk_ends_the_run_and_is_named(tmp_path, monkeypatch):
    made = tempfile.mkdtemp

    def without_room(*args, **kwargs):
        folder = made(*args, **kwargs)
        Path(folder, "0.bin").symlink_to("/dev/full")
        return folder

    with Processes(1, threads=1) as workers:
        monkeypatch.setattr(tempfile, "mkdtemp", without_room)
        with pytest.raises(InputError, match=r"cannot write to .*make room"):
            run(workers, tmp_path)
    assert not workers._workers
    assert not list(files.cache_dir().glob(".scratch.*"))


@pytest.mark.parametrize(("num_jobs", "threads"), [(0, None), (10_000, None), (1, 10_000), (1, 0)])
def test_more_than_the_cores_is_refused(num_jobs, threads):
    with pytest.raises(InputError, match="core"):
        Processes(num_jobs, threads)


def endless():
    """A program that trains in a process of its own, for ever."""
    prepared, (trial,) = planned(replace(EXPERIMENT, contenders=("dense-relu",), epochs=100_000))
    with signals.heard(), Processes(1, threads=1) as workers:
        workers.run([Job(trial, prepared, Progress())], Store("trained"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running(sent, tmp_path):
    program = Forked(endless)
    try:
        until(lambda: list(tmp_path.glob("trained/*/checkpoint.pt")))
        below = children(program.pid)
        assert below
        os.kill(program.pid, sent)
        until(lambda: not any(map(is_alive, [program.pid, *below])))
    finally:
        os.kill(program.pid, signal.SIGKILL)
    program.ended()


def until(is_so, seconds=300.0):
    """Waits until `is_so`."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
