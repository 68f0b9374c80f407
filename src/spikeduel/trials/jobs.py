"""Finish trials: one after another in this process, or at the same time by a `Pool` of workers."""

import os
import sys
import traceback
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from spikeduel.data import Prepared
from spikeduel.data.disk_arrays import SharedPayload
from spikeduel.system import hardware
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress, Relayed
from spikeduel.system.typed import digest
from spikeduel.trials import trial
from spikeduel.trials.contenders import Trial
from spikeduel.trials.store import Store, TrialRecord

MOST_LOSSES = 3
"""Losses of a trial's worker after which the trial is recorded as failed: it most likely costs the
worker.
"""


@dataclass(frozen=True, eq=False)
class Job:
    """A trial to be finished (`trial.run`) on `prepared`; `announced` is said when it begins."""

    trial: Trial
    prepared: Prepared
    progress: Progress
    test: bool = True
    announced: str = ""

    @property
    def key(self) -> str:
        """Return the key of the trial."""
        return self.trial.key

    def run(self, store: Store) -> TrialRecord:
        """Finish the trial in this process."""
        return trial.run(self.trial, self.prepared, store, self.progress, self.test)

    def announce(self) -> None:
        """Say what is to be said when the job begins."""
        if self.announced:
            self.progress.say(self.announced)


class Workers(AbstractContextManager["Workers"]):
    """Finishes jobs in this process, one after another. Subclasses are opened by `with`."""

    at_once = 1
    """The number of jobs that run at the same time."""

    def __enter__(self) -> "Workers":
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
            records[job.key] = job.run(store)
        return [records[job.key] for job in jobs]


class ThisProcess(Workers):
    """This process with `threads` threads. Raises `InputError` if there are fewer cores."""

    def __init__(self, threads: int) -> None:
        require_threads(threads, len(hardware.cores()))
        self.threads = threads

    def __enter__(self) -> "Workers":
        hardware.compute_on(self.threads)
        return self


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Return each job once, in the given order, but twins before the jobs that start from them."""
    by_key = {job.key: job for job in reversed(jobs)}
    ordered: dict[str, Job] = {}
    for job in jobs:
        if (twin := job.trial.twin) and twin in by_key:
            ordered.setdefault(twin, by_key[twin])
        ordered.setdefault(job.key, by_key[job.key])
    return list(ordered.values())


def require_threads(threads: int, cores: int) -> None:
    """Raise `InputError` unless there are as many cores: threads on one core wait for another."""
    if not 1 <= threads <= cores:
        raise InputError(
            f"--threads {threads}: there {'is 1 core' if cores == 1 else f'are {cores} cores'} for "
            f"a trial."
        )


# ---- workers elsewhere


class Message(NamedTuple):
    """A message from the worker of the job `key`.

    `event` is a method of `Progress`, called with `arguments`; or the end of the job: its "record";
    "refused" with a reason that the user can mend; "broken" with a traceback; "lost" with the way
    in which the worker ended.
    """

    key: str
    event: str
    arguments: tuple[Any, ...]

    @property
    def is_end(self) -> bool:
        """Return True if the job has ended."""
        return self.event in ("record", "refused", "broken", "lost")


@dataclass(frozen=True)
class Task:
    """A job for a worker; the data are sent separately."""

    trial: Trial
    test: bool
    home: str = field(default_factory=os.getcwd)
    """The folder in which the user's own code may lie."""

    def run(
        self, data: Callable[[], Prepared], store: Store, send: Callable[[Message], None]
    ) -> Message:
        """Finish the trial in `store` and return the last message; `send` sends the others."""
        if self.home not in sys.path:
            sys.path.append(self.home)
        key = self.trial.key
        progress = Relayed(lambda method, arguments: send(Message(key, method, arguments)))
        try:
            record = trial.run(self.trial, data(), store, progress, self.test)
        except SpikeduelError as error:
            return Message(key, "refused", (str(error),))
        except Exception:
            return Message(key, "broken", (traceback.format_exc(),))
        return Message(key, "record", (record,))


class Pool(Workers):
    """Workers elsewhere: a subclass starts a job (`begin`) and receives messages (`messages`)."""

    worker_name: str

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Any] = {}

    @abstractmethod
    def place(self, payload: SharedPayload) -> Any:
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
        """Return the place of the job's data, put there once for all jobs with equal data."""
        # The fingerprint of recordings does not tell how they are binned.
        binning = digest(job.prepared.preprocessing.described())
        key = job.prepared.fingerprint, binning
        if key not in self._places:
            self._places[key] = self.place(SharedPayload.of(job.prepared))
        return self._places[key]

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """See `Workers.run`. A trial that the store holds whole is not sent to a worker."""
        records: dict[str, TrialRecord] = {}
        running: dict[str, Job] = {}
        losses = Counter[str]()
        waiting = {job.key: job for job in in_order(jobs)}
        for key, job in list(waiting.items()):
            if trial.is_whole(job.trial, store, job.test):
                records[key] = waiting.pop(key).run(store)
        while waiting or running:
            for key, job in list(waiting.items()):
                if self.has_room() and job.trial.twin not in {*waiting, *running}:
                    if not losses[key]:
                        job.announce()
                    self.begin(waiting.pop(key), store)
                    running[key] = job
            for message in self.messages():
                key, job = message.key, running[message.key]
                if not message.is_end:
                    getattr(job.progress, message.event)(*message.arguments)
                    continue
                del running[key]
                losses[key] += message.event == "lost"
                if record := self._record(job, message, losses[key], store):
                    records[key] = record
                else:
                    waiting = {key: job, **waiting}
        return [records[job.key] for job in jobs]

    def _record(self, job: Job, message: Message, losses: int, store: Store) -> TrialRecord | None:
        """Return the record of a job that has ended; None if it has to begin again."""
        (content,), title = message.arguments, job.trial.card.title
        if message.event == "refused":
            raise InputError(content)
        if message.event == "broken":
            raise RuntimeError(f"{self.worker_name}, {title}:\n{content}")
        if message.event == "record":
            record: TrialRecord = content
            return record
        if losses < MOST_LOSSES:
            job.progress.say(f"  {title}: {self.worker_name} was lost ({content}); it begins again")
            job.progress.finished(title, "")
            return None
        error = (
            f"{self.worker_name} was lost {losses} times ({content}). Is there too little memory "
            "for so many at once?"
        )
        record = trial.mark_failed(job.trial, store, error, job.test)
        outcome = "failed" if record.error else "trained, but not measured"
        job.progress.finished(title, f"{outcome}, {error}")
        return record
