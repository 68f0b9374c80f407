"""Counts of networks that were not run."""

import pytest
from msgspec.structs import replace

from made_operations import both, layer, macs, operations, over_time, plain, spiking
from spikeduel.measuring import energy
from spikeduel.measuring.energy import read, relu_twin, scaled, up_to


def estimates(layers):
    return [energy.estimate(layers, read(name)) for name in energy.NAMES]


def test_the_twin_has_the_same_synapses_once_and_no_neurons():
    twin, known = relu_twin(spiking(), density=0.5), plain().layers
    for found, expected in zip(twin, known, strict=True):
        assert found.macs == expected.macs
        assert found.bias_additions == expected.bias_additions
        assert (found.input, found.passes) == (expected.input, expected.passes)
    assert estimates(twin) == estimates(known)
    assert relu_twin(spiking())[1].macs.effective == both(20)


def test_scaled_by_nothing_is_the_same():
    assert estimates(scaled(spiking(), 1.0, 2)) == estimates(spiking().layers)


def test_twice_as_long_and_half_as_often():
    first, neurons, second = scaled(spiking(), 0.5, 4)
    assert first.macs.dense == both(160, 40)
    assert (second.acs.total, neurons.spikes.total, neurons.leaks) == (20, 4, 16)
    assert neurons.resets == 4


def test_spikes_that_encode_the_image_do_not_depend_on_the_neurons():
    counted = spiking()
    encoded = [*counted.layers[:2], replace(counted.layers[2], input_encoded=True)]
    assert scaled(replace(counted, layers=encoded), 0.0, 4)[2].acs.total == 40


def test_the_first_steps_alone():
    first, neurons, second = up_to(spiking(), 1)
    assert first.macs.dense == both(40)
    assert first.passes == both(1)
    assert neurons.spikes == over_time(3)
    assert (neurons.leaks, neurons.membrane_reads, neurons.resets) == (4, 4, 3)
    assert neurons.spikes_per_neuron_and_step == 0.75
    assert second.acs == over_time(15)
    assert second.bias_additions == both(5)
    assert second.traffic.hoisted.weights == 20


def test_all_steps_are_the_whole():
    assert estimates(up_to(spiking(), 2)) == estimates(spiking().layers)


def test_what_happens_once_for_all_steps_stays():
    counted = operations([layer("head", passes=both(1), macs=macs(both(9)), bias_additions=both(3))], 4)
    (head,) = up_to(counted, 1)
    assert head.macs.dense == both(9)
    assert head.bias_additions == both(3)


@pytest.mark.parametrize("num_steps", [0, 3])
def test_steps_that_are_not_there(num_steps):
    with pytest.raises(ValueError, match="from 1 to 2"):
        up_to(spiking(), num_steps)
