"""Build study.html: the page above the duels of a study."""

from pathlib import Path

from spikeduel.reporting import across, drawing
from spikeduel.reporting.rendering import write
from spikeduel.results.study import StudyResults
from spikeduel.results.words import study as words

MOST_SHOWN = 12
"""Pairs in a table that is not folded."""


def report_study(study: StudyResults, folder: Path, figures: bool = False) -> Path:
    """Write `folder`/study.html, and with `figures` each chart; return the page's path.

    Raises `InputError`.
    """
    looks = across.looks(study)
    made = [across.against_cost(study), across.headline_differences(study)]
    drawn = {chart.name: chart for chart in made if chart and len(study.variants) > 1}
    page = {
        "title": words.title(study),
        "study": study,
        "said": words,
        "definitions": words.DEFINITIONS,
        "variants": [{"of": variant, "look": looks[variant.name]} for variant in study.variants],
        "drawn": drawn,
        "overview": across.overview(study),
        "costs_known": [
            cost for cost in words.COSTS if any(cost in variant.costs for variant in study.variants)
        ],
        "most_shown": MOST_SHOWN,
        "most_named": across.MOST_NAMED,
    }
    path = write(folder / "study.html", "study.html.j2", page, study.noun)
    if figures:
        for chart in drawn.values():
            drawing.save(chart, folder / "figures")
    return path
