"""Compute all of results.json that follows from measurements and predictions.

`compare` and `verify` both call `concluded`.
"""

import itertools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from msgspec import structs

from spikeduel import energy
from spikeduel.analysis.answer import ACCOUNTING_OF, answered
from spikeduel.analysis.predicted import Answers
from spikeduel.analysis.run_findings import RunContext, find_caveats
from spikeduel.auditing.audit_results import SIDES, Counts, Side
from spikeduel.energy import accounting
from spikeduel.features import providing
from spikeduel.results import power, significance
from spikeduel.results.accuracy import (
    classified,
    no_better_than_chance,
)
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import (
    Conclusions,
    Dataset,
    GroupSizes,
    Pair,
    Results,
)
from spikeduel.results.trials import Trial, has_converged
from spikeduel.statistics import (
    effective_groups,
    numbered,
    variability_of,
)
from spikeduel.system.negligible import MAX_DEFICIT

COUNTED = ("n", "accuracy", "precision", "recall", "f1", "per_class", "confusion")
"""Scores that predictions alone determine."""


def concluded(results: Results, predictions: PredictionsFile) -> Results:
    """Return `results` with scores, energies and conclusions computed anew.

    Kept are settings, data, training histories, counts and times.
    """
    answers = Answers(predictions)
    trials = [_scored(trial, answers, results.dataset) for trial in results.trials]
    done = list(dict.fromkeys(trial.contender for trial in trials if trial.status == "done"))
    run = RunContext(
        *(results.experiment, results.dataset, trials, compare_pairs(done, answers)),
        *(results.features, results.budget),
    )
    run = replace(run, pairs=run.reserved())
    conclusions = Conclusions(
        pairs=list(run.pairs),
        caveats=find_caveats(run),
    )
    results = priced(structs.replace(results, trials=trials, comparison=conclusions))
    of_features = providing("conclude")
    # What a feature concluded that is not there cannot be computed: it stays.
    features = {name: each for name, each in results.features.items() if name not in of_features}
    for name, conclude in of_features.items():
        if (conclusion := conclude(results, predictions)) is not None:
            features[name] = conclusion
    return structs.replace(results, features=features)


def _scored(trial: Trial, answers: Answers, dataset: Dataset) -> Trial:
    """Return `trial` with all that follows from its history and predictions."""
    if trial.derived_from is None:
        with_spikes = trial.history[trial.relu_epochs :]
        ended = trial.stopped in ("early", "limit")
        converged = trial.stopped == "early" or has_converged(with_spikes, len(answers.names))
        trial = structs.replace(trial, converged=converged if ended else None)
    if trial.best_epoch is not None:
        trial = structs.replace(trial, validation=trial.history[trial.best_epoch].validation)
    rows = rows_of(trial, dataset)
    predicted = answers.of(trial.contender).get(trial.seed)
    if trial.test is None or predicted is None:
        return trial
    found = classified(answers.names, answers.truth[rows], predicted[rows])
    test = structs.replace(trial.test, **{name: getattr(found, name) for name in COUNTED})
    controls = {}
    for name, control in trial.controls.items():
        of_control = answers.of(trial.contender, name).get(trial.seed)
        if of_control is not None:
            found = classified(answers.names, answers.truth[rows], of_control[rows])
            control = structs.replace(
                control, n=found.n, accuracy=found.accuracy, by_class=found.by_class
            )
        controls[name] = control
    trial = structs.replace(trial, test=test, controls=controls)
    return structs.replace(trial, converged=trial.converged and not no_better_than_chance([trial]))


def rows_of(trial: Trial, dataset: Dataset) -> slice:
    """Return the rows of predictions.json that a trial was tested on: its fold's."""
    if trial.fold is None or not dataset.folds:
        return slice(None)
    start = sum(counts.test for counts in dataset.folds[: trial.fold])
    return slice(start, start + dataset.folds[trial.fold].test)


def of_split(
    splits: Sequence[Mapping[Side, Sequence[Any]]], groups: Mapping[Any, Any] | None
) -> dict[str, Any]:
    """Return the fields of `Dataset` that the images on the sides of each split decide: counts, and
    those of `groups` by image. Images and groups are any names; several splits are folds.
    """
    counts = [Counts(**{side: len(split[side]) for side in SIDES}) for split in splits]
    mean = Counts(
        train=round(statistics.fmean(fold.train for fold in counts)),
        val=round(statistics.fmean(fold.val for fold in counts)),
        test=sum(fold.test for fold in counts),
    )
    fields: dict[str, Any] = {"counts": mean, "folds": counts if len(counts) > 1 else None}
    if groups is None:
        return fields
    used = {image for split in splits for side in SIDES for image in split[side]}
    sizes = list(Counter(groups[image] for image in used).values())
    tests = [[groups[image] for image in split["test"]] for split in splits]
    trained = [{groups[image] for image in split["train"]} for split in splits]
    shared = [
        group in of_fold for fold, of_fold in zip(tests, trained, strict=True) for group in fold
    ]
    of_tests = numbered(list(itertools.chain(*tests)))
    return fields | {
        "groups": len(sizes),
        "group_sizes": GroupSizes(largest=max(sizes), median=float(statistics.median(sizes))),
        "groups_tested": int(of_tests.max()) + 1,
        "effective_groups_tested": effective_groups(of_tests),
        "shared_groups": sum(shared) / len(shared),
    }


def priced(results: Results, prices: energy.Prices = energy.Prices()) -> Results:
    """Return `results` with energies and accountings again, those of `prices` first, and the answer
    that follows.
    """
    names = {table.name for table in prices.tables}
    named = [energy.read(name) for name in energy.NAMES if name not in names]

    def estimated(entry: Any) -> Any:
        joules = energy.energies(entry.operations, [*prices.tables, *named])
        return structs.replace(entry, energy=joules)

    trials = [
        structs.replace(
            estimated(trial),
            controls={name: estimated(control) for name, control in trial.controls.items()},
        )
        for trial in results.trials
    ]
    results = structs.replace(results, trials=trials)
    accounted = accounting.compare_run(results, prices.accountings)
    results = structs.replace(results, energy_accountings=accounted)
    if (of_device := ACCOUNTING_OF.get(results.experiment.answer_for)) is None:
        return answered(results)
    return answered(results, accounting.amounts(results, of_device, prices.accountings))


def compare_pairs(contenders: Sequence[str], answers: Answers) -> list[Pair]:
    """Compare every two `contenders` on the seeds that all finished, with Holm's adjustment of
    p-values. A better one is so with its failed seeds at chance, too.
    """
    groups, classes, keys = answers.groups, answers.classes, answers.trainings
    tests, with_failures = [], []
    seeds = answers.common
    right = {name: answers.right(seeds, name) for name in contenders if seeds and answers.of(name)}
    couples = list(itertools.combinations(right, 2))
    for a, b in couples:
        same = all(keys[a, seed] == keys[b, seed] for seed in seeds)
        tests.append(significance.tested(right[a], right[b], groups, None, same, classes))
        leader, other = (a, b) if tests[-1].difference > 0 else (b, a)
        tried = sorted({*seeds, *(answers.of(other).keys() - answers.of(leader).keys())})
        both = answers.right(tried, a), answers.right(tried, b)
        with_failures.append(
            tests[-1] if tried == seeds else significance.tested(*both, groups, None, same, classes)
        )
    pairs = []
    differences = map(
        significance.confirmed, significance.adjusted(tests), significance.adjusted(with_failures)
    )
    for (a, b), difference in zip(couples, differences, strict=True):
        several = variability_of(right[a], right[b], groups, classes) if seeds[1:] else None
        pairs.append(
            Pair(
                **structs.asdict(difference),
                a=a,
                b=b,
                accuracy_a=answers.accuracy(seeds, a),
                accuracy_b=answers.accuracy(seeds, b),
                only_a_right=float((right[a] & ~right[b]).sum(1).mean()),
                only_b_right=float((right[b] & ~right[a]).sum(1).mean()),
                power=power.power(several, MAX_DEFICIT, len(seeds), len(couples))
                if several
                else None,
            )
        )
    return pairs
