"""A whole study as types: study.json, with every duel and the verdict over the data sets."""

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import Literal

from spikeduel.results import across, study_findings, variants
from spikeduel.results.accuracy import of_seeds
from spikeduel.results.across import Across
from spikeduel.results.answer import was_busy
from spikeduel.results.audit import Counts
from spikeduel.results.costs import Range
from spikeduel.results.findings import Finding, find
from spikeduel.results.run import Quantity, Reason
from spikeduel.results.significance import Conclusion
from spikeduel.results.study_findings import StudyContext
from spikeduel.results.variants import Duel, VariantInDuel
from spikeduel.system.typed import Amount, Count, Frozen, Positive, Share

COSTS: tuple[Quantity, ...] = ("training", "answer", "energy", "memory", "size")


class DuelSummary(Frozen):
    """A duel in study.json: the contender to `take`, and `why`.

    `lead` is the difference to `rival`, with its 95 % interval and conclusion. `leaks`: test images
    leak into training.
    """

    folder: str
    dataset: str
    settings: dict[str, str]
    counts: Counts
    seeds: Count
    trials: Count
    failed: list[str]
    leaks: bool
    take: str | None
    why: Reason
    rival: str | None
    lead: float | None
    ci95: tuple[float, float] | None
    conclusion: Conclusion | None


class Variant(Frozen):
    """A contender under the varied settings that concern it, over its `datasets`.

    `accuracy` and `behind`, the distance to the best variant of the same data set, are means over
    these; on `best` of them no variant has a higher mean accuracy. `costs` are times the cheapest
    variant of the same data set: the geometric mean over the data sets on which the cost of all
    variants is known.
    """

    name: str
    contender: str
    settings: dict[str, str]
    spiking: bool
    datasets: list[str]
    accuracy: Share
    behind: Share
    best: Count
    costs: dict[Quantity, Range]


class VariantScore(Frozen):
    """A variant on a data set: accuracies of its seeds on `images` test images, mean costs (as in
    `run.Lead`).
    """

    dataset: str
    variant: str
    accuracies: list[Share]
    images: Count
    parameters: Count | None
    costs: dict[Quantity, Range]

    @property
    def mean(self) -> float:
        """Return the mean accuracy over seeds."""
        return statistics.fmean(self.accuracies)


class OnDataset(Frozen):
    """Variants `a` and `b` on one data set, by the duel that has both: a − b."""

    dataset: str
    a: str
    b: str
    difference: float
    ci95: tuple[float, float]
    ci90: tuple[float, float]
    conclusion: Conclusion


class StudyResults(Frozen):
    """The content of study.json.

    `noun` is "recording" if all duels are about recordings, else "image". Differences inside
    `margin` count as none. `trainings` counts a training that several duels share once.
    `per_dataset` holds the duels' own tests of two variants on one data set. `variants` begin with
    the one least behind.
    """

    schema: Literal[2]
    name: str
    noun: str
    margin: Share
    datasets: list[str]
    trainings: Count
    duels: list[DuelSummary]
    variants: list[Variant]
    scores: list[VariantScore]
    per_dataset: list[OnDataset]
    across: Across
    caveats: list[Finding]

    def test(self, one: str, other: str, dataset: str) -> OnDataset | None:
        """Return a duel's test of two variants on a data set; None if no duel has both."""
        tests = (test for test in self.per_dataset if test.dataset == dataset)
        return next((test for test in tests if {test.a, test.b} == {one, other}), None)


def conclude(name: str, duels: Sequence[Duel], margin: float) -> StudyResults:
    """Return the verdict over the data sets of `duels`; differences inside `±margin` (a fraction)
    count as none.
    """
    entries = variants.entries(duels)
    scores = list(_scores(entries))
    accuracies: dict[str, dict[str, list[float]]] = {}
    for score in scores:
        accuracies.setdefault(score.variant, {})[score.dataset] = score.accuracies
    spiking = {entry.variant: entry.trials[0].spiking for entry in entries}
    verdict = across.over(accuracies, spiking, margin)
    firsts = {entry.variant: entry for entry in reversed(entries)}
    behind = across.behind(accuracies)
    return StudyResults(
        schema=2,
        name=name,
        noun="recording"
        if {duel.results.dataset.noun for duel in duels} == {"recording"}
        else "image",
        margin=margin,
        datasets=list(dict.fromkeys(duel.dataset for duel in duels)),
        trainings=len({trial.key or id(trial) for duel in duels for trial in duel.results.trials}),
        duels=[_summary(duel) for duel in duels],
        variants=[
            _variant(firsts[variant], scores, behind[variant])
            for variant in sorted(behind, key=lambda variant: behind[variant])
        ],
        scores=scores,
        per_dataset=list(_per_dataset(entries)),
        across=verdict,
        caveats=find("study", StudyContext(duels, entries, accuracies, verdict, margin)),
    )


def _scores(entries: Sequence[VariantInDuel]) -> Iterator[VariantScore]:
    """Yield the score of each variant on each data set, by the duel with the most seeds."""
    places: dict[tuple[str, str], list[VariantInDuel]] = {}
    for entry in entries:
        places.setdefault((entry.variant, entry.duel.dataset), []).append(entry)
    for (variant, dataset), candidates in places.items():
        accuracies = [
            list(of_seeds(entry.duel.results.of(entry.contender)).values()) for entry in candidates
        ]
        most = max(range(len(candidates)), key=lambda place: len(accuracies[place]))
        entry = candidates[most]
        tests = [trial.test for trial in entry.trials if trial.test]
        if tests:
            leads = {lead.quantity: lead.values for lead in entry.duel.results.answer.leads}
            costs = {quantity: values.get(entry.contender) for quantity, values in leads.items()}
            if was_busy(entry.duel.results):
                costs["answer"] = None
            yield VariantScore(
                dataset=dataset,
                variant=variant,
                accuracies=accuracies[most],
                images=sum(test.n for test in tests) // len(accuracies[most]),
                parameters=entry.trials[0].parameters,
                costs={quantity: cost for quantity in COSTS if (cost := costs[quantity])},
            )


def _variant(entry: VariantInDuel, scores: Sequence[VariantScore], behind: float) -> Variant:
    means = {score.dataset: score.mean for score in scores if score.variant == entry.variant}
    costs = {quantity: _relative(quantity, entry.variant, scores) for quantity in COSTS}
    return Variant(
        name=entry.variant,
        contender=entry.contender,
        settings=entry.settings,
        spiking=entry.trials[0].spiking,
        datasets=list(means),
        accuracy=statistics.fmean(means.values()),
        behind=behind,
        best=sum(_is_best(dataset, mean, scores) for dataset, mean in means.items()),
        costs={quantity: cost for quantity, cost in costs.items() if cost},
    )


def _is_best(dataset: str, mean: float, scores: Sequence[VariantScore]) -> bool:
    return all(score.mean <= mean + 1e-12 for score in scores if score.dataset == dataset)


def _relative(quantity: Quantity, variant: str, scores: Sequence[VariantScore]) -> Range | None:
    """Return the mean cost of a variant, times the cheapest variant's, where all are known."""
    ratios: list[tuple[float, float]] = []
    for score in scores:
        if score.variant == variant:
            all_costs = [other.costs for other in scores if other.dataset == score.dataset]
            known = [costs[quantity].low for costs in all_costs if quantity in costs]
            if len(known) == len(all_costs) and (least := min(known)) > 0:
                cost = score.costs[quantity]
                ratios.append((cost.low / least, cost.high / least))
    if not ratios:
        return None
    low, high = (statistics.geometric_mean(ends) for ends in zip(*ratios, strict=True))
    return Range(low=low, high=high)


def _summary(duel: Duel) -> DuelSummary:
    results, answer = duel.results, duel.results.answer
    pair = answer.pair and answer.pair.ordered(answer.take or answer.pair.a)
    return DuelSummary(
        folder=duel.folder,
        dataset=duel.dataset,
        settings=duel.settings,
        counts=results.dataset.counts,
        seeds=_num_seeds(duel),
        trials=len(results.trials),
        failed=study_findings.failed_trials(duel),
        leaks=study_findings.leaks(duel),
        take=answer.take,
        why=answer.reason,
        rival=answer.rival,
        lead=pair.difference if pair else None,
        ci95=pair.ci95 if pair else None,
        conclusion=pair.conclusion if pair else None,
    )


def _num_seeds(duel: Duel) -> int:
    return len({trial.seed for trial in duel.results.trials})


def _per_dataset(entries: Sequence[VariantInDuel]) -> Iterator[OnDataset]:
    """Yield each pair of variants once a data set, by the duel with the most seeds that has
    both.
    """
    names = {(id(entry.duel), entry.contender): entry.variant for entry in entries}
    seen = set()
    duels = {id(entry.duel): entry.duel for entry in entries}.values()
    for duel in sorted(duels, key=lambda duel: -_num_seeds(duel)):
        for pair in duel.results.comparison.pairs:
            a, b = names[id(duel), pair.a], names[id(duel), pair.b]
            if (place := (duel.dataset, frozenset((a, b)))) not in seen:
                seen.add(place)
                yield OnDataset(
                    dataset=duel.dataset,
                    a=a,
                    b=b,
                    difference=pair.difference,
                    ci95=pair.ci95,
                    ci90=pair.ci90,
                    conclusion=pair.conclusion,
                )


# ---- before anything is trained


class TrialPlan(Frozen):
    """A trial of a duel: `seconds` of training (None: not known), `bytes` on the disk."""

    contender: str
    title: str
    key: str
    stored: bool
    seconds: Amount | None
    bytes: Count


class DuelPlan(Frozen):
    """A duel of a study before it is trained; controls train up to `controls` networks more."""

    label: str
    dataset: str
    test_images: Positive
    trials: list[TrialPlan]
    controls: Count = 0


class StudyPlan(Frozen):
    """A study before it is trained, `at_once` trials at a time. A shared trial is trained once."""

    name: str
    at_once: Positive
    duels: list[DuelPlan]
    tuning_trials: Count = 0

    @property
    def trials(self) -> dict[str, tuple[DuelPlan, TrialPlan]]:
        """Return each trial once, by its key, with the first duel that has it."""
        places = [(duel, trial) for duel in self.duels for trial in duel.trials]
        firsts = {trial.key: (duel, trial) for duel, trial in reversed(places)}
        return {trial.key: firsts[trial.key] for _, trial in places}

    @property
    def missing(self) -> list[TrialPlan]:
        """Return the trials that are to be trained."""
        return [trial for _, trial in self.trials.values() if not trial.stored]

    @property
    def pairs(self) -> int:
        """Return the number of pairs of variants on the data set with the most variants.

        Contenders with the same first trial are one variant.
        """
        variants: dict[str, set[str]] = {}
        for duel in self.duels:
            firsts = {trial.contender: trial.key for trial in reversed(duel.trials)}
            variants.setdefault(duel.dataset, set()).update(firsts.values())
        return math.comb(max(map(len, variants.values())), 2)


def total_seconds(trials: Sequence[TrialPlan]) -> float | None:
    """Return the sum of the trials' training times; None if one is unknown."""
    seconds = [trial.seconds for trial in trials if trial.seconds is not None]
    return sum(seconds) if len(seconds) == len(trials) else None
