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
from spikeduel.analysis.predicted import Predictions
from spikeduel.analysis.recommending import with_recommendation
from spikeduel.analysis.run_findings import RunContext, find_caveats
from spikeduel.auditing.audit_results import SPLITS, Counts, SplitName
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
    all_predictions = Predictions(predictions)
    trials = [_scored(trial, all_predictions, results.dataset) for trial in results.trials]
    done = list(dict.fromkeys(trial.contender for trial in trials if trial.status == "done"))
    run = RunContext(
        experiment=results.experiment,
        dataset=results.dataset,
        trials=trials,
        pairs=compare_pairs(done, all_predictions),
        features=results.features,
        budget=results.budget,
    )
    run = replace(run, pairs=run.reserved())
    conclusions = Conclusions(
        pairs=list(run.pairs),
        caveats=find_caveats(run),
    )
    results = with_energy(structs.replace(results, trials=trials, comparison=conclusions))
    of_features = providing("conclude")
    # What a feature concluded that is not there cannot be computed: it stays.
    features = {
        name: conclusion for name, conclusion in results.features.items() if name not in of_features
    }
    for name, conclude in of_features.items():
        if (conclusion := conclude(results, predictions)) is not None:
            features[name] = conclusion
    return structs.replace(results, features=features)


def _scored(trial: Trial, all_predictions: Predictions, dataset: Dataset) -> Trial:
    """Return `trial` with all that follows from its history and predictions."""
    if trial.derived_from is None:
        with_spikes = trial.history[trial.relu_epochs :]
        ended = trial.stopped in ("early", "limit")
        converged = trial.stopped == "early" or has_converged(
            with_spikes, len(all_predictions.names)
        )
        trial = structs.replace(trial, converged=converged if ended else None)
    if trial.best_epoch is not None:
        trial = structs.replace(trial, validation=trial.history[trial.best_epoch].validation)
    rows = rows_of(trial, dataset)
    predicted = all_predictions.of(trial.contender).get(trial.seed)
    if trial.test is None or predicted is None:
        return trial
    scores = classified(all_predictions.names, all_predictions.truth[rows], predicted[rows])
    test = structs.replace(trial.test, **{name: getattr(scores, name) for name in COUNTED})
    variants = {}
    for name, variant in trial.variants.items():
        of_variant = all_predictions.of(trial.contender, name).get(trial.seed)
        if of_variant is not None:
            scores = classified(
                all_predictions.names, all_predictions.truth[rows], of_variant[rows]
            )
            variant = structs.replace(
                variant, n=scores.n, accuracy=scores.accuracy, by_class=scores.by_class
            )
        variants[name] = variant
    trial = structs.replace(trial, test=test, variants=variants)
    return structs.replace(trial, converged=trial.converged and not no_better_than_chance([trial]))


def rows_of(trial: Trial, dataset: Dataset) -> slice:
    """Return the rows of predictions.json that a trial was tested on: its fold's."""
    if trial.fold is None or not dataset.folds:
        return slice(None)
    start = sum(counts.test for counts in dataset.folds[: trial.fold])
    return slice(start, start + dataset.folds[trial.fold].test)


def of_split(
    splits: Sequence[Mapping[SplitName, Sequence[Any]]], groups: Mapping[Any, Any] | None
) -> dict[str, Any]:
    """Return the fields of `Dataset` that the images of each split decide: counts, and
    those of `groups` by image. Images and groups are any names; several splits are folds.
    """
    counts = [
        Counts(**{split_name: len(split[split_name]) for split_name in SPLITS}) for split in splits
    ]
    mean = Counts(
        train=round(statistics.fmean(fold.train for fold in counts)),
        val=round(statistics.fmean(fold.val for fold in counts)),
        test=sum(fold.test for fold in counts),
    )
    fields: dict[str, Any] = {"counts": mean, "folds": counts if len(counts) > 1 else None}
    if groups is None:
        return fields
    used = {image for split in splits for split_name in SPLITS for image in split[split_name]}
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


def with_energy(results: Results, prices: energy.Prices = energy.Prices()) -> Results:
    """Return `results` with energies and accountings again, those of `prices` first, and the
    recommendation that follows.
    """
    names = {table.name for table in prices.tables}
    named = [energy.read(name) for name in energy.NAMES if name not in names]

    def estimated(entry: Any) -> Any:
        joules = energy.energies(entry.operations, [*prices.tables, *named])
        return structs.replace(entry, energy=joules)

    trials = [
        structs.replace(
            estimated(trial),
            variants={name: estimated(variant) for name, variant in trial.variants.items()},
        )
        for trial in results.trials
    ]
    results = structs.replace(results, trials=trials)
    accounted = accounting.compare_run(results, prices.accountings)
    return with_recommendation(structs.replace(results, energy_accountings=accounted))


def compare_pairs(contenders: Sequence[str], all_predictions: Predictions) -> list[Pair]:
    """Compare every two `contenders` on the seeds that all finished, with Holm's adjustment of
    p-values. A better one is so with its failed seeds at chance, too.
    """
    groups, classes, keys = (
        all_predictions.groups,
        all_predictions.classes,
        all_predictions.trainings,
    )
    tests, with_failures = [], []
    seeds = all_predictions.common
    right = {
        name: all_predictions.right(seeds, name)
        for name in contenders
        if seeds and all_predictions.of(name)
    }
    couples = list(itertools.combinations(right, 2))
    for a, b in couples:
        same = all(keys[a, seed] == keys[b, seed] for seed in seeds)
        tests.append(significance.tested(right[a], right[b], groups, None, same, classes))
        leader, other = (a, b) if tests[-1].difference > 0 else (b, a)
        tried = sorted(
            {*seeds, *(all_predictions.of(other).keys() - all_predictions.of(leader).keys())}
        )
        both = all_predictions.right(tried, a), all_predictions.right(tried, b)
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
                accuracy_a=all_predictions.accuracy(seeds, a),
                accuracy_b=all_predictions.accuracy(seeds, b),
                only_a_right=float((right[a] & ~right[b]).sum(1).mean()),
                only_b_right=float((right[b] & ~right[a]).sum(1).mean()),
                power=power.power(several, MAX_DEFICIT, len(seeds), len(couples))
                if several
                else None,
            )
        )
    return pairs
