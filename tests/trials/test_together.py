import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import made_together
from spikeduel import data
from spikeduel.networks import building, sharing
from spikeduel.networks.architectures import ARCHITECTURES
from spikeduel.networks.models import Model
from spikeduel.networks.training_step import TrainingStep
from spikeduel.settings.recipes import baseline
from spikeduel.spiking.neurons import NEURONS
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system import hardware, teams
from spikeduel.system.progress import Progress
from spikeduel.trials import planning, together
from spikeduel.trials.store import Store

TESTS = Path(made_together.__file__).parent
PATIENCE = 240
CLOSE = {"muon": 1e-3}
"""Muon makes its steps in bf16."""
COMMAND = [
    sys.executable,
    "-m",
    "spikeduel",
    "train",
    "digits",
    "--device",
    "cpu",
    "--precision",
    "32",
]
FAILING = """
import os
from spikeduel.networks.architectures import SmallCNN

class Net(SmallCNN):
    calls = 0

    def forward(self, x):
        self.calls += self.training
        if self.calls == 3 and os.environ.get("RANK") == "{rank}":
            raise ValueError("planted")
        return super().forward(x)
"""
needs_two_cores = pytest.mark.skipif(
    (os.cpu_count() or 1) < 2, reason="a process needs a core of its own"
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


class AfterOneEpoch(Progress):
    def epoch(self, title, accuracies, num_epochs):
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return made_together.told(tmp_path_factory.mktemp("alone"))


@pytest.mark.parametrize("number", [2, 4])
def test_several_processes_train_to_the_numbers_of_one(number, alone, tmp_path):
    with pytest.raises(KeyboardInterrupt):  # one process begins what several go on with
        made_together.loop("gone on", tmp_path / "gone on.pt", AfterOneEpoch()).run()
    program = [str(TESTS / "made_together.py"), str(tmp_path), str(tmp_path / "found.json")]
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(number),
        *program,
    ]
    done = subprocess.run(run, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    for name, expected in alone.items():
        history, its = found[name]["history"], expected["history"]
        assert len(history) == len(its), name
        for here, there in zip(history, its, strict=True):
            assert here["train_loss"] == pytest.approx(
                there["train_loss"], rel=CLOSE.get(name, 1e-5)
            ), name
            assert here["train_accuracy"] == pytest.approx(there["train_accuracy"], abs=2 / 135), (
                name
            )
        difference = np.subtract(found[name]["weights"], expected["weights"])
        allowed = 10 * CLOSE.get(name, 1e-4)
        assert np.linalg.norm(difference) < allowed * np.linalg.norm(expected["weights"]), name


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_which_networks_use_all_their_weights_is_known(name, neuron):
    experiment = baseline(
        "digits",
        contenders=(name,),
        neuron=neuron,
        num_steps=1,
        hidden=16,
        limit=50,
        device="cpu",
        precision="32",
    )
    prepared = data.load(experiment)
    card = planning.describe(name, experiment, prepared)
    model = Model(building.build(card), card, card.precision)
    model.module.train()
    images, labels = (torch.as_tensor(np.asarray(each[:8])) for each in prepared.held)
    TrainingStep(model, experiment, 1)(images, labels, RandomKeys.for_training(0, 0, np.arange(8)))
    unused = [weights for weights in model.module.parameters() if weights.grad is None]
    assert sharing.has_use_for_all(model.module) == (not unused)


def test_all_processes_compute_with_as_many_threads(tmp_path, monkeypatch):
    told, found = [], []
    monkeypatch.setattr(hardware, "num_processes", lambda: 2)
    monkeypatch.setattr(together, "_joined", lambda loop: None)
    monkeypatch.setattr(teams, "call", told.append)
    monkeypatch.setattr(
        teams, "agree", lambda failure: found.append((failure, torch.get_num_threads()))
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        together.train(made_together.loop("bf16", tmp_path / "checkpoint.pt"))
        torch.set_num_threads(1)
        monkeypatch.setattr(teams, "called", iter([*told, None]).__next__)
        together._follow()
    finally:
        torch.set_num_threads(before)
    assert found == [(None, 3), (None, 3)]


def processes_of(parent):
    """The processes that one has started, by their rank."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = {}
    for child in children:
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found |= {int(each[5:]): int(child) for each in variables if each.startswith(b"RANK=")}
    return found


def are_gone(*ids):
    until = time.monotonic() + 30
    while any(Path(f"/proc/{each}").exists() for each in ids):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@needs_two_cores
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize(
    ("whom", "number", "code", "said"),
    [
        (1, signal.SIGKILL, 1, "process 2 of 2 was killed (SIGKILL)"),
        (0, signal.SIGKILL, 1, "process 1 of 2 was killed (SIGKILL)"),
        (0, signal.SIGINT, 130, "stopped. Finished epochs are saved"),
        (None, signal.SIGINT, 130, "stopped. Finished epochs are saved"),
        (None, signal.SIGTERM, 143, "stopped. Finished epochs are saved"),
        (None, signal.SIGKILL, -9, ""),
    ],
    ids=[
        "a follower killed",
        "the first killed",
        "the first interrupted",
        "interrupted",
        "ended",
        "torchrun killed",
    ],
)
def test_the_end_of_one_process_is_that_of_all(whom, number, code, said, tmp_path, monkeypatch):
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    command = [
        *COMMAND,
        "--contender",
        "small-cnn",
        "--epochs",
        "100000",
        "--devices",
        "2",
        "--verbose",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "epoch 2/" in line:
                break
        started = processes_of(process.pid)
        assert sorted(started) == [0, 1]
        os.kill(process.pid if whom is None else started[whom], number)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert said in errors
    assert are_gone(*started.values())
    assert not list(temporary.iterdir())


@needs_two_cores
@pytest.mark.parametrize("rank", [0, 1])
def test_what_fails_in_one_process_fails_the_trial_and_no_other(rank, tmp_path):
    (tmp_path / "failing.py").write_text(FAILING.format(rank=rank))
    contenders = ["--contender", "failing:Net", "--contender", "small-cnn"]
    command = [*COMMAND, *contenders, "--epochs", "1", "--limit", "300", "--devices", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 3, done.stderr
    store = Store()
    records = {each.settings["contender"]: each for each in map(store._record, store.trials())}
    assert records["small-cnn"].status == "done"
    assert records["small-cnn"].environment["processes"] == 2
    assert records["failing:Net"].status == "failed"
    assert "ValueError: planted" in records["failing:Net"].error


@needs_two_cores
def test_a_full_temporary_folder_ends_all_of_them_and_is_named():
    command = [
        *COMMAND,
        "--contender",
        "small-cnn",
        "--epochs",
        "1",
        "--limit",
        "300",
        "--devices",
        "2",
    ]
    # No file may become larger than 1 MiB, which is less than the processes share.
    small = ["bash", "-c", 'ulimit -f 1024; exec "$@"', "bash"]
    done = subprocess.run([*small, *command], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 2, done.stderr
    assert f"cannot write to {tempfile.gettempdir()}" in done.stderr


@needs_two_cores
def test_a_mistake_is_told_once_and_as_ever():
    done = subprocess.run(
        [*COMMAND, "--contender", "small-cmm", "--devices", "2"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert "unknown contender 'small-cmm'" in done.stderr
