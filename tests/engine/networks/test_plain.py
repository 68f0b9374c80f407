import pytest
import torch

from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.architectures import Sequential
from spikeduel.system.errors import InputError

RESIDUAL = [
    {"type": "Flatten"},
    {"type": "Linear", "in_features": 4, "out_features": 4, "bias": False},
    {"type": "LIF", "beta": 1.0, "threshold": 1.0, "reset_mechanism": "subtract"},
    {"type": "Scale", "factor": 0.5, "inputs": [0]},
    {"type": "Add", "inputs": [2, 3]},
    {"type": "Concat", "inputs": [4, 0]},
]

PLAIN = [
    {"type": "Flatten"},
    {"type": "Linear", "in_features": 4, "out_features": 3, "bias": False},
    {"type": "LIF", "beta": 0.5, "threshold": 0.25, "reset_mechanism": "subtract"},
]


def test_layers_may_take_those_of_others_and_run_like_a_loop():
    module = Sequential((1, 2, 2), 8, layers=RESIDUAL)
    with torch.no_grad():
        module.chain[1].weight.copy_(torch.eye(4) * 0.6)
    image = torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]])
    output = module(ConstantInput(image, 3))
    # Membranes 0.6·x·t, one spike less each; what follows a constant is constant.
    flat = image.flatten(1)
    spk = torch.tensor([[[0, 0, 1, 1]], [[0, 1, 1, 1]], [[0, 0, 1, 1]]]).float()
    expected = torch.cat([spk + 0.5 * flat, flat.expand(3, 1, 4)], 2)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(module(ConstantInput(image, 3).expand().clone()), expected)


def test_what_is_no_chain_has_no_order_to_be_written_in():
    assert len(Sequential((1, 2, 2), 4, layers=RESIDUAL[:2]).layers()) == 2
    with pytest.raises(InputError, match="its layers are no chain"):
        Sequential((1, 2, 2), 8, layers=RESIDUAL).layers()


@pytest.mark.parametrize("inputs", [[4], [5], [-2], [], "12", [True], [1.0], None])
def test_inputs_that_are_no_earlier_layers(inputs):
    with pytest.raises(
        InputError,
        match=r"layers\[4\] \(Add\): its inputs must be numbers of layers before it, or -1",
    ):
        Sequential((1, 2, 2), 4, layers=[*RESIDUAL[:4], {"type": "Add", "inputs": inputs}])


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        (None, "a list of 1 to 2000"),
        ([], "a list of 1 to 2000"),
        (PLAIN * 800, "a list of 1 to 2000"),
        ("Flatten", "a list of 1 to 2000"),
        ([3], r"layers\[0\] must be an object with a type"),
        ([{"type": "Linaer"}], "did you mean 'Linear'"),
        ([{"type": "Linear"}], r"layers\[0\] \(Linear\) cannot be made"),
        ([{"type": "Flatten", "device": "cpu"}], "unknown setting 'device'"),
        ([{"type": "LIF", "beta": "x"}], r"layers\[0\] \(LIF\) cannot be made"),
        ([{"type": "LIF", "threshold": -1}], "threshold must be greater than 0"),
        ([PLAIN[1]], r"layers\[0\] \(Linear\) .*does not fit"),
        (PLAIN[:1], "not a score for each of 3 classes"),
        ([*PLAIN[:2], {"type": "EachItsOwnLIF", "shape": [4]}], "for neurons"),
        (
            [RESIDUAL[0], {"type": "Concat", "inputs": [-1, 0]}],
            r"layers\[1\] \(Concat\) .* what it is given \[1, 2, 2\] and \[4\]",
        ),
        (
            [*RESIDUAL[:2], {"type": "LIF", "inputs": [0, 1]}],
            r"layers\[2\] \(LIF\) .* what it is given \[4\] and \[4\]",
        ),
    ],
    ids=str,
)
def test_layers_that_make_no_network_are_named(layers, problem):
    with pytest.raises(InputError, match=problem):
        Sequential((1, 2, 2), 3, layers=layers)


def test_the_last_layer_decides_the_readout():
    module = Sequential((1, 2, 2), 3, layers=PLAIN)
    assert (module.chain[2].beta, module.chain[2].threshold) == (0.5, 0.25)
    assert type(module.readout).__name__ == "SpikeCountReadout"
    assert type(Sequential((1, 2, 2), 3, layers=PLAIN[:2]).readout).__name__ == "MeanReadout"
    assert not list(module.chain[1].parameters())[1:]


def test_neurons_with_values_of_their_own():
    layers = [*PLAIN[:2], {"type": "EachItsOwnLIF", "shape": [3]}]
    layer = Sequential((1, 2, 2), 3, layers=layers).chain[2]
    layer.load_state_dict(
        {"beta": torch.tensor([0.0, 0.5, 1.0]), "thresholds": torch.tensor([0.5, 1.0, 2.6])}
    )
    spk, mem = layer(torch.ones(4, 1, 3))
    # Each on its own: U = beta·U·(1 − R) + 1, spikes where U is above its own threshold.
    assert spk[:, 0].T.tolist() == [[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0]]
    assert mem[:, 0].T.tolist() == [[1, 1, 1, 1], [1, 1.5, 1, 1.5], [1, 2, 3, 1]]
