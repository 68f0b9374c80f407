"""Variants of made networks, whose curves are computed by hand."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from msgspec.structs import replace

from factories import dataset, predictions_file, scored, trial, variant_result
from made_operations import plain, spiking
from spikeduel.analysis.predicted import Predictions
from spikeduel.analysis.run_findings import RunContext, find_caveats
from spikeduel.energy import accounting
from spikeduel.energy.rescaling import scaled
from spikeduel.experiment.recipes import baseline
from spikeduel.features.compression.frontier_analysis import (
    DRAWS,
    Draws,
    Network,
    at_equal_accuracy,
    break_even,
    compared_accountings,
    costs_at,
    frontier,
)
from spikeduel.features.compression.frontier_results import CompressedVariant, CostKind
from spikeduel.results.cost_results import Range
from spikeduel.results.findings import finding, with_id
from spikeduel.results.pareto import mixed_front
from spikeduel.results.trials import CascadeExit
from spikeduel.statistics import accuracy

OPERATIONS = {"operations": CostKind(label="operations", group="operations")}


def network(accuracy, cost, deviation=0.0, number=0, **costs):
    """A network that one accounting prices, or more; its draws lie `deviation` around its accuracy."""
    drawn = accuracy + deviation * np.random.default_rng(number).standard_normal(DRAWS)
    entry = CompressedVariant(
        contender="net",
        name=str(cost),
        title=str(cost),
        spiking=False,
        val_accuracy=accuracy,
        accuracy=accuracy,
        ci95=Range(low=0.0, high=1.0),
        rate=None,
        num_steps=None,
        seconds=1.0,
        amounts={},
    )
    with_energy = {
        name: np.full((1, 1 + DRAWS), float(value))
        for name, value in {"operations": cost, **costs}.items()
    }
    accuracies = np.append(accuracy, drawn)
    return Network(entry, accuracies, with_energy, accuracies)


def measured(level, *networks):
    return costs_at(level, networks, "operations")[0, 0]


def test_between_two_networks_images_are_shared_out():
    networks = network(0.8, 10), network(0.9, 1000)
    assert measured(0.85, *networks) == pytest.approx(505)
    assert measured(0.9, *networks) == pytest.approx(1000)
    assert measured(0.5, *networks) == pytest.approx(10)  # no cheaper one was made
    assert measured(0.91, *networks) == np.inf


def test_bytes_are_those_of_one_stored_network():
    """The smallest on the curve that reaches the accuracy: 25 and 13, not a mixture."""
    kinds = {"weights": CostKind(label="bytes of weights", group="size")}
    ours = [network(0.8, 1, weights=7), network(0.95, 2, weights=25), network(0.96, 3, weights=50)]
    theirs = [network(0.8, 1, weights=4), network(0.95, 2, weights=13)]
    for at in at_equal_accuracy(ours, theirs, kinds):
        (ratio,) = at.ratios
        assert (ratio.ratio.low, ratio.low, ratio.high) == pytest.approx(3 * (25 / 13,))
    mixed = at_equal_accuracy(ours, theirs, {"weights": replace(kinds["weights"], group="chip")})
    share = (0.91 - 0.8) / (0.95 - 0.8)
    assert mixed[-1].ratios[0].ratio.low == pytest.approx((7 + 18 * share) / (4 + 9 * share))


def test_one_more_network_never_makes_an_accuracy_more_expensive():
    random = np.random.default_rng(0)
    networks = [network(0.8 + 0.2 * random.random(), 10 ** random.random()) for _ in range(12)]
    levels = np.linspace(0.8, 1, 21)
    costs = np.array([[measured(level, *networks[:n]) for level in levels] for n in range(2, 13)])
    assert (costs[1:] <= costs[:-1]).all()
    assert (costs[:, 1:] >= costs[:, :-1]).all()
    assert 1 < len(np.unique(costs[:, 8])) < len(costs)
    # The accuracies 0.9, 0.95 and 0.97 for 1, 10 and 100: a worse one for 90 changes nothing.
    few = network(0.9, 1), network(0.95, 10), network(0.97, 100)
    assert measured(0.96, *few, network(0.951, 90)) == measured(0.96, *few) == pytest.approx(55)


def test_a_mixture_that_skips_a_network_may_cost_less():
    networks = network(0.8, 10), network(0.81, 900), network(0.9, 1000)
    assert measured(0.85, *networks) == pytest.approx(505)
    assert mixed_front([10, 900, 1000, 20], [0.8, 0.81, 0.9, 0.7]) == [0, 2]
    assert mixed_front([10, 900, 1000], [0.8, 0.899, 0.9]) == [0, 1, 2]


def test_each_draw_has_its_own_least_cost():
    networks = network(0.8, 10), network(0.9, 100), network(0.91, 1000)
    networks[1].accuracies[1:3] = 0.85, 0.91
    costs = costs_at(0.9, networks, "operations")[0]
    assert costs[:3] == pytest.approx([100, 100 + 900 * 5 / 6, 10 + 90 * 10 / 11])


@pytest.mark.parametrize(
    ("cheaper_by", "deviation", "cheaper"),
    [(10, 0.001, "spiking"), (0.1, 0.001, "other"), (1, 0.001, None), (1.5, 0.02, None)],
)
def test_the_interval_shows_which_is_cheaper(cheaper_by, deviation, cheaper):
    ours, theirs = (
        [
            network(accuracy, cost / factor, deviation=deviation, number=number + index)
            for index, (accuracy, cost) in enumerate([(0.8, 10), (0.9, 100), (0.95, 1000)])
        ]
        for factor, number in ((cheaper_by, 0), (1, 10))
    )
    found = at_equal_accuracy(ours, theirs, OPERATIONS)
    # 97.5 of 100 draws reach the highest.
    assert found[0].accuracy == pytest.approx(0.95 - 2 * deviation, abs=0.005)
    for at in found:
        (ratio,) = at.ratios
        assert ratio.ratio.low == ratio.ratio.high == pytest.approx(1 / cheaper_by)
        assert ratio.low < 1 / cheaper_by < ratio.high
        assert ratio.cheaper == cheaper


def test_an_end_beyond_all_networks_is_open():
    """Half of the draws of one side miss the lowest accuracy on both curves."""
    ours = [network(0.9, 0.25), network(0.95, 1)]
    theirs = [network(0.8, 10), network(0.9, 100, deviation=0.01)]
    (ratio,) = at_equal_accuracy(ours, theirs, OPERATIONS)[0].ratios
    assert ratio.ratio.low == pytest.approx(0.25 / 100)
    assert ratio.low is None
    assert (ratio.cheaper, ratio.result) == ("spiking", "less")
    assert ratio.reached == {"spiking": 1.0, "other": pytest.approx(0.5, abs=0.1)}
    (ratio,) = at_equal_accuracy(theirs, ours, OPERATIONS)[0].ratios
    assert ratio.high is None
    assert (ratio.cheaper, ratio.result) == ("other", "more")


@pytest.mark.parametrize(("misses", "result"), [(0.02, "less"), (0.03, "not testable")])
def test_without_an_upper_end_less_is_not_testable(misses, result):
    """The same ratio of 0.1: what differs is how often the spiking network misses the accuracy."""
    ours, theirs = network(0.9, 1), network(0.9, 10)
    ours.accuracies[1 : 1 + int(misses * DRAWS)] = 0.89
    (ratio,) = at_equal_accuracy([ours], [theirs], OPERATIONS)[0].ratios
    assert ratio.ratio.high == pytest.approx(0.1)
    assert ratio.result == result
    assert ratio.reached == {"spiking": pytest.approx(1 - misses), "other": 1}


@pytest.mark.parametrize(("start", "accuracy"), [(0.88, 0.88), (0.8805, 0.8808), (0.885, 0.885)])
def test_the_highest_accuracy_is_one_that_97_of_100_draws_reach(start, accuracy):
    """Or the lowest that both have, where curves begin above that."""
    ours = [network(start, 1), network(0.95, 2)]
    theirs = [network(0.8, 10), network(0.9, 100, deviation=0.01)]
    found = at_equal_accuracy(ours, theirs, OPERATIONS)
    assert found[0].accuracy == pytest.approx(accuracy, abs=1e-4)


@pytest.mark.parametrize(("share", "ends"), [(0.75, (0.1, 0.1)), (0.25, (None, None))])
def test_draws_that_neither_reaches_say_nothing(share, ends):
    """Both reach the accuracy in the same `share` of the draws: few have no interval."""
    ours, theirs = network(0.9, 1), network(0.9, 10)
    for one in (ours, theirs):
        one.accuracies[1 + int(share * DRAWS) :] = 0.89
    (ratio,) = at_equal_accuracy([ours], [theirs], OPERATIONS)[0].ratios
    assert ratio.ratio.low == pytest.approx(0.1)
    assert (ratio.low, ratio.high) == pytest.approx(ends)
    assert ratio.cheaper == ("spiking" if ends[0] else None)


def test_nothing_is_compared_below_the_start_of_a_curve():
    """No cheaper network of the one side was made: its least cost there is not known."""
    ours, theirs = [network(0.8, 4), network(0.95, 8)], [network(0.9, 2), network(0.96, 9)]
    found = at_equal_accuracy(ours, theirs, OPERATIONS)
    assert [at.accuracy for at in found] == [0.95, 0.945, 0.94, 0.93, 0.91]
    assert found[0].cheapest == {"net": "9"}
    assert at_equal_accuracy(ours[:1], theirs, OPERATIONS) == []
    near = [network(0.9005, 4), network(0.9049, 8)], [network(0.901, 2), network(0.9045, 9)]
    (found,) = at_equal_accuracy(*near, OPERATIONS)  # no multiple of half a point
    assert (found.accuracy, found.ratios[0].ratio.low) == (0.9045, pytest.approx(7.64 / 9, 0.01))
    assert at_equal_accuracy(theirs, ours[:1], OPERATIONS) == []


def test_of_two_networks_of_one_cost_the_worse_is_on_no_curve():
    """It does not show what a lower accuracy costs: nothing is compared below the better one."""
    ours = [network(0.8, 1), network(0.94, 1), network(0.95, 2)]
    theirs = [network(0.8, 1), network(0.95, 2)]
    found = at_equal_accuracy(ours, theirs, OPERATIONS)
    assert [at.accuracy for at in found] == [0.95, 0.945, 0.94]


def test_each_group_of_accountings_has_its_own_start():
    both = {**OPERATIONS, "bytes": CostKind(label="bytes", group="size")}
    ours = [network(0.8, 4, bytes=8), network(0.95, 8, bytes=4)]
    theirs = [network(0.8, 4, bytes=4), network(0.96, 9, bytes=9)]
    found = at_equal_accuracy(ours, theirs, both)
    named = {at.accuracy: [one.accounting for one in at.ratios] for at in found}
    assert named.pop(0.95) == ["operations", "bytes"]
    assert named == {level: ["operations"] for level in (0.945, 0.94, 0.93, 0.91)}
    # All accountings of a group are listed.
    one = {name: replace(kind, group="size") for name, kind in both.items()}
    assert [at.accuracy for at in at_equal_accuracy(ours, theirs, one)] == [0.95]


def test_without_a_common_accuracy_each_group_of_accountings_has_its_own():
    both = {**OPERATIONS, "bytes": CostKind(label="bytes", group="size")}
    ours = [network(0.96, 3, bytes=9)]
    theirs = [network(0.9, 9, bytes=1), network(1.0, 2, bytes=8)]
    (found,) = at_equal_accuracy(ours, theirs, both)
    assert (found.accuracy, [one.accounting for one in found.ratios]) == (0.96, ["bytes"])
    assert found.ratios[0].ratio.low == pytest.approx(9 / 8)


def test_a_group_of_accountings_that_begins_above_follows_at_its_own_highest():
    both = {**OPERATIONS, "time": CostKind(label="time", group="measured")}
    ours = [network(0.8, 2, time=9), network(0.97, 8, time=4, deviation=0.01)]
    theirs = [network(0.8, 2, time=1), network(0.98, 4, time=2)]
    found = at_equal_accuracy(ours, theirs, both)
    named = [(at.accuracy, [one.accounting for one in at.ratios]) for at in found]
    assert named[0] == (0.95, ["operations"])
    assert named[-1] == (0.97, ["time"])
    assert [one for _, one in named].count(["time"]) == 1


def test_seeds_that_cost_differently_widen_the_interval():
    ours = [network(0.8, 10), network(0.9, 100)]
    theirs = [network(0.8, 10), network(0.9, 100)]
    (alike,) = at_equal_accuracy(ours, theirs, OPERATIONS)[0].ratios
    assert (alike.low, alike.high) == (1, 1)
    for one in ours:
        one.costs["operations"][:, 1:] *= np.linspace(0.5, 1.5, DRAWS)
    (ratio,) = at_equal_accuracy(ours, theirs, OPERATIONS)[0].ratios
    assert ratio.ratio.low == 1
    ends = np.array([0.525, 1.475]) ** (scipy.stats.t.ppf(0.975, 3) / 1.96)
    assert (ratio.low, ratio.high) == pytest.approx(tuple(ends), 0.01)


@pytest.mark.parametrize("num_seeds", [4, 10])
def test_drawn_means_have_the_variance_of_means(num_seeds):
    predictions = SimpleNamespace(truth=np.arange(20), groups=None, classes=None)
    drawn = Draws(predictions, range(num_seeds))
    costs = np.random.default_rng(1).normal(loc=100, size=(1, num_seeds))
    means = drawn.costs(costs)[0]
    assert means[0] == pytest.approx(costs.mean())
    expected = costs.std(ddof=1) / np.sqrt(num_seeds)
    assert (drawn.seeds[1:] @ costs[0]).std() == pytest.approx(expected, rel=0.1)
    assert means.min() >= costs.min()
    assert drawn.seeds.sum(1) == pytest.approx(1)
    assert drawn.images.sum(1) == pytest.approx(20)
    # Of few seeds, nothing is said but of these trainings.
    assert Draws(predictions, range(3)).seeds == pytest.approx(1 / 3)


@pytest.mark.parametrize(("of_images", "freedom"), [(0.0, 3), (1.0, np.inf), (0.6, 3 / 0.64**2)])
def test_an_interval_is_as_wide_as_the_share_of_seeds_in_its_spread_asks(of_images, freedom):
    """Of 4 seeds alone, it is that of Student's t for 3 degrees of freedom; of images alone, usual."""
    normal = np.append(0.0, scipy.stats.norm.ppf(np.linspace(0.5, 999.5, 1000) / 1000))
    networks = [[network(0.9, 10), network(0.95, 100)] for _ in range(2)]
    for one in networks[0]:
        one.costs["operations"] = one.costs["operations"] * np.exp(0.1 * normal)
    by_images = [[replaced(one, of_images) for one in side] for side in networks]
    (ratio,) = at_equal_accuracy(*by_images, OPERATIONS, num_seeds=4)[0].ratios
    half = 0.1 * scipy.stats.t.ppf(0.975, freedom)
    assert (np.log(ratio.low), np.log(ratio.high)) == pytest.approx((-half, half), rel=0.03)


def replaced(one, share):
    """The network, with this share of the spread of its costs if images alone are drawn."""
    costs = {name: cost**share for name, cost in one.costs.items()}
    costs = {name: cost / cost[:, :1] * one.costs[name][:, :1] for name, cost in costs.items()}
    return Drawn(one.entry, one.accuracies, one.costs, one.accuracies, costs)


@dataclass(frozen=True, eq=False)
class Drawn(Network):
    of_images: dict

    @property
    def by_images(self):
        return Network(self.entry, self.accuracies, self.of_images, self.accuracies)


@pytest.mark.parametrize(("number", "least"), [(18, 0.8), (300, 0.99)])
def test_right_predictions_alone_are_not_always_right(number, least):
    """Few images show less: of 18, a network that errs in a tenth gets all right in 15 of 100."""
    right = np.ones((1, number), bool)
    predictions = SimpleNamespace(
        truth=np.arange(number), groups=None, classes=None, right=lambda *_: right
    )
    accuracies, _ = Draws(predictions, range(1)).accuracies("net", "8_bits")
    assert accuracies[0] == 1
    assert accuracies[1:].max() < 1
    assert np.quantile(accuracies[1:], 0.025) == pytest.approx(least, abs=0.08)
    assert np.quantile(accuracies[1:], 0.025) > least
    right[0, 0] = False
    assert Draws(predictions, range(1)).accuracies("net", "8_bits")[0][1:].max() == 1


DEFINITIONS = [accounting.read("operations")]
SEEDS, FOLDS = (3, 0, 2, 1), (0, 1)
SHARES = {(seed, fold): 0.1 * (1 + seed + 5 * fold) for seed in SEEDS for fold in FOLDS}
"""Shares of images that the second network is asked for, by seed and fold."""


def counted(seed, fold, times):
    """Operations of which no two trainings and variants have as many."""
    layers = scaled(spiking(), times * (1 + 9 * seed**3 + fold / 2), 2).layers
    return replace(spiking(), layers=layers)


def variant(seed, fold, operations, **more):
    about = {"compressed": True, "val_accuracy": 0.9, "parameters": 100, "weight_bits": 8}
    return replace(variant_result("made", 0.9), operations=operations, **{**about, **more})


def made_trial(contender, seed, fold):
    variants = {
        "8_bits": variant(seed, fold, counted(seed, fold, 1)),
        "half_channels": variant(seed, fold, counted(seed, fold, 0.1), val_accuracy=0.8),
    }
    if contender == "cnn":
        variants = {name: replace(one, operations=plain()) for name, one in variants.items()}
    early = CascadeExit(
        first="half_channels", then="8_bits", threshold=0.5, share=SHARES[seed, fold]
    )
    variants["early_exit"] = variant(seed, fold, None, early=early)
    return replace(trial(contender, 0.9, seed=seed, fold=fold), variants=variants)


def made_predictions(seeds=None):
    truth = [0, 1] * 20
    wrong = {None: 4, "8_bits": 4, "half_channels": 4, "early_exit": 6}
    return Predictions(
        predictions_file(
            truth,
            {
                (name, seed, one): [1 - label for label in truth[:number]] + truth[number:]
                for name in ("snn", "cnn")
                for seed in (seeds or {}).get(name, SEEDS)
                for one, number in wrong.items()
            },
        )
    )


def test_costs_are_means_over_folds_and_seeds():
    trials = [
        made_trial(name, seed, fold) for name in ("snn", "cnn") for seed in SEEDS for fold in FOLDS
    ]
    (definition,) = DEFINITIONS
    found = frontier(trials, made_predictions(), DEFINITIONS)
    assert (found.seeds, len(found.variants)) == (4, 6)

    def cost(seed, times):
        of_folds = [counted(seed, fold, times) for fold in FOLDS]
        return accounting.weighed(of_folds, definition, "spiking", 2)[0]

    amounts = {one.name: one.amounts for one in found.variants if one.contender == "snn"}
    for name, times in (("8_bits", 1), ("half_channels", 0.1)):
        expected = np.mean([cost(seed, times) for seed in SEEDS])
        assert amounts[name]["operations"].low == pytest.approx(expected)
    by_seed = [
        cost(seed, 0.1) + np.mean([SHARES[seed, fold] for fold in FOLDS]) * cost(seed, 1)
        for seed in SEEDS
    ]
    lost = {one.name: one.accuracy_lost for one in found.variants if one.contender == "snn"}
    assert lost == {"8_bits": None, "half_channels": None, "early_exit": pytest.approx(0.05)}
    early = amounts["early_exit"]
    assert early["operations"].low == pytest.approx(np.mean(by_seed))
    weights = sum(layer.weights for layer in spiking().layers)
    assert amounts["8_bits"]["weights"].low == weights + 4 * (100 - weights)
    assert early["weights"].low == 2 * amounts["8_bits"]["weights"].low


def test_another_definition_of_accuracy_reaches_the_networks(monkeypatch):
    def less(images, right, balanced=False):
        return np.asarray(right).sum(-1) / np.asarray(images).sum(-1) / 2

    trials = [made_trial(name, seed, 0) for name in ("snn", "cnn") for seed in SEEDS]
    made = (trials, made_predictions(), DEFINITIONS)
    before = frontier(*made)
    monkeypatch.setattr(accuracy, "__code__", less.__code__)
    for was, now in zip(before.variants, frontier(*made).variants, strict=True):
        assert now.accuracy == pytest.approx(was.accuracy / 2)
        assert now.ci95.low < was.accuracy / 2 < now.ci95.high < was.ci95.low


def test_only_common_seeds_count():
    done = {"snn": SEEDS[:2], "cnn": SEEDS[1:]}
    trials = [made_trial(name, seed, 0) for name, seeds in done.items() for seed in seeds]
    assert frontier(trials, made_predictions(done), DEFINITIONS).seeds == 1
    assert frontier(trials, made_predictions(done | {"cnn": SEEDS[2:]}), []) is None


def test_networks_that_have_not_learned_are_on_no_curve():
    at_chance = variant_result("made", 0.1, key="k")
    trials = [made_trial(name, seed, 0) for name in ("snn", "cnn") for seed in SEEDS]
    unlearned = [
        replace(
            one,
            variants={
                **one.variants,
                "8_bits": replace(
                    one.variants["8_bits"],
                    key="k",
                    accuracy=0.1,
                    by_class=at_chance.by_class,
                    title="8 bits",
                ),
            },
        )
        if one.contender == "snn"
        else one
        for one in trials
    ]
    found = frontier(unlearned, made_predictions(), DEFINITIONS)
    # The pair of the two asks the one of 8 bits.
    assert [one.name for one in found.variants if one.contender == "snn"] == ["half_channels"]
    assert found.left_out["snn"] == {"8 bits": "it has not learned."}
    none_of_snn = [
        replace(one, test=scored(0.1)) if one.contender == "snn" else one for one in trials
    ]
    found = frontier(none_of_snn, made_predictions(), DEFINITIONS)
    assert {one.contender for one in found.variants} == {"cnn"}
    assert found.pairs == []
    nobody = [replace(one, test=scored(0.1)) for one in trials]
    assert frontier(nobody, made_predictions(), DEFINITIONS) is None


def test_a_ratio_that_measurements_of_one_thing_could_have_shows_nothing():
    ours = [network(0.8, 10 / 1.05), network(0.9, 100 / 1.05)]
    theirs = [network(0.8, 10), network(0.9, 100)]
    (ratio,) = at_equal_accuracy(ours, theirs, OPERATIONS)[0].ratios
    assert ratio.high < 1
    assert ratio.cheaper is None


def rates(monkeypatch, by_trial):
    """The break-even rates of trials, by seed and fold: least and most."""
    values = iter(by_trial.values())
    monkeypatch.setattr(accounting, "break_even_rates", lambda *_: next(values))
    twin = replace(variant_result("twin", 0.9), operations=plain())
    trials = [
        replace(
            trial("snn", seed=seed, fold=fold),
            operations=spiking(),
            variants={"quantised_twin": twin},
        )
        for seed, fold in by_trial
    ]
    (found,) = break_even(trials, [accounting.read("yan")])
    assert found.measured == spiking().totals.spikes_per_neuron_and_step
    return found


def test_folds_of_a_seed_count_as_one_for_the_break_even_rate(monkeypatch):
    by_trial = {(0, 0): (0.1, 0.2), (0, 1): (0.3, 0.3), (1, 0): (0.2, 0.4), (1, 1): (0.4, 0.5)}
    found = rates(monkeypatch, by_trial)
    assert (found.rate.low, found.rate.high) == (pytest.approx(0.25), pytest.approx(0.35))
    # Of 0.2 and 0.3, and of 0.25 and 0.45: Student's t for one degree of freedom is 12.706.
    assert (found.ci95.low, found.ci95.high) == (0, 1)
    near = {(0, 0): (0.25, 0.35), (1, 0): (0.252, 0.352)}
    interval = rates(monkeypatch, near).ci95
    assert interval.low == pytest.approx(0.251 - 12.706 * 0.001, abs=1e-4)
    assert interval.high == pytest.approx(0.351 + 12.706 * 0.001, abs=1e-4)
    one_seed = rates(monkeypatch, {(0, 0): (0.1, 0.1), (0, 1): (0.3, 0.3)})
    assert (one_seed.rate.low, one_seed.rate.high) == (pytest.approx(0.2), pytest.approx(0.2))
    assert one_seed.ci95 is None


def test_without_a_bit_matched_network_there_is_no_break_even_rate():
    trials = [replace(trial("snn"), operations=spiking())]
    assert list(break_even(trials, [accounting.read("yan")])) == []


def test_compressed_variants_that_learned_nothing_have_one_caveat():
    variants = {
        name: replace(variant_result(name, accuracy, key="k"), compressed=True)
        for name, accuracy in (("4 bits", 0.1), ("few spikes", 0.1), ("half", 0.9))
    }
    run = RunContext(baseline(), dataset(), [trial("snn", 0.9, variants=variants)])
    found = with_id(find_caveats(run), "compressed_at_chance")
    assert found == [
        finding("compressed_at_chance", contender="snn", variants=["4 bits", "few spikes"])
    ]


@pytest.mark.parametrize(
    ("name", "group", "ours", "theirs"),
    [
        ("int8-skipping", "arithmetic", 40 * 0.23 + 20 * 0.03, 30 * 0.23),
        (
            "memory-skipping",
            "memory",
            40 * 4.6 + 20 * 0.9 + 24.96 * 4 * (40 + 20 + 18 + 16),
            30 * 4.6 + 24.96 * 4 * (30 + 9),
        ),
    ],
)
def test_zeros_are_skipped_in_both_networks(name, group, ours, theirs):
    """By hand, on made-up networks in which half of the numbers are zero."""
    definitions = {definition.name: definition for definition in compared_accountings()}
    definition = definitions[name]
    pair = accounting.CountedPair([spiking()], [plain()])
    found = accounting.compare_by(pair, definition)
    assert found.group == group
    usual = {one.name for one in accounting.all_accountings()}
    assert definitions.keys() - usual == {"int8-skipping", "memory-skipping"}
    assert found.spiking.low == pytest.approx(1e-12 * ours)
    assert found.other.low == pytest.approx(1e-12 * theirs)


@pytest.mark.parametrize(("bits", "charged"), [(None, 8), (8, 8), (4, 4), (2, 2)])
def test_activations_are_charged_the_bits_that_they_were_trained_in(bits, charged):
    """By hand: 60 MACs of 10 weights read from DRAM, with a table of prices by bits."""
    (definition,) = [one for one in compared_accountings() if one.name == "yan-dram"]
    (layer,) = [one for one in plain().layers if one.input == "real" and one.macs_a_pass]
    layer = replace(layer, weight_bits=4, input_bits=bits or 8)
    (found,) = accounting.weighed([replace(plain(), layers=[layer])], definition, "other", 4)
    macs, outputs = layer.macs.dense.hoisted, layer.outputs
    by_hand = macs * (3.7 * charged**2 / 1024 + 0.9 * charged / 32 + 4 * 20)
    by_hand += 2 * 0.05448 * outputs + charged * 0.25 * outputs
    assert found == pytest.approx(1e-12 * by_hand)
