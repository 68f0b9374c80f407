"""Outcomes of trials: gather measures, compare contenders and variants, and assemble
results.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel import data
from spikeduel.analysis.conclusions import concluded, of_split
from spikeduel.analysis.predicted import REARRANGED
from spikeduel.auditing.audit_results import SPLITS, Audit
from spikeduel.data import Prepared, Split
from spikeduel.data.events.recordings import Recordings
from spikeduel.engine.networks.cards import CallConvention
from spikeduel.evaluation.costing import cost_entry
from spikeduel.evaluation.measures import MEASURES
from spikeduel.experiment.settings import Experiment
from spikeduel.results.predictions import PredictionsFile, SeedPredictions
from spikeduel.results.run import (
    SCHEMA,
    Budget,
    Conclusions,
    Dataset,
    Results,
    SetRules,
)
from spikeduel.results.trials import (
    AddedMeasure,
    Classification,
    Latency,
    Test,
    Trial as TrialEntry,
)
from spikeduel.system import __version__, typed
from spikeduel.system.grouped import grouped
from spikeduel.system.progress import Progress
from spikeduel.training import trial as trial_run
from spikeduel.training.contenders import Trial
from spikeduel.training.store import Store, TrialRecord, images_digest
from spikeduel.training.timing import time_inference
from spikeduel.training.variants import TrialVariants


@dataclass(frozen=True)
class TrialOutcome:
    """A trained or failed trial: its record, and measures by name."""

    record: TrialRecord
    measured: Mapping[str, Any]
    failed_measures: Mapping[str, str] = field(default_factory=dict)
    latency: Latency | None = None
    variants: TrialVariants | None = None

    @property
    def contender(self) -> str:
        return self.record.settings["contender"]

    @property
    def seed(self) -> int:
        return self.record.settings["seed"]

    @property
    def fold(self) -> int:
        """Fold that the trial was tested on, -1 without folds."""
        return -1 if self.record.fold is None else self.record.fold

    @property
    def training(self) -> str:
        """Key of the training that made the weights (another's, if derived from it)."""
        return self.record.settings.get("derived", {}).get("key", self.record.key)

    @property
    def predictions(self) -> Classification | None:
        return self.measured.get("classification")

    @property
    def sees_no_time(self) -> bool:
        """True if rearranging events in time changes no prediction; False if not tested."""
        if self.predictions is None or self.variants is None:
            return False
        predictions = self.variants.predictions
        rearranged = [predictions[name] for name in REARRANGED if name in predictions]
        return bool(rearranged) and all(
            predictions.predicted == self.predictions.predicted for predictions in rearranged
        )


def gather(
    trials: Sequence[Trial],
    records: Sequence[TrialRecord],
    variants: Mapping[str, TrialVariants],
    prepared: Prepared,
    store: Store,
    progress: Progress,
) -> list[TrialOutcome]:
    """Time the inference of trials and gather all results. `variants` is by key."""
    done = grouped(
        (trial.card.contender, (trial, prepared))
        for trial, record in zip(trials, records, strict=True)
        if record.status == "done"
    )
    timed = time_inference([first for first, *_ in done.values()], store, progress)
    return [
        TrialOutcome(
            record=record,
            measured=trial_run.measured(trial, store) if record.status == "done" else {},
            failed_measures=store.failed_measures(record.key),
            latency=timed.get(record.key),
            variants=variants.get(record.key),
        )
        for trial, record in zip(trials, records, strict=True)
    ]


def test_uses(
    store: Store, prepared: Prepared, splits: Sequence[Split], outcomes: Sequence[TrialOutcome]
) -> dict[str, int]:
    """Return the uses of the test images as fields of `Dataset`, with folds in the fold that other
    runs used most.
    """
    uses, every_epoch = [], 0
    for split in splits:
        in_fold = [outcome for outcome in outcomes if outcome.record.fold == split.fold]
        keys = {outcome.record.key for outcome in in_fold if outcome.record.status == "done"}
        for variants in filter(None, (outcome.variants for outcome in in_fold)):
            keys |= {result.key for result in variants.results.values() if result.key}
        images = images_digest(prepared, split.test)
        uses.append((store.test_uses(images, keys), len(keys)))
        every_epoch += store.tested_every_epoch(images)
    models, here = max(uses, key=lambda use: use[0] - use[1])
    return {"test_uses": models, "test_uses_here": here, "tested_every_epoch": every_epoch}


def tested(splits: Sequence[Split]) -> np.ndarray:
    """Return the indices of all test images, fold by fold, int64 `[N]`."""
    return np.concatenate([split.test for split in splits])


def pooled(
    outcomes: Sequence[TrialOutcome], contender: str, variant: str | None = None
) -> dict[int, np.ndarray]:
    """Return true and predicted classes of a contender or variant on `tested` images, int64 `[2,
    N]` by seed, without unfinished seeds.
    """
    folds = sorted({outcome.fold for outcome in outcomes})
    by_seed: dict[int, dict[int, np.ndarray]] = {}
    for outcome in outcomes:
        if outcome.contender == contender:
            predictions = outcome.predictions
            if variant is not None:
                predictions = (
                    outcome.variants.predictions.get(variant) if outcome.variants else None
                )
            if predictions:
                both = np.array([predictions.truth, predictions.predicted])
                by_seed.setdefault(outcome.seed, {})[outcome.fold] = both
    return {
        seed: np.concatenate([parts[fold] for fold in folds], axis=1)
        for seed, parts in by_seed.items()
        if len(parts) == len(folds)
    }


def trainings(outcomes: Sequence[TrialOutcome], contender: str) -> dict[int, list[str]]:
    """Return the keys of a contender's trainings, one for each fold, by seed."""
    by_fold = sorted(outcomes, key=lambda outcome: outcome.fold)
    of_contender = [outcome for outcome in by_fold if outcome.contender == contender]
    return grouped((outcome.seed, outcome.training) for outcome in of_contender)


def assemble(
    experiment: Experiment,
    prepared: Prepared,
    splits: Sequence[Split],
    outcomes: Sequence[TrialOutcome],
    *,
    uses: Mapping[str, Any] | None = None,
    audit: Audit | None = None,
    rules: SetRules | None = None,
    budget: Budget | None = None,
    features: Mapping[str, Any] | None = None,
) -> Results:
    """Return the content of results.json. `features`: what they concluded while it was
    made."""
    dataset = describe_dataset(
        prepared,
        splits,
        can_fold=data.can_fold(prepared, experiment, 5),
        audit=audit,
        **(uses or {}),
    )
    results = Results(
        schema=SCHEMA,
        spikeduel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=outcomes[0].record.environment,
        dataset=dataset,
        experiment=experiment,
        rules=rules,
        budget=budget,
        trials=[trial_entry(outcome) for outcome in outcomes],
        comparison=Conclusions(),
        features=dict(features or {}),
    )
    return concluded(results, predictions_of(prepared, splits, outcomes))


def predictions_of(
    prepared: Prepared, splits: Sequence[Split], outcomes: Sequence[TrialOutcome]
) -> PredictionsFile:
    """Return the predictions of finished seeds, each before its variants, in the order of
    `outcomes`.
    """
    test = tested(splits)
    keys = {outcome.contender: trainings(outcomes, outcome.contender) for outcome in outcomes}
    variants = dict.fromkeys(
        name for outcome in outcomes if outcome.variants for name in outcome.variants.predictions
    )
    order = list(dict.fromkeys((outcome.contender, outcome.seed) for outcome in outcomes))
    predictions = [
        SeedPredictions(
            contender=contender,
            seed=seed,
            predicted=both[1].tolist(),
            trainings=keys[contender][seed],
            variant=variant,
        )
        for contender in keys
        for variant in (None, *variants)
        for seed, both in pooled(outcomes, contender, variant).items()
    ]
    return PredictionsFile(
        schema=2,
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        indices=test.tolist(),
        labels=np.asarray(prepared.labels)[test].tolist(),
        images=prepared.hashes_of(test),
        groups=None if prepared.groups is None else np.asarray(prepared.groups)[test].tolist(),
        trials=sorted(predictions, key=lambda entry: order.index((entry.contender, entry.seed))),
    )


def trial_entry(outcome: TrialOutcome) -> TrialEntry:
    record, measured, variants = outcome.record, outcome.measured, outcome.variants
    settings, predictions = record.settings, outcome.predictions
    deviation = measured.get("encoding_deviation")
    test = (
        Test(**structs.asdict(predictions.scores()), encoding_deviation=deviation)
        if predictions
        else None
    )
    # A derived network has its source's epochs and its own validation score.
    derived = settings.get("derived")
    training = settings.get("training", {})
    anytime, shapes = measured.get("by_step"), measured.get("weight_shapes")
    file = f"{settings['contender'].replace(':', '.')}-seed{settings['seed']}"
    file += "" if record.fold is None else f"-fold{record.fold}"
    return TrialEntry(
        **{name: settings[name] for name in ("contender", "kind", "seed", "encoding", "num_steps")},
        **{
            name: getattr(record, name)
            for name in ("key", "fold", "parameters", "status", "error", "stopped")
        },
        precision=settings.get("precision"),
        threads=record.environment.get("threads"),
        foreign=settings.get("foreign") and typed.converted(settings["foreign"], CallConvention),
        derived_from=derived and derived["contender"],
        pretrained=settings.get("network", {}).get("weights"),
        weight_shapes=shapes and shapes.shapes,
        epochs=derived["epochs"] if derived else len(record.history),
        relu_epochs=training.get("relu_epochs", 0),
        best_epoch=None if derived else record.best_epoch,
        epoch_seconds=record.epoch_seconds,
        history=[] if derived else record.history,
        validation=record.best.validation if record.best else None,
        test=test,
        **cost_entry(measured.get("operations")),
        latency=outcome.latency,
        anytime=anytime if anytime and anytime.num_steps else None,
        measured={
            **{
                name: typed.plain(value) for name, value in measured.items() if name not in MEASURES
            },
            **record.after_epochs,
        },
        # Measures with a title, as tables and report show them.
        measures={
            name: AddedMeasure(
                title=measure.title,
                meaning=measure.meaning,
                value=measure.value(measured[name]) if measure.value else None,
                form=measure.form,
                found=typed.plain(measured[name]),
            )
            for name, measure in MEASURES.items()
            if measure.title and name in measured
        },
        failed_measures=dict(outcome.failed_measures),
        model=f"models/{file}.safetensors" if record.status == "done" else None,
        variants={
            name: structs.replace(result, model=f"models/{file}-{name}.safetensors")
            if result.compressed and result.key
            else result
            for name, result in (variants.results if variants else {}).items()
        },
        missing_variants=variants.missing if variants else {},
    )


def describe_dataset(prepared: Prepared, splits: Sequence[Split], **more: Any) -> Dataset:
    split_names = [
        {split_name: getattr(split, split_name).tolist() for split_name in SPLITS}
        for split in splits
    ]
    groups = None if prepared.groups is None else dict(enumerate(prepared.groups.tolist()))
    return Dataset(
        name=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        image_shape=prepared.image_shape,
        split=splits[0].kind,
        notes=list(prepared.notes),
        own_validation=prepared.own_validation,
        events=prepared.images.rates(tested(splits))
        if isinstance(prepared.images, Recordings)
        else None,
        **of_split(split_names, groups),
        **more,
    )
