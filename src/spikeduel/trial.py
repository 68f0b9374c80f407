"""One trial: one contender, one seed: build, train, measure, store."""

import hashlib
import traceback
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from spikeduel import data, files, hardware, models, registry
from spikeduel.architectures import ARCHITECTURES
from spikeduel.augmentations import AUGMENTATIONS
from spikeduel.data import Prepared, Split
from spikeduel.encoders import ENCODERS
from spikeduel.errors import InputError, SpikeduelError
from spikeduel.hardware import Compute
from spikeduel.measuring import MEASURES
from spikeduel.models import Model, ModelCard
from spikeduel.neurons import NEURONS
from spikeduel.progress import Progress
from spikeduel.settings import NUMERICS_VERSION, TUNABLE, Experiment, digest
from spikeduel.store import Store, TrialRecord
from spikeduel.surrogates import resolve_alpha
from spikeduel.training import EvaluationBatches, Loop, Training

TRAINING_SETTINGS = (
    "epochs", "batch_size", "augmentation", "learning_rate", "patience", "min_delta", "chunk_steps",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A contender and a seed with everything that its numbers depend on; `settings` is what `key` hashes.

    `experiment` is as this contender runs it: `Experiment.of`.
    """

    experiment: Experiment
    card: ModelCard
    settings: dict[str, Any]

    @property
    def key(self) -> str:
        """What the store knows this trial by."""
        return digest(self.settings)[:16]


def plan(experiment: Experiment, prepared: Prepared, split: Split) -> list[Trial]:
    """The trials of an experiment: for each seed, each contender. Raises `InputError` for what cannot be built."""
    compute = hardware.resolve(experiment.device, experiment.precision)
    own = [experiment.of(contender) for contender in experiment.contenders]
    cards = [describe(*each, prepared) for each in zip(experiment.contenders, own, strict=True)]
    for card in cards:
        _require_own_effective(card, experiment)
    common = {
        "data": {"fingerprint": prepared.fingerprint, "split": _split_digest(split)},
        "device": compute.device,
        "numerics_version": NUMERICS_VERSION,
    }
    trials = []
    for seed in range(experiment.seeds):
        for card, its in zip(cards, own, strict=True):
            seeded = replace(card, seed=seed, precision=compute.precision)
            training = {name: getattr(its, name) for name in TRAINING_SETTINGS}
            settings = {**asdict(seeded), "training": training, **common, "sources": _sources(card, its)}
            # "data" says it already, and two copies of the same data are the same.
            del settings["dataset"], settings["trained_on"]
            trials.append(Trial(its, seeded, settings))
    return trials


def _require_own_effective(card: ModelCard, experiment: Experiment) -> None:
    own = (experiment.per_contender or {}).get(card.contender, {})
    if idle := [name for name in own if TUNABLE[name] not in ("any", card.family)]:
        raise InputError(
            f"per_contender: {idle[0]} has no effect on {card.contender}, which does not spike. Take it out."
        )


def check_names(experiment: Experiment) -> None:
    """Raises `InputError` for a name that leads nowhere, before anything is loaded."""
    data.resolve(experiment.dataset)
    for contender in experiment.contenders:
        registry.resolve("contender", contender, ARCHITECTURES)
    registry.resolve("encoding", experiment.encoding, ENCODERS)
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
    card = ModelCard(
        contender=contender,
        family="snn",
        image_shape=prepared.image_shape,
        classes=prepared.classes,
        preprocessing=prepared.preprocessing,
        network={"hidden": experiment.hidden, **spiking},
        encoding=experiment.encoding,
        num_steps=experiment.num_steps,
        dataset=prepared.name,
        trained_on={
            "fingerprint": prepared.fingerprint,
            **{name: getattr(experiment, name) for name in ("split", "split_seed", "limit")},
        },
    )
    family = models.family_of(_tried(card))
    if family == "snn":
        return card
    return replace(card, family=family, network={"hidden": experiment.hidden}, encoding=None, num_steps=None)


def _tried(card: ModelCard) -> nn.Module:
    """The network of `card` without memory, only to see that it can be built, and what it is."""
    try:
        with torch.device("meta"):
            module = models.build(card)
    except SpikeduelError:
        raise
    except Exception as error:  # it may be the user's code
        raise InputError(
            f"contender '{card.contender}' cannot be built for images {list(card.image_shape)} and "
            f"{len(card.classes)} classes ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(f"contender '{card.contender}' must return a torch.nn.Module, not {type(module).__name__}.")
    return module


def run(trial: Trial, prepared: Prepared, split: Split, store: Store, progress: Progress) -> TrialRecord:
    """The finished trial: from the store, or trained and measured now. A trial that fails is recorded as failed."""
    with store.locked(trial.key):
        record = _trained(trial, prepared, split, store, progress)
        if record.status == "done":
            _measure(trial, prepared, split, store)
    hardware.release_freed_memory()
    return record


def train(trial: Trial, prepared: Prepared, split: Split, store: Store, progress: Progress) -> TrialRecord:
    """As `run`, and no test image is looked at: for choosing settings. `run` later finds the trial and measures it."""
    with store.locked(trial.key):
        record = _trained(trial, prepared, split, store, progress)
    hardware.release_freed_memory()
    return record


def _trained(trial: Trial, prepared: Prepared, split: Split, store: Store, progress: Progress) -> TrialRecord:
    record = store.record(trial.key)
    if record is None:
        return _train(trial, prepared, split, store, progress)
    progress.say(f"  {trial.card.contender}, seed {trial.card.seed}: found in the store, not trained again")
    return record


def _train(trial: Trial, prepared: Prepared, split: Split, store: Store, progress: Progress) -> TrialRecord:
    with torch.random.fork_rng():
        torch.manual_seed(trial.card.seed)
        model = Model(models.build(trial.card).to(trial.settings["device"]), trial.card)
    checkpoint = store.checkpoint_path(trial.key)
    training, error = Training(), None
    try:
        images, labels = prepared.held
        training = Loop(model, images, labels, split, trial.experiment, checkpoint, progress).run()
        if training.stopped == "nan":
            error = "loss or weights became NaN or infinite: try a smaller learning_rate."
    except SpikeduelError:
        raise
    except Exception as failure:  # one contender's failure must not cost the others their results
        error = f"{type(failure).__name__}: {failure}".splitlines()[0]
        files.write_text(store.folder(trial.key) / "error.txt", traceback.format_exc())
    record = TrialRecord(
        key=trial.key,
        settings=trial.settings,
        parameters=models.num_parameters(model.module),
        status="failed" if error else "done",
        error=error,
        best_epoch=training.best_epoch,
        stopped=training.stopped,
        epoch_seconds=training.epoch_seconds,
        history=training.history,
        environment=hardware.environment(Compute(trial.settings["device"], trial.card.precision)),
    )
    if training.history:
        models.save_model(store.model_path(trial.key), model)
    store.save(record)
    checkpoint.unlink(missing_ok=True)
    if error:
        progress.say(f"  {trial.card.contender}, seed {trial.card.seed}: failed, {error}")
    return record


def _measure(trial: Trial, prepared: Prepared, split: Split, store: Store) -> None:
    missing = [name for name in MEASURES if store.measure(trial.key, name) is None]
    if not missing:
        return
    images, labels = prepared.held
    model = models.load_model(store.model_path(trial.key), trial.settings["device"], trial.experiment.own_code)
    model.precision = trial.card.precision
    for name in missing:
        store.save_measure(trial.key, name, MEASURES[name](model, EvaluationBatches(images, labels, split.test)))


def _split_digest(split: Split) -> str:
    parts = (split.train, split.val, split.test)
    return hashlib.sha256(b"|".join(np.asarray(part, np.int64).tobytes() for part in parts)).hexdigest()


def _sources(card: ModelCard, experiment: Experiment) -> dict[str, str]:
    named = (
        ("contender", card.contender, ARCHITECTURES),
        ("encoding", card.encoding, ENCODERS),
        ("neuron", card.network.get("neuron"), NEURONS),
        ("augmentation", experiment.augmentation, AUGMENTATIONS),
    )
    return {
        name: registry.source_hash(registry.resolve(kind, name, known))
        for kind, name, known in named
        if name is not None and name not in known
    }
