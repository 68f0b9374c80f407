"""Build study.html, the page above a study's duels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.features.study import study_sentences as words
from spikeduel.features.study.study_results import StudyResults, VariantScore
from spikeduel.reporting import charts
from spikeduel.reporting.accuracies import CONCLUSION_COLOURS, intervals, with_intervals
from spikeduel.reporting.charts import Chart, Name, Row
from spikeduel.reporting.rendering import write

MIN_SHADED = 0.01
"""Difference of a cell of full shade at least: chance should not look like a difference."""
MAX_SHOWN = 12
MAX_REACH = 3
"""Length of a chart of differences, in largest differences."""


def report_study(study: StudyResults, folder: Path) -> Path:
    """Write `folder`/study.html and return its path. Raises `InputError`."""
    differences = headline_differences(study)
    page = {
        "title": words.title(study),
        "study": study,
        "sentences": words,
        "definitions": words.DEFINITIONS,
        "drawn": {differences.name: differences} if differences else {},
        "overview": overview(study),
        "costs_known": [
            cost for cost in words.COSTS if any(cost in variant.costs for variant in study.variants)
        ],
        "most_shown": MAX_SHOWN,
    }
    return write(folder / "study.html", "study.html.j2", page, study.noun)


@dataclass(frozen=True)
class Cell:
    """Score of a variant on a data set; `shade` 1 is farthest behind. `is_behind`: None if
    untested.
    """

    score: VariantScore
    shade: float
    is_behind: bool | None
    description: str


def overview(study: StudyResults) -> dict[str, dict[str, Cell]]:
    """Return the cells by data set, the most accurate first, and by variant."""
    best: dict[str, VariantScore] = {}
    for score in study.scores:
        if score.dataset not in best or score.mean > best[score.dataset].mean + 1e-12:
            best[score.dataset] = score
    behind = [best[score.dataset].mean - score.mean for score in study.scores]
    darkest = max(MIN_SHADED, float(np.quantile(behind, 0.9))) if behind else MIN_SHADED
    cells: dict[str, dict[str, Cell]] = {
        dataset: {} for dataset in sorted(best, key=lambda dataset: -best[dataset].mean)
    }
    for score in study.scores:
        first = best[score.dataset]
        away = max(0.0, round(first.mean - score.mean, 12))
        tested = study.test(score.variant, first.variant, score.dataset)
        is_behind = (None if tested is None else bool(tested.conclusion.better)) if away else False
        description = "the best here"
        if score.variant != first.variant:
            description = (
                f"{100 * away:.2f} points behind {first.variant}: {words.significance(tested)}"
            )
        shade = min(1.0, away / darkest)
        cells[score.dataset][score.variant] = Cell(score, shade, is_behind, description)
    return cells


def headline_differences(study: StudyResults) -> Chart | None:
    """Return the headline's two variants on each data set, and over all."""
    pair = study.across.headline
    if pair is None or len(pair.differences) < 2:
        return None
    rows = [_interval("all data sets", pair, pair.difference, words.conclusion(pair), 1)]
    for dataset, difference in sorted(pair.differences.items(), key=lambda item: -item[1]):
        tested = study.test(pair.a, pair.b, dataset)
        concluded = words.significance(tested)
        if tested and tested.conclusion.better:
            concluded = f"{charts.shortened(pair.a if difference > 0 else pair.b, 24)} better"
        sign = -1 if tested and tested.a != pair.a else 1
        rows.append(_interval(dataset, tested, difference, concluded, sign))
    # A few test images give intervals that dwarf everything else.
    bounds = [*pair.differences.values(), *(pair.ci95 or ())]
    reach = MAX_REACH * max(study.margin, *map(abs, bounds))
    return intervals("study-differences", rows, study.margin, reach)


def _interval(
    dataset: str, tested: Any, difference: float, concluded: str, sign: int
) -> tuple[Name, Row]:
    colour, ci95, ci90 = charts.QUIET, None, None
    if tested is not None:
        colour = CONCLUSION_COLOURS.get(tested.conclusion, charts.INK)
        ci95, ci90 = (
            bounds and tuple(sorted(sign * bound for bound in bounds))
            for bounds in (tested.ci95, tested.ci90)
        )
    row = {"data set": dataset, **with_intervals(difference, ci95, ci90, concluded)}
    return Name(charts.shortened(dataset, 30), concluded, colour), row
