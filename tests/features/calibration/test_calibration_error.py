import math

import numpy as np
import pytest
import torch
from msgspec import structs

from made_models import make
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.correctness import calibrated, classification
from spikeduel.evaluation.predictions_of_model import CachedPredictions
from spikeduel.features.calibration.calibration_conclusion import CalibrationBin
from spikeduel.features.calibration.calibration_error import (
    NUM_BINS,
    calibration,
    eces_of_perfect,
    judged,
)

pytestmark = pytest.mark.numeric


def test_by_hand():
    # Confidences 0.5 (right), 0.62 and 0.65 (right, wrong: one bin, from 0.6 to 0.667), 0.9
    # (wrong).
    scores = torch.tensor(
        [[0.5, 0.3, 0.2], [0.62, 0.3, 0.08], [0.65, 0.25, 0.1], [0.05, 0.9, 0.05]],
        dtype=torch.float64,
    ).log()
    shown = judged(scores, torch.tensor([0, 0, 1, 2]))
    assert shown.ece == pytest.approx((0.5 + 2 * (0.635 - 0.5) + 0.9) / 4)
    assert shown.nll == pytest.approx(
        -(math.log(0.5) + math.log(0.62) + math.log(0.25) + math.log(0.05)) / 4
    )
    squares = [
        0.25 + 0.09 + 0.04,
        0.38**2 + 0.09 + 0.0064,
        0.65**2 + 0.75**2 + 0.01,
        0.0025 + 0.81 + 0.95**2,
    ]
    assert shown.brier == pytest.approx(sum(squares) / 4)
    assert [entry.count for entry in shown.bins] == [0] * 7 + [1, 0, 2, 0, 0, 0, 1, 0]
    assert shown.bins[9] == CalibrationBin(
        low=0.6, high=pytest.approx(2 / 3), count=2, confidence=pytest.approx(0.635), accuracy=0.5
    )
    assert shown.bins[0].accuracy is None


def test_bins_hold_their_upper_edge_and_nobody_is_lost():
    shown = judged(
        torch.tensor([[50.0, -50.0], [0.0, 0.0]], dtype=torch.float64), torch.tensor([0, 1])
    )
    assert sum(entry.count for entry in shown.bins) == 2
    assert shown.bins[NUM_BINS - 1].count == 1
    assert shown.ece == pytest.approx(0.25)


def test_who_is_right_as_often_as_it_says_has_no_error_and_who_exaggerates_has():
    generator = torch.Generator().manual_seed(0)
    scores = 1.5 * torch.randn(40_000, 4, generator=generator, dtype=torch.float64)
    truth = torch.multinomial(scores.softmax(1), 1, generator=generator)[:, 0]
    assert judged(scores, truth).ece < 0.01
    assert judged(3 * scores, truth).ece > 0.15


def test_what_a_perfect_model_shows_by_hand():
    # Two images of confidence 0.6 in one bin: both wrong, one right, both right; and one of 1.0, in
    # another bin.
    eces = eces_of_perfect(np.array([0.6, 1.0, 0.6]), np.array([8, 14, 8]))
    assert set(np.unique(eces.round(9))) == {round(gap / 3, 9) for gap in (1.2, 0.2, 0.8)}
    assert eces.mean() == pytest.approx(
        (0.16 * 1.2 + 0.48 * 0.2 + 0.36 * 0.8) / 3, abs=3 * eces.std() / 1000**0.5
    )


@pytest.fixture
def images(random):
    """Forty images in two batches."""
    pixels = torch.from_numpy(random.integers(0, 256, (40, 1, 10, 10), dtype=np.uint8))
    index, labels = np.arange(40), torch.arange(40) % 3
    return [(pixels[part], labels[part], index[part]) for part in (slice(0, 13), slice(13, 40))]


def test_scaled_probabilities_are_those_of_predict(images):
    fitted = calibrated(make(), images)
    shown = calibration(fitted, images)
    assert shown.temperature == fitted.card.temperature
    # The mean confidence, bin by bin.
    mean_confidence = (
        sum(entry.count * entry.confidence for entry in shown.scaled.bins if entry.count) / 40
    )
    highest = [
        fitted.predict(batch, RandomKeys.for_evaluation(index))[1].max(1)
        for batch, _, index in images
    ]
    assert mean_confidence == pytest.approx(np.concatenate(highest).mean(), abs=1e-6)
    alone = calibration(make(), images)
    assert alone == structs.replace(shown, temperature=None, scaled=None)


def test_it_needs_no_pass_of_its_own_and_gives_what_its_own_gives(images):
    model, asked = make(), CachedPredictions(iter(images))  # to be read once
    assert classification(model, asked).n == 40
    assert calibration(model, asked) == calibration(model, images)
