"""What networks compute for recordings of an event camera, against sums by hand."""

import numpy as np
import pytest
import torch

from made_models import make_recorded
from spikeduel.measuring.costing import operations


def first_layer(contender):
    model, counts = make_recorded(contender)
    found = operations(model, [(counts, torch.zeros(2, dtype=torch.long), np.arange(2))]).operations
    return next(layer for layer in found.layers if layer.kind == "synapses"), counts


def reach():
    """How many of 8 filters of 3×3, with a border of zeros, see each of 6×6 pixels."""
    seen = torch.full((6,), 3.0)
    seen[[0, -1]] = 2
    return 8 * seen[:, None] * seen


def test_a_spiking_first_layer_adds_once_for_each_event():
    layer, counts = first_layer("vgg-lif")
    assert layer.acs.total == float((counts * reach()).sum()) / 2
    by_step = (counts * reach()).sum((2, 3)).view(2, 3, 2).sum((0, 2)) / 2
    assert layer.acs.by_step == by_step.tolist()
    assert layer.events.total == float(counts.sum()) / 2
    assert layer.input_zeros == pytest.approx(float((counts == 0).float().mean()))
    assert layer.macs.dense.hoisted == 0
    assert (layer.input, layer.input_bits, layer.passes.hoisted) == ("spikes", 8, 3)
    # Computed whole, counts are multiplied.
    whole = 3 * 2 * float(reach().sum())
    assert layer.done("hoisted", "steps") == (whole, 0.0)


def test_networks_that_do_not_spike_multiply_what_they_see():
    places = float(reach().sum())
    for contender, passes, channels in (("vgg-relu", 1, 6), ("vgg-gru", 3, 2)):
        layer, counts = first_layer(contender)
        assert layer.macs.dense.hoisted == 6 * places
        assert layer.macs.effective.hoisted == float(((counts > 0) * reach()).sum()) / 2
        assert (layer.acs.total, layer.passes.hoisted, layer.weights) == (
            0,
            passes,
            8 * channels * 9,
        )
        # Frame after frame, its weights are read for each, or once for all.
        by_steps, once = (layer.moved("hoisted", flow).weights for flow in ("steps", "image"))
        held = layer.weights + layer.biases
        assert (by_steps, once) == (passes * held, held)
    layer, counts = first_layer("vgg-sum")
    assert layer.macs.dense.hoisted == 2 * places
    summed = counts.view(2, 3, 2, 6, 6).sum(1)
    assert layer.macs.effective.hoisted == float(((summed > 0) * reach()).sum()) / 2
