"""The conclusion in sentences, claiming no more than the trials can bear."""

import statistics
from collections.abc import Sequence

from spikeduel.results.controlled import ControlRow
from spikeduel.results.findings import is_leak, with_id
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import (
    FEWEST_GROUPS,
    Conclusion,
    Difference,
    Reservation,
    smallest_p,
)
from spikeduel.results.trials import ControlResult
from spikeduel.results.uncertainty import ADVISED_SEEDS
from spikeduel.results.words.findings import sentence
from spikeduel.results.words.numbers import lead, margin, p_value, per_cent, points, signed
from spikeduel.system.sentences import counted, listed

SHORTEST_TIMED = 0.1
"""Seconds an epoch below which the clock says more about the machine than about the network."""
FEWEST_TIMED = 3
"""Epochs of each network whose median the first one, which also loads and compiles, cannot make."""
LEAKAGE = (
    "Leakage: training holds relatives or copies of test images (see the caveats). The following "
    "scores measure memory as much as recognition."
)
BRIEF = {
    Reservation.FEW_SEEDS: "too few seeds",
    Reservation.FEW_GROUPS: "too few groups of test images",
    Reservation.COMPARISONS: "not after adjusting for the comparisons",
    Reservation.EXACT_TEST: "not by the exact test",
    Reservation.CONTROL_AT_CHANCE: "the control learned nothing",
}
"""Each reservation in a few words, for a table."""


def verdict(results: Results) -> str:
    """What the trials showed: accuracies, who is better, by how much, how sure that is, what could
    overturn it.
    """
    pairs, num_folds = results.comparison.pairs, len(results.dataset.folds or [])
    before = [LEAKAGE] if any(map(is_leak, results.comparison.caveats)) else []
    if len(pairs) == 1:
        (pair,), number = pairs, {trial.contender: trial.parameters for trial in results.trials}
        sentences, a, b = _of_one_pair(pair, num_folds), number.get(pair.a), number.get(pair.b)
        if a and b:
            both = f"Both have {a:,} parameters."
            sentences.append(both if a == b else f"Parameters: {pair.a} {a:,}, {pair.b} {b:,}.")
    elif pairs:
        sentences = _of_many_pairs(pairs, num_folds)
    else:
        tested = [(trial.title, trial.test) for trial in results.trials if trial.test]
        sentences = [
            f"Accuracy {per_cent(t.accuracy, 2)} on {counted(t.n, 'test image')}: {title}."
            for title, t in tested
        ]
        sentences = sentences or ["No trial was finished: there is nothing to compare."]
    sentences += neither_of_the_twins(results) + epoch_times(results)
    if overturned_by := results.comparison.overturned_by:
        sentences.append(f"What could overturn this: {'; '.join(map(sentence, overturned_by))}.")
    return " ".join([*before, *sentences])


def neither_of_the_twins(results: Results) -> list[str]:
    """Whom to take in place of either twin, where somebody is better than both."""
    if (found := results.comparison.neither) is None:
        return []
    trained = {trial.contender: trial.pretrained for trial in results.trials}
    what = ", fine-tuned from pretrained weights," if trained.get(found.contender) else ""
    pairs, them = (
        "; ".join(map(" and ".join, found.twins)),
        "both" if len(found.twins) == 1 else "all of them",
    )
    seeds = max(pair.seeds for pair in results.comparison.pairs)
    these = "" if seeds > 1 else "of these trained models, "
    better = f"{these}{found.contender}{what} is better than {them}"
    return [f"If accuracy decides, take neither of the twins ({pairs}): {better}."]


def difference_line(
    found: Difference, a: str = "a", b: str = "b", num_folds: int | None = None
) -> str:
    """One line on a difference, the contenders by name; `num_folds` where each was trained once for
    every fold.
    """
    trained = _trainings(found.seeds, num_folds or 0, "these two trained models")
    numbers = f"{signed(found.difference)} points, 95 % interval {signed(found.ci95[0])} to {signed(found.ci95[1])}"
    tested = f"p = {found.p_value:.3g} ({found.test}), {counted(found.n, 'test image')}, {trained}"
    return f"{a} − {b}: {numbers}, {tested}: {conclusion(found, a, b)}."


def conclusion(found: Difference, a: str, b: str) -> str:
    """The conclusion in a few words, with its reservation."""
    return concluded(found, a, b) + (
        f": {because(found)}" if found.reservation else _negligible(found)
    )


def concluded(found: Difference, a: str, b: str) -> str:
    """The conclusion alone."""
    better = {Conclusion.A_BETTER: a, Conclusion.B_BETTER: b}.get(found.conclusion)
    return f"{better} is better" if better else found.conclusion.value


def _negligible(found: Difference) -> str:
    small = found.negligible and found.conclusion.better
    return f", by less than the {margin(found)} that count" if small else ""


def because(found: Difference) -> str:
    """Why neither is better, as a clause: mostly though the interval excludes 0."""
    match found.reservation:
        case Reservation.FEW_SEEDS:
            enough = f"--seeds {ADVISED_SEEDS} is enough"
            why = f"with {found.seeds} seeds p cannot fall below {found.smallest_p:.2g} ({enough})"
        case Reservation.FEW_GROUPS:
            groups = found.groups or 0
            if found.seeds == 1 and groups < FEWEST_GROUPS:
                why = f"with {counted(groups, 'group')} of test images p cannot fall below {smallest_p(groups):.2g}"
            else:
                weigh = f"{found.effective_groups or groups:.2g} groups of equal size"
                why = f"the test images count as {weigh}, and it takes {FEWEST_GROUPS} to call one better"
        case Reservation.COMPARISONS:
            why = "not after adjusting for the number of comparisons"
        case Reservation.CONTROL_AT_CHANCE:
            return "the control learned nothing (not shown to be better than a constant answer)"
        case _:
            why = "the exact test does not confirm it"
    return f"the interval excludes 0, but {why}"


def _trainings(seeds: int, num_folds: int, models: str) -> str:
    """What was trained; `models` where that is one of each contender."""
    if seeds == 1:
        return f"one seed in each of {num_folds} folds" if num_folds else models
    return f"{seeds} seeds" + (f" and {num_folds} folds" if num_folds else "")


def _of_one_pair(pair: Pair, num_folds: int) -> list[str]:
    leader, other = pair.leader, pair.other
    trained = _trainings(pair.seeds, num_folds, "these two trained models only")
    scores = f"{leader} {per_cent(pair.accuracy(leader), 2)} and {other} {per_cent(pair.accuracy(other), 2)}"
    interval = f"95 % interval {lead(pair)}"
    sentences = [f"Accuracy on {counted(pair.n, 'test image')}: {scores} ({trained})."]
    if pair.difference:
        sentences.append(
            f"{leader} leads by {points(abs(pair.difference))} ({interval}; "
            f"{p_value(pair.p_value)})."
        )
    else:
        sentences.append(f"They are level ({interval}).")
    if pair.seeds == 1:
        only = {pair.a: pair.only_a_right, pair.b: pair.only_b_right}
        alone = counted(round(only[leader]), "image")
        sentences.append(f"{alone} only {leader} gets right, {only[other]:,.0f} only {other}.")
    return [*sentences, _meaning(pair)]


def _meaning(pair: Pair) -> str:
    scope = "For these models" if pair.seeds == 1 else "At these settings"
    if pair.conclusion.better:
        return f"{scope}, {pair.leader} is better{_negligible(pair)}."
    if pair.conclusion is Conclusion.EQUIVALENT:
        return f"{scope}, they are equivalent: the 90 % interval ({lead(pair, 90)}) lies inside {margin(pair)}."
    if pair.reservation:
        return f"Inconclusive: {because(pair)}."
    return f"Inconclusive: neither is better, nor are they equivalent (within {margin(pair)})."


def _of_many_pairs(pairs: Sequence[Pair], num_folds: int) -> list[str]:
    """The contender with the highest accuracy against each other one, then the rest by
    conclusion.
    """
    accuracy: dict[str, float] = {}
    for pair in pairs:
        accuracy.setdefault(pair.a, pair.accuracy_a)
        accuracy.setdefault(pair.b, pair.accuracy_b)
    best = max(accuracy, key=accuracy.__getitem__)
    seeds = max(pair.seeds for pair in pairs)
    trained = _trainings(seeds, num_folds, f"these {len(accuracy)} trained models only")
    scores = f"{best} has the highest, {per_cent(accuracy[best], 2)}, of {len(accuracy)} contenders"
    scope = "" if seeds == 1 else " All of this is at these settings."
    return [
        f"Accuracy on {counted(pairs[0].n, 'test image')}: {scores} ({trained}).",
        *_by_conclusion([pair for pair in pairs if best in (pair.a, pair.b)], best),
        *_by_conclusion([pair for pair in pairs if best not in (pair.a, pair.b)], None),
        f"Brackets: 95 % intervals, in points. p-values are adjusted for {len(pairs)} pairs "
        f"(Holm).{scope}",
    ]


def _by_conclusion(pairs: Sequence[Pair], best: str | None) -> list[str]:
    """A sentence for each conclusion; of `best` against the others where that is given."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        kind = pair.reservation or ("better" if pair.conclusion.better else pair.conclusion)
        link = "and" if kind in (Conclusion.EQUIVALENT, Conclusion.INCONCLUSIVE) else "over"
        name = (
            pair.other
            if best == pair.leader
            else pair.leader
            if best
            else f"{pair.leader} {link} {pair.other}"
        )
        found.setdefault(kind, []).append(f"{name} ({signed(abs(pair.difference))}; {lead(pair)})")
    words: dict[str, str] = {
        "better": f"{best} is better than" if best else "Better:",
        Conclusion.EQUIVALENT: f"{best} is equivalent to" if best else "Equivalent:",
        **{
            why: f"{best} leads ({text}) over" if best else f"Leads that are not shown ({text}):"
            for why, text in BRIEF.items()
        },
        Conclusion.INCONCLUSIVE: f"{best} against the following is inconclusive:"
        if best
        else "Inconclusive:",
    }
    return [f"{text} {listed(found[kind])}." for kind, text in words.items() if kind in found]


def epoch_times(results: Results) -> list[str]:
    """How long an epoch of a spiking network takes against one of another, twin by twin where there
    are twins.

    Not where a caveat says that these times do not compare: the machine was busy, or one computed
    in another precision.
    """
    caveats = results.comparison.caveats
    if with_id(caveats, "busy_machine"):
        return []
    apart = {
        name for finding in with_id(caveats, "in_float32") for name in finding.values["contenders"]
    }
    spiking = {trial.contender: trial.spiking for trial in results.trials}
    two = [(a, b) for a in spiking for b in spiking if spiking[a] and not spiking[b]]
    sentences = []
    for pair in results.twins if len(spiking) > 2 else two:
        seconds = [
            [s for t in results.trials if t.contender == name for s in t.epoch_seconds]
            for name in pair
        ]
        if min(map(len, seconds)) < FEWEST_TIMED or (pair[0] in apart) != (pair[1] in apart):
            continue
        first, second = map(statistics.median, seconds)
        if min(first, second) >= SHORTEST_TIMED:
            names = f"{pair[0]} {first:.1f} s, {pair[1]} {second:.1f} s"
            sentences.append(
                f"Epoch time (median on this machine): {names}, a ratio of {first / second:.1f}."
            )
    return sentences


def titled(control: ControlRow | ControlResult) -> str:
    """What a control is called, with the bits of its activations where they are few."""
    return f"{control.title} ({counted(control.bits, 'bit')})" if control.bits else control.title
