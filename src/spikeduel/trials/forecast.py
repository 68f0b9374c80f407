"""Forecast before anything is trained: the seeds that a difference takes to be found, and how long
these train.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import Split
from spikeduel.results import power
from spikeduel.results.power import SEEDS, Case, Forecast, Source, Variability
from spikeduel.results.study import DuelPlan, TrialPlan
from spikeduel.results.trials import Classification
from spikeduel.results.uncertainty import effective_groups, numbered
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import auto_settings, contenders
from spikeduel.trials import plan as plans
from spikeduel.trials.outcomes import TrialOutcome, pooled, tested
from spikeduel.trials.plan import Plan
from spikeduel.trials.run_folder import located
from spikeduel.trials.store import Store

BYTES_OF_AN_ANSWER, BYTES_OF_A_TRIAL = 24, 100_000
"""Bytes on the disk of the answer to one test image, and of the rest of a trial without weights."""


def forecast(
    experiment: Experiment,
    lead: float = power.LEAD,
    spread: float | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """Return how likely a true `lead` (a fraction) is found, and the training time, by the number
    of seeds. Trains nothing.

    The variation over seeds is `spread` (a fraction) if given; else that of trials in the `store`
    if two contenders have two seeds; else assumed. Raises `InputError`.
    """
    progress = progress or Progress()
    store = store if isinstance(store, Store) else Store(store)
    if not 0 < lead < 1 or (spread is not None and not 0 <= spread < 0.5):
        raise InputError(
            "the difference must lie between 0 and 100 points, the spread between 0 and 50."
        )
    if len(experiment.contenders) < 2:
        raise InputError("a difference takes two contenders: name another --contender.")
    contenders.check(experiment)
    experiment = located(experiment)
    prepared = data.load(experiment, progress.track, say=progress.say)
    splits = data.splits(prepared, experiment)
    resolved = auto_settings.resolve(experiment, prepared, splits[0], store, progress)
    experiment = resolved.experiment
    all_seeds = replace(resolved, experiment=replace(experiment, seeds=max(SEEDS)))
    plan = plans.make(all_seeds, prepared, splits, store, progress, timed={})
    answered = _answered(plan, store)
    test = tested(splits)
    groups = None if prepared.groups is None else np.asarray(prepared.groups)[test]
    source, known = _variability(experiment, spread, answered, groups, len(test))
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
        test_images=len(test),
        lead=lead,
        comparisons=comparisons,
        source=source,
        cases=cases,
        folds=experiment.folds,
        times=list(plan.times),
        trained=min((trial.card.seed for trial in plan.missing), default=max(SEEDS)),
    )


def duel_plan(label: str, dataset: str, plan: Plan, splits: Sequence[Split]) -> DuelPlan:
    """Return what the trials of a duel take."""
    missing = {trial.key for trial in plan.missing}
    return DuelPlan(
        label=label,
        dataset=dataset,
        test_images=len(tested(splits)),
        trials=[
            TrialPlan(
                contender=trial.card.contender,
                title=trial.card.title,
                key=trial.key,
                stored=trial.key not in missing,
                seconds=plan.seconds_by_contender.get(trial.card.contender),
                bytes=4 * plan.parameters[trial.card.contender]
                + BYTES_OF_AN_ANSWER * len(trial.split.test)
                + BYTES_OF_A_TRIAL,
            )
            for trial in plan.trials
        ],
        controls=plan.num_controls,
    )


def _answered(plan: Plan, store: Store) -> list[TrialOutcome]:
    return [
        TrialOutcome(record, {"classification": answers})
        for record in plan.records
        if record
        and (answers := store.measure(record.key, "classification", Classification)) is not None
    ]


def _variability(
    experiment: Experiment,
    spread: float | None,
    finished: Sequence[TrialOutcome],
    groups: np.ndarray | None,
    num_test: int,
) -> tuple[Source, list[tuple[dict[str, Any], Variability]]]:
    """Return the source of the variability, and that of every two contenders, or of every
    spread.
    """
    cluster = numbered(groups)
    weigh = None if cluster is None else effective_groups(cluster)
    right = {
        name: {seed: np.equal(*both) for seed, both in pooled(finished, name).items()}
        for name in experiment.contenders
    }
    if spread is None and (known := _by_pair(right, groups, experiment.contenders)):
        return "store", known
    return "assumed" if spread is None else "given", [
        ({"spread": over_seeds}, power.assumed_variability(over_seeds, num_test, weigh))
        for over_seeds in (power.ASSUMED_SPREADS if spread is None else (spread,))
    ]


def _by_pair(
    right: dict[str, dict[int, np.ndarray]], groups: np.ndarray | None, contenders: Sequence[str]
) -> list[tuple[dict[str, Any], Variability]]:
    """Return the variability of every two of `contenders` that have two or more seeds in common."""
    pairs = []
    for a, b in itertools.combinations([name for name in contenders if name in right], 2):
        if len(seeds := sorted(right[a].keys() & right[b].keys())) > 1:
            right_a, right_b = (np.array([right[name][seed] for seed in seeds]) for name in (a, b))
            pairs.append(({"a": a, "b": b}, power.variability_of(right_a, right_b, groups)))
    return pairs
