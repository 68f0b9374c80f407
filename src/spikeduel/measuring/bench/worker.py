"""A process of its own for each contender, driven through a pipe: memory, threads and crashes of one touch no other."""

import importlib
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from spikeduel.measuring.bench.contenders import Contender
from spikeduel.measuring.bench.workloads import Workload, batch
from spikeduel.system import hardware
from spikeduel.system.errors import SpikeduelError

EXTRA = ("snntorch", "spikingjelly")

_SECONDS_TO_TIDY_UP = 2
_PRELOADED = ["typer", "torch", "numba"]


class Failed(SpikeduelError):
    """A process could not do its work; the text says why, in one line."""


def _context() -> Any:
    # A fork of a process that has only imported is a fresh process without the seconds that the imports take.
    # Elsewhere than on Linux, system libraries do not survive a fork.
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


class Worker:
    """A contender at work on a workload, in a process that computes only when it is asked to. Raises `Failed`."""

    def __init__(self, contender: Contender, workload: Workload, threads: int) -> None:
        self._process, self._connection = _started(_train, contender, workload, threads)
        self.precision: str = self._answer()

    def steps(self, count: int) -> list[float]:
        """Trains for `count` steps: the milliseconds that each took."""
        return self._ask(count)

    def peak_memory_bytes(self) -> int | None:
        """The most memory that the process has held so far; None where the system does not say."""
        return self._ask(0)

    def close(self) -> None:
        """Ends the process."""
        _ended(self._process, self._connection)

    def _ask(self, count: int) -> Any:
        try:
            self._connection.send(count)
        except OSError:
            raise Failed(_end_of(self._process)) from None
        return self._answer()

    def _answer(self) -> Any:
        try:
            return _received(self._process, self._connection)
        except BaseException:
            self.close()
            raise


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function(*arguments)` returns, computed in a process of its own. Raises `Failed`."""
    process, connection = _started(_call, function, arguments)
    try:
        return _received(process, connection)
    finally:
        _ended(process, connection)


def _started(work: Callable[..., None], *arguments: Any) -> tuple[Any, Connection]:
    context = _context()
    here, there = context.Pipe()
    process = context.Process(target=_apart, args=(work, there, *arguments), daemon=True)
    process.start()
    there.close()
    return process, here


def _ended(process: Any, connection: Connection) -> None:
    # Its end of the pipe tells it to go, so that it can tidy up; in the midst of a step it does not listen.
    connection.close()
    process.join(_SECONDS_TO_TIDY_UP)
    process.kill()
    process.join()


def _received(process: Any, connection: Connection) -> Any:
    try:
        answer, error = connection.recv()
    except (EOFError, ConnectionError):
        raise Failed(_end_of(process)) from None
    if error is not None:
        raise Failed(error)
    return answer


def _end_of(process: Any) -> str:
    process.join()
    code = process.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"its process was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"its process ended with exit code {code}"


# ---- in the process


def _apart(work: Callable[..., None], connection: Connection, *arguments: Any) -> None:
    # Ctrl-C reaches every process of a terminal: the one that started this decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not end up in the JSON on standard output, nor in the progress bar.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        work(connection, *arguments)
    except EOFError:
        return
    except Exception as error:
        connection.send((None, in_one_line(error)))


def _call(connection: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    connection.send((function(*arguments), None))


def _train(connection: Connection, contender: Contender, workload: Workload, threads: int) -> None:
    """Builds and takes the first steps; then each request is a number of steps, answered by their milliseconds, or 0,
    answered by the peak of memory.
    """
    torch.set_num_threads(threads)
    if contender.keeps_memory:
        hardware.keep_freed_memory()
    torch.manual_seed(0)
    images, labels = batch(workload)
    module, _, function = contender.builder.partition(":")
    built = getattr(importlib.import_module(module), function)(workload, **contender.settings)
    for _ in range(built.first_steps):
        built.step(images, labels)
    connection.send((built.precision, None))
    while True:
        count = connection.recv()
        if count == 0:
            connection.send((hardware.peak_memory_bytes(), None))
            continue
        milliseconds = []
        for _ in range(count):
            started = time.perf_counter()
            built.step(images, labels)
            milliseconds.append(1e3 * (time.perf_counter() - started))
        connection.send((milliseconds, None))


def in_one_line(error: BaseException) -> str:
    """What went wrong, for the notes: the first line, without the folders of this machine."""
    if isinstance(error, ModuleNotFoundError) and error.name is not None and error.name.split(".")[0] in EXTRA:
        return f"needs {error.name.split('.')[0]}: pip install 'spikeduel[bench]'"
    lines = str(error).strip().splitlines()
    text = re.sub(r"(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][\w.+@-]+)+[/\\]", "", lines[0] if lines else "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
