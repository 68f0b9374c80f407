"""Losses by hand: networks that give fixed answers, whatever they see."""

import copy
from math import log

import numpy as np
import pytest
import torch
from torch import nn

from made_models import make
from spikeduel.data import Preprocessing
from spikeduel.networks.models import Model, ModelCard
from spikeduel.networks.training_step import COUNTED_AT_ONCE, TrainingStep
from spikeduel.results.trials import Calling
from spikeduel.settings.recipes import strong
from spikeduel.spiking.neurons import LIF
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import LogitReadout, MeanReadout

P, Q = (0.5, 0.3, 0.2), (0.2, 0.2, 0.6)
IMAGES = torch.tensor([0, 51], dtype=torch.uint8).view(2, 1, 1, 1)
LABELS = torch.tensor([0, 2])
KEYS = RandomKeys.for_training(0, 0, np.arange(2))


class Fixed(nn.Module):
    """Gives the logarithms of these probabilities, and remembers what it saw."""

    readout = LogitReadout()

    def __init__(self, probabilities):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probabilities).log())
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return self.logits.expand(len(x), -1)


class FixedInTime(Fixed):
    """The same with a row of probabilities for each time step."""

    readout = MeanReadout()

    def forward(self, x):
        self.seen.append(x.num_steps)
        return self.logits[: x.num_steps, None].expand(-1, len(x.value), -1)


def model(module, num_steps=None, foreign=None):
    card = ModelCard(
        contender="made up",
        family="cnn" if num_steps is None else "snn",
        image_shape=(1, 1, 1),
        classes=("a", "b", "c"),
        preprocessing=Preprocessing(1, 1, 1),
        network={},
        encoding=None if num_steps is None else "direct",
        num_steps=num_steps,
        foreign=foreign,
    )
    return Model(module, card)


def experiment(**changes):
    return strong("digits", **{"label_smoothing": 0.0, "learning_rate": 1e-3, **changes})


def learned(module, changes, twin=None, targets=None):
    """The loss, and the gradient of the logits."""
    step = TrainingStep(model(module), experiment(**changes), 10, twin and model(twin))
    loss = step(IMAGES, LABELS, KEYS, targets)
    assert not loss.requires_grad
    return loss.item(), module.logits.grad


def cross_entropy(target, probabilities=P):
    return -sum(share * log(p) for share, p in zip(target, probabilities, strict=True))


CERTAIN = ((1, 0, 0), (0, 0, 1))
SMOOTHED = ((0.8, 0.1, 0.1), (0.1, 0.1, 0.8))
TAUGHT = ((0.6, 0.1, 0.3), (0.1, 0.1, 0.8))
BOTH = ((0.5, 0.15, 0.35), (0.15, 0.15, 0.7))


@pytest.mark.parametrize(
    ("changes", "targets"),
    [
        ({}, CERTAIN),
        ({"label_smoothing": 0.3}, SMOOTHED),
        ({"distillation": 0.5}, TAUGHT),
        ({"label_smoothing": 0.3, "distillation": 0.5}, BOTH),
    ],
    ids=str,
)
def test_labels_are_smoothed_and_mixed_with_the_twins_answers(changes, targets):
    loss, gradient = learned(Fixed(P), changes, Fixed(Q))
    assert loss == pytest.approx(np.mean([cross_entropy(target) for target in targets]), rel=1e-6)
    # That of a softmax: what is answered less what is to be learned.
    torch.testing.assert_close(
        gradient, torch.tensor(P) - torch.tensor(targets, dtype=torch.float32).mean(0)
    )


def test_probabilities_of_classes_take_the_place_of_labels():
    given = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]])
    loss, _ = learned(Fixed(P), {}, targets=given)
    assert loss == pytest.approx(
        np.mean([cross_entropy(target) for target in given.tolist()]), rel=1e-6
    )
    loss, _ = learned(Fixed(P), {"label_smoothing": 0.3}, targets=given)
    smoothed = [(0.275, 0.625, 0.1), (0.1, 0.1, 0.8)]
    assert loss == pytest.approx(np.mean([cross_entropy(target) for target in smoothed]), rel=1e-6)


def test_right_answers_are_those_by_the_labels_whatever_is_learned():
    step = TrainingStep(model(Fixed(P)), experiment(label_smoothing=0.5), 10)
    step(IMAGES, LABELS, KEYS, torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]))
    assert step.num_right() == 1


def test_the_twin_sees_the_same_images_and_learns_nothing():
    pupil, twin = Fixed(P), Fixed(Q)
    before = twin.logits.detach().clone()
    learned(pupil, {"distillation": 0.5}, twin)
    (seen,) = twin.seen
    assert torch.equal(seen, torch.tensor([0, 0.2]).view(2, 1, 1, 1))
    assert torch.equal(twin.logits, before)
    assert twin.logits.grad is None


def test_without_distillation_the_twin_is_not_asked():
    twin = Fixed(Q)
    learned(Fixed(P), {"label_smoothing": 0.3}, twin)
    assert twin.seen == []


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_loss_is_that_of_each_time_step(share):
    step = TrainingStep(model(FixedInTime([P, Q]), 2), experiment(per_step_loss=share), 10)
    loss = step(IMAGES, LABELS, KEYS).item()
    # The mean of logarithms is that of the geometric mean.
    middle = np.sqrt(np.multiply(P, Q))
    whole = np.mean([cross_entropy(target, middle / middle.sum()) for target in CERTAIN])
    single = np.mean([cross_entropy(target, each) for target in CERTAIN for each in (P, Q)])
    assert loss == pytest.approx((1 - share) * whole + share * single, rel=1e-6)


def test_each_time_step_learns_from_smoothed_labels():
    step = TrainingStep(
        model(FixedInTime([P, Q]), 2), experiment(per_step_loss=1.0, label_smoothing=0.3), 10
    )
    loss = step(IMAGES, LABELS, KEYS).item()
    assert loss == pytest.approx(
        np.mean([cross_entropy(t, each) for t in SMOOTHED for each in (P, Q)]), rel=1e-6
    )


def test_what_has_no_time_has_no_loss_of_single_steps():
    assert learned(Fixed(P), {"per_step_loss": 1.0})[0] == learned(Fixed(P), {})[0]


def steps_taken(first_steps, num_steps=4, total=9, **given):
    module = FixedInTime([P] * 8)
    step = TrainingStep(
        model(module, num_steps, **given), experiment(first_steps=first_steps), total
    )
    for _ in range(total):
        step(IMAGES, LABELS, KEYS)
    # Counted together, although they are not equally long.
    assert step.num_right() == total
    return module.seen


def test_time_grows_with_the_training():
    assert steps_taken((1, 2)) == [1] * 3 + [2] * 3 + [4] * 3
    assert steps_taken((2,), total=5) == [2] * 3 + [4] * 2
    assert steps_taken(()) == [4] * 9
    # Over what is counted at once, too.
    assert steps_taken((1,), total=2 * COUNTED_AT_ONCE + 3)[-1] == 4


def test_time_never_grows_beyond_that_of_the_network():
    assert steps_taken((8, 2)) == [4] * 3 + [2] * 3 + [4] * 3
    # A network of another library counts its steps itself.
    assert steps_taken((1,), foreign=Calling("loop", False, "scores", num_steps=4)) == [4] * 9


@pytest.mark.parametrize(("first", "expected"), [(None, [2.0] * 4), (1.0, [1.0, 1.25, 1.5, 1.75])])
def test_surrogates_go_evenly_from_their_first_width_to_their_own(first, expected):
    module, alphas = FixedInTime([P, Q]), []
    module.neuron = LIF()
    module.register_forward_pre_hook(lambda *_: alphas.append(module.neuron.surrogate_alpha))
    step = TrainingStep(model(module, 2), experiment(first_surrogate_alpha=first), 4)
    for _ in range(4):
        step(IMAGES, LABELS, KEYS)
    assert alphas == expected


def test_what_has_no_time_does_not_grow():
    module = Fixed(P)
    step = TrainingStep(model(module), experiment(first_steps=(1, 2)), 3)
    for _ in range(3):
        step(IMAGES, LABELS, KEYS)
    assert [tuple(each.shape) for each in module.seen] == [(2, 1, 1, 1)] * 3


SPIKING = {
    "network": {"hidden": 12, "neuron": "lif"},
    "family": "snn",
    "encoding": "direct",
    "num_steps": 4,
}


@pytest.mark.parametrize(("contender", "changes"), [("dense-relu", {}), ("dense-lif", SPIKING)])
def test_a_last_batch_of_one_image_is_learned_from_too(contender, changes):
    """It has no variance: batch norm keeps to its running statistics."""
    given = make(contender, **changes)
    images = torch.randint(0, 256, (3, *given.card.image_shape), dtype=torch.uint8)
    keys = RandomKeys.for_training(0, 0, np.arange(3))
    step = TrainingStep(given, experiment(), 10)
    given.module.train()
    step(images, torch.arange(3), keys)
    before = copy.deepcopy(given.module.state_dict())
    step(images[:1], torch.zeros(1, dtype=torch.int64), RandomKeys(keys.values[:1]))
    after = given.module.state_dict()
    changed = {
        name
        for name, value in after.items()
        if value.dim() and not torch.equal(value, before[name])
    }
    assert changed == {name for name, _ in given.module.named_parameters()}
    assert all(layer.training for layer in given.module.modules())


def test_what_a_network_itself_refuses_stays_an_error():
    class Refusing(Fixed):
        def forward(self, x):
            raise ValueError("not this")

    step = TrainingStep(model(Refusing(P)), experiment(), 10)
    for size in (1, 2):
        with pytest.raises(ValueError, match="not this"):
            step(IMAGES[:size], LABELS[:size], RandomKeys(KEYS.values[:size]))


def test_running_statistics_soon_forget_what_they_began_with():
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(1), nn.Linear(1, 3))
    module.readout = LogitReadout()
    norm = module[1]
    norm.running_mean.fill_(100.0)
    step = TrainingStep(model(module), experiment(), 60)
    means = []
    for _ in range(50):
        step(IMAGES, LABELS, KEYS)
        means.append(norm.running_mean.item())
    assert means == pytest.approx([0.1] * 50)  # of 0 and 51 of 255
    assert norm.momentum == 0.1
