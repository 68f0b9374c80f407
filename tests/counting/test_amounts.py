import numpy as np
import pytest

from made_operations import plain, spiking
from spikeduel.counting.operations import AMOUNTS, arrays, between, mean
from spikeduel.measuring.energy import scaled


def test_the_amounts_of_a_spiking_network_by_hand():
    first, lif, out = (
        {name: amount.of(layer) for name, amount in AMOUNTS.items() if amount.of(layer)}
        for layer in spiking().layers
    )
    assert first == {
        "macs": 40,
        "macs_per_step": 80,
        "effective_macs": 20,
        "effective_macs_per_step": 40,
        "whole_per_step": 80,
        "takes_numbers": 1,
        "takes_image": 1,
        "inputs": 10,
        "outputs": 4,
        "weights": 40,
        "biases": 4,
        "bias_additions": 4,
        "bias_additions_per_step": 8,
    }
    assert lif == {
        "neurons": 4,
        "neuron_updates": 8,
        "spikes": 4,
        "leaks": 8,
        "resets": 4,
        "comparisons": 8,
        "membrane_reads": 8,
        "membrane_writes": 8,
    }
    assert out == {
        "acs": 20,
        "events": 4,
        "whole_per_step": 40,
        "inputs": 4,
        "outputs": 5,
        "weights": 20,
        "biases": 5,
        "bias_additions": 10,
        "bias_additions_per_step": 10,
    }


@pytest.mark.parametrize(("rate", "steps"), [(0.25, 2), (3.0, 2), (1.0, 1), (1.0, 9)])
def test_amounts_are_linear_in_the_rate_and_in_the_steps(rate, steps):
    counted = spiking()
    here, silent = arrays(counted.layers), arrays(scaled(counted, 0.0, 2))
    longer = arrays(scaled(counted, 1.0, 4))
    expected = arrays(scaled(counted, rate, steps))
    found = (
        between(silent, here, np.array([[rate]]))
        if steps == 2
        else between(here, longer, np.array([[steps / 2 - 1]]))
    )
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value), name


def test_the_mean_over_trials_leaves_out_networks_of_another_shape():
    one, other = arrays(spiking().layers), arrays(plain().layers)
    twice = {name: 2 * value for name, value in one.items()}
    assert mean([one, twice])["acs"].tolist() == [0, 0, 30]
    assert mean([one, other])["acs"].tolist() == [0, 0, 20]
