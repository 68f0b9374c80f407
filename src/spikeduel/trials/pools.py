"""Trials at the same time, by workers elsewhere: who begins when, what is told of it, and what if a
worker is lost.
"""

import os
import sys
import traceback
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import spikeduel.system
from spikeduel.data import Prepared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.data.transfer import SharedPayload
from spikeduel.settings import NUMERICS_VERSION
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Relayed
from spikeduel.system.typed import digest
from spikeduel.trials import trial
from spikeduel.trials.contenders import Trial
from spikeduel.trials.jobs import Job, Workers, in_order
from spikeduel.trials.store import Store, TrialRecord

MOST_LOSSES = 3
"""A trial whose worker is lost so often is recorded as failed: most likely it is the trial that
costs the worker.
"""
VERSIONS = f"spikeduel {spikeduel.system.__version__}, numbers of version {NUMERICS_VERSION}"
Data = tuple[Prepared, dict[str, EvaluationBatches]]
"""What jobs share: a prepared set, and further test images by name."""


@dataclass(frozen=True)
class Task:
    """What a worker is told of a job; the data come apart from it."""

    trial: Trial
    test: bool
    versions: str = VERSIONS
    home: str = field(default_factory=os.getcwd)
    """The folder in which code of the user's own may lie."""

    def finish(
        self, data: Callable[[], Data], store: Store, tell: Callable[[str, tuple[Any, ...]], None]
    ) -> "Outcome":
        """Finishes the trial in `store`, on what `data` returns. What is meant for people, or
        broken, is part of the outcome.
        """
        if self.versions != VERSIONS:
            return Outcome(
                refused=f"a worker has {VERSIONS}, and this is {self.versions}. Install the same there."
            )
        if self.home not in sys.path:
            sys.path.append(self.home)
        try:
            prepared, altered = data()
            return Outcome(
                trial.run(self.trial, prepared, store, Relayed(tell), altered, self.test)
            )
        except SpikeduelError as error:
            return Outcome(refused=str(error))
        except Exception:
            return Outcome(broken=traceback.format_exc())


@dataclass(frozen=True)
class Outcome:
    """What became of a task: the trial's `record`; or it was `refused`, by what a user can mend, or
    is `broken`, a fault of the program; or its worker was `lost`, as this text says.
    """

    record: TrialRecord | None = None
    refused: str | None = None
    broken: str | None = None
    lost: str | None = None


@dataclass(frozen=True)
class News:
    """What a worker tells of the job `key`: its outcome, or a `method` of `Progress` to call, and
    its `arguments`.
    """

    key: str
    outcome: Outcome | None = None
    method: str = ""
    arguments: tuple[Any, ...] = ()


class Pool(Workers):
    """Workers elsewhere. A subclass says how a job gets there (`begin`) and what comes back
    (`news`).
    """

    what: ClassVar[str]
    """What a worker is called."""

    def __init__(self) -> None:
        self._handed: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    @abstractmethod
    def hand(self, taken: SharedPayload) -> Any:
        """Puts data where all workers find them, and returns where that is."""

    def data_of(self, job: Job) -> Any:
        """What `hand` returned for the job's data: once for all jobs on equal ones."""
        # The fingerprint of recordings does not say how they are binned.
        how = digest(job.prepared.preprocessing.described())
        named = job.prepared.fingerprint, how, id(job.altered) if job.altered else 0
        if named not in self._handed:
            # Held, so that nothing else can come to have its number.
            self._handed[named] = (
                job.altered,
                self.hand(SharedPayload.of((job.prepared, dict(job.altered)))),
            )
        return self._handed[named][1]

    @abstractmethod
    def begin(self, job: Job, store: Store) -> None:
        """Hands `job` to a worker that is free, or will be."""

    @abstractmethod
    def news(self) -> Sequence[News]:
        """What the workers told since this was last asked; waits for a while until they do."""

    @abstractmethod
    def has_room(self) -> bool:
        """Whether another job may begin."""

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """See `Workers.run`. What the store holds whole is not handed on."""
        records: dict[str, TrialRecord] = {}
        waiting, running, losses = (
            {job.key: job for job in in_order(jobs)},
            dict[str, Job](),
            Counter[str](),
        )
        for key, job in list(waiting.items()):
            if trial.is_whole(job.trial, job.altered, store, job.test):
                records[key] = waiting.pop(key).run(store)
        while waiting or running:
            for key, job in list(waiting.items()):
                if self.has_room() and job.trial.twin not in {*waiting, *running}:
                    if not losses[key]:
                        job.announce()
                    self.begin(waiting.pop(key), store)
                    running[key] = job
            for each in self.news():
                job = running[each.key]
                if each.outcome is None:
                    getattr(job.progress, each.method)(*each.arguments)
                    continue
                del running[each.key]
                losses[each.key] += bool(each.outcome.lost)
                record = self._concluded(job, each.outcome, losses[each.key], store)
                if record is None:
                    waiting = {each.key: job, **waiting}
                else:
                    records[each.key] = record
        return [records[job.key] for job in jobs]

    def _concluded(
        self, job: Job, outcome: Outcome, losses: int, store: Store
    ) -> TrialRecord | None:
        """The record of a job; None where it has to begin again."""
        if outcome.refused:
            raise InputError(outcome.refused)
        if outcome.broken:
            raise RuntimeError(f"{self.what}, {job.trial.card.title}:\n{outcome.broken}")
        if outcome.record:
            return outcome.record
        title = job.trial.card.title
        if losses < MOST_LOSSES:
            job.progress.say(f"  {title}: {self.what} was lost ({outcome.lost}); it begins again")
            job.progress.finished(title, "")
            return None
        error = f"{self.what} was lost {losses} times ({outcome.lost}). Is there too little memory for so many at once?"
        record = trial.given_up(job.trial, job.altered, store, error, job.test)
        job.progress.finished(
            title, f"{'failed' if record.error else 'trained, but not measured'}, {error}"
        )
        return record
