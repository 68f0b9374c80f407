import copy

import numpy as np
import pytest
import torch
from torch import nn

import spikeduel as sd
from made_models import make
from spikeduel.networks.architectures.dense import DenseSNN
from spikeduel.results.costs import Ways
from spikeduel.spiking.neurons import LIF
from spikeduel.system.errors import InputError

snntorch = pytest.importorskip("snntorch")
neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
layer = pytest.importorskip("spikingjelly.activation_based.layer")
functional = pytest.importorskip("spikingjelly.activation_based.functional")

IMAGES = torch.randint(0, 256, (6, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
STEPS = 4


class Tutorial(nn.Module):
    """As snnTorch's tutorials write it: the steps are made inside, spikes and membranes are returned."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 20), snntorch.Leaky(beta=0.95)
        self.fc2, self.lif2 = nn.Linear(20, 3), snntorch.Leaky(beta=0.95)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for _ in range(STEPS):
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


@pytest.fixture
def tutorial():
    torch.manual_seed(0)
    module = Tutorial()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter *= 3
    return module


def same_weights(module, tutorial):
    """`module`, whose two linear layers get the weights of the tutorial's network."""
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    for part, other in zip(linear, (tutorial.fc1, tutorial.fc2), strict=True):
        part.load_state_dict(other.state_dict())
    return module


def numbers(cost):
    synapses = [layer for layer in cost.layers if layer.kind == "synapses"]
    return [(layer.input, layer.macs, layer.acs, layer.passes) for layer in synapses]


def test_one_network_written_in_every_way_costs_the_same(tutorial):
    found = sd.cost(tutorial, IMAGES)
    totals = found.operations.totals
    assert totals.acs.total > 0
    assert totals.macs.dense == Ways(per_step=STEPS * 64 * 20, hoisted=64 * 20)
    leaky = lambda **more: snntorch.Leaky(beta=0.95, init_hidden=True, **more)  # noqa: E731
    stepwise = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), leaky(), nn.Linear(20, 3), leaky(output=True))
    ours = DenseSNN((64,), 3, lambda: LIF(0.95), 20)
    for module in (stepwise, ours):
        other = sd.cost(same_weights(module, tutorial), IMAGES, num_steps=STEPS)
        assert numbers(other) == numbers(found)
        assert other.operations.totals.spikes == totals.spikes
        assert other.energy() == found.energy()


def test_spikingjelly_at_once_and_step_by_step():
    torch.manual_seed(0)
    module = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), neuron.IFNode(), layer.AvgPool2d(2),
        layer.Conv2d(4, 4, 3, padding=1, bias=False), neuron.LIFNode(), layer.Flatten(), layer.Linear(64, 3),
        neuron.IFNode(),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.abs_()
    found = []
    for mode in ("m", "s"):
        functional.set_step_mode(module, mode)
        found.append(sd.cost(module, IMAGES, num_steps=STEPS))
    at_once, stepwise = found
    assert numbers(at_once) == numbers(stepwise)
    assert at_once.operations.totals == stepwise.operations.totals
    second = next(each for each in at_once.layers if each.name == "4")
    # Average-pooled spikes are events, not numbers.
    assert second.input == "spikes"
    assert second.acs.total > 0


def test_a_plain_network():
    found = sd.cost(nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3)), IMAGES)
    assert found.operations.num_steps == 1
    assert found.operations.totals.macs.dense.hoisted == 64 * 5 + 15
    assert found.energy("45nm-int8").compute.synapses.hoisted.dense == pytest.approx(335 * 0.3e-12)


def test_images_in_any_form(tutorial):
    expected = numbers(sd.cost(tutorial, IMAGES))
    for images in (IMAGES.numpy(), IMAGES[:, 0], IMAGES / 255, (IMAGES / 255).flatten(1), np.asarray(IMAGES / 255.0)):
        assert numbers(sd.cost(tutorial, images)) == expected
    in_parts = sd.cost(tutorial, IMAGES, batch_size=4)
    assert in_parts.operations.images == 6
    assert in_parts.operations.totals.acs.total == pytest.approx(expected[1][2].total)


def test_the_network_is_left_as_it_was(tutorial):
    tutorial.train()
    before = copy.deepcopy(tutorial.state_dict())
    sd.cost(tutorial, IMAGES)
    assert tutorial.training
    assert all(torch.equal(value, before[name]) for name, value in tutorial.state_dict().items() if value.numel())
    assert not tutorial.fc1._forward_hooks


def test_what_is_printed(tutorial):
    told = str(sd.cost(tutorial, IMAGES))
    assert "means over 6 images, 4 time steps" in told
    assert "5,120 (1,280)" in told
    assert "ESTIMATE by table 45nm-fp32" in told
    assert "hoisted in brackets" in told
    assert "hoisted" not in str(sd.cost(nn.Linear(64, 3), IMAGES.flatten(1)))


def test_a_trained_model_is_counted_by_its_own_encoding():
    model = make(encoding="rate")
    images = torch.full((3, 1, 10, 10), 255, dtype=torch.uint8)
    first = sd.cost(model, images).layers[0]
    assert first.input == "spikes"
    assert first.events.by_step == [100] * 6
    with pytest.raises(InputError, match=r"uint8 \[N, 1, 10, 10\]"):
        sd.cost(model, IMAGES)


def test_what_a_module_costs_can_be_said():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.fft.fft(x).real

    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), Odd(), nn.Linear(4, 3))
    with pytest.raises(InputError, match=r"'2' \(Odd\) uses aten"):
        sd.cost(module, IMAGES)
    found = sd.cost(module, IMAGES, declared={Odd: lambda part, inputs, output: {"macs": 8 * len(output)}})
    assert found.operations.totals.macs.dense.hoisted == 64 * 4 + 8 + 12


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


def test_a_network_called_for_each_step_needs_their_number():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), snntorch.Leaky(beta=0.9, init_hidden=True))
    with pytest.raises(InputError, match="say how many"):
        sd.cost(module, IMAGES)
    with pytest.raises(InputError, match="say how many"):
        sd.cost(DenseSNN((64,), 3, lambda: LIF(0.95), 20), IMAGES)


@pytest.mark.parametrize(("given", "said"), [(nn.Identity, "not the class Identity: call it"), ("net", "not str")])
def test_what_is_no_network_is_said(given, said):
    with pytest.raises(InputError, match=said):
        sd.cost(given, torch.rand(2, 4))
