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


RECIPES: dict[str, Callable[..., Experiment]] = {"baseline": baseline}
