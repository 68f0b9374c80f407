import torch

from spikeduel.engine.counting.ledger import SPIKES, Row, Tag
from spikeduel.engine.counting.operations import OverTime, Ways, totals

TIMED = Tag(SPIKES, first_step=2, steps=3)


def test_a_view_keeps_steps_apart_while_rows_belong_to_one():
    assert TIMED.viewed((3, 4, 5), (12, 5)) is TIMED
    assert TIMED.viewed((12, 5), (3, 20)) is TIMED
    assert TIMED.viewed((12, 5), (60,)) is TIMED
    lost = TIMED.viewed((12, 5), (4, 15))
    assert (lost.steps, lost.first_step) == (1, 4)


def test_broadcasting():
    assert TIMED.elementwise((3, 4), (2, 3, 4)).time_dim == 1
    assert TIMED.elementwise((3, 4), (3, 9)) == TIMED
    assert TIMED.elementwise((3, 4), (1, 4)).steps == 1


def row(**steps):
    made = Row("a", "Linear", "synapses")
    for name, amounts in steps.items():
        made.add_steps(name, 1, torch.tensor(amounts).double())
    return made


def test_amounts_are_counted_in_two_ways():
    made = row()
    made.add("dense", 6, Tag("image", copies=5))
    made.add("dense", 6, Tag("image"), fresh=False)
    assert made.layer(1, 2).macs.dense == Ways(per_step=18, hoisted=3)


def test_steps_lie_where_they_happened_and_what_comes_after_time_at_its_end():
    assert row(acs=[4, 2]).layer(3, 2).acs == OverTime(total=3, by_step=[0, 2, 1])
    assert row(acs=[4, 2]).layer(2, 2).acs == OverTime(total=3, by_step=[0, 3])


def test_totals_are_sums_and_the_rate_is_over_neurons_that_fire():
    firing, silent = row(spikes=[6]), Row("b", "LI", "neurons")
    firing.neurons, firing.fires, silent.neurons = 3, True, 100
    firing.add("dense", 4, Tag("image"))
    silent.add("dense", 2, Tag("image", copies=3))
    firing.ways["passes"], firing.parameters = [1, 1], {"weight": 4}
    layers = [made.layer(2, 1) for made in (firing, silent)]
    amounts = totals(layers, 2)
    assert amounts.macs.dense == Ways(per_step=10, hoisted=6)
    assert amounts.spikes == OverTime(total=6, by_step=[0, 6])
    assert (amounts.neurons, amounts.spikes_per_neuron_and_step) == (103, 1)
