"""Named experiments. A recipe is a function from a data set to an `Experiment`; a variant changes a few fields."""

from collections.abc import Callable
from typing import Any

from spikeduel.settings import Experiment

EPOCHS_OF_THE_EMBEDDED_SET = 4
"""So that the first run fits its minute on two cores."""


def baseline(dataset: str = "fashion-mnist-mini", **changes: Any) -> Experiment:
    """the 2023 study's two networks, settings and stopping rule, with rate encoding, as it describes it"""
    if dataset == "fashion-mnist-mini":
        changes = {"epochs": EPOCHS_OF_THE_EMBEDDED_SET, **changes}
    return Experiment(dataset=dataset, recipe="baseline", **changes)


def matched(dataset: str = "fashion-mnist-mini", **changes: Any) -> Experiment:
    """a dense and a convolutional shape, each with ReLU and with spiking neurons and the same weights, so that a
    difference between such twins is the neurons'; direct encoding over 4 steps, learning rate 1e-3, ten epochs
    """
    settings: dict[str, Any] = {
        "contenders": ("dense-lif", "dense-relu", "conv-lif", "conv-relu"),
        "encoding": "direct",
        "num_steps": 4,
        "hidden": 256,
        "learning_rate": 1e-3,
        "epochs": 10,
        # Ten epochs are too few for the study's stopping rule, which batch norm's unsteady losses would trigger.
        "patience": 10,
        "min_delta": 0.0,
    }
    return Experiment(dataset=dataset, recipe="matched", **{**settings, **changes})


RECIPES: dict[str, Callable[..., Experiment]] = {"baseline": baseline, "matched": matched}
