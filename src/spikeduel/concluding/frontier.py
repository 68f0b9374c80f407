"""Compare families of cheaper networks at equal accuracy, along their curves.

A family's curve consists of the members that no cheaper one beats on validation images. Between two
of them, images are shared out: cost and accuracy are those of the shares. Accuracies are of test
images; their uncertainty is that of seeds and images, or groups of images, drawn again (Efron and
Tibshirani 1993, "An Introduction to the Bootstrap"), the same for all members.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spikeduel.concluding.answers import Answers
from spikeduel.energy import accounting
from spikeduel.results import means
from spikeduel.results.answer import NOTICEABLE
from spikeduel.results.costs import Accounting, Family, Range, Side
from spikeduel.results.frontier import (
    BreakEven,
    CostKind,
    EqualAccuracy,
    Frontier,
    FrontierPair,
    Member,
    RatioAt,
)
from spikeduel.results.trials import ControlResult, Trial
from spikeduel.results.uncertainty import numbered, student, weights_of, wilson

DRAWS = 1000
STEP = 0.005
"""Accuracies that are compared at are multiples of it."""
BELOW = (0, 2, 4, 8)
"""Multiples of `STEP` below the highest accuracy that both families reach."""
BIT_MATCHED = "quantised_twin"
MEASURED = {
    "weights": CostKind(label="bytes of weights", family="size"),
    "time": CostKind(label="time of an answer", family="measured"),
}
"""Costs besides accountings: bytes of weights, and seconds of an answer."""
Costs = dict[str, np.ndarray]
"""Costs `[corners]` by accounting, or name in `MEASURED`."""


@dataclass(frozen=True, eq=False)
class Network:
    """A member: its entry, its accuracies `[1 + DRAWS]`, as measured and by draw, and its costs
    `[corners]` by accounting.
    """

    entry: Member
    accuracies: np.ndarray
    costs: Costs


def frontier(
    trials: Sequence[Trial], answers: Answers, definitions: Sequence[Accounting]
) -> Frontier | None:
    """Compare every spiking family with every other one; None without networks of common seeds."""
    done = [trial for trial in trials if trial.test]
    names = dict.fromkeys(
        trial.contender for trial in done if any(one.member for one in trial.controls.values())
    )
    seeds = sorted(set.intersection(*(set(answers.of(name)) for name in names))) if names else []
    if not seeds:
        return None
    by_contender = {
        name: [trial for trial in done if trial.contender == name and trial.seed in seeds]
        for name in names
    }
    spiking = [name for name in names if any(trial.spiking for trial in by_contender[name])]
    num_steps = max((trial.num_steps or 1 for trial in done if trial.spiking), default=1)
    seeds_drawn, images_drawn = _draws(answers, len(seeds))
    families: dict[str, list[Network]] = {}
    for name, of_name in by_contender.items():
        families[name], costs = [], dict[str, Costs]()
        for member, results in _members(of_name).items():
            right = answers.right(seeds, name, member)
            drawn = ((images_drawn @ right.T.astype(np.float32)) * seeds_drawn).sum(1)
            accuracy = (weights_of(answers.classes, right.shape[1]) * right).mean()
            if not _built_on(results[0]) <= costs.keys():
                continue
            if results[0].early is not None:
                costs[member] = _costs_of_early(results, costs)
            elif results[0].in_time is not None:
                costs[member] = _costs_in_time(results, definitions, costs)
            else:
                costs[member] = _costs(results, definitions, num_steps)
            accuracies = np.append(accuracy, drawn)
            entry = _entry(
                *(of_name[0], member, results, accuracies, costs[member], len(answers.truth))
            )
            families[name].append(Network(entry, accuracies, costs[member]))
    every = [network for family in families.values() for network in family]
    if not every:
        return None
    kinds = {
        definition.name: CostKind(label=definition.label, family=definition.family)
        for definition in definitions
    }
    known = {
        name: kind
        for name, kind in {**kinds, **MEASURED}.items()
        if all(_is_priced(network, name) for network in every)
    }
    return Frontier(
        seeds=len(seeds),
        accountings=known,
        members=[network.entry for network in every],
        pairs=[
            FrontierPair(
                spiking=name,
                other=other,
                at=at_equal_accuracy(families[name], families[other], known),
                break_even=list(break_even(by_contender[name], definitions)),
            )
            for name in spiking
            for other in names
            if other not in spiking and families[name] and families[other]
        ],
        left_out={name: gaps for name in names if (gaps := _left_out(by_contender[name]))},
    )


def _members(trials: Sequence[Trial]) -> dict[str, list[ControlResult]]:
    """Return the counted members that all trials have, by name."""
    by_name = {
        name: [trial.controls[name] for trial in trials if name in trial.controls]
        for name, result in trials[0].controls.items()
        if result.member
    }
    return {
        name: results
        for name, results in by_name.items()
        if len(results) == len(trials)
        and all(result.operations or _built_on(result) for result in results)
    }


def _built_on(result: ControlResult) -> set[str]:
    """Return the members whose answers it takes."""
    if result.early is not None:
        return {result.early.first, result.early.then}
    return set() if result.in_time is None else {result.in_time.source}


def _left_out(trials: Sequence[Trial]) -> dict[str, str]:
    gaps = [gap for trial in trials for gap in trial.missing_controls.values()]
    return {gap.title: gap.reason for gap in gaps if gap.member}


def _draws(answers: Answers, num_seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each seed `[DRAWS, S]` and each image `[DRAWS, N]` is drawn, as shares."""
    generator, size = np.random.default_rng(0), len(answers.truth)
    cluster = numbered(answers.groups)
    cluster = np.arange(size) if cluster is None else cluster
    num_groups = int(cluster.max()) + 1
    seeds = generator.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), DRAWS)
    groups = generator.multinomial(num_groups, np.full(num_groups, 1 / num_groups), DRAWS)
    images = groups[:, cluster] * weights_of(answers.classes, size).astype(np.float32)
    return seeds / num_seeds, images / images.sum(1, keepdims=True)


def _costs(
    results: Sequence[ControlResult], definitions: Sequence[Accounting], num_steps: int
) -> Costs:
    """Return a member's costs. Accountings of conventional networks know the spiking ones'
    `num_steps`.
    """
    counted = [result.operations for result in results if result.operations]
    side = _side(results)
    own_steps = counted[0].num_steps if side == "spiking" else num_steps
    bits = [(result.parameters or 0) * (result.weight_bits or 32) for result in results]
    return {
        "weights": np.array([statistics.fmean(bits) / 8]),
        "time": _seconds(results),
        **{
            definition.name: accounting.weighed(counted, definition, side, own_steps)
            for definition in definitions
        },
    }


def _costs_of_early(results: Sequence[ControlResult], costs: Mapping[str, Costs]) -> Costs:
    """Return the costs of the first network, and of the second where it is asked; the weights of
    both.
    """
    exits = [result.early for result in results if result.early]
    first, then = costs[exits[0].first], costs[exits[0].then]
    share = statistics.fmean(early.share for early in exits)
    return {
        name: amounts + (1.0 if name == "weights" else share) * then[name]
        for name, amounts in first.items()
    }


def _costs_in_time(
    results: Sequence[ControlResult],
    definitions: Sequence[Accounting],
    costs: Mapping[str, Costs],
) -> Costs:
    """Return the costs of answers after few steps, each as of a network of so many; the time is
    measured.
    """
    exits = [result.in_time for result in results if result.in_time]
    return {
        "weights": costs[exits[0].source]["weights"],
        "time": _seconds(results),
        **{
            definition.name: np.sum(
                [
                    share * accounting.weighed([counted], definition, "spiking", counted.num_steps)
                    for early in exits
                    for share, counted in zip(early.shares, early.operations, strict=True)
                    if counted
                ],
                axis=0,
            )
            / len(exits)
            for definition in definitions
        },
    }


def _seconds(results: Sequence[ControlResult]) -> np.ndarray:
    """Return the mean measured seconds of an answer `[1]`."""
    times = [result.one_image_ms for result in results if result.one_image_ms]
    return np.array([statistics.fmean(times) / 1e3 if times else math.nan])


def _side(results: Sequence[ControlResult]) -> Side:
    counted = [result.operations for result in results if result.operations]
    rates = [operations.totals.spikes_per_neuron_and_step for operations in counted]
    return "other" if None in rates else "spiking"


def _entry(
    trial: Trial,
    member: str,
    results: Sequence[ControlResult],
    accuracies: np.ndarray,
    costs: Costs,
    num_images: int,
) -> Member:
    low, high = np.quantile(accuracies[1:], (0.025, 0.975)).tolist()
    # Draws of right answers alone are all right.
    least, most = wilson(float(accuracies[0]), num_images)
    counted = [result.operations.totals for result in results if result.operations]
    rates = [totals.spikes_per_neuron_and_step for totals in counted]
    steps = [result.in_time.mean_steps for result in results if result.in_time]
    if means.mean(rates) is not None:
        steps = [results[0].num_steps or 1]
    return Member(
        contender=trial.contender,
        member=member,
        title=results[0].title,
        spiking=trial.spiking,
        val_accuracy=statistics.fmean(result.val_accuracy or 0.0 for result in results),
        accuracy=float(accuracies[0]),
        ci95=Range(low=min(low, least), high=max(high, most)),
        rate=means.mean(rates),
        num_steps=means.mean(steps),
        seconds=statistics.fmean(sum(result.epoch_seconds) for result in results),
        amounts={name: _bounds(cost) for name, cost in costs.items() if np.isfinite(cost).all()},
    )


def _bounds(values: np.ndarray) -> Range:
    return Range(low=float(values.min()), high=float(values.max()))


def at_equal_accuracy(
    spiking: Sequence[Network], others: Sequence[Network], accountings: Mapping[str, CostKind]
) -> list[EqualAccuracy]:
    """Compare the least costs at accuracies that both families reach, none of them below the start
    of both curves.
    """
    ends = [
        [min(reached), max(reached)]
        for family in (spiking, others)
        for name in accountings
        for corner in np.stack([network.costs[name] for network in family]).T
        for reached in [[family[index].entry.accuracy for index in _curve(family, corner)]]
    ]
    lowest, top = min(low for low, _ in ends), min(high for _, high in ends)
    levels = [round(STEP * (math.floor(top / STEP + 1e-9) - below), 3) for below in BELOW]
    levels = [level for level in levels if level >= lowest] or [top]
    return [
        EqualAccuracy(
            accuracy=level,
            cheapest={
                family[0].entry.contender: _cheapest(level, family, accountings)
                for family in (spiking, others)
            },
            ratios=[
                _ratio(
                    *(name, kind.family),
                    *(costs_at(level, spiking, name), costs_at(level, others, name)),
                )
                for name, kind in accountings.items()
            ],
        )
        for level in levels
    ]


def _cheapest(level: float, family: Sequence[Network], accountings: Iterable[str]) -> str:
    """Return the title of the network that is the cheapest of this accuracy by most accountings."""
    found = Counter(
        next(index for index in _curve(family, corner) if family[index].entry.accuracy >= level)
        for name in accountings
        for corner in np.stack([network.costs[name] for network in family]).T
    )
    return family[found.most_common(1)[0][0]].entry.title


def _is_priced(network: Network, accounting_name: str) -> bool:
    costs = network.costs[accounting_name]
    return bool(np.isfinite(costs).all() and (costs > 0).all())


def costs_at(level: float, family: Sequence[Network], accounting_name: str) -> np.ndarray:
    """Return the cost `[corners, 1 + DRAWS]` of the accuracy `level` on a family's curve: infinity
    where the curve ends below, and the least cost where it begins above.
    """
    costs = np.stack([network.costs[accounting_name] for network in family])
    return np.stack([_on_curve(level, family, corner) for corner in costs.T])


def _curve(family: Sequence[Network], costs: np.ndarray) -> list[int]:
    """Return the indices of the members that no cheaper one beats on validation images, by cost."""
    best, curve = -math.inf, []
    for index in np.argsort(costs, kind="stable"):
        if family[index].entry.val_accuracy > best:
            best = family[index].entry.val_accuracy
            curve.append(int(index))
    return curve


def _on_curve(level: float, family: Sequence[Network], costs: np.ndarray) -> np.ndarray:
    curve = _curve(family, costs)
    # A dearer network is not taken where it is worse.
    reached = np.maximum.accumulate([family[index].accuracies for index in curve])
    of_curve = costs[curve]
    at = np.argmax(reached >= level, axis=0)
    before, draws = np.maximum(at - 1, 0), np.arange(reached.shape[1])
    low, high = reached[before, draws], reached[at, draws]
    share = (level - low) / np.where(high > low, high - low, np.inf)
    cost = of_curve[before] + np.where(at > 0, share, 0) * (of_curve[at] - of_curve[before])
    return np.where(reached[-1] >= level, cost, np.inf)


def _ratio(name: str, family: Family, ours: np.ndarray, theirs: np.ndarray) -> RatioAt:
    """Return the entry for costs `[corners, 1 + DRAWS]`; a side that does not reach the accuracy
    takes more.
    """
    with np.errstate(invalid="ignore"):
        ratio = np.nan_to_num(ours / theirs, nan=1.0, posinf=np.inf)
    low, high = (
        float(np.quantile(ends, share, method="nearest"))
        for ends, share in ((ratio[:, 1:].min(0), 0.025), (ratio[:, 1:].max(0), 0.975))
    )
    return RatioAt(
        accounting=name,
        family=family,
        ratio=_bounds(ratio[:, 0]),
        low=low or None,
        high=high if math.isfinite(high) else None,
        cheaper="spiking" if high < 1 / NOTICEABLE else "other" if low > NOTICEABLE else None,
    )


def break_even(trials: Sequence[Trial], definitions: Sequence[Accounting]) -> Iterator[BreakEven]:
    """Yield the accountings by which a rate of spikes exists that makes both sides even."""
    both = [
        (trial.seed, trial.operations, trial.controls[BIT_MATCHED].operations)
        for trial in trials
        if BIT_MATCHED in trial.controls
    ]
    for definition in definitions if len(both) == len(trials) else ():
        found = [
            (seed, accounting.break_even_rate(spiking, other, definition))
            for seed, spiking, other in both
            if spiking and other
        ]
        by_seed: dict[int, list[float]] = {}
        for seed, threshold in found:
            if threshold:
                by_seed.setdefault(seed, []).append(threshold.value)
        if not by_seed or sum(map(len, by_seed.values())) < len(trials):
            continue
        # Folds of a seed share most of their training images: they count as one.
        rates = list(map(statistics.fmean, by_seed.values()))
        mean, interval = statistics.fmean(rates), None
        if len(rates) > 1:
            half = float(student(0.025, len(rates) - 1)) * statistics.stdev(rates)
            half /= math.sqrt(len(rates))
            interval = Range(low=max(0.0, mean - half), high=mean + half)
        yield BreakEven(
            accounting=definition.name,
            family=definition.family,
            measured=statistics.fmean(threshold.now for _, threshold in found if threshold),
            rate=mean,
            ci95=interval,
        )
