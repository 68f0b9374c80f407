"""A study in sentences and cells of tables."""

from collections.abc import Sequence

from spikeduel.features.study.across import PairAcross
from spikeduel.features.study.study_results import (
    DuelSummary,
    OnDataset,
    StudyResults,
    described,
)
from spikeduel.results.cost_results import Range
from spikeduel.results.findings import is_leak, sentence, with_id
from spikeduel.results.run import Quantity
from spikeduel.results.significance import Conclusion
from spikeduel.statistics import MIN_SHARE_INSIDE, Outcome, min_datasets
from spikeduel.system.negligible import MAX_COST_RATIO
from spikeduel.system.numbers import hundredths, per_cent, points, signed, with_noun
from spikeduel.system.sentences import counted, listed

RULE = (
    "Of two variants one is better where Wilcoxon's signed-rank test over the data sets, adjusted "
    "for all pairs (Holm), has a p-value of at most 5 %; typically better, if its mean is behind. "
    "Neither leads on balance where the same test, adjusted alike, shows that the typical "
    "difference lies between minus and plus the margin. They are equivalent where, besides, at "
    f"least {MIN_SHARE_INSIDE:.0%} of the data sets and the mean lie there. Else the question is "
    "open."
).replace("%", " %")
DEFINITIONS: dict[str, str] = {
    "variant": "A contender under the varied settings that concern it. A network without spikes is "
    "one variant, whatever the encoding and the number of steps are.",
    "accuracy": "Mean over seeds, then over the variant's data sets; of data sets with unbalanced "
    "classes it is the balanced accuracy. It says little alone where data sets differ in "
    "difficulty.",
    "behind": "Distance below the best variant of the same data set, in points of accuracy, "
    "averaged over the variant's data sets.",
    "best on": "Number of its data sets on which no variant has a higher mean accuracy.",
    "cost": "Times the cheapest variant of the same data set, the geometric mean over data sets: "
    "energy per inference, inference time on this machine. Energy is an estimate, with neurons "
    "and memory on the chip, from the cheapest to the most expensive way to compute it.",
    "typical difference": "The median of the means of any two data sets' differences (Hodges and "
    "Lehmann). Its 95 % interval is what Wilcoxon's test does not reject; fewer than six data sets "
    "(families, where some are related) leave none.",
    "mean": "Mean difference over the data sets, a family counting once. One data set far from the "
    "others moves it, and hardly the typical one.",
    "worst": "The data set on which the first of the pair is the farthest behind, or leads by the "
    "least; of two that are equivalent or balanced, the one on which they differ most.",
    "wins": "On how many data sets the first is ahead, and on how many the second.",
    "p": "Wilcoxon's signed-rank test, exact, adjusted for all pairs (Holm): how often chance "
    "alone would make one of so many differences at least as large.",
    "the rule": RULE,
}
COSTS: dict[Quantity, str] = {"energy": "energy, ×", "latency": "inference, ×"}
METHOD = (
    "The data set is the unit. A variant has one number on each, its mean accuracy over seeds. "
    "More seeds make that number less noisy; they do not make more data sets. Related data sets "
    "are a family, and count once, by their mean.",
    "Wilcoxon's signed-rank test of the differences: advised for two classifiers on several data "
    "sets by Demšar (2006, section 3.1.3). It is exact here, also where differences are equal or "
    "zero; zeros keep their ranks (Pratt 1959).",
    "On a single data set, what its duel found, by the duel's own test of seeds and test images. "
    "Accuracies and differences are of the seeds that all variants finished there.",
)
LEVEL = 0.00005
"""Differences below this are shown as 0.00 points."""
SIGNIFICANCE = {
    None: "not tested",
    Conclusion.A_BETTER: "significant",
    Conclusion.B_BETTER: "significant",
    Conclusion.EQUIVALENT: "equivalent",
    Conclusion.INCONCLUSIVE: "not significant",
}
NO_RECOMMENDATION = {
    "leakage": "none: test images leak",
    "too_few_images": "none: too few test images",
    "longer_training": "none: unequal training",
    "nothing_learned": "none: nothing was learned",
    "no_common_seed": "none: no common seed",
    "none_runs": "none: none runs on the device",
    "not_finished": "no trial was finished",
}
VERDICTS = {
    Outcome.BETTER: "{a} is more accurate than {b}{but}",
    Outcome.BETTER_TYPICALLY: "{a} is more accurate than {b} on a typical one, but not on average",
    Outcome.EQUIVALENT: "{a} and {b} are as accurate within {margin}",
    Outcome.BALANCED: "neither {a} nor {b} leads on balance; they differ by up to {most}, "
    "{ahead} of {number}",
    Outcome.INCONCLUSIVE: "it is open whether {a} or {b} is more accurate",
}
"""Verdicts of a headline, the most settled first."""
CONCLUDED = {
    Outcome.BETTER: "{a} better",
    Outcome.BETTER_TYPICALLY: "{a} typically better",
    Outcome.EQUIVALENT: "equivalent",
    Outcome.BALANCED: "neither on balance",
    Outcome.INCONCLUSIVE: "open",
}


def title(study: StudyResults) -> str:
    numbers = [
        counted(len(study.datasets), "data set"),
        counted(len(study.variants), "variant"),
        counted(len(study.duels), "duel"),
        counted(study.trainings, "training"),
    ]
    return f"Study {study.name}: {', '.join(numbers)}"


def headline(study: StudyResults) -> str:
    """Return the conclusion on the study's main pair of variants, or why there is none."""
    pair = study.across.headline
    if pair is None:
        scores = [f"{variant.name} {per_cent(variant.accuracy)}" for variant in study.variants]
        nothing = f"Nothing to compare: {listed(scores)}."
        return nothing if scores else "No result: no trial was finished."
    spiking = {variant.name for variant in study.variants if variant.spiking} & {pair.a, pair.b}
    a, b = (f"the spiking {name}" if spiking == {name} else name for name in (pair.a, pair.b))
    if len(pair.differences) == 1:
        (dataset,) = pair.differences
        ahead = f"{a} is {points(pair.difference)} ahead of {b}"
        if abs(pair.difference) < LEVEL:
            ahead = f"{a} and {b} are level"
        concluded = significance(study.test(pair.a, pair.b, dataset))
        return f"One data set says nothing of others. On {dataset}, {ahead} ({concluded})."
    number, alike = len(pair.differences), pair.wins == pair.losses
    longer = with_id(study.caveats, "longer_trainings")
    verdict = VERDICTS[Outcome.INCONCLUSIVE if longer else pair.conclusion].format(
        a=a,
        b=b,
        margin=_margin(pair),
        but=f", though within what counts as none, {_margin(pair)}" if pair.negligible else "",
        most=points(max(map(abs, pair.differences.values()))),
        ahead=f"each ahead on {pair.wins}"
        if alike
        else f"{pair.a} ahead on {pair.wins} and {pair.b} on {pair.losses}",
        number=number,
    )
    related = f" of {counted(pair.families, 'family')}" if pair.families < number else ""
    if longer:
        verdict += f", since {pair.a} is ahead after longer training"
    return f"Over {counted(number, 'data set')}{related}, {verdict}."


def in_accuracy(study: StudyResults) -> str:
    """Return the lead of a main variant, on how many data sets, and where it is behind; "" on a
    single one.
    """
    pair = study.across.headline
    if pair is None or (number := len(pair.differences)) == 1:
        return ""
    unit, exceptions = "family" if pair.families < number else "data set", _exceptions(pair)
    typically = f"on a typical {unit}"
    if pair.conclusion in (Outcome.EQUIVALENT, Outcome.BALANCED):
        difference = points(abs(pair.difference))
        return f"They differ by {difference} {typically}{_between(pair.ci90, 90)}.{exceptions}"
    lead = f"{points(pair.difference)} {typically}{_between(pair.ci95, 95)}"
    if abs(pair.difference) < LEVEL:
        return f"They are level {typically}.{exceptions}"
    ahead = "is ahead" if with_id(study.caveats, "longer_trainings") else "leads"
    return f"{pair.a} {ahead} by {lead}, on {pair.wins} of {number}.{exceptions}"


def _exceptions(pair: PairAcross) -> str:
    """Return sentences on the worst data set, and on a mean that says something else than the
    typical difference; "" if neither does.
    """
    worst, text = pair.differences[pair.worst], ""
    if worst <= -pair.margin or abs(pair.difference) < pair.margin <= worst:
        at = "at worst" if worst < 0 else "at most"
        text += f" On {pair.worst}, {at}, {pair.a} is {_direction(worst)}."
    if pair.mean < -LEVEL or pair.difference < pair.margin <= pair.mean:
        text += f" On average {pair.a} is {_direction(pair.mean)}."
    return text


def _direction(difference: float) -> str:
    return f"{points(abs(difference))} {'behind' if difference < 0 else 'ahead'}"


def _between(interval: tuple[float, float] | None, level: int) -> str:
    return f" ({level} % interval {_span(interval)})" if interval else ""


def _span(interval: tuple[float, float]) -> str:
    return " to ".join(hundredths(end).replace("-", "−") for end in interval)


def _margin(pair: PairAcross) -> str:
    """Return the margin, and on how many data sets the difference lies inside, unless on all."""
    number = len(pair.differences)
    most = f" on {pair.inside} of {number}" if pair.inside < number else ""
    return f"±{100 * pair.margin:g} points{most}"


def in_cost(study: StudyResults) -> str:
    """Return the main variants' inference time and energy; "" if unknown."""
    pair, costs = study.across.headline, {variant.name: variant.costs for variant in study.variants}
    if pair is None:
        return ""
    a, b, parts = costs[pair.a], costs[pair.b], []
    if "latency" in a and "latency" in b:
        ratio = b["latency"].low / a["latency"].low
        pace = f"{max(ratio, 1 / ratio):.1f} times {'faster' if ratio > 1 else 'slower'} than"
        if 1 / MAX_COST_RATIO < ratio < MAX_COST_RATIO:
            pace = "as fast as"
        parts.append(f"predicts {pace} {pair.b}")
    if "energy" in a and "energy" in b:
        if a["energy"].below(b["energy"]):
            parts.append("takes less energy")
        elif b["energy"].below(a["energy"]):
            parts.append("takes more energy")
    return f"{pair.a} {' and '.join(parts)}." if parts else ""


def conclusion(pair: PairAcross) -> str:
    concluded = CONCLUDED[pair.conclusion].format(a=pair.a)
    return f"{concluded}{' (within the margin)' if pair.negligible else ''}"


def measured(study: StudyResults) -> str:
    """Return "balanced accuracy" if variants are compared by that on all data sets."""
    return "accuracy" if set(study.datasets) - set(study.unbalanced) else "balanced accuracy"


def significance(test: OnDataset | None) -> str:
    return SIGNIFICANCE[test.conclusion if test else None]


def settled_first(pairs: Sequence[PairAcross]) -> list[PairAcross]:
    """Sort pairs: better, then equivalent, then open, by p-value."""
    return sorted(
        pairs,
        key=lambda pair: (list(VERDICTS).index(pair.conclusion), pair.p_value, -pair.difference),
    )


def interval(pair: PairAcross) -> str:
    too_few = "too few families" if pair.families < len(pair.differences) else "too few data sets"
    return _span(pair.ci95) if pair.ci95 else too_few


def times(cost: Range | None) -> str:
    """Return a cost as times the least: "1", "1.3–2.9"; "–" if unknown."""
    if cost is None:
        return "–"
    low, high = (f"{end:.0f}" if end >= 10 else f"{end:.2g}" for end in (cost.low, cost.high))
    return low if low == high else f"{low}–{high}"


def settling(study: StudyResults) -> list[str]:
    pair = study.across.headline
    if pair is None or pair.conclusion is not Outcome.INCONCLUSIVE:
        return []
    pairs, fewest = len(study.across.pairs), study.across.fewest_datasets
    steps = ["More data sets: the lead varies too much over these to be shown."]
    if pair.families < fewest:
        steps = [
            f"More data sets: it takes at least {fewest}, related ones counted once, to show a "
            f"lead. With fewer, no p-value of Wilcoxon's test is at most 5 %."
        ]
    if pairs > 1:
        steps.append(
            f"Fewer variants: p-values are adjusted for {pairs} pairs, and fewer pairs ask less of "
            f"each. Two variants alone need {min_datasets()} data sets at least."
        )
    return steps


def leaks(study: StudyResults) -> list[str]:
    return [sentence(finding) for finding in study.caveats if is_leak(finding)]


def recommended(duel: DuelSummary) -> str:
    return duel.recommended or NO_RECOMMENDATION.get(duel.why, "none")


def lead(duel: DuelSummary) -> str:
    """Return a duel's lead with the 95 % interval: "+0.48 (−0.1 to 1.1) to vgg-relu"."""
    if duel.lead is None or duel.ci95 is None:
        return "–"
    return f"{signed(duel.lead)} ({_span(duel.ci95)}) to {duel.runner_up}"


def settings(duel: DuelSummary) -> str:
    return ", ".join(described(axis, value) for axis, value in duel.settings.items()) or "–"


def sentences(study: StudyResults) -> list[str]:
    """Return the verdict for a terminal, without `leaks`."""
    caveats = [sentence(finding) for finding in study.caveats if not is_leak(finding)]
    parts = [
        headline(study),
        in_accuracy(study),
        in_cost(study),
        *settling(study),
        *caveats,
    ]
    return [with_noun(part, study.noun) for part in parts if part]
