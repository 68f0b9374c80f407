"""Trials by several processes, and on a Ray cluster: the same numbers as one after another,
whatever happens.
"""

import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch

import made_recordings as moving
from factories import planned, small_experiment
from forked import Forked
from spikeduel import data
from spikeduel.data.catalogue import binned
from spikeduel.settings import Experiment
from spikeduel.system import files, load, signals
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.trials import jobs
from spikeduel.trials.jobs import (
    MOST_LOSSES,
    Cluster,
    Job,
    Message,
    PackedTrial,
    Pool,
    Processes,
    Workers,
)
from spikeduel.trials.store import Store
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")

EXPERIMENT = small_experiment(
    contenders=("dense-lif", "dense-relu"),
    start="relu",
    hidden=16,
    num_steps=2,
    epochs=8,
    patience=None,
    encoding="direct",
    limit=300,
)
TWO_CORES = pytest.mark.skipif(len(load.cores()) < 2, reason="this machine lends a single core")


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The store of the trials of `EXPERIMENT`, one after another with one thread."""
    threads, root = torch.get_num_threads(), tmp_path_factory.mktemp("serial")
    with Workers(1) as workers:
        run(workers, root)
    torch.set_num_threads(threads)
    return root


def run(workers: Workers, root: Path, progress=None, experiment=EXPERIMENT):
    prepared, trials = planned(experiment)
    jobs = [Job(trial, prepared, progress or Telling()) for trial in trials]
    return workers.run(jobs, Store(root))


def numbers(root: Path) -> dict[str, bytes]:
    """Return the content of all files of a store that hold no times."""
    names = [*root.glob("*/model.safetensors"), *root.glob("*/measures/*.json")]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in names
        if path.name != "latency.json"
    }


class Killing(Telling):
    """Kills the process that trains, once."""

    def __init__(self, workers: Processes):
        super().__init__()
        self.workers, self.is_due = workers, True

    def epoch(self, title, epochs, num_epochs):
        super().epoch(title, epochs, num_epochs)
        if self.is_due:
            self.is_due = False
            worker, _ = next(iter(self.workers._busy.values()))
            worker.process.kill()
            worker.process.join()


@TWO_CORES
def test_processes_end_in_the_numbers_of_one_after_another_even_if_killed(serial, tmp_path):
    with Processes(2, threads=1) as workers:
        told = Killing(workers)
        records = run(workers, tmp_path, told)
        assert [record.settings["contender"] for record in records] == ["dense-lif", "dense-relu"]
        assert numbers(tmp_path) == numbers(serial)
        assert sum("SIGKILL" in line for line in told.said) == 1
        # All jobs share one copy of the data.
        assert len(workers._places) == 1
        # Trials of the store go to no worker.
        epochs = told.trained
        run(workers, tmp_path, told)
    assert told.trained == epochs
    assert told.found == len(records)
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
    told = Telling()
    (record,) = run(Losing(), tmp_path, told, one)
    assert record.status == "failed"
    assert "SIGKILL" in record.error
    assert sum("begins again" in line for line in told.said) == MOST_LOSSES - 1
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


def test_workers_of_another_version_are_refused():
    _, (trial, _) = planned(EXPERIMENT)
    message, packed = jobs._work_on_node(trial, None, True, "spikeduel 0.0.1", [], 1, None)
    assert (message.event, packed) == ("ended", None)
    assert "0.0.1" in str(message.arguments[0])


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
    assert not workers._idle
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


NODES = [
    {"Alive": True, "Resources": {"CPU": 2.0}},
    {"Alive": True, "Resources": {"CPU": 1.0, "GPU": 1.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]
"""Ray's account of two nodes that live and one that does not."""


@pytest.mark.parametrize(("threads", "device"), [(3, "cpu"), (2, "cuda")])
def test_ray_is_not_asked_for_what_no_node_has(threads, device):
    pytest.importorskip("ray", reason="needs the extra [cluster]")
    workers = Cluster("local", threads)
    workers.ray = SimpleNamespace(nodes=lambda: NODES)
    job = SimpleNamespace(trial=SimpleNamespace(settings={"device": device}))
    with pytest.raises(InputError, match=r"The most that one has is 2 cores and 1 GPU.*--threads"):
        workers.begin(job, Store())


def test_an_address_is_tried_before_ray_does():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "auto", "local"):
            jobs._require_answer(address)
    with pytest.raises(OSError, match="refused"):
        jobs._require_answer(f"127.0.0.1:{port}")


def test_a_ray_cluster_that_has_ended_is_told(monkeypatch):
    exceptions = pytest.importorskip("ray", reason="needs the extra [cluster]").exceptions
    workers = Cluster("auto")
    workers._mailbox = MagicMock()
    workers._mailbox.qsize.side_effect = exceptions.ActorUnavailableError("gone", None)
    workers.ray = SimpleNamespace(
        exceptions=exceptions,
        wait=lambda *given, **more: ([], []),
    )
    monkeypatch.setattr(workers, "begin", lambda job, store: None)
    monkeypatch.setattr("spikeduel.trials.trial.is_whole", lambda *given: False)
    job = SimpleNamespace(key="a", trial=SimpleNamespace(), test=True)
    with pytest.raises(SpikeduelError, match="ActorUnavailableError"):
        workers.run([job], Store())


LETHAL = """
import os, signal
from itertools import count
from pathlib import Path

calls = count(1)


def once(images, keys):
    if next(calls) == 10:
        try:
            Path(__file__).with_name("lost").touch(exist_ok=False)
        except FileExistsError:
            return images
        os.kill(os.getpid(), signal.SIGKILL)
    return images
"""
"""An augmentation that kills the process, in an epoch after the first."""


def test_a_ray_cluster_that_loses_a_worker_ends_in_the_same_numbers(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="needs the extra [cluster]")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lethal.py").write_text(LETHAL)
    experiment, lost = replace(EXPERIMENT, augmentation="lethal:once"), tmp_path / "lost"

    def on_cluster():
        # Ray would start as many workers as there are cores, before any is needed.
        os.environ |= {"RAY_prestart_worker_first_driver": "0"}
        os.environ |= {"PYTHONPATH": os.pathsep.join(sys.path)}
        told = Telling()
        with Cluster("local") as workers:
            run(workers, tmp_path / "cluster", told, experiment)
        with Workers(1) as workers:
            run(workers, tmp_path / "serial", experiment=experiment)
        print(sum("begins again" in line for line in told.said))

    code, lines = Forked(on_cluster).ended()
    assert code == 0, "\n".join(lines)
    # What ran in the lost worker, and nothing else.
    assert (lost.is_file(), lines[-1]) == (True, "1")
    assert numbers(tmp_path / "cluster") == numbers(tmp_path / "serial") != {}


KEY = "0123456789abcdef"


def test_a_store_has_afterwards_what_the_other_one_has_and_no_more(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    here.save_failed_measures(KEY, {"latency": "no time"})
    here.save_measure(KEY, "classification", {"n": 1})
    files.write_text(here.checkpoint_path(KEY), "after the first epoch")
    PackedTrial.of(here, KEY).write_to(there)
    # The worker goes on, and finishes.
    there.checkpoint_path(KEY).unlink()
    there.save_failed_measures(KEY, {})
    there.save_measure(KEY, "latency", {"seconds": 1.0})
    PackedTrial.of(there, KEY).write_to(here)
    assert here.failed_measures(KEY) == {}
    assert not here.checkpoint_path(KEY).exists()
    names = sorted(path.name for path in here.folder(KEY).glob("measures/*"))
    assert names == ["classification.json", "latency.json"]
    assert PackedTrial.of(here, KEY) == PackedTrial.of(there, KEY)
