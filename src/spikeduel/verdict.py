"""The conclusion in plain words, claiming no more than the trials can bear."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from spikeduel.settings import Experiment

SMALL_TEST_SET = 500
SHORTEST_TIMED = 0.1
"""Seconds an epoch below which the clock says more about the machine than about the network."""

STILL_RISING = 0.005
"""Gain in the expected best, from half the trials to all, above which more trials are worth naming: half a point."""


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
    """How long an SNN epoch takes against a CNN epoch, where both were trained."""
    seconds = {
        family: [s for t in trials if t["family"] == family for s in t["epoch_seconds"]] for family in ("snn", "cnn")
    }
    if not all(seconds.values()):
        return None
    snn, cnn = (statistics.median(seconds[family]) for family in ("snn", "cnn"))
    if min(snn, cnn) < SHORTEST_TIMED:
        return None
    return (
        f"An SNN epoch took {snn:.1f} s and a CNN epoch {cnn:.1f} s here (medians; other work on the machine distorts "
        f"them): a ratio of {snn / cnn:.1f}. The study reports 1.5."
    )


def _at_chance(test: dict[str, Any]) -> bool:
    chance = max(row["support"] for row in test["per_class"]) / test["n"]
    # Two standard errors: a lucky guesser is not taken for one who has learned.
    return test["accuracy"] <= chance + 2 * (chance * (1 - chance) / test["n"]) ** 0.5


def in_words(settings: Mapping[str, float | None]) -> str:
    """Settings and their values as text; an unset one has its customary value."""
    return ", ".join(f"{name} {'customary' if value is None else f'{value:g}'}" for name, value in settings.items())


def tuning_caveats(experiment: Experiment, tuning: Mapping[str, Any] | None) -> list[str]:
    """What was tuned and what that leaves open; `tuning` is the content of tuning.json, or None."""
    own = experiment.per_contender
    if tuning is None and own is None:
        return ["Learning rate and all other settings are the same for every contender and tuned for none."]
    if tuning is None:
        each = "; ".join(f"{name}: {in_words(settings)}" for name, settings in (own or {}).items())
        return [
            f"Contenders have settings of their own ({each}). Nothing here shows that each was tuned equally, at the "
            "other settings and on the data of this comparison, and without its test set."
        ]
    return [
        f"Each contender was tuned with {tuning['num_trials']} trials of at most {tuning['experiment']['epochs']} "
        "epochs, the first at the settings given and the others drawn at random, judged on validation images with one "
        "seed. All other settings are the same for every contender.",
        *tuning_limits(tuning),
    ]


def tuning_limits(tuning: Mapping[str, Any]) -> list[str]:
    """Where a tuning may have found too little, as sentences."""
    said = []
    num_trials, contenders = tuning["num_trials"], tuning["contenders"]
    if rising := [each for each in contenders if each["gain_of_last_doubling"] > STILL_RISING]:
        gains = " and ".join(f"that of {e['contender']} by {100 * e['gain_of_last_doubling']:.1f}" for e in rising)
        said.append(
            f"From {num_trials // 2} to {num_trials} trials the expected best validation accuracy still rose, {gains} "
            "points: more trials might bring more."
        )
    numbers = [len(each["tuned"]) for each in contenders]
    if len(set(numbers)) > 1:
        counts = ", ".join(f"{each['contender']} {n}" for each, n in zip(contenders, numbers, strict=True))
        said.append(f"The same number of trials covers the choices of some more thinly; settings tuned: {counts}.")
    for each in contenders:
        if failed := sum(entry["status"] == "failed" for entry in each["trials"]):
            said.append(f"{failed} of the {num_trials} tuning trials of {each['contender']} failed.")
        if each["best"] is None:
            said.append(f"{each['contender']} keeps the settings it had: none of its tuning trials was finished.")
    return said


def caveats(
    experiment: Experiment,
    dataset: dict[str, Any],
    trials: Sequence[dict[str, Any]],
    tuning: Mapping[str, Any] | None = None,
) -> list[str]:
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
    if len({trial["family"] for trial in trials}) > 1:
        said.append(
            "These networks differ in shape as well as in spiking, which confounds spiking with, for example, "
            "convolution: a difference cannot be put down to spikes alone."
        )
    said += tuning_caveats(experiment, tuning)
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
