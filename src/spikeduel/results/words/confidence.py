"""How sure networks are, and whether they may be: calibration and early exit, in words."""

import statistics
from collections.abc import Mapping, Sequence

from spikeduel.results.run import Results
from spikeduel.results.trials import Calibrated, Calibration
from spikeduel.results.words.numbers import per_cent
from spikeduel.results.words.report import one_digit
from spikeduel.results.words.tables import Averaged, averaged
from spikeduel.system.sentences import counted, listed

SOON = 0.01
"""Of accuracy, how much may be missing from that at the end."""


def calibrations(results: Results) -> dict[str, list[Calibration]]:
    """The calibration of each contender's tested trials, where it was measured."""
    tests = {
        name: [trial.test for trial in results.of(name) if trial.test]
        for name in results.contenders
    }
    measured = {
        name: [test.calibration for test in of_one if test.calibration]
        for name, of_one in tests.items()
    }
    return {name: found for name, found in measured.items() if found}


def scaled(found: Sequence[Calibration]) -> list[Calibrated]:
    """All after their temperatures; none where one has no temperature."""
    known = [each.scaled for each in found if each.scaled]
    return known if len(known) == len(found) else []


def calibration_rows(found: Sequence[Calibration]) -> list[tuple[Averaged | None, ...]]:
    """Temperature, ECE in points, that of a perfect model, NLL and Brier score over trials; raw
    first.
    """
    rows: list[tuple[Averaged | None, Sequence[Calibrated]]] = [(None, found)]
    if after := scaled(found):
        rows.append(
            (
                averaged([each.temperature for each in found if each.temperature], "{:.2f}".format),
                after,
            )
        )
    return [
        (
            temperature,
            averaged([each.ece for each in judged], one_digit),
            averaged(
                [each.ece_of_perfect for each in judged if each.ece_of_perfect is not None],
                one_digit,
            ),
            averaged([each.nll for each in judged], "{:.3f}".format),
            averaged([each.brier for each in judged], "{:.3f}".format),
        )
        for temperature, judged in rows
    ]


def within_chance(measured: Mapping[str, Sequence[Calibration]]) -> list[str]:
    """A sentence for each contender whose probabilities, after the temperature, could be those of a
    perfect model.
    """
    told = []
    for name, found in measured.items():
        judged = scaled(found) or found
        most = [each.ece_of_perfect_95 for each in judged if each.ece_of_perfect_95 is not None]
        if len(most) == len(judged) and all(
            each.ece <= limit for each, limit in zip(judged, most, strict=True)
        ):
            images = sum(each.count for each in judged[0].bins)
            after = "after the temperature" if scaled(found) else "without a temperature"
            told.append(
                f"{name} {after}: an ECE of "
                f"{one_digit(statistics.fmean(each.ece for each in judged))} points on "
                f"{counted(images, 'image')} is no sign of miscalibration. A perfectly calibrated "
                f"network has up to {one_digit(statistics.fmean(most))} there by chance (in 95 of "
                f"100 cases)."
            )
    return told


def early_exits(results: Results) -> list[str]:
    """What the choice of a threshold for early exit says of each contender that has one, each
    sentence once.
    """
    told: dict[str, list[str]] = {}
    for name in results.contenders:
        found = [
            t.anytime.early_exit for t in results.of(name) if t.anytime and t.anytime.early_exit
        ]
        # Older choices promised nothing.
        known = [each for each in found if each.confidence is not None and len(each.curve) > 1]
        if not known:
            continue
        last, images = known[-1], min(each.validation.n for each in known)
        cost = f"at most {100 * last.tolerance:g} points of accuracy"
        shown_by = f"{counted(images, 'validation image')}"
        some = f" ({sum(each.threshold is None for each in known)} of {len(known)} trainings leave nobody)"
        if fewest := last.validation.fewest if images < (last.validation.fewest or 0) else None:
            enough = f"it takes at least {fewest:,}."
            text = f"nobody leaves early, since {shown_by} cannot show that this costs {cost}; {enough}"
        elif all(each.threshold is None for each in known):
            text = f"nobody leaves early; no threshold was shown to cost {cost}."
        else:
            steps = statistics.fmean(each.mean_steps for each in known)
            part = some if any(each.threshold is None for each in known) else ""
            text = (
                f"images leave after {steps:.1f} of {len(last.exit_steps)} "
                f"steps{_recorded(results, name)} on average{part}. That costs {cost}, as "
                f"{shown_by} show with {100 * (last.confidence or 0):g} % confidence."
            )
        told.setdefault(text, []).append(name)
    return [f"{listed(names, len(names))}: {text}" for text, names in told.items()]


def _recorded(results: Results, name: str) -> str:
    """How much of recordings that is, in milliseconds; empty of images."""
    found = [trial.anytime for trial in results.of(name) if trial.anytime]
    left = [
        statistics.fmean(a.received.milliseconds, a.early_exit.exit_steps)
        for a in found
        if a.received and a.early_exit
    ]
    whole = [each.received.milliseconds[-1] for each in found if each.received]
    return f" ({statistics.fmean(left):.0f} of {statistics.fmean(whole):.0f} ms)" if left else ""


def while_it_happens(results: Results) -> list[str]:
    """When each spiking contender has all but a point of the accuracy that it has at the end of
    recordings.

    Nothing of one that has it at the very end alone.
    """
    told = []
    for name in results.contenders:
        known = [trial.anytime for trial in results.of(name) if trial.anytime]
        found = [
            (each.accuracies, each.received) for each in known if each.accuracies and each.received
        ]
        if not found:
            continue
        accuracies, milliseconds, events = (
            list(map(statistics.fmean, zip(*over_time, strict=True)))
            for over_time in zip(*((a, r.milliseconds, r.events) for a, r in found), strict=True)
        )
        step = next(
            step for step, accuracy in enumerate(accuracies) if accuracy >= accuracies[-1] - SOON
        )
        if step == len(accuracies) - 1:
            continue
        told.append(
            f"{name} is right on {per_cent(accuracies[step])} of the recordings after "
            f"{milliseconds[step]:.0f} of {milliseconds[-1]:.0f} ms and {events[step]:,.0f} of "
            f"{events[-1]:,.0f} events, and on {per_cent(accuracies[-1])} at the end."
        )
    return told


def probabilities_of_counts(names: Sequence[str]) -> str:
    """What to know of the calibration of contenders whose scores are spike counts; empty where
    there are none.
    """
    if not names:
        return ""
    return (
        f"Probabilities of {listed(names)} are a softmax of spike counts: one more spike "
        f"multiplies a class's odds by "
        "2.7. Training optimises membrane potentials, not counts, so judge calibration after the "
        "temperature."
    )
