"""What follows from counts: words that move between memory and arithmetic, and one number of an estimate."""

import pytest
from msgspec.structs import replace

from made_operations import both, layer, plain, spiking
from spikeduel.measuring import energy
from spikeduel.results.costs import Energy, Layer, Traffic
from spikeduel.system.errors import InputError
from spikeduel.system.typed import converted
from spikeduel.system.typed import plain as as_json


def test_numbers_move_once_a_pass():
    assert plain().layers[0].traffic.hoisted == Traffic(weights=44, activations=14)
    moved = spiking().layers[0].traffic
    assert moved.per_step == Traffic(weights=88, activations=28)
    assert moved.hoisted == Traffic(weights=44, activations=14)


def test_events_move_a_weight_and_a_sum_there_and_back_for_each_synapse():
    _, neurons, second = spiking().layers
    # 20 weights and, at both steps, 5 biases; 4 addresses read.
    assert second.traffic.hoisted == Traffic(weights=30, addresses=4, membranes=40)
    # 4 addresses written, each membrane read and written at both steps.
    assert neurons.traffic.hoisted == Traffic(addresses=4, membranes=16)


def test_a_silent_layer_moves_no_weights():
    silent = layer("out", input="spikes", passes=both(2), inputs=4, outputs=5, weights=20, macs_a_pass=20)
    assert silent.traffic.hoisted == Traffic()


def test_traffic_follows_the_other_counts_when_they_change_or_are_read():
    first = plain().layers[0]
    assert replace(first, weights=50).traffic.hoisted.weights == 54
    document = {**as_json(first), "traffic": {}}
    assert converted(document, Layer) == first


def test_one_number_of_an_estimate():
    found = energy.estimate(spiking().layers, energy.read("45nm-fp32"))
    assert found.joules() == found.compute.synapses.hoisted.dense
    assert found.joules("on_chip", "with_neurons", "per_step", "effective") == (
        found.on_chip.with_neurons.per_step.effective
    )
    assert energy.estimate(plain().layers, energy.read("loihi")).joules() is None


def test_energy_by_no_table_is_refused():
    with pytest.raises(InputError, match="tables"):
        converted({"tables": {}}, Energy)
