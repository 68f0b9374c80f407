"""The conclusion in plain words, claiming no more than the trials can bear."""

import statistics
from collections.abc import Sequence
from typing import Any

from spikeduel.settings import Experiment

SMALL_TEST_SET = 500
TOLERATED_SHARE = 0.01
"""Of a data set's own test images, how many may have relatives in training before scores are called memory."""
SHORTEST_TIMED = 0.1
"""Seconds an epoch below which the clock says more about the machine than about the network."""


def verdict(trials: Sequence[dict[str, Any]], pairs: Sequence[dict[str, Any]]) -> str:
    """What the trials showed, in words, from results.json's `trials` and `pairs`."""
    num_folds = len({trial.get("fold") for trial in trials} - {None})
    sentences = [_of_pair(pair, num_folds) for pair in pairs if pair["seeds"]]
    if not sentences:
        done = [trial for trial in trials if trial["test"]]
        sentences = [
            f"{_title(t)}, is right on {t['test']['accuracy']:.1%} of {t['test']['n']:,} test images." for t in done
        ] or ["No trial was finished: there is nothing to compare."]
    if speed := speed_ratio(trials):
        sentences.append(speed)
    return " ".join(sentences)


def _title(trial: dict[str, Any], joined: str = ",") -> str:
    fold = trial.get("fold")
    return f"{trial['contender']}{joined} seed {trial['seed']}" + ("" if fold is None else f", fold {fold}")


def _of_pair(pair: dict[str, Any], num_folds: int) -> str:
    winner, loser = (pair["a"], pair["b"]) if pair["difference"] >= 0 else (pair["b"], pair["a"])
    only = {pair["a"]: pair["only_a_right"], pair["b"]: pair["only_b_right"]}
    accuracy = {pair["a"]: pair["accuracy_a"], pair["b"]: pair["accuracy_b"]}
    points = 100 * abs(pair["difference"])
    who = f"Trained once for each of {num_folds} folds" if num_folds else "Of these two trained models"
    if pair["seeds"] > 1:
        ahead = pair["seeds_a_ahead"] if winner == pair["a"] else pair["seeds_b_ahead"]
        lead = f"{points:.1f} points apart; {winner} was ahead with {ahead} of the {pair['seeds']} seeds"
        return (
            f"Over {pair['seeds']} seeds{f' and {num_folds} folds' if num_folds else ''}, {winner} is right on "
            f"{accuracy[winner]:.1%} of {pair['n']:,} test images on average and {loser} on {accuracy[loser]:.1%}: "
            f"{lead if points else 'no difference'}. No test of significance has been made."
        )
    if pair["difference"] == 0:
        both = f"{who}, {winner} and {loser}" if num_folds else f"These two trained models, {winner} and {loser},"
        return (
            f"{both} are right on equally many of {pair['n']:,} test images "
            f"({accuracy[winner]:.1%}). One seed cannot tell whether that is luck."
        )
    return (
        f"{who}, {winner} is right on {accuracy[winner]:.1%} of {pair['n']:,} test images and "
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


def leaks(dataset: dict[str, Any]) -> bool:
    """Whether results.json's `dataset` says that relatives of test images in training can explain a score.

    Any will do for a split made here; a few copies in a data set's own test set are no reason to mistrust all of it.
    """
    shared = dataset.get("shared_groups") or 0
    return shared >= TOLERATED_SHARE if dataset.get("split") == "official" else shared > 0


def caveats(experiment: Experiment, dataset: dict[str, Any], trials: Sequence[dict[str, Any]]) -> list[str]:
    """What a careful reader would object, as sentences."""
    said = []
    shared, official = dataset["shared_groups"] or 0, dataset.get("split") == "official"
    if leaks(dataset):
        remedy = (
            "The data's own test set is left as it is: divide the data anew to mend that."
            if official
            else "--split default keeps groups whole."
        )
        said.append(
            f"LEAKAGE: {shared:.0%} of the test images come from a group (a person, or a set of duplicates) that is "
            f"also in training. These scores measure memory as much as recognition. {remedy}"
        )
    elif shared:
        said.append(
            f"{shared:.2%} of the data's own test images come from a group (such as a set of copies) that is also in "
            "training: too few to explain more than that share of a score."
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
    if folds := dataset.get("folds"):
        said.append(
            f"Scores are means over {len(folds)} folds, each trained and tested apart. Folds share training images, so "
            "that the spread over them is no spread over independent data."
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
    if failed := [_title(t, " with") for t in trials if t["status"] == "failed"]:
        said.append(f"Failed and left out: {', '.join(failed)}.")
    for t in trials:
        for name, reason in (t.get("failed_measures") or {}).items():
            said.append(
                f"Not measured: {name} of {t['contender']} with seed {t['seed']} failed ({reason.rstrip('.')}). The "
                "training is kept; the same command tries to measure it again."
            )
    if (uses := dataset.get("test_uses") or 0) > (own := sum(trial["status"] == "done" for trial in trials)):
        said.append(
            f"{uses:,} models have been asked about these test images from this store, and this run has {own:,} of "
            "them. Whoever chooses among many by their test scores reports luck: choose on validation."
        )
    return said + dataset["notes"]
