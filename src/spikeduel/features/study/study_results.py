"""Conclude and verify a study: its types and findings."""

import itertools
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from msgspec import structs

from spikeduel.analysis.recommending import was_busy
from spikeduel.auditing.audit_results import Counts
from spikeduel.features.study import across
from spikeduel.features.study.across import Across
from spikeduel.results.accuracy import of_seeds
from spikeduel.results.cost_results import Range
from spikeduel.results.findings import Finding, Values, find, finds, is_leak, with_id
from spikeduel.results.run import Quantity, Reason, Results
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import Trial, times_as_long
from spikeduel.sentences.comparison import load_run
from spikeduel.system import files, typed
from spikeduel.system.grouped import grouped
from spikeduel.system.typed import Count, Frozen, Share

FILE = "study.json"
OF_SPIKES = ("encoding", "num_steps")
"""Settings of spiking networks alone."""


@dataclass(frozen=True)
class Duel:
    """A finished run of a study: `folder` (relative), a unique label of its data set, values of the
    grid's other axes, the data set's `family` if it has one.
    """

    folder: str
    dataset: str
    settings: dict[str, str]
    results: Results
    family: str | None = None


@dataclass(frozen=True)
class VariantInDuel:
    duel: Duel
    contender: str
    trials: list[Trial]
    variant: str


COSTS: tuple[Quantity, ...] = ("training", "latency", "energy", "memory", "size")


class DuelSummary(Frozen):
    """A duel in study.json: the contender to `recommended`, and `why`; `lead` is the difference to
    `runner_up`.
    """

    folder: str
    dataset: str
    settings: dict[str, str]
    counts: Counts
    seeds: Count
    failed: list[str]
    recommended: str | None
    why: Reason
    runner_up: str | None
    lead: float | None
    ci95: tuple[float, float] | None
    conclusion: Conclusion | None


class Variant(Frozen):
    """A contender under the varied settings that concern it, over its `datasets`.

    `accuracy` and `behind`, the distance to the best variant of a data set, are means; on `best`
    data sets no variant is more accurate. `costs`: geometric mean of times the cheapest variant's,
    on data sets where all are known.
    """

    name: str
    spiking: bool
    datasets: list[str]
    accuracy: Share
    behind: Share
    best: Count
    costs: dict[Quantity, Range]


class VariantScore(Frozen):
    """A variant on a data set: accuracies of the seeds that all variants finished there, and mean
    costs (`run.QuantityComparison`).
    """

    dataset: str
    variant: str
    accuracies: list[Share]
    costs: dict[Quantity, Range]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies)


class OnDataset(Frozen):
    """Variants `a` and `b` on one data set, by a duel: a − b."""

    dataset: str
    a: str
    b: str
    difference: float
    ci95: tuple[float, float]
    ci90: tuple[float, float]
    conclusion: Conclusion


class StudyResults(Frozen):
    """The content of study.json.

    `noun`: "recording" if all duels are about recordings, else "image". `trainings` counts a shared
    one once. `families` by data set, of related ones. `per_dataset`: the duels' own tests, on the
    trainings of `scores`. `variants`: the least behind first. On data sets that are
    `unbalanced`, accuracies are balanced ones.
    """

    schema: Literal[2]
    name: str
    noun: str
    margin: Share
    datasets: list[str]
    families: dict[str, str]
    trainings: Count
    duels: list[DuelSummary]
    variants: list[Variant]
    scores: list[VariantScore]
    per_dataset: list[OnDataset]
    across: Across
    caveats: list[Finding]
    unbalanced: list[str] = []

    def test(self, first: str, second: str, dataset: str) -> OnDataset | None:
        tests = (test for test in self.per_dataset if test.dataset == dataset)
        return next((test for test in tests if {test.a, test.b} == {first, second}), None)


def conclude(name: str, duels: Sequence[Duel], margin: float) -> StudyResults:
    """Return the verdict over the data sets; differences inside `±margin` count as none."""
    entries = variants_of(duels)
    scores = list(_scores(entries))
    accuracies = _by_variant(scores)
    spiking = {entry.variant: entry.trials[0].spiking for entry in entries}
    families = {duel.dataset: duel.family for duel in duels if duel.family}
    behind = across.behind(accuracies)
    nouns = {duel.results.dataset.noun for duel in duels}
    datasets = list(dict.fromkeys(duel.dataset for duel in duels))
    results = StudyResults(
        schema=2,
        name=name,
        noun="recording" if nouns == {"recording"} else "image",
        margin=margin,
        datasets=datasets,
        families=families,
        trainings=len({trial.key or id(trial) for duel in duels for trial in duel.results.trials}),
        duels=[_summary(duel) for duel in duels],
        variants=[
            _variant(variant, spiking[variant], scores, behind[variant])
            for variant in sorted(behind, key=behind.__getitem__)
        ],
        scores=scores,
        per_dataset=list(_per_dataset(entries, scores)),
        across=across.over(accuracies, spiking, margin, families),
        unbalanced=list(
            dict.fromkeys(
                duel.dataset for duel in duels if duel.results.measure == "balanced_accuracy"
            )
        ),
        caveats=[],
    )
    return structs.replace(results, caveats=find("study", StudyContext(duels, entries, results)))


def _by_variant(scores: Iterable[VariantScore]) -> dict[str, dict[str, list[float]]]:
    """Return the accuracies of all seeds, by variant and data set."""
    by_variant = grouped((score.variant, (score.dataset, score.accuracies)) for score in scores)
    return {variant: dict(by_dataset) for variant, by_dataset in by_variant.items()}


def _scores(entries: Sequence[VariantInDuel]) -> Iterator[VariantScore]:
    """Yield the score of each variant and data set, by the duel with the most seeds, over the seeds
    that all variants of the data set have.
    """
    by_seed: dict[tuple[str, str], dict[int, float]] = {}
    duels: dict[tuple[str, str], VariantInDuel] = {}
    for entry in entries:
        key = (entry.variant, entry.duel.dataset)
        seeds = of_seeds(entry.duel.results.of(entry.contender))
        if len(seeds) > len(by_seed.get(key, ())):
            by_seed[key], duels[key] = seeds, entry
    for (variant, dataset), entry in duels.items():
        of_dataset = [set(seeds) for key, seeds in by_seed.items() if key[1] == dataset]
        seeds = by_seed[variant, dataset]
        common = set.intersection(*of_dataset) or seeds
        accuracies = [accuracy for seed, accuracy in seeds.items() if seed in common]
        costs = {
            compared.quantity: compared.values[entry.contender]
            for compared in entry.duel.results.recommendation.quantities
            if compared.quantity in COSTS and entry.contender in compared.values
        }
        if was_busy(entry.duel.results):
            costs.pop("latency", None)
        yield VariantScore(dataset=dataset, variant=variant, accuracies=accuracies, costs=costs)


def _variant(name: str, spiking: bool, scores: Sequence[VariantScore], behind: float) -> Variant:
    means = {score.dataset: score.mean for score in scores if score.variant == name}
    best = {
        dataset: max(score.mean for score in scores if score.dataset == dataset)
        for dataset in means
    }
    costs = {quantity: _relative(quantity, name, scores) for quantity in COSTS}
    return Variant(
        name=name,
        spiking=spiking,
        datasets=list(means),
        accuracy=statistics.fmean(means.values()),
        behind=behind,
        best=sum(best[dataset] <= mean + 1e-12 for dataset, mean in means.items()),
        costs={quantity: cost for quantity, cost in costs.items() if cost},
    )


def _relative(quantity: Quantity, variant: str, scores: Sequence[VariantScore]) -> Range | None:
    """Return a variant's mean cost, times the cheapest variant's, where all are known."""
    ratios: list[tuple[float, float]] = []
    for score in scores:
        if score.variant == variant:
            all_costs = [other.costs for other in scores if other.dataset == score.dataset]
            lows = [costs[quantity].low for costs in all_costs if quantity in costs]
            if len(lows) == len(all_costs) and (least := min(lows)) > 0:
                cost = score.costs[quantity]
                ratios.append((cost.low / least, cost.high / least))
    if not ratios:
        return None
    low, high = (statistics.geometric_mean(ends) for ends in zip(*ratios, strict=True))
    return Range(low=low, high=high)


def _summary(duel: Duel) -> DuelSummary:
    results, recommendation = duel.results, duel.results.recommendation
    pair = recommendation.pair and recommendation.pair.ordered(
        recommendation.recommended or recommendation.pair.a
    )
    return DuelSummary(
        folder=duel.folder,
        dataset=duel.dataset,
        settings=duel.settings,
        counts=results.dataset.counts,
        seeds=_num_seeds(duel),
        failed=[trial.title for trial in results.trials if trial.status == "failed"],
        recommended=recommendation.recommended,
        why=recommendation.reason,
        runner_up=recommendation.runner_up,
        lead=pair.difference if pair else None,
        ci95=pair.ci95 if pair else None,
        conclusion=pair.conclusion if pair else None,
    )


def _num_seeds(duel: Duel) -> int:
    return len({trial.seed for trial in duel.results.trials})


def _per_dataset(
    entries: Sequence[VariantInDuel], scores: Sequence[VariantScore]
) -> Iterator[OnDataset]:
    """Yield each pair on each data set, by the duel with the most seeds; none whose test is of
    other trainings than `scores`, since one of them failed.
    """
    means = {(score.variant, score.dataset): score.mean for score in scores}
    names = {(id(entry.duel), entry.contender): entry.variant for entry in entries}
    seen = set()
    duels = {id(entry.duel): entry.duel for entry in entries}.values()
    for duel in sorted(duels, key=lambda duel: -_num_seeds(duel)):
        for pair in duel.results.comparison.pairs:
            a, b = names[id(duel), pair.a], names[id(duel), pair.b]
            key = (duel.dataset, frozenset((a, b)))
            difference = means[a, duel.dataset] - means[b, duel.dataset]
            if key not in seen and math.isclose(pair.difference, difference, abs_tol=1e-9):
                seen.add(key)
                yield OnDataset(
                    dataset=duel.dataset,
                    a=a,
                    b=b,
                    difference=pair.difference,
                    ci95=pair.ci95,
                    ci90=pair.ci90,
                    conclusion=pair.conclusion,
                )


@dataclass(frozen=True)
class StudyContext:
    """A study as finders see it, with its `results` so far."""

    duels: Sequence[Duel]
    entries: Sequence[VariantInDuel]
    results: StudyResults


@finds("leaking_datasets")
def leaking_datasets(study: StudyContext) -> Iterator[Values]:
    leaking = dict.fromkeys(
        duel.dataset for duel in study.duels if any(map(is_leak, duel.results.comparison.caveats))
    )
    if leaking:
        results = study.results
        others = _by_variant(score for score in results.scores if score.dataset not in leaking)
        pairs = across.compare(others, results.margin, results.families)
        main = set(results.across.main or ())
        left = (pair.conclusion.value for pair in pairs if {pair.a, pair.b} == main)
        yield {"datasets": list(leaking), "without": next(left, "nothing")}


@finds("single_trainings")
def single_trainings(study: StudyContext) -> Iterator[Values]:
    once = {score.dataset for score in study.results.scores if len(score.accuracies) == 1}
    if once:
        yield {"datasets": [name for name in study.results.datasets if name in once]}


@finds("datasets_at_chance")
def datasets_at_chance(study: StudyContext) -> Iterator[Values]:
    unlearned = grouped(
        (entry.variant, entry.duel.dataset)
        for entry in study.entries
        for finding in with_id(entry.duel.results.comparison.caveats, "at_chance")
        if entry.contender in finding.values["contenders"]
    )
    if unlearned:
        yield {"contenders": {name: list(dict.fromkeys(on)) for name, on in unlearned.items()}}


@finds("failed_trainings")
def failed_trainings(study: StudyContext) -> Iterator[Values]:
    if trials := {duel.folder: duel.failed for duel in map(_summary, study.duels) if duel.failed}:
        yield {"trials": trials}


@finds("longer_trainings")
def longer_trainings(study: StudyContext) -> Iterator[Values]:
    if (pair := study.results.across.headline) is None or not pair.difference:
        return
    by_time = all(duel.results.budget is not None for duel in study.duels)
    trained = {(entry.variant, entry.duel.dataset): entry.trials for entry in study.entries}
    times = {
        dataset: times_as_long(trained[pair.a, dataset], trained[pair.b, dataset], by_time)
        for dataset in pair.differences
    }
    if longer := {dataset: number for dataset, number in times.items() if number}:
        yield {"contender": pair.a, "other": pair.b, "times": longer}


@finds("missing_scores")
def missing_scores(study: StudyContext) -> Iterator[Values]:
    for variant, by_dataset in _by_variant(study.results.scores).items():
        if absent := [name for name in study.results.datasets if name not in by_dataset]:
            yield {"variant": variant, "datasets": absent}


@finds("busy_datasets")
def busy_datasets(study: StudyContext) -> Iterator[Values]:
    if busy := dict.fromkeys(duel.dataset for duel in study.duels if was_busy(duel.results)):
        yield {"datasets": list(busy)}


def variants_of(duels: Sequence[Duel]) -> list[VariantInDuel]:
    """Return an entry for each contender of each duel, named with the settings in which its duels
    differ: "cnn (width 24)".
    """
    variants = []
    for contender in dict.fromkeys(name for duel in duels for name in duel.results.contenders):
        with_trials = [
            (duel, trials) for duel in duels if (trials := duel.results.of(contender, tested=False))
        ]
        varied = [
            axis
            for axis in dict.fromkeys(axis for duel, _ in with_trials for axis in duel.settings)
            if _concerns(axis, with_trials)
            and len({duel.settings.get(axis) for duel, _ in with_trials}) > 1
        ]
        for duel, trials in with_trials:
            differences = ", ".join(
                described(axis, duel.settings[axis]) for axis in varied if axis in duel.settings
            )
            variant = f"{contender} ({differences})" if differences else contender
            variants.append(VariantInDuel(duel, contender, trials, variant))
    return variants


def described(axis: str, value: str) -> str:
    """Return a varied setting in words: "rate", "T = 8", "recipe strong"."""
    if axis == "encoding":
        return value
    return f"T = {value}" if axis == "num_steps" else f"{axis.replace('_', ' ')} {value}"


def _concerns(axis: str, of_duels: Sequence[tuple[Duel, list[Trial]]]) -> bool:
    """Return True if trials differ between duels that differ in `axis` alone; without such duels,
    unless the setting is of spikes and no trial has it.
    """
    keys = [
        (
            {"dataset": duel.dataset, **duel.settings},
            {(trial.seed, trial.fold): trial.key for trial in trials},
        )
        for duel, trials in of_duels
    ]
    same = [
        first[key] == second[key]
        for (settings, first), (others, second) in itertools.combinations(keys, 2)
        if {name for name, _ in settings.items() ^ others.items()} == {axis}
        for key in first.keys() & second.keys()
    ]
    if same:
        return not all(same)
    return axis not in OF_SPIKES or any(
        getattr(trial, axis) is not None for _, trials in of_duels for trial in trials
    )


def derived_from_runs(folder: Path) -> tuple[list[Path], str, StudyResults] | None:
    """Return the runs of the study in `folder`, and what study.json must hold; None without a
    study.
    """
    if not files.is_file(folder / FILE):
        return None
    stored = typed.read_json(folder / FILE, StudyResults)
    runs = [folder / duel.folder for duel in stored.duels]
    duels = [
        Duel(
            duel.folder,
            duel.dataset,
            duel.settings,
            load_run(run).results,
            stored.families.get(duel.dataset),
        )
        for duel, run in zip(stored.duels, runs, strict=True)
    ]
    return runs, FILE, conclude(stored.name, duels, stored.margin)
