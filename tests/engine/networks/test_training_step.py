"""Losses by hand: networks that give fixed answers, whatever they see."""

import copy
from math import log

import numpy as np
import pytest
import torch
from torch import nn

from made_models import card, make
from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.chains import spiking_chains
from spikeduel.engine.networks.models import Model, neurons_watched
from spikeduel.engine.networks.training_step import TrainingRules, TrainingStep, rounded
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.engine.readouts import LogitReadout

pytestmark = pytest.mark.numeric

P = (0.5, 0.3, 0.2)
IMAGES = torch.tensor([0, 51], dtype=torch.uint8).view(2, 1, 1, 1)
LABELS = torch.tensor([0, 2])
KEYS = RandomKeys.for_training(0, 0, np.arange(2))


class Fixed(nn.Module):
    """Gives the logarithms of these probabilities."""

    readout = LogitReadout()

    def __init__(self, probabilities):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probabilities).log())

    def forward(self, x):
        return self.logits.expand(len(x), -1)


def model(module, num_steps=None):
    return Model(module, card("made up", (1, 1, 1), num_steps=num_steps))


def rules(**changes):
    return TrainingRules(**{"learning_rate": 1e-3, **changes})


def learned(module, changes):
    """The loss, and the gradient of the logits."""
    loss = TrainingStep(model(module), rules(**changes), 10)(IMAGES, LABELS, KEYS)
    assert not loss.requires_grad
    return loss.item(), module.logits.grad


def cross_entropy(target, probabilities=P):
    return -sum(share * log(p) for share, p in zip(target, probabilities, strict=True))


CERTAIN = ((1, 0, 0), (0, 0, 1))
SMOOTHED = ((0.8, 0.1, 0.1), (0.1, 0.1, 0.8))


@pytest.mark.parametrize(
    ("changes", "targets"), [({}, CERTAIN), ({"label_smoothing": 0.3}, SMOOTHED)], ids=str
)
def test_labels_are_smoothed(changes, targets):
    loss, gradient = learned(Fixed(P), changes)
    assert loss == pytest.approx(np.mean([cross_entropy(target) for target in targets]), rel=1e-6)
    # That of a softmax: what is answered less what is to be learned.
    torch.testing.assert_close(
        gradient, torch.tensor(P) - torch.tensor(targets, dtype=torch.float32).mean(0)
    )


SPIKING = {
    "network": {"hidden": 12, "neuron": "lif"},
    "kind": "snn",
    "encoding": "direct",
    "num_steps": 4,
}


@pytest.mark.parametrize(("contender", "changes"), [("dense-relu", {}), ("dense-lif", SPIKING)])
def test_a_last_batch_of_one_image_is_learned_from_too(contender, changes):
    """It has no variance: batch norm keeps to its running statistics."""
    model = make(contender, **changes)
    images = torch.randint(0, 256, (3, *model.card.image_shape), dtype=torch.uint8)
    keys = RandomKeys.for_training(0, 0, np.arange(3))
    step = TrainingStep(model, rules(), 10)
    model.module.train()
    step(images, torch.arange(3), keys)
    before = copy.deepcopy(model.module.state_dict())
    step(images[:1], torch.zeros(1, dtype=torch.int64), RandomKeys(keys.values[:1]))
    changed = {
        name
        for name, value in model.module.state_dict().items()
        if value.dim() and not torch.equal(value, before[name])
    }
    assert changed == {name for name, _ in model.module.named_parameters()}
    assert all(layer.training for layer in model.module.modules())


def test_running_statistics_soon_forget_what_they_began_with():
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1), nn.Linear(1, 3))
    module.readout = LogitReadout()
    norm = module[1]
    norm.running_mean.fill_(100.0)
    step = TrainingStep(model(module), rules(), 60)
    means = []
    for _ in range(50):
        step(IMAGES, LABELS, KEYS)
        means.append(norm.running_mean.item())
    assert means == pytest.approx([0.1] * 50)  # of 0 and 51 of 255
    assert norm.momentum == 0.1


def test_renewed_statistics_are_means_over_batches_with_the_present_weights():
    """Running ones may be of any earlier weights; of two numbers, 0 and 51 of 255, the mean is 0.1
    and the variance 0.02, and of two times 51 they are 0.2 and 0.
    """
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1), nn.Linear(1, 3))
    module.readout = LogitReadout()
    norm, frozen = module[1], nn.BatchNorm1d(1)
    module.frozen = frozen
    module.forward = lambda x: module[2](module[1](module[0](x)))
    step = TrainingStep(model(module), rules(), 60)
    module.train()
    frozen.eval()
    for layer in (norm, frozen):
        layer.running_mean.fill_(100.0)
    before = copy.deepcopy(dict(module.named_parameters()))
    step.renew_statistics([(IMAGES, KEYS), (IMAGES[[1, 1]], KEYS)])
    assert norm.running_mean.item() == pytest.approx((0.1 + 0.2) / 2)
    assert norm.running_var.item() == pytest.approx((0.02 + 0.0) / 2, abs=1e-6)
    assert norm.momentum == 0.1
    assert frozen.running_mean.item() == 100.0
    for name, weight in module.named_parameters():
        assert torch.equal(weight, before[name])


@pytest.mark.parametrize("bits", range(2, 9))
def test_steps_of_few_bits_have_the_least_error(bits):
    """No nearby step is better; with 8 bits the largest weight is not cut."""
    weight = torch.randn(16, 9, generator=torch.Generator().manual_seed(0)) ** 3
    weight[3] = 0
    most = 2 ** (bits - 1) - 1
    levels, step = rounded(weight, bits)
    assert step.shape == (16, 1)
    assert levels.abs().max() == most
    assert not levels[3].any()

    def error(tried):
        whole = (weight / tried).round().clamp(-most, most)
        return (whole * tried - weight).square().sum(1)

    if bits == 8:
        assert torch.allclose(step * most, weight.abs().amax(1, keepdim=True).where(step != 1, 127))
        return
    largest = weight.abs().amax(1, keepdim=True) / most
    found = (levels * step - weight).square().sum(1)
    assert (found <= error(largest.where(largest > 0, 1)) + 1e-6).all()
    assert (found <= ((levels * step * 1.01) - weight).square().sum(1) + 1e-6).all()
    assert (found <= ((levels * step * 0.99) - weight).square().sum(1) + 1e-6).all()


def test_weights_are_rounded_and_steps_go_on_from_those_before_rounding():
    images = torch.randint(0, 256, (8, 1, 10, 10), dtype=torch.uint8)
    labels, keys = torch.arange(8) % 3, RandomKeys.for_training(0, 0, np.arange(8))

    def trained(num_steps, after=0):
        torch.manual_seed(0)
        made = make("dense-relu", kind="ann")
        step = TrainingStep(made, rules(weight_bits=3), 10)
        for number in range(num_steps):
            if number == after:
                state = copy.deepcopy((made.module.state_dict(), step.optimizer.state_dict()))
                made = make("dense-relu", kind="ann")
                step = TrainingStep(made, rules(weight_bits=3), 10)
                made.module.load_state_dict(state[0])
                step.optimizer.load_state_dict(state[1])
            step(images, labels, keys)
        return made.module, step

    module, step = trained(6)
    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    for layer, (weight, unrounded) in zip(layers, step.optimizer.unrounded, strict=True):
        assert weight is layer.weight
        levels, scale = rounded(unrounded, 3)
        assert torch.equal(weight, levels * scale)
        assert torch.equal(levels, levels.round())
        assert levels.abs().max() == 3
        assert not torch.equal(unrounded, weight)
        # Without what was before rounding, steps this small would change nothing.
        assert not torch.equal(unrounded, trained(1)[1].optimizer.unrounded[0][1])
    again, _ = trained(6, after=3)
    for name, values in module.state_dict().items():
        assert torch.equal(values, again.state_dict()[name]), name


SPIKING = {
    "kind": "snn",
    "image_shape": (1, 12, 12),
    "num_steps": 3,
    "encoding": "direct",
    "network": {"neuron": "lif", "beta": 0.5, "threshold": 0.5},
}


@pytest.mark.parametrize("name", ["vgg-lif", "conv-lif", "dense-lif"])
def test_spikes_cost_the_synapses_that_they_reach(name):
    """Joined or not, the share is what spikes add up of all that they could behind neurons."""
    made = make(name, **SPIKING)
    (chain,) = spiking_chains(made.module)
    chain.weighs_spikes = True
    images, taken = torch.rand(4, 1, 12, 12), {}
    synapses = [
        layer for layer in made.module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)
    ][1:]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, given: taken.update({layer: given[0]}))
        for layer in synapses
    ]
    chain(ConstantInput(images, 3))
    for hook in hooks:
        hook.remove()
    fans = {layer: layer.weight[:, 0].numel() for layer in synapses}
    apart = chain.spike_share
    if name != "vgg-lif":  # its last layer takes means of spikes
        reached = sum(float(spk.detach().sum()) * fans[layer] for layer, spk in taken.items())
        there = sum(spk.numel() * fans[layer] for layer, spk in taken.items())
        assert float(apart.detach()) == pytest.approx(reached / there, rel=1e-5)
    chain.joins_layers = True
    chain(ConstantInput(images, 3))
    assert float(chain.spike_share.detach()) == pytest.approx(float(apart.detach()), rel=1e-5)
    chain.spike_share.backward()
    assert all(weight.grad.abs().max() > 0 for weight in [next(made.module.parameters())])


def test_a_penalty_on_spikes_leaves_fewer():
    images = torch.randint(0, 256, (8, 1, 12, 12), dtype=torch.uint8)
    labels, keys = torch.arange(8) % 3, RandomKeys.for_training(0, 0, np.arange(8))
    shares = []
    for penalty in (0.0, 20.0):
        torch.manual_seed(0)
        made = make("vgg-lif", **SPIKING)
        step = TrainingStep(
            made, rules(optimizer="adamw", learning_rate=0.02, spike_penalty=penalty), 12
        )
        for _ in range(12):
            step(images, labels, keys)
        step.end()
        with neurons_watched(made.module) as seen:
            made.run(made.encode(images, keys))
        shares.append(np.mean([float(spk.detach().mean()) for _, spk, _ in seen.values()]))
    assert shares[1] < 0.8 * shares[0]
