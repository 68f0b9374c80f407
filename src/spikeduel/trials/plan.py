"""Plan of a comparison: trials, stored results, time, and chance to find a difference."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import Prepared, Split
from spikeduel.networks import building
from spikeduel.results import power
from spikeduel.results.power import SEEDS, Case, ContenderTime, Forecast, Source, Variability
from spikeduel.results.study import DuelPlan, TrialPlan
from spikeduel.results.trials import Classification
from spikeduel.results.uncertainty import effective_groups, numbered
from spikeduel.settings import Experiment
from spikeduel.system import typed
from spikeduel.system.errors import InputError, SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.trials import auto_settings, controls
from spikeduel.trials.auto_settings import ResolvedExperiment
from spikeduel.trials.contenders import Trial, check, trials_of
from spikeduel.trials.outcomes import TrialOutcome, pooled, tested
from spikeduel.trials.run_folder import located
from spikeduel.trials.store import Store, TrialRecord

FEW_STEPS = 500
"""Training steps in all that take no longer than timing them would."""
BYTES_OF_AN_ANSWER, BYTES_OF_A_TRIAL = 24, 100_000
"""Bytes on disk of the answer to one test image, and of a trial without weights."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan(ResolvedExperiment):
    """All that a comparison trains. `records` has None for the `trials` to be trained."""

    trials: tuple[Trial, ...]
    records: tuple[TrialRecord | None, ...]
    times: tuple[ContenderTime, ...]

    @property
    def missing(self) -> list[Trial]:
        both = zip(self.trials, self.records, strict=True)
        return [trial for trial, record in both if record is None]

    @property
    def seconds(self) -> dict[str, float | None]:
        """Training time of each missing trial by its title, None if unknown."""
        known = self.seconds_by_contender
        return {trial.card.title: known.get(trial.card.contender) for trial in self.missing}

    @property
    def seconds_by_contender(self) -> dict[str, float]:
        """Training time of one trial of each contender, if known."""
        return {time.contender: time.epochs * time.epoch_seconds for time in self.times}


def make(
    resolved: ResolvedExperiment,
    prepared: Prepared,
    splits: Sequence[Split],
    store: Store,
    progress: Progress,
    timed: dict[str, float] | None = None,
) -> Plan:
    """Plan a trial for each contender, seed and fold, and time the contenders that are not in
    `timed` (seconds of an epoch by `timing_key`), which is filled. Without `timed`, a short
    training is not timed.
    """
    trials = trials_of(resolved.experiment, prepared, *splits, contenders=resolved.contenders)
    plan = Plan(
        **vars(resolved),
        trials=tuple(trials),
        records=tuple(store.record(trial.key) for trial in trials),
        times=(),
    )
    epoch_seconds = dict(resolved.budget.epoch_seconds) if resolved.budget else {}
    if timed is None and not epoch_seconds and _num_steps(plan.missing) <= FEW_STEPS:
        return plan
    first = {trial.card.contender: trial for trial in reversed(trials)}
    known: dict[str, list[TrialRecord]] = {name: [] for name in first}
    for record in filter(None, plan.records):
        known[record.settings["contender"]].append(record)
    names = [contender.name for contender in plan.contenders]
    new = [first[name] for name in names if not known[name] and name not in epoch_seconds]
    epoch_seconds |= _timed_now(new, prepared, {} if timed is None else timed, progress)
    times = []
    for name in names:
        if records := known[name]:
            epochs = statistics.fmean(len(record.history) for record in records)
            seconds = statistics.median(
                [second for record in records for second in record.epoch_seconds] or [0.0]
            )
        elif name in epoch_seconds:
            epochs, seconds = first[name].experiment.num_epochs, epoch_seconds[name]
        else:
            continue
        times.append(
            ContenderTime(
                contender=name,
                epochs=epochs,
                epoch_seconds=seconds,
                seed_seconds=epochs * seconds * len(splits),
                from_store=bool(records),
            )
        )
    return replace(plan, times=tuple(times))


def _num_steps(trials: Sequence[Trial]) -> int:
    return sum(
        trial.experiment.num_epochs
        * math.ceil(len(trial.split.train) / trial.experiment.decided_batch_size)
        for trial in trials
    )


def _timed_now(
    trials: Sequence[Trial], prepared: Prepared, timed: dict[str, float], progress: Progress
) -> dict[str, float]:
    keys = {trial.card.contender: timing_key(trial) for trial in trials}
    new = [trial for trial in trials if keys[trial.card.contender] not in timed]
    for trial in progress.track(new, "  timing some training steps", len(new)) if new else ():
        try:
            seconds = auto_settings.seconds_of_an_epoch(trial, prepared)
            timed[keys[trial.card.contender]] = seconds
        except SpikeduelError:
            raise
        except Exception as failure:  # its trial fails as well, and is recorded as failed
            progress.detail(f"  {trial.card.contender}: no training step could be timed: {failure}")
    return {name: timed[key] for name, key in keys.items() if key in timed}


def timing_key(trial: Trial) -> str:
    """Return a hash of all that an epoch's time depends on."""
    card, experiment = trial.card, trial.experiment
    return typed.digest(
        [
            *(card.contender, typed.plain(card.network), card.image_shape, card.num_steps),
            *(card.encoding, card.precision, len(card.classes), len(trial.split.train)),
            *(experiment.augmentation, experiment.optimizer, experiment.decided_batch_size),
        ]
    )


def forecast(
    experiment: Experiment,
    lead: float = power.LEAD,
    spread: float | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """Return the chance to find a true `lead` (a fraction) and the training time, by the number of
    seeds, without training. The variation over seeds is `spread` (a fraction), that of stored
    trials, or assumed. Raises `InputError`.
    """
    progress = progress or Progress()
    store = store if isinstance(store, Store) else Store(store)
    if not 0 < lead < 1 or (spread is not None and not 0 <= spread < 0.5):
        raise InputError(
            "the difference must lie between 0 and 100 points, the spread between 0 and 50."
        )
    if len(experiment.contenders) < 2:
        raise InputError("a difference takes two contenders: name another --contender.")
    check(experiment)
    experiment = located(experiment)
    prepared = data.load(experiment, progress.track, say=progress.say)
    splits = data.splits(prepared, experiment)
    resolved = auto_settings.resolve(experiment, prepared, splits[0], store, progress)
    all_seeds = replace(resolved.experiment, seeds=max(SEEDS))
    resolved = replace(resolved, experiment=all_seeds)
    plan = make(resolved, prepared, splits, store, progress, timed={})
    source, known = _variability(plan, prepared, splits, store, spread)
    comparisons = math.comb(len(experiment.contenders), 2)
    cases = [
        Case(
            **case,
            variability=variability,
            chances=[power.chance(variability, lead, seeds, comparisons) for seeds in SEEDS],
            seeds_needed=power.seeds_needed(variability, lead, comparisons),
        )
        for case, variability in known
    ]
    return Forecast(
        dataset=prepared.name,
        test_images=len(tested(splits)),
        lead=lead,
        comparisons=comparisons,
        source=source,
        cases=cases,
        folds=experiment.folds,
        times=list(plan.times),
        trained=min((trial.card.seed for trial in plan.missing), default=max(SEEDS)),
    )


def duel_plan(
    label: str, dataset: str, plan: Plan, prepared: Prepared, splits: Sequence[Split]
) -> DuelPlan:
    """Return the plan of a duel's trials."""
    parameters = {
        contender.name: building.num_parameters(contender.outline) for contender in plan.contenders
    }
    return DuelPlan(
        label=label,
        dataset=dataset,
        test_images=len(tested(splits)),
        trials=[
            TrialPlan(
                contender=trial.card.contender,
                title=trial.card.title,
                key=trial.key,
                stored=record is not None,
                seconds=plan.seconds_by_contender.get(trial.card.contender),
                bytes=4 * parameters[trial.card.contender]
                + BYTES_OF_AN_ANSWER * len(trial.split.test)
                + BYTES_OF_A_TRIAL,
            )
            for trial, record in zip(plan.trials, plan.records, strict=True)
        ],
        controls=sum(controls.num_trained(trial, prepared) for trial in plan.trials),
    )


def _variability(
    plan: Plan, prepared: Prepared, splits: Sequence[Split], store: Store, spread: float | None
) -> tuple[Source, list[tuple[dict[str, Any], Variability]]]:
    """Return the source of the variability, and that of every two contenders or spread."""
    test, names = tested(splits), plan.experiment.contenders
    groups = None if prepared.groups is None else np.asarray(prepared.groups)[test]
    outcomes = [
        TrialOutcome(record, {"classification": answers})
        for record in plan.records
        if record and (answers := store.measure(record.key, "classification", Classification))
    ]
    right = {
        name: {seed: np.equal(*both) for seed, both in pooled(outcomes, name).items()}
        for name in names
    }
    if spread is None and (known := _by_pair(right, groups, names)):
        return "store", known
    cluster = numbered(groups)
    weigh = None if cluster is None else effective_groups(cluster)
    return "assumed" if spread is None else "given", [
        ({"spread": over_seeds}, power.assumed_variability(over_seeds, len(test), weigh))
        for over_seeds in (power.ASSUMED_SPREADS if spread is None else (spread,))
    ]


def _by_pair(
    right: Mapping[str, Mapping[int, np.ndarray]],
    groups: np.ndarray | None,
    contenders: Sequence[str],
) -> list[tuple[dict[str, Any], Variability]]:
    pairs = []
    for a, b in itertools.combinations([name for name in contenders if name in right], 2):
        if len(seeds := sorted(right[a].keys() & right[b].keys())) > 1:
            right_a, right_b = (np.array([right[name][seed] for seed in seeds]) for name in (a, b))
            pairs.append(({"a": a, "b": b}, power.variability_of(right_a, right_b, groups)))
    return pairs
