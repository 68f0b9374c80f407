"""Tuning that trains nothing: a trial's accuracy is what the test says it is."""

from dataclasses import replace

import numpy as np
import pytest

from spikeduel import data
from spikeduel.results.trials import Epoch
from spikeduel.settings.recipes import baseline
from spikeduel.system.progress import Progress
from spikeduel.trials import trial
from spikeduel.trials.auto_settings import ResolvedExperiment
from spikeduel.trials.contenders import describe_all
from spikeduel.trials.jobs import Workers
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.tuning import search


@pytest.fixture
def experiment():
    return baseline(
        dataset="digits",
        hidden=16,
        num_steps=3,
        epochs=1,
        batch_size=64,
        learning_rate=5e-3,
        limit=200,
        device="cpu",
    )


@pytest.fixture
def searched(tmp_path):
    """Searches for real; the test images are out of reach, so that touching one raises."""

    def run(experiment, num_trials=2, ranges=None, store=None, progress=None):
        prepared = data.load(experiment)
        split = data.split(prepared, experiment)
        out_of_reach = replace(split, test=np.array([10**9]))
        store = Store(store or tmp_path / "store")
        resolved = ResolvedExperiment(
            asked=experiment,
            experiment=experiment,
            contenders=tuple(describe_all(experiment, prepared)),
        )
        return search(
            *(resolved, prepared, out_of_reach, num_trials, ranges),
            *(store, progress or Progress(), Workers()),
        )

    return run


@pytest.fixture
def made_up(searched, monkeypatch):
    """Searches with `accuracy(experiment of the trial)` in the place of training; None is a trial
    that failed.
    """

    def run(experiment, accuracy, num_trials=4, ranges=None):
        trained = []

        def train(planned, prepared, store, progress, test):
            trained.append(planned)
            reached = accuracy(planned.experiment)
            history = [] if reached is None else [Epoch(val_loss=1.0, val_accuracy=reached)]
            return TrialRecord(
                key=planned.key,
                settings=planned.settings,
                parameters=1,
                status="failed" if reached is None else "done",
                error="NaN" if reached is None else None,
                best_epoch=None if reached is None else 0,
                stopped="limit",
                epoch_seconds=[1.5],
                history=history,
                environment={},
            )

        monkeypatch.setattr(trial, "run", train)
        return searched(experiment, num_trials, ranges), trained

    return run
