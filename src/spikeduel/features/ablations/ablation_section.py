"""Section of the report on what spikes, or time, add."""

from spikeduel.features.ablations.ablation_results import Conclusion
from spikeduel.features.ablations.ablation_sentences import (
    ablation_columns,
    asked,
    on_time,
    what_it_means,
)
from spikeduel.reporting import charts
from spikeduel.reporting.accuracies import CI95, beside_margin
from spikeduel.reporting.charts import Axis, Chart, Look, Marks, Name, Row
from spikeduel.reporting.sections import Page, Section
from spikeduel.results.run import Results
from spikeduel.system.numbers import named


def section(page: Page, conclusion: Conclusion) -> Section:
    """Return the chart of all ablations, and a table and sentences for each contender."""
    of_recordings = any(contender.of_recordings for contender in conclusion.contenders)
    return Section(
        heading="What time adds" if of_recordings else "What spiking adds",
        after="accountings",
        charts=[chart(page.results, conclusion)],
        content={
            "of_recordings": of_recordings,
            "on_time": on_time(page.results, conclusion),
            "contenders": [
                (contender, ablation_columns(contender), asked(contender), what_it_means(contender))
                for contender in conclusion.contenders
            ],
        },
    )


def chart(results: Results, conclusion: Conclusion) -> Chart:
    """Return the points of accuracy that each ablation (a row) took or gave each contender (a
    dot).
    """
    ablated, every = conclusion.contenders, charts.contender_colours(results.trials)
    colours = {ablation.contender: every[ablation.contender] for ablation in ablated}
    titles = list(dict.fromkeys(row.title for ablation in ablated for row in ablation.rows))
    title = f"change in {named(results.measure)}, points"
    x, marks = Axis("change, points", title, ticks="signed"), []
    for number, ablation in enumerate(ablated):
        colour = colours[ablation.contender]
        for row in ablation.rows:
            if row.comparison is None:
                continue
            high, low = (-100 * bound for bound in row.comparison.ci95)
            listed: Row = {
                "contender": ablation.contender,
                "ablation": row.title,
                x.column: -100 * row.comparison.difference,
                CI95[0]: low,
                CI95[1]: high,
            }
            height_of_row = titles.index(row.title) + 0.55 / len(ablated) * number
            marks += [
                Marks("spans", [listed], Look(colour), CI95, height_of_row, listed=False),
                Marks("points", [listed], Look(colour, size=5), place=height_of_row),
            ]
    names, keys = [Name(title) for title in titles], charts.contender_keys(colours, "points")
    height = 0.26 + 0.1 * len(ablated)
    rows = [row for contender in ablated for row in contender.rows]
    margin = min(row.comparison.margin for row in rows if row.comparison)
    return beside_margin("ablations", x, marks, names, margin, keys, height)
