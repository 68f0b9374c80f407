"""What is to be trained: one `Trial` for each contender, seed and fold, with all that its numbers depend on."""

import hashlib
import inspect
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from spikeduel import data
from spikeduel.data import Prepared, Split
from spikeduel.networks import foreign, models
from spikeduel.networks.architectures import ARCHITECTURES
from spikeduel.networks.models import ModelCard
from spikeduel.settings import NUMERICS_VERSION, TUNABLE, Experiment, digest
from spikeduel.spiking.encoders import ENCODERS, encoder_of
from spikeduel.spiking.neurons import NEURONS
from spikeduel.spiking.surrogates import SURROGATES, resolve_alpha
from spikeduel.system import hardware, registry, typed
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.hardware import Compute, Precision
from spikeduel.trials.augmentations import AUGMENTATIONS

TRAINING_SETTINGS = (
    "epochs", "batch_size", "augmentation", "learning_rate", "patience", "min_delta", "chunk_steps",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A contender, a seed and maybe a fold, with everything that its numbers depend on: `key` hashes `settings`.

    `experiment` is as this contender runs it: `Experiment.for_contender`.
    """

    experiment: Experiment
    card: ModelCard
    settings: dict[str, Any]

    @property
    def key(self) -> str:
        """What the store knows this trial by."""
        return key_of(self.settings)


def key_of(settings: dict[str, Any]) -> str:
    """A hash of a trial's settings: 16 hex digits. Of the family, whether it spikes: older trials keep their keys."""
    return digest({**settings, "family": "snn" if settings["family"] == "snn" else "cnn"})[:16]


def plan(experiment: Experiment, prepared: Prepared, split: Split) -> list[Trial]:
    """The trials of an experiment on one split (one fold): for each seed, each contender.

    Raises `InputError` for what cannot be built.
    """
    compute = hardware.resolve(experiment.device, experiment.precision)
    own = [experiment.for_contender(contender) for contender in experiment.contenders]
    cards = [describe(*each, prepared) for each in zip(experiment.contenders, own, strict=True)]
    for card in cards:
        _require_own_effective(card, experiment)
    common = {
        "data": {
            "fingerprint": prepared.fingerprint,
            "split": _split_digest(split),
            **({} if split.fold is None else {"fold": split.fold}),
        },
        "device": compute.device,
        "numerics_version": NUMERICS_VERSION,
    }
    trials = []
    for seed in range(experiment.seeds):
        for card, its in zip(cards, own, strict=True):
            trained_on = {**card.trained_on, "fold": split.fold}
            precision = _precision(card, its, compute)
            seeded = replace(card, seed=seed, precision=precision, trained_on=trained_on)
            training = {name: getattr(its, name) for name in TRAINING_SETTINGS}
            training["epochs"] = its.num_epochs(len(split.train))
            settings = {**typed.plain(seeded), "training": training, **common, "sources": _sources(card, its)}
            # "data" says it already, and two copies of the same data are the same.
            del settings["dataset"], settings["trained_on"]
            if card.foreign is None:
                del settings["foreign"]
            trials.append(Trial(its, seeded, settings))
    return trials


def _require_own_effective(card: ModelCard, experiment: Experiment) -> None:
    own = (experiment.per_contender or {}).get(card.contender, {})
    if idle := [name for name in own if TUNABLE[name] not in ("any", card.family)]:
        raise InputError(
            f"per_contender: {idle[0]} has no effect on {card.contender}, which does not spike. Take it out."
        )
    if card.foreign is not None and (idle := [name for name in own if name not in effective(card)]):
        raise InputError(
            f"per_contender: {idle[0]} has no effect on {card.contender}, which what builds it does not take. Take it "
            "out."
        )


def effective(card: ModelCard) -> set[str]:
    """Those of `settings.TUNABLE` that change something for the contender of `card`."""
    found = {name for name, whose in TUNABLE.items() if whose == "any"}
    if card.family != "snn":
        return found
    if card.foreign is None:
        return set(TUNABLE)
    build = registry.resolve("contender", card.contender, ARCHITECTURES)
    named = models.names_taken(build)
    if card.foreign.way in ("step", "sequence") or named is None or "num_steps" in named:
        found.add("num_steps")
    return found | {name for name in models.NEURON_SETTINGS if name in card.network and name in TUNABLE}


def check_names(experiment: Experiment) -> None:
    """Raises `InputError` for a name that leads nowhere, before anything is loaded."""
    data.resolve(experiment.dataset)
    for contender in [text.rpartition("=")[0] for text in experiment.family]:
        if contender not in experiment.contenders or contender in ARCHITECTURES:
            raise InputError(
                f"family: '{contender}' is no network of your own among the contenders "
                f"({', '.join(experiment.contenders)})."
            )
    for contender in experiment.contenders:
        registry.resolve("contender", contender, ARCHITECTURES)
    encoder_of(experiment.encoding)
    registry.resolve("neuron", experiment.neuron, NEURONS)
    registry.resolve("augmentation", experiment.augmentation, AUGMENTATIONS)
    resolve_alpha(experiment.surrogate, experiment.surrogate_alpha)
    hardware.resolve(experiment.device)


def describe(contender: str, experiment: Experiment, prepared: Prepared) -> ModelCard:
    """The card that `contender` will have on this data, its seed left at 0.

    A neuron is given those of `models.NEURON_SETTINGS` that its constructor names. Raises `InputError`.
    """
    given = {name: getattr(experiment, name) for name in models.neuron_settings(experiment.neuron)}
    spiking = {"neuron": experiment.neuron, **given}
    shape = {"hidden": experiment.hidden, **_pooling(contender, experiment)}
    card = ModelCard(
        contender=contender,
        family="snn",
        image_shape=prepared.image_shape,
        classes=prepared.classes,
        preprocessing=prepared.preprocessing,
        network={**shape, **spiking},
        encoding=experiment.encoding,
        num_steps=experiment.num_steps,
        dataset=prepared.name,
        trained_on={
            "fingerprint": prepared.fingerprint,
            "ungrouped": prepared.ungrouped,
            **{name: getattr(experiment, name) for name in ("split", "split_seed", "limit", "folds", "group_by")},
        },
    )
    module = tried(card)
    if ":" in contender and not foreign.is_own(module):
        return _foreign(card, experiment)
    family = foreign.family_of(module)
    if family == "snn":
        return card
    return replace(card, family=family, network=shape, encoding=None, num_steps=None)


def _pooling(contender: str, experiment: Experiment) -> dict[str, str]:
    """The setting where it is another than the usual one and the contender takes it: older trials keep their keys."""
    architecture = registry.resolve("contender", contender, ARCHITECTURES)
    try:
        taken = "pooling" in inspect.signature(architecture).parameters
    except (TypeError, ValueError):  # something of the user's that says nothing about itself
        taken = False
    return {"pooling": experiment.pooling} if taken and experiment.pooling != "max" else {}


def _foreign(card: ModelCard, experiment: Experiment) -> ModelCard:
    """`card` of a network that was not made for spikeduel, as what it does with a few images shows it to be."""
    named = models.names_taken(registry.resolve("contender", card.contender, ARCHITECTURES))
    # Of the neuron's settings, none concerns a network that does not take the neuron.
    taken = {
        name: value
        for name, value in card.network.items()
        if named is None or (name if name in ("hidden", "pooling") else "neuron") in named
    }
    card = replace(card, network=taken)
    try:
        with torch.random.fork_rng():
            module = models.build(card)
        given = experiment.given_family(card.contender)
        calling = foreign.calling_of(module, card.image_shape, len(card.classes), given)
        family = given or foreign.family_of(module)
        if family == "snn" and calling.way == "loop":
            # It makes its steps itself, each from the one image that it is given.
            return replace(card, foreign=calling, encoding="direct", num_steps=calling.num_steps)
        if family == "snn":
            return replace(card, foreign=calling)
        if calling.way in ("step", "sequence"):
            raise InputError("it takes its input over time, and is said to be no spiking network. Leave out --family.")
    except InputError as error:
        raise InputError(f"contender '{card.contender}': {error}") from None
    return replace(card, family=family, foreign=calling, encoding=None, num_steps=None)


def _precision(card: ModelCard, experiment: Experiment, compute: Compute) -> Precision:
    """A foreign spiking network's answers stay those that its own library gives, unless bf16 is asked for."""
    as_is = card.foreign is not None and card.family == "snn"
    return "32" if as_is and experiment.precision == "auto" else compute.precision


def tried(card: ModelCard) -> nn.Module:
    """The network of `card` without memory, only to see that it can be built, and what it is."""
    try:
        module = models.outlined(card)
    except SpikeduelError:
        raise
    except Exception as error:  # it may be the user's code
        raise InputError(
            f"contender '{card.contender}' cannot be built for images {list(card.image_shape)} and "
            f"{len(card.classes)} classes ({type(error).__name__}: {error}). What builds it is told those of "
            f"{', '.join(models.BUILT_WITH)} that it names."
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(f"contender '{card.contender}' must return a torch.nn.Module, not {type(module).__name__}.")
    return module


def _split_digest(split: Split) -> str:
    parts = (split.train, split.val, split.test)
    return hashlib.sha256(b"|".join(np.asarray(part, np.int64).tobytes() for part in parts)).hexdigest()


def _sources(card: ModelCard, experiment: Experiment) -> dict[str, str]:
    named = (
        ("contender", card.contender, ARCHITECTURES),
        ("encoding", card.encoding, ENCODERS),
        ("neuron", card.network.get("neuron"), NEURONS),
        ("surrogate", card.network.get("surrogate"), SURROGATES),
        ("augmentation", experiment.augmentation, AUGMENTATIONS),
    )
    return {
        name: registry.source_hash(registry.resolve(kind, name, known), name)
        for kind, name, known in named
        if name is not None and name not in known
    }
