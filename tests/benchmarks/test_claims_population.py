"""snnTorch's population code: its accuracy is snnTorch's own, and ties are decided as said."""

import pytest
import torch
from snntorch import functional
from torch import nn

from benchmarks.claims import claims_population


@pytest.mark.parametrize(("num_outputs", "weights"), [(10, 101_770), (500, 164_980)])
def test_the_networks_have_the_weights_of_the_tutorial(num_outputs, weights):
    network = claims_population.network(num_outputs)
    assert sum(weight.numel() for weight in network.parameters()) == weights


@pytest.mark.parametrize("num_outputs", [10, 500])
def test_the_accuracy_is_that_of_snntorch(num_outputs):
    random = torch.Generator().manual_seed(0)
    spikes = (torch.rand(300, num_outputs, generator=random) < 0.3).float()
    labels = torch.randint(10, (300,), generator=random)
    options = {"population_code": True, "num_classes": 10} if num_outputs > 10 else {}
    theirs = functional.accuracy_rate(spikes[None], labels, **options)
    counts = claims_population.by_class(spikes)
    assert claims_population.accuracies(counts, counts, labels)["accuracy"] == theirs


def test_ties_go_to_the_first_class_or_to_the_highest_membrane():
    counts = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    membranes = torch.tensor([[0.2, 0.7, 0.9], [0.0, 0.1, 0.9]])
    found = claims_population.accuracies(counts, membranes, torch.tensor([1, 1]))
    assert found == {"accuracy": 0.5, "by_membrane": 1.0, "tied": 0.5}


def test_a_training_learns_and_can_be_repeated():
    labels = torch.arange(10).repeat(128)
    images = torch.eye(10).repeat_interleave(78, dim=1)[labels]  # bright pixels of its own a class
    images = nn.functional.pad(images, (0, 4)).view(-1, 1, 28, 28)
    part = (images, labels)
    history = claims_population.train(500, part, part, seed=0)
    assert len(history) == claims_population.EPOCHS
    assert history[-1]["accuracy"] > 0.5
    assert claims_population.train(500, part, part, seed=0) == history
