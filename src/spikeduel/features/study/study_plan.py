"""Plan of a study before training: its trials and their time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spikeduel.comparing import PreparedComparison
from spikeduel.features.study.study_files import PlannedDuel, Study
from spikeduel.statistics import min_datasets
from spikeduel.system.grouped import grouped
from spikeduel.system.numbers import duration
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted
from spikeduel.system.typed import Amount, Count, Frozen, Positive
from spikeduel.training import variants
from spikeduel.training.jobs import Workers
from spikeduel.training.outcomes import tested


@dataclass(frozen=True)
class PreparedDuel:
    """A prepared duel, named by `label`."""

    label: str
    planned: PlannedDuel
    ready: PreparedComparison
    tuned: Any
    progress: Progress


class TrialPlan(Frozen):
    """A trial before training: `seconds` of training (None: unknown)."""

    contender: str
    title: str
    key: str
    stored: bool
    seconds: Amount | None


class DuelPlan(Frozen):
    """A duel before training; their variants train up to `num_variants` more networks."""

    label: str
    dataset: str
    test_images: Positive
    trials: list[TrialPlan]
    num_variants: Count = 0
    family: str | None = None


class StudyPlan(Frozen):
    """A study before training, `at_once` trials at a time."""

    name: str
    at_once: Positive
    duels: list[DuelPlan]
    tuning_trials: Count = 0

    @property
    def trials(self) -> dict[str, tuple[DuelPlan, TrialPlan]]:
        """Trials once each, by key, with their first duel."""
        places = [(duel, trial) for duel in self.duels for trial in duel.trials]
        firsts = {trial.key: (duel, trial) for duel, trial in reversed(places)}
        return {trial.key: firsts[trial.key] for _, trial in places}

    @property
    def missing(self) -> list[TrialPlan]:
        return [trial for _, trial in self.trials.values() if not trial.stored]

    @property
    def pairs(self) -> int:
        """Number of pairs of variants on the data set with the most; contenders with the same first
        trial are one.
        """
        firsts = grouped(
            (duel.dataset, key)
            for duel in self.duels
            for key in {trial.contender: trial.key for trial in reversed(duel.trials)}.values()
        )
        return math.comb(max(len(set(keys)) for keys in firsts.values()), 2)


def plan_of(planned: Study, duels: Sequence[PreparedDuel], workers: Workers) -> StudyPlan:
    num_tuned = sum(len(duel.ready.plan.contenders) for duel in duels)
    return StudyPlan(
        name=planned.name,
        duels=[_duel_plan(duel, planned.dataset_of(duel.planned)) for duel in duels],
        at_once=workers.at_once,
        tuning_trials=planned.tuning.trials * num_tuned if planned.tuning else 0,
    )


def _duel_plan(duel: PreparedDuel, dataset: str) -> DuelPlan:
    plan = duel.ready.plan
    return DuelPlan(
        label=duel.label,
        dataset=dataset,
        test_images=len(tested(duel.ready.splits)),
        trials=[
            TrialPlan(
                contender=trial.card.contender,
                title=trial.card.title,
                key=trial.key,
                stored=record is not None,
                seconds=plan.seconds_by_contender.get(trial.card.contender),
            )
            for trial, record in zip(plan.trials, plan.records, strict=True)
        ],
        num_variants=sum(len(variants.titles(trial, duel.ready.prepared)) for trial in plan.trials),
        family=duel.planned.family,
    )


def rows(plan: StudyPlan) -> list[dict[str, str]]:
    rows = []
    for duel in plan.duels:
        missing = [trial for trial in duel.trials if not trial.stored]
        seconds = total_seconds(missing)
        training = "?" if seconds is None else duration(seconds) if missing else "–"
        rows.append(
            {
                "duel": duel.label,
                "test images": f"{duel.test_images:,}",
                "trials": f"{len(duel.trials)}",
                "to train": f"{len(missing)}",
                "training": training,
            }
        )
    return rows


def sentences(plan: StudyPlan) -> list[str]:
    datasets = {duel.dataset for duel in plan.duels}
    trials, missing = plan.trials, plan.missing
    texts = [
        f"{counted(len(trials), 'trial')} of {counted(len(plan.duels), 'duel')} on "
        f"{counted(len(datasets), 'data set')}; {len(missing):,} are to be trained."
    ]
    if sum(len(duel.trials) for duel in plan.duels) > len(trials):
        texts.append("Duels share trials: a shared trial is counted once here, and in each row.")
    if plan.tuning_trials:
        texts.append(
            f"Before that, {counted(plan.tuning_trials, 'trial')} of tuning, not counted here."
        )
    if num_variants := sum(duel.num_variants for duel in plan.duels):
        texts.append(
            f"Variants may train {counted(num_variants, 'network')} more, not counted here."
        )
    if (seconds := total_seconds(missing)) is None:
        texts.append("Training time unknown: a training step of some contender failed.")
    elif missing:
        at_once = " --jobs N trains several at a time."
        if plan.at_once > 1:
            at_once = f" {plan.at_once} at a time, at best {duration(seconds / plan.at_once)}."
        texts.append(f"Training takes about {duration(seconds)}, one trial after another.{at_once}")
    families = {duel.family or duel.dataset for duel in plan.duels}
    if plan.pairs and len(families) < min_datasets(plan.pairs):
        texts.append(
            f"Nothing can be shown over all data sets: it takes at least "
            f"{min_datasets(plan.pairs)} data sets, related ones counted once, to test "
            f"{counted(plan.pairs, 'pair')} of variants."
        )
    return texts


def total_seconds(trials: Sequence[TrialPlan]) -> float | None:
    seconds = [trial.seconds for trial in trials if trial.seconds is not None]
    return sum(seconds) if len(seconds) == len(trials) else None
