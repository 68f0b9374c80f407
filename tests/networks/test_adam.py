"""Adam in one pass: what PyTorch's does but for rounding, and bf16 copies that are those of the
weights.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from speed.networks import card_of
from speed.workloads import Workload, batch
from spikeduel.networks.adam import Adam, Bf16Copies, adam
from spikeduel.networks.building import build
from spikeduel.networks.models import Model
from spikeduel.networks.training_step import TrainingStep
from spikeduel.settings.recipes import baseline
from spikeduel.spiking.kernels import cpu
from spikeduel.spiking.random_keys import RandomKeys

WORKLOADS = [
    Workload("dense", "dense", 12, "direct", 3, batch_size=4, hidden=8),
    Workload("conv", "conv", 12, "direct", 3, batch_size=4, hidden=8),
    Workload("cnn", "cnn", 12, batch_size=4, hidden=8),
]


@pytest.fixture(params=[1, 2])
def threads(request, monkeypatch):
    monkeypatch.setattr(cpu, "SMALLEST_PART", 16)
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def weights_of(seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 37), (), (5, 4, 3, 3)]
    weights = [torch.randn(shape, generator=generator) for shape in shapes]
    weights[2] = weights[2].contiguous(memory_format=torch.channels_last)
    return [nn.Parameter(each) for each in weights]


def give_gradients(weights, seed):
    generator = torch.Generator().manual_seed(seed)
    for each in weights:
        each.grad = torch.randn(each.shape, generator=generator) * 10.0 ** (seed % 4 - 2)


def test_it_goes_where_pytorchs_goes(threads):
    """Also where a scheduler changes the rate between steps."""
    ours, theirs = weights_of(), weights_of()
    optimizer, other = Adam(ours, 1e-2), torch.optim.Adam(theirs, 1e-2)
    for step in range(8):
        for group in (*optimizer.param_groups, *other.param_groups):
            group["lr"] = 1e-2 / (1 + step)
        for weights, one in ((ours, optimizer), (theirs, other)):
            give_gradients(weights, step)
            one.step()
    for one, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, expected, rtol=1e-5, atol=1e-6)


def test_one_step_by_hand():
    """The first step is of the rate's size against the gradient; the second has means 0.1·0.9·2 −
    0.1·1 = 0.08 and
    0.001·(0.999·4 + 1) = 0.004996, over 1 − 0.9² = 0.19 and 1 − 0.999² = 0.001999.
    """
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = Adam([weight], 0.5)
    weight.grad = torch.tensor([2.0])
    optimizer.step()
    assert weight.item() == pytest.approx(0.5)
    weight.grad = torch.tensor([-1.0])
    optimizer.step()
    assert weight.item() == pytest.approx(0.5 - 0.5 * (0.08 / 0.19) / (0.004996 / 0.001999) ** 0.5)


def test_the_number_of_threads_changes_nothing(monkeypatch):
    monkeypatch.setattr(cpu, "SMALLEST_PART", 16)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        weights = weights_of()
        optimizer = Adam(weights, 1e-2)
        for step in range(3):
            give_gradients(weights, step)
            optimizer.step()
        results.append(weights)
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_its_state_goes_on_and_is_pytorchs():
    ours, resumed, theirs = weights_of(), weights_of(), weights_of()
    whole, first = Adam(ours, 1e-2), Adam(resumed, 1e-2)
    for step in range(4):
        for weights, optimizer in ((ours, whole), (resumed, first)):
            give_gradients(weights, step)
            optimizer.step()
        if step == 1:
            state, first = first.state_dict(), Adam(resumed, 1e-2)
            first.load_state_dict(state)
            torch.optim.Adam(theirs, 1e-2).load_state_dict(
                {**state, "param_groups": whole.state_dict()["param_groups"]}
            )
    assert all(torch.equal(a, b) for a, b in zip(ours, resumed, strict=True))


def test_weights_without_a_gradient_stay():
    weights = weights_of()
    before = weights[0].detach().clone()
    give_gradients(weights[1:], 0)
    Adam(weights, 1e-2).step()
    assert torch.equal(weights[0], before)


@pytest.mark.parametrize("other", [torch.zeros(3, dtype=torch.float64), torch.zeros(4, 6)[:, ::2]])
def test_what_it_does_not_take_is_pytorchs(other):
    assert isinstance(adam([nn.Parameter(torch.zeros(3))], 1e-2), Adam)
    assert type(adam([nn.Parameter(torch.zeros(3)), nn.Parameter(other)], 1e-2)) is torch.optim.Adam


# ---- the copies


def step_of(workload, precision="bf16"):
    torch.manual_seed(0)
    card = replace(card_of(workload), precision=precision)
    experiment = replace(baseline(), learning_rate=1e-2)
    return TrainingStep(Model(build(card), card, precision), experiment, num_steps=1)


def train(step, workload, num_steps, first=0):
    images, labels = batch(workload)
    keys = [RandomKeys.for_training(0, first + t, np.arange(len(labels))) for t in range(num_steps)]
    return [step(images, labels, each).item() for each in keys]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_copies_change_no_number(workload, threads, monkeypatch):
    """The product takes a weight rounded to bf16 either way, and its gradient is bf16's."""
    with_copies = step_of(workload)
    assert with_copies.optimizer.copies
    found = train(with_copies, workload, 4)
    monkeypatch.setattr(Bf16Copies, "__init__", no_copies)
    without = step_of(workload)
    assert train(without, workload, 4) == found
    for a, b in zip(with_copies.optimizer.weights, without.optimizer.weights, strict=True):
        assert torch.equal(a, b)


def no_copies(self, model):
    self.weights, self.by_name, self._versions = {}, {}, {}


def test_copies_follow_their_weights():
    step = step_of(WORKLOADS[2])
    train(step, WORKLOADS[2], 2)
    for changed in (
        lambda: None,
        lambda: [each.detach().mul_(2) for each in step.optimizer.weights],
    ):
        changed()
        copies = step.optimizer.copies
        assert {name: copy.tolist() for name, copy in copies.items()} == {
            name: weight.bfloat16().tolist() for name, weight in step.module.named_parameters()
        }


def test_there_are_none_where_weights_may_be_used_otherwise():
    workload = WORKLOADS[0]
    step = step_of(workload)
    card = step.model.card
    assert Bf16Copies(step.model).by_name.keys() == dict(step.module.named_parameters()).keys()
    assert not Bf16Copies(Model(step.module, card, "32")).by_name
    assert not Bf16Copies(
        Model(nn.Sequential(nn.Flatten(), nn.Linear(144, 10)), card, "bf16")
    ).by_name


@pytest.mark.parametrize("workload", WORKLOADS[::2], ids=lambda workload: workload.name)
def test_resumed_it_ends_in_the_same_numbers(workload):
    whole, first, second = step_of(workload), step_of(workload), step_of(workload)
    expected = train(whole, workload, 4)
    assert train(first, workload, 2) == expected[:2]
    second.module.load_state_dict(first.module.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    assert train(second, workload, 2, first=2) == expected[2:]
