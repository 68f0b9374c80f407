"""Runs that have predictions of three classes, and little else."""

from dataclasses import replace

import numpy as np

from factories import prepared, record
from spikeduel.data import Split
from spikeduel.evaluation.correctness import classified
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.training.outcomes import TrialOutcome
from spikeduel.training.run_folder import write_predictions

LABELS = np.arange(60) % 3
TEST = np.arange(20, 60)


DATA = prepared(
    np.arange(60 * 16, dtype=np.uint8).reshape(60, 1, 4, 4)
    ^ np.arange(60, dtype=np.uint8)[:, None, None, None],
    LABELS,
)


def converted(source, seed):
    return {"derived": {"contender": source, "key": f"{source}-{seed}-None"}} if source else {}


def predicted(num_wrong):
    classes = LABELS[TEST].copy()
    classes[:num_wrong] = (classes[:num_wrong] + 1) % 3
    return classes.tolist()


def classified_with(num_wrong):
    return classified(("a", "b", "c"), LABELS[TEST], np.array(predicted(num_wrong)))


def run_maker(folder):
    """Return a function that makes a run in `folder` with predictions, from {contender: [wrong
    predictions of each seed]}.
    """

    def make(
        wrong, name="run", groups=None, test=TEST, fingerprint="f" * 64, source=None, **settings
    ):
        run = folder / name
        records, measures = [], []
        for contender, numbers in wrong.items():
            for seed, number in enumerate(numbers):
                settings_of = converted((source or {}).get(contender), seed)
                records.append(record(contender, seed, settings=settings_of))
                measures.append(
                    {} if number is None else {"classification": classified_with(number)}
                )
        write_experiment(run / "experiment.toml", Experiment(**settings))
        split = Split(np.arange(10), np.arange(10, 20), test, "stratified")
        write_predictions(
            run,
            replace(DATA, groups=groups, fingerprint=fingerprint),
            [split],
            list(map(TrialOutcome, records, measures)),
        )
        return run

    return make
