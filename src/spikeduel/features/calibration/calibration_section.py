"""Section of the report on calibration."""

from collections.abc import Mapping, Sequence

from spikeduel.engine.readouts import SpikeCountReadout
from spikeduel.features.calibration.calibration_conclusion import (
    COLUMNS,
    Calibrated,
    Conclusion,
    pooled_bins,
    rows,
    scaled_models,
)
from spikeduel.reporting import charts
from spikeduel.reporting.charts import (
    ACCURACY,
    DASHES,
    INK,
    QUIET,
    Axis,
    Chart,
    Key,
    Look,
    Marks,
    Panel,
    Row,
    rows_of,
)
from spikeduel.reporting.sections import Page, Section
from spikeduel.sentences.columns import definitions

_CONFIDENCE = "confidence, %"
_SCALED = Look(INK, size=4, width=0.9, filled=False)
_EQUAL = Look(QUIET, "none", width=0.9, dashes=DASHES)


def section(page: Page, conclusion: Conclusion) -> Section:
    """Return the reliability diagrams, and the table of errors and scores."""
    contenders = conclusion.contenders
    return Section(
        heading="Calibration",
        after="curves",
        charts=[chart(conclusion, charts.contender_colours(page.results.trials))],
        content={
            "columns": COLUMNS,
            "rows": rows(conclusion),
            "is_pooled": max(map(len, contenders.values())) > 1,
            "counting": [
                name
                for name, model in page.models.items()
                if name in contenders and isinstance(model.readout, SpikeCountReadout)
            ],
        },
        definitions=definitions([COLUMNS]),
    )


def chart(conclusion: Conclusion, colours: Mapping[str, str]) -> Chart:
    """Return a reliability diagram for each contender."""
    panels = []
    x, y = Axis(_CONFIDENCE, low=0, high=100), Axis(ACCURACY, low=0, high=100)
    ends = rows_of({_CONFIDENCE: (0, 100), ACCURACY: (0, 100)})
    for name, models in conclusion.contenders.items():
        raw = _by_bin(name, "raw", models)
        marks = [Marks("bars", raw, Look(colours[name], opacity=0.75))]
        if after := scaled_models(models):
            scaled = _by_bin(name, "after temperature", after)
            filled = [{**row, _CONFIDENCE: row["mean confidence, %"]} for row in scaled]
            marks.append(Marks("line", [row for row in filled if row["number"]], _SCALED))
        marks.append(Marks("line", ends, _EQUAL, listed=False))
        panels.append(Panel(x, y, marks, charts.shortened(name, 30)))
    keys = [
        Key("accuracy = confidence", "line", _EQUAL),
        Key("raw", "bars", Look(opacity=0.75)),
        Key("after temperature", "points", _SCALED),
    ]
    return Chart("reliability", panels, keys)


def _by_bin(contender: str, predictions: str, models: Sequence[Calibrated]) -> list[Row]:
    """Return a row for each bin, with the images of all models."""

    def percent(share: float | None) -> float | None:
        return None if share is None else 100 * share

    return [
        {
            "contender": contender,
            "predictions": predictions,
            _CONFIDENCE: 50 * (part.low + part.high),
            "confidence from, %": 100 * part.low,
            "confidence to, %": 100 * part.high,
            "mean confidence, %": percent(part.confidence),
            ACCURACY: percent(part.accuracy),
            "number": part.count,
        }
        for part in pooled_bins(models)
    ]
