"""Time ablation of recordings: the best contender beside the best that sees no time, both chosen on
validation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from spikeduel.results import significance
from spikeduel.results.accuracy import no_better_than_chance
from spikeduel.results.controls import TemporalLoss, WithoutTime
from spikeduel.results.significance import Conclusion, Difference, Reservation
from spikeduel.results.trials import Classification, Trial
from spikeduel.trials.outcomes import TrialOutcome, pooled, right_of

COLLAPSED = "collapsed"
"""Name of the control that is trained on recordings without time."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A contender, as it is or trained without time: its mean accuracy on validation, its `right`
    answers, bool `[S, N]`, and True for `at_chance` if it is not shown to be better than a constant
    answer.
    """

    contender: str
    validation: float
    right: np.ndarray
    at_chance: bool
    trained_without: bool = False


def without_time(
    outcomes: Sequence[TrialOutcome],
    trials: Sequence[Trial],
    groups: np.ndarray | None,
    margin: float,
) -> WithoutTime | None:
    """Return what the recordings lose without time; None where that was not tried.

    `trials` are the entries of `outcomes` in the results; `groups` `[N]` says which test recordings
    belong together.
    """
    contenders, timeless = [], []
    for name in dict.fromkeys(outcome.contender for outcome in outcomes):
        controlled = [
            outcome
            for outcome in outcomes
            if outcome.contender == name and outcome.answers and outcome.controlled
        ]
        entries = [
            trial for trial in trials if trial.contender == name and COLLAPSED in trial.controls
        ]
        with_time = pooled(controlled, name)
        collapsed = pooled(controlled, name, _answers_of_collapsed)
        if not entries or not with_time or with_time.keys() != collapsed.keys():
            continue
        seeds = sorted(with_time)
        validated = [entry.validation.accuracy for entry in entries if entry.validation]
        candidate = Candidate(
            name, fmean(validated), right_of(seeds, with_time), no_better_than_chance(entries)
        )
        contenders.append(candidate)
        if all(outcome.sees_no_time for outcome in controlled):
            timeless.append(candidate)
        validated = [entry.controls[COLLAPSED].val_accuracy or 0.0 for entry in entries]
        at_chance = no_better_than_chance(entries, COLLAPSED)
        timeless.append(
            Candidate(
                name, fmean(validated), right_of(seeds, collapsed), at_chance, trained_without=True
            )
        )
    return compare_best(contenders, timeless, groups, margin) if contenders else None


def compare_best(
    contenders: Sequence[Candidate],
    timeless: Sequence[Candidate],
    groups: np.ndarray | None,
    margin: float,
) -> WithoutTime:
    """Compare the best of `contenders` with the best of `timeless`; with itself if it sees no
    time.
    """
    best = max(contenders, key=lambda candidate: candidate.validation)
    sees_no_time = any(candidate is best for candidate in timeless)
    other = best if sees_no_time else max(timeless, key=lambda candidate: candidate.validation)
    difference = significance.difference(best.right, other.right, groups, margin)
    return WithoutTime(
        contender=best.contender,
        accuracy=float(best.right.mean()),
        without=other.contender,
        accuracy_without=float(other.right.mean()),
        trained_without=other.trained_without,
        found=difference,
        lost="nothing" if other is best else _lost(difference, other.at_chance),
    )


def _lost(difference: Difference, at_chance: bool) -> TemporalLoss:
    if difference.ci90[1] <= difference.margin:
        return "nothing"
    # With few seeds it is said that only these trainings are compared; that they lose is seen all
    # the same.
    few = difference.reservation is Reservation.FEW_SEEDS and difference.difference > 0
    if difference.conclusion is not Conclusion.A_BETTER and not few:
        return "not shown"
    return "everything" if at_chance else "some"


def _answers_of_collapsed(outcome: TrialOutcome) -> Classification | None:
    return outcome.controlled.answers.get(COLLAPSED) if outcome.controlled else None
