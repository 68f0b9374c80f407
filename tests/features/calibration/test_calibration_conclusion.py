from pathlib import Path

import pytest
from msgspec import structs

from spikeduel.features.calibration.calibration_conclusion import (
    COLUMNS,
    Calibrated,
    Calibration,
    CalibrationBin,
    Conclusion,
    conclude_model,
    pooled_bins,
    rows,
)
from spikeduel.sentences.columns import definitions, text_rows
from spikeduel.system import typed


def calibration(n):
    scores = {"ece_of_perfect": 0.005 * n, "ece_of_perfect_95": 0.01 * n, "bins": []}
    after = Calibrated(ece=0.01 * n, nll=n / 10, brier=n / 20, **scores)
    return Calibration(
        ece=0.02 * n, nll=n / 5, brier=n / 10, **scores, temperature=1.0 + n, scaled=after
    )


def shown(*calibrations):
    conclusion = Conclusion(contenders={"snn": [*calibrations]})
    return [list(row.values()) for row in text_rows(COLUMNS, rows(conclusion))]


def test_it_is_averaged_over_trials():
    assert shown(calibration(1), calibration(2)) == [
        ["snn", "none", "3.0 ± 1.4", "0.8 ± 0.4", "0.300 ± 0.141", "0.150 ± 0.071"],
        ["snn", "2.50 ± 0.71", "1.5 ± 0.7", "0.8 ± 0.4", "0.150 ± 0.071", "0.075 ± 0.035"],
    ]
    alone = structs.replace(calibration(1), temperature=None, scaled=None)
    assert len(shown(alone, calibration(2))) == 1


def test_bins_of_several_trials_are_pooled():
    def of_one_bin(count, confidence, accuracy):
        only = CalibrationBin(
            low=0.0, high=1.0, count=count, confidence=confidence, accuracy=accuracy
        )
        return structs.replace(calibration(0), bins=[only], temperature=None, scaled=None)

    trials = [of_one_bin(10, 0.5, 0.4), of_one_bin(30, 0.9, 0.8), of_one_bin(0, None, None)]
    (pooled,), (empty,) = (pooled_bins(models) for models in (trials, trials[2:]))
    assert (pooled.count, pooled.confidence) == (40, pytest.approx(0.8))
    assert pooled.accuracy == pytest.approx(0.7)
    assert (empty.count, empty.confidence, empty.accuracy) == (0, None, None)


def test_what_was_not_measured_is_not_concluded():
    assert conclude_model("snn", None, {}) is None
    made = conclude_model("snn", None, {"calibration": typed.plain(calibration(1))})
    assert made == Conclusion(contenders={"snn": [calibration(1)]})


def test_the_glossary_has_its_definitions():
    glossary = (Path(__file__).parents[3] / "docs" / "glossary.md").read_text()
    for title, definition in definitions([COLUMNS]).items():
        assert f"| **{title}** | {definition} |" in glossary
