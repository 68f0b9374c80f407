import torch

from spikeduel.data import Preprocessing
from spikeduel.measuring.weight_shapes import weight_shapes
from spikeduel.networks.models import Model, ModelCard, build


def model(contender, **network):
    spiking = bool(network)
    card = ModelCard(
        contender, "snn" if spiking else "cnn", (1, 8, 8), ("a", "b"), Preprocessing(1, 8, 8),
        {"hidden": 6, **network}, "direct" if spiking else None, 3 if spiking else None,
    )  # fmt: skip
    torch.manual_seed(0)
    return Model(build(card), card)


def test_names_and_shapes():
    found = weight_shapes(model("dense-snn", neuron="lif"), [])
    assert found == {
        "shapes": {"linear1.weight": [6, 64], "linear1.bias": [6], "linear2.weight": [2, 6], "linear2.bias": [2]}
    }


def test_what_neurons_learn_is_the_activations():
    for neuron in ("plif", "quantised-relu"):
        module = model("conv-lif", neuron=neuron)
        assert weight_shapes(module, []) == weight_shapes(model("conv-relu"), [])
        assert weight_shapes(module, []) != weight_shapes(model("small-cnn"), [])
