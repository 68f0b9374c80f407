"""At most one spike a neuron: another simulation, in time, of what is only counted."""

import pytest
import torch
from torch import nn

from made_models import make
from spikeduel.data.loader import EvaluationBatches
from spikeduel.evaluation.costing import operations
from spikeduel.features.compression.first_spikes import with_first_spikes
from spikeduel.system.errors import InputError

NUM_IMAGES, SHAPE = 6, (1, 12, 12)


@pytest.fixture
def images(generator):
    return torch.randint(0, 256, (NUM_IMAGES, *SHAPE), dtype=torch.uint8, generator=generator)


def network(activation_bits):
    """A network whose neurons have activations of all sizes."""
    torch.manual_seed(0)
    bits = {"activation_bits": activation_bits} if activation_bits else {}
    model = make("vgg-relu", kind="cnn", image_shape=SHAPE, network={"width": 8, **bits})
    images = torch.rand(32, *SHAPE)
    model.module.train()
    with torch.no_grad():
        for _ in range(50):
            model.module(images)
    model.module.eval()
    return model


def in_time(module, images, num_steps):
    """Return scores, spikes of each layer of neurons, and additions for spikes behind each, of a
    simulation step by step in which synapses add a spike's weight to a slope, once.
    """
    fired, additions, spikes = [], [], torch.zeros(())
    for index, (convolution, *rest) in enumerate(map(list, module.blocks)):
        if index:
            slope, total = torch.zeros(()), torch.zeros(())
            ones = nn.Conv2d(*convolution.weight.shape[1::-1], 3, padding=1, bias=False)
            nn.init.ones_(ones.weight)
            additions.append(ones.double()(spikes.sum(0)).sum((1, 2, 3)))
            for spk in spikes:
                slope = slope + convolution(spk.float()) / num_steps
                total = total + slope
            potential = total
        else:
            potential = convolution(images)
        level = (nn.Sequential(*rest)(potential).clamp(0, 1) * num_steps).round()
        spikes = torch.stack([level == num_steps - step for step in range(num_steps)]).double()
        fired.append(spikes.sum((0, 2, 3, 4)))
    times = torch.arange(num_steps, 0, -1).view(-1, *[1] * 4)
    scores = module.linear(((spikes * times).sum(0) / num_steps).float())
    additions.append(fired[-1] * scores.shape[1])
    return scores, fired, additions


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_first_spikes_give_the_scores_of_the_network_without_spikes(bits, images):
    model, num_steps = network(bits), 2**bits - 1
    with torch.no_grad():
        expected = model.module(images.float() / 255)
        scores, fired, additions = in_time(model.module, images.float() / 255, num_steps)
    assert torch.allclose(scores, expected, atol=1e-4)
    assert scores.std() > 1e-3
    labels = torch.zeros(NUM_IMAGES, dtype=torch.long)
    counted = with_first_spikes(model, EvaluationBatches(images, labels, range(NUM_IMAGES)))
    neurons = [layer for layer in counted.layers if layer.kind == "neurons"]
    synapses = [layer for layer in counted.layers if layer.kind == "synapses"]
    assert counted.num_steps == num_steps
    for layer, following, spikes, added in zip(
        neurons, synapses[1:], fired, additions, strict=True
    ):
        assert 0 < layer.fired < layer.neurons
        assert layer.fired == following.events.total == pytest.approx(float(spikes.mean()))
        assert following.acs.total == pytest.approx(float(added.mean()))
        assert following.macs.dense.hoisted == 0
    assert counted.totals.neurons == sum(layer.neurons for layer in neurons)
    assert counted.totals.threshold_comparisons == counted.totals.neurons * num_steps


def test_the_image_is_multiplied_once_and_biases_are_added_once(images):
    model, labels = network(2), torch.zeros(NUM_IMAGES, dtype=torch.long)
    batches = EvaluationBatches(images, labels, range(NUM_IMAGES))
    usual, counted = operations(model, batches).operations, with_first_spikes(model, batches)
    assert counted.layers[0] == usual.layers[0]
    assert counted.totals.macs.dense == usual.layers[0].macs.dense
    assert counted.totals.bias_additions == usual.totals.bias_additions


def test_activations_without_levels_have_no_times(images):
    batches = EvaluationBatches(images, torch.zeros(NUM_IMAGES, dtype=torch.long), range(2))
    with pytest.raises(InputError, match="no levels"):
        with_first_spikes(network(None), batches)
