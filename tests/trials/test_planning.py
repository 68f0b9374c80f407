from dataclasses import replace

import numpy as np
import pytest

from spikeduel.data import Preprocessing, Split
from spikeduel.data.prepared import Prepared
from spikeduel.networks.models import ModelCard
from spikeduel.results.trials import Calling
from spikeduel.settings.recipes import baseline
from spikeduel.trials.planning import announced_data, announcement, foreign_lines

EXPERIMENT = baseline("pets", contenders=("snn", "cnn"), seeds=2, epochs=1, encoding="rate", num_steps=4)
PREPARED = Prepared(
    name="pets", images=np.zeros((2000, 3, 6, 8), np.uint8), labels=np.zeros(2000, np.int64), classes=("cat", "dog"),
    preprocessing=Preprocessing(3, 6, 8), groups=None, official=None, samples=[], fingerprint="f" * 64,
)  # fmt: skip
SPLIT = Split(np.arange(1500), np.arange(1500, 1700), np.arange(1700, 2000), "stratified")
SNN = ModelCard("snn", "snn", (3, 6, 8), ("cat", "dog"), PREPARED.preprocessing, {}, "rate", 4)
CNN = replace(SNN, contender="cnn", family="cnn", encoding=None, num_steps=None)


def test_the_data_the_contenders_and_how_they_are_trained():
    told = "pets: 1,500 training, 200 validation and 300 test images, 6×8 colour, 2 classes."
    assert announced_data(PREPARED, [SPLIT]) == told
    assert announcement(EXPERIMENT, [SNN, CNN]) == (
        "snn against cnn, 2 seeds, at most 1 epoch; spiking contenders see rate encoding over 4 steps."
    )
    assert announcement(EXPERIMENT, [CNN]) == "snn against cnn, 2 seeds, at most 1 epoch."


def test_folds_and_settings_of_single_contenders():
    other = replace(SNN, contender="other", encoding="direct", num_steps=7)
    assert "test images, in the first of 5 folds, 6×8" in announced_data(PREPARED, [SPLIT] * 5)
    text = announcement(EXPERIMENT, [SNN, other])
    assert "see direct or rate encoding over 4 or 7 steps." in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"foreign": None}, None),
        (
            {"foreign": Calling("step", False, "over_time")},
            "snn: called over 4 time steps with rate encoding, its state reset before",
        ),
        (
            {"foreign": Calling("loop", False, "spikes", num_steps=7), "num_steps": 7, "precision": "bf16"},
            "snn: makes its own 7 time steps, and gets the analogue image for them (direct encoding)",
        ),
        (
            {"foreign": Calling("once", False, "scores"), "family": "cnn"},
            "snn: called as any other network that does not spike",
        ),
    ],
)
def test_networks_of_other_libraries(changes, line):
    card = replace(SNN, **changes)
    in_float32 = "; in float32, as in its own library" if (card.family, card.precision) == ("snn", "32") else ""
    assert foreign_lines(EXPERIMENT, [card]) == ([f"{line}{in_float32}."] if line else [])
    # Asked for, it is no peculiarity.
    assert foreign_lines(replace(EXPERIMENT, precision="32"), [card]) == ([f"{line}."] if line else [])
