"""The chip's network, its rules and its energies, without the simulator; with it where
SANAFE_PYTHON names the Python of an environment that has SANA-FE.
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

import made_models
from benchmarks.energy import simulated_chip as chip
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.system.errors import InputError

STEPS = 3


def made(contender="dense-lif", encoding="direct", **network):
    """A model of 8×8 grey images and three classes, with random weights and batch norms."""
    neuron = {"neuron": "lif", "beta": 0.8, "threshold": 0.5, "reset_mechanism": "zero"}
    card = made_models.card(
        contender, (1, 8, 8), num_steps=STEPS, network=neuron | network, encoding=encoding
    )
    model = made_models.varied(made_models.built(card))
    model.module.eval()
    return model


def reference(model, num_images=4):
    images = torch.randint(0, 256, (num_images, 1, 8, 8), dtype=torch.uint8)
    encoded = model.encode(images, RandomKeys.for_content(images))
    with torch.inference_mode():
        return encoded, *chip.reference(model, encoded)


NETWORKS = {
    "dense": {},
    "dense, rate": {"encoding": "rate"},
    "dense, subtract": {"reset_mechanism": "subtract"},
    "convolutional": {"contender": "conv-lif", "pooling": "avg"},
    "convolutional, latency": {"contender": "conv-lif", "pooling": "avg", "encoding": "latency"},
    "vgg": {"contender": "vgg-lif", "pooling": "avg", "width": 8},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_synapses_read_from_a_network_give_its_spikes_and_scores(name):
    _, ours, scores, network = reference(made(**NETWORKS[name]))
    run = chip.here(network, STEPS)
    assert min(layer.sum() for layer in ours) > 0
    assert chip.num_differing(ours, run.layers) == 0
    np.testing.assert_allclose(run.membranes / STEPS, scores, atol=1e-5)


def test_a_spike_through_pooling_and_a_convolution_has_as_many_synapses_as_the_convolution():
    _, _, _, network = reference(made("conv-lif", pooling="avg"))
    per_input = np.diff(network.layers[1].weight.tocsc().indptr).reshape(32, 8, 8)
    assert per_input[0, 3, 3] == 9 * 64
    assert per_input[0, 0, 0] == 4 * 64


def one_neuron(currents, beta=0.5, threshold=1.0, reset="subtract"):
    """A neuron that gets `currents` by spikes of inputs of its own, and the output behind it."""
    weight = csr_array(np.array([currents], float))
    neuron = chip.Layer("layer1", weight, np.zeros(1), beta, threshold, reset, False)
    output = chip.Layer("layer2", csr_array([[1.0]]), np.zeros(1), 1.0, math.inf, "none", False)
    return chip.Network([neuron, output], np.eye(len(currents))[:, None, :])


def fired(network, rules=chip.RULES_HERE):
    return chip.here(network, len(network.inputs), rules).layers[0].ravel().tolist()


def test_a_reset_before_the_leak_subtracts_less():
    # After a spike at 1.2: 0.5 · 1.2 − 1 = −0.4 here, 0.5 · (1.2 − 1) = 0.1 on the chip.
    network = one_neuron([1.2, 0.95])
    assert fired(network) == [True, False]
    assert fired(network, chip.Rules(reset_before_leak=True)) == [True, True]


def test_a_membrane_is_cut_after_the_leak():
    # 0.5 · 2.03 = 1.015, which is 1 in units of 1/64.
    network = one_neuron([2.03, 1.99], threshold=3.0, reset="zero")
    assert fired(network) == [False, True]
    assert fired(network, chip.Rules(cut=True)) == [False, False]


def test_the_first_difference_and_its_rule_are_named():
    network = one_neuron([1.2, 0.95])
    ours = chip.here(network, 2).layers
    theirs = chip.here(network, 2, chip.Rules(reset_before_leak=True)).layers
    found = chip.agreement(ours, theirs, network, 2)
    assert (found["images_equal"], found["differing"]) == (0, 1)
    assert found["first"] == {"layer": 1, "step": 2}
    assert found["rule"] == "reset before the leak"
    assert chip.agreement(ours, ours, network, 2)["first"] is None
    unexplained = chip.agreement(ours, [~ours[0]], network, 2)
    assert unexplained["first"] == {"layer": 1, "step": 1}
    assert unexplained["rule"] is None


def test_numbers_of_8_bits_are_whole_and_fit():
    _, _, _, network = reference(made("conv-lif", pooling="avg"))
    coarse = chip.in_8_bits(network)
    for layer in coarse.layers[1:]:
        assert np.abs(layer.weight.data).max() == 127
        assert (layer.weight.data == np.rint(layer.weight.data)).all()
    assert np.abs(coarse.inputs).max() == 127
    assert (coarse.inputs * 64 == np.rint(coarse.inputs * 64)).all()


def test_other_units_leave_all_spikes():
    _, ours, _, network = reference(made("conv-lif", pooling="avg"))
    fine, factor = chip.in_fine_units(network, STEPS)
    run = chip.here(fine, STEPS, chip.Rules(cut=True))
    assert chip.num_differing(ours, run.layers) == 0
    assert chip.MAX_MEMBRANE / 4 < run.largest < chip.MAX_MEMBRANE
    assert factor > 1


def test_parts_of_the_accounting_are_counts_times_prices():
    model = made()
    encoded, ours, _, _ = reference(model, 1)
    operations = chip.operations_of(model, encoded, 1)
    spikes = [int(layer.sum()) for layer in ours]
    parts = {
        part: chip.accounted_nanojoules(operations, names) for part, names in chip.PRICES.items()
    }
    assert parts["synapses"] == pytest.approx((spikes[0] * 256 + spikes[1] * 3) * 35.5e-3)
    assert parts["neurons accessed"] == pytest.approx(2 * 256 * STEPS * 51.2e-3)
    assert parts["neurons updated"] == pytest.approx(2 * 256 * STEPS * 21.6e-3)
    assert parts["spikes fired"] == pytest.approx(sum(spikes) * 69.3e-3)
    assert parts["messages"] == pytest.approx(sum(spikes) * 111e-3)
    assert parts["hops between cores"] == pytest.approx(sum(spikes) * 33.6e-3)


def test_what_the_chip_does_not_have_is_refused():
    with pytest.raises(InputError, match=r"MaxPool2d.*--recipe chip"):
        reference(made("conv-lif"))
    with pytest.raises(InputError, match="ALIF: train with --neuron lif"):
        reference(made(neuron="alif"))
    with pytest.raises(InputError, match="its last layer spikes"):
        chip.layers_of(made_models.make(), True)


def test_a_python_without_the_simulator_is_named(tmp_path):
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho \"No module named 'sanafe'\" >&2\nexit 1\n")
    failing.chmod(0o755)
    with pytest.raises(InputError, match=r"No module named 'sanafe'.*pip install sanafe"):
        chip.on_chip(one_neuron([1.0]), 1, failing)


@pytest.mark.skipif("SANAFE_PYTHON" not in os.environ, reason="SANAFE_PYTHON names no simulator")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_simulated_chip_gives_the_spikes(name):
    model = made(**NETWORKS[name])
    encoded, ours, _, network = reference(model)
    fine, _ = chip.in_fine_units(network, STEPS)
    run, outcome = chip.on_chip(fine, STEPS, Path(os.environ["SANAFE_PYTHON"]))
    found = chip.agreement(ours, run.layers, fine, STEPS)
    expected = "reset before the leak" if "subtract" in name else None
    assert found["rule"] == expected
    energy = chip.energies(chip.operations_of(model, encoded, 4), outcome, 4)
    assert energy["simulated_counts"]["synapses"] == pytest.approx(met(network, run) / 4)
    if "conv" not in name and "vgg" not in name and not expected:
        assert energy["simulated_nj"]["synapses"] == pytest.approx(
            energy["accounted_nj"]["synapses"]
        )


def met(network, run):
    """The number of synapses that all spikes meet, which enter or are fired."""
    sent = [*([network.inputs] if network.layers[0].weight is not None else []), *run.layers]
    wired = [layer.weight.tocsc() for layer in network.layers if layer.weight is not None]
    return sum(
        int(spikes.sum((0, 1)) @ np.diff(weight.indptr))
        for spikes, weight in zip(sent, wired, strict=True)
    )
