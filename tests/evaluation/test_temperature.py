import math

import numpy as np
import pytest
import torch
from torch import nn

from made_models import make
from made_oracle import CARD, batches
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.correctness import best_temperature, calibrated, label_confidences
from spikeduel.evaluation.predictions_of_model import predict_batches

pytestmark = pytest.mark.numeric


def test_the_temperature_by_which_scores_exaggerate_is_found():
    generator = torch.Generator().manual_seed(0)
    scores = 1.5 * torch.randn(40_000, 4, generator=generator, dtype=torch.float64)
    truth = torch.multinomial(scores.softmax(1), 1, generator=generator)[:, 0]
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


class Exaggerating(nn.Module):
    """Scores for the class that the only pixel names (0 or 1); always sure of itself to e⁴."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return 4 * nn.functional.one_hot((x.flatten() * 255).round().long(), 3).float()


def test_the_temperature_comes_from_validation_alone():
    model = Model(Exaggerating(), CARD)
    # Right on three of four, the rest on the third class: p = 3/4 for the answer needs scores of
    # log 6 to 0.
    validation = batches([0, 0, 1, 1, 0, 0, 1, 1], [0, 0, 1, 1, 0, 1, 1, 2])
    fitted = calibrated(model, validation)
    # With a ninth image, of every class a third: right in 6 1/3 of 9.
    assert fitted.card.temperature == pytest.approx(
        4 / math.log(2 * (6 + 1 / 3) / (2 + 2 / 3)), rel=1e-3
    )
    assert (model.card.temperature, fitted.precision) == (None, "32")


def test_the_probabilities_are_those_of_predict():
    model = make()
    images = torch.randint(0, 256, (40, 1, 10, 10), dtype=torch.uint8)
    index, labels = np.arange(40), torch.arange(40) % 3
    halves = [(images[part], labels[part], index[part]) for part in (slice(0, 13), slice(13, 40))]
    predictions = predict_batches(model, halves)
    scores, truth = predictions.scores, torch.from_numpy(predictions.truth)
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
