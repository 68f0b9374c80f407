from dataclasses import replace

import numpy as np
import pytest
import torch

from made_models import make
from made_oracle import CARD, Oracle, batches
from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.correctness import anytime, classification
from spikeduel.evaluation.costing import operations
from spikeduel.evaluation.predictions_of_model import (
    CachedPredictions,
    Counting as CountingOf,
    predict_in_one_pass,
)

pytestmark = pytest.mark.numeric

IMAGES = torch.randint(
    0, 256, (60, 1, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
LABELS = torch.arange(60) % 3


def in_batches(size):
    index = np.arange(60)
    parts = [slice(start, start + size) for start in range(0, 60, size)]
    return [(IMAGES[part], LABELS[part], index[part]) for part in parts]


def test_draws_are_keyed_by_index_so_batches_do_not_matter():
    model, index = make(), np.arange(60)
    whole, parts = (
        predict_in_one_pass(model, in_batches(60)),
        predict_in_one_pass(model, in_batches(7)),
    )
    assert np.array_equal(whole.predicted, parts.predicted)
    assert whole.loss == pytest.approx(parts.loss, rel=1e-6)
    expected, probabilities = model.predict(IMAGES, RandomKeys.for_evaluation(index))
    assert np.array_equal(whole.predicted, expected)
    np.testing.assert_allclose(whole.scores.softmax(1), probabilities, atol=1e-6)
    other = predict_in_one_pass(model, in_batches(60), repeat=1)
    assert not torch.equal(other.scores, whole.scores)


def test_large_batches_are_predicted_in_pieces_with_the_same_scores(monkeypatch):
    model = make("small-cnn")
    whole = predict_in_one_pass(model, in_batches(30))
    monkeypatch.setattr(type(model), "images_at_once", 7)
    counting = CountingOf(model)
    parts = predict_in_one_pass(model, in_batches(30), counting=counting)
    assert np.array_equal(whole.predicted, parts.predicted)
    assert counting.result().operations.images == 60
    assert whole.loss == pytest.approx(parts.loss, rel=1e-6)


def test_over_time_the_last_predictions_are_those_without():
    model = make()
    followed, plain = (
        predict_in_one_pass(model, in_batches(16), over_time=True),
        predict_in_one_pass(model, in_batches(16)),
    )
    assert plain.over_time is None
    running = followed.over_time
    assert running.right.shape == running.confidence.shape == (6, 60)
    assert np.array_equal(followed.predicted, plain.predicted)
    assert np.array_equal(running.right[-1], followed.predicted == followed.truth)
    assert (np.diff(running.confidence, axis=0) >= 0).all()
    assert predict_in_one_pass(make("small-cnn"), in_batches(16), over_time=True).over_time is None


def test_ties_and_accuracy():
    predictions = predict_in_one_pass(Model(Oracle(), CARD), batches([9, 0, 9, 1], [0, 0, 1, 1]))
    assert predictions.tied.tolist() == [True, False, True, False]
    assert predictions.predicted.tolist() == [0, 0, 0, 1]
    assert predictions.accuracy == 0.75


class Counting:
    """Batches that count the passes over them."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return iter(in_batches(16))


@pytest.mark.parametrize(
    ("contender", "encoding"), [("dense-snn", "rate"), ("dense-snn", "direct"), ("small-cnn", None)]
)
def test_one_pass_serves_three_measures_and_gives_what_three_passes_give(contender, encoding):
    measures = (classification, anytime, operations)
    model, alone = make(contender, **({"encoding": encoding} if encoding else {})), Counting()
    expected = [measure(model, alone) for measure in measures]
    images_in_batches = Counting()
    asked = CachedPredictions(images_in_batches, count=True)
    assert [measure(model, asked) for measure in measures] == expected
    assert (images_in_batches.passes, alone.passes) == (1, 3)


def test_what_is_counted_in_another_way_takes_a_pass_of_its_own():
    class Attentive(torch.nn.Module):
        """Fused attention is answered as it is, and taken apart only to be counted."""

        def __init__(self):
            super().__init__()
            self.last = torch.nn.Linear(100, 3)

        def forward(self, x):
            return self.last(torch.nn.functional.scaled_dot_product_attention(x, x, x).flatten(1))

    model, images_in_batches = (
        Model(Attentive(), replace(CARD, kind="cnn", encoding=None, num_steps=None)),
        Counting(),
    )
    asked = CachedPredictions(images_in_batches, count=True)
    counted = operations(model, asked)
    assert images_in_batches.passes == 2
    assert counted == operations(model, Counting())
    assert counted.operations.totals.macs.dense.hoisted > 0


def test_a_failure_to_count_costs_no_predictions(monkeypatch):
    model = make()
    expected = classification(model, Counting())

    def broken(*_, **__):
        raise RuntimeError("a fault of the counter's")

    monkeypatch.setattr(Counter, "__torch_dispatch__", broken)
    asked = CachedPredictions(Counting(), count=True)
    assert classification(model, asked) == expected
    with pytest.raises(RuntimeError, match="a fault"):
        operations(model, asked)
