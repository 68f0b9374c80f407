import pytest

from spikeduel.measuring import energy
from spikeduel.measuring.trial_costs import cost_entry, with_energy
from spikeduel.system.errors import InputError


def both(as_written, cached=None):
    return {"as_written": as_written, "cached": as_written if cached is None else cached}


def operations(written=50_000, cached=2_000, acs=3_000):
    """One layer on an image and one behind spikes, over 25 steps."""
    zero = both(0)
    layer = {
        "name": "in", "kind": "synapses", "input": "image", "input_bits": None, "input_encoded": True,
        "passes": both(25, 1), "inputs": 100, "outputs": 20, "weights": 2_000, "biases": 0, "macs_a_pass": 2_000,
        "macs": {"dense": both(written, cached), "effective": both(written, cached)},
        "acs": {"total": 0, "per_step": []}, "events": {"total": 0, "per_step": []}, "bias_additions": zero,
        "additions": zero, "multiplications": zero, "functions": zero, "neurons": None, "spikes": None,
        "state_variables": 0, "leaks": 0, "integrations": 0, "resets": 0, "membrane_reads": 0, "membrane_writes": 0,
    }  # fmt: skip
    behind = {
        **layer, "name": "out", "input": "spikes", "input_encoded": False, "passes": both(25),
        "macs": {"dense": zero, "effective": zero}, "acs": {"total": acs, "per_step": [acs]},
    }  # fmt: skip
    totals = {
        "macs": {"dense": both(written, cached), "effective": both(written, cached)},
        "acs": {"total": acs, "per_step": [acs]},
        "spikes_per_neuron_and_step": 0.25,
    }
    return {"num_steps": 25, "layers": [layer, behind], "totals": totals, "reason": None}


def trial(contender="snn", **changes):
    return {"contender": contender, "controls": None, **cost_entry(operations(**changes))}


def test_what_was_counted_has_an_energy():
    entry = cost_entry(operations())
    assert entry["not_counted"] is None
    assert entry["operations"] == operations()
    found = energy.joules(entry["energy"]["tables"]["45nm-fp32"])
    assert found == pytest.approx(1e-12 * (2_000 * 4.6 + 3_000 * 0.9))


def test_what_was_not_counted_is_null_with_a_reason():
    assert cost_entry(None) == {"operations": None, "energy": None, "not_counted": None}
    unknown = {"layers": None, "totals": None, "reason": "it is odd."}
    assert cost_entry(unknown) == {"operations": None, "energy": None, "not_counted": "it is odd."}


def test_energies_of_trials_and_controls_by_other_tables():
    before = {"trials": [{**trial(), "controls": {"relu_twin": trial(acs=0), "shuffled": None, "reasons": {"a": "b"}}}]}
    after = with_energy(before, [energy.read("45nm-int8")])
    (found,) = after["trials"]
    assert next(iter(found["energy"]["tables"])) == "45nm-int8"
    assert sorted(found["energy"]["tables"]) == sorted(energy.NAMES)
    twin = found["controls"]["relu_twin"]["energy"]["tables"]["45nm-int8"]
    assert energy.joules(twin) == pytest.approx(1e-12 * 2_000 * 0.3)
    assert found["controls"]["reasons"] == {"a": "b"}
    assert found["controls"]["shuffled"] is None


def test_damaged_counts_of_a_control_are_named():
    damaged = {"trials": [{**trial(), "controls": {"relu_twin": {"operations": {"layers": 3}}, "reasons": {}}}]}
    with pytest.raises(InputError, match="operations has no 'num_steps'"):
        with_energy(damaged, [])
