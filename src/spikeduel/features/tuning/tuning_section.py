"""Section of the report on tuning."""

from spikeduel.features.tuning.tuning_results import TuningRecord, limits
from spikeduel.reporting import charts
from spikeduel.reporting.charts import ACCURACY, Axis, Chart, Look, Marks, Panel, Row
from spikeduel.reporting.sections import Page, Section

DEFINITIONS = {
    "expected best": (
        "The mean over all orders of the trials, ± standard deviation (Dodge et al. 2019, “Show "
        "your work”)."
    ),
}


def section(page: Page, record: TuningRecord) -> Section:
    """Return the section of a comparison's report."""
    return Section(
        heading="Tuning",
        after="audit",
        charts=[chart(record)],
        content={"record": record, "limits": limits(record)},
        definitions=DEFINITIONS,
    )


def chart(record: TuningRecord) -> Chart:
    """Return every trial's validation accuracy, and the expected best of so many; a ring marks the
    chosen one.
    """
    colours = charts.contender_colours(record.contenders)
    tried, expected = list[Marks](), list[Marks]()
    for tuned, colour in zip(record.contenders, colours.values(), strict=True):
        rows: dict[int, Row] = {
            trial.number: {
                "contender": tuned.contender,
                "trial": trial.number + 1,
                ACCURACY: 100 * trial.validation.accuracy,
                **trial.settings,
                "chosen": "chosen" if trial.number == tuned.best else None,
            }
            for trial in tuned.trials
            if trial.validation
        }
        tried.append(Marks("points", list(rows.values()), Look(colour, size=5)))
        if tuned.best is not None:
            ring = Look(colour, size=9.5, width=1.4, filled=False)
            tried.append(Marks("points", [rows[tuned.best]], ring, listed=False))
        curve: list[Row] = [
            {
                "contender": tuned.contender,
                "trials": point.trials,
                "expected best, %": 100 * point.mean,
                "standard deviation, points": 100 * point.standard_deviation,
                "low": 100 * point.low,
                "high": 100 * point.high,
            }
            for point in tuned.expected_best
        ]
        expected += [
            Marks("band", curve, Look(colour), ("low", "high"), listed=False),
            Marks("line", curve, Look(colour, size=3, width=2.0)),
        ]
    number, best = Axis("trials", "number of trials", ticks="whole"), Axis("expected best, %")
    panels = [
        Panel(Axis("trial", ticks="whole"), Axis(ACCURACY), tried, "Every trial"),
        Panel(number, best, expected, "Expected best"),
    ]
    return Chart("tuning", panels, charts.contender_keys(colours, "points"))
