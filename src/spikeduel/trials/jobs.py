"""Trials to be finished, and who does it: this process, one after another; or others at the same
time (`pools`).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from spikeduel.data import Prepared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.system import hardware
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import trial
from spikeduel.trials.contenders import Trial
from spikeduel.trials.store import Store, TrialRecord


@dataclass(frozen=True, eq=False)
class Job:
    """A trial to be finished, see `trial.run`: on which data, who is told of it, and what is said
    when it begins.
    """

    trial: Trial
    prepared: Prepared
    progress: Progress
    altered: Mapping[str, EvaluationBatches] = field(default_factory=dict)
    test: bool = True
    announced: str = ""

    @property
    def key(self) -> str:
        """The trial's."""
        return self.trial.key

    def run(self, store: Store) -> TrialRecord:
        """Finishes it here and now."""
        return trial.run(self.trial, self.prepared, store, self.progress, self.altered, self.test)

    def announce(self) -> None:
        """Says what is to be said when it begins."""
        if self.announced:
            self.progress.say(self.announced)


class Workers(AbstractContextManager["Workers"]):
    """Who finishes jobs: this process, one job after another. Others may be opened for as long as a
    `with` block.
    """

    at_once = 1
    """So many jobs are worked on at the same time."""

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: Any) -> None:
        pass

    def run(self, jobs: Sequence[Job], store: Store) -> list[TrialRecord]:
        """The record of each job, finished; those that others start from go first."""
        records, before = {}, None
        for job in in_order(jobs):
            if before is not None and before is not job.prepared:
                before.let_go()
            before = job.prepared
            job.announce()
            records[job.key] = job.run(store)
        return [records[job.key] for job in jobs]


class ThisProcess(Workers):
    """This process, with so many threads."""

    def __init__(self, threads: int) -> None:
        """Raises `InputError` where there are fewer cores than threads."""
        require_threads(threads, len(hardware.cores()))
        self.threads = threads

    def __enter__(self) -> "Workers":
        hardware.compute_on(self.threads)
        return self


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Each once, as they come; one that others start from before these."""
    by_key = {job.key: job for job in reversed(jobs)}
    ordered: dict[str, Job] = {}
    for job in jobs:
        if (twin := job.trial.twin) and twin in by_key:
            ordered.setdefault(twin, by_key[twin])
        ordered.setdefault(job.key, by_key[job.key])
    return list(ordered.values())


def require_threads(threads: int, cores: int) -> None:
    """Raises `InputError` unless there are so many cores: more threads than these wait for one
    another.
    """
    if not 1 <= threads <= cores:
        raise InputError(
            f"--threads {threads}: there {'is 1 core' if cores == 1 else f'are {cores} cores'} for "
            f"a trial."
        )
