"""Compare contenders with their ablations, and the best contender with the best without time."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from spikeduel.analysis.predicted import Predictions
from spikeduel.features.ablations.ablation_results import (
    AblatedContender,
    AblationRow,
    Conclusion,
    TemporalLoss,
    WithoutTime,
    claims,
    without_unlearned,
)
from spikeduel.features.ablations.ablation_sentences import summary
from spikeduel.results import significance
from spikeduel.results.accuracy import no_better_than_chance
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.results.significance import Difference, Reservation
from spikeduel.results.trials import Trial, VariantAbout
from spikeduel.statistics import accuracies, mean_accuracy

FEATURE = "ablations"
COLLAPSED = "collapsed"
"""The ablation that is trained on recordings without time."""


def conclude(results: Results, predictions: PredictionsFile) -> Conclusion | None:
    """Return the comparisons of contenders with their ablations; None without any."""
    all_predictions, trials = Predictions(predictions), results.trials
    done = dict.fromkeys(trial.contender for trial in trials if trial.status == "done")
    compared = [compare_with_ablations(name, trials, all_predictions) for name in done]
    contenders = [without_unlearned(contender, trials) for contender in compared if contender]
    if not contenders:
        return None
    conclusion = Conclusion(
        contenders=[structs.replace(entry, claims=claims(entry)) for entry in contenders],
        without_time=without_time(trials, all_predictions),
    )
    return structs.replace(conclusion, text=summary(results, conclusion))


def compare_with_ablations(
    contender: str,
    trials: Sequence[Trial],
    all_predictions: Predictions,
) -> AblatedContender | None:
    """Compare a contender with its ablations on common seeds; p-values are adjusted by Holm."""
    counted = all_predictions.seeds(contender)
    ablated = [trial for trial in trials if trial.contender == contender and trial.seed in counted]
    missing = {name: gap for trial in ablated for name, gap in trial.missing_variants.items()}
    measured = {name: result for trial in ablated for name, result in trial.variants.items()}
    asked = {
        name: about for name, about in (measured | missing).items() if about.feature == FEATURE
    }
    if not asked:
        return None
    rows, tests = [], {}
    for name, about in asked.items():
        row = AblationRow(
            ablation=name,
            **{part: getattr(about, part) for part in VariantAbout.__struct_fields__},
            reason=missing[name].reason if name in missing else None,
        )
        if seeds := all_predictions.seeds(contender, name):
            both = (
                all_predictions.right(seeds, contender),
                all_predictions.right(seeds, contender, name),
            )
            a, b = (accuracies(right, all_predictions.classes) for right in both)
            bits = [trial.variants[name].bits for trial in ablated if name in trial.variants]
            row = structs.replace(
                row,
                accuracy=all_predictions.accuracy(seeds, contender, name),
                bits=bits[0],
                deviation=float((a - b).std(ddof=1)) if len(seeds) > 1 else None,
            )
            tests[name] = significance.tested(
                *both,
                all_predictions.groups,
                paired=about.paired,
                classes=all_predictions.classes,
            )
        rows.append(row)
    comparisons = dict(zip(tests, significance.adjusted(list(tests.values())), strict=True))
    return AblatedContender(
        contender=contender,
        num_steps=ablated[0].num_steps,
        seeds=len(counted),
        accuracy=all_predictions.accuracy(counted, contender),
        rows=[structs.replace(row, comparison=comparisons.get(row.ablation)) for row in rows],
    )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A contender, perhaps trained without time: its mean validation accuracy and `right`
    predictions bool `[S, N]`. `at_chance`: not shown to beat a constant prediction.
    """

    contender: str
    validation: float
    right: np.ndarray
    at_chance: bool
    trained_without: bool = False


def without_time(trials: Sequence[Trial], all_predictions: Predictions) -> WithoutTime | None:
    """Return the accuracy that recordings lose without time; None if not tried."""
    seeds = all_predictions.common
    contenders, timeless = [], []
    for name in dict.fromkeys(trial.contender for trial in trials if COLLAPSED in trial.variants):
        if not seeds or seeds != all_predictions.seeds(name, COLLAPSED):
            continue
        entries = [
            trial
            for trial in trials
            if trial.contender == name and trial.seed in seeds and COLLAPSED in trial.variants
        ]
        itself, collapsed = (
            _candidate(entries, all_predictions, variant) for variant in (None, COLLAPSED)
        )
        contenders.append(itself)
        timeless += [itself, collapsed] if all_predictions.sees_no_time(name) else [collapsed]
    if not contenders:
        return None
    return compare_best(contenders, timeless, all_predictions.groups, all_predictions.classes)


def _candidate(
    trials: Sequence[Trial], all_predictions: Predictions, variant: str | None
) -> Candidate:
    """Return the contender of `trials`, or its `variant`, as a candidate for the best."""
    name = trials[0].contender
    validated = [
        trial.variants[variant].val_accuracy
        if variant
        else trial.validation and trial.validation.accuracy
        for trial in trials
    ]
    return Candidate(
        name,
        statistics.fmean(accuracy or 0.0 for accuracy in validated),
        all_predictions.right(all_predictions.common, name, variant),
        no_better_than_chance(trials, variant),
        trained_without=variant is not None,
    )


def compare_best(
    contenders: Sequence[Candidate],
    timeless: Sequence[Candidate],
    groups: np.ndarray | None,
    classes: np.ndarray | None = None,
) -> WithoutTime:
    """Compare the best of `contenders` and of `timeless`, by validation; with itself if it sees no
    time. A contender that learned nothing shows nothing of time.
    """
    best = max(contenders, key=lambda candidate: candidate.validation)
    sees_no_time = any(candidate is best for candidate in timeless)
    other = best if sees_no_time else max(timeless, key=lambda candidate: candidate.validation)
    difference = significance.difference(best.right, other.right, groups, classes=classes)
    lost = "nothing" if other is best else _lost(difference, other.at_chance)
    return WithoutTime(
        contender=best.contender,
        accuracy=mean_accuracy(best.right, classes),
        without=other.contender,
        accuracy_without=mean_accuracy(other.right, classes),
        trained_without=other.trained_without,
        comparison=difference,
        lost="not shown" if best.at_chance else lost,
    )


def _lost(difference: Difference, at_chance: bool) -> TemporalLoss:
    """Return what accuracy is lost without time, from the `difference` of the network with time
    minus the one without; that one may be `at_chance`.
    """
    if difference.ci90[1] <= difference.margin:
        return "nothing"
    # With few seeds, a loss of these trainings still counts.
    lost_here = difference.reservation is Reservation.TOO_FEW_SEEDS and difference.difference > 0
    if difference.conclusion is not significance.Conclusion.A_BETTER and not lost_here:
        return "not shown"
    return "everything" if at_chance else "some"
