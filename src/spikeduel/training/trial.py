"""Run one trial: take it from the store, or build, train, measure and store it. A failure is
stored, and the other trials go on.
"""

import traceback
from typing import Any

import numpy as np
import torch

from spikeduel.data import Prepared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks import building, models, narrowing
from spikeduel.engine.networks.building import MAX_IMAGES, whiten
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import seeded
from spikeduel.evaluation.correctness import calibrated
from spikeduel.evaluation.measures import Measure, measured_after_epochs, measures_of
from spikeduel.evaluation.predictions_of_model import CachedPredictions
from spikeduel.results.trials import Epoch
from spikeduel.system import files, hardware, typed
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.hardware import Compute
from spikeduel.system.numbers import duration, per_cent
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted
from spikeduel.training import timing
from spikeduel.training.contenders import Trial, outline
from spikeduel.training.store import Store, TrialRecord, images_digest
from spikeduel.training.training import Loop, Training


def run(
    trial: Trial, prepared: Prepared, store: Store, progress: Progress, test: bool = True
) -> TrialRecord:
    """Return the finished trial, from the store or trained now, on from a checkpoint; a failure is
    recorded. Without `test`, no test image is looked at.
    """
    title = trial.card.title
    with store.locked(
        trial.key,
        lambda: progress.say(f"  {title}: another process is training this trial; waiting"),
    ):
        record = None
        try:
            record = store.read(trial.key)
        except InputError as damage:
            why = f"what the store holds is of no use: {str(damage).rstrip('.')}"
            progress.say(f"  {title}: trained again, for {why}")
        if record is not None:
            is_found = not (test and _missing(trial, store))
            how = (
                "found in the store, not trained again"
                if is_found
                else "trained before, tested now"
            )
            progress.detail(f"  {title}: {how}")
            progress.finished(title, "")
        else:
            with timing.ready_to_train(
                trial, prepared, lambda text: progress.say(f"  {title}: {text}")
            ):
                record = _train(trial, prepared, store, progress)
        if record.status == "done" and test:
            _measure(trial, prepared, store, progress)
    hardware.release_freed_memory()
    return record


def _train(trial: Trial, prepared: Prepared, store: Store, progress: Progress) -> TrialRecord:
    experiment, split, title = trial.experiment, trial.split, trial.card.title
    checkpoint = store.checkpoint_path(trial.key)
    model, training, error = None, Training(), None
    try:
        with seeded(trial.card.seed):
            module = building.started(trial.card).to(trial.device)
            model = Model(module, trial.card, trial.card.precision)
        if trial.source is not None:
            source = load_of(trial.source, trial, store)
            narrowing.inherit(module, source.module.to(trial.device))
        # Pretrained weights are better than whitened ones.
        elif experiment.whitening and not trial.card.network.get("weights"):
            some = np.sort(split.train[:MAX_IMAGES])
            whiten(module, torch.as_tensor(np.asarray(prepared.images[some])))
        if measured_after_epochs(experiment):
            store.note_test_use(images_digest(prepared, split.test), trial.key, every_epoch=True)
        training = Loop(
            model,
            *prepared.arrays,
            split,
            experiment,
            checkpoint,
            progress,
            trial.relu_epochs,
        ).run()
        if training.stopped == "nan":
            error = "loss or weights became NaN or infinite: try a smaller learning_rate."
        else:
            with seeded(trial.card.seed):
                model = calibrated(model, EvaluationBatches(*prepared.arrays, split.val))
    except SpikeduelError:
        raise
    except Exception as failure:  # one contender's failure must not cost the others their results
        error = _reason(failure)
        files.write_text(store.folder(trial.key) / "error.txt", traceback.format_exc())
    record = keep(trial, model, training, store, error)
    if training.stopped is not None:
        # Another try, with more memory perhaps, goes on from the last epoch.
        checkpoint.unlink(missing_ok=True)
    if error:
        progress.finished(title, f"failed, {error}")
    else:
        accuracy = training.history[training.best_epoch or 0]["val_accuracy"]
        epochs, seconds = counted(len(training.history), "epoch"), sum(training.epoch_seconds)
        progress.finished(
            title, f"{epochs} in {duration(seconds)}, accuracy {per_cent(accuracy)} on validation"
        )
    return record


def keep(
    trial: Trial, model: Model | None, training: Training, store: Store, error: str | None = None
) -> TrialRecord:
    """Store a trial, with its model after at least one epoch."""
    path, checksum = store.model_path(trial.key), None
    if model is not None and training.history:
        models.save_model(path, model)
        checksum = files.checksum(path)
    record = TrialRecord(
        key=trial.key,
        settings=trial.settings,
        parameters=building.num_parameters(outline(trial.card) if model is None else model.module),
        status="failed" if error else "done",
        error=error,
        best_epoch=training.best_epoch,
        stopped=training.stopped,
        epoch_seconds=training.epoch_seconds,
        history=typed.converted(training.history, list[Epoch]),
        environment=hardware.environment(Compute(trial.device, trial.card.precision)),
        model_digest=checksum,
        after_epochs=training.after_epochs,
    )
    store.save(record)
    return record


def load_of(key: str, trial: Trial, store: Store) -> Model:
    return models.load_model(store.model_path(key), trial.device, trial.experiment.own_code)


def _measure(trial: Trial, prepared: Prepared, store: Store, progress: Progress) -> None:
    title, missing = trial.card.title, _missing(trial, store, progress)
    if not missing:
        return
    store.note_test_use(images_digest(prepared, trial.split.test), trial.key)
    model = load_of(trial.key, trial, store)
    test = CachedPredictions(
        EvaluationBatches(*prepared.arrays, trial.split.test), count="operations" in missing
    )
    validation = CachedPredictions(EvaluationBatches(*prepared.arrays, trial.split.val))
    failed = {}
    for name, measure in progress.track(missing.items(), f"  {title}: testing"):
        if store.measure_path(trial.key, name).exists():
            progress.say(
                f"  {title}: measure {name} is taken again: what the store holds of it is damaged"
            )
        predictions = (test, validation) if measure.on_validation else (test,)
        try:
            # With its own seed, a measure does not depend on those before it.
            with seeded(trial.card.seed):
                store.save_measure(trial.key, name, measure.take(model, *predictions))
        except SpikeduelError:
            raise
        except Exception as failure:  # the trial is still good, and so are the other measures
            failed[name] = _reason(failure)
            progress.say(f"  {title}: measure {name} failed: {failed[name]}")
    store.save_failed_measures(trial.key, failed)


def is_whole(trial: Trial, store: Store, test: bool = True) -> bool:
    """Return True if the store holds all that `run` would return and measure."""
    return store.record(trial.key) is not None and not (test and _missing(trial, store))


def mark_failed(trial: Trial, store: Store, error: str, test: bool = True) -> TrialRecord:
    """Mark a trial, or the missing measures of a trained one, as failed."""
    with store.locked(trial.key):
        record = store.record(trial.key)
        if record is None:
            return keep(trial, None, Training(), store, error)
        if test:
            store.save_failed_measures(trial.key, dict.fromkeys(_missing(trial, store), error))
    return record


def _missing(trial: Trial, store: Store, progress: Progress = Progress()) -> dict[str, Measure]:
    stored = measured(trial, store)
    wanted = _measures(trial, progress).items()
    return {name: measure for name, measure in wanted if name not in stored}


def measured(trial: Trial, store: Store) -> dict[str, Any]:
    return {
        name: value
        for name, measure in _measures(trial).items()
        if (value := store.measure(trial.key, name, measure.result)) is not None
    }


def _measures(trial: Trial, progress: Progress = Progress()) -> dict[str, Measure]:
    return measures_of(trial.experiment, progress, trial.card.title)


_OUT_OF_MEMORY = ("allocate memory", "enough memory", "out of memory", "alloc_failed")


def _reason(failure: Exception) -> str:
    reason, text = f"{type(failure).__name__}: {failure}".splitlines()[0], str(failure).lower()
    if isinstance(failure, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY):
        return f"out of memory ({reason.rstrip(': ')}): try a smaller batch_size."
    return reason.rstrip(": ")
