import copy

import numpy as np
import pytest
import torch
from torch import nn

import spikeduel as sd
from made_models import Tutorial, louder, make
from made_operations import Odd
from spikeduel.engine.counting.operations import Ways
from spikeduel.engine.networks.architectures import DenseSNN
from spikeduel.engine.neurons import LIF
from spikeduel.system.errors import InputError

snntorch = pytest.importorskip("snntorch")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
layer = pytest.importorskip("spikingjelly.activation_based.layer")
functional = pytest.importorskip("spikingjelly.activation_based.functional")

IMAGES = torch.randint(
    0, 256, (6, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
STEPS = 4


@pytest.fixture
def tutorial():
    torch.manual_seed(0)
    return louder(Tutorial(64, 20, num_steps=STEPS), 3)


def numbers(cost):
    synapses = [layer for layer in cost.layers if layer.kind == "synapses"]
    return [(layer.input, layer.macs, layer.acs, layer.passes) for layer in synapses]


def test_one_network_written_in_every_way_costs_the_same(tutorial):
    expected = sd.cost(tutorial, IMAGES)
    totals = expected.operations.totals
    assert totals.acs.total > 0
    assert totals.macs.dense == Ways(per_step=STEPS * 64 * 20, hoisted=64 * 20)
    leaky = lambda **more: snntorch.Leaky(beta=0.95, init_hidden=True, **more)  # noqa: E731
    stepwise = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 20), leaky(), nn.Linear(20, 3), leaky(output=True)
    )
    for module in (stepwise, DenseSNN((64,), 3, lambda: LIF(0.95), 20)):
        linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        for layer, known in zip(linear, (tutorial.fc1, tutorial.fc2), strict=True):
            layer.load_state_dict(known.state_dict())
        cost = sd.cost(module, IMAGES, num_steps=STEPS)
        assert numbers(cost) == numbers(expected)
        assert cost.operations.totals.spikes == totals.spikes
        assert cost.energy() == expected.energy()


def test_spikingjelly_at_once_and_step_by_step():
    torch.manual_seed(0)
    module = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.IFNode(),
        layer.AvgPool2d(2),
        layer.Conv2d(4, 4, 3, padding=1, bias=False),
        neuron.LIFNode(),
        layer.Flatten(),
        layer.Linear(64, 3),
        neuron.IFNode(),
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    costs = []
    for mode in ("m", "s"):
        functional.set_step_mode(module, mode)
        costs.append(sd.cost(module, IMAGES, num_steps=STEPS))
    at_once, stepwise = costs
    assert numbers(at_once) == numbers(stepwise)
    assert at_once.operations.totals == stepwise.operations.totals
    second = next(layer for layer in at_once.layers if layer.name == "4")
    # Average-pooled spikes are events, not numbers.
    assert second.input == "spikes"
    assert second.acs.total > 0


def test_images_in_any_form(tutorial):
    expected = numbers(sd.cost(tutorial, IMAGES))
    for images in (
        IMAGES.numpy(),
        IMAGES[:, 0],
        IMAGES / 255,
        (IMAGES / 255).flatten(1),
        np.asarray(IMAGES / 255.0),
    ):
        assert numbers(sd.cost(tutorial, images)) == expected
    in_parts = sd.cost(tutorial, IMAGES, batch_size=4)
    assert in_parts.operations.images == 6
    assert in_parts.operations.totals.acs.total == pytest.approx(expected[1][2].total)


def test_the_network_is_left_as_it_was(tutorial):
    tutorial.train()
    before = copy.deepcopy(tutorial.state_dict())
    sd.cost(tutorial, IMAGES)
    assert tutorial.training
    assert all(
        torch.equal(value, before[name])
        for name, value in tutorial.state_dict().items()
        if value.numel()
    )
    assert not tutorial.fc1._forward_hooks


def test_energies_and_accountings_are_printed_as_text(tutorial):
    cost = sd.cost(tutorial, IMAGES)
    title, *memories = str(cost.energy("45nm-int8")).splitlines()
    assert cost.energy("45nm-int8").title in title
    assert str(cost).splitlines()[-3:] == str(cost.energy()).splitlines()[-3:]
    assert len(memories) == 3
    first, *table = str(cost.accountings()).splitlines()
    assert first.startswith(
        "Energy of this network and its ReLU twin by published accountings: with "
    )
    accountings = {result.accounting for result in cost.accountings().by_accounting}
    assert {line.split()[0] for line in table[2:]} == accountings

    assert repr(cost).startswith("<Cost of ")
    assert cost._repr_html_().count("<table") == 1
    assert cost.energy().title in cost._repr_html_()


def test_a_trained_model_is_counted_by_its_own_encoding():
    model = make(encoding="rate")
    images = torch.full((3, 1, 10, 10), 255, dtype=torch.uint8)
    first = sd.cost(model, images).layers[0]
    assert first.input == "spikes"
    assert first.events.by_step == [100] * 6
    with pytest.raises(InputError, match=r"uint8 \[N, 1, 10, 10\]"):
        sd.cost(model, IMAGES)


def test_the_cost_of_a_module_can_be_declared():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), Odd(), nn.Linear(4, 3))
    with pytest.raises(InputError, match=r"'2' \(Odd\) uses aten"):
        sd.cost(module, IMAGES)
    declared = {Odd: lambda part, inputs, output: {"macs": 8 * len(output)}}
    operations = sd.cost(module, IMAGES, declared=declared).operations
    assert operations.num_steps == 1
    assert operations.totals.macs.dense.hoisted == 64 * 4 + 8 + 12


@pytest.mark.parametrize(
    ("images", "num_steps", "problem"),
    [
        (torch.zeros(3, dtype=torch.long), None, r"not int64 \[3\]"),
        (torch.zeros(0, 1, 8, 8), None, r"not float32 \[0, 1, 8, 8\]"),
        ("a picture", None, "give a tensor or an array"),
        (IMAGES, 0, "num_steps must be at least 1"),
        (IMAGES, 7, "makes 4 steps itself"),
    ],
)
def test_what_cannot_be_counted(images, num_steps, problem, tutorial):
    with pytest.raises(InputError, match=problem):
        sd.cost(tutorial, images, num_steps)


def test_accountings_of_one_network_against_its_twin(tutorial, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'label = "mine"\ngroup = "arithmetic"\ntitle = "t"\nsource = "s"\nwhere = "w"\nread = "source"\nunit = "operations"\n'
        'leaves_out = "l"\nspiking = "acs"\nother = "macs"\n'
    )
    cost = sd.cost(tutorial, IMAGES)
    mine, *published = cost.accountings(tmp_path / "mine.toml").by_accounting
    assert mine.spiking.low == cost.operations.totals.acs.total
    # 64 · 20 + 20 · 3 weights, each used once.
    assert mine.other.low == 1340
    (syops,) = (result for result in published if result.accounting == "syops")
    assert syops.other.low == pytest.approx(1340 * 4.6e-12)
