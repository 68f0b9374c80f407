"""Train trials at the same time in processes of this machine (`--jobs`), each on its own cores."""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from spikeduel.data import Prepared, loader
from spikeduel.data.disk_arrays import SharedPayload
from spikeduel.system import files, hardware, signals
from spikeduel.system.errors import InputError, naming
from spikeduel.trials.jobs import Job, Message, Pool, Task, require_threads
from spikeduel.trials.store import Store


@dataclass
class _Worker:
    """A process, the pipe to it, and the key of the job that it works on."""

    process: BaseProcess
    pipe: Connection
    key: str | None = None


class Processes(Pool):
    """`--jobs N`: a number of processes, which write into the store themselves."""

    worker_name = "its process"

    def __init__(self, jobs: int, threads: int | None = None) -> None:
        """Run `jobs` processes with `threads` threads each (None: an equal share of the cores).

        Raises `InputError` if there are fewer cores.
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
            number
            for number, worker in enumerate(self._workers)
            if worker is None or worker.key is None
        )
        worker = self._workers[number] or self._start(number, job.trial.device)
        self._workers[number] = worker
        worker.key = job.key
        task, data = Task(job.trial, job.test), self.place_of_data(job)
        with suppress(OSError):  # `messages` tells of a process that has just died
            worker.pipe.send((task, data, store.root.absolute()))

    def messages(self) -> Sequence[Message]:
        """See `Pool.messages`."""
        received: list[Message] = []
        busy = {worker.pipe: worker for worker in self._workers if worker and worker.key}
        for pipe in wait(list(busy)):
            worker = busy[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                self._workers[self._workers.index(worker)] = None
                message = Message(worker.key or "", "lost", (_how_it_ended(worker.process),))
            if message.is_end:
                worker.key = None
            received.append(message)
        return received

    def place(self, payload: SharedPayload) -> Path:
        """See `Pool.place`: write a file that says where the arrays lie. Raises `InputError`."""
        with (
            naming("--jobs hands data on in the folder that TMPDIR names"),
            files.writing_to(Path(self._folder.name)),
        ):
            folder = Path(tempfile.mkdtemp(dir=self._folder.name))
            file = folder / "data.pickle"
            file.write_bytes(pickle.dumps(payload.in_files(folder)))
        return file

    def _start(self, number: int, device: str) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        threads = self.threads, self._cores[number], self._are_threads_chosen
        process = context.Process(
            target=_work,
            args=(theirs, threads, self.at_once),
            name=f"spikeduel-{number}",
            daemon=True,
        )
        variables = {"OMP_NUM_THREADS": str(self.threads)}
        if device == "cuda" and len(gpus := hardware.gpus()) > 1:
            variables["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        # Libraries read the variables when the process loads them.
        with _environment(variables), signals.hidden_from_children():
            process.start()
        theirs.close()
        return _Worker(process, ours)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name)
        os.environ.update(before)


def _how_it_ended(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _work(pipe: Connection, threads: tuple[int, list[int], bool], at_once: int) -> None:
    """Run tasks one after another, until there are none or the parent process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hardware.compute_on(*threads)
    loader.share_memory(at_once)
    last: dict[Path, Prepared] = {}
    stores: dict[Path, Store] = {}

    def data_in(file: Path) -> Prepared:
        if file not in last:
            last.clear()  # a set may take much memory
            last[file] = pickle.loads(files.read_bytes(file)).load()
        return last[file]

    while True:
        try:
            task, file, root = pipe.recv()
        except EOFError:
            return
        store = stores.setdefault(root, Store(root))
        pipe.send(task.run(lambda file=file: data_in(file), store, pipe.send))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
