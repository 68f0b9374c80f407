"""A trial, one contender with one seed: build, train, measure, store."""

import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from spikeduel.data import Prepared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring import MEASURES, Measure, robustness
from spikeduel.measuring.answers import Asked
from spikeduel.measuring.correctness import calibrated
from spikeduel.networks import building, model_files
from spikeduel.networks.models import Model
from spikeduel.networks.whitening import MOST_IMAGES, whiten
from spikeduel.results.trials import CorruptedAccuracies, Epoch
from spikeduel.results.words.numbers import duration, per_cent
from spikeduel.spiking.random_keys import seeded
from spikeduel.system import files, hardware, typed
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.hardware import Compute
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted
from spikeduel.trials import torchrun
from spikeduel.trials.contenders import Trial, key_of, outline
from spikeduel.trials.deferred_test_scores import Sealing
from spikeduel.trials.store import AskedImages, Store, TrialRecord
from spikeduel.trials.training import Loop, Training


def run(
    trial: Trial,
    prepared: Prepared,
    store: Store,
    progress: Progress,
    altered: Mapping[str, EvaluationBatches] | None = None,
    test: bool = True,
) -> TrialRecord:
    """Return the finished trial, from the store, or trained and measured now. A trial that fails is
    recorded as failed.

    `altered` are further test images by name, for robustness. Without `test`, no test image is
    looked at. With `test` and `optimism`, a trial that was trained without is trained again, to the
    same numbers, since test scores after each epoch can only be had while it trains.
    """
    name, sealed = f"  {trial.card.title}", test and _is_sealed(trial)
    with store.locked(
        trial.key, lambda: progress.say(f"{name}: another process is training this trial; waiting")
    ):
        if not store.split_path(trial.key).is_file():
            store.save_split(
                trial.key, train=trial.split.train, val=trial.split.val, test=trial.split.test
            )
        record = _found(trial, store)
        if record is None:
            if damage := store.damage(trial.key):
                progress.say(
                    f"{name}: trained again, for what the store holds is of no use: {damage}"
                )
            record = _train(trial, prepared, store, progress, sealed)
        elif sealed and store.unsealed(trial.key, len(record.history)) is None:
            progress.say(
                f"{name}: trained again, to the same numbers, to be tested after every epoch "
                f"(--optimism)"
            )
            before = record.model_digest
            record = _train(trial, prepared, store, progress, sealed)
            if record.model_digest != before:
                progress.say(
                    f"{name}: ended in other numbers than before (another machine or version?); "
                    "measured anew"
                )
                store.forget_measures(trial.key)
        elif "converted" not in trial.settings:  # which is never trained
            progress.detail(f"{name}: found in the store, not trained again")
            progress.curve(trial.card.title, record.curve)
        progress.finished(trial.card.title, "")
        if record.status == "done" and test:
            _measure(trial, prepared, store, progress, altered or {})
    hardware.release_freed_memory()
    return record


def _train(
    trial: Trial, prepared: Prepared, store: Store, progress: Progress, sealed: bool
) -> TrialRecord:
    """Train and store the trial, with as many threads as there are free cores."""
    with hardware.threads_on_free_cores(lambda text: progress.say(f"  {trial.card.title}: {text}")):
        return _train_now(trial, prepared, store, progress, sealed)


def _train_now(
    trial: Trial, prepared: Prepared, store: Store, progress: Progress, sealed: bool
) -> TrialRecord:
    checkpoint, sealing = store.checkpoint_path(trial.key), None
    model, training, error = None, Training(), None
    if trial.twin and store.record(trial.twin) is None:
        error = "its twin, from which it starts, failed."
        progress.finished(trial.card.title, f"failed, {error}")
        return keep(trial, model, training, store, error)
    try:
        with seeded(trial.card.seed):
            module = building.started(trial.card).to(trial.device)
            model = Model(module, trial.card, trial.card.precision)
        if trial.experiment.whitening and not trial.card.network.get(
            "weights"
        ):  # pretrained ones are better
            some = np.sort(trial.split.train[:MOST_IMAGES])
            whiten(module, torch.as_tensor(np.asarray(prepared.images[some])))
        if trial.twin:
            twin = model_files.load_model(
                store.model_path(trial.twin), trial.device, trial.experiment.own_code
            )
            module.load_state_dict({**module.state_dict(), **twin.module.state_dict()})
            for name, count in module.named_buffers():
                if name.endswith("num_batches_tracked"):
                    count.zero_()  # spikes have statistics of their own
        if sealed:
            store.note_test_use(
                AskedImages.of(prepared, trial.split.test), trial.key, every_epoch=True
            )
            # In the precision of the final answers, not that of the training.
            answering = Model(module, trial.card)
            sealing = Sealing(
                answering, EvaluationBatches(*prepared.held, trial.split.test), store, trial.key
            )
        loop = Loop(
            model,
            *prepared.held,
            trial.split,
            trial.experiment,
            checkpoint,
            progress,
            sealing,
        )
        training = torchrun.train(loop)
        if training.stopped == "nan":
            error = "loss or weights became NaN or infinite: try a smaller learning_rate."
        else:
            with seeded(trial.card.seed):
                model = calibrated(model, EvaluationBatches(*prepared.held, trial.split.val))
    except SpikeduelError:
        raise
    except Exception as failure:  # one contender's failure must not cost the others their results
        error = _reason(failure)
        files.write_text(store.folder(trial.key) / "error.txt", traceback.format_exc())
    record = keep(trial, model, training, store, error)
    if training.stopped is not None:
        # What broke off, for want of memory perhaps, goes on from its last epoch when it is tried
        # again.
        checkpoint.unlink(missing_ok=True)
    progress.finished(trial.card.title, f"failed, {error}" if error else _how_it_went(training))
    return record


def _how_it_went(training: Training) -> str:
    accuracy = training.history[training.best_epoch or 0]["val_accuracy"]
    epochs, seconds = counted(len(training.history), "epoch"), sum(training.epoch_seconds)
    return f"{epochs} in {duration(seconds)}, accuracy {per_cent(accuracy)} on validation"


def keep(
    trial: Trial, model: Model | None, training: Training, store: Store, error: str | None = None
) -> TrialRecord:
    """Put a trial into the store, with its model if that has finished an epoch."""
    path, checksum = store.model_path(trial.key), None
    if model is not None and training.history:
        model_files.save_model(path, model)
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
    )
    store.save(record)
    return record


def load(trial: Trial, store: Store) -> Model:
    """Return the trained model of a finished trial."""
    return model_files.load_model(
        store.model_path(trial.key), trial.device, trial.experiment.own_code
    )


def _measure(
    trial: Trial,
    prepared: Prepared,
    store: Store,
    progress: Progress,
    altered: Mapping[str, EvaluationBatches],
) -> None:
    title, missing = trial.card.title, _missing(trial, altered, store, progress)
    if not missing:
        return
    store.note_test_use(AskedImages.of(prepared, trial.split.test), trial.key)
    model = load(trial, store)
    test = Asked(EvaluationBatches(*prepared.held, trial.split.test), count="operations" in missing)
    validation = Asked(EvaluationBatches(*prepared.held, trial.split.val))
    failed = {}
    for name, measure in missing.items():
        if store.measure_path(trial.key, name).exists():
            progress.say(
                f"  {title}: measure {name} is taken again: what the store holds of it is damaged"
            )
        answers = (test, validation) if measure.on_validation else (test,)
        try:
            # With a seed of its own, a measure does not depend on the measures before it.
            with seeded(trial.card.seed):
                store.save_measure(trial.key, name, measure.take(model, *answers))
        except SpikeduelError:
            raise
        except Exception as failure:  # the trial is still good, and so are the other measures
            failed[name] = _reason(failure)
            progress.say(f"  {title}: measure {name} failed: {failed[name]}")
    store.save_failed_measures(trial.key, failed)


def is_whole(
    trial: Trial, altered: Mapping[str, EvaluationBatches], store: Store, test: bool = True
) -> bool:
    """Return True if the store holds all that `run` would return and measure."""
    if not test:
        return _found(trial, store) is not None
    return trained(trial, store) is not None and not _missing(trial, altered, store)


def trained(trial: Trial, store: Store) -> TrialRecord | None:
    """Return the record of a trial that `run` with `test` would not train again, else None."""
    record = _found(trial, store)
    if record and _is_sealed(trial) and store.unsealed(trial.key, len(record.history)) is None:
        return None
    return record


def mark_failed(
    trial: Trial,
    altered: Mapping[str, EvaluationBatches],
    store: Store,
    error: str,
    test: bool = True,
) -> TrialRecord:
    """Mark a trial that `run` cannot finish as failed for this `error`. If it was trained, its
    missing measures are marked instead.
    """
    with store.locked(trial.key):
        record = _found(trial, store)
        if record is None:
            return keep(trial, None, Training(), store, error)
        if test:
            store.save_failed_measures(
                trial.key, dict.fromkeys(_missing(trial, altered, store), error)
            )
    return record


def _found(trial: Trial, store: Store) -> TrialRecord | None:
    record = store.record(trial.key)
    # The settings make the key, unless the file was changed by hand.
    return record if record is not None and key_of(record.settings) == trial.key else None


def _is_sealed(trial: Trial) -> bool:
    """Return True if the trial is tested after every epoch. A converted trial was never trained."""
    return trial.experiment.optimism and "converted" not in trial.settings


def _missing(
    trial: Trial,
    altered: Mapping[str, EvaluationBatches],
    store: Store,
    progress: Progress = Progress(),
) -> dict[str, Measure]:
    """Return the measures of the trained trial that the store lacks, by name."""
    wanted, known = dict(MEASURES), measured(trial, store)
    if trial.experiment.robustness:
        taken = robustness.measures(altered, progress, trial.card.title)
        wanted |= {name: Measure(take, CorruptedAccuracies) for name, take in taken.items()}
    return {name: measure for name, measure in wanted.items() if name not in known}


def measured(trial: Trial, store: Store) -> dict[str, Any]:
    """Return the measures of a finished trial that the store has, by name."""
    kinds = {name: measure.result for name, measure in MEASURES.items()}
    if trial.experiment.robustness:
        kinds |= dict.fromkeys(robustness.NAMES, CorruptedAccuracies)
    return {
        name: value
        for name, kind in kinds.items()
        if (value := store.measure(trial.key, name, kind)) is not None
    }


_OUT_OF_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "alloc_failed",
)


def _reason(failure: Exception) -> str:
    reason = f"{type(failure).__name__}: {failure}".splitlines()[0].rstrip(": ")
    if isinstance(failure, MemoryError) or any(
        sign in str(failure).lower() for sign in _OUT_OF_MEMORY
    ):
        return f"out of memory ({reason}): try a smaller batch_size."
    return reason
