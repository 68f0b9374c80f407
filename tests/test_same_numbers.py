"""Three tiny comparisons end in the numbers that are kept in same_numbers.json.

To the last bit on the machine that they were kept on (the same processor, libraries and threads),
elsewhere as far as rounding may lead: other instructions add in another order, and a spike more or
less changes what follows.

A change that is meant to change numbers raises NUMERICS_VERSION, so that no store mixes old and new
ones, and keeps them anew, from the repository's root:

    python tests/test_same_numbers.py
"""

import json
import os
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from spikeduel.comparing import compare
from spikeduel.engine.networks.models import load_model
from spikeduel.experiment.recipes import baseline, matched, strong
from spikeduel.experiment.settings import NUMERICS_VERSION
from spikeduel.results import predictions
from spikeduel.system import hardware
from spikeduel.system.hardware import Compute

pytestmark = [pytest.mark.usefixtures("known_data"), pytest.mark.numeric]

KEPT = Path(__file__).with_name("same_numbers.json")
SETTINGS = {
    "limit": 400,
    "num_steps": 3,
    "epochs": 2,
    "batch_size": 64,
    "learning_rate": 1e-2,
    "precision": "32",
    "device": "cpu",
}
EXPERIMENTS = {
    "baseline": baseline("digits", hidden=16, **SETTINGS),
    "matched": matched("digits", contenders=("conv-lif", "conv-relu"), hidden=16, **SETTINGS),
    "strong": strong(
        "digits",
        contenders=("vgg-lif", "vgg-relu"),
        width=4,
        dropout=0.2,
        augmentation="translate-flip-cutout",
        # One of them with ReLU for the neurons.
        **{**SETTINGS, "epochs": 4},
    ),
}


def numbers(name: str, folder: Path) -> dict:
    """Return the numbers in which the comparison `name` ends, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        results = compare(EXPERIMENTS[name], folder / name, folder / "store").results
    finally:
        torch.set_num_threads(threads)
    trial_predictions = predictions.read(folder / name).predictions
    (pair,) = results.comparison.pairs
    return {
        "trials": [
            {
                "key": trial.key,
                "parameters": trial.parameters,
                "losses": [
                    loss for epoch in trial.history for loss in (epoch.train_loss, epoch.val_loss)
                ],
                "accuracies": [
                    accuracy
                    for epoch in trial.history
                    for accuracy in (epoch.train_accuracy, epoch.val_accuracy)
                ],
                "test": {
                    name: getattr(trial.test, name) for name in ("n", "accuracy", "loss", "f1")
                },
                "predicted": "".join(
                    map(str, trial_predictions[trial.contender, trial.seed].predicted)
                ),
                "temperature": load_model(folder / name / trial.model).card.temperature,
                "macs": trial.operations.totals.macs.dense.hoisted,
                "work": [
                    trial.operations.totals.macs.effective.hoisted,
                    trial.operations.totals.acs.total,
                ],
                "anytime": trial.anytime and trial.anytime.accuracies,
            }
            for trial in results.trials
        ],
        "pair": {
            name: getattr(pair, name)
            for name in ("difference", "ci95", "ci90", "p_value", "conclusion")
        },
    }


def surroundings() -> dict:
    """Return the processor and libraries, which decide how sums are rounded."""
    machine = hardware.environment(Compute("cpu", "32"))
    stored = {name: machine[name] for name in ("cpu", "cpu_features", "torch", "numpy")}
    return {
        **stored,
        "numba": version("numba"),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }


def is_rounded_otherwise(config) -> bool:
    """Return True if the tests run as on another processor (`make numeric`)."""
    limits = {"ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "NUMBA_CPU_NAME"}
    return bool(limits & os.environ.keys()) or config.getoption("--rounding")


def keep() -> None:
    """Writes the numbers that this version gives here."""
    with tempfile.TemporaryDirectory() as folder:
        comparisons = {name: numbers(name, Path(folder)) for name in EXPERIMENTS}
    content = {
        "numerics_version": NUMERICS_VERSION,
        "surroundings": surroundings(),
        "numbers": comparisons,
    }
    KEPT.write_text(json.dumps(content, indent=1) + "\n")


@pytest.fixture(scope="module")
def stored():
    content = json.loads(KEPT.read_text())
    assert content["numerics_version"] == NUMERICS_VERSION, (
        "numbers are meant to change: keep them anew"
    )
    return content


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_numbers_are_those_that_are_stored(name, stored, tmp_path, unreported, request):
    ours = json.loads(json.dumps(numbers(name, tmp_path)))
    expected = stored["numbers"][name]
    if stored["surroundings"] == surroundings() and not is_rounded_otherwise(request.config):
        assert ours == expected
        return
    for one, other in zip(ours["trials"], expected["trials"], strict=True):
        # Numbers that no rounding reaches, and first of all that older stores are found again.
        for exact in ("key", "parameters", "macs"):
            assert one[exact] == other[exact]
        assert (one["test"]["n"], len(one["losses"])) == (other["test"]["n"], len(other["losses"]))
        # With instructions of other processors, convolutions of spikes came out 2 % away, all else
        # 0.001 %, and on one of another maker 0.15 %.
        near = {"rel": 0.1 if other["anytime"] else 5e-3, "abs": 0.0}
        assert one["losses"] == pytest.approx(other["losses"], **near)
        assert one["test"]["loss"] == pytest.approx(other["test"]["loss"], **near)
        assert one["work"] == pytest.approx(other["work"], **near)
        # Those in training, for one of 44 validation images is 2.3 points.
        assert one["accuracies"][::2] == pytest.approx(
            other["accuracies"][::2], abs=0.15 if other["anytime"] else 0.02
        )
        assert one["test"]["accuracy"] == pytest.approx(other["test"]["accuracy"], abs=0.15)
        agree = np.mean([a == b for a, b in zip(one["predicted"], other["predicted"], strict=True)])
        assert agree >= (0.5 if other["anytime"] else 0.95)
    assert ours["pair"]["difference"] == pytest.approx(expected["pair"]["difference"], abs=0.2)


if __name__ == "__main__":
    keep()
