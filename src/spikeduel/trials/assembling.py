"""Assemble the results of a run from the outcomes of its trials."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from msgspec import structs

from spikeduel.data import TEST, Prepared, Split
from spikeduel.data.events.recordings import Recordings
from spikeduel.measuring import MEASURES, robustness
from spikeduel.measuring.costing import cost_entry, with_accountings
from spikeduel.networks.cards import Calling
from spikeduel.results import optimism, power, significance
from spikeduel.results.audit import Audit, Counts
from spikeduel.results.controls import without_unlearned
from spikeduel.results.run import (
    SCHEMA,
    Budget,
    Conclusions,
    Dataset,
    GroupSizes,
    Pair,
    Results,
    SetRules,
)
from spikeduel.results.run_findings import RunContext, find_caveats
from spikeduel.results.trials import AddedMeasure, Test, Trial
from spikeduel.results.tuned import TuningRecord
from spikeduel.results.uncertainty import effective_groups
from spikeduel.settings import Experiment
from spikeduel.system import __version__, typed
from spikeduel.trials import label_check
from spikeduel.trials.controls import compare_with_controls, without_time
from spikeduel.trials.outcomes import TestUses, TrialOutcome, pooled, right_of, tested, trainings

MOST_SUSPECT_LABELS = 200
"""Suspect labels in results.json; labels.csv has all."""


def assemble(
    experiment: Experiment,
    prepared: Prepared,
    splits: Sequence[Split],
    outcomes: Sequence[TrialOutcome],
    *,
    uses: TestUses = TestUses(),
    labels: label_check.Checked = (None, []),
    audit: Audit | None = None,
    tuning: TuningRecord | None = None,
    rules: SetRules | None = None,
    budget: Budget | None = None,
    not_converted: Mapping[str, str] | None = None,
) -> Results:
    """Return the content of results.json. `not_converted` gives reasons by contender."""
    checked, suspect_labels = labels
    dataset = describe_dataset(
        *(prepared, splits),
        audit=audit,
        test_uses=uses.models,
        test_uses_here=uses.here,
        tested_every_epoch=uses.every_epoch,
        labels=checked,
        suspect_labels=suspect_labels[:MOST_SUSPECT_LABELS],
    )
    margin = experiment.equivalence_margin
    trials = [trial_entry(outcome) for outcome in outcomes]
    groups = None if prepared.groups is None else prepared.groups[tested(splits)]
    done = list(dict.fromkeys(trial.contender for trial in trials if trial.status == "done"))
    pairs = compare_pairs(done, outcomes, groups, margin)
    compared = [compare_with_controls(name, outcomes, groups, margin) for name in done]
    run = RunContext(experiment, dataset, trials, pairs, tuning, not_converted or {}, budget)
    results = Results(
        schema=SCHEMA,
        spikeduel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        environment=outcomes[0].record.environment,
        dataset=dataset,
        experiment=experiment,
        tuning=tuning,
        rules=rules,
        budget=budget,
        trials=trials,
        comparison=Conclusions(
            pairs=pairs,
            controls=[
                without_unlearned(controlled, trials) for controlled in compared if controlled
            ],
            caveats=find_caveats(run),
            optimism=optimism.meter(trials),
            without_time=without_time(outcomes, trials, groups, margin),
        ),
    )
    return with_accountings(results)


def trial_entry(outcome: TrialOutcome) -> Trial:
    """Return the trial's entry in results.json."""
    record, measured, controlled = outcome.record, outcome.measured, outcome.controlled
    settings, answers = record.settings, outcome.answers
    more: dict[str, Any] = {name: measured.get(name) for name in ("encoding_spread", "calibration")}
    test = Test(**structs.asdict(answers.scores()), **more) if answers else None
    # A converted network has its source's epochs and its own validation score.
    converted, twin = settings.get("converted"), settings.get("twin", {})
    anytime, shapes = measured.get("anytime"), measured.get("weight_shapes")
    file = f"{settings['contender'].replace(':', '.')}-seed{settings['seed']}"
    file += "" if record.fold is None else f"-fold{record.fold}"
    return Trial(
        **{
            name: settings[name]
            for name in ("contender", "family", "seed", "encoding", "num_steps")
        },
        **{
            name: getattr(record, name)
            for name in ("key", "fold", "parameters", "status", "error", "stopped")
        },
        precision=settings.get("precision"),
        threads=record.environment.get("threads"),
        foreign=settings.get("foreign") and typed.converted(settings["foreign"], Calling),
        converted_from=converted and converted["contender"],
        pretrained=settings.get("network", {}).get("weights"),
        weight_shapes=shapes and shapes.shapes,
        epochs=converted["epochs"] if converted else len(record.history),
        starts_from=None if converted else twin.get("contender"),
        best_epoch=None if converted else record.best_epoch,
        epoch_seconds=record.epoch_seconds,
        history=[] if converted else record.history,
        validation=record.best.validation if record.best else None,
        test=test,
        **cost_entry(measured.get("operations")),
        latency=outcome.latency,
        anytime=anytime if anytime and anytime.num_steps else None,
        robustness=robustness.summary(test.accuracy, measured) if test else None,
        optimism=outcome.optimism,
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
        controls=controlled.results if controlled else {},
    )


def describe_dataset(prepared: Prepared, splits: Sequence[Split], **more: Any) -> Dataset:
    """Describe the data and their split; `more` are further fields."""
    groups = prepared.groups
    if groups is not None:
        sizes = np.unique(groups, return_counts=True)[1]
        of_tests = np.unique(groups[tested(splits)], return_inverse=True)[1]
        shared = [np.isin(groups[split.test], groups[split.train]) for split in splits]
        more |= {
            "groups": len(sizes),
            "group_sizes": GroupSizes(largest=int(sizes.max()), median=float(np.median(sizes))),
            "groups_tested": int(of_tests.max()) + 1,
            "effective_groups_tested": effective_groups(of_tests),
            "shared_groups": float(np.concatenate(shared).mean()),
        }
    counts = [
        Counts(train=len(split.train), val=len(split.val), test=len(split.test)) for split in splits
    ]
    return Dataset(
        name=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        counts=Counts(
            train=round(statistics.fmean(fold.train for fold in counts)),
            val=round(statistics.fmean(fold.val for fold in counts)),
            test=sum(fold.test for fold in counts),
        ),
        image_shape=prepared.image_shape,
        split=splits[0].kind,
        folds=None if splits[0].fold is None else counts,
        notes=list(prepared.notes),
        own_validation=prepared.official is not None
        and not (np.asarray(prepared.official) == TEST).any(),
        events=prepared.images.rates(tested(splits))
        if isinstance(prepared.images, Recordings)
        else None,
        **more,
    )


def compare_pairs(
    contenders: Sequence[str],
    outcomes: Sequence[TrialOutcome],
    groups: np.ndarray | None,
    margin: float,
) -> list[Pair]:
    """Compare every two `contenders` on the seeds in common.

    P-values are adjusted for the number of pairs. `groups` `[N]` numbers the groups of test images.
    """
    answers = {name: pooled(outcomes, name) for name in contenders}
    keys = {name: trainings(outcomes, name) for name in contenders}
    compared: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    differences = []
    for a, b in itertools.combinations(contenders, 2):
        if seeds := sorted(answers[a].keys() & answers[b].keys()):
            compared[a, b] = right_of(seeds, answers[a]), right_of(seeds, answers[b])
            same = all(keys[a][seed] == keys[b][seed] for seed in seeds)
            differences.append(significance.difference(*compared[a, b], groups, margin, same))
    pairs = []
    for (names, right), difference in zip(
        compared.items(), significance.adjusted(differences), strict=True
    ):
        (a, b), (right_a, right_b) = names, right
        found = None
        if len(right_a) > 1:
            variability = power.variability_of(right_a, right_b, groups)
            found = power.power(variability, power.LEAD, len(right_a), len(compared))
        pairs.append(
            Pair(
                **structs.asdict(difference),
                a=a,
                b=b,
                accuracy_a=float(right_a.mean()),
                accuracy_b=float(right_b.mean()),
                only_a_right=float((right_a & ~right_b).sum(1).mean()),
                only_b_right=float((right_b & ~right_a).sum(1).mean()),
                power=found,
            )
        )
    return pairs
