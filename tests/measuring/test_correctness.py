import json

import numpy as np
import pytest
import torch
from torch import nn

from made_oracle import CARD, Oracle, batches
from spikeduel.data import Preprocessing
from spikeduel.measuring import MEASURES
from spikeduel.measuring.correctness import classification, encoding_spread, weight_shapes
from spikeduel.networks.building import build
from spikeduel.networks.cards import ModelCard
from spikeduel.networks.models import Model
from spikeduel.results.trials import ClassScores, EncodingSpread, WeightShapes
from spikeduel.spiking.encoders import ENCODERS, Encoder, rate
from spikeduel.system import typed


def test_by_hand():
    # truth a a a b b c; answers a a b b b a: a: 2 of 3 found, 2 of 3 said; b: 2 of 2, 2 of 3; c: 0
    # of 1, never said.
    found = classification(Model(Oracle(), CARD), batches([0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 2]))
    assert found.n == 6
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.confusion == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert found.recall == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.precision == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found.f1 == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert [row.support for row in found.per_class] == [3, 2, 1]
    assert found.per_class[1] == ClassScores(
        name="b", precision=pytest.approx(2 / 3), recall=1, f1=0.8, support=2
    )
    assert found.truth == [0, 0, 0, 1, 1, 2]
    assert found.predicted == [0, 0, 1, 1, 1, 0]
    assert found.tie_share == 0
    expected = nn.functional.cross_entropy(
        torch.eye(3)[[0, 0, 1, 1, 1, 0]] * 5, torch.tensor([0, 0, 0, 1, 1, 2])
    )
    assert found.loss == pytest.approx(float(expected))


def test_ties_are_counted():
    assert (
        classification(Model(Oracle(), CARD), batches([9, 0, 9, 1], [0, 0, 0, 1])).tie_share == 0.5
    )


def _snn(encoding):
    network = {"hidden": 16, "neuron": "lif"}
    card = ModelCard(
        "dense-snn", "snn", (1, 4, 4), ("a", "b", "c"), Preprocessing(1, 4, 4), network, encoding, 5
    )
    torch.manual_seed(0)
    return Model(build(card), card)


def test_other_draws_show_the_spread_of_a_random_encoding_and_nothing_else(monkeypatch):
    images = torch.randint(
        0, 256, (60, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    given = [(images, torch.arange(60) % 3, np.arange(60))]
    found = encoding_spread(_snn("rate"), given)
    assert len(found.accuracies) == 5
    assert found.standard_deviation == pytest.approx(np.std(found.accuracies, ddof=1))
    assert found.standard_deviation > 0
    assert encoding_spread(_snn("direct"), given) == EncodingSpread()
    monkeypatch.setitem(ENCODERS, "own", Encoder(rate, random=True))
    assert encoding_spread(_snn("own"), given) == found


@pytest.mark.parametrize("name", MEASURES)
def test_what_every_measure_gives_is_kept_as_json_and_read_again(name):
    measure, images = MEASURES[name], torch.zeros(6, 1, 4, 4, dtype=torch.uint8)
    given = [[(images, torch.arange(6) % 3, np.arange(6))]] * (2 if measure.on_validation else 1)
    value = measure.take(_snn("rate"), *given)
    assert type(value) is measure.result
    kept = json.dumps(typed.plain(value), allow_nan=False)
    assert typed.converted(json.loads(kept), measure.result) == value


# ---- shapes of weights


def _eight(contender, **network):
    spiking = bool(network)
    card = ModelCard(
        contender,
        "snn" if spiking else "cnn",
        (1, 8, 8),
        ("a", "b"),
        Preprocessing(1, 8, 8),
        {"hidden": 6, **network},
        "direct" if spiking else None,
        3 if spiking else None,
    )
    torch.manual_seed(0)
    return Model(build(card), card)


def test_names_and_shapes():
    assert weight_shapes(_eight("dense-snn", neuron="lif"), []) == WeightShapes(
        shapes={
            "linear1.weight": [6, 64],
            "linear1.bias": [6],
            "linear2.weight": [2, 6],
            "linear2.bias": [2],
        }
    )


def test_what_neurons_learn_belongs_to_the_activation():
    for neuron in ("plif", "quantised-relu"):
        shapes = weight_shapes(_eight("conv-lif", neuron=neuron), [])
        assert shapes == weight_shapes(_eight("conv-relu"), [])
        assert shapes != weight_shapes(_eight("small-cnn"), [])
