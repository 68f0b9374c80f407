"""Named experiments. A recipe is a function from a data set to an `Experiment`; a variant changes a few fields."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from spikeduel.settings import TUNABLE, Experiment

EMBEDDED = "fashion-mnist-mini"


def twins(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """a small convolutional network with spiking neurons against the same network with ReLU, weight for weight; direct
    encoding over 4 steps, learning rate 1e-3; ten epochs, or as many as 400 training steps take
    """
    if dataset == EMBEDDED:
        # So that the first run fits its minute on two cores.
        changes = {"epochs": 3, **changes}
    return Experiment(dataset=dataset, recipe="twins", **changes)


def baseline(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """the 2023 study's two networks, settings and stopping rule, with rate encoding, as it describes it"""
    settings: dict[str, Any] = {
        "contenders": ("dense-snn", "small-cnn"),
        "encoding": "rate",
        "num_steps": 25,
        "hidden": 1024,
        "learning_rate": 8.5e-5,
        "epochs": 4 if dataset == EMBEDDED else 20,
        "patience": 3,
        "min_delta": 0.01,
    }
    return Experiment(dataset=dataset, recipe="baseline", **{**settings, **changes})


def matched(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """a dense and a convolutional shape, each with ReLU and with spiking neurons and the same weights, so that a
    difference between such twins is the neurons'; direct encoding over 4 steps, learning rate 1e-3, ten epochs
    """
    settings: dict[str, Any] = {
        "contenders": ("dense-lif", "dense-relu", "conv-lif", "conv-relu"),
        "epochs": 10,
        # Ten epochs are too few for the study's stopping rule, which batch norm's unsteady losses would trigger.
        "patience": 10,
    }
    return Experiment(dataset=dataset, recipe="matched", **{**settings, **changes})


RECIPES: dict[str, Callable[..., Experiment]] = {"twins": twins, "baseline": baseline, "matched": matched}
"""The first is the default, and the first that has a contender is that contender's own."""

SPIKING = ("dense-snn", "dense-lif", "conv-lif")
"""Of the recipes' contenders, those that all of `TUNABLE` concerns."""


def for_contenders(contenders: Sequence[str], dataset: str = EMBEDDED, given: Collection[str] = ()) -> Experiment:
    """An experiment with `contenders`, each with the settings of the recipe that it comes from.

    The first contender that a recipe has decides the common settings. Others bring those of `TUNABLE` that
    differ, except for the settings `given` by hand, which hold for all.
    """
    homes = {name: home for name in contenders if (home := _home(name)) is not None}
    common = next(iter(homes.values()), twins)(dataset, contenders=tuple(contenders))
    by_contender: dict[str, dict[str, Any]] = {}
    for name, home in homes.items():
        at_home = home(dataset)
        by_contender[name] = {
            setting: getattr(at_home, setting)
            for setting, whose in TUNABLE.items()
            if (whose == "any" or name in SPIKING) and setting not in given
            if getattr(at_home, setting) != getattr(common, setting)
        }
    return replace(common, per_contender=by_contender)


def _home(contender: str) -> Callable[..., Experiment] | None:
    return next((recipe for recipe in RECIPES.values() if contender in recipe().contenders), None)
