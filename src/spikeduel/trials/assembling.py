"""From trials to results: what each trial says, how long its answers take, every two contenders compared."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.data import Prepared, Split, auditing
from spikeduel.measuring import MEASURES, latency, robustness
from spikeduel.measuring.costing import cost_entry
from spikeduel.results import significance
from spikeduel.results.audit import Audit
from spikeduel.results.concluding import find_caveats, overturned_by
from spikeduel.results.costs import Latency
from spikeduel.results.run import SCHEMA, Conclusions, ControlledContender, Counts, Dataset, GroupSizes, Pair, Results
from spikeduel.results.trials import AddedMeasure, Calling, Classification, Test, Trial
from spikeduel.results.tuning import TuningRecord
from spikeduel.settings import Experiment
from spikeduel.system import __version__, files, typed
from spikeduel.system.progress import Progress
from spikeduel.trials import trial
from spikeduel.trials.controls import Controlled
from spikeduel.trials.planning import Trial as Planned
from spikeduel.trials.store import Store, TrialRecord

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
    groups = groups_tested(prepared, splits)
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


def entries(
    records: Sequence[TrialRecord],
    measures: Sequence[Measured],
    store: Store,
    timed: Mapping[str, Latency],
    controlled: Sequence[Controlled | None],
) -> list[Trial]:
    """Each trial as results.json has it."""
    return [
        trial_entry(record, found, store.failed_measures(record.key), timed.get(record.key), its)
        for record, found, its in zip(records, measures, controlled, strict=True)
    ]


def trial_entry(
    record: TrialRecord,
    measured: Measured,
    failed: Mapping[str, str],
    timed: Latency | None,
    controlled: Controlled | None = None,
) -> Trial:
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
        latency=timed,
        anytime=anytime if anytime and anytime.num_steps else None,
        robustness=robustness.summary(test.accuracy, measured) if test else None,
        # Those that have a title of their own, as tables and report show them.
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
        failed_measures=dict(failed),
        model=f"models/{file}.safetensors" if record.status == "done" else None,
        controls=controlled.results if controlled else {},
        controls_left_out=controlled.reasons if controlled else {},
    )


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
    return [
        Pair(
            **structs.asdict(difference),
            a=a,
            b=b,
            accuracy_a=float(right_a.mean()),
            accuracy_b=float(right_b.mean()),
            only_a_right=float((right_a & ~right_b).sum(1).mean()),
            only_b_right=float((right_b & ~right_a).sum(1).mean()),
            seeds_a_ahead=int((right_a.sum(1) > right_b.sum(1)).sum()),
            seeds_b_ahead=int((right_b.sum(1) > right_a.sum(1)).sum()),
        )
        for ((a, b), (right_a, right_b)), difference in zip(compared.items(), found, strict=True)
    ]


def right_answers(
    a: str, b: str, records: Sequence[TrialRecord], measures: Sequence[Measured]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether contenders `a` and `b` are right, bool `[S, N]` each, over the seeds that both finished."""
    truth = pooled("truth", a, records, measures)
    found_a, found_b = (pooled("predicted", name, records, measures) for name in (a, b))
    seeds = sorted(found_a.keys() & found_b.keys())
    right = [np.array([found[seed] == truth[seed] for seed in seeds]) for found in (found_a, found_b)]
    return right[0], right[1]


def pooled(
    part: str, contender: str, records: Sequence[TrialRecord], measures: Sequence[Mapping[str, Any]]
) -> dict[int, np.ndarray]:
    """int64 `[N]` for each seed that `contender` finished: `part` ("truth", "predicted") for the images of `tested`.

    A seed with an unfinished fold is left out, for want of its images.
    """
    folds = sorted({record.fold for record in records}, key=lambda fold: -1 if fold is None else fold)
    found: dict[int, dict[int | None, np.ndarray]] = {}
    for record, measured in zip(records, measures, strict=True):
        if record.settings["contender"] == contender and "classification" in measured:
            answered = getattr(measured["classification"], part)
            found.setdefault(record.settings["seed"], {})[record.fold] = np.array(answered)
    return {
        seed: np.concatenate([answers[fold] for fold in folds])
        for seed, answers in found.items()
        if len(answers) == len(folds)
    }


def tested(splits: Sequence[Split]) -> np.ndarray:
    """The indices of all test images int64 `[N]`: the only split's, or those of one fold after the other."""
    return np.concatenate([split.test for split in splits])


def groups_tested(prepared: Prepared, splits: Sequence[Split]) -> np.ndarray | None:
    """Which of the images of `tested` belong together, int64 `[N]`; None where there are no groups."""
    return None if prepared.groups is None else prepared.groups[tested(splits)]


def measures(
    trials: Sequence[Planned], records: Sequence[TrialRecord], store: Store, audit: Audit, audited: Split
) -> list[dict[str, Any]]:
    """What was measured of each of `trials`, by name; of an unfinished one, nothing."""
    found = []
    for planned, record in zip(trials, records, strict=True):
        measured = trial.measured(planned, store) if record.status == "done" else {}
        # With folds, the audit looks at the first one's split.
        if (answered := measured.get("classification")) and record.fold == audited.fold:
            bins = auditing.accuracy_by_distance(audit, answered.truth, answered.predicted)
            measured["by_distance"] = bins and list(bins)
        found.append(measured)
    return found


def time_answers(
    trials: Sequence[Planned], records: Sequence[TrialRecord], prepared: Prepared, store: Store, progress: Progress
) -> dict[str, Latency]:
    """The latency of each contender's first finished trial, by its key: answers take other seeds as long.

    Kept in the store beside the trial. Where the store has all of them from this machine (processor, threads, device,
    versions), it is not measured again; where one is missing, all are measured, one after the other, since times
    compare only within one sitting. Nothing else should be running meanwhile.
    """
    first: dict[str, Planned] = {}
    for each, record in zip(trials, records, strict=True):
        if record.status == "done":
            first.setdefault(each.card.contender, each)
    if not first:
        return {}
    timed = list(first.values())
    images = np.asarray(prepared.images[timed[0].split.test[: latency.NUM_IMAGES]])
    # Two that time answers at once would time each other; the second one finds what the first took.
    with files.locked(store.root / "latency.lock", lambda: progress.say("another process is timing answers; waiting")):
        known = {each.key: store.measure(each.key, "latency", Latency) for each in timed}
        here = latency.machine(timed[0].settings["device"])
        if all(
            found and structs.replace(found.machine, load_average=here.load_average) == here for found in known.values()
        ):
            return {key: found for key, found in known.items() if found}
        taken = {}
        for each in progress.track(timed, "timing answers", len(timed)):
            path, device = store.model_path(each.key), each.settings["device"]
            found = taken[each.key] = latency.latency(path, images, device, each.experiment.own_code)
            if found.one_image is None:
                progress.say(f"  {each.card.title}: not timed, {found.reasons['process']}")
            else:
                store.save_measure(each.key, "latency", found)
    return taken


def test_uses(
    store: Store, prepared: Prepared, trials: Sequence[Planned], controlled: Sequence[Controlled | None]
) -> tuple[int, int]:
    """How many models were asked about the test images, and how many of them are this run's; with folds, of the fold
    with the most others.
    """
    own: dict[int | None, set[str]] = {}
    for each, found in zip(trials, controlled, strict=True):
        keys = own.setdefault(each.split.fold, set())
        keys |= {each.key} if store.record(each.key) else set()
        keys |= set(found.keys) if found else set()
    test = {each.split.fold: each.split.test for each in trials}
    uses = [(store.test_uses(prepared.fingerprint, test[fold], keys), len(keys)) for fold, keys in own.items()]
    return max(uses, key=lambda use: use[0] - use[1])
