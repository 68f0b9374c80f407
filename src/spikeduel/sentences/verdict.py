"""The verdict and ablations in sentences that claim no more than the trials can bear."""

from typing import Any

from spikeduel.results.findings import TABLE, finding, is_leak, sentence
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Conclusion, Difference
from spikeduel.statistics import MAX_SEEDS
from spikeduel.system.grouped import grouped
from spikeduel.system.numbers import (
    counted,
    listed,
    named,
    p_value,
    per_cent,
    signed,
)

LEAKAGE = (
    "Leakage: training holds copies or near-duplicates of test images (see the caveats). The "
    "following scores measure memory as much as recognition."
)

MORE_POWER = "it takes more test images, or trainings that vary less."


def verdict(results: Results) -> str:
    """Return the most accurate contender, and conclusions against the others."""
    pairs, num_folds = results.comparison.pairs, len(results.dataset.folds or [])
    sentences = [LEAKAGE] if any(map(is_leak, results.comparison.caveats)) else []
    if not pairs:
        tested = [(trial.title, trial.test) for trial in results.trials if trial.test]
        sentences += [
            f"Accuracy {per_cent(test.accuracy, 2)} on {counted(test.n, 'test image')}: {title}."
            for title, test in tested
        ] or ["No trial was finished: there is nothing to compare."]
        return " ".join(sentences)
    accuracies = {name: pair.accuracy(name) for pair in pairs for name in (pair.a, pair.b)}
    best = max(accuracies, key=accuracies.__getitem__)
    highest = [name for name in accuracies if accuracies[name] == accuracies[best]]
    models = f"these {len(accuracies)} trained models only"
    trained = _trainings(max(pair.seeds for pair in pairs), num_folds, models)
    by_conclusion = grouped(
        (
            conclusion(pair, pair.a, pair.b),
            f"{pair.b} ({signed(pair.difference)}; {interval(pair)}; {p_value(pair.p_value)})",
        )
        for pair in [pair.ordered(best) for pair in pairs if best in (pair.a, pair.b)]
    )
    sentences += [
        f"{named(pairs[0].measure).capitalize()} on {counted(pairs[0].n, 'test image')}: "
        f"{listed(highest)} {'have' if len(highest) > 1 else 'has'} the highest, "
        f"{per_cent(accuracies[best], 2)}, of {len(accuracies)} contenders ({trained}).",
        *(f"Against {listed(names)}: {text}." for text, names in by_conclusion.items()),
        "Brackets: points, 95 % interval.",
    ]
    return " ".join(sentences)


def interval(difference: Difference) -> str:
    """Return the 95 % interval in points: "−2.00 to +0.10"."""
    low, high = difference.ci95
    return f"{signed(low)} to {signed(high)}"


def difference_line(
    difference: Difference, a: str = "a", b: str = "b", num_folds: int | None = None
) -> str:
    """Return a line on a difference; `num_folds` if each fold was trained once."""
    trained = _trainings(difference.seeds, num_folds or 0, "these two trained models")
    return (
        f"{a} − {b}: {signed(difference.difference)} points of {named(difference.measure)}, "
        f"95 % interval {interval(difference)}, p = {difference.p_value:.3g} ({difference.test}), "
        f"{counted(difference.n, 'test image')}, {trained}: {conclusion(difference, a, b)}."
    )


def conclusion(difference: Difference, a: str, b: str, brief: bool = False) -> str:
    """Return the conclusion in a few words, with its reservation."""
    better = {Conclusion.A_BETTER: a, Conclusion.B_BETTER: b}.get(difference.conclusion)
    text = f"{better} is better" if better else difference.conclusion.value
    if difference.reservation:
        return f"{text}: {reserved(difference) if brief else because(difference)}"
    if better and difference.negligible:
        text += f", by less than the {margin(difference)} that count"
    return text


def pair_conclusion(pair: Pair) -> str:
    text = conclusion(pair, pair.a, pair.b, brief=True)
    return text if pair.seeds > 1 else f"of these trained models: {text}"


def margin(difference: Difference) -> str:
    """Return the margin: "±0.5 points"."""
    return f"±{100 * difference.margin:.2g} points"


def reserved(difference: Difference) -> str:
    """Return the reservation in a few words; "" without one."""
    return TABLE[f"but_{difference.reservation}"].brief if difference.reservation else ""


def because(difference: Difference) -> str:
    groups = difference.effective_groups or difference.groups
    values = {
        "seeds": difference.seeds,
        "smallest_p": difference.smallest_p,
        "groups": groups,
        "failed": difference.failed,
    }
    id = f"but_{difference.reservation}"
    return sentence(finding(id, **{name: values[name] for name in TABLE[id].example})).rstrip(".")


def _trainings(seeds: int, num_folds: int, models: str) -> str:
    if seeds == 1:
        return f"one seed in each of {num_folds} folds" if num_folds else models
    return f"{seeds} seeds" + (f" and {num_folds} folds" if num_folds else "")


def titled(variant: Any) -> str:
    """Return a variant's title, with the bits of its activations if few."""
    return f"{variant.title} ({counted(variant.bits, 'bit')})" if variant.bits else variant.title


def power_of_pairs(results: Results) -> str:
    """Return the smallest power of a pair to show a difference of one point; "" for one seed."""
    with_power = [(pair, pair.power) for pair in results.comparison.pairs if pair.power]
    if not with_power:
        return ""
    pair, power = min(with_power, key=lambda of_pair: of_pair[1].probability)
    variability = power.variability
    deviations = [
        f"{100 * deviation:.2f}" for deviation in (variability.seeds_a, variability.seeds_b)
    ]
    lead, number = lead_in_points(power.difference), power.seeds_needed
    needed = f"{number} seeds would find it in 80 %."
    if number is None:
        needed = f"More than {MAX_SEEDS} seeds would be needed to find it in 80 %: {MORE_POWER}"
    return (
        f"Power: a true lead of {lead} would be found with {counted(pair.seeds, 'seed')} in "
        f"{100 * power.probability:.0f} % of cases for {pair.a} and {pair.b}"
        f"{', less than for any other pair' if len(with_power) > 1 else ''} (accuracy varies by "
        f"{listed(deviations)} points over seeds). {needed}"
    )


def lead_in_points(lead: float) -> str:
    return "one point" if lead == 0.01 else f"{100 * lead:g} points"
