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
        (
            [RESIDUAL[0], {"type": "Concat", "inputs": [-1, 0]}],
            r"layers\[1\] \(Concat\) .* what it is given \[1, 2, 2\] and \[4\]",
        ),
        (
            [*RESIDUAL[:2], {"type": "LIF", "inputs": [0, 1]}],
            r"layers\[2\] \(LIF\) .* what it is given \[4\] and \[4\]",
        ),
    ],
    ids=["Concat", "LIF"],
)
def test_what_does_not_fit_together_is_named(layers, problem):
    with pytest.raises(InputError, match=problem):
        Sequential((1, 2, 2), 4, layers=layers)
