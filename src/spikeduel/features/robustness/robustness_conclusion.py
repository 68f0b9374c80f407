"""Summarise accuracies on corrupted images."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from spikeduel.results.means import by_contender
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.results.trials import Scores
from spikeduel.sentences.columns import Averaged, Column, averaged, tenths
from spikeduel.system import typed
from spikeduel.system.typed import Count, Frozen, Share

PREFIX = "robustness-"
"""Start of the names of the measures; the corruption follows."""
NUM_CORRUPTIONS = 7
"""Number of entries of `evaluation.corruptions.CORRUPTIONS`, which needs torch."""


class CorruptedAccuracies(Frozen):
    """Accuracies on `n` corrupted images, by severity."""

    n: Count
    accuracies: list[Share]


class Robustness(Frozen):
    """Accuracies of one model on corrupted images, by corruption and severity.

    `clean` is the accuracy on the images themselves, `area` the mean over severities, and `mean`
    the mean over the seven corruptions, None if one was not measured.
    """

    clean: Share
    corruptions: dict[str, list[Share]]
    area: dict[str, Share]
    mean: Share | None
    images: dict[str, Count]


class Conclusion(Frozen):
    """The robustness of every tested model, by contender."""

    contenders: dict[str, list[Robustness]]


def conclude(results: Results, predictions: PredictionsFile) -> Conclusion | None:
    """Return the robustness of the trials behind the contenders' accuracies; None if unmeasured."""
    contenders = by_contender(results, lambda trial: _summary(trial.test, trial.measured))
    return Conclusion(contenders=contenders) if contenders else None


def conclude_model(name: str, test: Scores, measured: Mapping[str, Any]) -> Conclusion | None:
    """Return the robustness of one model; None if it was not measured."""
    robustness = _summary(test, measured)
    return Conclusion(contenders={name: [robustness]}) if robustness else None


def _summary(test: Scores | None, measured: Mapping[str, Any]) -> Robustness | None:
    """Return the robustness of one model with the `test` scores, from all of its measures; None if
    it was not tested on corrupted images.
    """
    entries = {
        name.removeprefix(PREFIX): typed.converted(value, CorruptedAccuracies)
        for name, value in measured.items()
        if name.startswith(PREFIX)
    }
    if not entries or test is None:
        return None
    area = {name: statistics.fmean(entry.accuracies) for name, entry in entries.items()}
    return Robustness(
        clean=test.accuracy,
        corruptions={name: entry.accuracies for name, entry in entries.items()},
        area=area,
        mean=statistics.fmean(area.values()) if len(area) == NUM_CORRUPTIONS else None,
        images={name: entry.n for name, entry in entries.items()},
    )


Row = tuple[str, Sequence[Robustness]]
"""A contender and the robustness of its models."""


def columns(conclusion: Conclusion) -> list[Column[Row]]:
    """Return the columns of the table of accuracies in per cent."""

    def column(title: str, value: Callable[[Robustness], float | None]) -> Column[Row]:
        def cell(row: Row) -> Averaged | None:
            shares = map(value, row[1])
            return averaged([share for share in shares if share is not None], tenths)

        return Column(title, cell, unknown="–")

    corruptions = dict.fromkeys(
        name
        for models in conclusion.contenders.values()
        for robustness in models
        for name in robustness.area
    )
    return [
        Column("contender", lambda row: row[0], is_text=True),
        column("clean", lambda robustness: robustness.clean),
        *(column(name, partial(_mean_over_severities, corruption=name)) for name in corruptions),
        column("mean of seven", lambda robustness: robustness.mean),
    ]


def _mean_over_severities(robustness: Robustness, corruption: str) -> float | None:
    """Return the mean accuracy under one corruption; None if it was not measured."""
    return robustness.area.get(corruption)


def tables(conclusion: Conclusion) -> dict[str, tuple[list[Column[Row]], list[Row]]]:
    """Return the table of accuracies, by title."""
    rows: list[Row] = list(conclusion.contenders.items())
    return {"Accuracy on corrupted images, %": (columns(conclusion), rows)}
