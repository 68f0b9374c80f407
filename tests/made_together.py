"""Short trainings that several processes share, for `tests/trials/test_together.py`; as a program,
in all of them.

135 images in batches of 33 leave 3 for the last one: parts of unequal size, and fewer images than four processes.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from spikeduel import data
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.settings.recipes import baseline, strong
from spikeduel.system.progress import Progress
from spikeduel.trials import planning, together
from spikeduel.trials.training import Loop

FEW = {
    "epochs": 1,
    "limit": 150,
    "batch_size": 33,
    "device": "cpu",
    "precision": "32",
    "start": "fresh",
}
STRONG = {
    **FEW,
    "optimizer": "adam",
    "width": 8,
    "num_steps": 2,
    "dropout": 0.0,
    "augmentation": "none",
}
SMALL = {**FEW, "hidden": 32, "num_steps": 4}

EXPERIMENTS = {
    "batch norm, fused": strong("digits", contenders=("vgg-lif",), **STRONG),
    "batch norm, torch's": strong("digits", contenders=("vgg-relu",), **STRONG),
    "dropout, mixup, rate": strong(
        "digits",
        contenders=("vgg-lif",),
        **{
            **STRONG,
            "dropout": 0.2,
            "augmentation": "translate-mixup",
            "encoding": "rate",
            "averaging": 0.5,
        },
    ),
    "its twin's answers": strong("digits", contenders=("vgg-lif",), **STRONG, distillation=0.5),
    "muon": strong("digits", contenders=("vgg-lif",), **{**STRONG, "optimizer": "muon"}),
    "bf16": baseline("digits", contenders=("dense-snn",), **{**SMALL, "precision": "bf16"}),
    "chunks of steps": baseline("digits", contenders=("dense-snn",), **SMALL, chunk_steps=2),
    "gone on": replace(
        baseline("digits", contenders=("small-cnn",), **SMALL), epochs=2, schedule="linear"
    ),
}


def loop(name, checkpoint, progress=None):
    """The training of this name from the start, or from the state at `checkpoint`."""
    experiment = EXPERIMENTS[name]
    prepared = data.load(experiment)
    card = planning.describe(experiment.contenders[0], experiment, prepared)
    card = replace(card, precision=experiment.precision)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Model(building.build(card), card, card.precision)
        twin = None
        if experiment.distillation:
            other = replace(card, contender="vgg-relu", family="cnn", encoding=None, num_steps=None)
            other = replace(other, network={"width": 8, "pooling": "max", "dropout": 0.0})
            twin = Model(building.build(other).eval(), other)
    split = data.split(prepared, experiment)
    return Loop(
        model, *prepared.held, split, experiment, checkpoint, progress or Progress(), twin=twin
    )


def told(folder):
    """What came of each training: its history, and its weights."""
    found = {}
    for name in EXPERIMENTS:
        each = loop(name, Path(folder) / f"{name}.pt")
        history = together.train(each).history
        weights = torch.cat(
            [value.flatten().double() for value in each.model.module.state_dict().values()]
        )
        found[name] = {"history": history, "weights": weights.tolist()}
    return found


if __name__ == "__main__":
    with together.joined(None):
        Path(sys.argv[2]).write_text(json.dumps(told(sys.argv[1])))
