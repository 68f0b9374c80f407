"""One training in several processes: the first one's, in which the others, which do nothing else,
are called to join.

They make the same network and load the same data themselves, from the cache that they share or one
of their own. The weights, and the state that is gone on from, are the first one's.
"""

import dataclasses
import gc
import os
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from spikeduel import data
from spikeduel.data import Prepared, Split
from spikeduel.networks import building
from spikeduel.networks.models import Model, ModelCard
from spikeduel.settings import Experiment
from spikeduel.system import hardware, teams
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials.training import Loop, Training


@dataclass(frozen=True, eq=False)
class Task:
    """A training as one process tells it to another: what is trained on what, in which way, on
    which kind of device with how many threads; and the network that it learns from, with its
    weights.
    """

    card: ModelCard
    experiment: Experiment
    split: Split
    device: str
    threads: int
    twin: tuple[ModelCard, dict[str, Tensor]] | None


@contextmanager
def joined(devices: int | None) -> Iterator[None]:
    """Within, this is the process that runs the command; the others, where there are any, wait to
    join its trainings.

    They never get there: they exit when it ends. Nor does one that starts `devices` processes,
    which run the command in its place. Raises `InputError`, and `ProcessLost`.
    """
    if not teams.are_started():
        if devices is not None and devices > 1:
            raise SystemExit(teams.launch(devices, "-m", "spikeduel", *sys.argv[1:]))
        yield
        return
    with teams.joined() as rank:
        if rank > 0:
            _follow()
            raise SystemExit
        if devices is not None and devices != hardware.num_processes():
            raise InputError(
                f"--devices {devices}: torchrun has started {hardware.num_processes()}. Leave "
                f"--devices out."
            )
        yield


def train(loop: Loop) -> Training:
    """`loop.run()`, in all processes that were started. Raises what it raises, in any of them, and
    `ProcessLost`.
    """
    if hardware.num_processes() == 1:
        return loop.run()
    if loop.model.device.type not in ("cpu", "cuda"):
        raise InputError(
            f"--devices: several processes train on CPUs or CUDA GPUs, not on "
            f"{loop.model.device.type}."
        )
    twin = None
    if loop.twin is not None:
        twin = (
            loop.twin.card,
            {name: each.cpu() for name, each in loop.twin.module.state_dict().items()},
        )
    device, threads = loop.model.device.type, torch.get_num_threads()
    task = Task(loop.model.card, loop.experiment, loop.split, device, threads, twin)
    teams.call(task)
    teams.agree(_failure_of_device(task.device))
    return _joined(loop)


def _joined(loop: Loop) -> Training:
    """`loop.run()` in a team of all processes, which agree that it has ended well."""
    training, failure = Training(), None
    try:
        training = _in_a_team(loop)
    except Exception as error:
        failure = error
        # Its frames hold connections on which others may wait: without them they notice.
        traceback.clear_frames(error.__traceback__)
        gc.collect()
    teams.agree(failure)
    return training


def _in_a_team(loop: Loop) -> Training:
    with teams.training(loop.model.device) as team:
        return dataclasses.replace(loop, team=team).run()


def _follow() -> None:
    """Trains whenever the first process does, until it ends."""
    prepared: Prepared | None = None
    while isinstance(task := teams.called(), Task):
        torch.set_num_threads(task.threads)
        loop, failure = None, _failure_of_device(task.device)
        try:
            prepared = _data_of(task, prepared)
            loop = _loop(task, prepared)
        except Exception as error:
            failure = failure or error
        try:
            teams.agree(failure)
            if loop is not None:
                _joined(loop)
        except teams.ProcessLost:
            return
        except Exception:
            pass  # the first process has heard of it


def _data_of(task: Task, before: Prepared | None) -> Prepared:
    wanted = task.card.trained_on["fingerprint"]
    for prepared in (before, None):
        prepared = prepared or data.load(task.experiment)
        if prepared.fingerprint == wanted and prepared.preprocessing == task.card.preprocessing:
            return prepared
    raise InputError(
        f"{task.experiment.dataset}: has other content for the process on {socket.gethostname()}. "
        f"Give all hosts the "
        "same data, or one cache on a shared disk ($SPIKEDUEL_CACHE)."
    )


def _loop(task: Task, prepared: Prepared) -> Loop:
    def model(card: ModelCard) -> Model:
        return Model(building.build(card).to(task.device), card, card.precision)

    twin = None
    if task.twin is not None:
        card, weights = task.twin
        twin = model(card)
        twin.module.load_state_dict(weights)
        twin.module.eval()
    return Loop(
        model(task.card),
        *prepared.held,
        task.split,
        task.experiment,
        Path(os.devnull),
        Progress(),
        twin=twin,
    )


def _failure_of_device(device: str) -> Exception | None:
    local, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", 1)), torch.cuda.device_count()
    if device == "cuda" and gpus < local:
        return InputError(
            f"--devices: {local} processes and {gpus} GPUs on {socket.gethostname()}. Start no "
            f"more."
        )
    return None
