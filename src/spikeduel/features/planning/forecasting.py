"""Compute the probability that a difference is found, and the training time, by seeds."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from spikeduel.data import Prepared, Split
from spikeduel.experiment.settings import Experiment
from spikeduel.results.significance import Probability
from spikeduel.results.trials import Classification
from spikeduel.statistics import (
    ASSUMED_DEVIATIONS,
    Variability,
    assumed_variability,
    balanced_classes,
    clusters,
    detection_power,
    effective_groups,
    seeds_needed,
    variability_of,
    weights_of,
)
from spikeduel.system.errors import InputError
from spikeduel.system.negligible import MAX_DEFICIT
from spikeduel.system.progress import Progress
from spikeduel.system.typed import Amount, Count, Frozen, Positive
from spikeduel.training import auto_settings
from spikeduel.training.outcomes import TrialOutcome, pooled, tested
from spikeduel.training.plan import ContenderTime, Plan, loaded, make
from spikeduel.training.store import Place, Store, opened

SEEDS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
Source = Literal["given", "store", "assumed"]
"""Source of the standard deviation of accuracy over seeds."""


class Case(Frozen):
    """The chance with each of `SEEDS`: for `a` and `b`, or for any two contenders whose accuracy on
    an unlimited test set varies by `deviation` over seeds.
    """

    variability: Variability
    probabilities: list[Probability]
    seeds_needed: Count | None
    a: str | None = None
    b: str | None = None
    deviation: Amount | None = None


class Forecast(Frozen):
    """Seeds that a true `difference` takes, and their training time; `trained` ones are in the
    store.
    """

    dataset: str
    test_images: Positive
    difference: Probability
    comparisons: Positive
    source: Source
    cases: list[Case]
    times: list[ContenderTime]
    trained: Count
    folds: Count | None = None
    seeds: tuple[int, ...] = SEEDS

    @property
    def seed_seconds(self) -> float:
        return sum(time.seed_seconds for time in self.times)

    def seconds(self, seeds: int) -> float:
        """Return the training time of `seeds`, without those in the store."""
        return max(0, seeds - self.trained) * self.seed_seconds

    @property
    def seeds_needed(self) -> int | None:
        """Seeds with a power of at least 80 % in the hardest case; None if `MAX_SEEDS` are too few
        for one.
        """
        needed = [case.seeds_needed or math.inf for case in self.cases]
        return None if math.inf in needed else int(max(needed))


def forecast(
    experiment: Experiment,
    difference: float = MAX_DEFICIT,
    deviation: float | None = None,
    store: Place = None,
    progress: Progress | None = None,
    given: Collection[str] = (),
) -> Forecast:
    """Predict how many seeds a comparison needs and how long they train, without training.

    Parameters
    ----------
    experiment : Experiment
        What would be compared.
    difference : float
        True difference in accuracy to find, a fraction.
    deviation : float, optional
        Standard deviation of accuracy over seeds, a fraction. Default: that of stored trials, else
        an assumption.
    store : Store, Path or str, optional
        Where trained networks are kept.
    progress : Progress, optional
        Where to show progress.
    given : collection of str
        As in `compare`.

    Returns
    -------
    Forecast
        Power and training time, by number of seeds.

    Raises
    ------
    InputError
        For a setting that cannot be used.

    Examples
    --------
    >>> import spikeduel as sd
    >>> experiment = sd.recipes.strong("digits", epochs=1)
    >>> sd.forecast(experiment, difference=0.05, deviation=0.01).test_images
    179
    """
    progress, store = progress or Progress(), opened(store)
    if not 0 < difference < 1 or (deviation is not None and not 0 <= deviation < 0.5):
        raise InputError(
            "the difference must lie between 0 and 100 points, the deviation between 0 and 50."
        )
    if len(experiment.contenders) < 2:
        raise InputError("a difference takes two contenders: name another --contender.")
    experiment, prepared, splits = loaded(experiment, progress)
    resolved = auto_settings.resolve(experiment, prepared, splits[0], store, progress, given)
    resolved = replace(resolved, experiment=replace(resolved.experiment, seeds=max(SEEDS)))
    plan = make(resolved, prepared, splits, store, progress, timed={})
    source, known = _variability(plan, prepared, splits, store, deviation)
    comparisons = math.comb(len(experiment.contenders), 2)
    cases = [
        Case(
            **case,
            variability=variability,
            probabilities=[
                detection_power(variability, difference, seeds, comparisons) for seeds in SEEDS
            ],
            seeds_needed=seeds_needed(variability, difference, comparisons),
        )
        for case, variability in known
    ]
    return Forecast(
        dataset=prepared.name,
        test_images=len(tested(splits)),
        difference=difference,
        comparisons=comparisons,
        source=source,
        cases=cases,
        folds=experiment.folds,
        times=list(plan.times),
        trained=min((trial.card.seed for trial in plan.missing), default=max(SEEDS)),
    )


def _variability(
    plan: Plan, prepared: Prepared, splits: Sequence[Split], store: Store, deviation: float | None
) -> tuple[Source, list[tuple[dict[str, Any], Variability]]]:
    """Return the source of the variability, and that of every two contenders or deviation."""
    test, names = tested(splits), plan.experiment.contenders
    groups = None if prepared.groups is None else np.asarray(prepared.groups)[test]
    outcomes = [
        TrialOutcome(record, {"classification": predictions})
        for record in plan.records
        if record and (predictions := store.measure(record.key, "classification", Classification))
    ]
    right = {
        name: {seed: np.equal(*both) for seed, both in pooled(outcomes, name).items()}
        for name in names
    }
    classes = balanced_classes(np.asarray(prepared.labels)[test])
    if deviation is None and (known := _by_pair(right, groups, classes)):
        return "store", known
    cluster = clusters(groups)
    weigh = (
        None if cluster is None else effective_groups(cluster, weights_of(classes, len(cluster)))
    )
    return "assumed" if deviation is None else "given", [
        ({"deviation": over_seeds}, assumed_variability(over_seeds, len(test), weigh))
        for over_seeds in (ASSUMED_DEVIATIONS if deviation is None else (deviation,))
    ]


def _by_pair(
    right: Mapping[str, Mapping[int, np.ndarray]],
    groups: np.ndarray | None,
    classes: np.ndarray | None,
) -> list[tuple[dict[str, Any], Variability]]:
    pairs = []
    for a, b in itertools.combinations(right, 2):
        if len(seeds := sorted(right[a].keys() & right[b].keys())) > 1:
            right_a, right_b = (np.array([right[name][seed] for seed in seeds]) for name in (a, b))
            variability = variability_of(right_a, right_b, groups, classes)
            pairs.append(({"a": a, "b": b}, variability))
    return pairs
