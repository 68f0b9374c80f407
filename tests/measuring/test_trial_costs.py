import pytest
from msgspec import structs

from made_operations import plain, spiking
from made_trials import results, trial
from spikeduel.measuring import energy
from spikeduel.measuring.costing import cost_entry, with_energy
from spikeduel.results.costs import Counted
from spikeduel.results.trials import ControlResult


def test_what_was_counted_has_an_energy():
    entry = cost_entry(Counted(operations=spiking()))
    assert (entry["operations"], entry["not_counted"]) == (spiking(), None)
    assert list(entry["energy"].tables) == list(energy.NAMES)
    # Of the first layer once: 40 multiplications with additions; of the second: an addition for each of 20 synapses.
    assert entry["energy"].tables["45nm-fp32"].joules() == pytest.approx(1e-12 * (40 * 4.6 + 20 * 0.9))


def test_what_was_not_counted_has_a_reason():
    assert cost_entry(None) == {"operations": None, "energy": None, "not_counted": None}
    unknown = Counted(operations=None, reason="it is odd.")
    assert cost_entry(unknown) == {"operations": None, "energy": None, "not_counted": "it is odd."}


def test_energies_of_trials_and_controls_by_other_tables():
    about = {"title": "", "meaning": "", "spikes": False, "n": 2000, "accuracy": 0.5}
    controls = {
        "relu_twin": ControlResult(**about, **cost_entry(Counted(operations=plain()))),
        "shuffled": ControlResult(**about),
    }
    before = results([trial("snn", 0.9, controls=controls, **cost_entry(Counted(operations=spiking())))])
    after = with_energy(before, [energy.read("45nm-int8")])
    (found,) = after.trials
    assert next(iter(found.energy.tables)) == "45nm-int8"
    assert sorted(found.energy.tables) == sorted(energy.NAMES)
    # 60 multiplications with additions.
    assert found.controls["relu_twin"].energy.tables["45nm-int8"].joules() == pytest.approx(1e-12 * 60 * 0.3)
    assert found.controls["shuffled"].energy is None
    # Nothing else changes.
    assert structs.replace(found, energy=None, controls={}) == structs.replace(
        before.trials[0], energy=None, controls={}
    )


def test_a_table_of_ones_own_leads():
    own = structs.replace(energy.read("45nm-int8"), name="mine")
    after = with_energy(results([trial("snn", 0.9, operations=spiking())]), [own])
    assert list(after.trials[0].energy.tables) == ["mine", *energy.NAMES]
