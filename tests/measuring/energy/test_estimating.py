import pytest

from made_operations import both, layer, plain, spiking
from spikeduel.measuring import energy
from spikeduel.measuring.energy import Table

SIMPLE = Table(
    "simple", "t", "s", dict.fromkeys(("weight", "activation", "membrane", "address"), 8), multiply=10, add=1,
    kilobytes=(1,), picojoules_per_byte=(100,), off_chip_picojoules_per_byte=1000, static_milliwatts=2,
)  # fmt: skip


def pico(entry, *chosen, **named):
    value = energy.joules(entry, *chosen, **named)
    return None if value is None else pytest.approx(1e12 * value)


def test_arithmetic_alone_by_hand():
    entry = energy.estimate(spiking(), SIMPLE)
    # 11 a MAC, 1 an AC.
    assert pico(entry, counting="as_written") == 80 * 11 + 20
    assert pico(entry) == 40 * 11 + 20
    assert pico(entry, macs="effective") == 20 * 11 + 20
    # 8 integrations, 4 resets, 14 biases as additions; 8 leaks as multiplications.
    assert pico(entry, scope="with_neurons") == 40 * 11 + 20 + 8 + 4 + 14 + 80


def test_memory_by_hand():
    entry = energy.estimate(spiking(), SIMPLE)
    # First layer: 44 weights, 14 activations; second: 30 weights, 4 addresses, 40 sums. A byte each, 100 a byte.
    assert pico(entry, "on_chip") == 460 + 100 * (44 + 14 + 30 + 4 + 40)
    assert pico(entry, "off_chip") == 460 + 100 * (14 + 4 + 40) + 1000 * (44 + 30)
    assert pico(entry, "on_chip", "with_neurons") == 566 + 100 * (44 + 14 + 30 + 4 + 40 + 4 + 16)


def test_a_network_without_time_has_one_counting():
    entry = energy.estimate(plain(), SIMPLE)
    assert pico(entry) == pico(entry, counting="as_written") == 60 * 11


def test_what_was_trained_for_few_bits_is_moved_in_few_bits():
    counted = {
        "layers": [layer("x", passes=both(1), inputs=16, outputs=0, macs={"dense": both(1), "effective": both(1)})]
    }
    whole = energy.joules(energy.estimate(counted, SIMPLE), "on_chip")
    counted["layers"][0]["input_bits"] = 2
    less = energy.joules(energy.estimate(counted, SIMPLE), "on_chip")
    assert 1e12 * (whole - less) == pytest.approx(16 * 100 * 6 / 8)
    # More bits than the hardware has do not make it wider.
    counted["layers"][0]["input_bits"] = 32
    assert energy.joules(energy.estimate(counted, SIMPLE), "on_chip") == whole


def test_a_chip_that_does_not_multiply_says_so():
    entry = energy.estimate(spiking(), energy.read("loihi"))
    assert entry["unknown"] == ["in"]
    assert entry["compute"] is None
    assert pico(entry, "on_chip") is None
    rate = spiking()
    rate["layers"][0] = {**rate["layers"][0], "macs": {"dense": both(0), "effective": both(0)}}
    entry = energy.estimate(rate, energy.read("loihi"))
    assert entry["unknown"] == []
    assert pico(entry, "on_chip") == 20 * 23.6
    # 4 of 8 updates fire.
    assert pico(entry, "on_chip", "with_neurons") == 20 * 23.6 + 4 * 81 + 4 * 52 + 4 * 1.7


def test_static_power_takes_a_latency():
    assert energy.estimate(plain(), SIMPLE)["static"] is None
    assert energy.estimate(plain(), SIMPLE, latency_seconds=0.5)["static"] == pytest.approx(1e-3)
    assert energy.estimate(plain(), energy.read("45nm-fp32"), latency_seconds=0.5)["static"] is None


def test_a_table_without_memory_tells_arithmetic_alone():
    entry = energy.estimate(plain(), Table("t", "t", "s", SIMPLE.bits, 10, 1))
    assert pico(entry) == 660
    assert entry["on_chip"] is entry["off_chip"] is None


def test_all_named_tables():
    found = energy.energies(spiking())
    assert found["estimate"] is True
    assert tuple(found["tables"]) == energy.NAMES
    # The field's numbers: a MAC of 4.6, 1.5 and 0.3 pJ, an AC of 0.9, 0.4 and 0.1.
    for name, mac, ac in (("45nm-fp32", 4.6, 0.9), ("45nm-fp16", 1.5, 0.4), ("45nm-int8", 0.3, 0.1)):
        assert pico(found["tables"][name]) == 40 * mac + 20 * ac
        assert found["tables"][name]["source"]
