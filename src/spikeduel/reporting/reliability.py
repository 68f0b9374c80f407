"""Charts of reliability: calibration, corruptions, distance to training."""

from collections.abc import Collection, Mapping, Sequence

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
from spikeduel.results.columns import robustness_of, scaled
from spikeduel.results.run import Results
from spikeduel.results.trials import Calibrated, Calibration, Robustness

_ACCURACY, _CONFIDENCE = "accuracy, %", "confidence, %"
_RAW = Look(opacity=0.75)
_SCALED = Look(INK, size=4, width=0.9, filled=False)
_EQUAL = Look(QUIET, "none", width=0.9, dashes=DASHES)


def diagrams(measured: Mapping[str, Sequence[Calibration]], colours: Mapping[str, str]) -> Chart:
    """Return a reliability diagram for each contender."""
    panels = []
    for name, calibrations in measured.items():
        raw = _by_bin(name, "raw", calibrations)
        marks = [Marks("bars", raw, Look(colours[name], opacity=0.75))]
        if after := scaled(calibrations):
            rows = _by_bin(name, "after temperature", after)
            filled = [{**row, _CONFIDENCE: row["mean confidence, %"]} for row in rows]
            marks.append(Marks("line", [row for row in filled if row["number"]], _SCALED))
        ends = charts.rows_of({_CONFIDENCE: (0, 100), _ACCURACY: (0, 100)})
        marks.append(Marks("line", ends, _EQUAL, told=False))
        x, y = Axis(_CONFIDENCE, low=0, high=100), Axis(_ACCURACY, low=0, high=100)
        panels.append(Panel(x, y, marks, charts.shortened(name, 30)))
    keys = [
        Key("accuracy = confidence", "line", _EQUAL),
        Key("raw", "bars", _RAW),
        Key("after temperature", "points", _SCALED),
    ]
    return Chart("reliability", panels, keys)


def _by_bin(contender: str, answers: str, calibrations: Sequence[Calibrated]) -> list[Row]:
    """Return a row for each bin over all trials' images."""
    rows: list[Row] = []
    for bins in zip(*[calibrated.bins for calibrated in calibrations], strict=True):
        weights = np.array([part.count for part in bins])
        count = int(weights.sum())
        confidence, accuracy = (
            100 * float(weights @ [getattr(part, name) or 0.0 for part in bins]) / count
            if count
            else None
            for name in ("confidence", "accuracy")
        )
        rows.append(
            {
                "contender": contender,
                "answers": answers,
                _CONFIDENCE: 50 * (bins[0].low + bins[0].high),
                "confidence from, %": 100 * bins[0].low,
                "confidence to, %": 100 * bins[0].high,
                "mean confidence, %": confidence,
                _ACCURACY: accuracy,
                "number": count,
            }
        )
    return rows


def robustness(results: Results) -> Chart:
    """Return accuracy against severity for each corruption and their mean, a line a contender; the
    band is a standard deviation over seeds.
    """
    measured = robustness_of(results)
    colours = charts.contender_colours(results.trials)
    tested = [trial for trial in results.trials if trial.test]
    rules = []
    if tested:
        share = 100 * share_of_most_frequent(tested)
        row: Row = {"contender": "the most frequent class alone", _ACCURACY: share}
        rules = [Rule(share, "y", look=Look(width=0.9, dashes=(1.5, 1.5)), row=row)]
    panels = []
    for corruption in [*CORRUPTIONS, "mean of all"]:
        marks = []
        for place, (name, of_seeds) in enumerate(measured.items()):
            at, look = (
                _at_severities(of_seeds, corruption),
                _beneath(place, measured, colours[name]),
            )
            common: Row = {"contender": name, "corruption": corruption}
            severities = range(at.shape[1])
            marks += charts.averaged("severity", severities, _ACCURACY, at, look, common)
        x, y = Axis("severity", ticks="whole"), Axis(_ACCURACY, low=0, high=100)
        panels.append(Panel(x, y, marks, corruption, rules, height=1.6))
    keys = charts.contender_keys({name: colours[name] for name in measured})
    return Chart("robustness", panels, keys, abreast=4)


def _beneath(place: int, lines: Collection[str], colour: str) -> Look:
    wider = (len(lines) - 1 - place) / max(len(lines) - 1, 2)
    return Look(colour, size=3 + 4 * wider, width=1.6 + 2.8 * wider)


def _at_severities(of_seeds: Sequence[Robustness], corruption: str) -> np.ndarray:
    """Return accuracies in per cent `[S, 6]` at severities 0 to 5 under `corruption`, or the mean
    over all measured.
    """
    curves = []
    for robust in of_seeds:
        known = {name: robust.corruptions.get(name, [np.nan] * 5) for name in CORRUPTIONS}
        shown = [known[corruption]] if corruption in known else list(known.values())
        curves.append([robust.clean, *np.nanmean(shown, axis=0)])
    return 100 * np.array(curves)
