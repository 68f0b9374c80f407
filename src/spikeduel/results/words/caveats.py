"""What a careful reader would object to a comparison, as sentences."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from spikeduel.results.significance.reservations import FEWEST_GROUPS, smallest_p
from spikeduel.results.words.tuning import tuning_caveats
from spikeduel.results.words.verdict import listed, title, twins
from spikeduel.settings import Experiment

SMALL_TEST_SET = 500
TOLERATED_SHARE = 0.01
"""Of a data set's own test images, how many may have relatives in training before scores are called memory."""
FEW_GROUPS = 10
"""Groups tested below which what sets the groups apart can pass for what sets the contenders apart."""


def caveats(
    experiment: Experiment,
    dataset: dict[str, Any],
    trials: Sequence[dict[str, Any]],
    tuning: Mapping[str, Any] | None = None,
) -> list[str]:
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
    said += _of_few_groups(dataset, experiment.seeds)
    said += _of_chance(trials)
    said += _beaten_by_memory(dataset, trials)
    if pairs := twins(trials):
        said.append(_of_twins(pairs, len({trial["contender"] for trial in trials})))
    elif len({trial["family"] for trial in trials}) > 1:
        said.append(
            "These networks differ in shape as well as in spiking, which confounds spiking with, for example, "
            "convolution: a difference cannot be put down to spikes alone."
        )
    if folds := dataset.get("folds"):
        said.append(
            f"Scores are means over {len(folds)} folds, each trained and tested apart (accuracy: over all images). "
            "Folds share training images, so that the spread over them is no spread over independent data."
        )
    said += tuning_caveats(experiment, tuning)
    said += _of_foreign(experiment, trials)
    said += _of_converted(experiment, trials)
    if len({trial["epochs"] for trial in trials}) > 1:
        said.append("The contenders ran different numbers of epochs, by the same stopping rule.")
    unfinished = {trial["contender"]: trial["epochs"] for trial in trials if trial["stopped"] == "limit"}
    if unfinished:
        said.append(
            f"{' and '.join(sorted(unfinished))} ran until the limit of epochs ({max(unfinished.values())}) and might "
            "gain from more."
        )
    if experiment.limit is not None:
        said.append(f"Training and validation were limited to {experiment.limit:,} images.")
    if failed := [title(t, " with") for t in trials if t["status"] == "failed"]:
        said.append(f"Failed and left out: {', '.join(failed)}.")
    for t in trials:
        for name, reason in (t.get("failed_measures") or {}).items():
            said.append(
                f"Not measured: {name} of {t['contender']} with seed {t['seed']} failed ({reason.rstrip('.')}). The "
                "training is kept; the same command tries to measure it again."
            )
    for reason in dict.fromkeys(f"{t['contender']}: {t['not_counted']}" for t in trials if t.get("not_counted")):
        said.append(f"Operations and energy are not known of {reason}")
    own = dataset.get("test_uses_here") or sum(trial["status"] == "done" for trial in trials)
    if (uses := dataset.get("test_uses") or 0) > own:
        said.append(
            f"{uses:,} models have been asked about these test images from this store, and this run has {own:,} of "
            "them. Whoever chooses among many by their test scores reports luck: choose on validation."
        )
    said += [f"The audit of the data: {problem}" for problem in (dataset.get("audit") or {}).get("problems", ())]
    return said + dataset["notes"]


def more_groups(dataset: Mapping[str, Any]) -> str | None:
    """Where few groups of images are tested: what would be enough, as a clause; None where they are enough."""
    tested, known = dataset.get("groups_tested"), dataset.get("groups")
    if not tested or not known or tested >= FEW_GROUPS:
        return None
    of_all = f" of {known:,}" if tested < known else ""
    remedy = "; --folds 5 tests them all" if _folds_help(dataset) else ""
    return f"more groups of test images ({tested}{of_all} {'is' if tested == 1 else 'are'} tested{remedy})"


def _folds_help(dataset: Mapping[str, Any]) -> bool:
    return dataset["groups_tested"] < dataset["groups"] and dataset.get("split") == "grouped"


def _of_few_groups(dataset: Mapping[str, Any], seeds: int) -> list[str]:
    if more_groups(dataset) is None:
        return []
    tested, known = dataset["groups_tested"], dataset["groups"]
    said = (
        f"The test images come from {_groups_counted(tested)} alone (such as so many people)"
        + (f", of {known:,}" if tested < known else "")
        + ": what is special to these groups weighs heavily, and more seeds do not help against that."
    )
    if seeds == 1 and tested < FEWEST_GROUPS:
        said += f" Two trainings cannot be told apart on so few: no p-value is below {smallest_p(tested):.2g}."
    if _folds_help(dataset):
        said += " --folds 5 tests all groups, in five trainings of each."
    return [said]


def _groups_counted(number: int) -> str:
    return f"{number} group{'' if number == 1 else 's'}"


def _of_twins(pairs: Sequence[tuple[str, str]], num_contenders: int) -> str:
    listed = "; ".join(f"{snn} and {cnn}" for snn, cnn in pairs)
    if num_contenders == 2:
        return f"{listed} have the same weights, shape for shape: a difference between them is the activation's."
    return (
        f"Twins, with the same weights shape for shape: {listed}. A difference within such a pair is the activation's; "
        "any others differ in shape as well, and what sets them apart cannot be put down to spikes alone."
    )


def _of_foreign(experiment: Experiment, trials: Sequence[dict[str, Any]]) -> list[str]:
    """What is not the same for networks that were not made for spikeduel."""
    foreign = {t["contender"]: t for t in trials if t.get("foreign") and t["family"] == "snn"}
    said = [
        f"{name} makes its own {t['num_steps']} time steps from the analogue image, which is direct encoding: the "
        f"setting encoding ({experiment.encoding}) does not reach it."
        for name, t in foreign.items()
        if t["foreign"]["way"] == "loop" and experiment.encoding != "direct"
    ]
    others = {t.get("precision") for t in trials if t["contender"] not in foreign}
    if slower := [name for name, t in foreign.items() if t.get("precision") == "32" and "bf16" in others]:
        said.append(
            f"{' and '.join(slower)} computed in float32, to answer as in its own library, and the others in bf16: "
            "seconds are not to be compared (--precision 32 treats all alike)."
        )
    return said


def _of_chance(trials: Sequence[dict[str, Any]]) -> list[str]:
    """Who did no better than always naming the most frequent class: on average, or in some trainings."""
    tested: dict[str, list[dict[str, Any]]] = {}
    for trial in trials:
        if trial["test"]:
            tested.setdefault(trial["contender"], []).append(trial)
    always, sometimes = [], []
    for name, own in tested.items():
        at_chance = [trial for trial in own if _at_chance([trial])]
        if _at_chance(own):
            always.append(name)
        elif at_chance:
            sometimes.append(f"{name} in {len(at_chance)} of {len(own)}")
    said = []
    if always:
        early = all(trial["stopped"] == "early" for name in always for trial in tested[name])
        longer = "--set patience=N, since it stopped early, and --epochs" if early else "--epochs"
        said.append(
            f"{' and '.join(sorted(always))} did no better than always naming the most frequent class: not trained for "
            f"long enough ({longer}), or unable to learn this."
        )
    if sometimes:
        said.append(
            f"In some trainings the score is not clearly above that of always naming the most frequent class "
            f"({', '.join(sometimes)}); on average over all trainings it is."
        )
    return said


def _of_converted(experiment: Experiment, trials: Sequence[dict[str, Any]]) -> list[str]:
    converted = {t["contender"]: t for t in trials if t.get("converted_from")}
    if not converted:
        return []
    told = [f"{name} is {t['converted_from']} of the same seed" for name, t in converted.items()]
    return [
        f"Not trained but converted: {' and '.join(told)}, with integrate-and-fire neurons in the place of ReLU, over "
        f"{experiment.conversion_steps} steps with direct encoding, layers scaled on training images so that "
        f"{experiment.conversion_percentile:g} % of their activations fit. It cannot be expected to be better than its "
        "source; more steps (--set conversion_steps=N) bring it nearer, at the cost of more spikes."
    ]


def _at_chance(trials: Sequence[dict[str, Any]]) -> bool:
    """Whether one contender's trials, on average over their images, are as good as naming the most frequent class."""
    answers = sum(trial["test"]["n"] for trial in trials)
    right = sum(trial["test"]["accuracy"] * trial["test"]["n"] for trial in trials)
    support = [sum(row) for row in zip(*(_support(trial) for trial in trials), strict=True)]
    chance = max(support) / answers
    # Seeds answer the same images again.
    images = answers / len({trial["seed"] for trial in trials})
    # Two standard errors: a lucky guesser is not taken for one who has learned.
    return right / answers <= chance + 2 * (chance * (1 - chance) / images) ** 0.5


def _support(trial: dict[str, Any]) -> list[int]:
    return [row["support"] for row in trial["test"]["per_class"]]


def _beaten_by_memory(dataset: dict[str, Any], trials: Sequence[dict[str, Any]]) -> list[str]:
    """Whom the audit's untrained search for the most similar training image outdoes."""
    probe = ((dataset.get("audit") or {}).get("probe") or {}).get("accuracy")
    scores: dict[str, list[float]] = {}
    for trial in trials:
        # With folds, the audit looks at the images of the first one.
        if trial["test"] and not trial.get("fold"):
            scores.setdefault(trial["contender"], []).append(trial["test"]["accuracy"])
    beaten = [name for name, found in scores.items() if probe is not None and statistics.fmean(found) < probe]
    if not beaten:
        return []
    where = " of the first fold" if dataset.get("folds") else ""
    return [
        "Taking the label of the training image that looks most alike when small and grey (the audit's nearest "
        f"neighbour), with nothing trained, is right on {probe:.1%} of the test images{where}: more than "
        f"{listed(beaten)}. So far none of what {'they have' if len(beaten) > 1 else 'it has'} "
        "learned is needed for these images: train longer (--epochs), or look for leaks (spikeduel audit)."
    ]


def leaks(dataset: dict[str, Any]) -> bool:
    """Whether results.json's `dataset` says that relatives of test images in training can explain a score.

    Any will do for a split made here; a few copies in a data set's own test set are no reason to mistrust all of it.
    """
    shared = dataset.get("shared_groups") or 0
    return shared >= TOLERATED_SHARE if dataset.get("split") == "official" else shared > 0
