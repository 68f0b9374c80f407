import json

import numpy as np
import pytest
import torch
from torch import nn

from made_models import make
from made_oracle import CARD, Oracle, batches
from spikeduel.engine.encoders import ENCODERS, Encoder, rate
from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.correctness import classification, encoding_deviation, weight_shapes
from spikeduel.evaluation.measures import MEASURES
from spikeduel.results.trials import ClassScores, EncodingDeviation, WeightShapes
from spikeduel.system import typed


def test_by_hand():
    # truth a a a b b c; answers a a b b b a: a: 2 of 3 found, 2 of 3 said; b: 2 of 2, 2 of 3; c: 0
    # of 1, never said.
    scores = classification(Model(Oracle(), CARD), batches([0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 2]))
    assert scores.n == 6
    assert scores.accuracy == pytest.approx(4 / 6)
    assert scores.confusion == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert scores.recall == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scores.precision == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert scores.f1 == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert [row.support for row in scores.per_class] == [3, 2, 1]
    assert scores.per_class[1] == ClassScores(
        name="b", precision=pytest.approx(2 / 3), recall=1, f1=0.8, support=2
    )
    assert scores.truth == [0, 0, 0, 1, 1, 2]
    assert scores.predicted == [0, 0, 1, 1, 1, 0]
    assert scores.tie_share == 0
    expected = nn.functional.cross_entropy(
        torch.eye(3)[[0, 0, 1, 1, 1, 0]] * 5, torch.tensor([0, 0, 0, 1, 1, 2])
    )
    assert scores.loss == pytest.approx(float(expected))


def test_other_draws_show_the_spread_of_a_random_encoding_and_nothing_else(monkeypatch):
    images = torch.randint(
        0, 256, (60, 1, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    images_in_batches = [(images, torch.arange(60) % 3, np.arange(60))]
    deviation = encoding_deviation(make(), images_in_batches)
    assert len(deviation.accuracies) == 5
    assert deviation.standard_deviation == pytest.approx(np.std(deviation.accuracies, ddof=1))
    assert deviation.standard_deviation > 0
    assert encoding_deviation(make(encoding="direct"), images_in_batches) == EncodingDeviation()
    monkeypatch.setitem(ENCODERS, "own", Encoder(rate, random=True))
    assert encoding_deviation(make(encoding="own"), images_in_batches) == deviation


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_is_written_as_json_and_read_again(name):
    measure, images = MEASURES[name], torch.zeros(6, 1, 10, 10, dtype=torch.uint8)
    images_in_batches = [[(images, torch.arange(6) % 3, np.arange(6))]] * (
        2 if measure.on_validation else 1
    )
    value = measure.take(make(), *images_in_batches)
    assert type(value) is measure.result
    written = json.dumps(typed.plain(value), allow_nan=False)
    assert typed.converted(json.loads(written), measure.result) == value


# ---- shapes of weights


def test_shapes_are_those_of_weights_alone_and_not_of_what_neurons_learn():
    assert weight_shapes(make(), []) == WeightShapes(
        shapes={
            "linear1.weight": [12, 100],
            "linear1.bias": [12],
            "linear2.weight": [3, 12],
            "linear2.bias": [3],
        }
    )
    for neuron in ("plif", "quantised-relu"):
        spikes = {"kind": "snn", "encoding": "direct", "num_steps": 3}
        network = {"hidden": 12, "neuron": neuron}
        shapes = weight_shapes(make("conv-lif", network=network, **spikes), [])
        assert shapes == weight_shapes(make("conv-relu"), [])
        assert shapes != weight_shapes(make("small-cnn"), [])
