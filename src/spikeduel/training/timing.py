"""Seconds of training steps, the number of threads with which they are fastest, and times of
answers.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from msgspec import structs

from spikeduel.data import Prepared, on_device, training_batches
from spikeduel.engine.networks import building
from spikeduel.engine.networks.models import Model, WithoutSpikes
from spikeduel.engine.networks.training_step import TrainingStep
from spikeduel.engine.random_keys import RandomKeys, seeded
from spikeduel.evaluation import latency
from spikeduel.results.trials import Latency
from spikeduel.system import files, hardware, typed
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.hardware import Compute
from spikeduel.system.negligible import MAX_THREADS_RATIO
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
"""Untimed training steps with each number of threads, seconds of timed ones, and the most timed
steps.
"""
SITTINGS = 2
"""Times that each network's answers are timed."""
FORWARD_SHARE = 1 / 3
"""Inference time of an image as a share of its training step."""


class CachedThreads(typed.Frozen, frozen=True):
    """Median seconds of a training step with one thread and with `most`; the faster is kept."""

    most: int
    seconds_with_one: float
    seconds_with_most: float

    @property
    def threads(self) -> int:
        return (
            self.most if self.seconds_with_one > MAX_THREADS_RATIO * self.seconds_with_most else 1
        )


_WARM: set[str] = set()
"""Step keys of networks that took a step in this process."""


@contextmanager
def ready_to_train(
    trial: Trial, prepared: Prepared, store: Store, say: Callable[[str], None]
) -> Iterator[None]:
    """Compute on free cores with all threads or with one, as is faster for a training step: timed
    once on a machine and kept in the store, for numbers depend on the threads.

    Threads that the user chose stay. A training of a few steps is not timed, but begins after a
    step of a fresh network: to load and to compile is no training.
    """
    with hardware.threads_on_free_cores(say):
        most = torch.get_num_threads()
        threads = _open_threads(trial, store)
        try:
            if len(threads) > 1 and num_steps(trial) > MAX_UNTIMED_STEPS:
                threads = _step_seconds(trial, prepared, store, threads)[:1]
            elif _step_key(trial) not in _WARM:
                seconds_by_threads(trial, prepared, (most,), turns=1)
        except Exception:  # the training fails as well, and says so
            threads = (most,)
        torch.set_num_threads(threads[0])
        if threads[0] < most:
            say(f"1 of {most} threads: a training step with {most} is not faster")
        yield


def _open_threads(trial: Trial, store: Store) -> tuple[int, ...]:
    """Return the kept number of threads alone, or all and one if none is kept yet."""
    most = torch.get_num_threads()
    if most == 1 or hardware.are_threads_fixed():
        return (most,)
    with suppress(InputError):
        return (typed.read_json(_threads_file(trial, store, most), CachedThreads).threads,)
    return most, 1


def _threads_file(trial: Trial, store: Store, most: int) -> Path:
    place = hardware.environment(Compute(trial.device, trial.card.precision))
    key = typed.digest([_step_key(trial), most, place["cpu"], place["gpu"]])[:16]
    return store.root / "budgets" / f"threads-{key}.json"


def _step_seconds(
    trial: Trial, prepared: Prepared, store: Store, threads: Sequence[int]
) -> tuple[int, float]:
    """Return threads and seconds of the fastest training step; keep the choice among several."""
    seconds = seconds_by_threads(trial, prepared, threads)
    if len(threads) == 1:
        return threads[0], seconds[threads[0]]
    most, one = threads
    cached = CachedThreads(
        most=most, seconds_with_one=seconds[one], seconds_with_most=seconds[most]
    )
    typed.write_json(_threads_file(trial, store, most), cached)
    return cached.threads, seconds[cached.threads]


def num_steps(trial: Trial) -> int:
    """Return the number of training steps."""
    batch_size = trial.experiment.decided_batch_size
    return trial.experiment.num_epochs * math.ceil(len(trial.split.train) / batch_size)


def epoch_seconds(
    trials: Sequence[Trial],
    prepared: Prepared,
    store: Store,
    progress: Progress,
    known: dict[str, float] | None = None,
) -> dict[str, float]:
    """Return the seconds of an epoch of each trial's contender, unless a training step fails.

    `known` (by `timing_key`) are not timed again; new ones are added.
    """
    known = {} if known is None else known
    keys = {trial.card.contender: timing_key(trial) for trial in trials}
    new = [trial for trial in trials if keys[trial.card.contender] not in known]
    for trial in progress.track(new, "  timing some training steps", len(new)) if new else ():
        try:
            known[keys[trial.card.contender]] = seconds_of_an_epoch(trial, prepared, store)
        except SpikeduelError:
            raise
        except Exception as failure:  # its trial fails as well, and is recorded as failed
            progress.detail(f"  {trial.card.contender}: no training step could be timed: {failure}")
    return {name: known[key] for name, key in keys.items() if key in known}


def timing_key(trial: Trial) -> str:
    """Return a hash of all that an epoch's time depends on."""
    experiment = trial.experiment
    more = len(trial.split.train), experiment.augmentation, experiment.start
    return typed.digest([_step_key(trial), *more])


def _step_key(trial: Trial) -> str:
    """Return a hash of all that the fastest number of threads depends on."""
    card, experiment = trial.card, trial.experiment
    return typed.digest(
        [
            *(card.contender, typed.plain(card.network), card.image_shape, card.num_steps),
            *(card.encoding, card.precision, len(card.classes)),
            *(experiment.optimizer, experiment.decided_batch_size),
        ]
    )


def seconds_of_an_epoch(trial: Trial, prepared: Prepared, store: Store) -> float:
    """Return the mean seconds of an epoch with validation, from some training steps: of a long
    training, with its epochs with ReLU. Free cores compute, with all
    threads or one, as is faster.
    """
    batch_size = trial.experiment.decided_batch_size
    num_train, module = len(trial.split.train), outline(trial.card)
    num_forward = len(trial.split.val)
    if renews_statistics(module, trial.experiment, num_train):
        num_forward += num_train
    num_batches = math.ceil(num_train / batch_size) + FORWARD_SHARE * num_forward / batch_size
    share = relu_share(module, trial.experiment)
    with hardware.threads_on_free_cores():
        threads, step = _step_seconds(trial, prepared, store, _open_threads(trial, store))
        seconds = (1 - share) * step
        if share:
            of_relu = seconds_by_threads(trial, prepared, (threads,), WithoutSpikes)
            seconds += share * of_relu[threads]
    return seconds * num_batches


def seconds_by_threads(
    trial: Trial,
    prepared: Prepared,
    threads: Sequence[int],
    kind: type[Model] = Model,
    turns: int = WARM_UP + MAX_TIMED,
) -> dict[int, float]:
    """Return the median seconds of a fresh network's training step, with loading, by the number of
    `threads`, which take turns at each batch. The first `WARM_UP` of at most `turns` do not count,
    unless there are no others.
    """
    _WARM.add(_step_key(trial))
    card, experiment, before = trial.card, trial.experiment, torch.get_num_threads()
    with seeded(card.seed):
        model = kind(building.build(card).to(trial.device), card, card.precision)
        step = TrainingStep(model, rules_of(experiment), len(threads) * turns)
        model.module.train()
        seconds: dict[int, list[float]] = {number: [] for number in threads}
        epochs = (
            training_batches(
                *(*prepared.arrays, trial.split.train, experiment.decided_batch_size),
                *(card.seed, epoch),
            )
            for epoch in itertools.count()
        )
        batches = (batch for epoch in epochs for batch in on_device(epoch, model.device))
        begun = time.perf_counter()
        for turn, (batch, truth, indices) in enumerate(batches):
            loading = time.perf_counter() - begun
            for using in threads:
                torch.set_num_threads(using)
                started = time.perf_counter()
                float(step(batch, truth, RandomKeys.for_training(card.seed, 0, indices)))
                seconds[using].append(loading + time.perf_counter() - started)
            timed = [times[WARM_UP:] for times in seconds.values()]
            if sum(map(sum, timed)) > TIMED_SECONDS or turn + 1 == turns:
                break
            begun = time.perf_counter()
    torch.set_num_threads(before)
    hardware.release_freed_memory()
    return {
        number: statistics.median(times[WARM_UP:] or times) for number, times in seconds.items()
    }


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
        lambda: progress.say("another process is timing answers; waiting"),
    ):
        known = {trial.key: store.measure(trial.key, "latency", Latency) for trial, _ in timed}
        here = latency.machine(timed[0][0].device)
        if all(
            cached
            and structs.replace(cached.machine, load_average=here.load_average) == here
            and (not cached.machine.busy or here.busy)
            for cached in known.values()
        ):
            return {key: cached for key, cached in known.items() if cached}
        if when_idle and here.busy:
            return {}
        taken: dict[str, Latency] = {}
        sittings = [*timed] * SITTINGS
        for trial, prepared in progress.track(sittings, "timing answers", len(sittings)):
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
