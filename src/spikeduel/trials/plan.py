"""The plan of a comparison: what is trained, what the store has of it, and how long it takes. Made
once, before anything is trained, and never changed.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from spikeduel.data import Prepared, Split
from spikeduel.networks import building
from spikeduel.results.power import ContenderTime
from spikeduel.results.run import Budget, SetRules
from spikeduel.settings import Experiment
from spikeduel.system import typed
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.trials import controls
from spikeduel.trials.auto_settings import ResolvedExperiment, seconds_of_an_epoch
from spikeduel.trials.contenders import Contender, Trial, trials_of
from spikeduel.trials.store import Store, TrialRecord

FEW_STEPS = 500
"""Training steps in all that take no longer than timing them would."""


@dataclass(frozen=True, eq=False)
class Plan:
    """All that a comparison trains. `experiment` is `asked` with its open settings decided, by
    `rules` and `budget`. `records` has None for the `trials` to be trained. `refused` says why
    contenders cannot be converted. `num_controls` networks are trained for controls.
    """

    asked: Experiment
    experiment: Experiment
    contenders: tuple[Contender, ...]
    trials: tuple[Trial, ...]
    records: tuple[TrialRecord | None, ...]
    times: tuple[ContenderTime, ...]
    rules: SetRules | None
    budget: Budget | None
    refused: Mapping[str, str]
    num_controls: int

    @property
    def missing(self) -> list[Trial]:
        """Trials that the store lacks."""
        return [
            trial for trial, record in zip(self.trials, self.records, strict=True) if record is None
        ]

    @property
    def seconds(self) -> dict[str, float | None]:
        """Training time of each missing trial by its title, None where it is not known."""
        known = self.seconds_by_contender
        return {trial.card.title: known.get(trial.card.contender) for trial in self.missing}

    @property
    def seconds_by_contender(self) -> dict[str, float]:
        """Training time of one trial of each contender whose time is known."""
        return {time.contender: time.epochs * time.epoch_seconds for time in self.times}

    @cached_property
    def parameters(self) -> dict[str, int]:
        """Number of trained numbers of each contender, by name."""
        return {
            contender.name: building.num_parameters(contender.outline)
            for contender in self.contenders
        }


def make(
    resolved: ResolvedExperiment,
    prepared: Prepared,
    splits: Sequence[Split],
    store: Store,
    progress: Progress,
    refused: Mapping[str, str] | None = None,
    timed: dict[str, float] | None = None,
) -> Plan:
    """Plan a trial for each contender, seed and fold, and time training steps of contenders whose
    time is not known; not if all training is shorter than that.

    With `timed`, seconds of an epoch by `timing_key`, all that it lacks are timed, and added.
    """
    trials = trials_of(resolved.experiment, prepared, *splits, contenders=resolved.contenders)
    records = [store.record(trial.key) for trial in trials]
    epoch_seconds = dict(resolved.budget.epoch_seconds) if resolved.budget else {}
    is_short = timed is None and not epoch_seconds and _num_steps(trials, records) <= FEW_STEPS
    if not is_short:
        known = {*epoch_seconds, *(_contender_of(record) for record in records if record)}
        untimed = [
            trial for trial in _first_trials(trials).values() if trial.card.contender not in known
        ]
        epoch_seconds |= _timed_now(untimed, prepared, {} if timed is None else timed, progress)
    return Plan(
        asked=resolved.asked,
        experiment=resolved.experiment,
        contenders=resolved.contenders,
        trials=tuple(trials),
        records=tuple(records),
        times=() if is_short else tuple(_times(trials, records, epoch_seconds, len(splits))),
        rules=resolved.rules,
        budget=resolved.budget,
        refused=refused or {},
        num_controls=sum(controls.num_trained(trial, prepared) for trial in trials),
    )


def _num_steps(trials: Sequence[Trial], records: Sequence[TrialRecord | None]) -> int:
    missing = {
        trial.card.contender
        for trial, record in zip(trials, records, strict=True)
        if record is None
    }
    return sum(
        math.ceil(len(trial.split.train) / trial.experiment.decided_batch_size)
        * trial.experiment.num_epochs
        for trial in trials
        if trial.card.contender in missing
    )


def _timed_now(
    trials: Sequence[Trial], prepared: Prepared, timed: dict[str, float], progress: Progress
) -> dict[str, float]:
    """Return the seconds of an epoch by contender, without networks that take no training step."""
    keys = {trial.card.contender: timing_key(trial) for trial in trials}
    new = [trial for trial in trials if keys[trial.card.contender] not in timed]
    for trial in progress.track(new, "  timing some training steps", len(new)) if new else ():
        try:
            timed[keys[trial.card.contender]] = seconds_of_an_epoch(trial, prepared)
        except SpikeduelError:
            raise
        except Exception as failure:  # its trial fails as well, and is recorded as failed
            progress.detail(f"  {trial.card.contender}: no training step could be timed: {failure}")
    return {name: timed[key] for name, key in keys.items() if key in timed}


def timing_key(trial: Trial) -> str:
    """Return a hash of all that the time of the trial's epochs depends on."""
    card, experiment = trial.card, trial.experiment
    names = ("augmentation", "optimizer", "decided_batch_size")
    return typed.digest(
        [
            *(card.contender, typed.plain(card.network), card.image_shape, card.num_steps),
            *(card.encoding, card.precision, len(card.classes), len(trial.split.train)),
            {name: getattr(experiment, name) for name in names},
        ]
    )


def _times(
    trials: Sequence[Trial],
    records: Sequence[TrialRecord | None],
    epoch_seconds: Mapping[str, float],
    num_folds: int,
) -> list[ContenderTime]:
    times = []
    for contender, first in _first_trials(trials).items():
        known = [record for record in records if record and _contender_of(record) == contender]
        if known:
            epochs = statistics.fmean(len(record.history) for record in known)
            seconds = statistics.median(
                [second for record in known for second in record.epoch_seconds] or [0.0]
            )
        elif contender in epoch_seconds:
            epochs, seconds = first.experiment.num_epochs, epoch_seconds[contender]
        else:
            continue
        times.append(
            ContenderTime(
                contender=contender,
                epochs=epochs,
                epoch_seconds=seconds,
                seed_seconds=epochs * seconds * num_folds,
                from_store=bool(known),
            )
        )
    return times


def _first_trials(trials: Sequence[Trial]) -> dict[str, Trial]:
    first: dict[str, Trial] = {}
    for trial in trials:
        first.setdefault(trial.card.contender, trial)
    return first


def _contender_of(record: TrialRecord) -> str:
    return str(record.settings["contender"])
