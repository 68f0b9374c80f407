import pytest
import torch

from spikeduel.engine import ConstantInput, over_time
from spikeduel.engine.neurons import (
    ALIF,
    LIF,
    NEURONS,
    PLIF,
    IntegerIF,
    Neuron,
    QuantisedReLU,
    carried_state,
    quantised,
)
from spikeduel.system.errors import InputError


@pytest.mark.parametrize("name", NEURONS)
def test_forward_equals_its_own_steps(name, generator):
    neuron = NEURONS[name]()
    current = torch.randn(6, 3, 5, generator=generator)
    state = neuron.initial_state(current[0])
    for now, *expected in zip(current, *neuron(current), strict=True):
        spk, state = neuron.step(now, state)
        assert all(map(torch.equal, (spk, state["mem"]), expected))


@pytest.mark.parametrize("name", NEURONS)
def test_a_constant_equals_its_sequence_and_calls_are_independent(name, generator):
    neuron = NEURONS[name]()
    value = torch.rand(4, 7, generator=generator, requires_grad=True)
    spk, mem = neuron(ConstantInput(value, 9))
    torch.testing.assert_close((spk, mem), neuron(value.expand(9, 4, 7)), rtol=0, atol=0)
    assert spk.shape == (9, 4, 7)
    (spk.sum() + mem.sum()).backward()
    assert value.grad.abs().sum() > 0


def test_plif_learns_its_decay():
    neuron = PLIF(beta=0.8, threshold=10)
    assert neuron.beta.item() == pytest.approx(0.8)
    _, mem = neuron(torch.ones(2, 1))
    assert mem[1].item() == pytest.approx(1.8)
    mem[1].sum().backward()
    # d(beta·1 + 1)/d logit = beta·(1 − beta)
    assert neuron.beta_logit.grad.item() == pytest.approx(0.16)
    assert "beta=0.8" in repr(neuron)


@pytest.mark.parametrize(
    ("neuron", "wrong", "problem"),
    [
        (PLIF, {"beta": 0.0}, "between 0 and 1"),
        (PLIF, {"beta": 1.0}, "between 0 and 1"),
        (ALIF, {"adaptation_decay": 1.5}, "adaptation_decay"),
        (QuantisedReLU, {"activation_bits": 0}, "activation_bits must be at least 1"),
        (LIF, {"threshold": 0.0}, "threshold"),
        (LIF, {"reset_mechanism": "substract"}, "did you mean 'subtract'"),
        (LIF, {"surrogate": "step"}, "surrogate"),
        (LIF, {"surrogate_alpha": -1.0}, "surrogate"),
    ],
)
def test_settings_are_checked_and_named(neuron, wrong, problem):
    with pytest.raises(InputError, match=problem):
        neuron(**wrong)


def test_alif_by_hand():
    # Input 1.5 at each step, no leak in effect (beta 0): without adaptation it fires always.
    # Levels: 1; after a spike 1 + 1·1 = 2 (silent); 1 + 0.5 = 1.5 (1.5 is not above it); 1.25:
    # fires; 1.125 + 1.
    neuron = ALIF(beta=0.0, reset_mechanism="none", adaptation_decay=0.5, adaptation_gain=1.0)
    spk, _ = neuron(torch.full((5, 1), 1.5))
    assert spk.flatten().tolist() == [1, 0, 0, 1, 0]
    assert neuron.dynamics.adaptation == (0.5, 1.0)


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("constant", [False, True])
def test_going_on_from_a_state_equals_going_through(name, constant, generator):
    network = torch.nn.Sequential(NEURONS[name]())
    values = torch.randn(7, 2, 3, generator=generator) + 0.4
    whole = values[:1].expand(7, 2, 3) if constant else values
    expected, state, parts = network(whole), {}, []
    for window in (slice(0, 3), slice(3, 4), slice(4, 7)):
        part = ConstantInput(values[0], window.stop - window.start) if constant else whole[window]
        with carried_state(network, state) as after:
            parts.append(network(part))
        state = after
    for joined, one in zip(zip(*parts, strict=True), expected, strict=True):
        assert torch.equal(torch.cat(joined), one)
    # Outside, nothing is carried on.
    assert torch.equal(network(whole)[1], expected[1])


@pytest.mark.parametrize("name", NEURONS)
def test_gradients_go_through_a_carried_state(name, generator):
    current = (torch.randn(6, 4, generator=generator) + 0.3).requires_grad_()
    network = torch.nn.Sequential(NEURONS[name]())
    expected = torch.autograd.grad(network(current)[0].square().sum(), current)
    with carried_state(network, {}) as state:
        first = network(current[:2])[0]
    with carried_state(network, state):
        second = network(current[2:])[0]
    loss = torch.cat([first, second]).square().sum()
    torch.testing.assert_close(torch.autograd.grad(loss, current), expected)


def test_a_layer_used_twice_cannot_be_carried():
    neuron = LIF()
    twice = torch.nn.Sequential(neuron)
    with pytest.raises(InputError, match="layer of its own"), carried_state(twice, {}):
        neuron(torch.ones(1, 2))
        neuron(torch.ones(1, 2))


# PyTorch warns of what its own compiler does.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiled_network_says_that_it_cannot_go_on():
    network = torch.nn.Sequential(LIF())
    compiled = torch.compile(network, backend="eager")
    with pytest.raises(InputError, match="compiled"), carried_state(network, {}):
        compiled(torch.ones(1, 2))
    torch._dynamo.reset()


def test_a_neuron_of_ones_own_needs_only_a_step():
    class Counter(Neuron):
        def step(self, current, state):
            mem = state["mem"] + current
            return (mem >= 3).float(), {"mem": mem}

    spk, mem = Counter()(torch.ones(4, 1))
    assert spk.flatten().tolist() == [0, 0, 1, 1]
    assert mem.flatten().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("bits", [1, 3, 5])
def test_a_quantised_relu_has_at_most_two_to_the_bits_values_also_after_training(bits, generator):
    neuron = QuantisedReLU(activation_bits=bits)
    assert neuron.level_step.item() == pytest.approx(1 / (2**bits - 1))
    optimizer = torch.optim.Adam(neuron.parameters(), lr=0.02)
    current = torch.randn(1, 500, generator=generator) * 3
    for _ in range(20):
        optimizer.zero_grad()
        (neuron(current)[0] - current.relu()).square().mean().backward()
        optimizer.step()
    spk, _ = neuron(current)
    assert 1 < len(spk.unique()) <= 2**bits
    # Its levels have widened to reach the currents.
    assert neuron.level_step.item() > 1.2 / (2**bits - 1)


def test_a_quantised_relu_keeps_the_type_and_starts_at_the_threshold():
    neuron = QuantisedReLU(threshold=2.0, activation_bits=2)
    spk, mem = neuron(torch.tensor([[0.5, 9.0]], dtype=torch.bfloat16))
    assert (spk.dtype, mem.dtype) == (torch.bfloat16, torch.float32)
    assert spk.flatten().tolist() == pytest.approx([2 / 3, 2.0], rel=0.01)


def test_quantised_by_hand():
    x = torch.tensor([-1.0, 0.2, 0.3, 0.6, 1.4, 2.0])
    # Two bits: 0, 0.5, 1 and 1.5.
    assert quantised(x, torch.tensor(0.5), 2).tolist() == [0, 0, 0.5, 0.5, 1.5, 1.5]


def test_the_gradients_are_those_of_learned_step_size_quantisation():
    x = torch.tensor([-1.0, 0.3, 0.6, 9.0], requires_grad=True)
    step = torch.tensor(0.5, requires_grad=True)
    quantised(x, step, 2).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]
    # Esser et al. 2020, equation 3: round(x/s) − x/s within the levels, 0 below them, the highest
    # level above.
    assert step.grad.item() == pytest.approx(0 + (1 - 0.6) + (1 - 1.2) + 3)


def test_over_time_computes_a_constant_once():
    calls = []

    def layer(x):
        calls.append(x.shape)
        return x + 1

    mapped = over_time(layer, ConstantInput(torch.zeros(5, 3), 7))
    assert isinstance(mapped, ConstantInput)
    assert mapped.num_steps == 7
    assert calls == [torch.Size([5, 3])]
    assert torch.equal(mapped.expand(), torch.ones(7, 5, 3))


# ---- integer neurons


@pytest.mark.parametrize("num_steps", [1, 3, 4])
def test_integer_neurons_integrate_all_steps_and_then_fire_like_if(num_steps, generator):
    current = torch.randn(num_steps, 50, generator=generator) * 1.5 + 0.4
    spk, mem = IntegerIF().eval()(current)
    potential, expected = current.sum(0) + 0.5, []
    for _ in range(num_steps):
        expected.append(potential > 1)
        torch.testing.assert_close(mem[len(expected) - 1], potential)
        potential = potential - 1
    assert torch.equal(spk, torch.stack(expected).float())
    counts = spk.sum(0)
    assert {0, num_steps} <= {*counts.tolist()}
    torch.testing.assert_close(counts, current.sum(0).round().clamp(0, num_steps))


def test_integer_neurons_learn_by_the_share_of_steps_with_a_spike(generator):
    value = torch.randn(40, generator=generator).requires_grad_()
    neuron = IntegerIF().train()
    shares, _ = neuron(ConstantInput(value, 4))
    assert isinstance(shares, ConstantInput)
    assert shares.num_steps == 4
    spk, _ = neuron.eval()(ConstantInput(value, 4))
    assert torch.equal(shares.value, spk.mean(0))
    weights = torch.arange(40.0)
    for result in (shares.value, spk.mean(0)):
        (gradient,) = torch.autograd.grad((result * weights).sum(), value, retain_graph=True)
        passes = (value >= -1 / 8) & (value <= 9 / 8)
        assert torch.equal(gradient, weights * passes)


def test_max_pooling_of_integer_spikes_is_that_of_their_counts(generator):
    spk, _ = IntegerIF().eval()(2 * torch.rand(5, 2, 3, 4, 4, generator=generator) - 0.7)
    pooled = over_time(torch.nn.MaxPool2d(2), spk)
    assert torch.equal(pooled.sum(0), torch.nn.functional.max_pool2d(spk.sum(0), 2))
    assert len(pooled.sum(0).unique()) > 3


def test_integer_neurons_cannot_stream():
    network = torch.nn.Sequential(IntegerIF()).eval()
    with pytest.raises(InputError, match="integrates all time steps"), carried_state(network, {}):
        network(torch.rand(1, 3))
