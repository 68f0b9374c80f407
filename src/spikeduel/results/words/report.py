"""The numbers and sentences that only the report needs."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spikeduel.results.run import Dataset, Pair, Results
from spikeduel.results.significance import Difference
from spikeduel.results.trials import Robustness, Score, Trial
from spikeduel.results.tuned import DrawnFrom
from spikeduel.results.words.findings import assigned
from spikeduel.results.words.numbers import hundredths, margin, p_number, signed
from spikeduel.results.words.tables import Averaged, averaged, percent
from spikeduel.results.words.verdict import BRIEF, because, concluded
from spikeduel.system import typed
from spikeduel.system.sentences import counted, listed

NOT_MEASURED = "not measured"


def title(results: Results) -> str:
    """The contenders and the data."""
    names = results.contenders
    return (
        f"{' against '.join(names) if len(names) < 3 else listed(names)} on {results.dataset.name}"
    )


def one_digit(share: float) -> str:
    """A share in per cent with one digit, without the sign: "91.2"."""
    return hundredths(share, 1)


def accuracy(found: Score | None) -> str:
    """A validation accuracy in per cent."""
    return percent(found.accuracy) if found else "failed"


def trained_on(tested: Sequence[Trial]) -> str:
    """Over what a mean is: "6 seeds and 5 folds"."""
    seeds, folds = (
        {getattr(trial, name) for trial in tested} - {None} for name in ("seed", "fold")
    )
    parts = [counted(len(seeds), "seed")] * (len(seeds) > 1 or not folds) + [
        counted(len(folds), "fold")
    ] * bool(folds)
    return " and ".join(parts)


def dots(tested: Sequence[Trial]) -> str:
    """What a dot is in a figure that has one for each trial."""
    if len({(trial.seed, trial.fold) for trial in tested}) < 2:
        return "One seed each"
    in_folds = any(trial.fold is not None for trial in tested)
    return f"Dots are {f'trainings ({trained_on(tested)})' if in_folds else 'seeds'}, strokes their means"


def num_tested(tested: Sequence[Trial]) -> str:
    """The number of images that each seed was tested on, in all its folds."""
    counts: Counter[int] = Counter()
    for trial in tested:
        counts[trial.seed] += trial.test.n if trial.test else 0
    return span(list(counts.values()))


def span(values: Sequence[int]) -> str:
    """The smallest and the largest, "4 to 10", or their one value."""
    if not values:
        return NOT_MEASURED
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def epoch_seconds(tested: Sequence[Trial]) -> str:
    """The median over all epochs of all trials."""
    seconds = [second for trial in tested for second in trial.epoch_seconds]
    return f"{statistics.median(seconds):.1f}" if seconds else NOT_MEASURED


def of_encoding(name: str, tested: Sequence[Trial]) -> str:
    """What random encoding and tie-breaks do to a contender's accuracy, in sentences; empty where
    there is nothing.
    """
    tests = [trial.test for trial in tested if trial.test]
    spreads = [each.encoding_spread.standard_deviation for each in tests if each.encoding_spread]
    ties = [trial.test.tie_share or 0.0 for trial in tested if trial.spiking and trial.test]
    text = ""
    if known := [spread for spread in spreads if spread is not None]:
        spread = percent(statistics.fmean(known))
        text += f" encoding the test images anew moves accuracy by {spread} points (standard deviation)."
    if any(ties):
        share = one_digit(statistics.fmean(ties))
        text += f" {share} % of the answers were ties in spike counts, decided by the summed membrane potential."
    return f"{name}:{text}" if text else ""


def errors(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """The errors of `confusion` `[K, K]` as (times, true class, answer), the most frequent
    first.
    """
    cells = [
        (count, truth, answer)
        for truth, row in enumerate(confusion)
        for answer, count in enumerate(row)
    ]
    return sorted(
        (cell for cell in cells if cell[0] and cell[1] != cell[2]), key=lambda cell: -cell[0]
    )


def most_confused(confusion: Sequence[Sequence[int]], classes: Sequence[str], most: int = 3) -> str:
    """The most frequent errors of `confusion` `[K, K]`, as a sentence."""
    told = [
        f"{classes[truth]} as {classes[answer]} ({count:,})"
        for count, truth, answer in errors(confusion)[:most]
    ]
    return f"Most frequent errors: {', '.join(told)}." if told else "There are no errors."


def interval(found: Difference) -> str:
    """The 95 % interval in points: "−2.00 to +0.10"."""
    low, high = found.ci95
    return f"{signed(low)} to {signed(high)}"


def pair_conclusion(pair: Pair, in_folds: bool) -> str:
    """What may be concluded of a pair, for a table."""
    text = brief_conclusion(pair, pair.a, pair.b)
    if pair.negligible and pair.conclusion.better:
        text += ", by less than the margin"
    if pair.seeds > 1:
        return text
    return f"of these {'trainings, one per fold' if in_folds else 'two models'}: {text}"


def brief_conclusion(found: Difference, a: str, b: str) -> str:
    """What may be concluded, and in a few words why not more."""
    text = concluded(found, a, b)
    return f"{text}: {BRIEF[found.reservation]}" if found.reservation else text


def how_compared(results: Results) -> str:
    """What the table of differences means, as a note below it."""
    pairs = results.comparison.pairs
    tests = "; ".join(dict.fromkeys(pair.test for pair in pairs))
    scope = "Interval and p-value allow for other seeds and other test images."
    if max(pair.seeds for pair in pairs) == 1:
        models = (
            "these trainings, one per fold,"
            if results.dataset.folds
            else "these two trained models"
        )
        scope = f"Interval and p-value are about {models} and other test images; one seed cannot show other trainings."
    certain = any(p_number(pair.p_value) == "1" for pair in pairs)
    no_evidence = (
        " A p of 1 is no evidence, neither of a difference nor of none." if certain else ""
    )
    return f"Test: {tests}.{adjusted_for(len(pairs), 'comparison')} {scope} {terms(pairs)}{no_evidence}"


def adjusted_for(number: int, what: str) -> str:
    """Which conclusions allow for the number of comparisons; empty where there is one."""
    if number < 2:
        return ""
    return f" p-values are adjusted for {counted(number, what)} (Holm); intervals, and so equivalence, are not."


def terms(found: Sequence[Difference]) -> str:
    """What the conclusions are called, and why some are inconclusive though their intervals exclude
    0.
    """
    reasons = dict.fromkeys(because(each) for each in found if each.reservation)
    return (
        f"Better: p is at most 0.05. Equivalent: the 90 % interval lies inside {margin(found[0])}. "
        f"Inconclusive: "
        "neither; there may be a difference or none."
        + "".join(f" Inconclusive may also mean: {it}." for it in reasons)
    )


def first_fold(dataset: Dataset) -> str:
    """Of which images the audit speaks where there are folds; empty where there are none."""
    folds = len(dataset.folds or [])
    return f"The audit covers the first of {folds} folds; the others can differ." if folds else ""


def settings(values: Any) -> list[tuple[str, str]]:
    """A dictionary or dataclass as rows of text; what is unset is left out."""
    return [
        (name, as_text(value))
        for name, value in (typed.plain(values) or {}).items()
        if value is not None
    ]


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {assigned(settings)}" for name, settings in value.items())
    return ", ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def drawn_from(values: DrawnFrom) -> str:
    """The range of a setting that was tuned."""
    if values.choices:
        return f"one of {', '.join(f'{choice:g}' for choice in values.choices)}"
    return f"{values.low:g} to {values.high:g}{', log-uniform' if values.log else ''}"


def robustness_by_contender(results: Results) -> dict[str, list[Robustness]]:
    """The robustness of each contender's tested trials, where it was measured."""
    measured = {
        name: [t.robustness for t in results.of(name) if t.robustness]
        for name in results.contenders
    }
    return {name: found for name, found in measured.items() if found}


def corruption_rows(results: Results) -> list[tuple[str, list[Averaged | None]]]:
    """A row for clean images, for each corruption and for their mean; a cell for each contender
    that was measured.
    """
    contenders = robustness_by_contender(results).values()

    def row(
        title: str, value: Callable[[Robustness], float | None]
    ) -> tuple[str, list[Averaged | None]]:
        known = [
            [share for each in found if (share := value(each)) is not None] for found in contenders
        ]
        return title, [averaged(shares, one_digit) for shares in known]

    names = dict.fromkeys(name for found in contenders for each in found for name in each.area)
    return [
        row("clean images", lambda each: each.clean),
        *(row(name, lambda each, name=name: each.area.get(name)) for name in names),  # type: ignore[misc]
        row("mean of seven", lambda each: each.mean),
        row("mean / clean", lambda each: each.mean_relative),
    ]


def altered(results: Results) -> list[str]:
    """The data set's own alterations, which come in one severity, with their numbers of images."""
    found = [each for measured in robustness_by_contender(results).values() for each in measured]
    images = {
        name: n
        for each in found
        for name, n in each.images.items()
        if len(each.corruptions[name]) == 1
    }
    return [f"{name} ({number:,} images)" for name, number in images.items()]


def robustness(results: Results) -> str:
    """What corruptions do to accuracy, in sentences; empty where that was not measured."""
    measured = robustness_by_contender(results)
    measured = {
        name: found
        for name, found in measured.items()
        if all(each.mean is not None for each in found)
    }
    if not measured:
        return ""
    corruptions = next(iter(measured.values()))[0].corruptions
    areas = {
        corruption: {
            name: [each.area[corruption] for each in found] for name, found in measured.items()
        }
        for corruption, accuracies in corruptions.items()
        if len(accuracies) > 1
    }
    mean = {
        name: statistics.fmean(each.mean or 0.0 for each in found)
        for name, found in measured.items()
    }
    scores, losses = [], []
    for name in sorted(measured, key=lambda name: -mean[name]):
        clean = statistics.fmean(each.clean for each in measured[name])
        scores.append(f"{name} {one_digit(mean[name])} % ({one_digit(clean)} % on clean images)")
        shares = {
            corruption: statistics.fmean(of_all[name]) for corruption, of_all in areas.items()
        }
        worst = min(shares, key=shares.__getitem__)
        losses.append(f"{worst} for {name} ({one_digit(shares[worst])} %)")
    sentences = [
        f"Mean accuracy over {len(areas)} corruptions: {listed(scores)}.",
        f"Lowest: {listed(losses)}.",
    ]
    if len(measured) > 1:
        sentences += _leads(areas)
    if all(len(found) == 1 for found in measured.values()):
        sentences.append("One seed each: other trainings can differ.")
    return " ".join(sentences)


def _leads(areas: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Who has the highest mean under what, leaving out leads within the spread over trainings."""
    leads: dict[str, list[str]] = {}
    close = []
    for corruption, by_contender in areas.items():
        first, second = sorted(
            by_contender, key=lambda name: -statistics.fmean(by_contender[name])
        )[:2]
        ahead = statistics.fmean(by_contender[first]) - statistics.fmean(by_contender[second])
        several = [by_contender[name] for name in (first, second) if len(by_contender[name]) > 1]
        if ahead > max(map(statistics.stdev, several), default=0.0):
            leads.setdefault(first, []).append(corruption)
        else:
            close.append(corruption)
    told = "; ".join(f"{name} under {listed(kinds, len(kinds))}" for name, kinds in leads.items())
    sentences = [f"Highest mean (not tested for significance): {told}."] if told else []
    if close:
        sentences.append(f"Within the spread over trainings: {listed(close, len(close))}.")
    return sentences
