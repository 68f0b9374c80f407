import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from msgspec import structs
from msgspec.structs import replace

import made_operations
from made_models import make
from made_operations import both, layer, macs, over_time, plain, spiking
from spikeduel import energy
from spikeduel.energy import Arithmetic, Bits, Memory, Table, read
from spikeduel.energy.rescaling import relu_twin, scaled, up_to
from spikeduel.evaluation.costing import operations
from spikeduel.results.cost_results import MEMORIES

FP32 = energy.read("45nm-fp32")
SIMPLE = Table(
    name="simple",
    title="t",
    source="s",
    bits=Bits(weight=8, activation=8, membrane=8, address=8),
    picojoules=Arithmetic(multiply=10, add=1),
    memory=Memory(kilobytes=(1,), picojoules_per_byte=(100,), off_chip_picojoules_per_byte=1000),
)


def free_memory(table):
    return replace(table, memory=Memory(kilobytes=(1,), picojoules_per_byte=(0,)))


def pico(entry, *chosen, **named):
    value = entry.of(*chosen, **named).dense
    return None if value is None else pytest.approx(1e12 * value)


def test_arithmetic_alone_by_hand():
    entry = energy.estimate(spiking().layers, SIMPLE)
    # 11 a MAC, 1 an AC.
    assert pico(entry, way="per_step") == 80 * 11 + 20
    assert pico(entry) == 40 * 11 + 20
    # With memory that costs nothing: 8 integrations, 4 resets, 14 biases as additions; 8 leaks as
    # multiplications.
    whole = energy.joules(spiking().layers, free_memory(SIMPLE), "on_chip")
    assert 1e12 * whole.dense == pytest.approx(40 * 11 + 20 + 8 + 4 + 14 + 80)


def bounds(entry, *chosen, **named):
    interval = entry.of(*chosen, **named).range
    return pytest.approx(1e12 * interval.low), pytest.approx(1e12 * interval.high)


def test_everybody_skips_zeros_or_nobody_does():
    entry = energy.estimate(spiking().layers, SIMPLE)
    # 20 of 40 multiplications have an input that is not zero; 20 of 2·20 synapses and steps a
    # spike.
    assert bounds(entry) == (20 * 11 + 20, 40 * 11 + 40)
    assert bounds(entry, way="per_step") == (40 * 11 + 20, 80 * 11 + 40)


def test_memory_by_hand():
    entry = energy.estimate(spiking().layers, SIMPLE)
    # First layer: 44 weights, 22 activations; second: 30 weights, 4 addresses, 40 sums; neurons: 4
    # addresses, 16 membranes. A byte each, 100 a byte.
    assert pico(entry, "on_chip") == 566 + 100 * (44 + 22 + 30 + 4 + 40 + 4 + 16)
    assert pico(entry, "off_chip") == 566 + 100 * (22 + 4 + 40 + 4 + 16) + 1000 * (44 + 30)


def test_memory_is_a_range_by_hand():
    entry = energy.estimate(spiking().layers, SIMPLE)
    # The first layer is cheapest whole, 440 + 100·66, and most expensive by events, 220 + 100·(24 + 22 +
    # 10 + 44); the second is cheapest with weights once an image, 40 + 100·(25 + 10 + 1), and
    # most expensive by events.
    first, second = (7040, 220 + 100 * 100), (3640, 20 + 100 * 74)
    # 14 biases, and neurons: 92, 16 membranes, and 8 bits or 4 addresses.
    low, high = first[0] + second[0] + 14 + 92 + 1700, first[1] + second[1] + 14 + 92 + 2000
    assert bounds(entry, "on_chip") == (low, high)


@st.composite
def spiking_layers(draw):
    """A layer of spikes over T steps, whatever they are, with its twin's multiplications a pass."""
    inputs, outputs, steps = (
        draw(st.integers(1, 200)),
        draw(st.integers(1, 200)),
        draw(st.integers(1, 20)),
    )
    synapses = inputs * outputs
    rate = draw(st.floats(0, 1))
    return layer(
        "x",
        input="spikes",
        passes=both(steps),
        inputs=inputs,
        outputs=outputs,
        macs_a_pass=synapses,
        weights=draw(st.integers(1, synapses)),
        biases=draw(st.sampled_from([0, outputs])),
        acs=over_time(rate * synapses * steps),
        events=over_time(rate * inputs * steps),
    )


@settings(max_examples=100, deadline=None)
@given(spiking_layers(), st.sampled_from(energy.NAMES), st.sampled_from(MEMORIES))
def test_a_layer_of_spikes_takes_at_least_no_more_than_its_twin_at_every_step(spikes, name, memory):
    counted = made_operations.operations([spikes], int(spikes.passes.per_step))
    table = read(name)
    spent, twin = (
        energy.joules(layers, table, memory) for layers in ([spikes], relu_twin(counted).layers)
    )
    assert spent.range.low <= spent.dense * (1 + 1e-9)
    assert spent.range.high >= spent.dense * (1 - 1e-9)
    assert twin.range.low <= twin.dense * (1 + 1e-9)
    assert spent.range.low <= spikes.passes.per_step * twin.dense * (1 + 1e-9)


def test_a_leak_multiplies_a_membrane():
    (_, neurons, _), table = spiking().layers, read("45nm-int8")
    # 8 leaks of 32 bits; 8 integrations and 4 resets.
    leak = energy.joules([neurons], free_memory(table), "on_chip").dense
    assert 1e12 * leak == pytest.approx(8 * 3.1 + 12 * 0.1)
    papers = energy.joules([neurons], free_memory(read("45nm-int8-sums8")), "on_chip").dense
    assert 1e12 * papers == pytest.approx(8 * 0.2 + 12 * 0.03)


def test_a_network_without_time_has_one_counting_and_a_table_without_memory_arithmetic_alone():
    entry = energy.estimate(plain().layers, replace(SIMPLE, memory=Memory()))
    assert pico(entry) == pico(entry, way="per_step") == 60 * 11
    assert entry.on_chip is entry.off_chip is None


def test_what_was_trained_for_few_bits_is_moved_in_few_bits():
    def joules(input_bits):
        one = layer(
            "x", passes=both(1), inputs=16, outputs=0, macs=macs(both(1)), input_bits=input_bits
        )
        return energy.joules([one], SIMPLE, "on_chip").dense

    assert 1e12 * (joules(None) - joules(2)) == pytest.approx(16 * 100 * 6 / 8)
    # More bits than the hardware has do not make it wider.
    assert joules(32) == joules(None)


def test_all_named_tables():
    energies = energy.energies(spiking(), map(energy.read, energy.NAMES))
    assert energies.estimate is True
    assert tuple(energies.tables) == energy.NAMES
    assert energies.leading is energies.tables[energy.HEADLINE]
    # The field's numbers: a MAC of 4.6, 1.5, 0.3 and 0.23 pJ, an AC of 0.9, 0.4, 0.1 and 0.03.
    for name, mac, ac in (
        ("45nm-fp32", 4.6, 0.9),
        ("45nm-fp16", 1.5, 0.4),
        ("45nm-int8", 0.3, 0.1),
        ("45nm-int8-sums8", 0.23, 0.03),
    ):
        assert pico(energies.tables[name]) == 40 * mac + 20 * ac
        assert energies.tables[name].source


def counted(encoding):
    images = torch.randint(
        0, 256, (12, 1, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return operations(
        make("dense-snn", encoding=encoding), [(images, torch.arange(12) % 3, np.arange(12))]
    ).operations


@pytest.mark.parametrize("encoding", ["direct", "rate", "latency"])
def test_the_last_step_is_the_whole(encoding):
    counts = counted(encoding)
    for table in (FP32, replace(FP32, memory=energy.Memory())):
        spent = energy.over_time(counts, table)
        assert len(spent) == 6
        whole = energy.estimate(counts.layers, table).of(table.leading_memory).range
        assert structs.astuple(spent[-1]) == pytest.approx(structs.astuple(whole))
        assert (np.diff([structs.astuple(bounds) for bounds in spent], axis=0) >= 0).all()


def test_under_direct_encoding_the_first_layer_is_paid_for_first_and_once():
    counts = counted("direct")
    # Pixels that are not black by 12 neurons at 4.6 pJ, and then additions at 0.9 pJ for each spike
    # and its 3 synapses.
    first, behind = (
        next(layer for layer in counts.layers if layer.name == name)
        for name in ("linear1", "linear2")
    )
    expected = (1200 * (1 - first.input_zeros) * 4.6 + 0.9 * np.cumsum(behind.acs.by_step)) * 1e-12
    spent = energy.over_time(counts, replace(FP32, memory=energy.Memory()))
    assert [bounds.low for bounds in spent] == pytest.approx(expected)


def test_the_twin_has_the_same_synapses_once_and_no_neurons():
    twin, known = relu_twin(spiking()).layers, plain().layers
    for layer_of_twin, expected in zip(twin, known, strict=True):
        assert layer_of_twin.macs.dense == expected.macs.dense
        assert layer_of_twin.bias_additions == expected.bias_additions
        assert (layer_of_twin.input, layer_of_twin.passes) == (expected.input, expected.passes)
    assert (twin[0].macs.effective, twin[1].macs.effective) == (known[0].macs.effective, both(20))


def test_twice_as_long_and_half_as_often():
    first, neurons, second = scaled(spiking(), 0.5, 4).layers
    assert first.macs.dense == both(160, 40)
    assert (second.acs.total, neurons.spikes.total, neurons.leaks) == (20, 4, 16)
    assert neurons.resets == 4


def test_spikes_that_encode_the_image_do_not_depend_on_the_neurons():
    counted = spiking()
    encoded = [*counted.layers[:2], replace(counted.layers[2], input_encoded=True)]
    assert scaled(replace(counted, layers=encoded), 0.0, 4).layers[2].acs.total == 40


def test_the_first_steps_alone():
    first, neurons, second = up_to(spiking(), 1).layers
    assert first.macs.dense == both(40)
    assert first.passes == both(1)
    assert neurons.spikes == over_time(3)
    assert (neurons.leaks, neurons.membrane_reads, neurons.resets) == (4, 4, 3)
    assert second.acs == over_time(15)
    assert second.bias_additions == both(5)
    assert second.moved("hoisted", "usual").weights == 20
