"""Compare the cheaper variants of contenders at equal accuracy, along their curves.

The cost of an accuracy is the least of the variants that reach it and of mixtures of two: images
can be shared among two networks, and cost and accuracy are those of the shares. So one more variant
never makes a contender more expensive. Bytes of weights are those of one stored network, the
smallest that reaches the accuracy. Accuracies are of test images. Seeds, and images or groups of
them, are drawn again (Efron and Tibshirani 1993, "An Introduction to the Bootstrap"), the same for
all variants: for the uncertainty of accuracies, and by seeds that of costs. Each draw has its own
least costs.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from msgspec import structs

from spikeduel.analysis.predicted import Predictions
from spikeduel.energy import accounting
from spikeduel.energy.accounting import CountedPair, bounds
from spikeduel.features.compression.frontier_results import (
    BreakEven,
    CompressedVariant,
    Conclusion,
    CostKind,
    EqualAccuracy,
    FrontierPair,
    RatioAt,
)
from spikeduel.features.compression.frontier_sentences import summary
from spikeduel.results import means
from spikeduel.results.accuracy import no_better_than_chance, unlearned_variants
from spikeduel.results.cost_results import Accounting, Group, Kind, Range
from spikeduel.results.pareto import front
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Results
from spikeduel.results.trials import TemporalExit, Trial, VariantResult
from spikeduel.statistics import (
    MIN_SEEDS,
    accuracy,
    clusters,
    mean_accuracy,
    student,
    wilson,
)
from spikeduel.system.grouped import grouped
from spikeduel.system.negligible import MAX_COST_RATIO, MAX_ROUNDING

DRAWS = 1000
STEP = 0.005
"""Accuracies that are compared at are multiples of it."""
BELOW = (0, 1, 2, 4, 8)
"""Multiples of `STEP` below the highest accuracy that is compared."""
ACCOUNTINGS = sorted(Path(__file__).with_name("accountings").glob("*.toml"))
"""Two accountings with zeros skipped in both networks, and one that charges activations the bits
that they were trained in.
"""
BIT_MATCHED = "quantised_twin"
ALL_SPIKING = "the spiking networks"
"""Name of all spiking contenders together."""
MEASURED = {
    "weights": CostKind(label="bytes of weights", group="size"),
    "time": CostKind(label="inference time", group="measured"),
}
"""Costs besides accountings: bytes of weights, and seconds of an inference."""
Costs = dict[str, np.ndarray]
"""Costs `[corners, seeds]` by accounting, or name in `MEASURED`; of a network `[corners, 1 +
DRAWS]`, as measured and by draw.
"""


class Draws:
    """Seeds and images, or groups of them, drawn again.

    `seeds` `[1 + DRAWS, S]`: shares; in the first row all seeds count alike. `images` `[DRAWS, N]`:
    how often each is drawn. Shares of seeds are spread to give the mean its variance, and fewer
    than `MIN_SEEDS` are not drawn: what they show holds for these trainings alone.
    """

    def __init__(self, all_predictions: Predictions, seeds: Sequence[int]) -> None:
        self.predictions, self.names = all_predictions, seeds
        generator, size, number = np.random.default_rng(0), len(all_predictions.truth), len(seeds)
        cluster = clusters(all_predictions.groups)
        cluster = np.arange(size) if cluster is None else cluster
        num_groups, wider = int(cluster.max()) + 1, 0.0
        times = generator.multinomial(number, np.full(number, 1 / number), DRAWS)
        groups = generator.multinomial(num_groups, np.full(num_groups, 1 / num_groups), DRAWS)
        self.images = groups[:, cluster].astype(np.float32)
        classes = (
            np.zeros(size, int) if all_predictions.classes is None else all_predictions.classes
        )
        self.in_class = np.eye(classes.max() + 1, dtype=np.float32)[classes]
        if number >= MIN_SEEDS:
            wider = math.sqrt(number / (number - 1))
        self.seeds = (1 + wider * np.vstack([np.zeros(number), times - 1])) / number
        # Draws of right predictions alone would all be right: Jeffreys's interval stands for them.
        self.of_all_right = generator.beta(num_groups + 0.5, 0.5, DRAWS)

    def accuracies(self, contender: str, variant: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the accuracies of a variant `[1 + DRAWS]`, as measured and by draw, and those of
        the same images with all seeds.
        """
        right = self.predictions.right(self.names, contender, variant)
        classes = self.predictions.classes
        measured = mean_accuracy(right, classes)
        counts = np.stack([self.images @ (row[:, None] * self.in_class) for row in right], 1)
        images = (self.images @ self.in_class)[:, None]
        by_seed = accuracy(images, counts, balanced=classes is not None)
        drawn = (by_seed * self.seeds[1:]).sum(1).clip(0, 1), by_seed.mean(1)
        if right.all():
            drawn = self.of_all_right, self.of_all_right
        return np.append(measured, drawn[0]), np.append(measured, drawn[1])

    def costs(self, by_seed: np.ndarray) -> np.ndarray:
        """Return costs `[corners, 1 + DRAWS]` from `[corners, S]`. Drawn wider, a mean can lie
        below the cheapest seed: that one is the least.
        """
        return np.maximum(by_seed @ self.seeds.T, by_seed.min(1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Network:
    """A variant: entry, accuracies `[1 + DRAWS]` as measured and by draw, costs, and the accuracies
    of the same images with all seeds.
    """

    entry: CompressedVariant
    accuracies: np.ndarray
    costs: Costs
    with_all_seeds: np.ndarray

    @cached_property
    def by_images(self) -> "Network":
        """The variant if images alone were drawn."""
        costs = {name: cost[:, :1].repeat(cost.shape[1], 1) for name, cost in self.costs.items()}
        return replace(self, accuracies=self.with_all_seeds, costs=costs)


def conclude(results: Results, predictions: PredictionsFile) -> Conclusion | None:
    """Compare the variants by all accountings."""
    conclusion = frontier(results.trials, Predictions(predictions), compared_accountings())
    return structs.replace(conclusion, text=summary(results, conclusion)) if conclusion else None


def compared_accountings() -> list[Accounting]:
    """Return the package's accountings, and those of this feature, which come before others of
    their name.
    """
    usual = {definition.name: definition for definition in accounting.all_accountings()}
    return list((usual | {path.stem: accounting.read(path) for path in ACCOUNTINGS}).values())


def frontier(
    trials: Sequence[Trial], all_predictions: Predictions, definitions: Sequence[Accounting]
) -> Conclusion | None:
    """Compare the variants of every spiking contender with those of every other one; None without
    variants of common seeds.
    Contenders and networks at chance are left out.
    """
    tested = grouped((trial.contender, trial) for trial in trials if trial.test)
    learned = {name for name, of_name in tested.items() if not no_better_than_chance(of_name)}
    done = [trial for trial in trials if trial.test and trial.contender in learned]
    names = dict.fromkeys(
        trial.contender
        for trial in done
        if any(variant.compressed for variant in trial.variants.values())
    )
    seeds = all_predictions.common
    if not names or not seeds:
        return None
    by_contender = {
        name: [trial for trial in done if trial.contender == name and trial.seed in seeds]
        for name in names
    }
    num_steps = max((trial.num_steps or 1 for trial in done if trial.spiking), default=1)
    drawn = Draws(all_predictions, seeds)
    every = [
        network
        for of_contender in by_contender.values()
        for network in _networks(of_contender, drawn, definitions, num_steps)
    ]
    if not every:
        return None
    networks = grouped((network.entry.contender, network) for network in every)
    spiking = {name: of_name for name, of_name in networks.items() if of_name[0].entry.spiking}
    others = {name: of_name for name, of_name in networks.items() if name not in spiking}
    if len(spiking) > 1:
        spiking = {ALL_SPIKING: _of_all(spiking.values()), **spiking}
    kinds = {
        definition.name: CostKind(label=definition.label, group=definition.group)
        for definition in definitions
    }
    kinds_of_all = {
        name: kind
        for name, kind in {**kinds, **MEASURED}.items()
        if all(_has_energy(network, name) for network in every)
    }
    return Conclusion(
        seeds=len(seeds),
        accountings=kinds_of_all,
        variants=[network.entry for network in every],
        pairs=[
            FrontierPair(
                spiking=name,
                other=other,
                at=at_equal_accuracy(ours, theirs, kinds_of_all, len(seeds)),
                break_even=list(break_even(by_contender.get(name, []), definitions)),
            )
            for name, ours in spiking.items()
            for other, theirs in others.items()
        ],
        left_out={name: gaps for name in names if (gaps := _left_out(by_contender[name]))},
    )


def _of_all(contenders: Iterable[Sequence[Network]]) -> list[Network]:
    """Return the variants of spiking contenders as those of one."""
    return [
        replace(
            network,
            entry=structs.replace(
                network.entry,
                contender=ALL_SPIKING,
                title=f"{network.entry.contender}: {network.entry.title}",
            ),
        )
        for networks in contenders
        for network in networks
    ]


def _networks(
    trials: Sequence[Trial], drawn: Draws, definitions: Sequence[Accounting], num_steps: int
) -> list[Network]:
    """Return the variants of a contender that all of its trials have."""
    networks, costs, times = dict[str, Network](), dict[str, Costs](), _times(trials)
    for variant, results in _variants(trials).items():
        if not costs.keys() >= set(results[0].asks):
            continue
        by_seed = [
            [result for trial, result in zip(trials, results, strict=True) if trial.seed == seed]
            for seed in drawn.names
        ]
        if results[0].early is not None:
            costs[variant] = _costs_of_early(by_seed, costs)
        elif results[0].temporal_exit is not None:
            costs[variant] = _costs_of_temporal_exit(by_seed, definitions, costs)
        else:
            parameters, steps = _shape(results[0])
            # A CPU computes the numbers that times of first spikes stand for.
            shape = parameters, None if by_first_spikes(trials[0], results[0]) else steps
            seconds = times.get(shape, math.nan)
            costs[variant] = _costs(by_seed, definitions, num_steps, seconds)
        accuracies, of_images = drawn.accuracies(trials[0].contender, variant)
        of_draws = {name: drawn.costs(cost) for name, cost in costs[variant].items()}
        interval = _interval(accuracies, of_images, len(drawn.names))
        num_images = len(drawn.predictions.truth)
        entry = _entry(trials[0], variant, results, interval, num_images, of_draws)
        if results[0].asks:
            whole = networks[results[0].asks[-1]].entry.accuracy
            entry = structs.replace(entry, accuracy_lost=whole - entry.accuracy)
        networks[variant] = Network(entry, accuracies, of_draws, of_images)
    return list(networks.values())


def _variants(trials: Sequence[Trial]) -> dict[str, list[VariantResult]]:
    """Return the counted variants that all trials have and that have learned, by name."""
    at_chance = unlearned_variants(trials, compressed=True)
    by_name = {
        name: means.variant_results(trials, name)
        for name, result in trials[0].variants.items()
        if result.compressed and name not in at_chance
    }
    return {
        name: results
        for name, results in by_name.items()
        if results and all(result.operations or result.asks for result in results)
    }


def by_first_spikes(trial: Trial, result: VariantResult) -> bool:
    """Return True if a variant spikes, and its contender does not."""
    return result.spikes and not trial.spiking


def _left_out(trials: Sequence[Trial]) -> dict[str, str]:
    """Return the reasons why cheaper variants of one contender are missing, by title."""
    gaps = [gap for trial in trials for gap in trial.missing_variants.values()]
    at_chance = unlearned_variants(trials, compressed=True).values()
    return {gap.title: gap.reason for gap in gaps if gap.compressed} | dict.fromkeys(
        at_chance, "it has not learned."
    )


def _costs(
    by_seed: Sequence[Sequence[VariantResult]],
    definitions: Sequence[Accounting],
    num_steps: int,
    seconds: float,
) -> Costs:
    """Return a variant's costs. Accountings of conventional networks know the spiking ones'
    `num_steps`.
    """
    counted = [[result.operations for result in seed if result.operations] for seed in by_seed]
    rate = counted[0][0].totals.spikes_per_neuron_and_step
    group: Kind = "other" if rate is None else "spiking"
    own_steps = num_steps if rate is None else counted[0][0].num_steps
    return {
        "weights": np.full((1, len(by_seed)), _bytes(by_seed[0][0])),
        "time": np.full((1, len(by_seed)), seconds),
        **{
            definition.name: np.stack(
                [accounting.weighed(seed, definition, group, own_steps) for seed in counted], 1
            )
            for definition in definitions
        },
    }


def _bytes(result: VariantResult) -> float:
    """Return the bytes of a network's numbers: weights in the bits that they were trained in,
    others in 32.
    """
    weights = sum(layer.weights for layer in result.operations.layers) if result.operations else 0
    others = max(0, (result.parameters or 0) - weights)
    return (weights * (result.weight_bits or 32) + others * 32) / 8


def _costs_of_early(
    by_seed: Sequence[Sequence[VariantResult]], costs: Mapping[str, Costs]
) -> Costs:
    """Return the costs of the first network, and of the second where it is asked; the weights of
    both. The time includes that of the decision.
    """
    exits = [[result.early for result in seed if result.early] for seed in by_seed]
    first, then = costs[exits[0][0].first], costs[exits[0][0].then]
    shares = np.array([statistics.fmean(early.share for early in seed) for seed in exits])
    both = {
        name: amounts + (1.0 if name == "weights" else shares) * then[name]
        for name, amounts in first.items()
    }
    return {**both, "time": both["time"] + (exits[0][0].deciding_ms or 0.0) / 1e3}


def _costs_of_temporal_exit(
    by_seed: Sequence[Sequence[VariantResult]],
    definitions: Sequence[Accounting],
    costs: Mapping[str, Costs],
) -> Costs:
    """Return the costs of predictions after few steps, each as of a network of so many; the time is
    measured.
    """
    exits = [[result.temporal_exit for result in seed if result.temporal_exit] for seed in by_seed]
    times = [[result.one_image_ms or math.nan for result in seed] for seed in by_seed]
    return {
        "weights": costs[exits[0][0].source]["weights"],
        "time": np.array([[statistics.fmean(of_seed) / 1e3 for of_seed in times]]),
        **{
            definition.name: np.stack(
                [
                    np.mean([_after_few_steps(early, definition) for early in seed], axis=0)
                    for seed in exits
                ],
                1,
            )
            for definition in definitions
        },
    }


def _after_few_steps(early: TemporalExit, definition: Accounting) -> np.ndarray:
    """Return the mean cost `[corners]` of the images of an early exit, each as of a network with as
    many time steps as the image needed.
    """
    return np.sum(
        [
            share * accounting.weighed([counted], definition, "spiking", counted.num_steps)
            for share, counted in zip(early.shares, early.operations, strict=True)
            if counted
        ],
        axis=0,
    )


def _times(trials: Sequence[Trial]) -> dict[tuple[int | None, int | None], float]:
    """Return the measured seconds of an inference by shape: the least, as bits of weights change
    nothing on this machine, and other work only adds.
    """
    times = grouped(
        (_shape(result), result.one_image_ms / 1e3)
        for trial in trials
        for result in trial.variants.values()
        if result.compressed and result.operations and result.one_image_ms
    )
    return {shape: min(seconds) for shape, seconds in times.items()}


def _shape(result: VariantResult) -> tuple[int | None, int | None]:
    """Return what the inference time of a variant depends on: its parameters and time steps."""
    return result.parameters, result.num_steps


def _entry(
    trial: Trial,
    variant: str,
    results: Sequence[VariantResult],
    interval: tuple[float, float, float],
    num_images: int,
    costs: Costs,
) -> CompressedVariant:
    low, measured, high = interval
    # Few images are drawn too much alike.
    least, most = wilson(measured, num_images)
    counted = [result.operations.totals for result in results if result.operations]
    rates = [totals.spikes_per_neuron_and_step for totals in counted]
    steps = [result.temporal_exit.mean_steps for result in results if result.temporal_exit]
    if means.mean(rates) is not None:
        steps = [results[0].num_steps or 1]
    is_first = by_first_spikes(trial, results[0])
    return CompressedVariant(
        contender=f"{trial.contender} by first spikes" if is_first else trial.contender,
        name=variant,
        title=results[0].title,
        spiking=trial.spiking or is_first,
        val_accuracy=statistics.fmean(result.val_accuracy or 0.0 for result in results),
        accuracy=measured,
        ci95=Range(low=max(0.0, min(low, least)), high=min(1.0, max(high, most))),
        rate=means.mean(rates),
        num_steps=means.mean(steps),
        seconds=statistics.fmean(sum(result.epoch_seconds) for result in results),
        amounts={
            name: bounds(cost[:, 0]) for name, cost in costs.items() if np.isfinite(cost).all()
        },
    )


def _interval(
    drawn: np.ndarray, by_images: np.ndarray, num_seeds: int
) -> tuple[float, float, float]:
    """Return the ends of the 95 % interval of a number around it as measured, `(low, measured,
    high)`, from draws `[1 + DRAWS]` of seeds and images, and of images alone.

    Percentiles of few seeds lie too close. So the ends are moved out by Student's t for as many
    degrees of freedom as the share of seeds in the spread leaves (Satterthwaite 1946, "An
    Approximate Distribution of Estimates of Variance Components").
    """
    low, high = np.quantile(drawn[1:], (0.025, 0.975), method="nearest")
    both, of_images = (_deviation(each[1:]) for each in (drawn, by_images))
    of_seeds = max(0.0, 1 - (of_images / both) ** 2) if 0 < both < math.inf else float(both > 0)
    freedom = np.array([(num_seeds - 1) / max(of_seeds**2, MAX_ROUNDING), math.inf])
    wider, usual = student(0.025, freedom) if num_seeds >= MIN_SEEDS else (1.0, 1.0)
    low, high = (
        float(end if math.isinf(end) else drawn[0] + wider / usual * (end - drawn[0]))
        for end in (low, high)
    )
    return low, float(drawn[0]), high


def _deviation(drawn: np.ndarray) -> float:
    low, high = np.quantile(drawn, (0.16, 0.84), method="nearest")
    return float(high - low)


def at_equal_accuracy(
    spiking: Sequence[Network],
    others: Sequence[Network],
    accountings: Mapping[str, CostKind],
    num_seeds: int = MIN_SEEDS,
) -> list[EqualAccuracy]:
    """Compare the least costs at accuracies that both sides reach in 97.5 of 100 draws by all
    accountings; by a group of accountings where all of its curves begin at the accuracy or below.
    Groups of accountings whose curves begin above all of these follow, at the highest accuracy
    that is reached so often, or at the lowest that both sides have.

    Where one side misses the accuracy more often, the interval of a ratio has no end, and that side
    could never take less.
    """
    return [
        EqualAccuracy(
            accuracy=level,
            cheapest={
                networks[0].entry.contender: _cheapest(level, networks, names)
                for networks in (spiking, others)
            },
            ratios=[
                _ratio(name, accountings[name].group, level, spiking, others, num_seeds)
                for name in names
            ],
        )
        for level, names in _levels(spiking, others, accountings).items()
        if names
    ]


def _levels(
    spiking: Sequence[Network], others: Sequence[Network], accountings: Mapping[str, CostKind]
) -> dict[float, list[str]]:
    """Return the accuracies at which costs are compared, with the accountings to compare them
    by.
    """
    ends = grouped(
        (kind.group, _ends(networks, name))
        for name, kind in accountings.items()
        for networks in (spiking, others)
    )
    starts = {group: max(start for start, _, _ in curves) for group, curves in ends.items()}
    tops = {
        group: min(
            *(best for _, _, best in curves),
            max(starts[group], min(often for _, often, _ in curves)),
        )
        for group, curves in ends.items()
    }
    highest = math.floor(min(tops.values()) / STEP + MAX_ROUNDING)
    common = [round(STEP * (highest - below), 3) for below in BELOW]
    levels = {
        level: [name for name, kind in accountings.items() if starts[kind.group] <= level]
        for level in common
    }
    late = {group: top for group, top in tops.items() if common[0] < starts[group] <= top}
    for level in sorted(set(late.values()), reverse=True):
        levels[level] = [
            name for name, kind in accountings.items() if late.get(kind.group) == level
        ]
    return levels


def _ends(networks: Sequence[Network], accounting_name: str) -> tuple[float, float, float]:
    """Return the accuracy of the cheapest network, over an accounting's ranges, the one that 97.5
    of 100 draws reach, and the one reached as measured.
    """
    accuracies = np.stack([network.accuracies for network in networks])
    starts = [
        front(corner.tolist(), accuracies[:, 0].tolist())[0]
        for corner in _corners(networks, accounting_name)
    ]
    best = accuracies.max(0)
    often = min(best[0], np.quantile(best[1:], 0.025, method="lower"))
    return float(accuracies[starts, 0].max()), float(often), float(best[0])


def _corners(networks: Sequence[Network], accounting_name: str) -> np.ndarray:
    """Return the costs of all variants as measured `[corners, variants]`."""
    return np.stack([network.costs[accounting_name][:, 0] for network in networks], 1)


def _cheapest(level: float, networks: Sequence[Network], accountings: Iterable[str]) -> str:
    """Return the title of the network that is the cheapest of this accuracy by most accountings."""
    reached = [network for network in networks if network.entry.accuracy >= level - MAX_ROUNDING]
    titles = Counter(
        reached[int(np.argmin(corner))].entry.title
        for name in accountings
        for corner in _corners(reached, name)
    )
    return titles.most_common(1)[0][0]


def _has_energy(network: Network, accounting_name: str) -> bool:
    """Return True if the cost of a network by an accounting is known and above 0."""
    costs = network.costs[accounting_name][:, 0]
    return bool(np.isfinite(costs).all() and (costs > 0).all())


def costs_at(
    level: float, networks: Sequence[Network], accounting_name: str, stored: bool = False
) -> np.ndarray:
    """Return the cost `[corners, 1 + DRAWS]` of the accuracy `level`: infinity where no network
    reaches it, and the least cost where all do. A `stored` cost is that of one network.
    """
    accuracies = np.stack([network.accuracies for network in networks])
    costs = np.stack([network.costs[accounting_name] for network in networks], 1)
    level -= MAX_ROUNDING
    return np.stack([_least_cost(level, accuracies, corner, stored) for corner in costs])


def _least_cost(
    level: float, accuracies: np.ndarray, costs: np.ndarray, stored: bool
) -> np.ndarray:
    """Return the least cost `[1 + DRAWS]` of an accuracy, of networks with these accuracies and
    costs `[variants, 1 + DRAWS]`.
    """
    reaches = accuracies >= level
    least = np.where(reaches, costs, np.inf).min(0)
    if stored:
        return least
    for low, start in zip(accuracies, costs, strict=True):
        for high, end in zip(accuracies, costs, strict=True):
            mixes = (low < level) & (high >= level) & (start < end)
            if mixes.any():
                share = (level - low) / np.where(mixes, high - low, 1.0)
                mixed = start + share * (end - start)
                least = np.where(mixes, np.minimum(least, mixed), least)
    return least


def _ratio(
    name: str,
    group: Group,
    level: float,
    spiking: Sequence[Network],
    others: Sequence[Network],
    num_seeds: int,
) -> RatioAt:
    """Return the ratio of the costs of the accuracy `level`; a side that does not reach it takes
    more. Bootstrap samples in which neither reaches it are discarded; if these are most, the
    interval has no ends.
    """
    stored = group == "size"
    pair = spiking, others
    ours, theirs = (costs_at(level, networks, name, stored) for networks in pair)
    alone = (
        costs_at(level, [network.by_images for network in networks], name, stored)
        for networks in pair
    )
    with np.errstate(all="ignore"):
        logs, by_images = np.log(ours / theirs), np.log(np.divide(*alone))
    logs, by_images = (each[:, ~np.isnan(each).any(0)] for each in (logs, by_images))
    low, high = -math.inf, math.inf
    if min(logs.shape[1], by_images.shape[1]) > DRAWS / 2:
        low, _, _ = _interval(logs.min(0), by_images.min(0), num_seeds)
        _, _, high = _interval(logs.max(0), by_images.max(0), num_seeds)
    spiking_reaches, other_reaches = (
        float(np.isfinite(costs[:, 1:]).all(0).mean()) for costs in (ours, theirs)
    )
    return RatioAt(
        accounting=name,
        group=group,
        ratio=bounds(np.exp(logs[:, 0])),
        low=math.exp(low) or None,
        high=math.exp(high) if math.isfinite(high) else None,
        cheaper="spiking"
        if high < -math.log(MAX_COST_RATIO)
        else "other"
        if low > math.log(MAX_COST_RATIO)
        else None,
        reached={"spiking": spiking_reaches, "other": other_reaches},
    )


def break_even(trials: Sequence[Trial], definitions: Sequence[Accounting]) -> Iterator[BreakEven]:
    """Yield by accounting the rates of spikes that make both sides even; nothing for networks
    without spikes, or without a quantised twin.
    """
    both: dict[int, list[CountedPair]] = {}
    measured: list[float] = []
    for trial in trials:
        other = trial.variants[BIT_MATCHED].operations if BIT_MATCHED in trial.variants else None
        rate = trial.operations and trial.operations.totals.spikes_per_neuron_and_step
        if not trial.operations or not other or not rate:
            return
        both.setdefault(trial.seed, []).append(CountedPair([trial.operations], [other]))
        measured.append(rate)
    for definition in definitions if both else ():
        # Folds of a seed share most of their training images: they count as one.
        ends = np.array(
            [
                np.mean([accounting.break_even_rates(pair, definition) for pair in pairs], 0)
                for pairs in both.values()
            ]
        )
        if np.isnan(ends).any():
            continue
        interval, mean = None, ends.mean(0)
        if len(ends) > 1:
            half = student(0.025, len(ends) - 1) * ends.std(0, ddof=1) / math.sqrt(len(ends))
            low, high = float(mean[0] - half[0]), float(mean[1] + half[1])
            interval = Range(low=max(0.0, low), high=min(accounting.MAX_RATE, high))
        yield BreakEven(
            accounting=definition.name,
            group=definition.group,
            measured=statistics.fmean(measured),
            rate=bounds(mean),
            ci95=interval,
        )
