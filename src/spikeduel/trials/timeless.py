"""Does time matter? The best contender on recordings beside the best that sees no time, both chosen
on validation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from spikeduel.results import significance
from spikeduel.results.accuracy import no_better_than_chance
from spikeduel.results.controlled import Lost, WithoutTime
from spikeduel.results.significance import Conclusion, Difference, Reservation
from spikeduel.results.trials import Classification, Trial
from spikeduel.trials.runs import Finished, pooled, right_of

COLLAPSED = "collapsed"
"""The control that is trained on recordings without time."""
REARRANGED = ("redrawn", "shuffled_frames", "reversed")
"""Controls that change when events come and nothing else: who answers the same to all of them sees
no time.
"""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A contender, as it is or trained without time: its mean accuracy on validation, which of its
    answers are right, bool `[S, N]`, and whether it is not shown to be better than a constant
    answer.
    """

    contender: str
    validation: float
    right: np.ndarray
    at_chance: bool
    trained_without: bool = False


def without_time(
    finished: Sequence[Finished], trials: Sequence[Trial], groups: np.ndarray | None, margin: float
) -> WithoutTime | None:
    """What the recordings lose without time; None where that was not tried. `trials` are those of
    `finished`.

    `groups` `[N]` says which test recordings belong together.
    """
    contenders, timeless = [], []
    for name in dict.fromkeys(each.contender for each in finished):
        its = [
            each for each in finished if each.contender == name and each.answers and each.controlled
        ]
        entries = [
            trial for trial in trials if trial.contender == name and COLLAPSED in trial.controls
        ]
        own, collapsed = pooled(its, name), pooled(its, name, _answers_of_collapsed)
        if not entries or own.keys() != collapsed.keys() or not own:
            continue
        seeds = sorted(own)
        validated = [entry.validation.accuracy for entry in entries if entry.validation]
        itself = Candidate(
            name, fmean(validated), right_of(seeds, own), no_better_than_chance(entries)
        )
        contenders.append(itself)
        if all(map(sees_no_time, its)):
            timeless.append(itself)
        validated = [entry.controls[COLLAPSED].val_accuracy or 0.0 for entry in entries]
        at_chance = no_better_than_chance(entries, COLLAPSED)
        timeless.append(
            Candidate(
                name, fmean(validated), right_of(seeds, collapsed), at_chance, trained_without=True
            )
        )
    return judged(contenders, timeless, groups, margin) if contenders else None


def judged(
    contenders: Sequence[Candidate],
    timeless: Sequence[Candidate],
    groups: np.ndarray | None,
    margin: float,
) -> WithoutTime:
    """The best of `contenders` beside the best of `timeless`; beside itself, where it sees no
    time.
    """
    best = max(contenders, key=lambda each: each.validation)
    other = best if best in timeless else max(timeless, key=lambda each: each.validation)
    found = significance.difference(best.right, other.right, groups, margin)
    return WithoutTime(
        contender=best.contender,
        accuracy=float(best.right.mean()),
        without=other.contender,
        accuracy_without=float(other.right.mean()),
        trained_without=other.trained_without,
        found=found,
        lost=Lost.NOTHING if other is best else _lost(found, other.at_chance),
    )


def _lost(found: Difference, at_chance: bool) -> Lost:
    if found.ci90[1] <= found.margin:
        return Lost.NOTHING
    # Few seeds show no more than these trainings, which is said beside it; that these lose is to be
    # seen all the same.
    few = found.reservation is Reservation.FEW_SEEDS and found.difference > 0
    if found.conclusion is not Conclusion.A_BETTER and not few:
        return Lost.NOT_SHOWN
    return Lost.EVERYTHING if at_chance else Lost.SOME


def _answers_of_collapsed(finished: Finished) -> Classification | None:
    return finished.controlled.answers.get(COLLAPSED) if finished.controlled else None


def sees_no_time(finished: Finished) -> bool:
    """Whether the controls that only rearrange events in time change no answer; False if they were
    not asked.
    """
    if finished.answers is None or finished.controlled is None:
        return False
    given = [
        finished.controlled.answers[name]
        for name in REARRANGED
        if name in finished.controlled.answers
    ]
    return bool(given) and all(each.predicted == finished.answers.predicted for each in given)
