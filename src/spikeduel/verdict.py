"""The conclusion in plain words, claiming no more than the trials can bear."""

import statistics
from collections.abc import Sequence
from typing import Any

from spikeduel.settings import Experiment

SMALL_TEST_SET = 500
SHORTEST_TIMED = 0.1
"""Seconds an epoch below which the clock says more about the machine than about the network."""


def verdict(trials: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> str:
    """What the trials showed, in words, from results.json's `trials` and `pairs`."""
    sentences = [_of_pair(pair) for pair in pairs if pair["seeds"]]
    if not sentences:
        done = [trial for trial in trials if trial["test"]]
        sentences = [
            f"{t['contender']}, seed {t['seed']}, is right on {t['test']['accuracy']:.1%} of "
            f"{t['test']['n']:,} test images."
            for t in done
        ] or ["No trial was finished: there is nothing to compare."]
    if speed := speed_ratio(trials):
        sentences.append(speed)
    return " ".join(sentences)


def _of_pair(pair: dict[str, Any]) -> str:
    winner, loser = (pair["a"], pair["b"]) if pair["difference"] >= 0 else (pair["b"], pair["a"])
    only = {pair["a"]: pair["only_a_right"], pair["b"]: pair["only_b_right"]}
    accuracy = {pair["a"]: pair["accuracy_a"], pair["b"]: pair["accuracy_b"]}
    points = 100 * abs(pair["difference"])
    if pair["seeds"] > 1:
        ahead = pair["seeds_a_ahead"] if winner == pair["a"] else pair["seeds_b_ahead"]
        lead = f"{points:.1f} points apart; {winner} was ahead with {ahead} of the {pair['seeds']} seeds"
        return (
            f"Over {pair['seeds']} seeds, {winner} is right on {accuracy[winner]:.1%} of {pair['n']:,} test images on "
            f"average and {loser} on {accuracy[loser]:.1%}: {lead if points else 'no difference'}. "
            "No test of significance has been made."
        )
    if pair["difference"] == 0:
        return (
            f"These two trained models, {winner} and {loser}, are right on equally many of {pair['n']:,} test images "
            f"({accuracy[winner]:.1%}). One seed cannot tell whether that is luck."
        )
    return (
        f"Of these two trained models, {winner} is right on {accuracy[winner]:.1%} of {pair['n']:,} test images and "
        f"{loser} on {accuracy[loser]:.1%}: {points:.1f} points apart ({only[winner]:,.0f} images only {winner} gets "
        f"right, {only[loser]:,.0f} only {loser}). One seed cannot tell whether another training would end the same "
        "way; the same command with --seeds 6 would."
    )


def speed_ratio(trials: Sequence[dict[str, Any]]) -> str | None:
    """How long an SNN epoch takes against a CNN epoch, where both were trained; pair by pair where there are twins."""
    pairs = twins(trials)
    if pairs and len({trial["contender"] for trial in trials}) > 2:
        told = [
            _ratio([t for t in trials if t["contender"] in pair], f"An epoch of {pair[0]}", f"one of {pair[1]}")
            for pair in pairs
        ]
        return " ".join(filter(None, told)) or None
    ratio = _ratio(trials, "An SNN epoch", "a CNN epoch")
    return ratio and f"{ratio} The study reports 1.5."


def _ratio(trials: Sequence[dict[str, Any]], one: str, other: str) -> str | None:
    seconds = {
        family: [s for t in trials if t["family"] == family for s in t["epoch_seconds"]] for family in ("snn", "cnn")
    }
    if not all(seconds.values()):
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
        {t["contender"]: t["weights"] for t in trials if t["family"] == family and t.get("weights")}
        for family in ("snn", "cnn")
    )
    return [(a, b) for a, of_a in spiking.items() for b, of_b in others.items() if of_a == of_b]


def _of_twins(pairs: Sequence[tuple[str, str]], num_contenders: int) -> str:
    listed = "; ".join(f"{snn} and {cnn}" for snn, cnn in pairs)
    if num_contenders == 2:
        return f"{listed} have the same weights, shape for shape: a difference between them is the activation's."
    return (
        f"Twins, with the same weights shape for shape: {listed}. A difference within such a pair is the activation's; "
        "any others differ in shape as well, and what sets them apart cannot be put down to spikes alone."
    )


def _at_chance(test: dict[str, Any]) -> bool:
    chance = max(row["support"] for row in test["per_class"]) / test["n"]
    # Two standard errors: a lucky guesser is not taken for one who has learned.
    return test["accuracy"] <= chance + 2 * (chance * (1 - chance) / test["n"]) ** 0.5


def caveats(experiment: Experiment, dataset: dict[str, Any], trials: Sequence[dict[str, Any]]) -> list[str]:
    """What a careful reader would object, as sentences."""
    said = []
    if (shared := dataset["shared_groups"]) and shared > 0:
        said.append(
            f"LEAKAGE: {shared:.0%} of the test images come from a group (a person, or a set of duplicates) that is "
            "also in training. These scores measure memory as much as recognition; --split default keeps groups whole."
        )
    if experiment.seeds == 1:
        said.append("One seed: differences of a point or more can be luck of initialisation and order.")
    if (num_test := dataset["counts"]["test"]) < SMALL_TEST_SET:
        said.append(f"Only {num_test:,} test images: a single image is worth {100 / num_test:.1f} points.")
    if at_chance := sorted({trial["contender"] for trial in trials if trial["test"] and _at_chance(trial["test"])}):
        said.append(
            f"{' and '.join(at_chance)} did no better than always naming the most frequent class: not trained for long "
            "enough (--epochs), or unable to learn this."
        )
    if pairs := twins(trials):
        said.append(_of_twins(pairs, len({trial["contender"] for trial in trials})))
    elif len({trial["family"] for trial in trials}) > 1:
        said.append(
            "These networks differ in shape as well as in spiking, which confounds spiking with, for example, "
            "convolution: a difference cannot be put down to spikes alone."
        )
    said.append("Learning rate and all other settings are the same for every contender and tuned for none.")
    if len({trial["epochs"] for trial in trials}) > 1:
        said.append("The contenders ran different numbers of epochs, by the same stopping rule.")
    unfinished = sorted({trial["contender"] for trial in trials if trial["stopped"] == "limit"})
    if unfinished:
        said.append(
            f"{' and '.join(unfinished)} ran until the limit of epochs ({experiment.epochs}) and might gain from more."
        )
    if experiment.limit is not None:
        said.append(f"Training and validation were limited to {experiment.limit:,} images.")
    if failed := [f"{t['contender']} with seed {t['seed']}" for t in trials if t["status"] == "failed"]:
        said.append(f"Failed and left out: {', '.join(failed)}.")
    return said + dataset["notes"]
