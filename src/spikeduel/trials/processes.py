"""Trials at the same time in processes of this machine (`--jobs`), each with threads and cores of
its own.
"""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from spikeduel.data import loader
from spikeduel.data.transfer import SharedPayload
from spikeduel.system import files, hardware, signals
from spikeduel.system.errors import InputError, naming
from spikeduel.trials.jobs import Job, require_threads
from spikeduel.trials.pools import Data, News, Outcome, Pool, Task
from spikeduel.trials.store import Store


class _Order(NamedTuple):
    """What a process is handed: a task of a job, where its data lie, and its store."""

    key: str
    task: Task
    data: Path
    store: Path


@dataclass
class _Worker:
    """A process, the pipe to it, and the job that it works on."""

    process: BaseProcess
    pipe: Connection
    key: str | None = None


class Processes(Pool):
    """`--jobs N`: so many processes, which write into the store themselves."""

    what = "its process"

    def __init__(self, jobs: int, threads: int | None = None) -> None:
        """So many at once, each with `threads` threads (None: an equal share). Raises
        `InputError`.
        """
        super().__init__()
        cores = hardware.cores()
        if not 1 <= jobs <= len(cores):
            raise InputError(
                f"--jobs {jobs}: {len(cores)} cores can be used here, and each trial needs one of "
                f"its own. Give 1 to {len(cores)}."
            )
        self.at_once, share = jobs, len(cores) // jobs
        self._are_threads_chosen = threads is not None
        self.threads = share if threads is None else threads
        require_threads(self.threads, share)
        self._cores = [
            cores[first : first + self.threads]
            for first in range(0, jobs * self.threads, self.threads)
        ]
        self._workers: list[_Worker | None] = [None] * jobs
        self._folder = tempfile.TemporaryDirectory(prefix="spikeduel-")

    def __exit__(self, *error: Any) -> None:
        for worker in filter(None, self._workers):
            worker.process.kill()
            worker.process.join()
        self._workers = [None] * self.at_once
        self._folder.cleanup()

    def has_room(self) -> bool:
        """See `Pool.has_room`."""
        return any(worker is None or worker.key is None for worker in self._workers)

    def begin(self, job: Job, store: Store) -> None:
        """See `Pool.begin`."""
        number = next(
            n for n, worker in enumerate(self._workers) if worker is None or worker.key is None
        )
        worker = self._workers[number] = self._workers[number] or self._started(
            number, job.trial.device
        )
        order = _Order(job.key, Task(job.trial, job.test), self.data_of(job), store.root.absolute())
        worker.key = job.key
        # Of a process that has just died, `news` tells.
        with suppress(OSError):
            worker.pipe.send(order)

    def news(self) -> Sequence[News]:
        """See `Pool.news`."""
        told: list[News] = []
        busy = {
            worker.pipe: number
            for number, worker in enumerate(self._workers)
            if worker and worker.key
        }
        for pipe in wait(list(busy)):
            number = busy[pipe]  # type: ignore[index]
            worker = self._workers[number]
            assert worker is not None
            assert worker.key is not None
            try:
                news = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                self._workers[number] = None
                news = News(worker.key, Outcome(lost=_end_of(worker.process)))
            if news.outcome is not None:
                worker.key = None
            told.append(news)
        return told

    def _started(self, number: int, device: str) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        threads = self.threads, self._cores[number], self._are_threads_chosen
        arguments = theirs, threads, self.at_once
        process = context.Process(
            target=_work, args=arguments, name=f"spikeduel-{number}", daemon=True
        )
        # Libraries read them once, when they are loaded.
        variables = {"OMP_NUM_THREADS": str(self.threads)}
        if device == "cuda" and len(gpus := hardware.gpus()) > 1:
            variables["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        with _environment(variables), signals.hidden_from_children():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def hand(self, taken: SharedPayload) -> Path:
        """See `Pool.hand`: the file that says where the arrays lie. Raises `InputError` where it
        cannot be written.
        """
        with (
            naming("--jobs hands data on in the folder that TMPDIR names"),
            files.writing_to(Path(self._folder.name)),
        ):
            folder = Path(tempfile.mkdtemp(dir=self._folder.name))
            file = folder / "data.pickle"
            file.write_bytes(pickle.dumps(taken.in_files(folder)))
        return file


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _end_of(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _work(pipe: Connection, threads: tuple[int, list[int], bool], at_once: int) -> None:
    """What a process does: orders, one after another, until there are none or its parent is
    gone.
    """
    # Ctrl-C is for the parent, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hardware.compute_on(*threads)
    loader.share_memory(at_once)
    known: dict[Path, Data] = {}
    stores: dict[Path, Store] = {}
    while True:
        try:
            order: _Order = pipe.recv()
        except EOFError:
            return
        store = stores.setdefault(order.store, Store(order.store))

        def tell(method: str, arguments: tuple[Any, ...], key: str = order.key) -> None:
            pipe.send(News(key, method=method, arguments=arguments))

        pipe.send(
            News(order.key, order.task.finish(partial(_data_at, order.data, known), store, tell))
        )


def _data_at(file: Path, known: dict[Path, Data]) -> Data:
    """What `Processes.hand` left; `known` is the last set only, for each may take much memory."""
    if file not in known:
        known.clear()
        known[file] = pickle.loads(files.read_bytes(file)).load()
    return known[file]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
