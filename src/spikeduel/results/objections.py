"""What a careful reader objects to a verdict over data sets: each a struct with its numbers."""

from collections.abc import Iterator, Mapping, Sequence

from spikeduel.results import across
from spikeduel.results.across import Across
from spikeduel.results.answer import was_busy
from spikeduel.results.findings import is_leak, with_id
from spikeduel.results.significance import Conclusion, smallest_p
from spikeduel.results.variants import Duel, Entry
from spikeduel.system.typed import Amount, Count, Frozen


class FewDatasets(Frozen, tag=True):
    """Too few for any pair to be called better: with `datasets`, p-values, times `pairs`, are at
    least `smallest_p`.
    """

    datasets: Count
    pairs: Count
    smallest_p: Amount
    needed: Count


class Leaking(Frozen, tag=True):
    """Data sets whose test images leak into training in a duel; what the main pair's conclusion is
    without them.
    """

    datasets: list[str]
    without: Conclusion | None


class OneSeed(Frozen, tag=True):
    """Data sets on which a variant was trained once."""

    datasets: list[str]


class AtChance(Frozen, tag=True):
    """Contenders that learned nothing, as (contender, data set)."""

    contenders: list[tuple[str, str]]


class Failed(Frozen, tag=True):
    """Trials that failed, as (run folder, trial)."""

    trials: list[tuple[str, str]]


class Missing(Frozen, tag=True):
    """A variant without a score on some data sets: its pairs are tested on the others."""

    variant: str
    datasets: list[str]


class Busy(Frozen, tag=True):
    """Data sets where the machine was busy when answers of a duel were timed: these times are left
    out.
    """

    datasets: list[str]


StudyCaveat = FewDatasets | Leaking | OneSeed | AtChance | Failed | Missing | Busy


def find(
    duels: Sequence[Duel],
    entries: Sequence[Entry],
    accuracies: Mapping[str, Mapping[str, Sequence[float]]],
    verdict: Across,
    margin: float,
) -> Iterator[StudyCaveat]:
    """Those of a study, the gravest first; `accuracies` are of each variant on each data set."""
    most = max((len(pair.differences) for pair in verdict.pairs), default=0)
    datasets = list(dict.fromkeys(duel.dataset for duel in duels))
    if 0 < most < verdict.fewest_datasets:
        number = len(verdict.pairs)
        smallest = min(1.0, number * smallest_p(most))
        yield FewDatasets(
            datasets=most, pairs=number, smallest_p=smallest, needed=verdict.fewest_datasets
        )
    if leaking := [
        each for each in datasets if any(leaks(duel) for duel in duels if duel.dataset == each)
    ]:
        kept = {name: {d: of[d] for d in of if d not in leaking} for name, of in accuracies.items()}
        pairs = across.compare({name: of for name, of in kept.items() if of}, margin)
        main = [pair.conclusion for pair in pairs if {pair.a, pair.b} == set(verdict.main or ())]
        yield Leaking(datasets=leaking, without=main[0] if main else None)
    if once := [
        d for d in datasets if any(len(of[d]) == 1 for of in accuracies.values() if d in of)
    ]:
        yield OneSeed(datasets=once)
    idle = [
        (entry.variant, entry.duel.dataset)
        for entry in entries
        for finding in with_id(entry.duel.results.comparison.caveats, "at_chance")
        if entry.contender in finding.values["contenders"]
    ]
    if idle:
        yield AtChance(contenders=list(dict.fromkeys(idle)))
    if failed := [(duel.folder, title) for duel in duels for title in failed_trials(duel)]:
        yield Failed(trials=failed)
    for name, of in accuracies.items():
        if absent := [each for each in datasets if each not in of]:
            yield Missing(variant=name, datasets=absent)
    if busy := [
        each
        for each in datasets
        if any(was_busy(duel.results) for duel in duels if duel.dataset == each)
    ]:
        yield Busy(datasets=busy)


def leaks(duel: Duel) -> bool:
    """Whether test images leak into training."""
    return any(map(is_leak, duel.results.comparison.caveats))


def failed_trials(duel: Duel) -> list[str]:
    """The titles of those that failed."""
    return [trial.title for trial in duel.results.trials if trial.status == "failed"]
