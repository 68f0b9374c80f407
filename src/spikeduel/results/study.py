"""A whole study as types: study.json, many duels over data sets and settings, and the verdict over
the data sets.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from spikeduel.results import across, objections, variants
from spikeduel.results.accuracy import of_seeds
from spikeduel.results.across import Across
from spikeduel.results.answer import was_busy
from spikeduel.results.audit import Counts
from spikeduel.results.costs import Range
from spikeduel.results.objections import StudyCaveat
from spikeduel.results.run import Quantity, Reason
from spikeduel.results.significance import Conclusion
from spikeduel.results.variants import Duel, Entry
from spikeduel.system.typed import Count, Frozen, Share

COSTS: tuple[Quantity, ...] = ("training", "answer", "energy", "memory", "size")


class DuelSummary(Frozen):
    """A duel in study.json: whom to `take`, and `why`; `lead` is its difference to `rival`, with
    its 95 % interval and what was concluded. `leaks`: test images leak into training.
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
    """A contender under those of the varied settings that concern it, over its `datasets`.

    `accuracy` and `behind` (how far below the best variant of the same data set) are means over
    those that have all ranked variants, of one without a rank over its own; on `best` of its own no
    variant has a higher mean accuracy. `costs`: how many times as much as the cheapest variant of
    the same data set, the geometric mean over those where it is known of all.
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


class Score(Frozen):
    """A variant on a data set: accuracies of its seeds on `images` test images, mean costs (as in
    `answer.Lead`).
    """

    dataset: str
    variant: str
    accuracies: list[Share]
    images: Count
    parameters: Count | None
    costs: dict[Quantity, Range]

    @property
    def mean(self) -> float:
        """Their mean."""
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
    """The content of study.json. `noun` is what is learned from: "recording" where all duels are
    about recordings, else "image". `margin` is what counts as no difference. `trainings` counts
    those that several duels share once. `per_dataset` holds each duel's own tests of variants,
    which `across` leaves alone.
    """

    schema: Literal[1]
    name: str
    noun: str
    margin: Share
    datasets: list[str]
    trainings: Count
    duels: list[DuelSummary]
    variants: list[Variant]
    scores: list[Score]
    per_dataset: list[OnDataset]
    across: Across
    caveats: list[StudyCaveat]

    def test(self, one: str, other: str, dataset: str) -> OnDataset | None:
        """What a duel found of two variants on a data set."""
        asked = (each for each in self.per_dataset if each.dataset == dataset)
        return next((each for each in asked if {each.a, each.b} == {one, other}), None)


def conclude(name: str, duels: Sequence[Duel], margin: float) -> StudyResults:
    """The verdict over the data sets of `duels`; differences inside `±margin` (a fraction) count as
    none.
    """
    entries = variants.entries(duels)
    scores = list(_scores(entries))
    accuracies = _accuracies(scores)
    spiking = {each.variant: each.trials[0].spiking for each in entries}
    verdict = across.over(accuracies, spiking, margin)
    by_rank = list(verdict.ranks.means) if verdict.ranks else []
    others = sorted(
        (each for each in accuracies if each not in by_rank),
        key=lambda each: -_mean(accuracies[each]),
    )
    firsts = {each.variant: each for each in reversed(entries)}
    best = {
        dataset: max(statistics.fmean(of[dataset]) for of in accuracies.values() if dataset in of)
        for dataset in dict.fromkeys(score.dataset for score in scores)
    }
    return StudyResults(
        schema=1,
        name=name,
        noun="recording"
        if {duel.results.dataset.noun for duel in duels} == {"recording"}
        else "image",
        margin=margin,
        datasets=list(dict.fromkeys(duel.dataset for duel in duels)),
        trainings=len({trial.key or id(trial) for duel in duels for trial in duel.results.trials}),
        duels=[_summary(duel) for duel in duels],
        variants=[
            *(
                _variant(firsts[each], scores, best, verdict.ranks.datasets)
                for each in by_rank
                if verdict.ranks
            ),
            *(_variant(firsts[each], scores, best) for each in others),
        ],
        scores=scores,
        per_dataset=list(_per_dataset(entries)),
        across=verdict,
        caveats=list(objections.find(duels, entries, accuracies, verdict, margin)),
    )


# ---- scores


def _scores(entries: Sequence[Entry]) -> Iterator[Score]:
    """Of each variant on each data set, by the duel in which it has the most seeds."""
    places: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        places.setdefault((entry.variant, entry.duel.dataset), []).append(entry)
    leads = {id(entry.duel): entry.duel.results.answer.leads for entry in entries}
    for (variant, dataset), those in places.items():
        accuracies = [
            list(of_seeds(entry.duel.results.of(entry.contender)).values()) for entry in those
        ]
        most = max(range(len(those)), key=lambda place: len(accuracies[place]))
        entry = those[most]
        tests = [trial.test for trial in entry.trials if trial.test]
        if tests:
            costs = {
                lead.quantity: lead.values.get(entry.contender) for lead in leads[id(entry.duel)]
            }
            if was_busy(entry.duel.results):
                costs["answer"] = None
            yield Score(
                dataset=dataset,
                variant=variant,
                accuracies=accuracies[most],
                images=sum(test.n for test in tests) // len(accuracies[most]),
                parameters=entry.trials[0].parameters,
                costs={quantity: cost for quantity in COSTS if (cost := costs[quantity])},
            )


def _accuracies(scores: Sequence[Score]) -> dict[str, dict[str, list[float]]]:
    by_variant: dict[str, dict[str, list[float]]] = {}
    for score in scores:
        by_variant.setdefault(score.variant, {})[score.dataset] = score.accuracies
    return by_variant


def _mean(of: Mapping[str, Sequence[float]]) -> float:
    return statistics.fmean(statistics.fmean(seeds) for seeds in of.values())


def _variant(
    entry: Entry,
    scores: Sequence[Score],
    best: Mapping[str, float],
    compared: Sequence[str] | None = None,
) -> Variant:
    means = {each.dataset: each.mean for each in scores if each.variant == entry.variant}
    behind = {dataset: round(best[dataset] - mean, 12) for dataset, mean in means.items()}
    compared = compared or list(means)
    return Variant(
        name=entry.variant,
        contender=entry.contender,
        settings=entry.settings,
        spiking=entry.trials[0].spiking,
        datasets=list(means),
        accuracy=statistics.fmean(means[each] for each in compared),
        behind=statistics.fmean(behind[each] for each in compared),
        best=sum(not each for each in behind.values()),
        costs={
            quantity: cost
            for quantity in COSTS
            if (cost := _relative(quantity, entry.variant, scores))
        },
    )


def _relative(quantity: Quantity, variant: str, scores: Sequence[Score]) -> Range | None:
    """On the data sets where it is known of all variants: beside some of them alone it would say
    less than it seems.
    """
    ratios: list[tuple[float, float]] = []
    for score in scores:
        if score.variant == variant:
            there = [each.costs for each in scores if each.dataset == score.dataset]
            known = [costs[quantity].low for costs in there if quantity in costs]
            if len(known) == len(there) and (least := min(known)) > 0:
                own = score.costs[quantity]
                ratios.append((own.low / least, own.high / least))
    if not ratios:
        return None
    low, high = (statistics.geometric_mean(ends) for ends in zip(*ratios, strict=True))
    return Range(low=low, high=high)


# ---- duels


def _summary(duel: Duel) -> DuelSummary:
    results = duel.results
    found = results.answer
    pair = found.pair
    turned = pair if pair is None or pair.a == found.take else pair.ordered(found.take or pair.a)
    return DuelSummary(
        folder=duel.folder,
        dataset=duel.dataset,
        settings=duel.settings,
        counts=results.dataset.counts,
        seeds=_seeds(duel),
        trials=len(results.trials),
        failed=objections.failed_trials(duel),
        leaks=objections.leaks(duel),
        take=found.take,
        why=found.reason,
        rival=found.rival,
        lead=turned.difference if turned else None,
        ci95=turned.ci95 if turned else None,
        conclusion=turned.conclusion if turned else None,
    )


def _seeds(duel: Duel) -> int:
    return len({trial.seed for trial in duel.results.trials})


def _per_dataset(entries: Sequence[Entry]) -> Iterator[OnDataset]:
    """Each pair of variants once a data set, by the duel with the most seeds that has both."""
    names = {(id(entry.duel), entry.contender): entry.variant for entry in entries}
    seen = set()
    duels = {id(entry.duel): entry.duel for entry in entries}.values()
    for duel in sorted(duels, key=lambda duel: -_seeds(duel)):
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
