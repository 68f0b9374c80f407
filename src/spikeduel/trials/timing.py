"""How long training takes, by some steps of it on a fresh network."""

import itertools
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spikeduel.data import Prepared, Split, on_device, training_batches
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.networks.training_step import TrainingStep
from spikeduel.results.forecast import ContenderTime
from spikeduel.spiking.random_keys import RandomKeys, seeded
from spikeduel.system import hardware
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import TrialRecord
from spikeduel.trials.training import rules_of

WARM_UP, TIMED_SECONDS, MOST_TIMED = 3, 2.0, 50
"""Training steps that are not timed; then as many as fit into so many seconds, this many at
most.
"""
FORWARD_SHARE = 1 / 3
"""What an answer takes of a training step on the same image."""


def seconds_of_an_epoch(trial: Trial, prepared: Prepared, split: Split) -> float:
    """The time of an epoch with its validation, by that of some steps at each stage of
    `first_steps`.
    """
    stages = (
        (*trial.experiment.first_steps, None)
        if trial.card.num_steps and trial.card.foreign is None
        else (None,)
    )
    seconds = statistics.fmean(seconds_of_a_step(trial, prepared, split, steps) for steps in stages)
    images_a_step = trial.experiment.images_a_step
    answers = FORWARD_SHARE * len(split.val) / images_a_step
    return seconds * (math.ceil(len(split.train) / images_a_step) + answers)


def contender_times(
    trials: Sequence[Trial],
    records: Sequence[TrialRecord | None],
    timed: Mapping[str, float],
    prepared: Prepared,
    progress: Progress,
) -> list[ContenderTime]:
    """How long one seed of each contender trains, in all folds: by what the store holds (`records`
    of `trials`), else by some steps, which were `timed` already (seconds an epoch) or are now. A
    network that cannot take them is left out.
    """
    names = list(dict.fromkeys(each.card.contender for each in trials))
    its = {name: [each for each in trials if each.card.contender == name] for name in names}
    known = {
        name: [
            record
            for each, record in zip(trials, records, strict=True)
            if record and each.card.contender == name
        ]
        for name in names
    }
    untimed = [name for name in names if not known[name] and name not in timed]
    measured = dict(timed)
    for name in (
        progress.track(untimed, "  timing some training steps", len(untimed)) if untimed else ()
    ):
        try:
            measured[name] = seconds_of_an_epoch(its[name][0], prepared, its[name][0].split)
        except SpikeduelError:
            raise
        except Exception as failure:  # its trial fails as well, and is recorded as failed
            progress.detail(f"  {name}: no training step could be timed: {failure}")
    num_folds, found = len({each.split.fold for each in trials}), []
    for name in names:
        if known[name]:
            epochs = statistics.fmean(len(record.history) for record in known[name])
            seconds = statistics.median(
                [second for each in known[name] for second in each.epoch_seconds] or [0.0]
            )
        elif name in measured:
            epochs, seconds = its[name][0].experiment.num_epochs, measured[name]
        else:
            continue
        found.append(
            ContenderTime(
                contender=name,
                epochs=epochs,
                epoch_seconds=seconds,
                seed_seconds=epochs * seconds * num_folds,
                from_store=bool(known[name]),
            )
        )
    return found


def seconds_of_a_step(
    trial: Trial, prepared: Prepared, split: Split, num_steps: int | None = None
) -> float:
    """The median time of a training step of a fresh network, batches of images gathered too; over
    `num_steps` time steps, or all of the network's.
    """

    images, labels = prepared.held
    card = trial.card if num_steps is None else replace(trial.card, num_steps=num_steps)
    experiment = replace(trial.experiment, first_steps=())
    with hardware.threads_on_free_cores(), seeded(card.seed):
        model = Model(building.build(card).to(trial.device), card, card.precision)
        step = TrainingStep(model, rules_of(experiment), WARM_UP + MOST_TIMED)
        model.module.train()
        seconds: list[float] = []
        started = time.perf_counter()
        epochs = (
            training_batches(
                images, labels, split.train, experiment.images_a_step, card.seed, epoch
            )
            for epoch in itertools.count()
        )
        batches = (batch for epoch in epochs for batch in on_device(epoch, model.device))
        for number, (batch, truth, indices) in enumerate(batches):
            float(step(batch, truth, RandomKeys.for_training(card.seed, 0, indices)))
            now = time.perf_counter()
            if number >= WARM_UP:
                seconds.append(now - started)
                if sum(seconds) > TIMED_SECONDS or len(seconds) == MOST_TIMED:
                    break
            started = now
    hardware.release_freed_memory()
    return statistics.median(seconds)
