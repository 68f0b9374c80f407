"""From trials to results: what each trial says, every two contenders compared, what may be concluded."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.data import Prepared, Split
from spikeduel.measuring import MEASURES, robustness
from spikeduel.measuring.costing import cost_entry
from spikeduel.results import significance
from spikeduel.results.audit import Audit
from spikeduel.results.concluding import find_caveats, overturned_by
from spikeduel.results.costs import Latency
from spikeduel.results.run import (
    SCHEMA,
    Conclusions,
    ControlledContender,
    Counts,
    Dataset,
    GroupSizes,
    Pair,
    Results,
    TuningRecord,
)
from spikeduel.results.trials import AddedMeasure, Calling, Classification, Test, Trial
from spikeduel.settings import Experiment
from spikeduel.system import __version__, typed
from spikeduel.trials import answers
from spikeduel.trials.store import TrialRecord

Measured = Mapping[str, Any]
"""What was measured of one trial, by the measure's name."""


def assemble(
    experiment: Experiment,
    prepared: Prepared,
    splits: Sequence[Split],
    trials: Sequence[Trial],
    records: Sequence[TrialRecord],
    measures: Sequence[Measured],
    *,
    controls: Sequence[ControlledContender] = (),
    test_uses: tuple[int, int] | None = None,
    audit: Audit | None = None,
    tuning: TuningRecord | None = None,
) -> Results:
    """The content of results.json. `measures[i]` is what was measured of `records[i]`, and `trials[i]` its entry.

    `splits` holds one split, or one for each fold. `test_uses` says how many models were asked about the test images,
    and how many of them are this run's.
    """
    total, here = test_uses or (None, None)
    described = describe_dataset(prepared, splits)
    dataset = structs.replace(described, audit=audit, test_uses=total, test_uses_here=here)
    finished = list(dict.fromkeys(trial.contender for trial in trials if trial.status == "done"))
    groups = None if prepared.groups is None else prepared.groups[answers.tested(splits)]
    pairs = compare_pairs(finished, records, measures, groups, experiment.equivalence_margin)
    return Results(
        schema=SCHEMA,
        spikeduel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=records[0].environment,
        dataset=dataset,
        experiment=experiment,
        tuning=tuning,
        trials=list(trials),
        comparison=Conclusions(
            pairs=pairs,
            controls=list(controls),
            caveats=find_caveats(experiment, dataset, trials, tuning),
            overturned_by=overturned_by(dataset, pairs, tuned=tuning is not None),
        ),
    )


def trial_entry(record: TrialRecord, measured: Measured, failed: Mapping[str, str], latency: Latency | None) -> Trial:
    """A trial as results.json has it; what was not measured is None."""
    settings = record.settings
    answered: Classification | None = measured.get("classification")
    test = None
    if answered is not None:
        test = Test(
            **structs.asdict(answered.scores()),
            encoding_spread=measured.get("encoding_spread"),
            calibration=measured.get("calibration"),
            by_distance=measured.get("by_distance"),
        )
    # What a converted network is said to have trained is its source's; its validation is its own.
    converted = settings.get("converted")
    anytime, shapes = measured.get("anytime"), measured.get("weight_shapes")
    file = f"{settings['contender'].replace(':', '.')}-seed{settings['seed']}"
    file += "" if record.fold is None else f"-fold{record.fold}"
    return Trial(
        key=record.key,
        **{name: settings[name] for name in ("contender", "family", "seed", "encoding", "num_steps")},
        fold=record.fold,
        precision=settings.get("precision"),
        foreign=settings.get("foreign") and typed.converted(settings["foreign"], Calling),
        converted_from=converted and converted["contender"],
        parameters=record.parameters,
        weight_shapes=shapes and shapes.shapes,
        status=record.status,
        error=record.error,
        epochs=converted["epochs"] if converted else len(record.history),
        best_epoch=None if converted else record.best_epoch,
        stopped=record.stopped,
        epoch_seconds=record.epoch_seconds,
        history=[] if converted else record.history,
        validation=record.best.validation if record.best else None,
        test=test,
        **cost_entry(measured.get("operations")),
        latency=latency,
        anytime=anytime if anytime and anytime.num_steps else None,
        robustness=robustness.summary(test.accuracy, measured) if test else None,
        measures=_added(measured),
        failed_measures=dict(failed),
        model=f"models/{file}.safetensors" if record.status == "done" else None,
    )


def _added(measured: Measured) -> dict[str, AddedMeasure]:
    """Measures that have a title of their own, as tables and report show them."""
    return {
        name: AddedMeasure(
            title=measure.title,
            meaning=measure.meaning,
            value=measure.value(measured[name]) if measure.value else None,
            form=measure.form,
            found=typed.plain(measured[name]),
        )
        for name, measure in MEASURES.items()
        if measure.title and name in measured
    }


def describe_dataset(prepared: Prepared, splits: Sequence[Split]) -> Dataset:
    """The data and its split, or its folds."""
    groups = prepared.groups
    counts = [Counts(train=len(each.train), val=len(each.val), test=len(each.test)) for each in splits]
    described = Dataset(
        name=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        counts=Counts(
            train=round(statistics.fmean(each.train for each in counts)),
            val=round(statistics.fmean(each.val for each in counts)),
            test=sum(each.test for each in counts),
        ),
        image_shape=prepared.image_shape,
        split=splits[0].kind,
        folds=None if splits[0].fold is None else counts,
        notes=list(prepared.notes),
    )
    if groups is None:
        return described
    sizes = np.unique(groups, return_counts=True)[1]
    return structs.replace(
        described,
        groups=len(sizes),
        group_sizes=GroupSizes(largest=int(sizes.max()), median=float(np.median(sizes))),
        groups_tested=sum(len(np.unique(groups[each.test])) for each in splits),
        shared_groups=float(np.concatenate([np.isin(groups[each.test], groups[each.train]) for each in splits]).mean()),
    )


def compare_pairs(
    contenders: Sequence[str],
    records: Sequence[TrialRecord],
    measures: Sequence[Measured],
    groups: np.ndarray | None,
    margin: float,
) -> list[Pair]:
    """Every two of `contenders` with a seed in common, their p-values adjusted for the number of pairs.

    `groups` `[N]` says which test images belong together.
    """
    right = {names: right_answers(*names, records, measures) for names in itertools.combinations(contenders, 2)}
    compared = {names: both for names, both in right.items() if both[0].size}
    found = significance.adjusted([significance.difference(*both, groups, margin) for both in compared.values()])
    return [_pair(*names, *both, difference) for (names, both), difference in zip(compared.items(), found, strict=True)]


def right_answers(
    a: str, b: str, records: Sequence[TrialRecord], measures: Sequence[Measured]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether contenders `a` and `b` are right, bool `[S, N]` each, over the seeds that both finished."""
    truth = answers.pooled("truth", a, records, measures)
    found_a, found_b = (answers.pooled("predicted", name, records, measures) for name in (a, b))
    seeds = sorted(found_a.keys() & found_b.keys())
    return (
        np.array([found_a[seed] == truth[seed] for seed in seeds]),
        np.array([found_b[seed] == truth[seed] for seed in seeds]),
    )


def _pair(a: str, b: str, right_a: np.ndarray, right_b: np.ndarray, found: significance.Difference) -> Pair:
    return Pair(
        **structs.asdict(found),
        a=a,
        b=b,
        accuracy_a=float(right_a.mean()),
        accuracy_b=float(right_b.mean()),
        only_a_right=float((right_a & ~right_b).sum(1).mean()),
        only_b_right=float((right_b & ~right_a).sum(1).mean()),
        seeds_a_ahead=int((right_a.sum(1) > right_b.sum(1)).sum()),
        seeds_b_ahead=int((right_b.sum(1) > right_a.sum(1)).sum()),
    )
