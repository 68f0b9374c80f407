"""Products with weights and of activations, per image."""

import pytest
import torch
from torch import nn

from spikeduel.measuring.counting import Counter, NotCounted


class Functional(nn.Module):
    def __init__(self, function, **weights):
        super().__init__()
        self.function = function
        for name, weight in weights.items():
            self.register_parameter(name, nn.Parameter(weight))

    def forward(self, x):
        return self.function(self, x)


def layer(module, x, kind="real", num_images=1, steps=1):
    counter = Counter(module)
    counter.run(lambda: module(x), x, num_images, kind, steps)
    (found,) = (row for row in counter.operations()["layers"] if row["kind"] == "synapses")
    return found


X = torch.tensor([[1.0, 0, 2, 0], [0, 0, 0, 5]])


@pytest.mark.parametrize(
    ("function", "weight"),
    [
        (lambda net, x: x @ net.w, torch.rand(4, 3)),
        (lambda net, x: nn.functional.linear(x, net.w), torch.rand(3, 4)),
        (lambda net, x: (net.w @ x.T).T, torch.rand(3, 4)),
        (lambda net, x: torch.einsum("bi,ij->bj", x, net.w), torch.rand(4, 3)),
        (lambda net, x: nn.functional.conv2d(x[:, :, None, None], net.w), torch.rand(3, 4, 1, 1)),
    ],
)
def test_every_way_to_write_a_linear_layer(function, weight):
    found = layer(Functional(function, w=weight), X, num_images=2)
    assert found["name"] == "w"
    assert found["weights"] == 12
    assert found["macs"] == {
        "dense": {"as_written": 12, "cached": 12},
        "effective": {"as_written": 4.5, "cached": 4.5},
    }
    spikes = layer(Functional(function, w=weight), (X > 0).float(), "spikes", num_images=2)
    assert spikes["acs"]["total"] == 4.5
    assert spikes["macs"]["dense"]["as_written"] == 0


@pytest.mark.parametrize("bias", [True, False])
def test_a_bias_is_an_addition_of_its_own(bias):
    module = nn.Linear(4, 3, bias=bias)
    for x in (X, X.repeat(1, 2)[:, ::2]):
        found = layer(module, x[:, :4], num_images=2)
        assert found["bias_additions"]["as_written"] == 3 * bias
        assert found["biases"] == 3 * bias


def test_a_bias_that_is_added_behind_a_product_counts_as_one():
    module = nn.Linear(4, 3)
    x = torch.ones(2, 5, 8)[:, :, ::2]
    found = layer(module, x, num_images=2)
    assert found["bias_additions"]["as_written"] == 15
    assert found["biases"] == 3


def test_weights_shared_by_two_places_are_one_layer_with_two_passes():
    shared = nn.Linear(4, 4, bias=False)
    found = layer(nn.Sequential(shared, nn.ReLU(), shared), X, num_images=2)
    assert found["passes"]["as_written"] == 2
    assert found["macs"]["dense"]["as_written"] == 32
    assert (found["inputs"], found["weights"]) == (4, 16)


def test_products_of_activations_count_pairs():
    found = layer(Functional(lambda net, x: x @ x.T), X, num_images=1)
    assert found["macs"]["dense"]["as_written"] == 16
    # Rows 1 0 1 0 and 0 0 0 1 with themselves and each other: 2 + 0 + 0 + 1.
    assert found["macs"]["effective"]["as_written"] == 3
    spikes = layer(Functional(lambda net, x: x @ x.T), (X > 0).float(), "spikes")
    assert spikes["macs"]["dense"]["as_written"] == 0
    assert spikes["acs"]["total"] == 6


def test_weights_made_from_the_input_are_not_guessed_at():
    module = Functional(lambda net, x: nn.functional.conv1d(x[:, None], x[:, None]))
    with pytest.raises(NotCounted, match="weights that are computed from the input"):
        layer(module, X)
