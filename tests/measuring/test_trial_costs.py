import pytest
from msgspec.structs import replace

from made_costs import control, results_of, trial
from made_operations import plain, spiking
from spikeduel.measuring import energy
from spikeduel.measuring.costing import cost_entry, with_energy
from spikeduel.results.costs import Counted


def test_what_was_counted_has_an_energy():
    entry = cost_entry(Counted(operations=spiking()))
    assert (entry["operations"], entry["not_counted"]) == (spiking(), None)
    assert entry["energy"].leading.joules() == pytest.approx(1e-12 * (40 * 4.6 + 20 * 0.9))


def test_what_was_not_counted_is_none_with_a_reason():
    assert cost_entry(None) == {"operations": None, "energy": None, "not_counted": None}
    unknown = Counted(operations=None, reason="it is odd.")
    assert cost_entry(unknown) == {"operations": None, "energy": None, "not_counted": "it is odd."}


def test_energies_of_trials_and_controls_by_other_tables():
    twin = replace(control("ReLU twin", 0.5), **cost_entry(Counted(operations=plain())))
    controls = {"relu_twin": twin, "shuffled": control("shuffled", 0.5)}
    spikes = trial("snn", **cost_entry(Counted(operations=spiking())), controls=controls)
    (found,) = with_energy(results_of(spikes), [energy.read("45nm-int8")]).trials
    assert next(iter(found.energy.tables)) == "45nm-int8"
    assert sorted(found.energy.tables) == sorted(energy.NAMES)
    assert found.controls["relu_twin"].energy.leading.joules() == pytest.approx(1e-12 * 60 * 0.3)
    assert found.controls["shuffled"].energy is None
