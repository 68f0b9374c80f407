"""The conclusion in plain words, claiming no more than the trials can bear."""

import statistics
from collections.abc import Sequence
from typing import Any

from spikeduel.results.significance.reservations import reserved
from spikeduel.results.significance.variances import FEWEST_SEEDS, MOST_SEEDS

SHORTEST_TIMED = 0.1
"""Seconds an epoch below which the clock says more about the machine than about the network."""

FEWEST_TIMED = 3
"""Epochs of each family whose median the first one, which also loads and compiles, cannot make."""

TUNED = "more trials of tuning, or wider ranges for it"
UNTUNED = "other settings, which were tuned for none of them"
"""What would overturn a verdict, unless settings were searched for each contender."""
MOST_NAMED = 6


def verdict(
    trials: Sequence[dict[str, Any]],
    pairs: Sequence[dict[str, Any]],
    shared_groups: float = 0.0,
    tuned: bool = False,
    few_groups: str | None = None,
) -> str:
    """What the trials showed, in words, from results.json's `trials` and `pairs`.

    Who is better, by how much, how sure that is, what it costs, and what would overturn it. `shared_groups` is the
    share of test images with relatives in training, `tuned` whether each contender has been tuned, `few_groups` what
    `more_groups` says of the data.
    """
    compared = [pair for pair in pairs if pair["seeds"]]
    num_folds = len({trial.get("fold") for trial in trials} - {None})
    if not compared:
        done = [trial for trial in trials if trial["test"]]
        sentences = [
            f"{title(t)}, is right on {t['test']['accuracy']:.2%} of {t['test']['n']:,} test images." for t in done
        ] or ["No trial was finished: there is nothing to compare."]
    elif len(compared) == 1:
        sentences = [_of_pair(compared[0], num_folds)]
    else:
        sentences = _of_many(compared, num_folds)
    if len(compared) == 1 and (parameters := _parameters(trials, compared[0])):
        sentences.append(parameters)
    if speed := speed_ratio(trials):
        sentences.append(speed)
    if compared:
        sentences.append(_overturned_by(compared, shared_groups, tuned, few_groups))
    return " ".join(sentences)


def title(trial: dict[str, Any], joined: str = ",") -> str:
    fold = trial.get("fold")
    return f"{trial['contender']}{joined} seed {trial['seed']}" + ("" if fold is None else f", fold {fold}")


def _of_pair(pair: dict[str, Any], num_folds: int) -> str:
    leader, other = _by_accuracy(pair)
    accuracy = {pair["a"]: pair["accuracy_a"], pair["b"]: pair["accuracy_b"]}
    if pair["seeds"] == 1:
        return _of_one_seed(pair, leader, other, accuracy, num_folds)
    folds = f" and {num_folds} folds" if num_folds else ""
    scores = (
        f"over {pair['seeds']} seeds{folds}, {leader} is right on {accuracy[leader]:.2%} of {pair['n']:,} test images "
        f"on average and {other} on {accuracy[other]:.2%}"
    )
    points, sure = _points(abs(pair["difference"])), f"({_interval(pair)}; {p_value(pair['p_value'])})"
    if pair["conclusion"].endswith("_better"):
        said = f"{leader} is better than {other} at these settings: {scores}, a lead of {points} {sure}."
        if pair["negligible"]:
            said += f" It is a real lead and a small one: inside the {_margin(pair)} that count as no difference."
        return said
    if pair["conclusion"] == "equivalent":
        low, high = _towards(pair, "ci90")
        return (
            f"{pair['a']} and {pair['b']} are equivalent at these settings: {scores}, and {leader}'s lead lies between "
            f"{low} and {high} points (90 % interval), inside the ±{_margin(pair)} that count as no difference."
        )
    if reason := reserved(pair):
        return f"Inconclusive at these settings: {scores}, {points} apart {sure}. {_sentence(reason)}"
    return (
        f"Inconclusive at these settings: {scores}, {points} apart {sure}. That neither shows one to be better "
        f"nor shows them to be equivalent, that is, within {_margin(pair)} of each other."
    )


def _of_one_seed(pair: dict[str, Any], leader: str, other: str, accuracy: dict[str, float], num_folds: int) -> str:
    """No more than these two trained models, or with folds these trainings."""
    only = {pair["a"]: pair["only_a_right"], pair["b"]: pair["only_b_right"]}
    if pair["difference"] == 0:
        both = f"{leader} and {other}"
        who = (
            f"Trained once for each of {num_folds} folds, {both}" if num_folds else f"These two trained models, {both},"
        )
        # The p-value of no difference at all is 1, and tells nothing that these numbers do not.
        said = (
            f"{who} are right on equally many of {pair['n']:,} test images ({accuracy[leader]:.2%}; {_interval(pair)}; "
            f"{only[leader]:,.0f} images only {leader} gets right, as many only {other})."
        )
    else:
        who = f"Trained once for each of {num_folds} folds" if num_folds else "Of these two trained models"
        said = (
            f"{who}, {leader} is right on {accuracy[leader]:.2%} of {pair['n']:,} test images "
            f"and {other} on {accuracy[other]:.2%}: {_points(abs(pair['difference']))} apart ({_interval(pair)}; "
            f"{only[leader]:,.0f} images only {leader} gets right, {only[other]:,.0f} only {other})."
        )
    return said + _of_luck(pair)


def _of_luck(pair: dict[str, Any]) -> str:
    """What the choice of test images explains of one seed's difference."""
    chance = p_value(pair["p_value"])
    if pair["conclusion"] == "equivalent":
        return f" Between these two, that is no difference: it lies inside ±{_margin(pair)}."
    if reason := reserved(pair):
        return f" {_sentence(reason)[:-1]} ({chance})."
    if pair["conclusion"] == "inconclusive" and pair["difference"] == 0:
        return f" Other test images could show a difference beyond the {_margin(pair)} that count as none."
    if pair["conclusion"] == "inconclusive":
        return f" Which images happened to be in the test set could explain that ({chance})."
    small = f", yet inside the {_margin(pair)} that count as no difference" if pair["negligible"] else ""
    return f" That is more than the choice of test images explains ({chance}){small}."


def _of_many(pairs: Sequence[dict[str, Any]], num_folds: int) -> list[str]:
    """The contender with the highest accuracy against each other one, then the rest by conclusion."""
    accuracy: dict[str, float] = {}
    for pair in pairs:
        accuracy.setdefault(pair["a"], pair["accuracy_a"])
        accuracy.setdefault(pair["b"], pair["accuracy_b"])
    best = max(accuracy, key=accuracy.__getitem__)
    seeds, n = max(pair["seeds"] for pair in pairs), pairs[0]["n"]
    one = seeds == 1
    folds = f" and {num_folds} folds" if num_folds else ""
    among = f"Of {len(accuracy)} contenders over {seeds} seeds{folds}"
    if one and num_folds:
        among = f"Of {len(accuracy)} contenders, trained once for each of {num_folds} folds"
    elif one:
        among = f"Of these {len(accuracy)} trained models"
    average = "" if one else " on average"
    said = [f"{among}, {best} is most often right: on {accuracy[best]:.2%} of {n:,} test images{average}."]
    own = [pair for pair in pairs if best in (pair["a"], pair["b"])]
    told = _groups(own, best, one)
    if told:
        said.append(f"It is {'; '.join(told)}.")
    if rest := [pair for pair in pairs if pair not in own]:
        said.append(f"Among the others: {'; '.join(_groups(rest, None, one))}.")
    said.append(
        f"Leads come with their 95 % intervals, and conclusions are adjusted for {len(pairs)} comparisons "
        "(Holm)." + ("" if one else " All this is at these settings.")
    )
    return said


def _groups(pairs: Sequence[dict[str, Any]], best: str | None, one: bool) -> list[str]:
    """What was concluded of `pairs`, a phrase a conclusion; against `best` where that is given."""
    ahead = "ahead, by more than the choice of test images explains, of" if one else "better than"
    phrases: dict[str, list[str]] = {}
    for pair in pairs:
        leader, other = _by_accuracy(pair)
        better, reason = pair["conclusion"].endswith("_better"), reserved(pair)
        kind = reason or ("better" if better else pair["conclusion"])
        if best is None:
            name = f"{pair['a']} and {pair['b']}"
            if better or reason:
                name = f"{leader} {'than' if better and not one else 'ahead of'} {other}"
        else:
            points = _points(abs(pair["difference"]))
            lead = f"by {points}" if better or reason else f"{points} ahead"
            name = f"{other if leader == best else leader} ({lead}, {_range(pair)})"
        phrases.setdefault(kind, []).append(name)
    words = {
        "better": ahead if best else ("ahead beyond the choice of test images:" if one else "better:"),
        "equivalent": "equivalent to" if best else "equivalent:",
        **dict.fromkeys([kind for kind in phrases if kind.startswith("the interval")], "ahead of" if best else ""),
        "inconclusive": "not clearly better or worse than, nor equivalent to," if best else "inconclusive:",
    }
    return [
        f"{words[kind]} {listed(phrases[kind])}{f', where {kind}' if kind.startswith('the interval') else ''}".strip()
        for kind in words
        if kind in phrases
    ]


def listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} more"
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _parameters(trials: Sequence[dict[str, Any]], pair: dict[str, Any]) -> str | None:
    number = {t["contender"]: t.get("parameters") for t in trials if t["contender"] in (pair["a"], pair["b"])}
    if not all(number.get(name) for name in (pair["a"], pair["b"])):
        return None
    return f"{pair['a']} has {number[pair['a']]:,} parameters, {pair['b']} {number[pair['b']]:,}."


def _overturned_by(
    pairs: Sequence[dict[str, Any]], shared_groups: float, tuned: bool, few_groups: str | None = None
) -> str:
    """What would change the verdict, as one sentence."""
    reasons = []
    if shared_groups:
        reasons.append(
            f"a split that keeps relatives together ({shared_groups:.0%} of test images have some in training)"
        )
    if few_groups:
        reasons.append(few_groups)
    seeds = max(pair["seeds"] for pair in pairs)
    open_pairs = [pair for pair in pairs if pair["conclusion"] == "inconclusive"]
    if seeds == 1:
        reasons.append("another training (one seed says nothing of its luck; the same command with --seeds 6 does)")
    elif open_pairs and seeds < FEWEST_SEEDS:
        reasons.append(
            f"more seeds (fewer than {FEWEST_SEEDS} cannot make a lead conclusive, however large; --seeds 6 can)"
        )
    elif open_pairs:
        needed = [pair["seeds_needed"] for pair in open_pairs]
        margin, at_best = _margin(open_pairs[0]), max(pair["detectable_at_best"] for pair in open_pairs)
        if None not in needed:
            reasons.append(f"more seeds (about {max(needed)} would show a difference of {margin}, if there is one)")
        elif at_best > open_pairs[0]["margin"]:
            more = (
                f"more test images (on these, any number of seeds shows differences from about {_points(at_best)} up)"
            )
            # With few groups, it has been said which images are wanted.
            reasons += [] if few_groups else [more]
        else:
            reasons.append(f"more than {MOST_SEEDS} seeds (so many it would take to show a difference of {margin})")
    reasons.append(TUNED if tuned else UNTUNED)
    return f"What could overturn this: {'; '.join(reasons)}."


def _by_accuracy(pair: dict[str, Any]) -> tuple[str, str]:
    return (pair["a"], pair["b"]) if pair["difference"] >= 0 else (pair["b"], pair["a"])


def _towards(pair: dict[str, Any], interval: str) -> tuple[str, str]:
    """The interval of the leader's lead, in points."""
    low, high = pair[interval] if pair["difference"] >= 0 else (-pair[interval][1], -pair[interval][0])
    return f"{100 * low:.2f}".replace("-", "−"), f"{100 * high:.2f}".replace("-", "−")


def _range(pair: dict[str, Any]) -> str:
    return " to ".join(_towards(pair, "ci95"))


def _interval(pair: dict[str, Any]) -> str:
    return f"95 % interval {_range(pair)}"


def _points(share: float) -> str:
    return f"{100 * share:.2f} points"


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."


def _margin(pair: dict[str, Any]) -> str:
    return f"{100 * pair['margin']:g} points"


def p_value(p: float) -> str:
    """A p-value in words: "p = 0.031", "p < 0.001", "p = 1"."""
    number = p_number(p)
    return f"p {number}" if number.startswith("<") else f"p = {number}"


def p_number(p: float) -> str:
    """A p-value in three digits. Three digits of 1 would look like certainty: it is no evidence, either way."""
    if p < 0.001:
        return "< 0.001"
    return "1" if p >= 0.9995 else f"{p:.3f}"


def speed_ratio(trials: Sequence[dict[str, Any]]) -> str | None:
    """How long an SNN epoch takes against a CNN epoch, where both were trained; pair by pair where there are twins."""
    pairs = twins(trials)
    if pairs and len({trial["contender"] for trial in trials}) > 2:
        told = [
            _ratio([t for t in trials if t["contender"] in pair], f"An epoch of {pair[0]}", f"one of {pair[1]}")
            for pair in pairs
        ]
        return " ".join(filter(None, told)) or None
    return _ratio(trials, "An SNN epoch", "a CNN epoch")


def _ratio(trials: Sequence[dict[str, Any]], one: str, other: str) -> str | None:
    seconds = {
        family: [s for t in trials if t["family"] == family for s in t["epoch_seconds"]] for family in ("snn", "cnn")
    }
    if min(map(len, seconds.values())) < FEWEST_TIMED:
        return None
    snn, cnn = (statistics.median(seconds[family]) for family in ("snn", "cnn"))
    if min(snn, cnn) < SHORTEST_TIMED:
        return None
    return (
        f"{one} took {snn:.1f} s and {other} {cnn:.1f} s here (medians; other work on the machine distorts "
        f"them): a ratio of {snn / cnn:.1f}."
    )


def twins(trials: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """The pairs (spiking contender, other) whose weights are the same, name for name and shape for shape."""
    spiking, others = (
        {
            t["contender"]: t["weights"]
            for t in trials
            if t["family"] == family and t.get("weights") and not t.get("converted_from")
        }
        for family in ("snn", "cnn")
    )
    return [(a, b) for a, of_a in spiking.items() for b, of_b in others.items() if of_a == of_b]
