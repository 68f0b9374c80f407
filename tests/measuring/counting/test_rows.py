import torch

from spikeduel.measuring.counting.rows import Row, totals


def row(**steps):
    made = Row("a", "Linear", "synapses")
    for name, amounts in steps.items():
        made.add_steps(name, 1, torch.tensor(amounts).double())
    return made


def test_amounts_are_kept_in_two_countings():
    made = row()
    made.add("dense", 6, copies=5, share=1)
    made.add("dense", 6, copies=1, share=0)
    assert made.entry(1, 2)["macs"]["dense"] == {"as_written": 18, "cached": 3}


def test_steps_lie_where_they_happened_and_what_comes_after_time_at_its_end():
    assert row(acs=[4, 2]).entry(3, 2)["acs"] == {"total": 3, "per_step": [0, 2, 1]}
    assert row(acs=[4, 2]).entry(2, 2)["acs"] == {"total": 3, "per_step": [0, 3]}


def test_a_layer_that_takes_both_is_mixed():
    made = row()
    made.inputs_are |= {"real", "spikes"}
    assert made.entry(1, 1)["input"] == "mixed"
    assert row().entry(1, 1)["input"] is None


def test_remarks_are_made_once():
    made = row()
    made.note("So.")
    made.note("So.")
    assert made.entry(1, 1)["note"] == "So."


def test_totals_are_sums_and_the_rate_is_over_neurons_that_fire():
    firing, silent = row(spikes=[6]), Row("b", "LI", "neurons")
    firing.neurons, firing.fires, silent.neurons = 3, True, 100
    firing.add("dense", 4, 1, 1)
    silent.add("dense", 2, 3, 1)
    layers = [{**each.entry(2, 1), "traffic": {"cached": {"weights": 1}}} for each in (firing, silent)]
    found = totals(layers, 2)
    assert found["macs"]["dense"] == {"as_written": 10, "cached": 6}
    assert found["traffic"] == {"cached": {"weights": 2}}
    assert found["spikes"] == {"total": 6, "per_step": [0, 6]}
    assert (found["neurons"], found["spikes_per_neuron_and_step"]) == (103, 1)
