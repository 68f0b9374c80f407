import numpy as np
import pytest
import torch

from made_models import make
from made_oracle import CARD, Oracle, batches
from spikeduel.measuring.answers import Asked, answers_of, ask
from spikeduel.measuring.anytime import anytime
from spikeduel.measuring.calibration import calibration
from spikeduel.measuring.classification import classification
from spikeduel.networks.models import Model
from spikeduel.spiking.random_keys import RandomKeys

IMAGES = torch.randint(0, 256, (60, 1, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(60) % 3


def in_batches(size):
    index = np.arange(60)
    parts = [slice(start, start + size) for start in range(0, 60, size)]
    return [(IMAGES[part], LABELS[part], index[part]) for part in parts]


def test_draws_are_keyed_by_index_so_batches_do_not_matter():
    model, index = make(), np.arange(60)
    whole, parts = ask(model, in_batches(60)), ask(model, in_batches(7))
    assert np.array_equal(whole.predicted, parts.predicted)
    assert whole.loss == pytest.approx(parts.loss, rel=1e-6)
    expected, probabilities = model.predict(IMAGES, RandomKeys.for_evaluation(index))
    assert np.array_equal(whole.predicted, expected)
    np.testing.assert_allclose(whole.scores.softmax(1), probabilities, atol=1e-6)
    other = ask(model, in_batches(60), repeat=1)
    assert not torch.equal(other.scores, whole.scores)


def test_over_time_the_last_answers_are_those_without():
    model = make()
    followed, plain = ask(model, in_batches(16), over_time=True), ask(model, in_batches(16))
    assert (plain.right, plain.confidence) == (None, None)
    assert followed.right.shape == followed.confidence.shape == (6, 60)
    assert np.array_equal(followed.predicted, plain.predicted)
    assert np.array_equal(followed.right[-1], followed.predicted == followed.truth)
    assert (np.diff(followed.confidence, axis=0) >= 0).all()
    assert ask(make("small-cnn"), in_batches(16), over_time=True).right is None


def test_ties_and_accuracy():
    found = ask(Model(Oracle(), CARD), batches([9, 0, 9, 1], [0, 0, 1, 1]))
    assert found.tied.tolist() == [True, False, True, False]
    assert found.predicted.tolist() == [0, 0, 0, 1]
    assert found.accuracy == 0.75


class Counting:
    """Batches that count how often they were asked for."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return iter(in_batches(16))


def test_one_pass_serves_three_measures_and_gives_what_three_passes_give():
    model, alone = make(), Counting()
    expected = [measure(model, alone) for measure in (classification, calibration, anytime)]
    given = Counting()
    asked = Asked(given)
    assert [measure(model, asked) for measure in (classification, calibration, anytime)] == expected
    assert (given.passes, alone.passes) == (1, 3)


def test_another_model_is_asked_itself():
    asked, one, other = Asked(Counting()), make(), make("small-cnn")
    first = answers_of(one, asked)
    assert answers_of(other, asked) is not first
    assert np.array_equal(answers_of(one, asked).predicted, first.predicted)
    assert len(list(asked)) == 4
