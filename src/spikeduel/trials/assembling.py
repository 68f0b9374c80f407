"""From trials to a comparison: the content of results.json, and what may be concluded."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from spikeduel.data import Prepared, Split
from spikeduel.measuring.trial_costs import cost_entry
from spikeduel.results import comparison, significance
from spikeduel.results.words.caveats import caveats, leaks, more_groups
from spikeduel.results.words.verdict import verdict
from spikeduel.settings import Experiment
from spikeduel.system import __version__
from spikeduel.trials import answers
from spikeduel.trials.store import TrialRecord

_PAIR_KEYS = (
    "difference", "ci95", "ci90", "p_value", "p_value_raw", "p_permutation", "test", "margin", "negligible",
    "conclusion", "detectable", "detectable_at_best", "seeds_needed", "accuracy_a", "accuracy_b", "only_a_right",
    "only_b_right", "seeds_a_ahead", "seeds_b_ahead", "groups",
)  # fmt: skip


def assemble(
    experiment: Experiment,
    prepared: Prepared,
    splits: Sequence[Split],
    records: Sequence[TrialRecord],
    measures: Sequence[dict[str, Any]],
    failed_measures: Sequence[dict[str, str]] | None = None,
    test_uses: tuple[int, int] | None = None,
    audit: dict[str, Any] | None = None,
    tuning: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The content of results.json. `measures[i]` maps each measure's name to what it found for `records[i]`.

    `splits` holds one split, or one for each fold. `failed_measures[i]` says why others failed; `test_uses` how many
    models were asked about the test images, and how many of them are this run's; `tuning` is the content of
    tuning.json.
    """
    trials = [trial_entry(record, found) for record, found in zip(records, measures, strict=True)]
    for entry, reasons in zip(trials, failed_measures or [{}] * len(trials), strict=True):
        entry["failed_measures"] = reasons
    total, own = test_uses or (None, None)
    dataset = {**dataset_entry(prepared, splits), "audit": audit, "test_uses": total, "test_uses_here": own}
    finished = list(dict.fromkeys(t["contender"] for t in trials if t["status"] == "done"))
    groups = None if prepared.groups is None else prepared.groups[answers.tested(splits)]
    pairs = pair_entries(finished, records, measures, groups, experiment.equivalence_margin)
    return {
        "schema": comparison.SCHEMA,
        "spikeduel": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": records[0].environment,
        "dataset": dataset,
        "experiment": asdict(experiment),
        "tuning": tuning,
        "trials": trials,
        "comparison": {
            "pairs": pairs,
            "verdict": verdict(
                trials, pairs, dataset["shared_groups"] if leaks(dataset) else 0.0, bool(tuning), more_groups(dataset)
            ),
            "caveats": caveats(experiment, dataset, trials, tuning),
        },
    }


def trial_entry(record: TrialRecord, measures: dict[str, Any]) -> dict[str, Any]:
    """One element of results.json's `trials`; what was not measured is null."""
    from spikeduel.measuring import robustness

    settings = record.settings
    test = dict(measures["classification"]) if "classification" in measures else None
    if test is not None:
        del test["truth"], test["predicted"]
        test["encoding_spread"] = measures.get("encoding_spread")
        test["calibration"] = measures.get("calibration")
        test["ece"] = test["calibration"] and test["calibration"]["ece"]
        test["by_distance"] = measures.get("by_distance")
    anytime = measures.get("anytime")
    best = None if record.best_epoch is None else record.history[record.best_epoch]
    # What a converted network is said to have trained is its source's; its validation is its own.
    converted = settings.get("converted")
    name, fold = settings["contender"].replace(":", "."), answers.fold_of(record)
    file = f"{name}-seed{settings['seed']}" + ("" if fold is None else f"-fold{fold}")
    return {
        "key": record.key,
        **{name: settings[name] for name in ("contender", "family", "seed", "encoding", "num_steps")},
        "fold": fold,
        "precision": settings.get("precision"),
        "foreign": settings.get("foreign"),
        "converted_from": converted and converted["contender"],
        "parameters": record.parameters,
        "weights": measures["weight_shapes"]["shapes"] if "weight_shapes" in measures else None,
        "status": record.status,
        "error": record.error,
        "epochs": converted["epochs"] if converted else len(record.history),
        "best_epoch": None if converted else record.best_epoch,
        "stopped": record.stopped,
        "epoch_seconds": record.epoch_seconds,
        "history": [] if converted else record.history,
        "validation": best and {"accuracy": best["val_accuracy"], "loss": best["val_loss"]},
        "test": test,
        **cost_entry(measures.get("operations")),
        "latency": measures.get("latency"),
        "anytime": anytime if anytime and anytime["num_steps"] else None,
        "controls": None,
        "robustness": test and robustness.summary(test["accuracy"], measures),
        "model": f"models/{file}.safetensors" if record.status == "done" else None,
    }


def dataset_entry(prepared: Prepared, splits: Sequence[Split]) -> dict[str, Any]:
    """results.json's `dataset`. `shared_groups` is the share of test images whose group is also in training.

    With folds, `counts` holds the mean number of a fold's training and validation images, and that of all images that
    are tested; `folds` holds the counts of each. They are null without.
    """
    groups = prepared.groups
    shared, sizes = None, None
    if groups is not None:
        shared = float(np.concatenate([np.isin(groups[each.test], groups[each.train]) for each in splits]).mean())
        sizes = np.unique(groups, return_counts=True)[1]
        num_tested = [len(np.unique(groups[each.test])) for each in splits]
    counts = [{name: len(getattr(each, name)) for name in ("train", "val", "test")} for each in splits]
    train, val = (round(statistics.fmean(each[name] for each in counts)) for name in ("train", "val"))
    return {
        "name": prepared.name,
        "fingerprint": prepared.fingerprint,
        "classes": list(prepared.classes),
        "counts": {"train": train, "val": val, "test": sum(each["test"] for each in counts)},
        "image_shape": list(prepared.image_shape),
        "split": splits[0].kind,
        "folds": None if splits[0].fold is None else counts,
        "groups": None if sizes is None else len(sizes),
        "group_sizes": None if sizes is None else {"largest": int(sizes.max()), "median": float(np.median(sizes))},
        "groups_tested": None if sizes is None else sum(num_tested),
        "shared_groups": shared,
        "notes": list(prepared.notes),
        "audit": None,
    }


def pair_entries(
    contenders: Sequence[str],
    records: Sequence[TrialRecord],
    measures: Sequence[dict[str, Any]],
    groups: np.ndarray | None,
    margin: float,
) -> list[dict[str, Any]]:
    """results.json's `pairs`: every two of `contenders`, their p-values adjusted for the number of pairs.

    `groups` `[N]` says which test images belong together. Contenders without a seed in common have numbers of null.
    """
    names = list(itertools.combinations(contenders, 2))
    right = {pair: right_answers(*pair, records, measures) for pair in names}
    compared = [pair for pair in names if right[pair][0].size]
    found = significance.adjusted([significance.difference(*right[pair], groups, margin) for pair in compared])
    differences = dict(zip(compared, found, strict=True))
    return [pair_entry(*pair, *right[pair], differences.get(pair)) for pair in names]


def right_answers(
    a: str, b: str, records: Sequence[TrialRecord], measures: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Whether contenders `a` and `b` are right, bool `[S, N]` each, over the seeds that both finished."""
    truth = answers.pooled("truth", a, records, measures)
    found_a, found_b = (answers.pooled("predicted", name, records, measures) for name in (a, b))
    seeds = sorted(found_a.keys() & found_b.keys())
    return (
        np.array([found_a[seed] == truth[seed] for seed in seeds]),
        np.array([found_b[seed] == truth[seed] for seed in seeds]),
    )


def pair_entry(
    a: str, b: str, right_a: np.ndarray, right_b: np.ndarray, found: significance.Difference | None
) -> dict[str, Any]:
    """The difference in accuracy of contenders `a` and `b`, a − b; None where they have no seed in common.

    `accuracy_a` and `accuracy_b` are means over seeds; `only_a_right` and `only_b_right` count test images, averaged
    over them; `seeds_a_ahead` and `seeds_b_ahead` leave out seeds with equal accuracies. The others are those of
    `significance.Difference`.
    """
    entry = {"a": a, "b": b, "measure": "accuracy"}
    if found is None:
        return {**entry, **dict.fromkeys(_PAIR_KEYS), "n": 0, "seeds": 0}
    return {
        **entry,
        **found.to_dict(),
        "accuracy_a": float(right_a.mean()),
        "accuracy_b": float(right_b.mean()),
        "only_a_right": float((right_a & ~right_b).sum(1).mean()),
        "only_b_right": float((right_b & ~right_a).sum(1).mean()),
        "seeds_a_ahead": int((right_a.sum(1) > right_b.sum(1)).sum()),
        "seeds_b_ahead": int((right_b.sum(1) > right_a.sum(1)).sum()),
    }
