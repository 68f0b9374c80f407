"""Measures beside accuracy in sentences: calibration, early exit, robustness, optimism,
encoding.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spikeduel.results.columns import (
    Averaged,
    averaged,
    one_digit,
    percent,
    scaled,
)
from spikeduel.results.optimism import LeadOptimism, OptimismMeter
from spikeduel.results.run import Results
from spikeduel.results.trials import Calibration, EarlyExit, Robustness, Trial
from spikeduel.results.words.numbers import counted, listed, per_cent, points, signed

SOON = 0.01
"""Accuracy that may be missing from the accuracy at the end of recordings."""
HABIT = "the best test accuracy over all epochs, as many papers do"

# ---- calibration and early exit


def within_chance(measured: Mapping[str, Sequence[Calibration]]) -> list[str]:
    """Return a sentence for each contender whose probabilities, after the temperature, could be
    those of a perfectly calibrated model.
    """
    sentences = []
    for name, calibrations_of_one in measured.items():
        judged = scaled(calibrations_of_one) or calibrations_of_one
        limits = [
            calibrated.ece_of_perfect_95
            for calibrated in judged
            if calibrated.ece_of_perfect_95 is not None
        ]
        if len(limits) < len(judged) or any(
            calibrated.ece > limit for calibrated, limit in zip(judged, limits, strict=True)
        ):
            continue
        images = counted(sum(bin.count for bin in judged[0].bins), "image")
        after = "after the temperature" if scaled(calibrations_of_one) else "without a temperature"
        ece = one_digit(statistics.fmean(calibrated.ece for calibrated in judged))
        sentences.append(
            f"{name} {after}: an ECE of {ece} points on {images} is no sign of miscalibration. A "
            f"perfectly calibrated network has up to {one_digit(statistics.fmean(limits))} there "
            f"by chance (in 95 of 100 cases)."
        )
    return sentences


def probabilities_of_counts(names: Sequence[str]) -> str:
    """Return what to know of the calibration of contenders whose scores are spike counts."""
    return (
        f"Probabilities of {listed(names)} are a softmax of spike counts: one more spike "
        f"multiplies a class's odds by 2.7. Training optimises membrane potentials, not counts, so "
        f"judge calibration after the temperature."
    )


def early_exits(results: Results) -> list[str]:
    """Return a sentence on the threshold for early exit of each contender that has one."""
    names: dict[str, list[str]] = {}
    for name in results.contenders:
        exits = [
            trial.anytime.early_exit
            for trial in results.of(name)
            if trial.anytime
            and trial.anytime.early_exit
            and len(trial.anytime.early_exit.curve) > 1
        ]
        if exits:
            names.setdefault(_early_exit(results, name, exits), []).append(name)
    return [f"{listed(of_text, len(of_text))}: {text}" for text, of_text in names.items()]


def _early_exit(results: Results, name: str, exits: Sequence[EarlyExit]) -> str:
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
        f"images leave after {steps:.1f} of {len(last.exit_steps)} "
        f"steps{_recorded(results, name)} on average{some}. That costs {cost}, as {shown_by} show "
        f"with {100 * (last.confidence or 0):g} % confidence."
    )


def _recorded(results: Results, name: str) -> str:
    """Return how much of recordings that is, in milliseconds; empty for images."""
    left, whole = [], []
    for trial in results.of(name):
        if trial.anytime and trial.anytime.received:
            milliseconds = trial.anytime.received.milliseconds
            whole.append(milliseconds[-1])
            if choice := trial.anytime.early_exit:
                left.append(statistics.fmean(milliseconds, choice.exit_steps))
    return f" ({statistics.fmean(left):.0f} of {statistics.fmean(whole):.0f} ms)" if left else ""


def while_it_happens(results: Results) -> list[str]:
    """Return when each spiking contender has all but a point of the accuracy that it has at the end
    of recordings; nothing for one that has it at the very end alone.
    """
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


# ---- encoding


def of_encoding(name: str, tested: Sequence[Trial]) -> str:
    """Return what random encoding and tie-breaks do to a contender's accuracy, in sentences."""
    tests = [trial.test for trial in tested if trial.test]
    spreads = [
        test.encoding_spread.standard_deviation
        for test in tests
        if test.encoding_spread and test.encoding_spread.standard_deviation is not None
    ]
    ties = [trial.test.tie_share or 0.0 for trial in tested if trial.spiking and trial.test]
    text = ""
    if spreads:
        spread = percent(statistics.fmean(spreads))
        text += (
            f" encoding the test images anew moves accuracy by {spread} points (standard "
            f"deviation)."
        )
    if any(ties):
        share = one_digit(statistics.fmean(ties))
        text += (
            f" {share} % of the answers were ties in spike counts, decided by the summed membrane "
            f"potential."
        )
    return f"{name}:{text}" if text else ""


# ---- robustness


def robustness_by_contender(results: Results) -> dict[str, list[Robustness]]:
    """Return the robustness of each contender's trials, where it was measured."""
    measured = {
        name: [trial.robustness for trial in results.of(name) if trial.robustness]
        for name in results.contenders
    }
    return {name: known for name, known in measured.items() if known}


def corruption_rows(results: Results) -> list[tuple[str, list[Averaged | None]]]:
    """Return a row for clean images, for each corruption and for their mean, with a cell for each
    contender that was measured.
    """
    contenders = robustness_by_contender(results).values()
    names = dict.fromkeys(name for known in contenders for robust in known for name in robust.area)
    rows: dict[str, Callable[[Robustness], float | None]] = {
        "clean images": lambda robust: robust.clean,
        **{name: lambda robust, name=name: robust.area.get(name) for name in names},  # type: ignore[misc]
        "mean of seven": lambda robust: robust.mean,
        "mean / clean": lambda robust: robust.mean_relative,
    }

    def cell(known: Sequence[Robustness], value: Callable[[Robustness], float | None]) -> Any:
        shares = [share for robust in known if (share := value(robust)) is not None]
        return averaged(shares, one_digit)

    return [(title, [cell(known, value) for known in contenders]) for title, value in rows.items()]


def altered(results: Results) -> list[str]:
    """Return the data set's own alterations, which come in one severity, and their numbers of
    images.
    """
    images = {
        name: number
        for known in robustness_by_contender(results).values()
        for robust in known
        for name, number in robust.images.items()
        if len(robust.corruptions[name]) == 1
    }
    return [f"{name} ({number:,} images)" for name, number in images.items()]


def robustness(results: Results) -> str:
    """Return what corruptions do to accuracy, in sentences; empty where that was not measured."""
    measured = {
        name: known
        for name, known in robustness_by_contender(results).items()
        if all(robust.mean is not None for robust in known)
    }
    if not measured:
        return ""
    corruptions = next(iter(measured.values()))[0].corruptions
    areas = {
        corruption: {
            name: [robust.area[corruption] for robust in known] for name, known in measured.items()
        }
        for corruption, accuracies in corruptions.items()
        if len(accuracies) > 1
    }
    means = {
        name: statistics.fmean(robust.mean or 0.0 for robust in known)
        for name, known in measured.items()
    }
    scores, lowest = [], []
    for name in sorted(measured, key=lambda name: -means[name]):
        clean = statistics.fmean(robust.clean for robust in measured[name])
        scores.append(f"{name} {one_digit(means[name])} % ({one_digit(clean)} % on clean images)")
        shares = {
            corruption: statistics.fmean(by_contender[name])
            for corruption, by_contender in areas.items()
        }
        worst = min(shares, key=shares.__getitem__)
        lowest.append(f"{worst} for {name} ({one_digit(shares[worst])} %)")
    sentences = [
        f"Mean accuracy over {len(areas)} corruptions: {listed(scores)}.",
        f"Lowest: {listed(lowest)}.",
    ]
    if len(measured) > 1:
        sentences += _leads(areas)
    if all(len(known) == 1 for known in measured.values()):
        sentences.append("One seed each: other trainings can differ.")
    return " ".join(sentences)


def _leads(areas: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Return which contender has the highest mean under which corruption, leaving out leads within
    the spread over trainings.
    """
    leads: dict[str, list[str]] = {}
    close = []
    for corruption, by_contender in areas.items():
        means = {name: statistics.fmean(shares) for name, shares in by_contender.items()}
        first, second = sorted(means, key=lambda name: -means[name])[:2]
        spreads = [
            statistics.stdev(by_contender[name])
            for name in (first, second)
            if len(by_contender[name]) > 1
        ]
        if means[first] - means[second] > max(spreads, default=0.0):
            leads.setdefault(first, []).append(corruption)
        else:
            close.append(corruption)
    highest = "; ".join(
        f"{name} under {listed(kinds, len(kinds))}" for name, kinds in leads.items()
    )
    sentences = [f"Highest mean (not tested for significance): {highest}."] if highest else []
    if close:
        sentences.append(f"Within the spread over trainings: {listed(close, len(close))}.")
    return sentences


# ---- optimism


def optimism(results: Results) -> list[str]:
    """Return what reporting the best epoch for the test would have added; empty where that was not
    measured.
    """
    meter = results.comparison.optimism
    if meter is None:
        return []
    added = []
    for contender in meter.contenders:
        best, chosen = (
            percent(statistics.fmean(shares)) for shares in (contender.best, contender.chosen)
        )
        gains = contender.gains
        by_seed = (
            f"; {percent(min(gains))} to {percent(max(gains))} by seed" if len(gains) > 1 else ""
        )
        gain = points(statistics.fmean(gains))
        added.append(f"{gain} to {contender.contender} ({best} instead of {chosen} %{by_seed})")
    accuracies = {one.contender: statistics.fmean(one.chosen) for one in meter.contenders}
    winner = max(accuracies, key=accuracies.__getitem__)
    leads = [_of_lead(lead) for lead in meter.leads if winner in (lead.a, lead.b)]
    return [f"Reporting {HABIT}, would have added {listed(added)}.", *leads]


def _of_lead(lead: LeadOptimism) -> str:
    sign = -1 if lead.chosen < 0 else 1
    first, second = (lead.a, lead.b) if sign > 0 else (lead.b, lead.a)
    best_seeds = (
        f", and {signed(sign * lead.best_seed)} between the best seeds" if lead.seeds > 1 else ""
    )
    return (
        f"{first} leads {second} by {points(abs(lead.chosen))}; by the best epochs it would be "
        f"{signed(sign * lead.best_epoch)}{best_seeds}."
    )


def how_optimism_is_measured(meter: OptimismMeter, folds: int = 0) -> str:
    """Return how the optimism is measured, and over what its means are."""
    seeds = max(len(contender.seeds) for contender in meter.contenders)
    over = f"Means over {counted(seeds, 'seed')}" if seeds > 1 else "One seed"
    if folds:
        over += f", the {folds} folds of each pooled"
        if seeds > 1:
            over += f"; ± is the standard deviation over these {seeds} means"
    return (
        "Chosen: the epoch whose weights were kept, the last where the learning rate falls to 0, "
        "else the one with the best validation accuracy. Best: the epoch with the best test "
        "accuracy, which nobody can know without looking. Best seed: the highest of these. The "
        "test images were asked after every epoch and the answers opened when all choices had been "
        f"made. {over}."
    )
