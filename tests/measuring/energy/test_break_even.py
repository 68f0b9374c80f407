import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_operations import both, plain, spiking
from spikeduel.measuring import energy
from spikeduel.measuring.energy import break_even_rate, read, relu_twin, scaled

FP32 = read("45nm-fp32")


def test_the_twin_has_the_same_synapses_once_and_no_neurons():
    twin, known = relu_twin(spiking(), density=0.5), plain()
    for found, expected in zip(twin["layers"], known["layers"], strict=True):
        assert found["macs"] == expected["macs"]
        assert found["bias_additions"] == expected["bias_additions"]
        assert (found["input"], found["passes"]) == (expected["input"], expected["passes"])
    for name in energy.NAMES:
        assert energy.estimate(twin, read(name)) == energy.estimate(known, read(name))
    assert relu_twin(spiking())["layers"][1]["macs"]["effective"] == both(20)


def test_as_it_is():
    same = scaled(spiking(), 1.0, 2)
    for name in energy.NAMES:
        assert energy.estimate(same, read(name)) == energy.estimate(spiking(), read(name))


def test_twice_as_long_and_half_as_often():
    first, neurons, second = scaled(spiking(), 0.5, 4)["layers"]
    assert first["macs"]["dense"] == both(160, 40)
    assert (second["acs"]["total"], neurons["spikes"]["total"], neurons["leaks"]) == (20, 4, 16)
    assert neurons["resets"] == 4


def test_spikes_that_encode_the_image_do_not_depend_on_the_neurons():
    counted = spiking()
    counted["layers"][2]["input_encoded"] = True
    assert scaled(counted, 0.0, 4)["layers"][2]["acs"]["total"] == 40


def test_the_border_by_hand():
    # 20 MACs of the twin against 20 synapses · rate · 2 steps: 4.6 / 0.9 spikes a neuron, over two steps.
    assert break_even_rate(spiking(), plain(), FP32, 2) == pytest.approx(4.6 / 0.9 / 2)
    assert break_even_rate(spiking(), plain(), FP32, 8) == pytest.approx(4.6 / 0.9 / 8)
    # As written, the first layer alone takes as much as the whole twin and more.
    assert break_even_rate(spiking(), plain(), FP32, 2, counting="as_written") < 0


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 64), st.sampled_from(energy.NAMES[:3]), st.sampled_from(energy.MEMORIES),
    st.sampled_from(energy.SCOPES), st.sampled_from(energy.COUNTINGS), st.sampled_from(energy.MACS),
)  # fmt: skip
def test_at_the_border_both_take_the_same(num_steps, name, memory, scope, counting, macs):
    chosen = (memory, scope, counting, macs)
    rate = break_even_rate(spiking(), plain(), read(name), num_steps, *chosen)
    there = energy.joules(energy.estimate(scaled(spiking(), rate / 0.5, num_steps), read(name)), *chosen)
    assert there == pytest.approx(energy.joules(energy.estimate(plain(), read(name)), *chosen))


def test_what_cannot_be_told():
    assert break_even_rate(spiking(), plain(), read("loihi"), 2, "on_chip") is None
    assert break_even_rate(spiking(), plain(), read("loihi"), 2) is None
    assert break_even_rate(plain(), plain(), FP32, 2) is None
