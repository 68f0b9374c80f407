"""Decide which contender to recommend, compare quantities, and list the next steps.

`sentences.recommendation_sentences.EXACT_RULE` states the rule. The runner-up is the most accurate
contender of the other kind (spiking or not), else the second best.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from msgspec import structs

from spikeduel.analysis.run_findings import search_option, searches
from spikeduel.experiment.targets import DEVICES
from spikeduel.features import providing
from spikeduel.results import accuracy
from spikeduel.results.cost_results import AccountedPair, Range
from spikeduel.results.findings import Finding, is_leak, with_id
from spikeduel.results.means import finished, joules_of, mean_range
from spikeduel.results.run import (
    QUANTITIES,
    Evidence,
    Pair,
    Quantity,
    QuantityComparison,
    Reason,
    Recommendation,
    Results,
    Step,
)
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import INT8, Trial, minutes_a_seed
from spikeduel.system.negligible import (
    MAX_COST_RATIO,
    MAX_DEFICIT_RATIO,
    MAX_DETECTABLE,
    MAX_ROUNDING,
    max_deficit,
)

DECIDED_BY: dict[str, Quantity] = {
    "accuracy": "latency",
    "speed": "latency",
    "energy": "energy",
    "size": "size",
    "cpu": "latency",
    "gpu": "latency",
    "cortex-m": "operations",
}
"""Quantity that decides among contenders that are accurate enough, by the question; on a device it
is energy.
"""
MAX_STEPS = 3
DECIDING: dict[Reason, str] = {
    "nothing_learned": "at_chance",
    "alone": "at_chance",
    "too_few_images": "more_images",
    "longer_training": "longer_training",
}
"""Caveat that is the reason of a recommendation."""
MIN_TRAINING = 5.0
"""Seconds below which trainings say more about the machine than about the networks."""


def with_recommendation(results: Results) -> Results:
    recommendation = decide(results)
    return structs.replace(
        results, comparison=structs.replace(results.comparison, recommendation=recommendation)
    )


def decide(results: Results) -> Recommendation:
    left_out = ("memory", "size") if results.experiment.target == "cortex-m" else ("flash", "ram")
    quantities = {
        quantity: _compare_quantity(quantity, results)
        for quantity in QUANTITIES
        if quantity not in left_out
    }
    if not quantities["operations"].values:
        del quantities["operations"]
    decided_by = DECIDED_BY.get(results.experiment.target, "energy")
    accuracies = {name: value.low for name, value in quantities["accuracy"].values.items()}
    costs = quantities.get(decided_by, QuantityComparison(quantity=decided_by))
    recommendation = _recommended(results, accuracies, costs)
    if recommended := recommendation.recommended:
        others = [name for name in accuracies if name not in (recommended, *results.unlearned)]
        others = [name for name in others if name in running(results, costs)] or others
        runner_up = _runner_up(recommended, others, accuracies, results)
        pair = results.comparison.pair(recommended, runner_up) if runner_up else None
        recommendation = structs.replace(recommendation, runner_up=runner_up, pair=pair)
    steps = _steps(results, recommendation.reason)
    return structs.replace(
        recommendation, decided_by=decided_by, quantities=list(quantities.values()), steps=steps
    )


def _recommended(
    results: Results, accuracies: Mapping[str, float], costs: QuantityComparison
) -> Recommendation:
    """Return the recommended contender, why, and others that are level with it on too few images;
    or why there is none, with the pair that so few images do not tell apart.
    """
    learned = {name: accuracies[name] for name in accuracies if name not in results.unlearned}
    if reason := _why_none(results, accuracies, learned):
        return Recommendation(recommended=None, reason=reason)
    if len(learned) == 1 and (close := _close_to_chance(results, *learned)):
        return Recommendation(recommended=None, reason="too_few_images", pair=close)
    on_device = {name: learned[name] for name in learned if name in running(results, costs)}
    if not on_device:
        return Recommendation(recommended=None, reason="none_runs")
    if len(on_device) == 1:
        (only,) = on_device
        alone: Reason = "alone" if len(learned) == 1 else "runs_alone"
        return Recommendation(recommended=only, reason=alone)
    recommended = _preferred(results, on_device, costs)
    pairs = {
        name: results.comparison.pair(recommended, name)
        for name in on_device
        if name != recommended
    }
    level = _undistinguished(results, pairs)
    if level and not _decides_the_kind(results, recommended, pairs, level):
        runner_up = _runner_up(recommended, level, accuracies, results)
        pair = pairs.get(runner_up or "")
        return Recommendation(recommended=None, reason="too_few_images", pair=pair)
    if _has_trained_longer(results, recommended, pairs):
        return Recommendation(recommended=None, reason="longer_training")
    reason = _reason_for(recommended, [*pairs.values()])
    return Recommendation(recommended=recommended, reason=reason, level=level)


def _why_none(
    results: Results, accuracies: Mapping[str, float], learned: Mapping[str, float]
) -> Reason | None:
    """Return why accuracies of a run recommend nothing; None if they may."""
    if not accuracies:
        return "not_finished"
    if any(map(is_leak, results.comparison.caveats)):
        return "leakage"
    if not results.common_seeds:
        return "no_common_seed"
    return None if learned else "nothing_learned"


def _close_to_chance(results: Results, only: str) -> Pair | None:
    """Return the pair of the `only` contender that learned and one that did not, if too few images
    do not tell them apart.
    """
    pairs = [results.comparison.pair(only, name) for name in results.unlearned]
    close = [pair for pair in pairs if pair and not pair.excludes_zero]
    return close[0] if close and too_few(results) else None


def _preferred(results: Results, accuracies: Mapping[str, float], costs: QuantityComparison) -> str:
    """Return the contender that `choose` prefers; of equally accurate ones, the cheapest."""
    highest_costs = {name: value.high for name, value in costs.values.items()}
    by_cost = sorted(accuracies, key=lambda name: highest_costs.get(name, math.inf))
    return choose(
        {name: accuracies[name] for name in by_cost},
        results.comparison.pair,
        lambda a, b: cheaper(costs, a, b, results).leader,
        accuracy.effective_images(results.trials) or results.dataset.counts.test,
        results.experiment.target == "accuracy",
        results.experiment.tolerance,
    )


def _undistinguished(results: Results, pairs: Mapping[str, Pair | None]) -> list[str]:
    """Return the others that too few test images do not tell apart from the recommended one."""
    if not too_few(results):
        return []
    tolerance = results.experiment.tolerance
    return [
        name
        for name, pair in pairs.items()
        if not (pair and (pair.excludes_zero or is_within(pair, tolerance)))
    ]


def _decides_the_kind(
    results: Results, recommended: str, pairs: Mapping[str, Pair | None], level: Sequence[str]
) -> bool:
    """Return True if all that are `level` with `recommended` are of its kind, and another is not
    level.
    """
    spiking = {trial.contender: trial.spiking for trial in results.trials}
    return len(level) < len(pairs) and all(spiking[name] == spiking[recommended] for name in level)


def _has_trained_longer(
    results: Results, recommended: str, pairs: Mapping[str, Pair | None]
) -> bool:
    """Return True if a difference that matters can come from longer training."""
    trained_less = [
        pairs.get(finding.values["other"])
        for finding in with_id(results.comparison.caveats, "longer_training")
        if finding.values["contender"] == recommended
    ]
    return any(pair and not pair.negligible for pair in trained_less)


def _reason_for(recommended: str, pairs: Sequence[Pair | None]) -> Reason:
    """Return why a contender is recommended, from its pairs with the others."""
    if all(pair and pair.leader == recommended and pair.shows_better for pair in pairs):
        return "better"
    is_highest = all(pair is None or pair.ordered(recommended).difference > 0 for pair in pairs)
    return "higher" if is_highest else "cheaper"


def running(results: Results, costs: QuantityComparison) -> list[str]:
    """Return the contenders that run on the device asked for; without one, all."""
    target = results.experiment.target
    is_limited = target == "cortex-m" or target in DEVICES
    # Those with a form in int8, or an energy on the device.
    return list(costs.values) if is_limited else results.contenders


def choose(
    accuracies: Mapping[str, float],
    pair_of: Callable[[str, str], Pair | None],
    cheaper_of: Callable[[str, str], str | None],
    num_images: float,
    accuracy_first: bool = True,
    tolerance: float | None = None,
) -> str:
    """Return the contender to take: the most accurate; or if others are preferred to it, one of
    these, by the same rule.

    `cheaper_of` names the cheaper one of two, if it is known. With `accuracy_first` it is preferred
    where it is level, else unless it is behind by more than the `tolerance` in points. `num_images`
    were tested.

    Two are chosen from as if alone, unless a third is more accurate than both and the preferences
    of the three go in a circle. A tolerance makes such circles, and no choice from one agrees with
    all its preferences.
    """

    def is_preferred(cheap: str, accurate: str) -> bool:
        if cheaper_of(accurate, cheap) != cheap:
            return False
        if accuracy_first:
            pair = pair_of(accurate, cheap)
            return pair is not None and is_level(pair, num_images, tolerance)
        behind = accuracies[accurate] - accuracies[cheap]
        return behind <= tolerated(accuracies[accurate], num_images, tolerance)

    recommended = max(accuracies, key=accuracies.__getitem__)
    left = {
        name: accuracies[name]
        for name in accuracies
        if name != recommended and is_preferred(name, recommended)
    }
    return (
        choose(left, pair_of, cheaper_of, num_images, accuracy_first, tolerance)
        if left
        else recommended
    )


def tolerated(accuracy: float, num_images: float, tolerance: float | None = None) -> float:
    """Return the deficit beside `accuracy` that does not matter: `tolerance` in points, or
    `max_deficit`.
    """
    deficit = max_deficit(accuracy, num_images) if tolerance is None else tolerance / 100
    return MAX_ROUNDING + deficit


def is_level(pair: Pair, num_images: float, tolerance: float | None = None) -> bool:
    """Return True if the deficit of the less accurate one does not matter: its 90 % interval ends
    within the tolerance, or it lies there itself and the interval ends within `MAX_DEFICIT_RATIO`
    times.
    """
    leader_first = pair.leader_first
    most, enough = leader_first.ci90[1], tolerated(leader_first.accuracy_a, num_images, tolerance)
    if leader_first.difference == 0 or most <= enough:
        return True
    return leader_first.difference <= enough and most <= MAX_DEFICIT_RATIO * enough


def is_within(pair: Pair, tolerance: float | None) -> bool:
    """Return True if the 90 % interval lies within a given `tolerance` in points."""
    return tolerance is not None and max(map(abs, pair.ci90)) <= tolerance / 100


def too_few(results: Results) -> Finding | None:
    """Return the objection that the test images show only large differences, if so."""
    images = with_id(results.comparison.caveats, "more_images")
    return next(
        (finding for finding in images if finding.values["detectable"] > MAX_DETECTABLE), None
    )


def _of_other_kind(name: str, others: Sequence[str], results: Results) -> Sequence[str]:
    spiking = {trial.contender: trial.spiking for trial in results.trials}
    return [other for other in others if spiking[other] != spiking[name]] or others


def _runner_up(
    name: str, others: Sequence[str], accuracies: Mapping[str, float], results: Results
) -> str | None:
    of_other_kind = _of_other_kind(name, others, results)
    return max(of_other_kind, key=accuracies.__getitem__, default=None)


def _values(quantity: Quantity, results: Results, trials: Sequence[Trial]) -> list[Range]:
    latencies = [trial.latency for trial in trials if trial.latency]
    values: Iterable[float | None]
    match quantity:
        case "accuracy":
            values = accuracy.of_seeds(results.of(trials[0].contender), results.measure).values()
        case "training":
            values = [sum(trial.epoch_seconds) for trial in trials if trial.epoch_seconds]
        case "latency":
            times = [latency.one_image for latency in latencies if latency.one_image]
            values = [time.median_ms / 1000 for time in times]
        case "energy":
            return [joules for trial in trials if (joules := joules_of(trial, memory="on_chip"))]
        case "memory":
            values = [latency.peak_memory_bytes for latency in latencies]
        case "size":
            values = [trial.operations.bytes for trial in trials if trial.operations]
        case "operations" | "flash" | "ram":
            costs = [trial.variants[INT8].int8 for trial in trials if INT8 in trial.variants]
            values = [getattr(cost, quantity) for cost in costs if cost]
    return [Range(low=value, high=value) for value in values if value is not None]


def _compare_quantity(quantity: Quantity, results: Results) -> QuantityComparison:
    by_trial = {
        name: values
        for name, trials in finished(results).items()
        if trials and (values := _values(quantity, results, trials))
    }
    means = {name: mean for name, values in by_trial.items() if (mean := mean_range(values))}
    compared, ranked = QuantityComparison(quantity=quantity, values=means), list(means)
    if quantity == "energy" and results.experiment.target in DEVICES:
        compared = structs.replace(compared, values=_on_device(results))
        ranked = list(compared.values)
    if len(ranked) < 2 or (quantity == "accuracy" and not results.common_seeds):
        return compared
    ranked = [name for name in ranked if name not in results.unlearned]
    if len(ranked) < 2:
        return structs.replace(compared, evidence="not learned")
    sign, means = -1 if quantity == "accuracy" else 1, compared.values
    best, *others = sorted(ranked, key=lambda name: sign * means[name].low)
    other = _of_other_kind(best, others, results)[0]
    compared = structs.replace(compared, leader=best, other=other, evidence="not significant")
    if quantity == "accuracy":
        return _in_accuracy(compared, best, other, results)
    if quantity == "energy":
        return _in_energy(compared, best, other, results)
    if not noticeably_below(means[best], means[other]):
        return structs.replace(compared, leader=None, evidence="the same")
    disturbed = (
        quantity in ("training", "latency") and was_busy(results, "busy_machine", "busy_budget")
    ) or (quantity == "training" and means[best].low < MIN_TRAINING)
    apart = max(value.high for value in by_trial[best]) < min(
        value.low for value in by_trial[other]
    )
    # JSON has no infinity: a ratio to nothing has no number.
    ratio = means[other].low / means[best].low if means[best].low else None
    evidence: Evidence = "significant" if apart and not disturbed else "not significant"
    return structs.replace(compared, difference=ratio, evidence=evidence)


def _on_device(results: Results) -> dict[str, Range]:
    """Return the joules on the device that is asked for, of the contenders that run there."""
    ((found),) = [
        joules
        for energies_on in providing("energies_on").values()
        if (joules := energies_on(results.experiment.target, results)) is not None
    ]
    return found


def noticeably_below(lower: Range, higher: Range) -> bool:
    """Return True if all of `lower` lies below `higher`, by more than measurements differ."""
    return lower.low < higher.low and MAX_COST_RATIO * lower.high <= higher.low


def was_busy(results: Results, *ids: str) -> bool:
    """Return True if other work disturbed times, by caveats `ids` (default: of inference)."""
    return bool(with_id(results.comparison.caveats, *(ids or ("busy_machine",))))


def timed_elsewhere(results: Results) -> bool:
    """Return True if a processor or a GPU is asked for, and times are of the other."""
    device = (results.environment or {}).get("device") or "cpu"
    return is_elsewhere(results.experiment.target, device)


def is_elsewhere(target: str, device: str) -> bool:
    """Return True if a processor or a GPU is asked for, and `device` is the other."""
    return target == ("gpu" if device == "cpu" else "cpu")


def are_times_void(results: Results) -> bool:
    """Return True if inference times decide nothing: of a busy machine, or of another device."""
    return was_busy(results) or timed_elsewhere(results)


def cheaper(costs: QuantityComparison, a: str, b: str, results: Results) -> QuantityComparison:
    """Compare the costs of two: the leader is cheaper by more than measurements differ."""
    without_leader = structs.replace(costs, leader=None)
    is_disturbed = costs.quantity == "latency" and are_times_void(results)
    if not {a, b} <= costs.values.keys() or is_disturbed:
        return without_leader
    cheap, dear = sorted((a, b), key=lambda name: costs.values[name].low)
    if costs.quantity == "energy":
        return _in_energy(costs, cheap, dear, results)
    is_cheaper = noticeably_below(costs.values[cheap], costs.values[dear])
    return structs.replace(costs, leader=cheap, other=dear) if is_cheaper else without_leader


def _ratio_is_below(ours: Range, theirs: Range) -> bool:
    """Return True if the interval of the ratio lies below 1, and the ratio noticeably so. The
    intervals are multiples of their middles, and errors of two networks are independent.
    """
    widths = [math.log(one.high / one.low) / 2 for one in (ours, theirs)]
    ratio = math.log(ours.low * ours.high / theirs.low / theirs.high) / 2
    return ratio <= -max(math.hypot(*widths), math.log(MAX_COST_RATIO))


def _in_accuracy(
    compared: QuantityComparison, best: str, other: str, results: Results
) -> QuantityComparison:
    difference = compared.values[best].low - compared.values[other].low
    pair = results.comparison.pair(best, other)
    compared = structs.replace(compared, leader=best if difference else None, difference=difference)
    if pair and (pair.conclusion is Conclusion.EQUIVALENT or pair.negligible):
        return structs.replace(compared, evidence="equivalent")
    if pair and pair.conclusion.better:
        return structs.replace(
            compared, evidence="significant" if pair.shows_better else "these models"
        )
    return compared


def _in_energy(
    compared: QuantityComparison, best: str, other: str, results: Results
) -> QuantityComparison:
    """Name a leader where all accountings with memory of both agree; without accountings,
    where ranges do not overlap. On a device, where the interval of the ratio does not reach 1.
    """
    compared = structs.replace(compared, leader=None, other=other, evidence="overlap")
    if results.experiment.target in DEVICES:
        is_below = _ratio_is_below(compared.values[best], compared.values[other])
        on_device = structs.replace(compared, leader=best, evidence="on the device")
        return on_device if is_below else compared
    accounted = accounted_pair(results, best, other)
    by_group = accounted.by_group if accounted else {}
    compared = structs.replace(compared, by_group=by_group)
    if not by_group:
        is_below = noticeably_below(compared.values[best], compared.values[other])
        return (
            structs.replace(compared, leader=best, evidence="all agree") if is_below else compared
        )
    names = set(by_group.get("memory", []))
    if names == {None}:
        return compared
    compared = structs.replace(compared, evidence="disputed")
    leader = names.pop() if len(names) == 1 else None
    if leader is None:
        return compared
    behind = other if leader == best else best
    ours, theirs = compared.values[leader], compared.values[behind]
    if theirs.low < ours.low and theirs.high < ours.high:
        return compared  # the table beside it shows the contrary
    do_all_agree = all(set(names) == {leader} for names in by_group.values())
    evidence: Evidence = "all agree" if do_all_agree else "with memory"
    return structs.replace(compared, leader=leader, other=behind, evidence=evidence)


def accounted_pair(results: Results, a: str, b: str) -> AccountedPair | None:
    """Return the accountings of two contenders; None unless both were counted and one spikes."""
    accounted_pairs = results.energy_accountings.pairs if results.energy_accountings else []
    return next(
        (
            accounted
            for accounted in accounted_pairs
            if not accounted.variant and {accounted.spiking, accounted.other} == {a, b}
        ),
        None,
    )


def _steps(results: Results, reason: Reason) -> list[Step]:
    """Return the steps that would settle the recommendation, for the deciding caveats first."""

    def decides(caveat: Finding) -> bool:
        return caveat.id == DECIDING.get(reason) or (reason == "leakage" and is_leak(caveat))

    steps: dict[str, Step] = {}
    for objection in sorted(results.comparison.caveats, key=lambda caveat: not decides(caveat)):
        options = (objection.remedy or "").split()
        minutes = _minutes(options, results)
        wants_images = objection.id == "more_images" and minutes is None
        is_training = minutes is not None and objection.subject != "audit"
        if decides(objection) or wants_images or is_training:
            step = Step(
                options=options if minutes is not None else [], minutes=minutes, resolves=objection
            )
            key = step.options[0] if step.options else objection.remedy or objection.id
            steps.setdefault(key, step)
    return list(steps.values())[:MAX_STEPS]


def _minutes(options: Sequence[str], results: Results) -> float | None:
    """Return the minutes of training; None if only other data would help."""
    folds, seeds = max(1, len(results.dataset.folds or [])), results.experiment.seeds
    a_seed = minutes_a_seed(results.trials)
    match options:
        case ["--minutes", number]:
            return float(number) * seeds * folds
        case ["--epochs", number]:
            longer = [
                structs.replace(
                    trial, epoch_seconds=[fmean(trial.epoch_seconds or [0.0])] * int(number)
                )
                for trial in results.trials
            ]
            return minutes_a_seed(longer) * seeds
        case ["--folds", number]:
            return a_seed * seeds * int(number) / folds
        case ["--seeds", number]:
            return a_seed * (int(number) - seeds)
        case [name, number] if (search_option() or "").startswith(f"{name} "):
            done = sum(search.num_trials for search in searches(results.features))
            return a_seed * (int(number) - done + seeds)
    return None
