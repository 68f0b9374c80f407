import itertools

import numpy as np
import pytest
import torch
from msgspec import structs

from made_results import failed, with_trials
from spikeduel.measuring.correctness import judged
from spikeduel.reporting import reliability
from spikeduel.results.trials import Calibrated, Calibration, CalibrationBin
from spikeduel.settings.recipes import baseline


def calibration(seed, temperature=2.0):
    scores = 3 * torch.randn(200, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    truth = torch.arange(200) % 3
    given = structs.asdict(judged(scores, truth))
    return Calibration(**given, temperature=temperature, scaled=judged(scores / 2, truth))


@pytest.fixture
def results(make_prepared, make_results):
    """Two contenders, two seeds each, all with a calibration."""
    numbers = itertools.count()
    made = make_results(make_prepared(), baseline(seeds=2))
    return with_trials(
        made,
        test=lambda t: structs.replace(t.test, calibration=calibration(n := next(numbers), temperature=2.0 + n)),
    )


def test_pooled_bins_by_hand():
    def one(count, confidence, accuracy):
        only = CalibrationBin(low=0.0, high=1.0, count=count, confidence=confidence, accuracy=accuracy)
        return Calibrated(ece=0.0, nll=0.0, brier=0.0, bins=[only])

    (found,) = reliability.pooled([one(10, 0.5, 0.4), one(30, 0.9, 0.8), one(0, None, None)])
    assert (found.low, found.high, found.count) == (0.0, 1.0, 40)
    assert (found.confidence, found.accuracy) == (pytest.approx(0.8), pytest.approx(0.7))
    (empty,) = reliability.pooled([one(0, None, None)])
    assert empty.accuracy is None


def test_bars_are_the_accuracies_and_counts_stand_below(results):
    measured = {"dense-snn": [calibration(0)], "small-cnn": [calibration(1)]}
    figure = reliability.diagrams(measured, {"dense-snn": "red", "small-cnn": "blue"})
    figure.draw_without_rendering()
    assert len(figure.subfigs) == 2
    for part, found in zip(figure.subfigs, measured.values(), strict=True):
        upper, lower = part.axes
        bins = found[0].bins
        heights = [bar.get_height() for bar in upper.patches]
        expected = [np.nan if entry.accuracy is None else entry.accuracy for entry in bins]
        np.testing.assert_allclose(heights, expected)
        bars = [bar.get_height() for bar in lower.patches[: len(bins)]]
        np.testing.assert_allclose(bars, [entry.count / 200 for entry in bins])
        diagonal, after = upper.lines
        assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]
        scaled = [entry for entry in found[0].scaled.bins if entry.count]
        np.testing.assert_allclose(after.get_xdata(), [entry.confidence for entry in scaled])
        np.testing.assert_allclose(after.get_ydata(), [entry.accuracy for entry in scaled])


@pytest.mark.parametrize("number", [1, 4])
def test_any_number_of_contenders(number):
    names = [f"contender {k}" for k in range(number)]
    unscaled = structs.replace(calibration(0), temperature=None, scaled=None)
    figure = reliability.diagrams({name: [unscaled] for name in names}, dict.fromkeys(names, "red"))
    figure.draw_without_rendering()
    assert [part.axes[0].get_title(loc="left") for part in figure.subfigs if part.axes] == names


def test_the_section_has_means_over_seeds(results, tmp_path):
    section = reliability.section(results, {}, tmp_path)
    assert section.shown.path.is_file()
    assert "pooled" in section.shown.caption
    given, after, *others = section.rows
    assert [row.name for row in others] == ["small-cnn"] * 2
    own = reliability.of_contender(results, "dense-snn")
    for row, found in ((given, own), (after, [each.scaled for each in own])):
        errors, losses = [100 * each.ece for each in found], [each.nll for each in found]
        assert row.ece == (f"{np.mean(errors):.1f}", f"{np.std(errors, ddof=1):.1f}")
        assert row.nll == (f"{np.mean(losses):.3f}", f"{np.std(losses, ddof=1):.3f}")
    assert (given.temperature, after.temperature) == (None, ("3.00", "1.41"))
    assert section.note == ""


def test_spike_counts_are_explained_and_logits_are_not(results, make_prepared, make_model, tmp_path):
    prepared = make_prepared()
    models = {name: make_model(name, prepared) for name in ("dense-snn", "small-cnn")}
    assert "dense-snn" in reliability.section(results, models, tmp_path).note
    assert reliability.section(results, {"small-cnn": models["small-cnn"]}, tmp_path).note == ""


def test_old_results_have_no_section(make_prepared, make_results, tmp_path):
    results = make_results(make_prepared(), baseline())
    assert reliability.section(results, {}, tmp_path) is None
    gone = structs.replace(results, trials=[failed(trial) for trial in results.trials])
    assert reliability.section(gone, {}, tmp_path) is None
