"""Measures beside accuracy in sentences: early exit, encoding, robustness, optimism."""

import statistics
from collections.abc import Sequence

from spikeduel.results.columns import one_digit, percent, robustness_of
from spikeduel.results.run import Results
from spikeduel.results.trials import EarlyExit, Trial
from spikeduel.results.words.numbers import counted, listed, per_cent, points

SOON = 0.01
"""Accuracy that may be missing from the accuracy at the end of recordings."""


def early_exits(results: Results) -> list[str]:
    """Return a sentence on the threshold for early exit of each contender that has one."""
    sentences = []
    for name in results.contenders:
        known = [trial.anytime for trial in results.of(name) if trial.anytime]
        exits = [over_time.early_exit for over_time in known if over_time.early_exit]
        if exits and len(exits[0].curve) > 1:
            sentences.append(f"{name}: {_early_exit(exits)}")
    return sentences


def _early_exit(exits: Sequence[EarlyExit]) -> str:
    last, num_images = exits[-1], min(choice.validation.n for choice in exits)
    cost = f"at most {100 * last.tolerance:g} points of accuracy"
    shown_by = counted(num_images, "validation image")
    if num_images < (last.validation.fewest or 0):
        return (
            f"no early exit: {shown_by} are too few to show that it costs {cost}; at least "
            f"{last.validation.fewest:,} are needed."
        )
    without = sum(choice.threshold is None for choice in exits)
    if without == len(exits):
        return f"no early exit: no threshold was shown to cost {cost}."
    steps = statistics.fmean(choice.mean_steps for choice in exits)
    some = f" ({without} of {len(exits)} trainings have no early exit)" if without else ""
    return (
        f"images leave after {steps:.1f} of {len(last.exit_steps)} steps on average{some}. That "
        f"costs {cost}, as {shown_by} show with {100 * (last.confidence or 0):g} % confidence."
    )


def while_it_happens(results: Results) -> list[str]:
    """Return when contenders have nearly all of their accuracy on recordings."""
    sentences = []
    for name in results.contenders:
        over_time = [
            (known.accuracies, known.received.milliseconds, known.received.events)
            for trial in results.of(name)
            if (known := trial.anytime) and known.accuracies and known.received
        ]
        if not over_time:
            continue
        accuracies, milliseconds, events = (
            [statistics.fmean(of_step) for of_step in zip(*of_trials, strict=True)]
            for of_trials in zip(*over_time, strict=True)
        )
        step = next(step for step, share in enumerate(accuracies) if share >= accuracies[-1] - SOON)
        if step < len(accuracies) - 1:
            sentences.append(
                f"{name} is right on {per_cent(accuracies[step])} of the recordings after "
                f"{milliseconds[step]:.0f} of {milliseconds[-1]:.0f} ms and {events[step]:,.0f} of "
                f"{events[-1]:,.0f} events, and on {per_cent(accuracies[-1])} at the end."
            )
    return sentences


def of_encoding(name: str, tested: Sequence[Trial]) -> str:
    """Return what random encoding and tie-breaks do to a contender's accuracy."""
    spreads = [trial.test.encoding_spread for trial in tested if trial.test]
    deviations = [
        spread.standard_deviation
        for spread in spreads
        if spread and spread.standard_deviation is not None
    ]
    ties = [trial.test.tie_share or 0.0 for trial in tested if trial.spiking and trial.test]
    sentences = []
    if deviations:
        sentences.append(
            f"encoding the test images anew moves accuracy by "
            f"{percent(statistics.fmean(deviations))} points (standard deviation)."
        )
    if any(ties):
        sentences.append(
            f"{one_digit(statistics.fmean(ties))} % of the answers were ties in spike counts, "
            f"decided by the summed membrane potential."
        )
    return f"{name}: {' '.join(sentences)}" if sentences else ""


def robustness(results: Results) -> str:
    """Return the mean accuracy under corruptions, and the worst one; empty if not measured."""
    means, lowest = {}, {}
    for name, known in robustness_of(results).items():
        if any(robust.mean is None for robust in known):
            continue
        means[name] = statistics.fmean(robust.mean or 0.0 for robust in known)
        clean = statistics.fmean(robust.clean for robust in known)
        areas = {
            corruption: statistics.fmean(robust.area[corruption] for robust in known)
            for corruption, accuracies in known[0].corruptions.items()
            if len(accuracies) > 1
        }
        worst = min(areas, key=areas.__getitem__)
        lowest[name] = (
            f"{name} {one_digit(means[name])} % ({one_digit(clean)} % on clean images, lowest "
            f"under {worst}: {one_digit(areas[worst])} %)"
        )
    ordered = sorted(means, key=lambda name: -means[name])
    shown = listed([lowest[name] for name in ordered])
    return f"Mean accuracy under seven corruptions: {shown}." if shown else ""


def optimism(results: Results) -> str:
    """Return what reporting the best test epoch would have added; empty if not measured."""
    added = []
    for contender in results.comparison.optimism:
        best, chosen = map(statistics.fmean, (contender.best, contender.chosen))
        numbers = f"{percent(best)} instead of {percent(chosen)} %"
        added.append(f"{points(best - chosen)} to {contender.contender} ({numbers})")
    habit = "the best test accuracy over all epochs, as many papers do"
    return f"Reporting {habit}, would have added {listed(added)}." if added else ""
