import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import made_operations
from made_models import make
from made_operations import both, layer, macs, over_time, plain, spiking
from spikeduel.measuring import energy
from spikeduel.measuring.costing import operations
from spikeduel.measuring.energy import Table, break_even_rate, read, relu_twin, scaled, up_to
from spikeduel.measuring.energy.tables import Arithmetic, Bits, Memory
from spikeduel.results.costs import MEMORIES

FP32, LOIHI = energy.read("45nm-fp32"), energy.read("loihi")
SIMPLE = Table(
    name="simple", title="t", source="s", bits=Bits(weight=8, activation=8, membrane=8, address=8),
    picojoules=Arithmetic(multiply=10, add=1),
    memory=Memory(kilobytes=(1,), picojoules_per_byte=(100,), off_chip_picojoules_per_byte=1000),
)  # fmt: skip


def pico(entry, *chosen, **named):
    value = entry.joules(*chosen, **named)
    return None if value is None else pytest.approx(1e12 * value)


def test_arithmetic_alone_by_hand():
    entry = energy.estimate(spiking().layers, SIMPLE)
    # 11 a MAC, 1 an AC.
    assert pico(entry, way="per_step") == 80 * 11 + 20
    assert pico(entry) == 40 * 11 + 20
    assert pico(entry, multiplications="effective") == 20 * 11 + 20
    # 8 integrations, 4 resets, 14 biases as additions; 8 leaks as multiplications.
    assert pico(entry, scope="with_neurons") == 40 * 11 + 20 + 8 + 4 + 14 + 80


def test_memory_by_hand():
    entry = energy.estimate(spiking().layers, SIMPLE)
    # First layer: 44 weights, 14 activations; second: 30 weights, 4 addresses, 40 sums. A byte each, 100 a byte.
    assert pico(entry, "on_chip") == 460 + 100 * (44 + 14 + 30 + 4 + 40)
    assert pico(entry, "off_chip") == 460 + 100 * (14 + 4 + 40) + 1000 * (44 + 30)
    assert pico(entry, "on_chip", "with_neurons") == 566 + 100 * (44 + 14 + 30 + 4 + 40 + 4 + 16)


def test_a_network_without_time_has_one_counting():
    entry = energy.estimate(plain().layers, SIMPLE)
    assert pico(entry) == pico(entry, way="per_step") == 60 * 11


def test_what_was_trained_for_few_bits_is_moved_in_few_bits():
    def joules(input_bits):
        one = layer("x", passes=both(1), inputs=16, outputs=0, macs=macs(both(1)), input_bits=input_bits)
        return energy.estimate([one], SIMPLE).joules("on_chip")

    assert 1e12 * (joules(None) - joules(2)) == pytest.approx(16 * 100 * 6 / 8)
    # More bits than the hardware has do not make it wider.
    assert joules(32) == joules(None)


def test_a_chip_that_does_not_multiply_says_so():
    entry = energy.estimate(spiking().layers, LOIHI)
    assert entry.unknown == ["in"]
    assert entry.compute is None
    assert pico(entry, "on_chip") is None
    first, *others = spiking().layers
    entry = energy.estimate([replace(first, macs=macs(both(0))), *others], LOIHI)
    assert entry.unknown == []
    assert pico(entry, "on_chip") == 20 * 23.6
    # 4 of 8 updates fire.
    assert pico(entry, "on_chip", "with_neurons") == 20 * 23.6 + 4 * 81 + 4 * 52 + 4 * 1.7


def test_a_table_without_memory_tells_arithmetic_alone():
    entry = energy.estimate(plain().layers, replace(SIMPLE, memory=Memory()))
    assert pico(entry) == 660
    assert entry.on_chip is entry.off_chip is None


def test_all_named_tables():
    found = energy.energies(spiking())
    assert found.estimate is True
    assert tuple(found.tables) == energy.NAMES
    assert found.leading is found.tables[energy.HEADLINE]
    # The field's numbers: a MAC of 4.6, 1.5 and 0.3 pJ, an AC of 0.9, 0.4 and 0.1.
    for name, mac, ac in (("45nm-fp32", 4.6, 0.9), ("45nm-fp16", 1.5, 0.4), ("45nm-int8", 0.3, 0.1)):
        assert pico(found.tables[name]) == 40 * mac + 20 * ac
        assert found.tables[name].source


def counted(encoding):
    images = torch.randint(0, 256, (12, 1, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return operations(make("dense-snn", encoding=encoding), [(images, torch.arange(12) % 3, np.arange(12))]).operations


@pytest.mark.parametrize("memory", ["compute", "on_chip"])
@pytest.mark.parametrize("encoding", ["direct", "rate", "latency"])
def test_the_last_step_is_the_whole(encoding, memory):
    found = counted(encoding)
    spent = energy.over_time(found, FP32, memory)
    assert len(spent) == 6
    assert spent[-1] == pytest.approx(energy.estimate(found.layers, FP32).joules(memory))
    assert (np.diff(spent) >= 0).all()


def test_under_direct_encoding_the_first_layer_is_paid_for_first_and_once():
    found = counted("direct")
    # 100 pixels by 12 neurons at 4.6 pJ, and then additions at 0.9 pJ for each spike and its 3 synapses.
    behind = next(each for each in found.layers if each.name == "linear2")
    assert energy.over_time(found, FP32) == pytest.approx((1200 * 4.6 + 0.9 * np.cumsum(behind.acs.by_step)) * 1e-12)


def test_a_chip_without_macs_has_no_energy_over_time():
    assert energy.over_time(counted("direct"), LOIHI, "on_chip") is None
    assert len(energy.over_time(counted("rate"), LOIHI, "on_chip")) == 6


def test_the_mean_over_those_who_leave_by_hand():
    assert energy.mean_at([1.0, 2.0, 4.0], [3, 0, 1]) == pytest.approx((3 * 1 + 4) / 4)


def test_break_even_by_hand():
    # 20 MACs of the twin against 20 synapses · rate · 2 steps: 4.6 / 0.9 spikes a neuron, over two steps.
    assert break_even_rate(spiking(), plain().layers, FP32, 2) == pytest.approx(4.6 / 0.9 / 2)
    assert break_even_rate(spiking(), plain().layers, FP32, 8) == pytest.approx(4.6 / 0.9 / 8)
    # The first layer at every step: it alone takes as much as the whole twin and more.
    first, *others = spiking().layers
    again = replace(first, passes=both(2), macs=macs(both(80)))
    assert break_even_rate(replace(spiking(), layers=[again, *others]), plain().layers, FP32, 2) < 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 64), st.sampled_from(energy.NAMES[:3]), st.sampled_from(MEMORIES))
def test_at_break_even_both_take_the_same(num_steps, name, memory):
    rate = break_even_rate(spiking(), plain().layers, energy.read(name), num_steps, memory)
    there = energy.estimate(energy.scaled(spiking(), rate / 0.5, num_steps), energy.read(name)).joules(memory)
    assert there == pytest.approx(energy.estimate(plain().layers, energy.read(name)).joules(memory))


def test_break_even_that_cannot_be_told():
    assert break_even_rate(spiking(), plain().layers, LOIHI, 2, "on_chip") is None
    assert break_even_rate(spiking(), plain().layers, LOIHI, 2) is None
    assert break_even_rate(plain(), plain().layers, FP32, 2) is None


def estimates(layers):
    return [energy.estimate(layers, read(name)) for name in energy.NAMES]


def test_the_twin_has_the_same_synapses_once_and_no_neurons():
    twin, known = relu_twin(spiking(), density=0.5), plain().layers
    for found, expected in zip(twin, known, strict=True):
        assert found.macs == expected.macs
        assert found.bias_additions == expected.bias_additions
        assert (found.input, found.passes) == (expected.input, expected.passes)
    assert estimates(twin) == estimates(known)
    assert relu_twin(spiking())[1].macs.effective == both(20)


def test_scaled_by_nothing_is_the_same():
    assert estimates(scaled(spiking(), 1.0, 2)) == estimates(spiking().layers)


def test_twice_as_long_and_half_as_often():
    first, neurons, second = scaled(spiking(), 0.5, 4)
    assert first.macs.dense == both(160, 40)
    assert (second.acs.total, neurons.spikes.total, neurons.leaks) == (20, 4, 16)
    assert neurons.resets == 4


def test_spikes_that_encode_the_image_do_not_depend_on_the_neurons():
    counted = spiking()
    encoded = [*counted.layers[:2], replace(counted.layers[2], input_encoded=True)]
    assert scaled(replace(counted, layers=encoded), 0.0, 4)[2].acs.total == 40


def test_the_first_steps_alone():
    first, neurons, second = up_to(spiking(), 1)
    assert first.macs.dense == both(40)
    assert first.passes == both(1)
    assert neurons.spikes == over_time(3)
    assert (neurons.leaks, neurons.membrane_reads, neurons.resets) == (4, 4, 3)
    assert neurons.spikes_per_neuron_and_step == 0.75
    assert second.acs == over_time(15)
    assert second.bias_additions == both(5)
    assert second.traffic.hoisted.weights == 20


def test_all_steps_are_the_whole():
    assert estimates(up_to(spiking(), 2)) == estimates(spiking().layers)


def test_what_happens_once_for_all_steps_stays():
    counted = made_operations.operations([layer("head", passes=both(1), macs=macs(both(9)), bias_additions=both(3))], 4)
    (head,) = up_to(counted, 1)
    assert head.macs.dense == both(9)
    assert head.bias_additions == both(3)


@pytest.mark.parametrize("num_steps", [0, 3])
def test_steps_that_are_not_there(num_steps):
    with pytest.raises(ValueError, match="from 1 to 2"):
        up_to(spiking(), num_steps)
