"""Trials on a Ray cluster: the same numbers as in this process, whatever happens."""

import os
import signal
import socket
import sys
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from typer.testing import CliRunner

from factories import planned
from forked import Forked
from made_jobs import EXPERIMENT, numbers, run
from spikeduel.cli import app
from spikeduel.features.cluster import ray_cluster
from spikeduel.features.cluster.ray_cluster import Cluster, PackedTrial, keeping_sigterm_handler
from spikeduel.system import files, signals
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.training.jobs import Workers
from spikeduel.training.store import Store
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")

NODES = [
    {"Alive": True, "Resources": {"CPU": 2.0}},
    {"Alive": True, "Resources": {"CPU": 1.0, "GPU": 1.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]
"""Ray's account of two nodes that live and one that does not."""


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--ray", "local"], 143, "stopped"),
        (["--ray", "local", "--threads", "3"], 143, "stopped"),
        ([], 143, "stopped"),
        (["--ray", "local", "--jobs", "1"], 2, "--jobs is for this machine, and --ray for a"),
    ],
)
def test_the_command_trains_on_the_cluster(options, code, text, monkeypatch, tmp_path):
    made = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_cluster, "Cluster", lambda *given: made.append(given) or Workers())
    stopped = MagicMock(side_effect=signals.Stopped(signal.SIGTERM))
    monkeypatch.setattr("spikeduel.comparing.prepare", stopped)
    done = CliRunner().invoke(app, ["compare", "digits", "-q", *options])
    assert (done.exit_code, text in done.stderr) == (code, True), done.stderr
    threads = 3 if "--threads" in options else 1
    assert made == ([("local", threads)] if "local" in options and code == 143 else [])


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
            ray_cluster._require_response(address)
    with pytest.raises(OSError, match="refused"):
        ray_cluster._require_response(f"127.0.0.1:{port}")


def test_a_ray_cluster_that_has_ended_is_an_error(monkeypatch):
    exceptions = pytest.importorskip("ray", reason="needs the extra [cluster]").exceptions
    workers = Cluster("auto")
    workers._mailbox = MagicMock()
    workers._mailbox.qsize.side_effect = exceptions.ActorUnavailableError("gone", None)
    workers.ray = SimpleNamespace(
        exceptions=exceptions,
        wait=lambda *given, **more: ([], []),
    )
    monkeypatch.setattr(workers, "begin", lambda job, store: None)
    monkeypatch.setattr("spikeduel.training.trial.is_whole", lambda *given: False)
    job = SimpleNamespace(key="a", trial=SimpleNamespace(), test=True)
    with pytest.raises(SpikeduelError, match="ActorUnavailableError"):
        workers.run([job], Store())


def test_workers_of_another_version_are_refused():
    _, (trial, _) = planned(EXPERIMENT)
    message, packed = ray_cluster._work_on_node(trial, None, True, "spikeduel 0.0.1", [], 1, None)
    assert (message.event, packed) == ("ended", None)
    assert "0.0.1" in str(message.arguments[0])


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
        progress = Telling()
        with Cluster("local") as workers:
            run(workers, tmp_path / "cluster", progress, experiment)
        with Workers(1) as workers:
            run(workers, tmp_path / "serial", experiment=experiment)
        print(sum("begins again" in line for line in progress.messages))

    code, lines = Forked(on_cluster).ended()
    assert code == 0, "\n".join(lines)
    # What ran in the lost worker, and nothing else.
    assert (lost.is_file(), lines[-1]) == (True, "1")
    assert numbers(tmp_path / "cluster") == numbers(tmp_path / "serial") != {}


def test_ray_keeps_no_handler():
    with signals.heard():
        ours = signal.getsignal(signal.SIGTERM)
        with keeping_sigterm_handler():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is ours


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
