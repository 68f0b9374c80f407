from types import SimpleNamespace

import pytest
import torch
from msgspec import structs

from factories import trial
from made_models import make
from made_pages import places
from spikeduel.features.calibration.calibration_conclusion import Calibration, Conclusion
from spikeduel.features.calibration.calibration_error import judged
from spikeduel.features.calibration.calibration_section import chart, section

COLOURS = {"dense-snn": "red", "small-cnn": "blue"}


@pytest.fixture
def measured():
    """The calibration of a trial of each contender."""
    return {name: calibration(seed) for seed, name in enumerate(COLOURS)}


@pytest.fixture
def conclusion(measured):
    return Conclusion(contenders={name: [model] for name, model in measured.items()})


def calibration(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(200, 3, generator=generator, dtype=torch.float64)
    truth = torch.arange(200) % 3
    scaled = judged(scores / 2, truth)
    return Calibration(**structs.asdict(judged(scores, truth)), temperature=2.0, scaled=scaled)


def test_bars_are_the_accuracies_and_rings_those_after_temperature(measured, conclusion):
    drawn = chart(conclusion, COLOURS)
    assert [panel.title for panel in drawn.panels] == list(measured)
    for panel, judgement in zip(drawn.panels, measured.values(), strict=True):
        bars, rings, diagonal = panel.marks
        for row, part in zip(bars.rows, judgement.bins, strict=True):
            expected = None if part.accuracy is None else pytest.approx(100 * part.accuracy)
            assert (row["accuracy, %"], row["number"]) == (expected, part.count)
        scaled = [part for part in judgement.scaled.bins if part.count]
        assert places(panel, rings) == (
            pytest.approx([100 * part.confidence for part in scaled]),
            pytest.approx([100 * part.accuracy for part in scaled]),
        )
        assert places(panel, diagonal) == ([0, 100], [0, 100])


def test_networks_that_count_spikes_have_a_note(conclusion):
    models = {name: make(name) for name in COLOURS}
    trials = [trial(name, 0.8) for name in COLOURS]
    page = SimpleNamespace(models=models, results=SimpleNamespace(trials=trials))

    made = section(page, conclusion)

    # Scores of small-cnn are no spike counts.
    assert made.content["counting"] == ["dense-snn"]
    assert not made.content["is_pooled"]
    assert [drawn.name for drawn in made.charts] == ["reliability"]
