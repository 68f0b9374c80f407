"""Tuning that trains nothing: a trial's accuracy is what the test says it is."""

from dataclasses import replace

import numpy as np
import pytest

from factories import record, small_experiment
from spikeduel import data
from spikeduel.features.tuning.tuning import search
from spikeduel.system.progress import Progress
from spikeduel.training import trial
from spikeduel.training.auto_settings import ResolvedExperiment
from spikeduel.training.contenders import describe_all
from spikeduel.training.jobs import Workers
from spikeduel.training.store import Store


@pytest.fixture
def experiment():
    return small_experiment(hidden=16, num_steps=3, epochs=1, limit=200)


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
            val = [] if reached is None else [reached]
            about = {"key": planned.key, "settings": planned.settings, "epoch_seconds": [1.5]}
            return record(val=val, **about)

        monkeypatch.setattr(trial, "run", train)
        return searched(experiment, num_trials, ranges), trained

    return run
