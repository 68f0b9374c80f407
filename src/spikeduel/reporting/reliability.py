"""Charts of how far answers can be relied on: calibration, corruptions, distance to training."""

from collections.abc import Mapping, Sequence

import numpy as np

from spikeduel.measuring.robustness import CORRUPTIONS
from spikeduel.reporting import charts
from spikeduel.reporting.charts import (
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
    Rule,
)
from spikeduel.results.accuracy import share_of_most_frequent
from spikeduel.results.audit import Audit
from spikeduel.results.columns import robustness_of, scaled
from spikeduel.results.run import Results
from spikeduel.results.trials import Calibrated, Calibration, CalibrationBin, Robustness

MOST_POINTS = 201
"""Points of a line through many distances: as many as a reader can point at."""
_RAW = Look(opacity=0.75)
_SCALED = Look(INK, size=4, width=0.9, filled=False)
_SHARE = Look(QUIET, "none", width=1.2)
_EQUAL = Look(QUIET, "none", width=0.9, dashes=DASHES)


def diagrams(measured: Mapping[str, Sequence[Calibration]], colours: Mapping[str, str]) -> Chart:
    """Return a reliability diagram for each contender, with the share of images in each bin."""
    panels = []
    for name, calibrations in measured.items():
        raw = _by_bin(name, "raw", pooled(calibrations))
        marks = [Marks("bars", raw, Look(colours[name], opacity=0.75))]
        if after := pooled(scaled(calibrations)):
            filled = [row for row in _by_bin(name, "after temperature", after) if row["number"]]
            marks.append(Marks("line", filled, _SCALED))
        total = sum(float(row["number"] or 0) for row in raw)
        share: list[Row] = [
            {_CONFIDENCE: row[_CONFIDENCE], "accuracy, %": 100 * float(row["number"] or 0) / total}
            for row in raw
        ]
        ends: list[Row] = [{_CONFIDENCE: end, "accuracy, %": end} for end in (0, 100)]
        marks += [
            Marks("stairs", share, _SHARE, told=False),
            Marks("line", ends, _EQUAL, told=False),
        ]
        x = Axis(_CONFIDENCE, low=0, high=100)
        panels.append(
            Panel(x, Axis("accuracy, %", low=0, high=100), marks, charts.shortened(name, 30))
        )
    keys = [
        Key("accuracy = confidence", "line", _EQUAL),
        Key("raw", "bars", _RAW),
        Key("after temperature", "points", _SCALED),
        Key("share of images", "line", _SHARE),
    ]
    return Chart("reliability", panels, keys)


_CONFIDENCE = "confidence, %"


def _by_bin(contender: str, answers: str, bins: Sequence[CalibrationBin]) -> list[Row]:
    return [
        {
            "contender": contender,
            "answers": answers,
            # Bars stand in the middle of their bin, rings at the mean confidence.
            _CONFIDENCE: 50 * (part.low + part.high)
            if answers == "raw"
            else charts.percent(part.confidence),
            "confidence from, %": 100 * part.low,
            "confidence to, %": 100 * part.high,
            "mean confidence, %": charts.percent(part.confidence),
            "accuracy, %": charts.percent(part.accuracy),
            "number": part.count,
        }
        for part in bins
    ]


def pooled(calibrations: Sequence[Calibrated]) -> list[CalibrationBin]:
    """Return the bins of several trials as if their images were one set."""
    bins = []
    for same in zip(*[calibrated.bins for calibrated in calibrations], strict=True):
        count = sum(part.count for part in same)
        means = {
            name: sum(part.count * getattr(part, name) for part in same if part.count) / count
            if count
            else None
            for name in ("confidence", "accuracy")
        }
        bins.append(CalibrationBin(low=same[0].low, high=same[0].high, count=count, **means))
    return bins


def robustness(results: Results) -> Chart:
    """Return accuracy against severity for each corruption and the mean of all, a line a contender.

    The band is a standard deviation over seeds.
    """
    measured = robustness_of(results)
    colours = charts.contender_colours(results.trials)
    tested = [trial for trial in results.trials if trial.test]
    rules = []
    if tested:
        share = 100 * share_of_most_frequent(tested)
        row: Row = {"contender": "the most frequent class alone", "accuracy, %": share}
        rules = [Rule(share, "y", look=Look(width=0.9, dashes=(1.5, 1.5)), row=row)]
    panels = []
    for corruption in [*CORRUPTIONS, None]:
        marks = []
        for place, (name, of_seeds) in enumerate(measured.items()):
            at = 100 * at_severities(of_seeds, corruption)
            mean = at.mean(0)
            rows: list[Row] = [
                {
                    "contender": name,
                    "corruption": corruption or "mean of all",
                    "severity": severity,
                    "accuracy, %": value,
                }
                for severity, value in enumerate(mean.tolist())
            ]
            marks.append(Marks("line", rows, _beneath(place, len(measured), colours[name])))
            if len(at) > 1:
                deviation = at.std(0, ddof=1)
                ends = zip(mean - deviation, mean + deviation, strict=True)
                band: list[Row] = [
                    {"severity": severity, "low": low, "high": high}
                    for severity, (low, high) in enumerate(ends)
                ]
                look = Look(colours[name])
                marks.append(Marks("band", band, look, ("low", "high"), told=False))
        x = Axis("severity", ticks="whole")
        y = Axis("accuracy, %", low=0, high=100)
        panels.append(Panel(x, y, marks, corruption or "mean of all", rules, height=1.6))
    keys = charts.contender_keys({name: colours[name] for name in measured})
    return Chart("robustness", panels, keys, abreast=4)


def _beneath(place: int, number: int, colour: str) -> Look:
    """Return a line for `place` of `number`, drawn over wider lines: equal ones are all seen."""
    wider = (number - 1 - place) / max(number - 1, 2)
    return Look(colour, size=3 + 4 * wider, width=1.6 + 2.8 * wider)


def at_severities(of_seeds: Sequence[Robustness], corruption: str | None) -> np.ndarray:
    """Return accuracies `[S, 6]` at severities 0 to 5 under `corruption`, or (None) the mean over
    all corruptions that were measured.
    """
    names = [name for name in CORRUPTIONS if corruption in (None, name)]
    return np.array(
        [
            [
                robust.clean,
                *np.mean(
                    [robust.corruptions[name] for name in names if name in robust.corruptions],
                    axis=0,
                ),
            ]
            for robust in of_seeds
        ]
    )


def distances(audit: Audit) -> Chart:
    """Return the share of images by distance to the nearest training image: of test images, and of
    training images to other ones.
    """
    noun = audit.noun
    test = np.sort([distance for distance in audit.details.test_distances if distance is not None])
    shown = (
        (
            audit.details.within_quantiles,
            f"training {noun}s (to another one)",
            Look(QUIET, "none", dashes=DASHES),
        ),
        (test, f"test {noun}s", Look(charts.OTHER_COLOURS[0], "none")),
    )
    marks = []
    for values, label, look in shown:
        every = np.unique(
            np.linspace(0, len(values) - 1, min(len(values), MOST_POINTS)).astype(int)
        )
        nearer = np.linspace(0, 100, len(values))[every]
        rows: list[Row] = [
            {"images": label, "nearer, %": share, "distance": value}
            for share, value in zip(
                nearer.tolist(), np.asarray(values)[every].tolist(), strict=True
            )
        ]
        marks.append(Marks("line", rows, look))
    x = Axis("distance", "distance to nearest", low=0)
    panel = Panel(x, Axis("nearer, %", f"share of {noun}s nearer, %", low=0, high=102), marks)
    return Chart("audit-distances", [panel], [Key(label, "line", look) for _, label, look in shown])
