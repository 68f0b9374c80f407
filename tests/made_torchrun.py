"""Short trainings in one process or under torchrun, for `test_torchrun.py`."""

import itertools
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from spikeduel import data
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.networks.training_step import TrainingStep
from spikeduel.settings.recipes import baseline
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.trials import contenders, trial
from spikeduel.trials.store import Store
from spikeduel.trials.training import Loop, process_group, train

# 135 images in batches of 67 leave 1 for the last batch: fewer than two processes.
FEW = {"limit": 150, "batch_size": 67, "device": "cpu", "precision": "32", "hidden": 32}
SPIKING = baseline("digits", contenders=("dense-snn",), num_steps=4, epochs=2, **FEW)
WITH_RELU = replace(SPIKING, start="relu", neuron="plif", epochs=4)
EXPERIMENTS = {
    "spiking": SPIKING,
    "with ReLU first": WITH_RELU,
    "gone on": baseline("digits", contenders=("small-cnn",), epochs=2, **FEW),
    "gone on after ReLU": WITH_RELU,
}
STEPS = 3 * (2 + 4 + 1 + 3)
"""Steps of all these trainings where the last two go on after an epoch."""


def loop(name, checkpoint, progress=None):
    """Return the training `name`, from its start or from the state at `checkpoint`."""
    experiment = EXPERIMENTS[name]
    prepared = data.load(experiment)
    card = contenders.describe(experiment.contenders[0], experiment, prepared).card
    card = replace(card, precision=experiment.precision)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(building.build(card), card, card.precision)
    split = data.split(prepared, experiment)
    return Loop(model, *prepared.held, split, experiment, checkpoint, progress or Progress())


def train_all(folder):
    """Return the history and the weights of every training; checkpoints are in `folder`."""
    outcomes = {}
    for name in EXPERIMENTS:
        training = loop(name, Path(folder) / f"{name}.pt")
        trained = train(training)
        state = training.model.module.state_dict().values()
        weights = torch.cat([values.flatten().double() for values in state])
        outcomes[name] = {
            "history": trained.history,
            "relu_epochs": trained.relu_epochs,
            "weights": weights.tolist(),
        }
    return outcomes


def plant(folder):
    """Note this process, and have a step of the second one fail in the third epoch of the trial."""
    (folder / "processes").mkdir(exist_ok=True)
    (folder / "processes" / os.environ["RANK"]).write_text(str(os.getpid()))
    train_step, calls = TrainingStep.__call__, itertools.count()

    def planted(step, *arguments, **more):
        if next(calls) == STEPS + 7 and os.environ["RANK"] == "1":
            raise ValueError("planted")
        return train_step(step, *arguments, **more)

    TrainingStep.__call__ = planted


def run_trial(store):
    experiment = replace(EXPERIMENTS["gone on"], epochs=1000, patience=None)
    prepared = data.load(experiment)
    (planned,) = contenders.trials_of(experiment, prepared, data.split(prepared, experiment))
    trial.run(planned, prepared, Store(store), Progress())


def main(folder):
    """Run the part of each process of torchrun."""
    plant(folder)
    try:
        with process_group():
            (folder / "outcomes.json").write_text(json.dumps(train_all(folder)))
            run_trial(folder / "store")
    except SpikeduelError as error:  # each process says its own, as the command does
        (folder / "said").mkdir(exist_ok=True)
        (folder / "said" / os.environ["RANK"]).write_text(str(error))
        raise


def torchrun(folder):
    """Do what `torchrun --standalone --nproc-per-node 2` does, in forks, which have loaded torch."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks while there are threads
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method="fork",
        max_restarts=0,
        monitor_interval=0.05,
    )
    elastic_launch(config, main)(folder)
