"""Time of a training step, measured on a fresh network."""

import itertools
import math
import statistics
import time

from spikeduel.data import Prepared, on_device, training_batches
from spikeduel.networks import building
from spikeduel.networks.models import Model
from spikeduel.networks.training_step import TrainingStep
from spikeduel.spiking.random_keys import RandomKeys, seeded
from spikeduel.system import hardware
from spikeduel.trials.contenders import Trial
from spikeduel.trials.training import rules_of

WARM_UP, TIMED_SECONDS, MOST_TIMED = 3, 2.0, 50
"""Training steps that are not timed; then as many as fit into these seconds, at most the third."""
FORWARD_SHARE = 1 / 3
"""Time of an answer as a share of a training step on the same image."""


def seconds_of_an_epoch(trial: Trial, prepared: Prepared) -> float:
    """Return the seconds of an epoch with its validation, by the time of some training steps."""
    seconds = seconds_of_a_step(trial, prepared)
    batch_size = trial.experiment.decided_batch_size
    answers = FORWARD_SHARE * len(trial.split.val) / batch_size
    return seconds * (math.ceil(len(trial.split.train) / batch_size) + answers)


def seconds_of_a_step(trial: Trial, prepared: Prepared) -> float:
    """Return the median seconds of a training step of a fresh network, gathering the batch
    included.
    """
    images, labels = prepared.held
    card, experiment = trial.card, trial.experiment
    with hardware.threads_on_free_cores(), seeded(card.seed):
        model = Model(building.build(card).to(trial.device), card, card.precision)
        step = TrainingStep(model, rules_of(experiment), WARM_UP + MOST_TIMED)
        model.module.train()
        seconds: list[float] = []
        started = time.perf_counter()
        epochs = (
            training_batches(
                images, labels, trial.split.train, experiment.decided_batch_size, card.seed, epoch
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
