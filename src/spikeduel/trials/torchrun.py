"""Train one network in the processes of torchrun.

Rank 0 evaluates and writes; all train on their part of every batch.
"""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from spikeduel import data
from spikeduel.data import Prepared, Split
from spikeduel.networks import building
from spikeduel.networks.cards import ModelCard
from spikeduel.networks.models import Model
from spikeduel.networks.training_step import Ranks
from spikeduel.settings import Experiment
from spikeduel.system import hardware
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.trials.training import Loop, Training

TIMEOUT = timedelta(days=365)
"""Longest wait for another rank: rank 0 may work for hours between two trainings.

Torchrun notices a rank that ends.
"""


class TrainingLost(SpikeduelError):
    """A training in several processes that broke off, in this rank or another one."""


@dataclass(frozen=True)
class SharedTraining:
    """A training as rank 0 tells the other ranks of it."""

    card: ModelCard
    experiment: Experiment
    split: Split
    device: str
    threads: int


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes of torchrun.

    Only rank 0 enters; the others train until it leaves, and exit.
    """
    backend = "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    distributed.init_process_group(backend, timeout=TIMEOUT)
    if distributed.get_rank() > 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _follow()
        raise SystemExit
    yield
    # After an error, others may wait in the middle of a training: torchrun ends them.
    _from_rank_zero(None)
    distributed.destroy_process_group()


def train(loop: Loop) -> Training:
    """Run `loop` in all processes of torchrun, else in this one.

    Raises what `loop.run` raises, and `TrainingLost`.
    """
    if hardware.num_processes() == 1:
        return loop.run()
    device = loop.model.device.type
    if device not in ("cpu", "cuda"):
        raise InputError(
            f"torchrun: several processes train on CPUs or CUDA GPUs, not on {device}."
        )
    card, threads = loop.model.card, torch.get_num_threads()
    _from_rank_zero(SharedTraining(card, loop.experiment, loop.split, device, threads))
    return _run(loop)


def _run(loop: Loop) -> Training:
    ranks = Ranks(distributed.get_rank(), distributed.get_world_size())
    try:
        return replace(loop, ranks=ranks).run()
    except SpikeduelError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise TrainingLost(
            f"{loop.model.card.title}: training broke off in process {ranks.rank + 1} of "
            f"{ranks.size} ({reason}). Finished epochs are saved: the same command goes on from "
            "there."
        ) from error


def _follow() -> None:
    prepared: Prepared | None = None
    while isinstance(task := _from_rank_zero(None), SharedTraining):
        torch.set_num_threads(task.threads)
        prepared = _data_of(task, prepared)
        model = Model(building.build(task.card).to(task.device), task.card, task.card.precision)
        checkpoint = Path(os.devnull)
        _run(Loop(model, *prepared.held, task.split, task.experiment, checkpoint, Progress()))


def _data_of(task: SharedTraining, before: Prepared | None) -> Prepared:
    """Return the data of `task`: `before`, of the training before, or loaded.

    Raises `InputError` for other data.
    """
    wanted = task.card.trained_on["fingerprint"], task.card.preprocessing
    if before is not None and (before.fingerprint, before.preprocessing) == wanted:
        return before
    prepared = data.load(task.experiment)
    if (prepared.fingerprint, prepared.preprocessing) != wanted:
        raise InputError(
            f"{task.experiment.dataset}: has other content on {socket.gethostname()}. Give all "
            "hosts the same data, or one cache on a shared disk ($SPIKEDUEL_CACHE)."
        )
    return prepared


def _from_rank_zero(task: SharedTraining | None) -> Any:
    return Ranks(distributed.get_rank(), distributed.get_world_size()).from_rank_zero(lambda: task)
