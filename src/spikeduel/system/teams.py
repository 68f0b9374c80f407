"""Several processes that train one network, started by PyTorch's torchrun: who they are, what each
takes of a batch.

The first process leads: it runs the command, and calls the others when a network is to be trained.
Messages between them go over gloo, whatever the device; a training has a group of its own, which
ends with it. A process that ends takes its connections with it, so that nobody waits for it:
waiting has no short limit, since a command may prepare data, measure or draw for hours between two
trainings.
"""

import atexit
import gc
import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from spikeduel.system import hardware
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.shared_sums import OthersLeft, SharedSums, shared_sums
from spikeduel.system.signals import Stopped

T = TypeVar("T")
Numbers = TypeVar("Numbers", np.ndarray, Tensor)

WAITED_FOR_WORK = timedelta(days=365)
"""For a call of the first process, or its word after an epoch."""
WAITED_FOR_SUMS = timedelta(minutes=10)
"""For the others in a training step: longer than a first step takes that compiles kernels, or loads
them.
"""
LOOKED_AFTER = 1.0
"""Seconds between two looks whether torchrun still lives."""


@dataclass(frozen=True)
class Share:
    """The images `start` to `stop` that this process takes of a batch of `total`, and those who
    take the others.

    A batch of fewer images than processes is everybody's, whole; one process counts it.
    """

    start: int
    stop: int
    total: int
    team: "Team"

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole batch."""
        return self.stop - self.start == self.total

    @property
    def counted(self) -> int:
        """The number of images that this process counts."""
        return self.stop - self.start if not self.is_whole or self.team.rank == 0 else 0

    @property
    def weight(self) -> float:
        """What to multiply the mean loss of its images by, so that the mean over processes is that
        over the batch.
        """
        return 1.0 if self.is_whole else (self.stop - self.start) * self.team.size / self.total

    def of(self, batch: np.ndarray, lead: int = 0) -> np.ndarray:
        """Its part of `batch` `[B]`; before it the `lead` entries that come before, round the
        end.
        """
        return batch if self.is_whole else batch[np.arange(self.start - lead, self.stop)]

    def of_all(self, count: int) -> int:
        """What `count` numbers of its images are in the whole batch."""
        return count // (self.stop - self.start) * self.total

    def moments(self, found: Numbers) -> Numbers:
        """`found` float64 `[2, C]`, mean and biased variance of its images, which become those of
        the whole batch.
        """
        found[1] += found[0] ** 2
        found *= (self.stop - self.start) / self.total
        self.team.sum(found)
        found[1] = (found[1] - found[0] ** 2).clip(0)
        return found


SHARE: ContextVar[Share | None] = ContextVar("share", default=None)
"""Of the batch that passes a network now, where there are others who take a part: what is taken
over a batch is taken over the whole one then.
"""


@dataclass(frozen=True)
class Team:
    """The processes that train a network together, and which of them this is: one alone, unless
    there is a `group`.
    """

    group: Any = None
    rank: int = 0
    size: int = 1
    sums: SharedSums | None = None

    def share(self, total: int) -> Share:
        """What this process takes of a batch of `total` images: sizes differ by one at most."""
        if total < self.size:
            return Share(0, total, total, self)
        return Share(
            total * self.rank // self.size, total * (self.rank + 1) // self.size, total, self
        )

    def sum(self, x: Numbers) -> Numbers:
        """`x`, contiguous, which becomes the sum over all."""
        if self.sums is not None:
            self.sums.sum(np.asarray(x).reshape(-1))
        elif self.size > 1:
            dist.all_reduce(torch.as_tensor(x), group=self.group)
        return x

    def decided(self, function: Callable[[], T]) -> T:
        """What `function` returns in the first process, in all of them. Raises what it raises."""
        if self.size == 1:
            return function()
        if self.rank > 0:
            value, failed = _told(None)
            if failed:
                raise Abandoned("the first process has failed.")
            return value
        try:
            value = function()
        except Exception:
            _told((None, True))
            raise
        _told((value, False))
        return value

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Within, this process computes in its part of the threads: more of them than cores wait
        for one another.
        """
        before, local = (
            torch.get_num_threads(),
            int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if self.size > 1 else 1,
        )
        torch.set_num_threads(
            max(1, min(before, len(hardware.cores()) // local)) if local > 1 else before
        )
        try:
            yield
        finally:
            torch.set_num_threads(before)


ALONE = Team()


class Abandoned(RuntimeError):
    """A training that another process has given up."""


class ProcessLost(SpikeduelError):
    """A process that trained with this one has ended, or cannot be reached."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} Finished epochs are saved: the same command goes on from there.")


def are_started() -> bool:
    """Whether torchrun has started this process with others."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1


def launch(number: int, *command: str) -> int:
    """Runs Python with `command` in `number` processes, by torchrun, and returns the exit code of
    the first. Raises `InputError`, `ProcessLost`, and `Stopped`.
    """
    if number > (cores := len(hardware.cores())) and number > torch.cuda.device_count():
        raise InputError(
            f"--devices {number}: there are {cores} cores here, and each process needs one of its "
            f"own."
        )
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable()  # torchrun's, of what is said here
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
    )
    try:
        elastic_launch(config, sys.executable)(*command)
    except SignalException as stopped:
        if stopped.sigval == signal.SIGTERM:
            raise Stopped(signal.SIGTERM) from None
        return Stopped(stopped.sigval).exit_code  # the first process has spoken
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        if codes.get(0, 0) > 0:
            return codes[0]  # it has said why
        # Those that torchrun ended for the sake of another one come last.
        rank, code = min(
            codes.items(), key=lambda item: (item[1] == -signal.SIGTERM, item[1] >= 0, item[0])
        )
        how = (
            f"was killed ({signal.Signals(-code).name})"
            if code < 0
            else f"ended with exit code {code}"
        )
        how += ", as systems do where memory runs out" if code == -signal.SIGKILL else ""
        raise ProcessLost(f"process {rank + 1} of {number} {how}.") from None
    return 0


@contextmanager
def joined() -> Iterator[int]:
    """Within, this process is one of those that torchrun started; which, it yields. The first ends
    the others' waiting.

    It ends when torchrun does.
    """
    left = threading.Event()
    watching = threading.Thread(target=_end_with, args=(os.getppid(), left))
    watching.start()
    try:
        dist.init_process_group("gloo", timeout=WAITED_FOR_WORK)
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        try:
            yield dist.get_rank()
        except Exception:
            _dismiss()
            raise
        _dismiss()
    finally:
        left.set()
        watching.join()
        if isinstance(sys.exception(), KeyboardInterrupt):
            # Gloo would wait for sums that are under way, and the others may be anywhere.
            atexit.register(_exit_at_once)
        elif dist.is_initialized():
            dist.destroy_process_group()


def _exit_at_once() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(Stopped().exit_code)


def _dismiss() -> None:
    with suppress(ProcessLost):
        if dist.get_rank() == 0:
            call(None)


def _end_with(parent: int, left: threading.Event) -> None:
    while not left.wait(LOOKED_AFTER):
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


def call(task: Any) -> None:
    """Gives the other processes a `task`; None ends them. Raises `ProcessLost`."""
    _told(task)


def called() -> Any:
    """The next task of the first process; None where there is none any more."""
    try:
        return _told(None)
    except RuntimeError:  # it has ended
        return None


def agree(failure: Exception | None) -> None:
    """Waits for all processes to come here. Raises `failure`, this one's, or that of another one,
    or `ProcessLost`.
    """
    number = hardware.num_processes()
    told: list[Any] = [None] * number
    own = (
        failure
        if failure is None or isinstance(failure, SpikeduelError)
        else f"{type(failure).__name__}: {failure}"
    )
    try:
        dist.all_gather_object(told, None if failure is not None and _is_lost(failure) else own)
    except RuntimeError:
        raise ProcessLost("a process that trained with this one has ended.") from None
    others = {
        rank: each for rank, each in enumerate(told) if each is not None and rank != dist.get_rank()
    }
    if failure is not None and not (others and _is_lost(failure)):
        raise failure
    for rank, each in others.items():
        raise (
            each
            if isinstance(each, SpikeduelError)
            else RuntimeError(f"process {rank + 1} of {number}: {each}")
        )


def _is_lost(failure: Exception) -> bool:
    """Whether this process failed for want of another one."""
    return isinstance(failure, Abandoned | OthersLeft | dist.DistError) or "gloo" in str(failure)


@contextmanager
def training(device: torch.device) -> Iterator[Team]:
    """Within, all processes train together. Who leaves it by an error ends what the others wait
    for.
    """
    group = dist.new_group(
        timeout=WAITED_FOR_SUMS, backend="nccl" if device.type == "cuda" else "gloo"
    )
    rank, size = dist.get_rank(), dist.get_world_size()
    try:
        if (
            device.type == "cuda"
            or size > int(os.environ["LOCAL_WORLD_SIZE"])
            or not hasattr(os, "sched_yield")
        ):
            yield Team(group, rank, size)
        else:
            patience, decided = WAITED_FOR_SUMS.total_seconds(), Team(group, rank, size).decided
            with shared_sums(rank, size, decided, lambda: dist.barrier(group), patience) as sums:
                yield Team(group, rank, size, sums)
    finally:
        if not isinstance(sys.exception(), KeyboardInterrupt):  # see `joined`
            # What is left of DistributedDataParallel holds the group's threads, and its
            # connections.
            gc.collect()
            dist.destroy_process_group(group)


def _told(value: Any) -> Any:
    """The first process's `value`, in all of them."""
    held = [value]
    try:
        dist.broadcast_object_list(held, src=0)
    except RuntimeError:
        if dist.get_rank() == 0:
            raise ProcessLost("a process that trained with this one has ended.") from None
        raise
    return held[0]
