"""Trials by several processes, and on a Ray cluster: the same numbers as one after another,
whatever happens.
"""

import os
import shutil
import signal
import socket
import subprocess
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
from spikeduel import data
from spikeduel.data.catalogue import binned
from spikeduel.settings import Experiment
from spikeduel.settings.recipes import baseline
from spikeduel.system import files, hardware
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.trials import clusters, contenders
from spikeduel.trials.clusters import PROCESS_BYTES, Cluster, PackedTrial
from spikeduel.trials.jobs import MOST_LOSSES, Job, Processes, Task, Workers
from spikeduel.trials.store import Store
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")

EXPERIMENT = baseline(
    dataset="digits",
    contenders=("dense-lif", "dense-relu"),
    start="twin",
    hidden=16,
    num_steps=2,
    epochs=2,
    seeds=2,
    batch_size=64,
    learning_rate=5e-3,
    device="cpu",
    encoding="direct",
    limit=300,
)
LONG = replace(EXPERIMENT, epochs=60, patience=None)
"""The same, so long that a trial is under way when its news are heard."""
TWO_CORES = pytest.mark.skipif(len(hardware.cores()) < 2, reason="this machine lends a single core")


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """The store of the trials of `EXPERIMENT`, one after another with one thread."""
    threads, root = torch.get_num_threads(), tmp_path_factory.mktemp("serial")
    with Workers(1) as workers:
        run(workers, root)
    torch.set_num_threads(threads)
    return root


def run(workers: Workers, root: Path, progress=None, experiment=EXPERIMENT):
    prepared = data.load(experiment)
    trials = contenders.trials_of(experiment, prepared, data.split(prepared, experiment))
    progress = progress or Telling()
    return workers.run([Job(each, prepared, progress) for each in trials], Store(root))


def numbers(root: Path) -> dict[str, bytes]:
    """Return the content of all files of a store that hold no times."""
    names = [
        *root.glob("*/model.safetensors"),
        *root.glob("*/measures/*.json"),
    ]
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in names
        if path.name != "latency.json"
    }


@TWO_CORES
def test_processes_end_in_the_numbers_of_one_after_another(serial, tmp_path):
    told = Telling()
    with Processes(2, threads=1) as workers:
        records = run(workers, tmp_path, told)
        assert [each.settings["contender"] for each in records] == ["dense-lif", "dense-relu"] * 2
        assert numbers(tmp_path) == numbers(serial)
        assert told.trained == 8
        # All jobs share one copy of the data.
        assert len(workers._places) == 1
        # Trials of the store go to no worker.
        run(workers, tmp_path, told)
    assert told.trained == 8
    assert told.found == 4
    assert Store(tmp_path).trials() == Store(serial).trials()
    uses = [root / "ledger.jsonl" for root in (tmp_path, serial)]
    assert len({len(path.read_text().splitlines()) for path in uses}) == 1


class Killing(Telling):
    """Kills the process that trains, up to `times` times."""

    def __init__(self, workers: Processes, times: int):
        super().__init__()
        self.workers, self.times = workers, times

    def epoch(self, title, epochs, num_epochs):
        super().epoch(title, epochs, num_epochs)
        busy = [worker.process for worker in self.workers._workers.values() if worker.key]
        if self.times and busy[0].is_alive():
            self.times -= 1
            busy[0].kill()
            busy[0].join()


def test_a_killed_process_costs_nothing_but_time(serial, tmp_path):
    with Processes(1, threads=1) as workers:
        told = Killing(workers, 2)
        records = run(workers, tmp_path, told)
    assert [each.status for each in records] == ["done"] * 4
    assert numbers(tmp_path) == numbers(serial)
    assert sum("SIGKILL" in line for line in told.said) == 2


def test_a_trial_that_costs_process_after_process_is_recorded_as_failed(tmp_path):
    one = replace(EXPERIMENT, contenders=("dense-relu",), seeds=1, epochs=MOST_LOSSES + 2)
    with Processes(1, threads=1) as workers:
        (record,) = run(workers, tmp_path, Killing(workers, MOST_LOSSES), one)
    assert record.status == "failed"
    assert "SIGKILL" in record.error
    assert Store(tmp_path).record(record.key) is None


def test_a_trial_that_costs_process_after_process_when_measured_keeps_its_training(
    serial, tmp_path
):
    store = Store(shutil.copytree(serial, tmp_path / "store"))
    prepared = data.load(EXPERIMENT)
    planned, *_ = contenders.trials_of(EXPERIMENT, prepared, data.split(prepared, EXPERIMENT))
    store.measure_path(planned.key, "classification").unlink()
    with Processes(1, threads=1) as workers:
        record = workers.given_up(Job(planned, prepared, Telling()), "killed", store)
    assert record == store.record(planned.key) == Store(serial).record(planned.key)
    assert store.failed_measures(planned.key).keys() == {"classification"}


def test_equal_sets_are_placed_once(tmp_path):
    moving.directions(tmp_path / "bars", 4)
    recorded = Experiment(dataset=str(tmp_path / "bars"))
    prepared = data.load(recorded)
    planned, *_ = contenders.trials_of(
        EXPERIMENT, known := data.load(EXPERIMENT), data.split(known, EXPERIMENT)
    )
    with Processes(1, threads=1) as workers:

        def place(change):
            return workers.place_of_data(
                Job(planned, binned(prepared, recorded, None, change), Telling())
            )

        assert place("merged") == place("merged")
        assert place("merged") != place("collapsed")


def test_workers_of_another_version_are_refused(serial):
    prepared = data.load(EXPERIMENT)
    planned, *_ = contenders.trials_of(EXPERIMENT, prepared, data.split(prepared, EXPERIMENT))
    task = Task(planned, test=True)
    message, packed = clusters._work(task, "spikeduel 0.0.1", None, [], (1, 1), None)
    assert (message.event, packed) == ("ended", None)
    assert "0.0.1" in str(message.arguments[0])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is played by /dev/full")
def test_a_full_temporary_folder_ends_the_run_and_is_named(tmp_path, monkeypatch):
    made = tempfile.mkdtemp

    def without_room(*args, **kwargs):
        folder = made(*args, **kwargs)
        for file in ("0.bin", "data.pickle"):
            Path(folder, file).symlink_to("/dev/full")
        return folder

    with Processes(1, threads=1) as workers:
        monkeypatch.setattr(tempfile, "mkdtemp", without_room)
        with pytest.raises(InputError, match="TMPDIR") as error:
            run(workers, tmp_path)
    assert workers._folder.name in str(error.value)


@pytest.mark.parametrize(("jobs", "threads"), [(0, None), (10_000, None), (1, 10_000), (1, 0)])
def test_more_than_the_cores_is_refused(jobs, threads):
    with pytest.raises(InputError, match="core"):
        Processes(jobs, threads)


COMMAND = (
    *(
        sys.executable,
        "-m",
        "spikeduel",
        "compare",
        "digits",
        "--recipe",
        "baseline",
        "--epochs",
        "500",
    ),
    *("--patience", "", "--jobs", "1", "--seeds", "3", "--store", "trained"),
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running(sent, tmp_path):
    with subprocess.Popen(
        COMMAND, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as command:
        try:
            until(lambda: list(tmp_path.glob("trained/*/checkpoint.pt")))
            below = children(command.pid)
            assert below
            command.send_signal(sent)
            command.wait(30)
            until(lambda: not any(map(is_alive, below)))
        finally:
            command.kill()
    assert list(tmp_path.glob("trained/*/checkpoint.pt"))


def until(is_so, seconds=300.0):
    """Waits until `is_so`."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


GB = 10**9
NODES = [
    {"Alive": True, "Resources": {"CPU": 2.0, "memory": 16.0 * GB}},
    {"Alive": True, "Resources": {"CPU": 1.0, "GPU": 1.0, "memory": 4.0 * GB}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0, "memory": 500.0 * GB}},
]
"""What Ray says of two nodes that live and one that does not."""


@pytest.mark.parametrize(
    ("threads", "device", "size", "asked"),
    [
        (2, "cpu", 3 * GB, 3 * GB + PROCESS_BYTES),
        # A loader leaves it in its file: wherever it is, or on those nodes that have a GPU.
        (2, "cpu", 100 * GB, PROCESS_BYTES),
        (1, "cuda", 3 * GB, PROCESS_BYTES),
        (3, "cpu", GB, None),
        (2, "cuda", GB, None),
    ],
)
def test_ray_is_not_asked_for_what_no_node_has(threads, device, size, asked):
    pytest.importorskip("ray", reason="needs the extra [cluster]")
    workers = Cluster("local", threads)
    workers.ray = SimpleNamespace(nodes=lambda: NODES)
    prepared = SimpleNamespace(images=SimpleNamespace(nbytes=size))
    job = SimpleNamespace(trial=SimpleNamespace(settings={"device": device}), prepared=prepared)
    if asked is None:
        with pytest.raises(InputError, match="--threads"):
            workers.begin(job, Store())
    else:
        assert workers._needs(job) == {
            "CPU": threads,
            "GPU": int(device == "cuda"),
            "memory": asked,
        }


def test_an_address_is_tried_before_ray_does():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "auto", "local"):
            clusters._require_answer(address)
    with pytest.raises(OSError, match="refused"):
        clusters._require_answer(f"127.0.0.1:{port}")


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
    job = SimpleNamespace(
        key="a", trial=SimpleNamespace(twin=None), test=True, announce=lambda: None
    )
    with pytest.raises(SpikeduelError, match="ActorUnavailableError"):
        workers.run([job], Store())


CLUSTER = """
import os, sys
from pathlib import Path
from ray.cluster_utils import Cluster as Nodes
sys.path.insert(0, sys.argv[1])
from test_jobs import LONG, run
from telling import Telling
from spikeduel.trials.clusters import Cluster

node = {"num_cpus": 1, "object_store_memory": 100_000_000}
nodes = Nodes(initialize_head=True, head_node_args={**node, "include_dashboard": False})
second = nodes.add_node(**node)


class Killing(Telling):
    training = set()

    def epoch(self, title, epochs, num_epochs):
        global second
        super().epoch(title, epochs, num_epochs)
        self.training.add(title)
        if second and len(self.training) == 2:  # each node trains, with its one core
            nodes.remove_node(second, allow_graceful=False)
            second = None

    def finished(self, title, outcome):
        super().finished(title, outcome)
        self.training.discard(title)


told = Killing()
with Cluster(nodes.address) as workers:
    assert workers.at_once == 2
    run(workers, Path(sys.argv[2]), told, LONG)
assert second is None
print(sum("begins again" in line for line in told.said))
nodes.shutdown()
"""


def test_a_ray_cluster_that_loses_a_node_ends_in_the_same_numbers(tmp_path):
    pytest.importorskip("ray", reason="needs the extra [cluster]")
    threads = torch.get_num_threads()
    with Workers(1) as workers:
        run(workers, tmp_path / "serial", experiment=LONG)
    torch.set_num_threads(threads)
    given = [sys.executable, "-c", CLUSTER, str(Path(__file__).parent), str(tmp_path / "cluster")]
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path]
    paths = os.pathsep.join(folders)
    done = subprocess.run(
        given, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert numbers(tmp_path / "cluster") == numbers(tmp_path / "serial")
    # What ran on the lost node, and nothing else.
    assert int(done.stdout.split()[-1]) == 1


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
    assert sorted(path.name for path in here.folder(KEY).glob("measures/*")) == [
        "classification.json",
        "latency.json",
    ]
    assert PackedTrial.of(here, KEY) == PackedTrial.of(there, KEY)
