"""Whom to take: by a stated rule, who leads in what and how surely, and what would settle it.

The rule, which `words.answer.RULE` says in words. Nobody is taken where test images leak into
training, nor where several are level and the test images are too few to tell them apart by five
points. Contenders that learned nothing are out, and those that another one is shown to be better
than. Of the others, those are level with the most accurate one that lie within one point of it, or
whose difference to it has a 95 % interval with 0 in it; of these the one that answers fastest on
this machine is taken, or the most accurate one where the machine was busy. The rival that is named
beside it is the most accurate contender of the other kind, spiking or not; where all are of one
kind, the most accurate other one.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from types import UnionType
from typing import Any, Literal

from msgspec import structs

from spikeduel.results import caveats as c
from spikeduel.results.costs import Range
from spikeduel.results.court import Case
from spikeduel.results.power import LEAD
from spikeduel.results.rankings import mean_range, with_memory
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import minutes_a_seed
from spikeduel.results.uncertainty import ADVISED_SEEDS
from spikeduel.system.typed import Frozen

MOST_STEPS = 3
ADVISED_FOLDS, ADVISED_TRIALS = 5, 10
NOTICEABLE = 1.1
"""The ratio of times or bytes below which nobody leads: two measurements of one thing differ as
much.
"""

TOO_COARSE = 0.05
"""Test images that show no difference below this say nothing of which network to take: about 100 of
them.
"""
SHORTEST_TRAINING = 5.0
"""Seconds below which trainings say more about the machine than about the networks."""

Quantity = Literal["accuracy", "training", "answer", "energy", "memory", "size"]


class Sure(StrEnum):
    """How sure it is that a leader leads.

    `SHOWN` of accuracy: by the test of the pair; of times: in every training, and by more than two
    measurements differ; of energy: by all accountings. `THESE`: of these trained networks alone,
    one of each contender. `SAME` of bytes: they differ by less than a tenth.
    """

    SHOWN = "shown"
    THESE = "these models"
    NOT_SHOWN = "not shown"
    EQUIVALENT = "equivalent"
    SAME = "the same"
    NOT_MEASURED = "not measured"


class Why(StrEnum):
    """Why a contender is to be taken, or nobody is."""

    BETTER = "better"
    HIGHER = "higher"
    FASTER = "faster"
    TOO_FEW = "too_few_images"
    LEAKAGE = "leakage"
    NOTHING_LEARNED = "nothing_learned"
    NOT_FINISHED = "not_finished"
    ALONE = "alone"


class Lead(Frozen):
    """Who leads in one quantity: the best contender, against the best of the other kind (`over`).

    `values` by contender: a share, seconds of a training (that of the twin it starts from
    included), seconds an answer, joules an answer (with memory on the chip), bytes of a process
    that answers, bytes of the weights. `by`: a difference in accuracy, else how many times as much
    `over` takes. Of energy, the leader is cheaper in `cheaper_in` of `judged` accountings.
    """

    quantity: Quantity
    values: dict[str, Range] = {}
    leader: str | None = None
    over: str | None = None
    by: float | None = None
    sure: Sure = Sure.NOT_MEASURED
    cheaper_in: int | None = None
    judged: int | None = None


class Step(Frozen):
    """What would settle it: options to add to the run's own command, the minutes of training, and
    the objection that they answer. No options where only other data would.
    """

    options: list[str]
    minutes: float | None
    answers: c.Overturn | c.Caveat


class Answer(Frozen):
    """Whom to `take`, None where nobody is, and `why`; whom to name beside (`rival`); every `Lead`;
    what settles it.
    """

    take: str | None
    why: Why
    rival: str | None = None
    pair: Pair | None = None
    leads: list[Lead] = []
    steps: list[Step] = []

    def lead(self, quantity: Quantity) -> Lead:
        """The one in this quantity."""
        return next(lead for lead in self.leads if lead.quantity == quantity)


def answer(results: Results) -> Answer:
    """Whom to take, by the rule above."""
    leads = [_lead(quantity, results) for quantity in _VALUES]
    accuracies = {name: value.low for name, value in leads[0].values.items()}
    take, why = _taken(results, accuracies, leads[2].values)
    rival = _rival(take, accuracies, results) if take else None
    return Answer(
        take=take,
        why=why,
        rival=rival,
        pair=_pair(results, take, rival) if take and rival else None,
        leads=leads,
        steps=_steps(results),
    )


def _taken(
    results: Results, accuracies: Mapping[str, float], times: Mapping[str, Range]
) -> tuple[str | None, Why]:
    if not accuracies:
        return None, Why.NOT_FINISHED
    if any(map(c.is_leak, results.comparison.caveats)):
        return None, Why.LEAKAGE
    idle = {
        name
        for each in results.comparison.caveats
        if isinstance(each, c.AtChance)
        for name in each.contenders
    }
    learned = {name: accuracy for name, accuracy in accuracies.items() if name not in idle}
    if not learned:
        return None, Why.NOTHING_LEARNED
    if len(accuracies) == 1:
        return next(iter(learned)), Why.ALONE
    beaten = {p.other for p in results.comparison.pairs if is_shown(p)}
    left = {name: accuracy for name, accuracy in learned.items() if name not in beaten} or learned
    if len(left) == 1:
        return next(iter(left)), Why.BETTER
    best = max(left, key=left.__getitem__)
    level = [
        name
        for name, accuracy in left.items()
        if accuracy >= left[best] - LEAD or _open(results, best, name)
    ]
    if len(level) > 1 and too_few(results):
        return None, Why.TOO_FEW
    if len(level) == 1 or any(name not in times for name in level) or was_busy(results):
        return best, Why.HIGHER
    fastest, *others = sorted(level, key=lambda name: times[name].low)
    if all(times[name].low < NOTICEABLE * times[fastest].low for name in others):
        return best, Why.HIGHER
    return fastest, Why.FASTER


def too_few(results: Results) -> c.Overturn | None:
    """What says that the test images show no difference that is not far too large; None where they
    do.
    """
    found = (each for each in results.comparison.overturned_by if isinstance(each, c.MoreImages))
    return next((each for each in found if each.detectable > TOO_COARSE), None)


def is_shown(pair: Pair) -> bool:
    """Whether one of two contenders is shown to be better, by more than what counts as none, and
    not of one training each alone.
    """
    return pair.conclusion.better and not pair.negligible and pair.seeds > 1


def _open(results: Results, best: str, name: str) -> bool:
    """Whether the interval of the difference of two contenders holds 0."""
    pair = _pair(results, best, name)
    return pair is not None and not pair.excludes_zero


def _rival(take: str, accuracies: Mapping[str, float], results: Results) -> str | None:
    others = _of_other_kind(take, [name for name in accuracies if name != take], results)
    return max(others, key=accuracies.__getitem__, default=None)


def _of_other_kind(name: str, others: Sequence[str], results: Results) -> Sequence[str]:
    """Those of `others` that spike if `name` does not, and the other way round; all where there are
    none.
    """
    spiking = {trial.contender: trial.spiking for trial in results.trials}
    return [other for other in others if spiking[other] != spiking[name]] or others


def _pair(results: Results, one: str, other: str) -> Pair | None:
    return next(
        (pair for pair in results.comparison.pairs if {pair.a, pair.b} == {one, other}), None
    )


# ---- who leads in what


def accuracy_of_seeds(results: Results, name: str) -> list[float]:
    """Of each seed of a contender, over the images of all its folds."""
    by_seed: dict[int, list[tuple[float, int]]] = {}
    for trial in results.of(name):
        if trial.test:
            by_seed.setdefault(trial.seed, []).append((trial.test.accuracy, trial.test.n))
    return [
        sum(accuracy * n for accuracy, n in folds) / sum(n for _, n in folds)
        for folds in by_seed.values()
    ]


def _training(results: Results, name: str) -> list[Range]:
    """How long each network was trained, with the one that it started from."""
    trained = [trial for trial in results.of(name) if trial.converted_from is None]
    sources = [results.source_of(trial) for trial in trained]
    return _exact(
        sum(trial.epoch_seconds) + (sum(source.epoch_seconds) if source else 0.0)
        for trial, source in zip(trained, sources, strict=True)
    )


def _answering(results: Results, name: str) -> list[Range]:
    taken = [trial.latency.one_image for trial in results.of(name) if trial.latency]
    return _exact(each.median_ms / 1000 for each in taken if each)


def _joules(results: Results, name: str) -> list[Range]:
    return [joules for trial in results.of(name) if (joules := with_memory(trial))]


def _memory(results: Results, name: str) -> list[Range]:
    taken = [trial.latency.peak_memory_bytes for trial in results.of(name) if trial.latency]
    return _exact(each.first_answer for each in taken if each and each.first_answer)


def _size(results: Results, name: str) -> list[Range]:
    return _exact(trial.operations.bytes for trial in results.of(name) if trial.operations)


def _exact(values: Iterable[float]) -> list[Range]:
    return [Range(low=value, high=value) for value in values]


_VALUES: dict[Quantity, Callable[[Results, str], list[Range]]] = {
    "accuracy": lambda results, name: _exact(accuracy_of_seeds(results, name)),
    "training": _training,
    "answer": _answering,
    "energy": _joules,
    "memory": _memory,
    "size": _size,
}


def _lead(quantity: Quantity, results: Results) -> Lead:
    taken = {
        name: values for name in results.contenders if (values := _VALUES[quantity](results, name))
    }
    means = {name: mean for name, values in taken.items() if (mean := mean_range(values))}
    if len(means) < 2:
        return Lead(quantity=quantity, values=means)

    def worst_last(name: str) -> float:
        return -means[name].low if quantity == "accuracy" else means[name].low

    best = min(means, key=worst_last)
    over = min(
        _of_other_kind(best, [name for name in means if name != best], results), key=worst_last
    )
    lead = Lead(quantity=quantity, values=means, leader=best, over=over, sure=Sure.NOT_SHOWN)
    if quantity == "accuracy":
        return _in_accuracy(lead, _pair(results, best, over), means[best].low - means[over].low)
    if quantity == "energy":
        return _in_energy(lead, best, over, results)
    ratio = means[over].low / means[best].low if means[best].low else math.inf
    if quantity in ("memory", "size") and ratio < NOTICEABLE:
        return structs.replace(lead, leader=None, sure=Sure.SAME)
    apart = max(each.high for each in taken[best]) < min(each.low for each in taken[over])
    is_timed = quantity in ("training", "answer")
    is_shown = (
        ratio >= NOTICEABLE
        and apart
        and not (is_timed and was_busy(results, c.BusyMachine | c.BusyBudget))
    )
    if quantity == "training" and means[best].low < SHORTEST_TRAINING:
        is_shown = False
    # JSON has no word for infinity: no number says how far one that takes nothing leads.
    by = ratio if math.isfinite(ratio) else None
    return structs.replace(lead, by=by, sure=Sure.SHOWN if is_shown else Sure.NOT_SHOWN)


def was_busy(results: Results, found_by: type | UnionType = c.BusyMachine) -> bool:
    """Whether other work disturbed the times of answers, or what another kind of caveat speaks
    of.
    """
    return any(isinstance(each, found_by) for each in results.comparison.caveats)


def _in_accuracy(lead: Lead, pair: Pair | None, by: float) -> Lead:
    if pair and (pair.conclusion is Conclusion.EQUIVALENT or pair.negligible):
        return structs.replace(lead, by=by, sure=Sure.EQUIVALENT)
    sure = Sure.NOT_SHOWN
    if pair and pair.conclusion.better:
        sure = Sure.SHOWN if is_shown(pair) else Sure.THESE
    return structs.replace(lead, leader=lead.leader if by else None, by=by, sure=sure)


def _in_energy(lead: Lead, best: str, over: str, results: Results) -> Lead:
    """By the accountings, where they compare the two; else by the ranges of the table that
    leads.
    """
    case = case_of(results, best, over)
    if case is None or not case.judged:
        if lead.values[best].below(lead.values[over]):
            return structs.replace(lead, sure=Sure.SHOWN)
        return structs.replace(lead, leader=None)
    cheaper = {case.spiking: len(case.found("spiking")), case.other: len(case.found("other"))}
    leader, other = sorted(cheaper, key=cheaper.__getitem__, reverse=True)
    # By most of them, and not against what the table shows.
    above = (
        lead.values[other].low < lead.values[leader].low
        and lead.values[other].high < lead.values[leader].high
    )
    leads = cheaper[leader] == case.judged or (2 * cheaper[leader] > case.judged and not above)
    return structs.replace(
        lead,
        leader=leader if leads else None,
        over=other,
        sure=Sure.SHOWN if cheaper[leader] == case.judged else Sure.NOT_SHOWN,
        cheaper_in=cheaper[leader],
        judged=case.judged,
    )


def case_of(results: Results, one: str, other: str) -> Case | None:
    """The accountings' case of two contenders; None where one of them was not counted, or both
    spike or neither.
    """
    cases = results.court.cases if results.court else []
    return next(
        (case for case in cases if not case.control and {case.spiking, case.other} == {one, other}),
        None,
    )


# ---- what would settle it


def _steps(results: Results) -> list[Step]:
    """At most one for each kind of options, the gravest objections first, and no more than
    `MOST_STEPS`.
    """
    found: dict[str, Step] = {}
    objections = [*results.comparison.overturned_by, *results.comparison.caveats]
    for objection in objections:
        options, minutes = _remedy(objection, results)
        if options is not None:
            found.setdefault(
                options[0] if options else "",
                Step(options=options, minutes=minutes, answers=objection),
            )
    return list(found.values())[:MOST_STEPS]


def _remedy(objection: Any, results: Results) -> tuple[list[str] | None, float | None]:
    """The options that answer an objection, and how long they train; None where none is known."""
    folds, seeds = max(1, len(results.dataset.folds or [])), results.experiment.seeds
    a_seed = minutes_a_seed(results.trials)
    match objection:
        case c.RelativesApart() | c.Leakage():
            return ["--group-by", "PATTERN"], a_seed * seeds
        case c.FewGroups(folds_help=True) | c.FewTestImages(folds_help=True):
            return ["--folds", str(ADVISED_FOLDS)], a_seed * seeds * ADVISED_FOLDS / folds
        case c.AnotherTraining() | c.EnoughSeeds():
            return ["--seeds", str(ADVISED_SEEDS)], a_seed * (ADVISED_SEEDS - seeds)
        case c.MoreSeeds(needed=int(needed)) if needed > seeds:
            return ["--seeds", str(needed)], a_seed * (needed - seeds)
        case c.MoreImages():
            return [], None
        case c.OtherSettings() if not folds > 1:
            return ["--tune", str(ADVISED_TRIALS)], a_seed * (ADVISED_TRIALS + seeds)
        case c.MoreTuning() if results.tuning and not folds > 1:
            trials = 2 * results.tuning.num_trials
            return ["--tune", str(trials)], a_seed * (trials / 2 + seeds)
        case _:
            return None, None
