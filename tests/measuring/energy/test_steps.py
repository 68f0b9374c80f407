import pytest

from made_operations import both, layer, over_time, spiking
from spikeduel.measuring import energy


def test_the_first_steps_alone():
    first, neurons, second = energy.up_to(spiking(), 1)["layers"]
    assert first["macs"]["dense"] == both(40)
    assert first["passes"] == both(1)
    assert neurons["spikes"] == over_time(3)
    assert (neurons["leaks"], neurons["membrane_reads"], neurons["resets"]) == (4, 4, 3)
    assert neurons["spikes_per_neuron_and_step"] == 0.75
    assert second["acs"] == over_time(15)
    assert second["bias_additions"] == both(5)
    assert second["traffic"]["cached"]["weights"] == 20


def test_all_steps_are_the_whole():
    whole = spiking()
    for table in energy.NAMES:
        found, expected = (energy.estimate(each, energy.read(table)) for each in (energy.up_to(whole, 2), whole))
        assert {**found, "static": None} == {**expected, "static": None}


def test_what_happens_once_for_all_steps_stays():
    counted = {
        "num_steps": 4,
        "layers": [
            layer("head", passes=both(1), macs={"dense": both(9), "effective": both(9)}, bias_additions=both(3))
        ],
    }
    (head,) = energy.up_to(counted, 1)["layers"]
    assert head["macs"]["dense"] == both(9)
    assert head["bias_additions"] == both(3)


@pytest.mark.parametrize("num_steps", [0, 3])
def test_steps_that_are_not_there(num_steps):
    with pytest.raises(ValueError, match="from 1 to 2"):
        energy.up_to(spiking(), num_steps)
