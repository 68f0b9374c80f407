"""Words that the report defines, and small texts of its sections."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from spikeduel.results import columns
from spikeduel.results.columns import span
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import DrawnFrom
from spikeduel.results.words import answer, costs, energy_accountings
from spikeduel.results.words.numbers import as_text, listed
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
    "changes at": energy_accountings.CHANGES_AT,
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
