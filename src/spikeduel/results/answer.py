"""Decide which contender to take, who leads in what, and which next step would settle it.

The rule, which `words.answer.RULE` says in words. None is taken where test images leak into
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

from msgspec import structs

from spikeduel.results import accuracy
from spikeduel.results.costs import Range
from spikeduel.results.energy_accountings import AccountedPair
from spikeduel.results.findings import Finding, is_leak, with_id
from spikeduel.results.power import LEAD
from spikeduel.results.rankings import finished, mean_range, with_memory
from spikeduel.results.run import Answer, Evidence, Lead, Quantity, Reason, Results, Step
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import Trial, minutes_a_seed

MOST_STEPS = 3
NOTICEABLE = 1.1
"""Ratio of times or bytes below which there is no leader: two measurements of one thing differ as
much.
"""
TOO_COARSE = 0.05
"""Test images that show no difference below this (about 100 of them) cannot choose a network."""
SHORTEST_TRAINING = 5.0
"""Seconds below which trainings say more about the machine than about the networks."""


def answered(results: Results) -> Results:
    """Return `results` with the answer that follows from the rest of them."""
    return structs.replace(
        results, comparison=structs.replace(results.comparison, answer=decide(results))
    )


def decide(results: Results) -> Answer:
    """Return which contender to take, by the rule above, with every lead and the next steps."""
    leads = [_lead(quantity, results) for quantity in _VALUES]
    accuracies = {name: value.low for name, value in leads[0].values.items()}
    take, reason = _taken(results, accuracies, leads[2].values)
    rival = None
    if take:
        others = _of_other_kind(take, [name for name in accuracies if name != take], results)
        rival = max(others, key=accuracies.__getitem__, default=None)
    return Answer(
        take=take,
        reason=reason,
        rival=rival,
        pair=results.comparison.pair(take, rival) if take and rival else None,
        leads=leads,
        steps=_steps(results),
    )


def _taken(
    results: Results, accuracies: Mapping[str, float], times: Mapping[str, Range]
) -> tuple[str | None, Reason]:
    if not accuracies:
        return None, Reason.NOT_FINISHED
    if any(map(is_leak, results.comparison.caveats)):
        return None, Reason.LEAKAGE
    unlearned = {
        name
        for finding in with_id(results.comparison.caveats, "at_chance")
        for name in finding.values["contenders"]
    }
    learned = {name: share for name, share in accuracies.items() if name not in unlearned}
    if not learned:
        return None, Reason.NOTHING_LEARNED
    if len(accuracies) == 1:
        return next(iter(learned)), Reason.ALONE
    beaten = {pair.other for pair in results.comparison.pairs if pair.shows_better}
    left = {name: share for name, share in learned.items() if name not in beaten} or learned
    if len(left) == 1:
        return next(iter(left)), Reason.BETTER
    best = max(left, key=left.__getitem__)
    level = [name for name in left if left[name] >= left[best] - LEAD or _open(results, best, name)]
    if len(level) > 1 and too_few(results):
        return None, Reason.TOO_FEW
    if len(level) == 1 or any(name not in times for name in level) or was_busy(results):
        return best, Reason.HIGHER
    fastest, *slower = sorted(level, key=lambda name: times[name].low)
    if all(times[name].low < NOTICEABLE * times[fastest].low for name in slower):
        return best, Reason.HIGHER
    return fastest, Reason.FASTER


def too_few(results: Results) -> Finding | None:
    """Return the objection that the test images show large differences alone; None if they are
    enough.
    """
    images = with_id(results.comparison.overturned_by, "more_images", "far_more_images")
    return next((finding for finding in images if finding.values["detectable"] > TOO_COARSE), None)


def _open(results: Results, one: str, other: str) -> bool:
    """Return True if the difference of two contenders can be 0."""
    pair = results.comparison.pair(one, other)
    return pair is not None and not pair.excludes_zero


def _of_other_kind(name: str, others: Sequence[str], results: Results) -> Sequence[str]:
    """Return those of `others` that spike if `name` does not, and vice versa; all if none does."""
    spiking = {trial.contender: trial.spiking for trial in results.trials}
    return [other for other in others if spiking[other] != spiking[name]] or others


# ---- leads


def _training(results: Results, trials: Sequence[Trial]) -> list[Range]:
    """Return seconds of training, with the training of the network that it started from."""
    return _exact(
        sum(trial.epoch_seconds) + (sum(source.epoch_seconds) if source else 0.0)
        for trial in trials
        if trial.converted_from is None
        for source in [results.source_of(trial)]
    )


def _answering(results: Results, trials: Sequence[Trial]) -> list[Range]:
    times = [trial.latency.one_image for trial in trials if trial.latency]
    return _exact(time.median_ms / 1000 for time in times if time)


def _energy(results: Results, trials: Sequence[Trial]) -> list[Range]:
    return [joules for trial in trials if (joules := with_memory(trial))]


def _memory(results: Results, trials: Sequence[Trial]) -> list[Range]:
    peaks = [trial.latency.peak_memory_bytes for trial in trials if trial.latency]
    return _exact(peak for peak in peaks if peak)


def _size(results: Results, trials: Sequence[Trial]) -> list[Range]:
    return _exact(trial.operations.bytes for trial in trials if trial.operations)


def _exact(values: Iterable[float]) -> list[Range]:
    return [Range(low=value, high=value) for value in values]


_VALUES: dict[Quantity, Callable[[Results, Sequence[Trial]], list[Range]]] = {
    "accuracy": lambda results, trials: _exact(
        accuracy.of_seeds(results.of(trials[0].contender)).values()
    ),
    "training": _training,
    "answer": _answering,
    "energy": _energy,
    "memory": _memory,
    "size": _size,
}
"""Values of a contender's finished trials, or of its seeds, by quantity."""


def _lead(quantity: Quantity, results: Results) -> Lead:
    known = {
        name: values
        for name, trials in finished(results).items()
        if trials and (values := _VALUES[quantity](results, trials))
    }
    means = {name: mean for name, values in known.items() if (mean := mean_range(values))}
    if len(means) < 2:
        return Lead(quantity=quantity, values=means)
    sign = -1 if quantity == "accuracy" else 1
    best, *_ = ranked = sorted(means, key=lambda name: sign * means[name].low)
    over = _of_other_kind(best, ranked[1:], results)[0]
    lead = Lead(
        quantity=quantity, values=means, leader=best, over=over, evidence=Evidence.NOT_SHOWN
    )
    if quantity == "accuracy":
        return _in_accuracy(lead, best, over, results)
    if quantity == "energy":
        return _in_energy(lead, best, over, results)
    ratio = means[over].low / means[best].low if means[best].low else math.inf
    if quantity in ("memory", "size") and ratio < NOTICEABLE:
        return structs.replace(lead, leader=None, evidence=Evidence.SAME)
    disturbed = (
        quantity in ("training", "answer") and was_busy(results, "busy_machine", "busy_budget")
    ) or (quantity == "training" and means[best].low < SHORTEST_TRAINING)
    apart = max(value.high for value in known[best]) < min(value.low for value in known[over])
    shown = ratio >= NOTICEABLE and apart and not disturbed
    # JSON has no word for infinity: no number says how far one that takes nothing leads.
    by = ratio if math.isfinite(ratio) else None
    evidence = Evidence.SHOWN if shown else Evidence.NOT_SHOWN
    return structs.replace(lead, by=by, evidence=evidence)


def was_busy(results: Results, *ids: str) -> bool:
    """Return True if other work disturbed the times of answers, or what other findings name."""
    return bool(with_id(results.comparison.caveats, *(ids or ("busy_machine",))))


def _in_accuracy(lead: Lead, best: str, over: str, results: Results) -> Lead:
    by, pair = lead.values[best].low - lead.values[over].low, results.comparison.pair(best, over)
    if pair and (pair.conclusion is Conclusion.EQUIVALENT or pair.negligible):
        return structs.replace(lead, by=by, evidence=Evidence.EQUIVALENT)
    evidence = Evidence.NOT_SHOWN
    if pair and pair.conclusion.better:
        evidence = Evidence.SHOWN if pair.shows_better else Evidence.THESE
    return structs.replace(lead, leader=best if by else None, by=by, evidence=evidence)


def _in_energy(lead: Lead, best: str, over: str, results: Results) -> Lead:
    """Judge by the accountings where they compare the two, else by the ranges of the table that
    leads.
    """
    accounted = accounted_pair(results, best, over)
    if accounted is None or not accounted.judged:
        if lead.values[best].below(lead.values[over]):
            return structs.replace(lead, evidence=Evidence.SHOWN)
        return structs.replace(lead, leader=None)
    cheaper = {
        accounted.spiking: len(accounted.found("spiking")),
        accounted.other: len(accounted.found("other")),
    }
    leader, other = sorted(cheaper, key=cheaper.__getitem__, reverse=True)
    # By most accountings, and not against what the table shows.
    above = (
        lead.values[other].low < lead.values[leader].low
        and lead.values[other].high < lead.values[leader].high
    )
    by_all = cheaper[leader] == accounted.judged
    return structs.replace(
        lead,
        leader=leader if by_all or (2 * cheaper[leader] > accounted.judged and not above) else None,
        over=other,
        evidence=Evidence.SHOWN if by_all else Evidence.NOT_SHOWN,
        cheaper_in=cheaper[leader],
        judged=accounted.judged,
    )


def accounted_pair(results: Results, one: str, other: str) -> AccountedPair | None:
    """Return the accountings' case of two contenders; None where one was not counted, or both spike
    or neither.
    """
    accounted_pairs = results.energy_accountings.pairs if results.energy_accountings else []
    return next(
        (
            accounted
            for accounted in accounted_pairs
            if not accounted.control and {accounted.spiking, accounted.other} == {one, other}
        ),
        None,
    )


# ---- next steps


def _steps(results: Results) -> list[Step]:
    """Return at most `MOST_STEPS`, one for each kind of options, by the gravest objections."""
    steps: dict[str, Step] = {}
    for objection in (*results.comparison.overturned_by, *results.comparison.caveats):
        options, minutes = _remedy(objection, results)
        if options is not None:
            step = Step(options=options, minutes=minutes, answers=objection)
            steps.setdefault(options[0] if options else "", step)
    return list(steps.values())[:MOST_STEPS]


def _remedy(finding: Finding, results: Results) -> tuple[list[str] | None, float | None]:
    """Return the options that answer a finding, None without any, and their minutes of training.

    The options are empty where only other data would do.
    """
    folds, seeds = max(1, len(results.dataset.folds or [])), results.experiment.seeds
    a_seed = minutes_a_seed(results.trials)
    if finding.id in ("more_images", "far_more_images"):
        return [], None
    options = (finding.remedy or "").split()
    match options:
        case ["--group-by", _]:
            return options, a_seed * seeds
        case ["--folds", number]:
            return options, a_seed * seeds * int(number) / folds
        case ["--seeds", number]:
            return options, a_seed * (int(number) - seeds)
        case ["--tune", number]:
            known = results.tuning.num_trials if results.tuning else 0
            return options, a_seed * (int(number) - known + seeds)
    return None, None
