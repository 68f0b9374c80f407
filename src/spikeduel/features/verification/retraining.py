"""Train some trials of a run once more, and compare their predictions."""

import operator
import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from spikeduel import data
from spikeduel.analysis.conclusions import Predictions, rows_of
from spikeduel.features.verification.verification_results import TrainedAgain, Verification
from spikeduel.features.verification.verifying import RESULTS, SPLIT, Check, lines_of
from spikeduel.results import predictions
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.results.trials import Classification, Trial
from spikeduel.sentences.comparison import load_run
from spikeduel.system import typed
from spikeduel.system.errors import InputError
from spikeduel.system.negligible import MAX_RETRAINING_DIFFERENCE
from spikeduel.system.progress import Progress
from spikeduel.training import auto_settings, plan
from spikeduel.training.contenders import trials_of
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.outcomes import predictions_of
from spikeduel.training.store import Store

DECIDING = ("cpu", "torch", "device", "precision")
"""Parts of the environment that decide a training's last bits, with the threads."""


def train_again(
    run: Path | str, number: int, progress: Progress | None = None
) -> tuple[Verification, list[TrainedAgain]]:
    """Compare a run with its data set: labels, images, split, and keys of trials. Train `number`
    trials, drawn at random, once more, with as many threads, and compare their predictions.

    Nothing is kept; own code that the run names runs. Raises `InputError`.
    """
    comparison, predictions_file = load_run(run), predictions.read(run)
    results, progress = comparison.results, progress or Progress()
    experiment, prepared, splits = plan.loaded(auto_settings.decided(results), progress)
    if prepared.fingerprint != results.dataset.fingerprint:
        raise InputError(f"{experiment.dataset}: other images, or other labels, than the run's.")
    trials = {trial.card.title: trial for trial in trials_of(experiment, prepared, *splits)}
    entries = {entry.title: entry for entry in results.trials if entry.derived_from is None}
    stored = {title: entry.key for title, entry in entries.items()}
    keys = {title: trial.key for title, trial in trials.items()}
    if not set(stored.values()) & set(keys.values()):
        raise InputError(f"{run}: this version of spikeduel trains its trials in another way.")
    check, again = Check(), []
    check.compare(RESULTS, stored, keys, "trials.key")
    without_predictions = typed.plain(structs.replace(predictions_file, trials=[]))
    check.compare(
        predictions.FILE, without_predictions, typed.plain(predictions_of(prepared, splits, []))
    )
    with tempfile.TemporaryDirectory() as folder:
        data.write_splits(Path(folder, SPLIT), prepared, splits)
        check.compare(SPLIT, lines_of(Path(run, SPLIT)), lines_of(Path(folder, SPLIT)))
        store, drawn = Store(Path(folder)), sorted(entries.keys() & trials)
        # Somebody who forges a run must not know which trials are drawn.
        for title in random.SystemRandom().sample(drawn, min(number, len(drawn))):
            trial, entry = trials[title], entries[title]
            (record,) = Workers(entry.threads).run([Job(trial, prepared, progress)], store)
            classification = store.measure(trial.key, "classification", Classification)
            again.append(
                _compared(results, predictions_file, entry, record.environment, classification)
            )
    return check.verification(f"{prepared.name}, loaded again"), again


def _compared(
    results: Results,
    predictions_file: PredictionsFile,
    entry: Trial,
    environment: Mapping[str, Any],
    seed_predictions: Classification | None,
) -> TrainedAgain:
    """Compare the predictions of a trial that was trained again (None: it failed) with the stored
    ones.
    """
    predicted = Predictions(predictions_file).of(entry.contender).get(entry.seed)
    rows, then = rows_of(entry, results.dataset), results.environment or {}
    before = [] if predicted is None else predicted[rows].tolist()
    after = seed_predictions.predicted if seed_predictions else []
    equal = sum(map(operator.eq, before, after)) / max(1, len(before), len(after))
    alike = all(environment.get(name) == then.get(name) for name in DECIDING)
    return TrainedAgain(
        trial=entry.title,
        stored=entry.test.accuracy if entry.test else 0.0,
        accuracy=seed_predictions.accuracy if seed_predictions else None,
        equal=equal,
        same=equal == 1,
        alike=alike and environment.get("threads") == entry.threads,
        noise=max(MAX_RETRAINING_DIFFERENCE, 1 / max(1, len(after))),
    )
