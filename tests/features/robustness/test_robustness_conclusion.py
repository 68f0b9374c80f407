import numpy as np
import pytest
import torch
from torch import nn

import factories
from made_models import card
from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.corruptions import CORRUPTIONS
from spikeduel.experiment.recipes import baseline
from spikeduel.experiment.settings import Experiment
from spikeduel.features.robustness.corrupted_accuracy import measures
from spikeduel.features.robustness.robustness_conclusion import (
    NUM_CORRUPTIONS,
    CorruptedAccuracies,
    conclude,
    conclude_model,
    tables,
)
from spikeduel.sentences.columns import text_rows
from spikeduel.system import typed
from spikeduel.system.progress import Progress

CARD = card("by-brightness", (1, 20, 20), ("dark", "bright"))


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
    images[:, :, 7:13, 7:13] = torch.where(labels == 1, 250, 120)[:, None, None, None].to(
        torch.uint8
    )
    index = np.arange(40)
    return [(images[part], labels[part], index[part]) for part in (slice(0, 15), slice(15, 40))]


def test_a_planted_model_breaks_where_it_must(squares):
    model = Model(ByBrightness(), CARD)
    asked = measures(Experiment(robustness=True), Progress(), "planted")
    measured = {name: measure.take(model, squares) for name, measure in asked.items()}
    accuracies = {name: measured[f"robustness-{name}"].accuracies for name in CORRUPTIONS}
    # A square that only moves or turns stays as bright as it was.
    assert accuracies["translation"] == [1.0] * 5
    assert accuracies["rotation"] == [1.0] * 5
    # Without contrast, no image is bright any more: half of the answers are right.
    assert accuracies["contrast"][-1] == 0.5
    # With noise, every image has a pixel that is.
    assert accuracies["noise"][-1] == 0.5
    assert all(len(by_severity) == 5 for by_severity in accuracies.values())
    assert all(entry.n == 40 for entry in measured.values())


def test_nothing_is_measured_without_the_setting():
    assert measures(Experiment(), Progress(), "none") == {}


def measured_of(**ends):
    """Accuracies that a trial stored: 0.8, 0.7 … 0.4 under each corruption, or all `ends`."""
    falling = [0.8, 0.7, 0.6, 0.5, 0.4]
    return {
        f"robustness-{name}": typed.plain(
            CorruptedAccuracies(n=10, accuracies=[ends[name]] * 5 if name in ends else falling)
        )
        for name in CORRUPTIONS
    }


def test_the_mean_by_hand():
    assert len(CORRUPTIONS) == NUM_CORRUPTIONS
    made = conclude_model("snn", factories.scored(0.8), measured_of(noise=0.1))
    (robustness,) = made.contenders["snn"]
    assert robustness.clean == 0.8
    assert robustness.area["blur"] == pytest.approx(0.6)
    assert robustness.mean == pytest.approx((0.1 + 6 * 0.6) / 7)
    assert robustness.images == dict.fromkeys(CORRUPTIONS, 10)
    some = {"robustness-blur": measured_of()["robustness-blur"], "other": {"a": 1}}
    (robustness,) = conclude_model("snn", factories.scored(0.8), some).contenders["snn"]
    assert (list(robustness.area), robustness.mean) == (["blur"], None)
    assert conclude_model("snn", factories.scored(0.8), {"other": {"a": 1}}) is None


def test_contenders_have_the_trials_of_their_accuracy(make_prepared):
    results = factories.run_results(make_prepared(), baseline(seeds=2))
    assert conclude(results, None) is None
    first = results.trials[0].contender
    made = conclude(
        factories.with_trials(
            results, measured=lambda trial: measured_of() if trial.contender == first else {}
        ),
        None,
    )
    assert list(made.contenders) == [first]
    assert len(made.contenders[first]) == 2
    ((title, (columns, rows)),) = tables(made).items()
    assert "corrupted images" in title
    (row,) = text_rows(columns, rows)
    assert (row["contender"], row["blur"]) == (first, "60.0 ± 0.0")
    assert np.isclose(float(row["mean of seven"].split(" ")[0]), 60)
