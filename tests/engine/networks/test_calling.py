import copy

import pytest
import snntorch
import torch
from snntorch import utils
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

import made_models
from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.cards import CallConvention
from spikeduel.engine.networks.foreign import ExternalNetwork, called, calling_of, reset
from spikeduel.engine.readouts import LogitReadout, MeanReadout, SpikeCountReadout
from spikeduel.system.errors import InputError

SHAPE = (1, 8, 8)
IMAGES = torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1)) * 3


class Tutorial(made_models.Tutorial):
    def __init__(self, num_steps=6):
        super().__init__(64, 12, num_steps=num_steps)


class OverItsInput(Tutorial):
    """A network of snnTorch's tutorials on neuromorphic data: time comes with the input."""

    def forward(self, x):
        mem1, mem2, steps = self.lif1.reset_mem(), self.lif2.reset_mem(), []
        for now in x:
            spk1, mem1 = self.lif1(self.fc1(now.flatten(1)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            steps.append((spk2, mem2))
        return tuple(map(torch.stack, zip(*steps, strict=True)))


class Jelly(nn.Module):
    """A network of SpikingJelly in either step mode; with `repeats` it makes the steps itself and
    returns their mean.
    """

    def __init__(self, step_mode, repeats=None):
        super().__init__()
        self.repeats = repeats
        self.layers = nn.Sequential(
            layer.Conv2d(1, 4, 3, padding=1),
            layer.BatchNorm2d(4),
            neuron.IFNode(v_threshold=0.2),
            layer.MaxPool2d(2, 2),
            layer.Flatten(),
            layer.Linear(4 * 4 * 4, 3),
            neuron.LIFNode(tau=2.0, v_threshold=0.1),
        )
        functional.set_step_mode(self, step_mode)

    def forward(self, x):
        if self.repeats:
            return self.layers(x.unsqueeze(0).repeat(self.repeats, 1, 1, 1, 1)).mean(0)
        return self.layers(x)


def hidden_state():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.MaxPool2d(2),
        snntorch.Leaky(beta=0.9, threshold=0.2, init_hidden=True),
        nn.Flatten(),
        nn.Linear(36, 3),
        snntorch.Leaky(beta=0.9, threshold=0.2, init_hidden=True, output=True),
    )


def dense_multi_step():
    net = nn.Sequential(layer.Linear(64, 3), neuron.LIFNode())
    functional.set_step_mode(net, "m")
    return net


FORMS = {
    "own loop": (lambda: Tutorial(6), CallConvention("loop", True, "spikes", 6)),
    # More steps than there are probed images, and as many.
    "own loop of 11": (lambda: Tutorial(11), CallConvention("loop", True, "spikes", 11)),
    "own loop of 1": (lambda: Tutorial(1), CallConvention("loop", True, "spikes", 1)),
    "loop over the input": (OverItsInput, CallConvention("sequence", True, "spikes")),
    "hidden state": (hidden_state, CallConvention("step", False, "spikes")),
    "single step": (lambda: Jelly("s"), CallConvention("step", False, "over_time")),
    "multi-step": (lambda: Jelly("m"), CallConvention("sequence", False, "over_time")),
    "multi-step with its own repeats": (
        lambda: Jelly("m", 4),
        CallConvention("loop", False, "scores", 4),
    ),
    "dense multi-step": (dense_multi_step, CallConvention("sequence", True, "over_time")),
    "no neurons": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
        CallConvention("once", True, "scores"),
    ),
    "no neurons, flat": (lambda: nn.Linear(64, 3), CallConvention("once", True, "scores")),
}


def run(module, images, num_steps=None):
    """Return the output for the same images at every step, from a fresh state."""
    calling = calling_of(module, tuple(images.shape[1:]))
    return called(module, ConstantInput(images, num_steps or 1), calling)


@pytest.fixture(params=FORMS)
def form(request):
    make, calling = FORMS[request.param]
    torch.manual_seed(3)
    return make(), calling


def test_the_calling_convention_follows_from_what_the_layers_receive(form):
    module, calling = form
    assert calling_of(module, SHAPE, 3) == calling
    assert module.training


def test_the_probe_leaves_no_trace(form):
    module, _ = form
    before = copy.deepcopy(dict(module.state_dict()))
    torch.manual_seed(5)
    calling_of(module, SHAPE, 3)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)
    assert not any(layer._forward_pre_hooks for layer in module.modules())


def test_the_output_depends_on_neither_earlier_nor_other_images(form):
    module = form[0].eval()
    first, _, alone, again = (
        run(module, images, 4) for images in (IMAGES, 2 * IMAGES[:3], IMAGES[:1], IMAGES)
    )
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    for whole, one in zip(as_parts(first), as_parts(alone), strict=True):
        torch.testing.assert_close(whole[..., :1, :], one)


def as_parts(output):
    return output if isinstance(output, tuple) else (output,)


# ---- outputs that are no scores of classes


class Wrong(Tutorial):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        return self.output(*super().forward(x))


class WithState(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) + self.calls


class Maps(nn.Module):
    """A backbone that returns two feature maps, as `collected` arranges them."""

    def __init__(self, layers, collected=list):
        super().__init__()
        self.layers, self.collected = layers, collected

    def forward(self, x):
        maps = []
        for each in self.layers:
            x = each(x)
            maps.append(x)
        return self.collected(maps)


def named(maps):
    return {"fine": maps[0], "coarse": {"map": maps[-1], "none": None}}


def backbone(step_mode, collected=named):
    layers = [layer.Conv2d(1, 11, 3), neuron.IFNode(), layer.Conv2d(11, 2, 3, stride=2)]
    layers.append(neuron.LIFNode(v_threshold=0.1))
    module = Maps(nn.ModuleList(layers), collected)
    functional.set_step_mode(module, step_mode)
    return module


@pytest.mark.parametrize(
    ("module", "way"),
    [
        (backbone("s"), "step"),
        (backbone("s", list), "step"),
        (backbone("m"), "sequence"),
        (Maps(nn.ModuleList([nn.Conv2d(1, 11, 3), nn.ReLU()]), named), "once"),
        (Wrong(lambda spk, mem: {"spk": spk}), "loop"),
        (Wrong(lambda spk, mem: (mem, spk)), "loop"),
        (Wrong(lambda spk, mem: spk.sum()), "loop"),
    ],
)
def test_any_output_is_taken_where_it_does_not_matter(module, way):
    calling = calling_of(module, SHAPE, any_output=True)
    assert calling.way == way
    assert calling.num_steps == (6 if way == "loop" else None)
    with pytest.raises(InputError, match="it returns"):
        calling_of(module, SHAPE)


def test_maps_of_single_steps_are_those_of_all_steps_at_once():
    stepwise, at_once = backbone("s"), backbone("m")
    at_once.load_state_dict(stepwise.state_dict())
    outputs = [
        called(module, ConstantInput(IMAGES, 3), calling_of(module, SHAPE, any_output=True))
        for module in (stepwise, at_once)
    ]
    torch.testing.assert_close(*outputs)
    assert outputs[0]["fine"].shape == (3, 5, 11, 6, 6)
    assert outputs[0]["coarse"]["map"].any()


def test_the_state_of_a_network_with_any_output_is_checked():
    class WithStateAndMaps(WithState):
        def forward(self, x):
            return {"scores": super().forward(x)}

    with pytest.raises(InputError, match="keeps a state that spikeduel does not know"):
        calling_of(WithStateAndMaps(64, 3), SHAPE, any_output=True)


# ---- as the libraries themselves run it


SEQUENCE = IMAGES.expand(5, *IMAGES.shape)
AS_THE_LIBRARIES_RUN_THEM = {
    "own loop": lambda module: module(IMAGES.flatten(1)),
    "hidden state": lambda module: map(torch.stack, zip(*map(module, SEQUENCE), strict=True)),
    "single step": lambda module: (functional.multi_step_forward(SEQUENCE, module),),
    "multi-step": lambda module: (module(SEQUENCE),),
}


@pytest.mark.parametrize("name", AS_THE_LIBRARIES_RUN_THEM)
def test_spikes_and_membranes_are_those_of_the_libraries(name):
    torch.manual_seed(0)
    module = FORMS[name][0]().eval()
    outputs = as_parts(run(module, IMAGES, 5))
    utils.reset(module)
    functional.reset_net(module)
    assert outputs[0].any()
    for ours, theirs in zip(outputs, AS_THE_LIBRARIES_RUN_THEM[name](module), strict=True):
        assert torch.equal(ours, theirs)


def test_another_networks_state_is_left_alone():
    one, other = hidden_state(), hidden_state()
    other(IMAGES)
    before = other[2].mem.clone()
    run(one, IMAGES, 3)
    assert before.any()
    assert torch.equal(other[2].mem, before)
    reset(other)
    assert not other[2].mem.any()


# ---- as a contender holds it


@pytest.mark.parametrize(
    ("calling", "readout"),
    [
        (CallConvention("loop", True, "spikes", 6), SpikeCountReadout),
        (CallConvention("step", False, "over_time"), MeanReadout),
        (CallConvention("loop", False, "scores", 4), LogitReadout),
    ],
)
def test_a_foreign_network_has_the_readout_of_its_output_and_its_own_names(calling, readout):
    module = Tutorial()
    network = ExternalNetwork(module, calling, "snn")
    assert isinstance(network.readout, readout)
    assert list(network.state_dict()) == list(module.state_dict())
    network.load_state_dict({name: 0 * value for name, value in module.state_dict().items()})
    assert not module.fc1.weight.any()


def test_membranes_stay_float32_under_bf16():
    module = Tutorial()
    network = ExternalNetwork(module, calling_of(module, SHAPE), "snn")
    seen = []
    module.fc1.register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    module.lif1.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(ConstantInput(IMAGES, 6))
    assert seen[:2] == [torch.bfloat16, torch.float32]


# ---- what is refused


class GivesNaN(nn.Linear):
    def forward(self, x):
        return super().forward(x) * torch.nan


class Resets(WithState):
    def reset(self):
        self.calls = 0


@pytest.mark.parametrize(
    ("module", "problem"),
    [
        (Wrong(lambda spk, mem: {"spk": spk}), "returns dict for 11 images. It must return scores"),
        (
            Wrong(lambda spk, mem: (list(spk), list(mem))),
            r"tuple of list of \[11, 3\].* as by torch.stack",
        ),
        (Wrong(lambda spk, mem: (mem, spk)), r"Return \(spk, mem\)"),
        (Wrong(lambda spk, mem: spk.sum()), r"returns \[\] for 11 images"),
        (
            nn.Linear(64, 4),
            "it has 4 outputs, and the data has 3 classes. Let what builds it take num_classes",
        ),
        (
            nn.Linear(60, 3),
            "its first layer takes 60 values, and an image has 1×8×8 = 64. .* take image_shape",
        ),
        (nn.Conv2d(3, 3, 3), r"takes images of 1×8×8 neither as .* \(RuntimeError: "),
        (WithState(64, 3), r"keeps a state that spikeduel does not know. .* method reset\(\)"),
        (GivesNaN(64, 3), r"returns NaN \(not a number\) .*\. Look in it"),
        (nn.Unflatten(1, (1, 1)), r"returns \[11, 1, 1, 8, 8\]"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(module, problem):
    with pytest.raises(InputError, match=problem):
        calling_of(module, SHAPE, 3)


def test_a_reset_of_its_own_is_called():
    module = Resets(64, 3)
    assert calling_of(module, SHAPE, 3) == CallConvention("once", True, "scores")
    assert torch.equal(run(module, IMAGES), run(module, IMAGES))


def test_neurons_written_by_hand_have_to_be_declared():
    class ByHand(nn.Linear):
        def forward(self, x):
            current, mem, spikes = super().forward(x), 0.0, [0.0]
            for _ in range(5):
                mem = 0.9 * mem + current - spikes[-1]
                spikes.append((mem > 1).float())
            return torch.stack(spikes[1:])

    undeclared = r"has no layer that is known to spike. .* spikes = True"
    with pytest.raises(InputError, match=undeclared):
        calling_of(ByHand(64, 3), SHAPE, 3)
    assert calling_of(ByHand(64, 3), SHAPE, 3, spikes=True) == CallConvention(
        "loop", True, "over_time", 5
    )
    with pytest.raises(InputError, match=r"cannot be seen\. Give it an attribute num_steps"):
        calling_of(nn.Linear(64, 3), SHAPE, 3, spikes=True)
