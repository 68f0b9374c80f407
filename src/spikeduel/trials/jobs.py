"""Finish trials in this process, in several (`--jobs`), or in another `Pool` of workers."""

import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import traceback
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from spikeduel.data import Prepared, loader
from spikeduel.data.disk_arrays import pickled
from spikeduel.system import files, hardware, signals
from spikeduel.system.errors import InputError, SpikeduelError, naming
from spikeduel.system.progress import Progress, Relayed
from spikeduel.system.typed import digest
from spikeduel.trials import trial
from spikeduel.trials.contenders import Trial
from spikeduel.trials.store import Store, TrialRecord

MOST_LOSSES = 3
"""Losses of a trial's worker after which the trial is recorded as failed."""


@dataclass(frozen=True, eq=False)
class Job:
    """A trial to be finished (`trial.run`) on `prepared`; `announced` is said at its beginning."""

    trial: Trial
    prepared: Prepared
    progress: Progress
    test: bool = True
    announced: str = ""

    @property
    def key(self) -> str:
        return self.trial.key

    def announce(self) -> None:
        if self.announced:
            self.progress.say(self.announced)


class Workers(AbstractContextManager["Workers"]):
    """Finishes jobs in this process, one after another. Subclasses are opened by `with`."""

    at_once = 1
    """Jobs that run at the same time."""

    def __init__(self, threads: int | None = None) -> None:
        """Compute with `threads` threads within `with`.

        Raises `InputError` if there are fewer cores.
        """
        self.threads = threads
        if threads is not None:
            require_threads(threads, len(hardware.cores()))

    def __enter__(self) -> "Workers":
        if self.threads is not None:
            hardware.compute_on(self.threads)
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """Return the record of each job, finished."""
        records, before = {}, None
        for job in in_order(jobs):
            if before is not None and before is not job.prepared:
                before.let_go()
            before = job.prepared
            job.announce()
            records[job.key] = trial.run(job.trial, job.prepared, store, job.progress, job.test)
        return [records[job.key] for job in jobs]


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Return each job once, in order, twins before the jobs that start from them."""
    by_key = {job.key: job for job in reversed(jobs)}
    ordered: dict[str, Job] = {}
    for job in jobs:
        if (twin := job.trial.twin) and twin in by_key:
            ordered.setdefault(twin, by_key[twin])
        ordered.setdefault(job.key, by_key[job.key])
    return list(ordered.values())


def require_threads(threads: int, cores: int) -> None:
    """Raise `InputError` unless there are as many cores."""
    if not 1 <= threads <= cores:
        raise InputError(
            f"--threads {threads}: there {'is 1 core' if cores == 1 else f'are {cores} cores'} for "
            f"a trial."
        )


class Message(NamedTuple):
    """A message from the worker of job `key`.

    `event` is a method of `Progress`, "ended" (with a record or an error to raise) or "lost" (with
    the reason).
    """

    key: str
    event: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Task:
    """A job for a worker; the data are sent separately."""

    trial: Trial
    test: bool
    home: str = field(default_factory=os.getcwd)
    """Folder in which the user's own code may lie."""

    def run(
        self, data: Callable[[], Prepared], store: Store, send: Callable[[Message], None]
    ) -> Message:
        """Finish the trial in `store` and return the last message, not sent by `send`."""
        if self.home not in sys.path:
            sys.path.append(self.home)
        key = self.trial.key
        progress = Relayed(lambda method, arguments: send(Message(key, method, arguments)))
        end: TrialRecord | Exception
        try:
            end = trial.run(self.trial, data(), store, progress, self.test)
        except SpikeduelError as error:
            end = error
        except Exception:  # which may not survive the way to another process
            end = RuntimeError(f"{self.trial.card.title}:\n{traceback.format_exc()}")
        return Message(key, "ended", (end,))


class Pool(Workers):
    """Workers elsewhere: a subclass starts jobs (`begin`) and receives `messages`."""

    worker_name: str

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Any] = {}

    @abstractmethod
    def place(self, prepared: Prepared) -> Any:
        """Put data where all workers find them; return where."""

    @abstractmethod
    def begin(self, job: Job, store: Store) -> None:
        """Start `job` on a worker."""

    @abstractmethod
    def messages(self) -> Sequence[Message]:
        """Wait a while for new messages and return them."""

    @abstractmethod
    def has_room(self) -> bool:
        """Return True if another job may begin."""

    def place_of_data(self, job: Job) -> Any:
        """Return the place of the job's data, put there once for equal data."""
        # The fingerprint of recordings does not tell their binning.
        key = job.prepared.fingerprint, digest(job.prepared.preprocessing.described())
        if key not in self._places:
            self._places[key] = self.place(job.prepared)
        return self._places[key]

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """See `Workers.run`. A trial that the store holds whole is not sent."""
        whole = [job for job in jobs if trial.is_whole(job.trial, store, job.test)]
        found = super().run(whole, store)
        records = {job.key: record for job, record in zip(whole, found, strict=True)}
        waiting = {job.key: job for job in in_order(jobs) if job.key not in records}
        running: dict[str, Job] = {}
        losses = Counter[str]()
        while waiting or running:
            for key, job in list(waiting.items()):
                if self.has_room() and job.trial.twin not in {*waiting, *running}:
                    if not losses[key]:
                        job.announce()
                    self.begin(waiting.pop(key), store)
                    running[key] = job
            for key, event, arguments in self.messages():
                job = running[key]
                if event == "ended":
                    (end,) = arguments
                    if isinstance(end, Exception):
                        raise end
                    records[key] = end
                elif event == "lost":
                    losses[key] += 1
                    if losses[key] < MOST_LOSSES:
                        waiting = {key: job, **waiting}
                        job.progress.say(
                            f"  {job.trial.card.title}: {self.worker_name} was lost "
                            f"({arguments[0]}); it begins again"
                        )
                        job.progress.finished(job.trial.card.title, "")
                    else:
                        records[key] = self.given_up(job, arguments[0], store)
                else:
                    getattr(job.progress, event)(*arguments)
                    continue
                del running[key]
        return [records[job.key] for job in jobs]

    def given_up(self, job: Job, reason: str, store: Store) -> TrialRecord:
        """Record a job as failed whose worker was lost too often."""
        error = (
            f"{self.worker_name} was lost {MOST_LOSSES} times ({reason}). Is there too little "
            "memory for so many at once?"
        )
        record = trial.mark_failed(job.trial, store, error, job.test)
        outcome = "failed" if record.error else "trained, but not measured"
        job.progress.finished(job.trial.card.title, f"{outcome}, {error}")
        return record


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    key: str | None = None


class Processes(Pool):
    """Processes on their own cores (`--jobs N`), which write into the store."""

    worker_name = "its process"

    def __init__(self, jobs: int, threads: int | None = None) -> None:
        """Run `jobs` processes of `threads` threads (None: an equal share of the cores).

        Raises `InputError` if there are fewer cores.
        """
        super().__init__()
        cores = hardware.cores()
        if not 1 <= jobs <= len(cores):
            raise InputError(
                f"--jobs {jobs}: {len(cores)} cores can be used here, and each trial needs one of "
                f"its own. Give 1 to {len(cores)}."
            )
        share = len(cores) // jobs
        each = share if threads is None else threads
        require_threads(each, share)
        self.at_once, self._are_threads_chosen = jobs, threads is not None
        self._cores = [cores[first : first + each] for first in range(0, jobs * each, each)]
        self._workers: dict[int, _Worker] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="spikeduel-")

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *error: Any) -> None:
        for worker in self._workers.values():
            worker.process.kill()
            worker.process.join()
        self._workers.clear()
        self._folder.cleanup()

    def has_room(self) -> bool:
        return bool(self._free())

    def _free(self) -> list[int]:
        return [
            number
            for number in range(self.at_once)
            if number not in self._workers or self._workers[number].key is None
        ]

    def begin(self, job: Job, store: Store) -> None:
        number = self._free()[0]
        if number not in self._workers:
            self._workers[number] = self._start(number, job.trial.device)
        worker = self._workers[number]
        worker.key = job.key
        task, data = Task(job.trial, job.test), self.place_of_data(job)
        with suppress(OSError):  # `messages` tells of a process that has just died
            worker.pipe.send((task, data, store.root.absolute()))

    def messages(self) -> Sequence[Message]:
        received: list[Message] = []
        busy = {worker.pipe: number for number, worker in self._workers.items() if worker.key}
        for pipe in wait(list(busy)):
            number = busy[pipe]  # type: ignore[index]
            worker = self._workers[number]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                del self._workers[number]
                code = worker.process.exitcode or 0
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                message = Message(worker.key or "", "lost", (how,))
            if message.event == "ended":
                worker.key = None
            received.append(message)
        return received

    def place(self, prepared: Prepared) -> Path:
        """See `Pool.place`: write a file that says where the arrays lie. Raises `InputError`."""
        with (
            naming("--jobs hands data on in the folder that TMPDIR names"),
            files.writing_to(Path(self._folder.name)),
        ):
            folder = Path(tempfile.mkdtemp(dir=self._folder.name))
            file = folder / "data.pickle"
            file.write_bytes(pickled(prepared, folder))
        return file

    def _start(self, number: int, device: str) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        cores = self._cores[number]
        process = context.Process(
            target=_work,
            args=(theirs, (len(cores), cores, self._are_threads_chosen), self.at_once),
            name=f"spikeduel-{number}",
            daemon=True,
        )
        # Libraries read the variables when the process loads them.
        before = dict(os.environ)
        os.environ["OMP_NUM_THREADS"] = str(len(cores))
        if device == "cuda" and len(gpus := hardware.gpus()) > 1:
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        try:
            with signals.hidden_from_children():
                process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        theirs.close()
        return _Worker(process, ours)


def _work(pipe: Connection, threads: tuple[int, list[int], bool], at_once: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hardware.compute_on(*threads)
    loader.share_memory(at_once)
    last: dict[Path, Prepared] = {}
    stores: dict[Path, Store] = {}

    def data_in(file: Path) -> Prepared:
        if file not in last:
            last.clear()  # a set may take much memory
            last[file] = pickle.loads(files.read_bytes(file))
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
