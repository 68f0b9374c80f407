"""Who is timed: spikeduel, and peers in the ways that their users write them, each in its fastest
form too.

Each works in a process of its own, driven through a pipe: memory, threads and crashes of one touch
no other.
"""

import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.speed.step import networks
from benchmarks.speed.step.networks import Built, Peer, peer
from benchmarks.speed.step.workloads import Workload, batch
from spikeduel.system import hardware
from spikeduel.system.errors import SpikeduelError

PEERS = ("snntorch", "spikingjelly")
"""The packages that come with `pip install 'spikeduel[bench]'`."""
SPIKING = ("dense", "conv")
ALL = (*SPIKING, "cnn")
ALWAYS, NEVER = ("bf16", "float32"), ()


@dataclass(frozen=True)
class Contender:
    """`build` makes a `Built` of a workload, in a process of its own.

    `shapes` says which workloads it takes part in. `--quick` includes it on machines whose faster
    precision is in `quick`. `keeps_memory`: the process keeps freed memory, as in spikeduel's
    training.
    """

    name: str
    about: str
    build: Callable[[Workload], Built]
    shapes: tuple[str, ...] = SPIKING
    quick: tuple[str, ...] = ALWAYS
    keeps_memory: bool = False


def is_spikeduel(name: str) -> bool:
    """Whether the contender called so is spikeduel itself, in whatever precision."""
    return name.startswith("spikeduel")


def _fastest_forms(name: str, about: str, kind: type[Peer]) -> Iterator[Contender]:
    """A peer in float32, in bf16, and compiled; the last two also with spikeduel's setting of the
    memory allocator.
    """
    kept, tuned = "freed memory kept as in spikeduel", partial(peer, kind, tuned=True)
    bf16, compiled = partial(tuned, bf16=True), partial(tuned, bf16=True, compiled=True)
    yield Contender(name, f"{about}; float32", tuned, quick=("float32",))
    yield Contender(f"{name}-bf16", f"{about}; bf16 autocast", bf16, quick=("bf16",))
    yield Contender(
        f"{name}-inductor", f"{about}; bf16, compiled by torch.compile", compiled, quick=NEVER
    )
    yield Contender(f"{name}-bf16+memory", f"{about}; bf16, {kept}", bf16, SPIKING, NEVER, True)
    yield Contender(
        f"{name}-inductor+memory", f"{about}; compiled, {kept}", compiled, SPIKING, NEVER, True
    )


_FLOAT32 = partial(networks.spikeduel, precision="32")
_STUDY, _TAUGHT = partial(peer, networks.Study), partial(peer, networks.TaughtSpikingJelly)
_CNN, _CNN_TUNED = partial(peer, Peer), partial(peer, Peer, bf16=True, tuned=True)
_WHOLE = "snnTorch as the study wrote it, the whole network at every step (a conv network likewise); float32"
_ONCE = (
    "snnTorch, stateless layers once over all steps, a constant input once, its neurons in a loop"
)
_MULTI = "SpikingJelly in multi-step mode"
_HOISTED = f"{_MULTI}, a constant input through the first layer once"

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender(
            "spikeduel", "as `spikeduel compare` trains", networks.spikeduel, ALL, keeps_memory=True
        ),
        Contender("spikeduel-float32", "the same with --precision 32", _FLOAT32, ALL, NEVER, True),
        Contender("snntorch-study", _WHOLE, _STUDY),
        *_fastest_forms("snntorch-fastest", _ONCE, networks.SnnTorch),
        Contender(
            "spikingjelly", f"{_MULTI} as its documentation teaches; float32", _TAUGHT, quick=NEVER
        ),
        *_fastest_forms("spikingjelly-hoisted", _HOISTED, networks.SpikingJelly),
        Contender("torch-cnn", "the study's CNN in plain PyTorch; float32", _CNN, ("cnn",)),
        Contender(
            "torch-cnn-tuned",
            "the same; channels last, bf16 autocast, fused Adam",
            _CNN_TUNED,
            ("cnn",),
        ),
    )
}


def taking_part(workload: Workload, quick: bool, faster: str) -> list[Contender]:
    """The contenders of `workload`, spikeduel first; `faster` ("bf16" or "float32") is faster on
    this machine.
    """
    return [
        contender
        for contender in CONTENDERS.values()
        if workload.shape in contender.shapes and (not quick or faster in contender.quick)
    ]


# ---- at work


class Failed(SpikeduelError):
    """A process could not do its work; the text says why, in one line."""


class Worker:
    """A contender at work on a workload, in a process that computes only when it is asked to.
    Raises `Failed`.
    """

    def __init__(self, contender: Contender, workload: Workload, threads: int) -> None:
        # A fork of a process that has only imported is a fresh process without the seconds that the
        # imports take. Elsewhere than on Linux, system libraries do not survive a fork.
        on_linux = sys.platform == "linux"
        context: Any = multiprocessing.get_context("forkserver" if on_linux else "spawn")
        if on_linux:
            context.set_forkserver_preload(["typer", "torch", "numba"])
        self._connection, there = context.Pipe()
        arguments = (there, contender, workload, threads)
        self._process = context.Process(target=_apart, args=arguments, daemon=True)
        self._process.start()
        there.close()
        self.precision: str = self._answer()

    def steps(self, count: int) -> list[float]:
        """Trains for `count` steps: the milliseconds that each took."""
        return self._answer(count)

    def peak_memory_bytes(self) -> int | None:
        """The most memory that the process has held so far; None where the system does not say."""
        return self._answer(0)

    def _answer(self, request: int | None = None) -> Any:
        """The next answer, to `request` if there is one. Raises `Failed`, after which the process
        is ended.
        """
        try:
            if request is not None:
                self._connection.send(request)
            answer, error = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            ended = (
                f"was ended by {signal.Signals(-code).name}"
                if code < 0
                else f"ended with exit code {code}"
            )
            answer, error = (
                None,
                f"its process {ended}" + (" (out of memory?)" if ended.endswith("SIGKILL") else ""),
            )
        except BaseException:
            self.close()
            raise
        if error is not None:
            self.close()
            raise Failed(error)
        return answer

    def close(self) -> None:
        """Ends the process."""
        # Its end of the pipe tells it to go, so that it can tidy up; in the midst of a step it does
        # not listen.
        self._connection.close()
        self._process.join(2)
        self._process.kill()
        self._process.join()


def _apart(connection: Connection, *arguments: Any) -> None:
    """Runs `_train`, and sends `(None, error)` if it fails."""
    # Ctrl-C reaches every process of a terminal: the one that started this decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not end up in the JSON on standard output, nor in the progress bar.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        _train(connection, *arguments)
    except EOFError:
        return
    except Exception as error:
        connection.send((None, in_one_line(error)))


def _train(connection: Connection, contender: Contender, workload: Workload, threads: int) -> None:
    """Builds and takes the first steps; then each request is a number of steps, answered by their
    milliseconds, or 0, answered by the peak of memory. An answer is `(answer, None)`.
    """
    torch.set_num_threads(threads)
    if contender.keeps_memory:
        hardware.keep_freed_memory()
    torch.manual_seed(0)
    images, labels = batch(workload)
    built = contender.build(workload)
    for _ in range(built.first_steps):
        built.step(images, labels)
    connection.send((built.precision, None))
    while True:
        milliseconds = []
        for _ in range(count := connection.recv()):
            started = time.perf_counter()
            built.step(images, labels)
            milliseconds.append(1e3 * (time.perf_counter() - started))
        connection.send((milliseconds if count else hardware.peak_memory_bytes(), None))


def in_one_line(error: BaseException) -> str:
    """What went wrong, for the notes: the first line, without the folders of this machine."""
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name is not None
        and error.name.split(".")[0] in PEERS
    ):
        return f"needs {error.name.split('.')[0]}: pip install 'spikeduel[bench]'"
    lines = str(error).strip().splitlines()
    text = re.sub(
        r"(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][\w.+@-]+)+[/\\]", "", lines[0] if lines else ""
    )
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
