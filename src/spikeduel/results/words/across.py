"""What a study found over its data sets, in sentences and in cells of tables."""

from collections.abc import Sequence

from spikeduel.results import objections as o
from spikeduel.results.across import PairAcross, Ranks
from spikeduel.results.answer import NOTICEABLE
from spikeduel.results.costs import Range
from spikeduel.results.objections import StudyCaveat
from spikeduel.results.run import Quantity, Reason
from spikeduel.results.signed_rank import fewest
from spikeduel.results.significance import Conclusion
from spikeduel.results.study import DuelSummary, OnDataset, StudyResults, Variant
from spikeduel.results.uncertainty import ALPHA
from spikeduel.results.variants import said
from spikeduel.results.words.nouns import said_of
from spikeduel.results.words.numbers import hundredths, p_value, per_cent, points, signed
from spikeduel.system.sentences import counted, listed

RULE = (
    "Of two variants one is better where Wilcoxon's signed-rank test over the data sets, adjusted "
    "for all pairs (Holm), has a p-value of at most 5 %. They are equivalent where the same test, "
    "adjusted alike, shows that the difference lies between minus and plus the margin. Else the "
    "question is open."
)
DEFINITIONS: dict[str, str] = {
    "variant": "A contender under those of the varied settings that concern it. A network without spikes is one "
    "variant, whatever the encoding and the number of steps are.",
    "mean rank": "The place by accuracy among all variants on a data set, 1 the best, averaged over the data sets that "
    "have all of them.",
    "accuracy": "Mean over seeds, then over the data sets that have all variants. It says little alone where data sets "
    "differ in difficulty.",
    "behind": "How far below the best variant of the same data set, in points of accuracy, averaged over the same data "
    "sets.",
    "best on": "On how many of its data sets no variant has a higher mean accuracy.",
    "shown": "How many other variants it is shown to be better than, and how many to be worse than.",
    "cost": "Times the cheapest variant of the same data set, the geometric mean over data sets: energy of an answer, "
    "time of an answer on this machine. Energy is an estimate, with neurons and memory on the "
    "chip, from the cheapest to the dearest way to compute it.",
    "typical difference": "The median of the means of any two data sets' differences (Hodges and Lehmann). Its 95 % "
    "interval is what Wilcoxon's test does not reject; fewer than six data sets leave none.",
    "wins": "On how many data sets the first is ahead, and on how many the second.",
    "p": "Wilcoxon's signed-rank test, exact, adjusted for all pairs (Holm): how often chance alone would make one of "
    "so many differences at least as large.",
    "Bayesian": "Bayesian signed-rank test: how probable it is, in per cent, that data sets like these speak for the "
    "first, for no difference beyond the margin, for the second.",
    "ahead": "How often a training of the first is more accurate than one of the second, in per cent, averaged over "
    "data sets; in brackets where 95 % of resampled seeds lie.",
    "why": "By the rule of a single duel, which asks for accuracy first and then for the time of an answer: the one to "
    "take is shown to be better, is ahead, or is level and answers faster. The others are out "
    "where they learned nothing.",
    "the rule": RULE,
}
"""What the words of a study's page mean."""
COSTS: dict[Quantity, str] = {"energy": "energy, ×", "answer": "answer, ×"}
"""What a study's page says of costs, and their names."""
METHOD = (
    "The data set is the unit. A variant has one number on each, its mean accuracy over seeds. "
    "More seeds make that number less noisy; they do not make more data sets.",
    "Wilcoxon's signed-rank test of the differences: advised for two classifiers on several data "
    "sets by Demšar (2006, section 3.1.3). It is exact here, also where differences are equal or "
    "zero; zeros keep their ranks (Pratt 1959).",
    "Mean ranks, Friedman's test and Nemenyi's critical difference: Demšar (2006, section 3.2.2). "
    "Friedman's p-value is that of ranks that change places at random within data sets. No "
    "conclusion rests on them: whether two variants differ by mean ranks depends on the other "
    "variants (Benavoli, Corani and Mangili 2016).",
    "Bayesian signed-rank test with a region of practical equivalence, which is the margin: "
    "Benavoli, Corani, Mangili, Zaffalon and Ruggeri (2014); Benavoli, Corani, Demšar and "
    "Zaffalon (2017).",
    "Performance profiles, the probability that one training is ahead, and intervals from seeds "
    "resampled within each data set: Agarwal, Schwarzer, Castro, Courville and Bellemare (2021). "
    "A score is the distance to the best variant of the data set, in points.",
    "On a single data set, what its duel found, by the duel's own test of seeds and test images.",
)
"""How the numbers of a study are made, with their sources."""
FEWEST_TELLING = 5
"""Data sets whose spread says how many would be needed."""
LEVEL = 0.00005
"""Below it a difference is shown as 0.00 points."""
_SURE = {
    None: "not tested",
    Conclusion.A_BETTER: "shown",
    Conclusion.B_BETTER: "shown",
    Conclusion.EQUIVALENT: "equivalent",
    Conclusion.INCONCLUSIVE: "not shown",
}
_WHY = {
    Reason.LEAKAGE: "nobody: test images leak",
    Reason.TOO_FEW: "nobody: too few test images",
    Reason.NOTHING_LEARNED: "nobody: nothing was learned",
    Reason.NOT_FINISHED: "no trial was finished",
}


def title(study: StudyResults) -> str:
    """What was asked, in numbers."""
    numbers = [
        counted(len(study.datasets), "data set"),
        counted(len(study.variants), "variant"),
        counted(len(study.duels), "duel"),
        counted(study.trainings, "training"),
    ]
    return f"Study {study.name}: {', '.join(numbers)}"


def headline(study: StudyResults) -> str:
    """The verdict on the two that matter most, in a sentence."""
    pair = study.across.headline
    if pair is None:
        found = listed([f"{each.name} {per_cent(each.accuracy)}" for each in study.variants])
        return f"Nothing to compare: {found}." if found else "No answer: no trial was finished."
    a, b = _with_kinds(pair, study)
    if len(pair.differences) == 1:
        (dataset,) = pair.differences
        level = abs(pair.difference) < LEVEL
        ahead = (
            f"{a} and {b} are level" if level else f"{a} is {points(pair.difference)} ahead of {b}"
        )
        found = sure(study.test(pair.a, pair.b, dataset))
        return f"One data set says nothing of others. On {dataset}, {ahead} ({found})."
    match pair.conclusion:
        case Conclusion.A_BETTER | Conclusion.B_BETTER:
            small = (
                f", though within what counts as none, {_margin(study)}" if pair.negligible else ""
            )
            found = f"{a} is more accurate than {b}{small}"
        case Conclusion.EQUIVALENT:
            found = f"{a} and {b} are as accurate within {_margin(study)}"
        case _:
            found = f"it is open whether {a} or {b} is more accurate"
    return f"Over {counted(len(pair.differences), 'data set')}, {found}."


def _with_kinds(pair: PairAcross, study: StudyResults) -> tuple[str, str]:
    """What the two are called where it has to be said which one spikes."""
    spiking = {each.name for each in study.variants if each.spiking}
    differ = len(spiking & {pair.a, pair.b}) == 1
    a, b = (
        f"the spiking {name}" if differ and name in spiking else name for name in (pair.a, pair.b)
    )
    return a, b


def in_accuracy(study: StudyResults) -> str:
    """By how much one of the two of the headline leads on a typical data set, and on how many; ""
    on a single one.
    """
    pair = study.across.headline
    if pair is None or (number := len(pair.differences)) == 1:
        return ""
    if pair.conclusion is Conclusion.EQUIVALENT:
        return f"They differ by {points(abs(pair.difference))} on a typical data set{_between(pair.ci90, 90)}."
    lead = f"{points(pair.difference)} on a typical data set{_between(pair.ci95, 95)}"
    leads = f"{pair.a} leads by {lead}, on {pair.wins} of {number}"
    if abs(pair.difference) < LEVEL:
        leads = "They are level"
    return f"{_at_least(study)}. {leads}." if number < study.across.fewest_datasets else f"{leads}."


def _between(interval: tuple[float, float] | None, level: int) -> str:
    return f" ({level} % interval {_span(interval)})" if interval else ""


def _span(interval: tuple[float, float]) -> str:
    return " to ".join(hundredths(end).replace("-", "−") for end in interval)


def _margin(study: StudyResults) -> str:
    return f"±{100 * study.margin:g} points"


def _at_least(study: StudyResults) -> str:
    pairs = len(study.across.pairs)
    asked = f"With {counted(pairs, 'pair')} of variants it takes" if pairs > 1 else "It takes"
    return f"{asked} at least {counted(study.across.fewest_datasets, 'data set')} to show a lead"


def in_cost(study: StudyResults) -> str:
    """How the answers of the two of the headline compare in time and energy; "" where that is not
    known.
    """
    pair, costs = study.across.headline, {each.name: each.costs for each in study.variants}
    if pair is None:
        return ""
    a, b, parts = costs[pair.a], costs[pair.b], []
    if "answer" in a and "answer" in b:
        ratio = b["answer"].low / a["answer"].low
        pace = f"{max(ratio, 1 / ratio):.1f} times {'faster' if ratio > 1 else 'slower'} than"
        parts.append(
            f"answers {'as fast as' if 1 / NOTICEABLE < ratio < NOTICEABLE else pace} {pair.b}"
        )
    if "energy" in a and "energy" in b:
        less, more = a["energy"].below(b["energy"]), b["energy"].below(a["energy"])
        parts += ["takes less energy"] * less + ["takes more energy"] * more
    return f"{pair.a} {' and '.join(parts)}." if parts else ""


def decided(study: StudyResults) -> str:
    """Of how many pairs the question is settled; "" of a single one."""
    pairs = study.across.pairs
    if len(pairs) < 2:
        return ""
    better = sum(pair.conclusion.better for pair in pairs)
    equivalent = sum(pair.conclusion is Conclusion.EQUIVALENT for pair in pairs)
    found = {"one is shown to be better": better, "the two are equivalent": equivalent}
    parts = [f"{what} in {number}" for what, number in found.items() if number]
    left = len(pairs) - better - equivalent
    parts.append(
        "none is open"
        if not left
        else f"{left} {'is' if left == 1 else 'are'} open"
        if parts
        else "all are open"
    )
    return f"Of {counted(len(pairs), 'pair')} of variants, {listed(parts)}."


def standing(variant: Variant, study: StudyResults) -> str:
    """How many others it is shown to be better than, and how many to be worse than: "3, 1"."""
    found = [
        pair
        for pair in study.across.pairs
        if pair.conclusion.better and variant.name in (pair.a, pair.b)
    ]
    better = sum(
        (pair.a == variant.name) == (pair.conclusion is Conclusion.A_BETTER) for pair in found
    )
    return f"{better}, {len(found) - better}"


def conclusion(pair: PairAcross) -> str:
    """What was concluded, in a few words."""
    if pair.conclusion is Conclusion.INCONCLUSIVE:
        return "open: not after adjusting" if pair.after_adjusting else "open"
    if pair.conclusion is Conclusion.EQUIVALENT:
        return "equivalent"
    better = pair.a if pair.conclusion is Conclusion.A_BETTER else pair.b
    return f"{better} better{' (within the margin)' if pair.negligible else ''}"


def sure(test: OnDataset | None) -> str:
    """How sure the difference of two variants on a data set is, by the `test` of a duel that has
    both.
    """
    return _SURE[test.conclusion if test else None]


def settled_first(pairs: Sequence[PairAcross]) -> list[PairAcross]:
    """For a table: the surest first, those that are equivalent after those of which one is
    better.
    """
    order = [
        Conclusion.A_BETTER,
        Conclusion.B_BETTER,
        Conclusion.EQUIVALENT,
        Conclusion.INCONCLUSIVE,
    ]
    return sorted(
        pairs, key=lambda pair: (order.index(pair.conclusion), pair.p_value, -pair.difference)
    )


def whole(name: str) -> str:
    """A variant's name that is not broken within "T = 4"."""
    return name.replace(" = ", "\u00a0=\u00a0")


def interval(pair: PairAcross) -> str:
    """The 95 % interval in points, or that there is none."""
    return _span(pair.ci95) if pair.ci95 else "too few data sets"


def bayes(pair: PairAcross) -> str:
    """The three probabilities of the Bayesian test, in per cent: of a, of no difference, of b."""
    found = pair.posterior
    return " / ".join(hundredths(share, 0) for share in (found.a, found.equivalent, found.b))


def improved(pair: PairAcross) -> str:
    """How probable it is that a training of a beats one of b, with its interval, in per cent."""
    found = pair.improvement
    ends = f" ({' to '.join(hundredths(end, 0) for end in found.ci95)})" if found.ci95 else ""
    return f"{hundredths(found.probability, 0)}{ends}"


def times(cost: Range | None) -> str:
    """How many times the least: "1", "1.3–2.9"; "–" where it is not known."""
    if cost is None:
        return "–"
    low, high = (f"{end:.0f}" if end >= 10 else f"{end:.2g}" for end in (cost.low, cost.high))
    return low if low == high else f"{low}–{high}"


def of_ranks(ranks: Ranks) -> list[str]:
    """What the tests of mean ranks say, a sentence each."""
    over = f"Over the {counted(len(ranks.datasets), 'data set')} that have all {len(ranks.means)} variants"
    said = [
        f"{over}, mean ranks less than {ranks.critical_difference:.2f} apart show no difference "
        f"(Nemenyi, 5 %)."
    ]
    says = "some variants differ" if ranks.friedman <= ALPHA else "no variant is shown to differ"
    said.append(
        f"Friedman's test: {says} ({p_value(ranks.friedman)}). No conclusion of this page rests on "
        f"ranks."
    )
    return said


def settling(study: StudyResults) -> list[str]:
    """What would settle the question of the headline, where it is open."""
    pair = study.across.headline
    if pair is None or pair.conclusion is not Conclusion.INCONCLUSIVE:
        return []
    number, pairs, said = len(pair.differences), len(study.across.pairs), []
    if number < FEWEST_TELLING:
        said.append(f"More data sets: at least {study.across.fewest_datasets} in all.")
    elif pair.datasets_needed is None and pair.difference:
        said.append(
            "More than 200 data sets would be needed to show a lead as small as this one: take it "
            "that the two do not differ by much, or ask on fewer, more alike data sets."
        )
    elif pair.datasets_needed and pair.datasets_needed > number:
        said.append(
            f"About {pair.datasets_needed} data sets in all would show a lead like this one in 80 "
            f"% of cases, if they "
            "differ as these do."
        )
    if pairs > 1:
        alone = (
            f" Two variants alone need {fewest()} data sets at least."
            if number < study.across.fewest_datasets
            else ""
        )
        said.append(
            f"Fewer variants: p-values are adjusted for {pairs} pairs, and fewer pairs ask less of "
            f"each.{alone}"
        )
    return said


def caveat(found: StudyCaveat) -> str:
    """What a careful reader objects, as a sentence."""
    match found:
        case o.FewDatasets(datasets=number, pairs=pairs, smallest_p=smallest, needed=needed):
            among = f", times {pairs} pairs," if pairs > 1 else ""
            return (
                f"Few data sets: with {number} the smallest p-value that Wilcoxon's test can "
                f"reach{among} is {smallest:.3g}, so that no variant can be called better, "
                f"however large its lead. It takes {needed}."
            )
        case o.Leaking(datasets=datasets, without=without):
            said = {
                None: "without them nothing is left to compare",
                Conclusion.EQUIVALENT: "without them the two of the headline are equivalent",
                Conclusion.INCONCLUSIVE: "without them the question of the headline is open",
            }.get(without, "without them one of the two of the headline is better, too")
            return f"Test images leak into training on {listed(datasets)}: scores there measure memory; {said}."
        case o.OneSeed(datasets=datasets):
            return f"One training of a variant on {listed(datasets)}: nothing says how others would differ."
        case o.AtChance(contenders=contenders):
            return f"Not better than chance: {listed([f'{name} on {dataset}' for name, dataset in contenders])}."
        case o.Failed(trials=trials):
            return f"Trainings that failed: {listed([f'{trial} ({folder})' for folder, trial in trials])}."
        case o.Missing(variant=variant, datasets=datasets):
            return f"{variant} has no score on {listed(datasets)}: its pairs are tested on the other data sets."
        case o.NotRanked(variants=variants, datasets=datasets):
            return f"Mean ranks and performance profiles leave out {listed([*variants, *datasets], 12)}."
        case o.Busy(datasets=datasets):
            return f"Other work ran while answers were timed on {listed(datasets)}: these times are left out."


def leaks(study: StudyResults) -> list[str]:
    """Those of the caveats that have to be read before any score."""
    return [caveat(each) for each in study.caveats if isinstance(each, o.Leaking)]


def taken(duel: DuelSummary) -> str:
    """Whom a duel advises to take, or why nobody."""
    return duel.take or _WHY.get(duel.why, "nobody")


def why(duel: DuelSummary) -> str:
    """For what a duel advises it."""
    if duel.why is Reason.BETTER and not (duel.conclusion and duel.conclusion.better):
        return "the others are out"
    return {Reason.BETTER: "better", Reason.HIGHER: "ahead", Reason.FASTER: "faster"}.get(
        duel.why, "–"
    )


def lead(duel: DuelSummary) -> str:
    """How far the one to take is from its rival, with the 95 % interval: "+0.48 (−0.1 to 1.1) to
    vgg-relu".
    """
    if duel.lead is None or duel.ci95 is None:
        return "–"
    return f"{signed(duel.lead)} ({_span(duel.ci95)}) to {duel.rival}"


def settings(duel: DuelSummary) -> str:
    """The varied settings of a duel, in words."""
    return ", ".join(said(axis, value) for axis, value in duel.settings.items()) or "–"


def sentences(study: StudyResults) -> list[str]:
    """The verdict for a terminal, but for `leaks`: the headline, what would settle it, and the
    objections.
    """
    objections = [caveat(each) for each in study.caveats if not isinstance(each, o.Leaking)]
    parts = [
        headline(study),
        in_accuracy(study),
        in_cost(study),
        decided(study),
        *settling(study),
        *objections,
    ]
    return [said_of(part, study.noun) for part in parts if part]
