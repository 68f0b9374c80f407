"""The conclusion in sentences, claiming no more than the trials can bear."""

import math
import statistics
from collections.abc import Sequence

from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Conclusion, Difference, Reservation, smallest_p
from spikeduel.results.trials import Trial
from spikeduel.results.words.caveats import reason
from spikeduel.results.words.numbers import counted, lead, listed, margin, p_value, per_cent, points, signed

SHORTEST_TIMED = 0.1
"""Seconds an epoch below which the clock says more about the machine than about the network."""
FEWEST_TIMED = 3
"""Epochs of each network whose median the first one, which also loads and compiles, cannot make."""

BRIEF = {
    Reservation.FEW_SEEDS: "too few seeds",
    Reservation.FEW_GROUPS: "too few groups of test images",
    Reservation.COMPARISONS: "not after adjusting for the comparisons",
    Reservation.EXACT_TEST: "not by the exact test",
}
"""Each reservation in a few words, for a table."""


def verdict(results: Results) -> str:
    """What the trials showed: accuracies, who is better, by how much, how sure that is, what could overturn it."""
    pairs, num_folds = results.comparison.pairs, len(results.dataset.folds or [])
    if not pairs:
        done = [trial for trial in results.trials if trial.test]
        sentences = [
            f"Accuracy {per_cent(t.test.accuracy, 2)} on {t.test.n:,} test images: {t.title}." for t in done if t.test
        ]
        sentences = sentences or ["No trial was finished: there is nothing to compare."]
    elif len(pairs) == 1:
        sentences = _of_one_pair(pairs[0], num_folds) + _parameters(results, pairs[0])
    else:
        sentences = _of_many_pairs(pairs, num_folds)
    sentences += epoch_times(results)
    if overturned_by := results.comparison.overturned_by:
        sentences.append(f"What could overturn this: {'; '.join(map(reason, overturned_by))}.")
    return " ".join(sentences)


def difference_line(found: Difference, a: str = "a", b: str = "b", num_folds: int | None = None) -> str:
    """One line on a difference, the contenders by name; `num_folds` where each was trained once for every fold."""
    trained = _trainings(found.seeds, num_folds or 0)
    numbers = f"{signed(found.difference)} points, 95 % interval {signed(found.ci95[0])} to {signed(found.ci95[1])}"
    tested = f"p = {found.p_value:.3g} ({found.test}), {found.n:,} test images, {trained}"
    return f"{a} − {b}: {numbers}, {tested}: {conclusion(found, a, b)}."


def conclusion(found: Difference, a: str, b: str) -> str:
    """The conclusion in a few words, with its reservation."""
    text = concluded(found, a, b)
    if found.reservation:
        return f"{text}: {because(found)}"
    if found.negligible and found.conclusion.better:
        return f"{text}, by less than the {margin(found)} that count"
    return text


def concluded(found: Difference, a: str, b: str) -> str:
    """The conclusion alone."""
    better = {Conclusion.A_BETTER: a, Conclusion.B_BETTER: b}.get(found.conclusion)
    return f"{better} is better" if better else found.conclusion.value


def because(found: Difference) -> str:
    """Why neither is better though the interval excludes 0, as a clause."""
    match found.reservation:
        case Reservation.FEW_SEEDS:
            smallest = 2 / math.comb(2 * found.seeds, found.seeds)
            reason = f"with {found.seeds} seeds p cannot fall below {smallest:.2g} (--seeds 6 is enough)"
        case Reservation.FEW_GROUPS:
            groups = counted(found.groups or 0, "group")
            reason = f"with {groups} of test images p cannot fall below {smallest_p(found.groups or 0):.2g}"
        case Reservation.COMPARISONS:
            reason = "not after adjusting for the number of comparisons"
        case _:
            reason = "the exact test does not confirm it"
    return f"the interval excludes 0, but {reason}"


def _trainings(seeds: int, num_folds: int) -> str:
    if seeds == 1:
        return f"one seed in each of {num_folds} folds" if num_folds else "these two trained models"
    return f"{seeds} seeds" + (f" and {num_folds} folds" if num_folds else "")


def _of_one_pair(pair: Pair, num_folds: int) -> list[str]:
    leader, other = pair.leader, pair.other
    trained = (
        "these two trained models only" if pair.seeds == 1 and not num_folds else _trainings(pair.seeds, num_folds)
    )
    scores = f"{leader} {per_cent(pair.accuracy(leader), 2)} and {other} {per_cent(pair.accuracy(other), 2)}"
    sentences = [f"Accuracy on {pair.n:,} test images: {scores} ({trained})."]
    interval = f"95 % interval {lead(pair)}"
    if pair.difference:
        sentences.append(f"{leader} leads by {points(abs(pair.difference))} ({interval}; {p_value(pair.p_value)}).")
    else:
        sentences.append(f"They are level ({interval}).")
    if pair.seeds == 1:
        a, b = (pair.only_a_right, pair.only_b_right) if leader == pair.a else (pair.only_b_right, pair.only_a_right)
        sentences.append(f"{a:,.0f} images only {leader} gets right, {b:,.0f} only {other}.")
    return [*sentences, _meaning(pair)]


def _meaning(pair: Pair) -> str:
    scope = "For these models" if pair.seeds == 1 else "At these settings"
    if pair.conclusion.better:
        text = f"{scope}, {pair.leader} is better"
        return f"{text}, by less than the {margin(pair)} that count." if pair.negligible else f"{text}."
    if pair.conclusion is Conclusion.EQUIVALENT:
        return f"{scope}, they are equivalent: the 90 % interval ({lead(pair, 90)}) lies inside {margin(pair)}."
    if pair.reservation:
        return f"Inconclusive: {because(pair)}."
    return f"Inconclusive: neither is better, nor are they equivalent (within {margin(pair)})."


def _of_many_pairs(pairs: Sequence[Pair], num_folds: int) -> list[str]:
    """The contender with the highest accuracy against each other one, then the rest by conclusion."""
    accuracy: dict[str, float] = {}
    for pair in pairs:
        accuracy.setdefault(pair.a, pair.accuracy_a)
        accuracy.setdefault(pair.b, pair.accuracy_b)
    best = max(accuracy, key=accuracy.__getitem__)
    seeds = max(pair.seeds for pair in pairs)
    trained = f"these {len(accuracy)} trained models only" if seeds == 1 and not num_folds else None
    scores = f"{best} has the highest, {per_cent(accuracy[best], 2)}, of {len(accuracy)} contenders"
    sentences = [f"Accuracy on {pairs[0].n:,} test images: {scores} ({trained or _trainings(seeds, num_folds)})."]
    with_best = [pair for pair in pairs if best in (pair.a, pair.b)]
    sentences += _by_conclusion(with_best, best)
    if rest := [pair for pair in pairs if pair not in with_best]:
        sentences += _by_conclusion(rest, None)
    scope = "" if seeds == 1 else " All of this is at these settings."
    return [
        *sentences,
        f"Brackets: 95 % intervals, in points. p-values are adjusted for {len(pairs)} pairs (Holm).{scope}",
    ]


def _by_conclusion(pairs: Sequence[Pair], best: str | None) -> list[str]:
    """A sentence for each conclusion; of `best` against the others where that is given."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        kind = pair.reservation or ("better" if pair.conclusion.better else pair.conclusion)
        name = pair.other if best == pair.leader else pair.leader if best else f"{pair.leader} and {pair.other}"
        found.setdefault(kind, []).append(f"{name} ({signed(abs(pair.difference))}; {lead(pair)})")
    words: dict[str, str] = {
        "better": f"{best} is better than" if best else "The first is better:",
        Conclusion.EQUIVALENT: f"{best} is equivalent to" if best else "Equivalent:",
        **{
            reason: f"{best} leads {text} over" if best else f"The first leads {text}:"
            for reason, text in _LEADS.items()
        },
        Conclusion.INCONCLUSIVE: f"{best} against the following is inconclusive:" if best else "Inconclusive:",
    }
    return [f"{text} {listed(found[kind])}." for kind, text in words.items() if kind in found]


_LEADS = {
    Reservation.FEW_SEEDS: "(too few seeds to conclude)",
    Reservation.FEW_GROUPS: "(too few groups of test images to conclude)",
    Reservation.COMPARISONS: "(not after adjusting for the comparisons)",
    Reservation.EXACT_TEST: "(not by the exact test)",
}


def _parameters(results: Results, pair: Pair) -> list[str]:
    number = {trial.contender: trial.parameters for trial in results.trials}
    a, b = number.get(pair.a), number.get(pair.b)
    if not a or not b:
        return []
    return [f"Parameters: {pair.a} {a:,}, {pair.b} {b:,}." if a != b else f"Both have {a:,} parameters."]


def epoch_times(results: Results) -> list[str]:
    """How long an epoch of a spiking network takes against one of another, twin by twin where there are twins."""
    if len(results.contenders) > 2:
        pairs = [([spiking], [other]) for spiking, other in results.twins]
    else:
        names = [[t.contender for t in results.trials if t.spiking is spiking] for spiking in (True, False)]
        pairs = [(names[0], names[1])]
    found = [_ratio(results.trials, spiking, others) for spiking, others in pairs]
    return [sentence for sentence in found if sentence]


def _ratio(trials: Sequence[Trial], spiking: Sequence[str], others: Sequence[str]) -> str | None:
    seconds = [[s for t in trials if t.contender in names for s in t.epoch_seconds] for names in (spiking, others)]
    if min(map(len, seconds)) < FEWEST_TIMED:
        return None
    first, second = map(statistics.median, seconds)
    if min(first, second) < SHORTEST_TIMED:
        return None
    names = f"{spiking[0]} {first:.1f} s, {others[0]} {second:.1f} s"
    return f"Epoch time (median on this machine): {names}, a ratio of {first / second:.1f}."
