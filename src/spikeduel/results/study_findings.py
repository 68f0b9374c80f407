"""Findings on a study: a function for each finding of `findings.toml`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from spikeduel.results import across
from spikeduel.results.across import Across
from spikeduel.results.answer import was_busy
from spikeduel.results.findings import Values, finds, is_leak, with_id
from spikeduel.results.significance import smallest_p
from spikeduel.results.variants import Duel, VariantInDuel


@dataclass(frozen=True)
class StudyContext:
    """A study as finders see it; `accuracies` are of each variant on each data set, seed by
    seed.
    """

    duels: Sequence[Duel]
    entries: Sequence[VariantInDuel]
    accuracies: Mapping[str, Mapping[str, Sequence[float]]]
    verdict: Across
    margin: float

    @cached_property
    def by_dataset(self) -> dict[str, list[Duel]]:
        """The duels on each data set."""
        duels: dict[str, list[Duel]] = {}
        for duel in self.duels:
            duels.setdefault(duel.dataset, []).append(duel)
        return duels


def leaks(duel: Duel) -> bool:
    """Return True if test images of a duel leak into training."""
    return any(map(is_leak, duel.results.comparison.caveats))


def failed_trials(duel: Duel) -> list[str]:
    """Return the titles of the trials that failed."""
    return [trial.title for trial in duel.results.trials if trial.status == "failed"]


@finds("leaking_datasets")
def leaking_datasets(study: StudyContext) -> Iterator[Values]:
    leaking = [name for name, duels in study.by_dataset.items() if any(map(leaks, duels))]
    if not leaking:
        return
    kept = {
        variant: {name: seeds for name, seeds in on.items() if name not in leaking}
        for variant, on in study.accuracies.items()
    }
    pairs = across.compare({variant: on for variant, on in kept.items() if on}, study.margin)
    main = set(study.verdict.main or ())
    left = next((pair.conclusion for pair in pairs if {pair.a, pair.b} == main), None)
    without = "nothing" if left is None else "better" if left.better else left.value
    yield {"datasets": leaking, "without": without}


@finds("few_datasets")
def few_datasets(study: StudyContext) -> Iterator[Values]:
    pairs, needed = study.verdict.pairs, study.verdict.fewest_datasets
    most = max((len(pair.differences) for pair in pairs), default=0)
    if 0 < most < needed:
        smallest = min(1.0, len(pairs) * smallest_p(most))
        yield {"datasets": most, "pairs": len(pairs), "smallest_p": smallest, "needed": needed}


@finds("single_trainings")
def single_trainings(study: StudyContext) -> Iterator[Values]:
    once = [
        name
        for name in study.by_dataset
        if any(len(on.get(name, ())) == 1 for on in study.accuracies.values())
    ]
    if once:
        yield {"datasets": once}


@finds("datasets_at_chance")
def datasets_at_chance(study: StudyContext) -> Iterator[Values]:
    unlearned: dict[str, list[str]] = {}
    for entry in study.entries:
        for finding in with_id(entry.duel.results.comparison.caveats, "at_chance"):
            datasets = unlearned.setdefault(entry.variant, [])
            if entry.contender in finding.values["contenders"]:
                datasets.append(entry.duel.dataset)
    if contenders := {name: list(dict.fromkeys(on)) for name, on in unlearned.items() if on}:
        yield {"contenders": contenders}


@finds("failed_trainings")
def failed_trainings(study: StudyContext) -> Iterator[Values]:
    if trials := {duel.folder: failed for duel in study.duels if (failed := failed_trials(duel))}:
        yield {"trials": trials}


@finds("missing_scores")
def missing_scores(study: StudyContext) -> Iterator[Values]:
    for variant, on in study.accuracies.items():
        if absent := [name for name in study.by_dataset if name not in on]:
            yield {"variant": variant, "datasets": absent}


@finds("busy_datasets")
def busy_datasets(study: StudyContext) -> Iterator[Values]:
    busy = [
        name
        for name, duels in study.by_dataset.items()
        if any(was_busy(duel.results) for duel in duels)
    ]
    if busy:
        yield {"datasets": busy}
