"""Recipes: functions from a data set to an `Experiment`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spikeduel.experiment.fields import setting_of
from spikeduel.experiment.settings import FEATURE_SETTINGS, SETTINGS, TUNABLE, Experiment
from spikeduel.system import registry
from spikeduel.system.errors import unknown

EMBEDDED = "fashion-mnist-mini"
PLAIN: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "augmentation": "none",
    "batch_size": 128,
    "dropout": 0.0,
    "beta": 0.95,
    "threshold": 1.0,
}
"""Adam at a constant rate, without augmentation or regularisation."""


def _of_features(recipe: str) -> dict[str, Any]:
    """Return the settings of features that `recipe` turns on."""
    return {
        name: True for name in FEATURE_SETTINGS if recipe in setting_of(SETTINGS[name].type).recipes
    }


def strong(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """a convolutional network as good as the time allows, with spiking neurons and with ReLU, and
    weights of the same shapes; beside them a residual one without spikes, but for the embedded set;
    direct encoding over 4 steps; how long, and with which augmentation, follows from the set and
    `minutes`
    """
    if dataset == EMBEDDED:  # so that the first run takes its minute
        minutes = None if changes.get("epochs") else 0.7
        changes = {"minutes": minutes, "contenders": ("vgg-lif", "vgg-relu"), **changes}
    return Experiment(dataset=dataset, recipe="strong", **changes)


def events(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """recordings of an event camera: a spiking network that sees frame after frame, its twin that
    sees their sum, a CNN that sees them all at once, and a recurrent network; with the ablations
    that say whether time mattered
    """
    contenders = ("vgg-lif", "vgg-sum", "vgg-relu", "vgg-gru")
    settings = {"contenders": contenders, "num_steps": 8, **_of_features("events"), **changes}
    return Experiment(dataset=dataset, recipe="events", **settings)


def baseline(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """the 2023 study's two networks, settings and stopping rule, with rate encoding, as it
    describes it
    """
    settings: dict[str, Any] = {
        **PLAIN,
        "contenders": ("dense-snn", "small-cnn"),
        "encoding": "rate",
        "num_steps": 25,
        "hidden": 1024,
        "learning_rate": 8.5e-5,
        "epochs": 4 if dataset == EMBEDDED else 20,
        "patience": 3,
    }
    return Experiment(dataset=dataset, recipe="baseline", **{**settings, **changes})


def matched(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """a small dense and a small convolutional shape, each with ReLU and with spiking neurons and
    weights of the same shapes, so that a difference between such twins is the neurons'; direct
    encoding over 4 steps, learning rate 1e-3, ten epochs
    """
    settings: dict[str, Any] = {
        **PLAIN,
        "contenders": ("dense-lif", "dense-relu", "conv-lif", "conv-relu"),
        "epochs": 10,
    }
    return Experiment(dataset=dataset, recipe="matched", **{**settings, **changes})


def chip(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """the recipe strong with what NIR, and so a neuromorphic chip, has: average pooling, and
    neurons that a spike resets to zero; its spiking network exports with `--to nir`
    """
    settings = {"pooling": "avg", "reset_mechanism": "zero", **changes}
    return replace(strong(dataset, **settings), recipe="chip")


def int8(dataset: str = EMBEDDED, **changes: Any) -> Experiment:
    """the recipe strong with weights that are whole numbers of 8 bits, in training and after; the
    twins are compared in int8 alone, as microcontrollers have them (`export --to c`)
    """
    settings = {
        "weight_bits": 8,
        **_of_features("int8"),
        "contenders": ("vgg-lif", "vgg-relu"),
        **changes,
    }
    return replace(strong(dataset, **settings), recipe="int8")


RECIPES: dict[str, Callable[..., Experiment]] = {
    "strong": strong,
    "events": events,
    "baseline": baseline,
    "matched": matched,
    "chip": chip,
    "int8": int8,
}
"""The first is the default; a contender's home is the first that has it."""

FINE_TUNING = {"learning_rate": 1e-3}
"""Settings of torchvision's and timm's networks; at a higher rate, they forget."""

SPIKING = ("dense-snn", "dense-lif", "conv-lif", "vgg-lif")
"""Contenders of the recipes that all of `TUNABLE` concerns."""


def for_contenders(
    contenders: Sequence[str], dataset: str = EMBEDDED, chosen: Collection[str] = ()
) -> Experiment:
    """Return an experiment with `contenders`, each with its home recipe's settings.

    The first contender of a recipe decides common settings. Others bring their `TUNABLE` ones,
    except those `chosen` by hand and rates of another optimizer. Networks of torchvision and timm
    bring `FINE_TUNING`.
    """
    at_home = {
        name: recipe
        for recipe in reversed(RECIPES.values())
        for name in recipe("any other").contenders
    }
    homes = {name: at_home[name] for name in contenders if name in at_home}
    common = next(iter(homes.values()), strong)(dataset, contenders=tuple(contenders))
    by_contender: dict[str, dict[str, Any]] = {}
    for name, home in homes.items():
        usual = home(dataset)
        rates = () if usual.optimizer == common.optimizer else ("learning_rate", "weight_decay")
        by_contender[name] = {
            setting: getattr(usual, setting)
            for setting, whose in TUNABLE.items()
            if (whose == "any" or name in SPIKING) and setting not in (*chosen, *rates)
            if getattr(usual, setting) != getattr(common, setting)
        }
    tuned = {name: value for name, value in FINE_TUNING.items() if name not in chosen}
    by_contender |= {name: tuned for name in contenders if registry.library_of(name)}
    return replace(common, per_contender=by_contender)


def asked(settings: Mapping[str, Any], is_recorded: bool = False) -> Experiment:
    """Return the experiment of `settings` on a recipe.

    Without a recipe: `events` if `is_recorded`, else each contender's own (`for_contenders`).
    Raises `InputError`.
    """
    changes = dict(settings)
    recipe = changes.pop("recipe", None)
    on = {"dataset": changes.pop("dataset")} if "dataset" in changes else {}
    if recipe is None and is_recorded:
        recipe = "events"
    if recipe is None and "contenders" in changes:
        experiment = for_contenders(changes["contenders"], **on, chosen=changes)
    elif recipe is None or recipe in RECIPES:
        experiment = RECIPES[recipe or next(iter(RECIPES))](**on)
    else:
        raise unknown("recipe", recipe, RECIPES)
    return changed(experiment, changes)


def changed(experiment: Experiment, changes: Mapping[str, Any]) -> Experiment:
    """Return `experiment` with `changes`; epochs or minutes replace both."""
    by_contender = experiment.per_contender or {}
    if "epochs" in changes or "minutes" in changes:
        by_contender = experiment.own_settings
        experiment = replace(experiment, epochs=None, minutes=None)
    contenders = changes.get("contenders", by_contender)
    remaining = {name: settings for name, settings in by_contender.items() if name in contenders}
    return replace(experiment, **{"per_contender": remaining, **changes})
