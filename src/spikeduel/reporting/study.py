"""The page above the duels of a study: what hundreds of trainings found over all its data sets."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from spikeduel.reporting import across
from spikeduel.reporting.rendering import saved, write
from spikeduel.results.study import StudyResults
from spikeduel.results.words import study as words

MOST_SHOWN = 12
"""Pairs in a table that is not folded."""


def report_study(study: StudyResults, folder: Path) -> Path:
    """Writes `folder`/study.html and its figures; returns the page's path. Raises `InputError`."""
    looks = across.looks(study)
    page = {
        "title": words.title(study),
        "study": study,
        "said": words,
        "definitions": words.DEFINITIONS,
        "variants": [{"of": each, "look": looks[each.name]} for each in study.variants],
        "drawn": saved(_drawings(study), folder / "figures"),
        "costs_known": [
            cost for cost in words.COSTS if any(cost in each.costs for each in study.variants)
        ],
        "most_shown": MOST_SHOWN,
        "most_named": across.MOST_NAMED,
    }
    return write(folder / "study.html", "study.html.j2", page, study.noun)


def _drawings(study: StudyResults) -> Iterator[tuple[str, Callable[[], Figure | None]]]:
    if study.scores:
        yield "study-overview", partial(across.overview, study)
    if len(study.variants) > 1:
        yield "study-cost", partial(across.against_cost, study)
        yield "study-differences", partial(across.differences, study)
