"""Traffic that follows from counts: words that move between memory and arithmetic, and one number of
an estimate.
"""

import pytest
from msgspec.structs import replace

from made_operations import both, layer, macs, over_time, plain, spiking
from spikeduel.counting.operations import Traffic
from spikeduel.measuring import energy
from spikeduel.results.costs import Energy, Range
from spikeduel.system.errors import InputError
from spikeduel.system.typed import converted


def test_numbers_move_once_a_pass():
    assert plain().layers[0].moved("hoisted", "usual") == Traffic(weights=44, activations=14)
    first = spiking().layers[0]
    assert first.moved("per_step", "usual") == Traffic(weights=88, activations=28)
    # What is hoisted is read at both steps.
    assert first.moved("hoisted", "usual") == Traffic(weights=44, activations=14 + 8)


def test_numbers_by_events_move_a_weight_and_a_sum_for_each_that_is_not_zero():
    first = replace(plain().layers[0], input_zeros=0.5)
    # 4 biases; 5 of 10 inputs are not zero; 20 weights and sums, and 4 whole sums read.
    assert first.moved("hoisted", "events") == Traffic(
        weights=24, activations=5 + 4, addresses=5, membranes=40 + 4
    )
    assert first.done("hoisted", "events") == (20, 0)
    assert first.done("hoisted", "steps") == first.done("hoisted", "image") == (40, 0)


def test_spikes_computed_whole_move_bits_and_weights_once_a_step_or_once_an_image():
    _, neurons, second = spiking().layers
    assert second.moved("hoisted", "steps") == Traffic(weights=50, activations=10, bits=8)
    assert second.moved("hoisted", "image") == Traffic(weights=25, activations=10, bits=8)
    assert neurons.moved("hoisted", "steps") == Traffic(membranes=16, bits=8)
    assert second.done("hoisted", "events") == (0, 20)
    assert second.done("hoisted", "steps") == (0, 40)


def test_sums_of_spikes_computed_whole_are_multiplied():
    pooled = replace(spiking().layers[2], input_bits=3)
    assert pooled.done("hoisted", "events") == (0, 20)
    assert pooled.done("hoisted", "steps") == (40, 0)


def test_a_layer_that_takes_both_has_passes_of_both():
    mixed = layer(
        "x",
        input="mixed",
        passes=both(5),
        inputs=4,
        outputs=5,
        weights=20,
        macs_a_pass=20,
        macs=macs(both(40), both(30)),
        acs=over_time(7),
    )
    assert mixed.passes_of("per_step") == (2, 3)
    assert mixed.done("per_step", "events") == (30, 7)
    assert mixed.done("per_step", "steps") == (40, 60)


def test_ranges_that_touch_are_not_apart():
    low, high = Range(low=1, high=2), Range(low=2, high=3)
    assert not low.below(high)
    assert low.below(replace(high, low=2.5))
    assert not high.below(low)


def test_events_move_a_weight_and_a_sum_there_and_back_for_each_synapse():
    _, neurons, second = spiking().layers
    # 20 weights and, at both steps, 5 biases; 4 addresses read.
    assert second.moved("hoisted", "usual") == Traffic(weights=30, addresses=4, membranes=40)
    # 4 addresses written, each membrane read and written at both steps.
    assert neurons.moved("hoisted", "usual") == Traffic(addresses=4, membranes=16)


def test_a_silent_layer_moves_no_weights():
    silent = layer(
        "out", input="spikes", passes=both(2), inputs=4, outputs=5, weights=20, macs_a_pass=20
    )
    assert silent.moved("hoisted", "usual") == Traffic()


def test_one_number_of_an_estimate():
    estimated = energy.estimate(spiking().layers, energy.read("45nm-fp32"))
    assert estimated.of() == estimated.compute.hoisted
    assert estimated.of("on_chip", "per_step") == estimated.on_chip.per_step


def test_energy_by_no_table_is_refused():
    with pytest.raises(InputError, match="tables"):
        converted({"tables": {}}, Energy)
