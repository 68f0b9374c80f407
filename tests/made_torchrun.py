"""Train short trainings in one process or under torchrun; a program for `test_torchrun.py`."""

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from spikeduel import data
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.settings.recipes import baseline
from spikeduel.system.progress import Progress
from spikeduel.trials import contenders, torchrun
from spikeduel.trials.training import Loop

# 135 images in batches of 67 leave 1 for the last batch: fewer than two processes.
FEW = {"limit": 150, "batch_size": 67, "device": "cpu", "precision": "32", "hidden": 32}
EXPERIMENTS = {
    "spiking": baseline("digits", contenders=("dense-snn",), num_steps=4, epochs=2, **FEW),
    "gone on": replace(baseline("digits", contenders=("small-cnn",), epochs=2, **FEW)),
}


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
        history = torchrun.train(training).history
        state = training.model.module.state_dict().values()
        weights = torch.cat([values.flatten().double() for values in state])
        outcomes[name] = {"history": history, "weights": weights.tolist()}
    return outcomes


if __name__ == "__main__":
    with torchrun.process_group() if "RANK" in os.environ else nullcontext():
        Path(sys.argv[2]).write_text(json.dumps(train_all(sys.argv[1])))
