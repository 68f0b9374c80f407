import torch

from spikeduel.measuring.counting.books import Row, totals
from spikeduel.results.costs import OverTime, Ways


def row(**steps):
    made = Row("a", "Linear", "synapses")
    for name, amounts in steps.items():
        made.add_steps(name, 1, torch.tensor(amounts).double())
    return made


def test_amounts_are_kept_in_two_countings():
    made = row()
    made.add("dense", 6, copies=5, share=1)
    made.add("dense", 6, copies=1, share=0)
    assert made.layer(1, 2).macs.dense == Ways(per_step=18, hoisted=3)


def test_steps_lie_where_they_happened_and_what_comes_after_time_at_its_end():
    assert row(acs=[4, 2]).layer(3, 2).acs == OverTime(total=3, by_step=[0, 2, 1])
    assert row(acs=[4, 2]).layer(2, 2).acs == OverTime(total=3, by_step=[0, 3])


def test_a_layer_that_takes_both_is_mixed():
    made = row()
    made.inputs_are |= {"real", "spikes"}
    assert made.layer(1, 1).input == "mixed"
    assert row().layer(1, 1).input is None


def test_remarks_are_made_once():
    made = row()
    made.notes["So."] = None
    made.notes["So."] = None
    assert made.layer(1, 1).note == "So."


def test_totals_are_sums_and_the_rate_is_over_neurons_that_fire():
    firing, silent = row(spikes=[6]), Row("b", "LI", "neurons")
    firing.neurons, firing.fires, silent.neurons = 3, True, 100
    firing.add("dense", 4, 1, 1)
    silent.add("dense", 2, 3, 1)
    firing.ways["passes"], firing.parameters = [1, 1], {"weight": 4}
    layers = [made.layer(2, 1) for made in (firing, silent)]
    found = totals(layers, 2)
    assert found.macs.dense == Ways(per_step=10, hoisted=6)
    assert found.traffic.hoisted.weights == 4
    assert found.spikes == OverTime(total=6, by_step=[0, 6])
    assert (found.neurons, found.spikes_per_neuron_and_step) == (103, 1)
