import numpy as np
import pytest
import torch
from torch import nn

from spikeduel.data import Preprocessing
from spikeduel.measuring.corruptions import CORRUPTIONS, corrupt
from spikeduel.measuring.robustness import NAMES, Corrupted, measures, summary
from spikeduel.networks.models import Model, ModelCard
from spikeduel.results.trials import CorruptedAccuracies
from spikeduel.system.progress import Progress

CARD = ModelCard("by-brightness", "cnn", (1, 20, 20), ("dark", "bright"), Preprocessing(1, 20, 20), {})


class ByBrightness(nn.Module):
    """Answers by the brightest pixel: more than 0.8 or not."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        brightest = x.flatten(1).amax(1)
        return torch.stack((torch.full_like(brightest, 0.8), brightest), 1)


@pytest.fixture
def squares():
    """Squares in the middle of black images, every second one bright; in two batches."""
    labels = torch.arange(40) % 2
    images = torch.zeros(40, 1, 20, 20, dtype=torch.uint8)
    images[:, :, 7:13, 7:13] = torch.where(labels == 1, 250, 120)[:, None, None, None].to(torch.uint8)
    index = np.arange(40)
    return [(images[part], labels[part], index[part]) for part in (slice(0, 15), slice(15, 40))]


def test_a_planted_model_breaks_where_it_must(squares):
    model = Model(ByBrightness(), CARD)
    asked = measures({}, Progress(), "planted")
    found = {name: measure(model, squares) for name, measure in asked.items()}
    accuracies = {name: found[f"robustness-{name}"].accuracies for name in CORRUPTIONS}
    # A square that only moves or turns stays as bright as it was.
    assert accuracies["translation"] == [1.0] * 5
    assert accuracies["rotation"] == [1.0] * 5
    # Without contrast, no image is bright any more: half of the answers are right.
    assert accuracies["contrast"][-1] == 0.5
    # With noise, every image has a pixel that is.
    assert accuracies["noise"][-1] == 0.5
    assert all(len(each) == 5 for each in accuracies.values())
    assert all(entry.n == 40 for entry in found.values())
    assert summary(1.0, found).area["contrast"] < 0.8


def test_corrupted_batches_can_be_iterated_again_and_keep_labels(squares):
    batches = Corrupted(squares, "noise", 3)
    first, second = list(batches), list(batches)
    for (images, labels, index), (again, _, _), (before, expected, rows) in zip(first, second, squares, strict=True):
        assert torch.equal(images, again)
        assert torch.equal(images, corrupt("noise", before, 3, rows))
        assert torch.equal(labels, expected)
        assert np.array_equal(index, rows)


def test_progress_says_whose_turn_it_is(squares):
    class Telling(Progress):
        said: tuple = ()

        def track(self, items, description, total=None):
            self.said += ((description, total),)
            return items

    progress = Telling()
    measures({}, progress, "planted, seed 3")["robustness-jpeg"](Model(ByBrightness(), CARD), squares)
    assert progress.said == (("  planted, seed 3, jpeg 1 to 5", 5),)


def test_an_alteration_is_asked_once_and_in_its_own_images(squares):
    altered = {"altered-hard": squares[:1]}
    measure = measures(altered, Progress(), "")["robustness-altered-hard"]
    assert measure(Model(ByBrightness(), CARD), squares) == CorruptedAccuracies(n=15, accuracies=[1.0])
    assert set(measures(altered, Progress(), "")) <= set(NAMES)


def test_summary_by_hand():
    measured = {
        f"robustness-{name}": CorruptedAccuracies(n=10, accuracies=[0.8, 0.7, 0.6, 0.5, 0.4]) for name in CORRUPTIONS
    }
    measured["robustness-noise"] = CorruptedAccuracies(n=10, accuracies=[0.1] * 5)
    measured["robustness-altered-medium"] = CorruptedAccuracies(n=7, accuracies=[0.3])
    found = summary(0.8, {**measured, "classification": {"accuracy": 0.8}})
    assert found.clean == 0.8
    assert found.corruptions["altered-medium"] == [0.3]
    assert found.area["blur"] == pytest.approx(0.6)
    assert found.relative["noise"] == pytest.approx(0.125)
    # The alteration is none of the seven.
    assert found.mean == pytest.approx((0.1 + 6 * 0.6) / 7)
    assert found.mean_relative == pytest.approx(found.mean / 0.8)
    assert found.images == {**dict.fromkeys(CORRUPTIONS, 10), "altered-medium": 7}


def test_what_was_not_measured_is_none():
    assert summary(0.8, {"classification": {}}) is None
    found = summary(0.0, {"robustness-blur": CorruptedAccuracies(n=5, accuracies=[0.2] * 5)})
    assert found.mean is None
    assert found.relative == {"blur": None}
