"""Sentences and numbers of the report's sections, and the words that it defines."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from spikeduel.results import columns
from spikeduel.results.columns import span
from spikeduel.results.run import Dataset, Results
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import DrawnFrom
from spikeduel.results.words import answer, costs
from spikeduel.results.words.numbers import as_text, counted, listed
from spikeduel.system import typed

DEFINITIONS: dict[str, str] = {
    **columns.definitions(),
    **{str(quantity): text for quantity, text in answer.MEANINGS.items()},
    "the rule": answer.RULE.removeprefix("The rule: "),
    "confusion matrix": (
        "Rows: true classes. Columns: answers. Correct answers lie on the diagonal; a dark cell "
        "off it is a pair of classes that is often confused."
    ),
    "worst first": "Those that the most trainings of all contenders get wrong come first.",
    "MAC": "A multiply-accumulate: multiplies a number by a weight and adds it up.",
    "AC": "An accumulate: adds up the weight of a spike.",
    "hoisted": costs.TWO_WAYS,
    "range of energy": costs.ZEROS,
    "least": f"“{costs.LEAST}”: less than every other by this counting, whatever the range.",
    "Pareto front": "No other network is better for less.",
    "early exit": (
        "An image leaves once the network is sure enough, by a threshold chosen on validation "
        "images."
    ),
    "confidence": "The probability that a network gives to its answer.",
    "as most count": (
        "Every multiplication, and of spikes only those that come, so that spiking networks alone "
        "skip zeros; with memory, numbers are computed whole and spikes one by one."
    ),
    "changes at": (
        "The nearest value at which the answer becomes another, all else as it is: spike rates up "
        "to 100 %, T up to 128, bits and memory within the limits of the accounting; – : none of "
        "them changes it."
    ),
    "siblings": (
        "Images of one group, equal ones and near duplicates; of recordings also those that share "
        "a stretch."
    ),
    "expected best": (
        "The mean over all orders of the trials, ± standard deviation (Dodge et al. 2019, “Show "
        "your work”)."
    ),
}
"""Words of the report, each in a sentence or two: shown where a word is hovered over or tapped."""


def title(results: Results) -> str:
    """Return the contenders and the data."""
    names = results.contenders
    against = " against ".join(names) if len(names) < 3 else listed(names)
    return f"{against} on {results.dataset.name}"


def trained_on(tested: Sequence[Trial]) -> str:
    """Return over what a mean is: "6 seeds and 5 folds"."""
    seeds, folds = (
        len({getattr(trial, name) for trial in tested} - {None}) for name in ("seed", "fold")
    )
    parts = [counted(seeds, "seed")] if seeds > 1 or not folds else []
    return " and ".join(parts + ([counted(folds, "fold")] if folds else []))


def dots(tested: Sequence[Trial]) -> str:
    """Return what a dot is in a figure that has one for each trial."""
    if len({(trial.seed, trial.fold) for trial in tested}) < 2:
        return "One seed each"
    in_folds = any(trial.fold is not None for trial in tested)
    kind = f"trainings ({trained_on(tested)})" if in_folds else "seeds"
    return f"Dots are {kind}, strokes their means"


def num_tested(tested: Sequence[Trial]) -> str:
    """Return the number of images that each seed was tested on, in all its folds."""
    counts: Counter[int] = Counter()
    for trial in tested:
        counts[trial.seed] += trial.test.n if trial.test else 0
    return span(list(counts.values()))


def errors(confusion: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return the errors of `confusion` `[K, K]` as (times, true class, answer), the most frequent
    first.
    """
    cells = [
        (count, truth, answer)
        for truth, of_class in enumerate(confusion)
        for answer, count in enumerate(of_class)
        if count and truth != answer
    ]
    return sorted(cells, key=lambda cell: -cell[0])


def most_confused(confusion: Sequence[Sequence[int]], classes: Sequence[str], most: int = 3) -> str:
    """Return the most frequent errors of `confusion` `[K, K]`, as a sentence."""
    frequent = [
        f"{classes[truth]} as {classes[answer]} ({count:,})"
        for count, truth, answer in errors(confusion)[:most]
    ]
    return f"Most frequent errors: {', '.join(frequent)}." if frequent else "There are no errors."


def first_fold(dataset: Dataset) -> str:
    """Return of which images the audit speaks where there are folds; empty where there are none."""
    folds = len(dataset.folds or [])
    return f"The audit covers the first of {folds} folds; the others can differ." if folds else ""


def settings(values: Any) -> list[tuple[str, str]]:
    """Return a dictionary or dataclass as rows of text, without what is unset."""
    return [
        (name, as_text(value))
        for name, value in (typed.plain(values) or {}).items()
        if value is not None
    ]


def drawn_from(values: DrawnFrom) -> str:
    """Return the range of a setting that was tuned."""
    if values.choices:
        return f"one of {', '.join(f'{choice:g}' for choice in values.choices)}"
    return f"{values.low:g} to {values.high:g}{', log-uniform' if values.log else ''}"
