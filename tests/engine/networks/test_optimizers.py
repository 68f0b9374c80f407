import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from spikeduel.engine.networks.training_step import Muon, Optimizer, TrainingRules


def ordered(values, channels_last):
    """A copy of weights of a convolution in one of the two orders of memory."""
    return values.clone(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )


def filters(channels_last, seed=0, shape=(8, 6, 3, 3)):
    """Drawn weights of a convolution."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return ordered(values, channels_last)


def stretched(channels_last, shape=(8, 6, 3, 3)):
    """A gradient some of whose directions are four times as long as others."""
    left, values, right = torch.linalg.svd(filters(False, 1, shape).flatten(1), full_matrices=False)
    gradient = left @ torch.diag(torch.linspace(1, 0.25, len(values))) @ right
    return ordered(gradient.view(shape), channels_last)


def a_step_of_muon(channels_last, learning_rate=0.1, weight_decay=0.0, shape=(8, 6, 3, 3)):
    """The weights before and after."""
    weights = filters(channels_last, shape=shape).requires_grad_()
    before = weights.detach().clone()
    weights.grad = stretched(channels_last, shape)
    place = weights.data_ptr()
    Muon([weights], learning_rate, weight_decay).step()
    assert weights.data_ptr() == place
    return before, weights.detach()


class Small(nn.Module):
    """A first, two hidden and a last layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.hidden = nn.Conv2d(4, 6, 3, padding=1)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.dense = nn.Linear(6 * 16, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, x):
        x = self.depthwise(torch.relu(self.hidden(torch.relu(self.norm(self.first(x))))))
        return self.last(torch.relu(self.dense(x.flatten(1))))


def small_network():
    torch.manual_seed(0)
    return Small().to(memory_format=torch.channels_last)


def take(module, optimizer, numbers):
    """A training step for each of `numbers`, from which its images are drawn; the losses."""
    losses = []
    for number in numbers:
        images = torch.randn(7, 1, 4, 4, generator=torch.Generator().manual_seed(number))
        loss = nn.functional.cross_entropy(module(images), torch.arange(7) % 3)
        module.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# ---- Muon


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(8, 6, 3, 3), (3, 16, 3, 3), (16, 2, 1, 1)], ids=str)
def test_a_step_of_a_filter_is_an_orthogonal_matrix(channels_last, shape):
    before, after = a_step_of_muon(channels_last, shape=shape)
    change, gradient = (after - before).flatten(1), stretched(channels_last, shape).flatten(1)
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)

    def likeness(one, other):
        return float(nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0))

    # The nearest orthogonal matrix, as near as three iterations come. The gradient itself is
    # farther away.
    assert likeness(change, -left @ right) > 0.97 > likeness(gradient, left @ right)
    values = torch.linalg.svdvals(change)
    assert values.max() / values.min() < 2


def test_weights_decay_apart_from_the_gradient():
    before, plain = a_step_of_muon(True, weight_decay=0.0)
    _, decayed = a_step_of_muon(True, weight_decay=0.5)
    torch.testing.assert_close(plain - decayed, before * 0.1 * 0.5, rtol=1e-4, atol=1e-6)


# ---- who trains what


def learners(optimizer):
    """Return, for each of torch's optimizers, its kind, weight decay and the number of weights in
    each group.
    """
    return [
        (
            type(part).__name__,
            [(group["weight_decay"], len(group["params"])) for group in part.param_groups],
        )
        for part in optimizer._optimizers
    ]


def test_muon_takes_hidden_filters_and_matrices_and_adamw_the_rest():
    module = small_network()
    optimizer = Optimizer(module, TrainingRules(weight_decay=0.3), 10)
    # AdamW: the first and last layer's weights and the depthwise filters decay; biases and norms do
    # not.
    assert learners(optimizer) == [("Muon", [(0.3, 2)]), ("AdamW", [(0.3, 3), (0.0, 6)])]
    before = copy.deepcopy(module.state_dict())
    take(module, optimizer, range(2))
    assert not any(torch.equal(value, before[name]) for name, value in module.named_parameters())


def test_frozen_weights_are_left_out():
    module = small_network()
    module.hidden.weight.requires_grad_(False)
    optimizer = Optimizer(module, TrainingRules(), 10)
    assert learners(optimizer)[0] == ("Muon", [(0.05, 1)])
    before = module.hidden.weight.detach().clone()
    take(module, optimizer, range(2))
    assert torch.equal(module.hidden.weight, before)


def test_adam_is_torchs_adam_at_one_rate():
    module, twin = small_network(), small_network()
    ours = Optimizer(module, TrainingRules("adam", 1e-2, schedule="constant"), 3)
    theirs = torch.optim.Adam(twin.parameters(), lr=1e-2, fused=True)
    assert take(module, ours, range(3)) == take(twin, theirs, range(3))


ALL_OPTIMIZERS = """
import sys
import torch
from spikeduel.engine.networks.training_step import Optimizer, TrainingRules
module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
for name in ("adam", "adamw", "muon"):
    optimizer = Optimizer(module, TrainingRules(name), 2)
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""


def test_no_optimizer_loads_the_compiler():
    """It takes as long to load as torch."""
    assert subprocess.run([sys.executable, "-c", ALL_OPTIMIZERS], check=False).returncode == 0


# ---- the schedule


def rates(num_steps, **changes):
    """The learning rate of each step."""
    module = nn.Linear(2, 2)
    optimizer = Optimizer(
        module, TrainingRules(optimizer="adamw", learning_rate=1.0, **changes), num_steps
    )
    rates_of_steps = []
    for _ in range(num_steps):
        module.weight.grad, module.bias.grad = torch.ones(2, 2), torch.ones(2)
        optimizer.step()
        groups = [group["lr"] for part in optimizer._optimizers for group in part.param_groups]
        assert len(set(groups)) == 1
        rates_of_steps.append(groups[0])
    return rates_of_steps


def test_the_rate_rises_for_a_fifth_and_falls_to_zero():
    assert rates(10) == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    assert rates(10, schedule="constant") == [1.0] * 10


# ---- going on


@pytest.mark.parametrize(
    "changes",
    [{}, {"optimizer": "adamw"}, {"optimizer": "adam", "schedule": "constant"}],
    ids=str,
)
@pytest.mark.parametrize("stop", [1, 7])
def test_saved_and_loaded_it_goes_on_to_the_same_numbers(changes, stop, tmp_path):
    module, again, rules = small_network(), small_network(), TrainingRules(**changes)
    optimizer, resumed = Optimizer(module, rules, 12), Optimizer(again, rules, 12)
    take(module, optimizer, range(stop))
    # As a checkpoint keeps it.
    torch.save((module.state_dict(), optimizer.state_dict()), tmp_path / "c.pt")
    weights, state = torch.load(tmp_path / "c.pt", weights_only=True)
    again.load_state_dict(weights)
    resumed.load_state_dict(state)
    expected = take(module, optimizer, range(stop, 12))
    assert take(again, resumed, range(stop, 12)) == expected
    assert len(set(expected)) == len(expected)
    torch.testing.assert_close(again.state_dict(), module.state_dict(), rtol=0, atol=0)
