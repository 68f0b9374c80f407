"""Train and test variants of finished trials: networks beside them, or other predictions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from spikeduel.data import Prepared
from spikeduel.data.catalogue import binned
from spikeduel.evaluation.costing import cost_entry
from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.inputs.preprocessing import Change
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import (
    Classification,
    Latency,
    MissingVariant,
    VariantAbout,
    VariantResult,
)
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Labelled, Progress
from spikeduel.training.contenders import Contender, Trial, describe, trials_of
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.store import Store, TrialRecord
from spikeduel.training.timing import time_inference

TRIAL = "trial"
"""Name of the trial itself as a `source`."""
VariantId = tuple[str, str]
"""Key of a trial, and name of its variant."""
Predicted = tuple[Classification, Mapping[str, Any]]
"""Predictions of the test images, and fields of `VariantResult`."""
Stored = TypeVar("Stored")


@dataclass(frozen=True, eq=False)
class Variant:
    """A variant of a trained network, such as an ablation.

    It is a network that is trained with other `settings`, or a function `predict` that returns
    other predictions of the test images. Both raise `InputError` if the variant is impossible.

    Parameters
    ----------
    title, meaning : str
        Title and explanation in tables.
    spikes : bool
        Whether the variant spikes.
    settings : callable, optional
        Function of a `VariantContext` that returns the settings of its training that differ.
    predict : callable, optional
        Function of a `VariantContext` that returns predictions.
    paired : bool
        Whether predictions are those of the trial's own network. They are compared seed by seed.
    of_recordings : bool
        Whether the variant changes recordings.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.Variant("half the steps", "trained with half the time steps", spikes=True,
    ...            settings=lambda context: {"num_steps": context.num_steps // 2}).title
    'half the steps'
    """

    title: str
    meaning: str
    spikes: bool = False
    settings: "Callable[[VariantContext], Mapping[str, Any]] | None" = None
    """Return the settings of `Experiment` that its training changes."""
    predict: "Callable[[VariantContext], Predicted] | None" = None
    paired: bool = False
    """True for predictions of the trial's own network, which are compared seed by seed."""
    of_recordings: bool = False
    """True if it changes recordings."""
    compressed: bool = False
    """True if its model is written into the run's folder."""
    change: Change = "none"
    """Change of the recordings."""
    source: str | None = None
    """Variant, or `TRIAL`, whose weights its training begins with; None: it begins anew."""
    network: "Callable[[VariantContext, Contender], Contender] | None" = None
    """Change or refuse the network before training, beyond what settings can."""
    fields: "Callable[[VariantContext, str], Mapping[str, Any]] | None" = None
    """Return fields of `VariantResult` that replace those of every training, by its key."""
    timed: bool = False
    """True if an inference of the first seed and fold is timed, on an idle machine."""
    feature: str = ""
    """Feature that it belongs to, entered by `variants_of`."""

    @property
    def about(self) -> dict[str, Any]:
        """Fields of a `VariantResult` that describe the variant."""
        return {name: getattr(self, name) for name in VariantAbout.__struct_fields__}


@dataclass(frozen=True, eq=False)
class VariantContext:
    """A variant of a finished trial, with its data, store and progress."""

    variant: Variant
    trial: Trial
    prepared: Prepared
    store: Store
    progress: Progress
    records: Mapping[VariantId, TrialRecord]
    """Trained variants of all trials."""
    latencies: Mapping[str, Latency]
    """Inference times of `timed` variants, by key, after all trainings."""

    def key_of(self, name: str) -> str:
        """Return the key of a trained variant or of `TRIAL`. Raises `InputError` if missing."""
        if name == TRIAL:
            return self.trial.key
        record = self.records.get((self.trial.key, name))
        if record is None or record.status == "failed":
            raise InputError("the network that it builds on is missing.")
        return record.key

    @property
    def num_steps(self) -> int:
        return self.trial.card.num_steps or self.trial.experiment.num_steps

    def cached(
        self, key: str, name: str, make: Callable[[], Stored], kind: type[Any] = Classification
    ) -> Stored:
        """Return the store's measure `name` of `kind`, else make and store it."""
        with self.store.locked(key):
            measured: Stored | None = self.store.measure(key, name, kind)
            if measured is None:
                self.progress.detail(f"  {self.trial.card.title}: testing")
                measured = make()
                self.store.save_measure(key, name, measured)
        return measured

    def changed(self, variant: Variant | None = None) -> tuple[Experiment, Prepared]:
        """Return the experiment and the data of the training of `variant`, default: its own."""
        variant = variant or self.variant
        assert variant.settings is not None
        settings = {"num_steps": self.num_steps, **variant.settings(self)}
        experiment = self.trial.experiment.without_features()
        experiment = replace(experiment, contenders=(self.trial.card.contender,), **settings)
        return experiment, binned(self.prepared, experiment, None, variant.change)


@dataclass(frozen=True)
class TrialVariants:
    """Results and predictions of one trial's variants, and the `missing` ones, by name."""

    results: dict[str, VariantResult]
    predictions: dict[str, Classification]
    missing: dict[str, MissingVariant]


def variants_of(trial: Trial, prepared: Prepared) -> dict[str, Variant]:
    """Return the variants of a trial by name, none of a converted network.

    Features may name the same variant. It then belongs to the first one.
    """
    if "derived" in trial.settings:
        return {}
    by_name: dict[str, Variant] = {}
    for feature, variants in providing("variants").items():
        for name, variant in variants(trial, prepared).items():
            by_name.setdefault(name, replace(variant, feature=feature))
    return by_name


def titles(trial: Trial, prepared: Prepared) -> list[str]:
    """Return the titles of the trainings of a planned trial's variants."""
    return [
        f"{variant.title}: {trial.card.title}"
        for variant in variants_of(trial, prepared).values()
        if variant.settings is not None
    ]


def run(
    trials: Sequence[Trial], prepared: Prepared, store: Store, progress: Progress, workers: Workers
) -> dict[str, TrialVariants]:
    """Train and test the variants of finished trials, and return them by the trial's key.

    Variants that begin with the weights of others are trained after these.
    """
    records: dict[VariantId, TrialRecord] = {}
    latencies: dict[str, Latency] = {}
    contexts = {
        (trial.key, name): VariantContext(
            variant=variant,
            trial=trial,
            prepared=prepared,
            store=store,
            progress=Labelled(progress, variant.title),
            records=records,
            latencies=latencies,
        )
        for trial in trials
        if store.record(trial.key)
        for name, variant in variants_of(trial, prepared).items()
    }
    by_trial = {key: TrialVariants({}, {}, {}) for key, _ in contexts}
    jobs = _train(contexts, by_trial, records, store, workers)
    timed = [
        (job.trial, job.prepared)
        for id, job in jobs.items()
        if contexts[id].variant.timed
        and records[id].status == "done"
        and not (job.trial.card.seed or job.trial.split.fold)
    ]
    latencies |= {
        key: latency
        for key, latency in time_inference(timed, store, progress, when_idle=True).items()
        if latency.one_image and not latency.machine.busy
    }
    for (key, name), context in progress.track(contexts.items(), "testing variants", len(contexts)):
        if name not in by_trial[key].missing:
            with _left_out(by_trial, name, context):
                predictions, fields = _result(context, records.get((key, name)))
                by_trial[key].predictions[name] = predictions
                by_trial[key].results[name] = VariantResult(
                    **context.variant.about,
                    n=predictions.n,
                    accuracy=predictions.accuracy,
                    by_class=predictions.by_class,
                    **fields,
                )
    return by_trial


def _train(
    contexts: Mapping[VariantId, VariantContext],
    by_trial: Mapping[str, TrialVariants],
    records: dict[VariantId, TrialRecord],
    store: Store,
    workers: Workers,
) -> dict[VariantId, Job]:
    """Train the variants with settings, sources first; add their `records`, and return the jobs."""
    depths = {
        id: _depth(*id, contexts) for id, context in contexts.items() if context.variant.settings
    }
    described: dict[tuple[str, str], Contender] = {}
    jobs: dict[VariantId, Job] = {}
    for depth in sorted(set(depths.values())):
        wave: dict[VariantId, Job] = {}
        for id in depths:
            if depths[id] == depth:
                with _left_out(by_trial, id[1], contexts[id]):
                    wave[id] = _job(contexts[id], described)
        records |= zip(wave, workers.run(list(wave.values()), store), strict=True)
        jobs |= wave
    return jobs


def _depth(key: str, name: str, contexts: Mapping[VariantId, VariantContext]) -> int:
    """Return the number of variants that must be trained before the variant `name`."""
    source = contexts[key, name].variant.source
    if source is None or (key, source) not in contexts:
        return 0
    return 1 + _depth(key, source, contexts)


@contextmanager
def _left_out(
    by_trial: Mapping[str, TrialVariants], name: str, context: VariantContext
) -> Iterator[None]:
    """Note an `InputError` as the reason why a variant is missing. Say each reason once."""
    try:
        yield
    except InputError as error:
        gaps = [gap for variants in by_trial.values() for gap in variants.missing.values()]
        reasons = {gap.reason for gap in gaps}
        say = context.progress.detail if str(error) in reasons else context.progress.say
        say(f"  {context.trial.card.title}: left out, {error}")
        gap = MissingVariant(**context.variant.about, reason=str(error))
        by_trial[context.trial.key].missing[name] = gap


def _job(context: VariantContext, described: dict[tuple[str, str], Contender]) -> Job:
    """Return the job of a variant. All seeds and folds share the network in `described`."""
    trial, variant, name = context.trial, context.variant, context.trial.card.contender
    experiment, prepared = context.changed()
    if (name, variant.title) not in described:
        contender = describe(name, experiment, prepared)
        if contender.card.num_steps not in (None, experiment.num_steps):
            raise InputError(
                f"{name} makes its own {contender.card.num_steps} time steps, whatever it is told."
            )
        if variant.network is not None:
            contender = variant.network(context, contender)
        described[name, variant.title] = contender
    planned = trials_of(
        experiment,
        prepared,
        trial.split,
        contenders=[described[name, variant.title]],
        source=context.key_of(variant.source) if variant.source is not None else None,
    )
    return Job(planned[trial.card.seed], prepared, context.progress)


def _result(context: VariantContext, record: TrialRecord | None) -> Predicted:
    """Return the predictions of a variant, trained if it has a `record`. Raises `InputError`."""
    variant = context.variant
    if record is None:
        assert variant.predict is not None
        predictions, fields = variant.predict(context)
        return predictions, {"num_steps": context.num_steps if variant.spikes else None, **fields}
    tested: Classification | None = context.store.measure(
        record.key, "classification", Classification
    )
    if record.status == "failed" or tested is None:
        raise InputError(f"its training failed: {record.error}")
    # The cost of a network on changed recordings means nothing.
    cost, weight_bits = {}, record.settings["training"].get("weight_bits")
    if not variant.of_recordings:
        counted = context.store.measure(record.key, "operations", Counted)
        cost = cost_entry(counted, weight_bits)
    latency = context.latencies.get(record.key)
    return tested, {
        **cost,
        "num_steps": record.settings["num_steps"],
        "bits": record.settings["network"].get("activation_bits"),
        "weight_bits": weight_bits,
        "parameters": record.parameters,
        "epochs": len(record.history),
        "epoch_seconds": record.epoch_seconds,
        "key": record.key,
        "val_accuracy": record.best.validation.accuracy if record.best else None,
        "one_image_ms": latency.one_image.median_ms if latency and latency.one_image else None,
        **(variant.fields(context, record.key) if variant.fields else {}),
    }
