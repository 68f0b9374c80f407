"""Contenders on a data set, and a trial of each for every seed and fold."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from spikeduel import data
from spikeduel.analysis.recommending import is_elsewhere
from spikeduel.data import Prepared, Split
from spikeduel.data.loader import by_blocks
from spikeduel.engine.encoders import ENCODERS, EVENTS, encoder_of
from spikeduel.engine.kernels.reference import SURROGATES, surrogate_of
from spikeduel.engine.networks import building, foreign, libraries
from spikeduel.engine.networks.architectures import ARCHITECTURES
from spikeduel.engine.networks.building import Architecture
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.chains import spiking_chains
from spikeduel.engine.networks.models import neuron_places
from spikeduel.engine.networks.training_step import batch_norms
from spikeduel.engine.neurons import NEURONS
from spikeduel.evaluation.measures import measured_after_epochs
from spikeduel.experiment.settings import NUMERICS_VERSION, TUNABLE, Experiment
from spikeduel.experiment.targets import DEVICES
from spikeduel.features import providing
from spikeduel.system import hardware, registry, typed
from spikeduel.system.errors import InputError, SpikeduelError, naming
from spikeduel.training.augmenting import AUGMENTATIONS, augmenter_of

TRAINING_SETTINGS = (
    "epochs",
    "batch_size",
    "augmentation",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "whitening",
    "patience",
)
RELU_SHARE = 0.25
"""Share of a spiking contender's epochs with ReLU for its neurons, rounded down."""
MIN_STEPS_IN_EPOCH = 16
"""Training steps in an epoch below which the statistics of batch norm are renewed after it."""
DATA_SETTINGS = ("limit", "folds", "group_by")


@dataclass(frozen=True)
class Trial:
    """A contender, a seed and a split; its numbers depend on `settings` alone."""

    experiment: Experiment
    card: ModelCard
    settings: dict[str, Any]
    split: Split = field(compare=False, repr=False)

    @property
    def key(self) -> str:
        """Hash of the settings, 16 hex digits: the trial's name in the store."""
        # The key of a network without spikes does not say if it convolves.
        kind = "snn" if self.settings["kind"] == "snn" else "cnn"
        return typed.digest({**self.settings, "kind": kind})[:16]

    @property
    def source(self) -> str | None:
        """Key of the trial whose weights it begins with."""
        return self.settings.get("source")

    @property
    def relu_epochs(self) -> int:
        """Number of its first epochs with ReLU for spiking neurons."""
        return int(self.settings["training"].get("relu_epochs", 0))

    @property
    def device(self) -> str:
        """Device that trains it. The key has only its kind, so any GPU finds the trial."""
        return hardware.resolve(self.experiment.device).device


@dataclass(frozen=True, eq=False)
class Contender:
    """A contender on one data set: its `card` (seed 0), its architecture, and `outline`, the
    network on the meta device where possible.
    """

    card: ModelCard
    architecture: Architecture
    outline: nn.Module

    @property
    def name(self) -> str:
        return self.card.contender

    @property
    def effective(self) -> set[str]:
        """The `settings.TUNABLE` that affect it."""
        card, arguments = self.card, self.architecture.arguments
        if card.kind != "snn":
            return {name for name, whose in TUNABLE.items() if whose == "any"}
        idle = set(building.NEURON_SETTINGS) - set(card.network)
        makes_its_steps = card.foreign is not None and card.foreign.way not in ("step", "sequence")
        if makes_its_steps and arguments is not None and "num_steps" not in arguments:
            idle.add("num_steps")
        return set(TUNABLE) - idle

    def takes(self, setting: str) -> bool:
        """Return True if it takes this setting of a network's shape."""
        return setting in (self.architecture.arguments or ())


def trials_of(
    experiment: Experiment,
    prepared: Prepared,
    *splits: Split,
    contenders: Sequence[Contender] | None = None,
    source: str | None = None,
) -> list[Trial]:
    """Return the trials by split, seed and contender. They begin with the weights of the trial with
    the key `source`, if one is given. Raises `InputError`.
    """
    contenders = describe_all(experiment, prepared) if contenders is None else contenders
    trials, settings_of = [], {}
    for contender in contenders:
        changed = experiment.for_contender(contender.name)
        settings_of[contender.name] = changed, _settings_of(contender, changed, source)
    for split in splits:
        where = _settings_of_data(prepared, split)
        for seed in range(experiment.seeds):
            for contender in contenders:
                changed, settings = settings_of[contender.name]
                settings = {**settings, "data": where, "seed": seed}
                if renews_statistics(contender.outline, changed, len(split.train)):
                    settings["statistics"] = "renewed"
                trained_on = {**contender.card.trained_on, "fold": split.fold}
                card = replace(contender.card, seed=seed, trained_on=trained_on)
                trials.append(Trial(changed, card, settings, split))
    return trials


def relu_share(module: nn.Module, experiment: Experiment) -> float:
    """Return the share of its epochs that a network trains with ReLU for its neurons."""
    return RELU_SHARE if neuron_places(module) and not experiment.constant_rate else 0.0


def relu_epochs(module: nn.Module, experiment: Experiment) -> int:
    """Return the number of first epochs that a network trains with ReLU for its neurons."""
    return math.floor(relu_share(module, experiment) * experiment.num_epochs)


def renews_statistics(module: nn.Module, experiment: Experiment, num_train: int) -> bool:
    """Return True if each epoch ends with batch norm statistics of all training images: in an epoch
    of few steps, running ones are averages over networks that were much worse.
    """
    num_steps = math.ceil(num_train / experiment.decided_batch_size)
    return num_steps < MIN_STEPS_IN_EPOCH and bool(batch_norms(module))


def _settings_of(
    contender: Contender, experiment: Experiment, source: str | None
) -> dict[str, Any]:
    card = contender.card
    settings = {
        **typed.plain(card),
        "training": {name: getattr(experiment, name) for name in TRAINING_SETTINGS},
        "sources": _sources(card, experiment),
        "preprocessing": card.preprocessing.described(),
        "device": hardware.resolve(experiment.device).kind,
        "numerics_version": NUMERICS_VERSION,
    }
    # "data" says it already, and copies of the same data are the same.
    del settings["dataset"], settings["trained_on"], settings["temperature"]
    if source is not None:
        settings["source"] = source
    elif epochs := relu_epochs(contender.outline, experiment):
        settings["training"]["relu_epochs"] = epochs
    if experiment.weight_bits is not None:
        settings["training"]["weight_bits"] = experiment.weight_bits
    if experiment.spike_penalty and card.kind == "snn":
        settings["training"]["spike_penalty"] = experiment.spike_penalty
    if card.foreign is None:
        del settings["foreign"]
    # The test images are used after every epoch, which the store records.
    settings |= dict.fromkeys(measured_after_epochs(experiment), True)
    return settings


def _settings_of_data(prepared: Prepared, split: Split) -> dict[str, Any]:
    edges = (np.asarray(part, np.int64).tobytes() for part in (split.train, split.val, split.test))
    settings: dict[str, Any] = {
        "fingerprint": prepared.fingerprint,
        "split": hashlib.sha256(b"|".join(edges)).hexdigest(),
    }
    if split.fold is not None:
        settings["fold"] = split.fold
    if by_blocks(prepared.images, len(split.train)):
        settings["order"] = "blocks"
    return settings


def check(experiment: Experiment) -> None:
    """Check names and contradictions before anything is loaded. Raises `InputError`."""
    if experiment.epochs is not None and experiment.minutes is not None:
        raise InputError(
            f"both epochs ({experiment.epochs:,}) and minutes ({experiment.minutes:g}) would "
            f"decide how long is "
            "trained. Leave out one of them."
        )
    data.resolve(experiment.dataset)
    for contender in experiment.contenders:
        building.architecture_of(contender)
    encoder_of(experiment.encoding)
    registry.resolve("neuron", experiment.neuron, NEURONS)
    augmenter_of(experiment.augmentation)
    surrogate_of(experiment.surrogate)
    hardware.resolve(experiment.device)


def describe_all(experiment: Experiment, prepared: Prepared) -> list[Contender]:
    """Describe every contender. Raises `InputError` if one cannot be built or has a setting of its
    own without effect.
    """
    described = [
        describe(name, experiment.for_contender(name), prepared) for name in experiment.contenders
    ]
    for contender in described:
        card, name = contender.card, contender.name
        # Recipes bring settings that another neuron may not have.
        idle = experiment.own_settings.get(name, {}).keys() - contender.effective
        if idle and (card.kind != "snn" or card.foreign is not None):
            why = "does not spike" if card.kind != "snn" else "what builds it does not take"
            raise InputError(
                f"per_contender: {min(idle)} has no effect on {name}, which {why}. Take it out."
            )
    return described


def missing(
    experiment: Experiment, contenders: Sequence[Contender], prepared: Prepared
) -> dict[str, str]:
    """Return what settings need for an effect and do not find here, with the reasons
    (`effects.Reasons`).
    """
    cards = [contender.card for contender in contenders]
    added = {kind for adds in providing("adds").values() for kind in adds(experiment)}
    of_networks = {"neuron", *building.NEURON_SETTINGS, *building.SHAPE_SETTINGS}
    taken = {
        name
        for contender in contenders
        for name in contender.effective | (contender.card.network.keys() - TUNABLE)
    }
    binning, spikes = prepared.preprocessing.binning, "num_steps" in taken
    is_recorded, size = binning is not None, experiment.image_size
    edges = binning.sensor if binning else prepared.image_shape[1:]
    kinds = ["still images", "recordings of an event camera"]
    for_others = f"it is for {kinds[not is_recorded]}, and {prepared.name} has {kinds[is_recorded]}"
    no_rival, device = "one contender has no rival", hardware.resolve(experiment.device).kind
    other = "cuda, on a machine with a GPU" if device == "cpu" else "cpu"
    chip = DEVICES.get(experiment.target)
    concerns_none = f"it concerns none of the contenders ({', '.join(experiment.contenders)})"
    conditions = [
        ("images", not is_recorded, for_others),
        ("recordings", is_recorded, for_others),
        (
            "augmentation",
            is_recorded or not augmenter_of(experiment.augmentation).events,
            for_others,
        ),
        *((name, name in taken, concerns_none) for name in of_networks),
        ("num_steps", is_recorded or spikes, concerns_none),
        ("encoding", any(card.encoding == experiment.encoding for card in cards), concerns_none),
        ("time", is_recorded or spikes, concerns_none),
        (
            "spike_penalty",
            any(spiking_chains(contender.outline) for contender in contenders),
            concerns_none,
        ),
        ("pretrained", any(map(registry.library_of, experiment.contenders)), concerns_none),
        (
            "whitening",
            any(
                building.to_whiten(contender.outline, contender.card.image_shape)
                for contender in contenders
            ),
            concerns_none,
        ),
        ("weight_decay", experiment.optimizer != "adam", "adam does not decay weights"),
        (
            "both kinds",
            {card.kind == "snn" for card in cards} == {True, False},
            "it compares spiking contenders with others, and one kind is missing",
        ),
        ("target", len(cards) > 1 or added, no_rival),
        (
            "target",
            chip is None
            or any(chip.runs(kind == "snn") for kind in {*added, *(card.kind for card in cards)}),
            f"{experiment.target} {chip.limit if chip else ''}, and all contenders are others",
        ),
        (
            "target",
            not is_elsewhere(experiment.target, device),
            f"answers are timed on the device that trains, {device}, which is no "
            f"{experiment.target.upper()}: take --device {other}",
        ),
        ("tolerance", len(cards) > 1 or added, no_rival),
        (
            "image_size",
            size is None or (max(edges) >= size if is_recorded else size in edges),
            f"the images of {prepared.name} have {edges[0]}×{edges[1]} pixels",
        ),
    ]
    return {need: reason for need, is_met, reason in conditions if not is_met}


def describe(name: str, experiment: Experiment, prepared: Prepared) -> Contender:
    """Describe a contender. Neurons get the `building.NEURON_SETTINGS` that their constructors
    name. Raises `InputError`.
    """
    neuron: dict[str, Any] = {
        "neuron": experiment.neuron,
        **{
            setting: getattr(experiment, setting)
            for setting in building.neuron_settings(experiment.neuron)
            if hasattr(experiment, setting)
        },
    }
    architecture = building.architecture_of(name)
    taken = architecture.arguments or ("hidden",)
    network: dict[str, Any] = {
        setting: value
        for setting in building.SHAPE_SETTINGS
        if setting in taken and (value := getattr(experiment, setting)) is not None
    }
    if architecture.arguments is not None and "neuron" not in architecture.arguments:
        neuron = {}
    if registry.library_of(name):
        network = libraries.settings_of(name, prepared.image_shape, experiment.pretrained)
    card = ModelCard(
        contender=name,
        kind="snn",
        image_shape=prepared.image_shape,
        classes=prepared.classes,
        preprocessing=prepared.preprocessing,
        network={**network, **neuron},
        encoding=EVENTS if prepared.preprocessing.binning else experiment.encoding,
        num_steps=experiment.num_steps,
        dataset=prepared.name,
        trained_on={
            "fingerprint": prepared.fingerprint,
            "ungrouped": prepared.ungrouped,
            **{setting: getattr(experiment, setting) for setting in DATA_SETTINGS},
        },
    )
    module = outline(card)
    if registry.is_own_code(name) and not foreign.is_own(module):
        card = _foreign(card, architecture)
        module = outline(card)
    elif (kind := foreign.kind_of(module)) != "snn":
        card = replace(card, kind=kind, network=network, encoding=None, num_steps=None)
        if card.preprocessing.binning:  # frames become channels
            module = outline(card)
    precision = hardware.resolve(experiment.device, experiment.precision).precision
    # A foreign spiking network answers as in its own library, unless bf16 is asked for.
    if card.foreign and card.kind == "snn" and experiment.precision == "auto":
        precision = "32"
    return Contender(replace(card, precision=precision), architecture, module)


def _foreign(card: ModelCard, architecture: Architecture) -> ModelCard:
    """Complete the `card` of a foreign network by running it on some images."""
    named = architecture.arguments
    # The neuron's settings do not concern a network without it.
    taken = {
        name: value
        for name, value in card.network.items()
        if named is None or (name if name in building.SHAPE_SETTINGS else "neuron") in named
    }
    card = replace(card, network=taken)
    with naming(f"contender '{card.contender}'"):
        with torch.random.fork_rng():
            module = building.build(card)
        spikes = foreign.declared(architecture.build)
        calling = foreign.calling_of(module, card.image_shape, len(card.classes), spikes)
        kind = foreign.kind_of(module, spikes)
        if kind != "snn" and calling.way in ("step", "sequence"):
            raise InputError(
                "it takes its input over time, but what builds it has spikes = False. Take it out."
            )
    if kind != "snn":
        return replace(card, kind=kind, foreign=calling, encoding=None, num_steps=None)
    if calling.way == "loop":  # it makes its steps itself, all from one image
        card = replace(card, encoding="direct", num_steps=calling.num_steps)
    return replace(card, foreign=calling)


def outline(card: ModelCard) -> nn.Module:
    """Build the network on the meta device to validate `card`. Raises `InputError`."""
    try:
        module = building.outlined(card)
    except SpikeduelError:
        raise
    except Exception as error:  # it may be the user's code
        raise InputError(
            f"contender '{card.contender}' cannot be built for images {list(card.image_shape)} and "
            f"{len(card.classes)} "
            f"classes ({type(error).__name__}: {error}). It is given those of "
            f"{', '.join(building.BUILT_WITH)} that "
            "its parameters name."
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(
            f"contender '{card.contender}' must return a torch.nn.Module, not "
            f"{type(module).__name__}."
        )
    return module


def _sources(card: ModelCard, experiment: Experiment) -> dict[str, str]:
    named = (
        ("contender", card.contender, ARCHITECTURES),
        ("encoding", card.encoding, ENCODERS),
        ("neuron", card.network.get("neuron"), NEURONS),
        ("surrogate", card.network.get("surrogate"), SURROGATES),
        ("augmentation", experiment.augmentation, AUGMENTATIONS),
    )
    return {
        name: registry.source_hash(registry.resolve(kind, name, registered), name)
        for kind, name, registered in named
        if name is not None and registry.is_own_code(name)
    }


def shapes_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
