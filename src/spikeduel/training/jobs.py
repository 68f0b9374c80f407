"""Finish trials in this process, or in several (`--jobs`)."""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import traceback
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, Self

from spikeduel.data import Prepared, loader
from spikeduel.data.disk_arrays import pickled
from spikeduel.system import files, hardware, load, signals
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress, Relayed
from spikeduel.system.typed import digest
from spikeduel.training import trial
from spikeduel.training.contenders import Trial
from spikeduel.training.store import Store, TrialRecord

MAX_LOSSES = 3
"""Losses of a trial's worker after which the trial has failed."""


@dataclass(frozen=True, eq=False)
class Job:
    """A trial to be finished (`trial.run`) on `prepared`."""

    trial: Trial
    prepared: Prepared
    progress: Progress
    test: bool = True

    @property
    def key(self) -> str:
        return self.trial.key


class Workers(AbstractContextManager[Any]):
    """Workers that train the trials of a comparison: this process, one trial after another.

    Subclasses train several at a time. Open them by `with`.

    Parameters
    ----------
    threads : int, optional
        Threads of a trial. Default: all cores.

    Raises
    ------
    InputError
        If there are fewer cores.

    Examples
    --------
    >>> with Workers(threads=1) as workers:
    ...     workers.at_once
    1
    """

    at_once = 1
    threads: int | None = None

    def __init__(self, threads: int | None = None) -> None:
        """Compute with `threads` threads within `with`. Raises `InputError` if there are fewer
        cores.
        """
        self.threads = threads
        if threads is not None:
            require_threads(threads, len(load.cores()))

    def __enter__(self) -> Self:
        if self.threads is not None:
            hardware.compute_on(self.threads)
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """Return the record of each job, finished."""
        records, before = {}, None
        for job in {job.key: job for job in jobs}.values():
            if before is not None and before is not job.prepared:
                before.release()
            before = job.prepared
            records[job.key] = trial.run(job.trial, job.prepared, store, job.progress, job.test)
        return [records[job.key] for job in jobs]


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


Task = tuple[Trial, Prepared | bytes, bool]
"""A job as a worker gets it: trial, data (or pickled), `Job.test`."""


def finish(task: Task, store: Store, send: Callable[[Message], None]) -> Message:
    """Finish the task in `store`; return the last message."""
    planned, data, test = task
    progress = Relayed(lambda name, arguments: send(Message(planned.key, name, arguments)))
    end: TrialRecord | Exception
    try:
        prepared = pickle.loads(data) if isinstance(data, bytes) else data
        end = trial.run(planned, prepared, store, progress, test)
    except SpikeduelError as error:
        end = error
    except Exception:  # which may not survive the way to another process
        end = RuntimeError(f"{planned.card.title}:\n{traceback.format_exc()}")
    return Message(planned.key, "ended", (end,))


class Pool(Workers):
    """Workers elsewhere: a subclass starts jobs (`begin`) and receives `messages`."""

    worker_name: str

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Any] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __exit__(self, *error: Any) -> None:
        self._places.clear()
        if self._folder is not None:
            self._folder.cleanup()

    @abstractmethod
    def begin(self, job: Job, store: Store) -> None:
        """Start `job` on a worker."""

    @abstractmethod
    def messages(self) -> Iterable[Message]:
        """Wait a while for new messages and return them."""

    def has_room(self) -> bool:
        return True

    def put(self, prepared: Prepared) -> Any:
        """Put data where all workers find them, here in files of the cache; return where. Raises
        `InputError`.
        """
        with files.writing_to(files.cache_dir()):
            if self._folder is None:
                self._folder = files.scratch_folder()
            return pickled(prepared, Path(tempfile.mkdtemp(dir=self._folder.name)))

    def place_of_data(self, job: Job) -> Any:
        """Return the place of the job's data, put there once for equal data."""
        # The fingerprint of recordings does not tell their binning.
        key = job.prepared.fingerprint, digest(job.prepared.preprocessing.described())
        if key not in self._places:
            self._places[key] = self.put(job.prepared)
        return self._places[key]

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """See `Workers.run`. A trial that the store holds whole is not sent."""
        whole = [job for job in jobs if trial.is_whole(job.trial, store, job.test)]
        records = {record.key: record for record in super().run(whole, store)}
        waiting = {job.key: job for job in jobs if job.key not in records}
        running: dict[str, Job] = {}
        losses = Counter[str]()
        while waiting or running:
            for key, job in list(waiting.items()):
                if self.has_room():
                    self.begin(job, store)
                    running[key] = waiting.pop(key)
            for key, event, arguments in self.messages():
                job = running[key]
                if event not in ("ended", "lost"):
                    getattr(job.progress, event)(*arguments)
                    continue
                del running[key]
                (end,) = arguments
                if isinstance(end, Exception):
                    raise end
                if event == "ended":
                    records[key] = end
                    continue
                losses[key] += 1
                if losses[key] == MAX_LOSSES:
                    records[key] = self.give_up(job, end, store)
                    continue
                waiting = {key: job, **waiting}
                title = job.trial.card.title
                job.progress.say(f"  {title}: {self.worker_name} was lost ({end}); it begins again")
                job.progress.finished(title, "")
        return [records[job.key] for job in jobs]

    def give_up(self, job: Job, reason: str, store: Store) -> TrialRecord:
        """Record a job as failed whose worker was lost too often."""
        error = (
            f"{self.worker_name} was lost {MAX_LOSSES} times ({reason}). Is there too little "
            "memory for so many at once?"
        )
        record = trial.mark_failed(job.trial, store, error, job.test)
        outcome = "failed" if record.error else "trained, but not measured"
        job.progress.finished(job.trial.card.title, f"{outcome}, {error}")
        return record


@dataclass(eq=False)
class _Worker:
    number: int
    process: BaseProcess
    pipe: Connection
    key: str = ""
    """Key of the trial that it trains; "" if idle."""


class Processes(Pool):
    """Worker processes, each on its own cores (`--jobs N`).

    Parameters
    ----------
    jobs : int
        Number of processes.
    threads : int, optional
        Threads of each process. Default: an equal share of the cores.

    Raises
    ------
    InputError
        If there are fewer cores.

    Examples
    --------
    >>> with Processes(1) as workers:
    ...     workers.at_once
    1
    """

    worker_name = "its process"

    def __init__(self, jobs: int, threads: int | None = None) -> None:
        """Run `jobs` processes of `threads` threads (None: an equal share of the cores). Raises
        `InputError` if there are fewer cores.
        """
        super().__init__()
        cores = load.cores()
        if not 1 <= jobs <= len(cores):
            raise InputError(
                f"--jobs {jobs}: {len(cores)} cores can be used here, and each trial needs one of "
                f"its own. Give 1 to {len(cores)}."
            )
        share = len(cores) // jobs
        num_threads = share if threads is None else threads
        require_threads(num_threads, share)
        self.at_once, self._are_threads_chosen = jobs, threads is not None
        self._cores = [cores[number * num_threads :][:num_threads] for number in range(jobs)]
        self._workers: list[_Worker] = []

    def __exit__(self, *error: Any) -> None:
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
        self._workers.clear()
        super().__exit__(*error)

    def has_room(self) -> bool:
        return sum(bool(worker.key) for worker in self._workers) < self.at_once

    def begin(self, job: Job, store: Store) -> None:
        data = self.place_of_data(job)
        idle = (worker for worker in self._workers if not worker.key)
        worker = next(idle, None) or self._start(job.trial.device)
        worker.key = job.key
        with suppress(OSError):  # `messages` reports a process that has just died
            worker.pipe.send(((job.trial, data, job.test), store.root.absolute()))

    def messages(self) -> Iterable[Message]:
        busy: dict[Any, _Worker] = {worker.pipe: worker for worker in self._workers if worker.key}
        for pipe in wait(list(busy)):
            worker = busy[pipe]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                code = worker.process.exitcode or 0
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                message = Message(worker.key, "lost", (how,))
                self._workers.remove(worker)
            if message.event == "ended":
                worker.key = ""
            yield message

    def _start(self, device: str) -> _Worker:
        number = min({*range(self.at_once)} - {worker.number for worker in self._workers})
        cores = self._cores[number]
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = theirs, cores, self._are_threads_chosen, self.at_once
        process = context.Process(target=_work, args=arguments, daemon=True)
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
        self._workers.append(_Worker(number, process, ours))
        return self._workers[-1]


def _work(pipe: Connection, cores: list[int], are_chosen: bool, at_once: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    hardware.compute_on(len(cores), cores, are_chosen)
    loader.share_memory(at_once)
    with suppress(EOFError):
        while True:
            task, root = pipe.recv()
            pipe.send(finish(task, Store(root), pipe.send))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
