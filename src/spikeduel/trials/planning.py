"""What is to be trained: one `Trial` for each contender, seed and fold, and what is said of them
beforehand.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from spikeduel import data
from spikeduel.data import Prepared, Split
from spikeduel.data.loader import by_blocks
from spikeduel.networks import building, foreign, libraries
from spikeduel.networks.architectures import ARCHITECTURES
from spikeduel.networks.cards import ModelCard
from spikeduel.settings import NUMERICS_VERSION, TUNABLE, Experiment
from spikeduel.spiking.encoders import ENCODERS, EVENTS, encoder_of
from spikeduel.spiking.kernels.reference import SURROGATES, resolve_alpha
from spikeduel.spiking.neurons import NEURONS
from spikeduel.system import hardware, registry, typed
from spikeduel.system.errors import InputError, SpikeduelError, naming
from spikeduel.system.registry import Precision
from spikeduel.trials import augmenting
from spikeduel.trials.augmenting import AUGMENTATIONS

TRAINING_SETTINGS = (
    "epochs",
    "batch_size",
    "augmentation",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "schedule",
    "label_smoothing",
    "whitening",
    "averaging",
    "patience",
    "min_delta",
)
OF_STEPS = ("distillation", "first_steps", "first_surrogate_alpha", "per_step_loss", "chunk_steps")
"""Those that change nothing for a network that does not spike."""


@dataclass(frozen=True)
class Trial:
    """A contender, a seed and a split (one fold), with everything that its numbers depend on: `key`
    hashes `settings`.

    `experiment` is as this contender runs it: `Experiment.for_contender`.
    """

    experiment: Experiment
    card: ModelCard
    settings: dict[str, Any]
    split: Split = field(compare=False, repr=False)

    @property
    def key(self) -> str:
        """What the store knows this trial by."""
        return key_of(self.settings)

    @property
    def device(self) -> str:
        """Where it is computed on this machine. Its key knows only the kind, so that any of several
        GPUs finds it.
        """
        return hardware.resolve(self.experiment.device).device

    @property
    def twin(self) -> str | None:
        """The key of the trial whose trained weights it starts from, or whose answers it learns
        from.
        """
        twin: dict[str, str] | None = self.settings.get("twin")
        return twin["key"] if twin else None


def key_of(settings: dict[str, Any]) -> str:
    """A hash of a trial's settings: 16 hex digits. Of the family, whether it spikes: older trials
    keep their keys.
    """
    return typed.digest({**settings, "family": "snn" if settings["family"] == "snn" else "cnn"})[
        :16
    ]


def plan(experiment: Experiment, prepared: Prepared, split: Split) -> list[Trial]:
    """The trials of an experiment on one split (one fold): for each seed, each contender.

    Raises `InputError` for what cannot be built, and for a contender's own setting that has no
    effect on it.
    """
    _require_possible(experiment, prepared)
    compute = hardware.resolve(experiment.device, experiment.precision)
    indices = (
        np.asarray(part, np.int64).tobytes() for part in (split.train, split.val, split.test)
    )
    of: dict[str, Any] = {
        "fingerprint": prepared.fingerprint,
        "split": hashlib.sha256(b"|".join(indices)).hexdigest(),
    }
    if split.fold is not None:
        of["fold"] = split.fold
    if by_blocks(prepared.images, len(split.train)):
        of["order"] = "blocks"
    common = {"data": of, "device": compute.kind, "numerics_version": NUMERICS_VERSION}
    planned = []
    for contender in experiment.contenders:
        own = experiment.for_contender(contender)
        card = describe(contender, own, prepared)
        changed = experiment.own_settings.get(contender, {})
        # Recipes bring own contenders settings of neurons that another neuron may not have.
        whole = card.family == "snn" and card.foreign is None
        if idle := [name for name in changed if not whole and name not in effective(card)]:
            why = "does not spike" if card.family != "snn" else "what builds it does not take"
            raise InputError(
                f"per_contender: {idle[0]} has no effect on {contender}, which {why}. Take it out."
            )
        # A foreign spiking network's answers stay those that its own library gives, unless bf16 is
        # asked for.
        as_is = card.foreign is not None and card.family == "snn" and own.precision == "auto"
        precision: Precision = "32" if as_is else compute.precision
        card = replace(
            card, precision=precision, trained_on={**card.trained_on, "fold": split.fold}
        )
        names = (*TRAINING_SETTINGS, *(OF_STEPS if card.family == "snn" else ()))
        training = {name: getattr(own, name) for name in names}
        settings = {
            **typed.plain(card),
            "training": training,
            **common,
            "sources": _sources(card, own),
        }
        # "data" says it already, and two copies of the same data are the same.
        del settings["dataset"], settings["trained_on"], settings["temperature"]
        settings["preprocessing"] = card.preprocessing.described()
        if card.foreign is None:
            del settings["foreign"]
        planned.append(Trial(own, card, settings, split))
    trials = []
    for seed in range(experiment.seeds):
        round_ = [
            replace(
                each, card=replace(each.card, seed=seed), settings={**each.settings, "seed": seed}
            )
            for each in planned
        ]
        trials += [with_twin(each, round_) for each in round_]
    return trials


def with_twin(trial: Trial, others: Sequence[Trial]) -> Trial:
    """`trial` as it starts from, or learns from, that of `others` that has its weights and does not
    spike.
    """
    experiment = trial.experiment
    if trial.card.num_steps is None or not (experiment.start == "twin" or experiment.distillation):
        return trial
    own = _shapes(trial.card)
    for other in others:
        # Neurons may learn numbers of their own.
        if other.card.num_steps is None and _shapes(other.card).items() <= own.items():
            twin = {"contender": other.card.contender, "key": other.key, "start": experiment.start}
            return replace(trial, settings={**trial.settings, "twin": twin})
    return trial


def _shapes(card: ModelCard) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in tried(card).state_dict().items()}


def effective(card: ModelCard) -> set[str]:
    """Those of `settings.TUNABLE` that change something for the contender of `card`."""
    if card.family != "snn":
        return {name for name, whose in TUNABLE.items() if whose == "any"}
    named = building.names_taken(building.architecture_of(card.contender))
    told = (
        card.foreign is None
        or card.foreign.way in ("step", "sequence")
        or named is None
        or "num_steps" in named
    )
    without = set() if told else {"num_steps"}
    if card.network.get("surrogate") == "straight_through_estimator":
        without.add("surrogate_alpha")
    neurons = set(building.NEURON_SETTINGS) - set(card.network)
    return set(TUNABLE) - neurons - without


def check(experiment: Experiment) -> None:
    """Raises `InputError` for a name that leads nowhere, and for settings that contradict one
    another, before anything is loaded.
    """
    if experiment.epochs is not None and experiment.minutes is not None:
        raise InputError(
            f"both epochs ({experiment.epochs:,}) and minutes ({experiment.minutes:g}) would "
            f"decide how long is "
            "trained. Leave out one of them."
        )
    data.resolve(experiment.dataset)
    known = ", ".join(experiment.contenders)
    for contender in [text.rpartition("=")[0] for text in experiment.family]:
        if contender not in experiment.contenders or not registry.is_own_code(contender):
            raise InputError(
                f"family: '{contender}' is no network of your own among the contenders ({known})."
            )
    for contender in experiment.contenders:
        building.architecture_of(contender)
    encoder_of(experiment.encoding)
    registry.resolve("neuron", experiment.neuron, NEURONS)
    augmenting.resolve(experiment.augmentation)
    resolve_alpha(experiment.surrogate, experiment.surrogate_alpha)
    hardware.resolve(experiment.device)


def _require_possible(experiment: Experiment, prepared: Prepared) -> None:
    """Raises `InputError` for settings that are for still images, where the data are recordings of
    an event camera, and the other way round.
    """
    if prepared.preprocessing.binning is None:
        if of_events := augmenting.of_events(experiment.augmentation):
            raise InputError(
                f"augmentation: {of_events[0]} is for recordings of an event camera, and "
                f"{prepared.name} has still "
                "images. Leave it out."
            )
        return
    asked = {
        "encoding": experiment.encoding != "direct",
        "convert": experiment.convert,
        "robustness": experiment.robustness,
        "whitening": experiment.whitening,
        "first_steps": experiment.first_steps,
        "chunk_steps": experiment.chunk_steps,
    }
    for name in (name for name, is_asked in asked.items() if is_asked):
        raise InputError(
            f"{name}: is for still images, and {prepared.name} has recordings of an event camera. "
            f"Leave it out."
        )


def describe(contender: str, experiment: Experiment, prepared: Prepared) -> ModelCard:
    """The card that `contender` will have on this data, its seed left at 0.

    A neuron is given those of `building.NEURON_SETTINGS` that its constructor names. Raises
    `InputError`.
    """
    given = {
        name: getattr(experiment, name) for name in building.neuron_settings(experiment.neuron)
    }
    taken = building.names_taken(building.architecture_of(contender)) or ("hidden",)
    shape: dict[str, Any] = {
        name: value
        for name in building.SHAPE_SETTINGS
        if name in taken and (value := getattr(experiment, name)) is not None
    }
    if registry.library_of(contender):
        shape = libraries.settings_of(contender, prepared.image_shape, experiment.pretrained)
    card = ModelCard(
        contender=contender,
        family="snn",
        image_shape=prepared.image_shape,
        classes=prepared.classes,
        preprocessing=prepared.preprocessing,
        network=shape
        if registry.library_of(contender)
        else {**shape, "neuron": experiment.neuron, **given},
        encoding=EVENTS if prepared.preprocessing.binning else experiment.encoding,
        num_steps=experiment.num_steps,
        dataset=prepared.name,
        trained_on={
            "fingerprint": prepared.fingerprint,
            "ungrouped": prepared.ungrouped,
            **{
                name: getattr(experiment, name)
                for name in ("split", "split_seed", "limit", "folds", "group_by")
            },
        },
    )
    module = tried(card)
    if registry.is_own_code(contender) and not foreign.is_own(module):
        return _foreign(card, experiment)
    family = foreign.family_of(module)
    if family == "snn":
        return card
    return replace(card, family=family, network=shape, encoding=None, num_steps=None)


def _foreign(card: ModelCard, experiment: Experiment) -> ModelCard:
    """`card` of a network that was not made for spikeduel, as what it does with a few images shows
    it to be.
    """
    named = building.names_taken(building.architecture_of(card.contender))
    # Of the neuron's settings, none concerns a network that does not take the neuron.
    taken = {
        name: value
        for name, value in card.network.items()
        if named is None or (name if name in building.SHAPE_SETTINGS else "neuron") in named
    }
    card = replace(card, network=taken)
    with naming(f"contender '{card.contender}'"):
        with torch.random.fork_rng():
            module = building.build(card)
        given = experiment.given_family(card.contender)
        calling = foreign.calling_of(module, card.image_shape, len(card.classes), given)
        family = given or foreign.family_of(module)
        if family != "snn" and calling.way in ("step", "sequence"):
            raise InputError(
                "it takes its input over time, and is said to be no spiking network. Leave out "
                "--family."
            )
    if family != "snn":
        return replace(card, family=family, foreign=calling, encoding=None, num_steps=None)
    # In a loop, it makes its steps itself, each from the one image that it is given.
    steps: dict[str, Any] = (
        {"encoding": "direct", "num_steps": calling.num_steps} if calling.way == "loop" else {}
    )
    return replace(card, foreign=calling, **steps)


def tried(card: ModelCard) -> nn.Module:
    """The network of `card` without memory, only to see that it can be built, and what it is."""
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
        name: registry.source_hash(registry.resolve(kind, name, known), name)
        for kind, name, known in named
        if name is not None and registry.is_own_code(name)
    }
