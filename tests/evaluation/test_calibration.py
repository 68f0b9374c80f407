import math

import numpy as np
import pytest
import torch
from msgspec import structs
from torch import nn

from made_models import make
from made_oracle import CARD, batches
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.correctness import (
    NUM_BINS,
    best_temperature,
    calibrated,
    calibration,
    eces_of_perfect,
    judged,
    label_confidences,
)
from spikeduel.evaluation.predictions_of_model import answers_of
from spikeduel.results.trials import CalibrationBin

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


@pytest.fixture(scope="module")
def perfect():
    """Scores of 40,000 images, and a truth that is drawn by them."""
    generator = torch.Generator().manual_seed(0)
    scores = 1.5 * torch.randn(40_000, 4, generator=generator, dtype=torch.float64)
    return scores, torch.multinomial(scores.softmax(1), 1, generator=generator)[:, 0]


def test_who_is_right_as_often_as_it_says_has_no_error_and_who_exaggerates_has(perfect):
    scores, truth = perfect
    assert judged(scores, truth).ece < 0.01
    assert judged(3 * scores, truth).ece > 0.15
    assert best_temperature(3 * scores, truth) == pytest.approx(3, rel=0.03)
    assert best_temperature(scores / 5, truth) == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize(("number", "classes"), [(20, 4), (500, 10)])
def test_a_few_images_that_are_all_right_make_nobody_sure(number, classes):
    # All scores alike, 3 for the true class: with one more image whose label is of every class in
    # equal parts, the likeliest probability of being right is (N + 1/K) / (N + 1), not 1.
    truth = torch.arange(number) % classes
    scores = 3 * torch.nn.functional.one_hot(truth, classes).double()
    surest = (scores / best_temperature(scores, truth)).softmax(1).max()
    assert surest == pytest.approx((number + 1 / classes) / (number + 1), abs=1e-4)


def test_what_a_perfect_model_shows_by_hand():
    # Two images of confidence 0.6 in one bin: both wrong, one right, both right; and one of 1.0, in
    # another bin.
    eces = eces_of_perfect(np.array([0.6, 1.0, 0.6]), np.array([8, 14, 8]))
    assert set(np.unique(eces.round(9))) == {round(gap / 3, 9) for gap in (1.2, 0.2, 0.8)}
    assert eces.mean() == pytest.approx(
        (0.16 * 1.2 + 0.48 * 0.2 + 0.36 * 0.8) / 3, abs=3 * eces.std() / 1000**0.5
    )


class Exaggerating(nn.Module):
    """Scores for the class that the only pixel names (0 or 1); always sure of itself to e⁴."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return 4 * nn.functional.one_hot((x.flatten() * 255).round().long(), 3).float()


def test_the_temperature_comes_from_validation_alone():
    model = Model(Exaggerating(), CARD)
    test = batches([0, 0, 1, 1], [0, 0, 1, 1])
    # Right on three of four, the rest on the third class: p = 3/4 for the answer needs scores of
    # log 6 to 0.
    validation = batches([0, 0, 1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 0, 1, 1, 2])
    fitted = calibrated(model, validation)
    # With a ninth image, of every class a third: right in 6 1/3 of 9.
    assert fitted.card.temperature == pytest.approx(
        4 / math.log(2 * (6 + 1 / 3) / (2 + 2 / 3)), rel=1e-3
    )
    assert (model.card.temperature, fitted.precision) == (None, "32")
    shown = calibration(fitted, test)
    assert shown.temperature == fitted.card.temperature
    assert shown.scaled.ece == pytest.approx((2 + 2 / 3) / 9, abs=1e-3)
    assert shown.ece == pytest.approx(1 - math.exp(4) / (math.exp(4) + 2))
    alone = calibration(model, test)
    assert alone == structs.replace(shown, temperature=None, scaled=None)


def test_the_probabilities_are_those_of_predict():
    model = make()
    images = torch.randint(0, 256, (40, 1, 10, 10), dtype=torch.uint8)
    index, labels = np.arange(40), torch.arange(40) % 3
    halves = [(images[part], labels[part], index[part]) for part in (slice(0, 13), slice(13, 40))]
    answers = answers_of(model, halves)
    scores, truth = answers.scores, torch.from_numpy(answers.truth)
    _, probabilities = model.predict(images, RandomKeys.for_evaluation(index))
    np.testing.assert_allclose(scores.softmax(1), probabilities, atol=1e-6)
    assert torch.equal(truth, labels)
    fitted = calibrated(model, halves)
    _, probabilities = fitted.predict(images, RandomKeys.for_evaluation(index))
    np.testing.assert_allclose(
        (scores / fitted.card.temperature).softmax(1), probabilities, atol=1e-6
    )
    # So are those by which labels are judged.
    confidences = label_confidences(fitted, halves[1:], halves[:1])
    assert confidences.validation.best == probabilities[:13].argmax(1).tolist()
    np.testing.assert_allclose(
        confidences.test.given, probabilities[13:][np.arange(27), truth[13:]], atol=1e-4
    )
    np.testing.assert_allclose(confidences.test.highest, probabilities[13:].max(1), atol=1e-4)
    # What the report calls scaled is what predict gives: its mean confidence, bin by bin.
    bins = calibration(fitted, halves).scaled.bins
    said = sum(entry.count * entry.confidence for entry in bins if entry.count) / 40
    assert said == pytest.approx(probabilities.max(1).mean(), abs=1e-6)
