"""Before anything is trained: how many seeds a difference takes to be found, and how long they will
train.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import Prepared, Split
from spikeduel.networks import building
from spikeduel.results import power, predictions
from spikeduel.results.forecast import SEEDS, Case, ContenderTime, Forecast, Source
from spikeduel.results.power import Luck
from spikeduel.results.study_plan import DuelPlan, TrialPlan
from spikeduel.results.trials import Classification
from spikeduel.results.uncertainty import effective_groups
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import controls, fitting, planning
from spikeduel.trials.planning import Trial
from spikeduel.trials.runs import Finished, located, pooled, tested
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.timing import contender_times
from spikeduel.trials.trial import trained

BYTES_OF_AN_ANSWER, BYTES_OF_A_TRIAL = 24, 100_000
"""On the disk: of a test image's answer, and of all of a trial that grows with neither images nor
weights.
"""


def forecast(
    experiment: Experiment,
    lead: float = power.LEAD,
    spread: float | None = None,
    run: Path | str | None = None,
    store: Store | Path | str | None = None,
    progress: Progress | None = None,
) -> Forecast:
    """How likely a true `lead` (a fraction) is found with how many seeds, and how long these train.
    Trains nothing.

    How much accuracy varies over seeds is `spread` (a fraction), if given; else as in the
    predictions of `run`; else as in trials of this experiment in the `store`, where it has two
    seeds of two contenders; else it is assumed. Raises `InputError`.
    """
    progress = progress or Progress()
    store = store if isinstance(store, Store) else Store(store)
    if not 0 < lead < 1 or (spread is not None and not 0 <= spread < 0.5):
        raise InputError(
            "the difference must lie between 0 and 100 points, the spread between 0 and 50."
        )
    if len(experiment.contenders) < 2:
        raise InputError("a difference takes two contenders: name another --contender.")
    planning.check(experiment)
    experiment = located(experiment)
    prepared = data.load(experiment, progress.track, say=progress.say)
    splits = data.splits(prepared, experiment)
    fitted = fitting.fit(experiment, prepared, splits, store, progress)
    experiment, timed = fitted.experiment, fitted.budget.epoch_seconds if fitted.budget else {}
    every = replace(experiment, seeds=max(SEEDS))
    trials = [each for split in splits for each in planning.plan(every, prepared, split)]
    records = [store.record(each.key) for each in trials]
    finished = _answered(records, store)
    test = tested(splits)
    groups = None if prepared.groups is None else np.asarray(prepared.groups)[test]
    source, known = _known_luck(experiment, spread, run, finished, groups, len(test))
    comparisons = math.comb(len(experiment.contenders), 2)
    cases = [
        Case(
            **of,
            luck=luck,
            chances=[power.chance(luck, lead, seeds, comparisons) for seeds in SEEDS],
            seeds_needed=power.seeds_needed(luck, lead, comparisons),
        )
        for of, luck in known
    ]
    return Forecast(
        dataset=prepared.name,
        test_images=len(test),
        lead=lead,
        comparisons=comparisons,
        source=source,
        spread_of=_other_data(run, prepared) if run is not None and source == "run" else None,
        cases=cases,
        folds=experiment.folds,
        times=contender_times(trials, records, timed, prepared, progress),
        trained=_seeds_in_store(trials, records),
    )


def duel_plan(
    label: str,
    dataset: str,
    trials: Sequence[Trial],
    times: Sequence[ContenderTime],
    prepared: Prepared,
    splits: Sequence[Split],
    store: Store,
) -> DuelPlan:
    """What the trials of a duel take, by the `times` of those that are to be trained, and which
    leads it can find.
    """
    experiment, test = trials[0].experiment, tested(splits)
    records = [store.record(each.key) for each in trials]
    contenders = list(dict.fromkeys(each.card.contender for each in trials))
    groups = None if prepared.groups is None else np.asarray(prepared.groups)[test]
    duel = replace(experiment, contenders=tuple(contenders), per_contender=None)
    source, known = _known_luck(duel, None, None, _answered(records, store), groups, len(test))
    pairs = max(1, math.comb(len(contenders), 2))
    leads = [power.smallest_lead(luck, experiment.seeds, pairs) for _, luck in known]
    found = [each for each in leads if each is not None]
    spreads = [power.spread(luck, experiment.seeds) for _, luck in known]
    seconds = {each.contender: each.epochs * each.epoch_seconds for each in times}
    parameters = {
        name: building.num_parameters(planning.tried(_first(trials, name).card))
        for name in contenders
    }
    return DuelPlan(
        label=label,
        dataset=dataset,
        test_images=len(test),
        seeds=experiment.seeds,
        trials=[
            TrialPlan(
                contender=each.card.contender,
                title=each.card.title,
                key=each.key,
                stored=trained(each, store) is not None,
                seconds=seconds.get(each.card.contender),
                bytes=4 * parameters[each.card.contender]
                + BYTES_OF_AN_ANSWER * len(each.split.test)
                + BYTES_OF_A_TRIAL,
            )
            for each in trials
        ],
        source=source,
        leads=(min(found), max(found)) if len(found) == len(leads) else None,
        spreads=(min(spreads), max(spreads)),
        controls=sum(controls.num_trained(each, prepared) for each in trials),
    )


def _first(trials: Sequence[Trial], contender: str) -> Trial:
    return next(each for each in trials if each.card.contender == contender)


def _answered(records: Sequence[TrialRecord | None], store: Store) -> list[Finished]:
    """Those trials whose answers are known. Most are not there, and that is soon seen."""
    return [
        Finished(record, {"classification": answers})
        for record in records
        if record
        and (answers := store.measure(record.key, "classification", Classification)) is not None
    ]


def _known_luck(
    experiment: Experiment,
    spread: float | None,
    run: Path | str | None,
    finished: Sequence[Finished],
    groups: np.ndarray | None,
    num_test: int,
) -> tuple[Source, list[tuple[dict[str, Any], Luck]]]:
    """Where the luck is known from; and for each two contenders, or for each spread, what it is."""
    weigh = None
    if groups is not None:
        numbers = np.unique(groups, return_inverse=True)[1]
        weigh = effective_groups(numbers) if int(numbers.max()) + 1 < len(numbers) else None
    if spread is not None:
        return "given", [({"spread": spread}, power.assumed_luck(spread, num_test, weigh))]
    if run is not None:
        file = predictions.read(run)
        truth, of_groups = (
            np.array(file.labels),
            None if file.groups is None else np.array(file.groups),
        )
        right: dict[str, dict[int, np.ndarray]] = {}
        for each in file.trials:
            right.setdefault(each.contender, {})[each.seed] = np.array(each.predicted) == truth
        known = _by_pair(right, of_groups, experiment.contenders)
        if not known:
            both = " and ".join(experiment.contenders)
            raise InputError(
                f"{run}: has no two seeds of {both}, to show how much accuracy varies over seeds."
            )
        return "run", [
            (names, power.on_images(luck, len(truth), num_test)) for names, luck in known
        ]
    right = {
        name: {seed: np.equal(*both) for seed, both in pooled(finished, name).items()}
        for name in experiment.contenders
    }
    if known := _by_pair(right, groups, experiment.contenders):
        return "store", known
    assumed = [
        ({"spread": each}, power.assumed_luck(each, num_test, weigh))
        for each in power.ASSUMED_SPREADS
    ]
    return "assumed", assumed


def _other_data(run: Path | str, prepared: Prepared) -> str | None:
    """What the data of `run` are called, where they are not `prepared`."""
    file = predictions.read(run)
    return None if file.fingerprint in (prepared.fingerprint, prepared.ungrouped) else file.dataset


def _by_pair(
    right: dict[str, dict[int, np.ndarray]], groups: np.ndarray | None, contenders: Sequence[str]
) -> list[tuple[dict[str, Any], Luck]]:
    """For each two of `contenders`, over the seeds that both have, where these are two or more."""
    found = []
    for a, b in itertools.combinations([name for name in contenders if name in right], 2):
        if len(seeds := sorted(right[a].keys() & right[b].keys())) > 1:
            right_a, right_b = (np.array([right[name][seed] for seed in seeds]) for name in (a, b))
            found.append(({"a": a, "b": b}, power.luck_of(right_a, right_b, groups)))
    return found


def _seeds_in_store(trials: Sequence[Trial], records: Sequence[TrialRecord | None]) -> int:
    """How many seeds, from 0 on, are trained whole: every contender, every fold."""
    missing = {
        each.card.seed for each, record in zip(trials, records, strict=True) if record is None
    }
    return min(missing, default=max(SEEDS))
