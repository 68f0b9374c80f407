"""Seconds of training steps and of inferences."""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import numpy as np
from msgspec import structs

from spikeduel.data import Prepared, on_device, training_batches
from spikeduel.engine.networks import building
from spikeduel.engine.networks.models import Model, WithoutSpikes
from spikeduel.engine.networks.training_step import TrainingStep
from spikeduel.engine.random_keys import RandomKeys, seeded
from spikeduel.evaluation import latency
from spikeduel.results.trials import Latency
from spikeduel.system import files, hardware, typed
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.training.contenders import (
    Trial,
    outline,
    relu_share,
    renews_statistics,
)
from spikeduel.training.store import Store
from spikeduel.training.training import rules_of

MAX_UNTIMED_STEPS = 500
"""Training steps in all that take no longer than timing them."""
WARM_UP, TIMED_SECONDS, MAX_TIMED = 2, 1.0, 50
"""Untimed training steps, seconds of timed ones, and the most timed steps."""
SITTINGS = 2
"""Times that each network's inference is timed."""
FORWARD_SHARE = 1 / 3
"""Inference time of an image as a share of its training step."""


_WARM: set[str] = set()
"""Networks (`_network_key`) that took a training step in this process."""


@contextmanager
def ready_to_train(trial: Trial, prepared: Prepared, say: Callable[[str], None]) -> Iterator[None]:
    """Compute with as many threads as cores are free, after one step of a fresh network: to load
    and to compile is no training.
    """
    with hardware.threads_on_free_cores(say):
        if _network_key(trial) not in _WARM:
            with suppress(Exception):  # the training fails as well, and says so
                step_seconds(trial, prepared, max_steps=1)
        yield


def num_steps(trial: Trial) -> int:
    """Return the number of training steps."""
    batch_size = trial.experiment.decided_batch_size
    return trial.experiment.num_epochs * math.ceil(len(trial.split.train) / batch_size)


def epoch_seconds(
    trials: Sequence[Trial],
    prepared: Prepared,
    progress: Progress,
    timed: dict[str, float] | None = None,
) -> dict[str, float]:
    """Return the seconds of an epoch of each trial's contender, unless a training step fails.

    `timed` (by `timing_key`) are not timed again; new ones are added.
    """
    timed = {} if timed is None else timed
    keys = {trial.card.contender: timing_key(trial) for trial in trials}
    new = [trial for trial in trials if keys[trial.card.contender] not in timed]
    for trial in progress.track(new, "  timing some training steps", len(new)) if new else ():
        try:
            timed[keys[trial.card.contender]] = seconds_of_an_epoch(trial, prepared)
        except SpikeduelError:
            raise
        except Exception as failure:  # its trial fails as well, and is recorded as failed
            progress.detail(f"  {trial.card.contender}: no training step could be timed: {failure}")
    return {name: timed[key] for name, key in keys.items() if key in timed}


def timing_key(trial: Trial) -> str:
    """Return a hash of all that an epoch's time depends on."""
    experiment = trial.experiment
    more = len(trial.split.train), experiment.augmentation
    return typed.digest([_network_key(trial), *more])


def _network_key(trial: Trial) -> str:
    """Return a hash of all that the seconds of a training step depend on."""
    card, experiment = trial.card, trial.experiment
    return typed.digest(
        [
            *(card.contender, typed.plain(card.network), card.image_shape, card.num_steps),
            *(card.encoding, card.precision, len(card.classes)),
            *(experiment.optimizer, experiment.decided_batch_size),
        ]
    )


def seconds_of_an_epoch(trial: Trial, prepared: Prepared) -> float:
    """Return the mean seconds of an epoch with validation, from some training steps on free cores.

    Epochs with ReLU count by their share of a long training.
    """
    batch_size = trial.experiment.decided_batch_size
    num_train, module = len(trial.split.train), outline(trial.card)
    num_forward = len(trial.split.val)
    if renews_statistics(module, trial.experiment, num_train):
        num_forward += num_train
    num_batches = math.ceil(num_train / batch_size) + FORWARD_SHARE * num_forward / batch_size
    share = relu_share(module, trial.experiment)
    with hardware.threads_on_free_cores():
        seconds = (1 - share) * step_seconds(trial, prepared)
        if share:
            seconds += share * step_seconds(trial, prepared, WithoutSpikes)
    return seconds * num_batches


def step_seconds(
    trial: Trial,
    prepared: Prepared,
    kind: type[Model] = Model,
    max_steps: int = WARM_UP + MAX_TIMED,
) -> float:
    """Return the median seconds of a fresh network's training step, with loading. The first
    `WARM_UP` of at most `max_steps` do not count, unless there are no others.
    """
    _WARM.add(_network_key(trial))
    card, experiment, seconds = trial.card, trial.experiment, list[float]()
    with seeded(card.seed):
        model = kind(building.build(card).to(trial.device), card, card.precision)
        step = TrainingStep(model, rules_of(experiment), max_steps)
        model.module.train()
        epochs = (
            training_batches(
                *prepared.arrays,
                trial.split.train,
                batch_size=experiment.decided_batch_size,
                seed=card.seed,
                epoch=epoch,
            )
            for epoch in itertools.count()
        )
        batches = (batch for epoch in epochs for batch in on_device(epoch, model.device))
        started = time.perf_counter()
        for images, labels, indices in batches:
            float(step(images, labels, RandomKeys.for_training(card.seed, 0, indices)))
            seconds.append(time.perf_counter() - started)
            if len(seconds) == max_steps or sum(seconds[WARM_UP:]) > TIMED_SECONDS:
                break
            started = time.perf_counter()
    hardware.release_freed_memory()
    return statistics.median(seconds[WARM_UP:] or seconds)


def _median(taken: Latency) -> float:
    return taken.one_image.median_ms if taken.one_image else math.inf


def time_inference(
    timed: Sequence[tuple[Trial, Prepared]],
    store: Store,
    progress: Progress,
    when_idle: bool = False,
) -> dict[str, Latency]:
    """Return the latency of trained trials, by key: the quicker of `SITTINGS` for one image, for
    other work only adds, and may last as long as a sitting.

    All are measured in turn, unless the store has all of this machine at its idlest; `when_idle`:
    not on a busy machine.
    """
    if not timed:
        return {}
    # Two processes would time each other; the second finds the first's results.
    with files.locked(
        store.root / "latency.lock",
        lambda: progress.say("another process is timing inference; waiting"),
    ):
        stored = {trial.key: store.measure(trial.key, "latency", Latency) for trial, _ in timed}
        here = latency.machine(timed[0][0].device)
        if all(
            cached
            and structs.replace(cached.machine, load_average=here.load_average) == here
            and (not cached.machine.busy or here.busy)
            for cached in stored.values()
        ):
            return {key: cached for key, cached in stored.items() if cached}
        if when_idle and here.busy:
            return {}
        taken: dict[str, Latency] = {}
        sittings = [*timed] * SITTINGS
        for trial, prepared in progress.track(sittings, "timing inference", len(sittings)):
            images = np.asarray(prepared.images[trial.split.test[: latency.NUM_IMAGES]])
            path, own_code = store.model_path(trial.key), trial.experiment.own_code
            before = taken.get(trial.key)
            if before and before.one_image is None:
                continue
            measured = latency.latency(path, images, trial.device, own_code)
            if before and _median(measured) >= _median(before):
                continue
            taken[trial.key] = measured
            if measured.one_image is None:
                progress.say(f"  {trial.card.title}: not timed, {measured.reasons['process']}")
                continue
            # Whoever takes the trial's lock removes what lies there unfinished.
            with store.locked(trial.key):
                store.save_measure(trial.key, "latency", measured)
    return taken
