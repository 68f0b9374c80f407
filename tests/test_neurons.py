import pytest
import snntorch
import torch

from spikeduel.constant import Constant
from spikeduel.errors import InputError
from spikeduel.neurons import LIF, NEURONS, Logits, Neuron, SpikeCount


def test_the_registry_is_not_empty():
    assert "lif" in NEURONS


@pytest.mark.parametrize("name", NEURONS)
def test_forward_equals_its_own_steps(name, generator):
    neuron = NEURONS[name]()
    current = torch.randn(6, 3, 5, generator=generator)
    spk, mem = neuron(current)
    state = neuron.initial_state(current[0])
    for t in range(6):
        now, state = neuron.step(current[t], state)
        assert torch.equal(now, spk[t])
        assert torch.equal(state["mem"], mem[t])


@pytest.mark.parametrize("name", NEURONS)
def test_a_constant_equals_its_sequence_and_nothing_is_kept_between_calls(name, generator):
    neuron = NEURONS[name]()
    value = torch.rand(4, 7, generator=generator, requires_grad=True)
    once = neuron(Constant(value, 9))
    again = neuron(value.expand(9, 4, 7))
    assert torch.equal(once[0], again[0])
    assert torch.equal(once[1], again[1])
    assert once[0].shape == (9, 4, 7)
    (once[0].sum() + once[1].sum()).backward()
    assert value.grad.abs().sum() > 0


@pytest.mark.parametrize("reset_mechanism", ["subtract", "zero", "none"])
def test_lif_is_snntorchs_leaky(reset_mechanism, generator):
    # Multiples of 1/64 and beta 0.5 over a few steps are exact in float32, so spikes and membranes must be equal.
    current = torch.randint(-64, 128, (8, 4, 50), generator=generator) / 64
    leaky = snntorch.Leaky(beta=0.5, reset_mechanism=reset_mechanism)
    mem = leaky.init_leaky()
    spikes, membranes = [], []
    for now in current:
        spk, mem = leaky(now, mem)
        spikes.append(spk)
        membranes.append(mem)
    spk, mem = LIF(beta=0.5, reset_mechanism=reset_mechanism)(current)
    assert 0 < spk.mean() < 1
    assert torch.equal(spk, torch.stack(spikes))
    assert torch.equal(mem, torch.stack(membranes))


def test_membranes_stay_float32():
    spk, mem = LIF()(torch.ones(3, 2, dtype=torch.bfloat16))
    assert spk.dtype == mem.dtype == torch.float32


def test_settings_are_checked():
    assert LIF(beta=1.7).beta == 1.0
    for wrong in (
        {"threshold": 0.0},
        {"reset_mechanism": "hard"},
        {"surrogate": "step"},
        {"surrogate_alpha": -1.0},
    ):
        with pytest.raises(InputError):
            LIF(**wrong)


def test_a_neuron_of_ones_own_needs_only_a_step():
    class Counter(Neuron):
        def step(self, current, state):
            mem = state["mem"] + current
            return (mem >= 3).float(), {"mem": mem}

    spk, mem = Counter()(torch.ones(4, 1))
    assert spk.flatten().tolist() == [0, 0, 1, 1]
    assert mem.flatten().tolist() == [1, 2, 3, 4]


def test_spike_count_by_hand():
    spk = torch.tensor([[[1.0, 0, 0]], [[0, 1.0, 0]]])
    mem = torch.tensor([[[2.0, 1.0, 0.0]], [[0.0, 2.0, 0.5]]])
    readout = SpikeCount()
    # Counts 1, 1, 0; summed membranes 2, 3, 0.5 have ranks 1, 2, 0: class 1 wins the tie.
    assert readout.scores((spk, mem)).tolist() == [[pytest.approx(1 + 1 / 6), pytest.approx(1 + 2 / 6), 0]]
    assert readout.ties((spk, mem)).tolist() == [True]
    labels = torch.tensor([1])
    per_step = torch.nn.functional.cross_entropy
    expected = (per_step(mem[0], labels) + per_step(mem[1], labels)) / 2
    torch.testing.assert_close(readout.loss((spk, mem), labels), expected)


def test_a_spike_outweighs_every_membrane():
    spk = torch.zeros(1, 1, 4)
    spk[0, 0, 2] = 1
    mem = torch.tensor([[[9.0, 8.0, -50.0, 7.0]]])
    assert SpikeCount().scores((spk, mem)).argmax(1).tolist() == [2]
    assert SpikeCount().ties((spk, mem)).tolist() == [False]


def test_logits_are_their_own_scores():
    logits = torch.tensor([[0.0, 2.0, 2.0], [1.0, 0.0, 0.0]])
    assert torch.equal(Logits().scores(logits), logits)
    assert Logits().ties(logits).tolist() == [True, False]
