"""How many of planted wrong labels are found, before training and by networks that have not seen
the images.

    python -m benchmarks.audit.labels [--dataset digits] [--data-dir PATH] [--limit 6000] [--folds 3]
        [--epochs 10] [--seeds 0 1 2] [--rare]

A tenth of the labels is changed: to any other class ("symmetric") or to the next one ("pairwise"),
with every seed; and none ("clean"). `--limit` takes so many images at random, and no test set of
their own. Without `--folds`, networks examine only labels for validation and test. Recall is the
share of changed labels that is flagged, precision the share of flagged ones that was changed: too
low where the set has wrong labels of its own. The result goes to
benchmarks/results/labels-DATASET.json, anew after each kind.

With `--rare`, each class in turn keeps 1/25 of the images of the largest, and the alarms of the
nearest neighbours about its labels are counted, with right labels and with a tenth changed. Nothing
is trained, and the result is kept beside the others.

The limits were chosen with seed 0 on digits and MNIST (6,000 images). Fashion-MNIST with seed 0 was
looked at, for choosing what neighbours are compared by, and that they vote twice: report it with
other seeds.
"""

import json
import os
import tempfile
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks import shared
from spikeduel import data
from spikeduel.auditing import labels as judging
from spikeduel.auditing.audit_results import SuspectLabel
from spikeduel.data import Prepared
from spikeduel.data.audited import audit_input, examine
from spikeduel.experiment.recipes import strong
from spikeduel.experiment.settings import Experiment
from spikeduel.features.label_issues import conclude_outcomes
from spikeduel.reporting import RunData
from spikeduel.system.progress import Progress
from spikeduel.training import contenders
from spikeduel.training.store import Store

SHARE = 0.1
RARE = 25
"""Images of the largest class for one of a rare class."""
CHOSEN_WITH = {("digits", 0), ("mnist", 0)}


def chosen_of(prepared: Prepared, rows: np.ndarray) -> Prepared:
    """The images `rows` of `prepared`, without a test set of their own."""
    arrays: dict[str, Any] = {
        name: np.asarray(array)[rows]
        for name in ("images", "labels", "groups", "image_ids", "content")
        if (array := getattr(prepared, name)) is not None
    }
    return replace(
        prepared, official=None, fingerprint=f"{len(rows)}-{prepared.fingerprint}"[:64], **arrays
    )


def planted(prepared: Prepared, kind: str, seed: int) -> Prepared:
    """`prepared` with a tenth of its labels changed, or none."""
    random, labels = np.random.default_rng(seed), np.array(prepared.labels)
    num_classes = len(prepared.classes)
    if kind != "clean":
        chosen = random.permutation(len(labels))[: round(SHARE * len(labels))]
        by = random.integers(1, num_classes, len(chosen)) if kind == "symmetric" else 1
        labels[chosen] = (labels[chosen] + by) % num_classes
    return replace(
        prepared, labels=labels, fingerprint=f"{kind}-{seed}-{prepared.fingerprint}"[:64]
    )


def scored(
    listed: list[SuspectLabel], examined: np.ndarray, is_changed: np.ndarray
) -> dict[str, Any]:
    """What was flagged of the images `examined`, and how much of it rightly."""
    images = np.array([each.image.index for each in listed], dtype=int)
    found, changed = int(is_changed[images].sum()), int(is_changed[examined].sum())
    return {
        "examined": len(examined),
        "flagged": len(images),
        "changed": changed,
        "recall": round(found / changed, 4) if changed else None,
        "precision": round(found / len(images), 4) if changed and len(images) else None,
    }


def with_rare(prepared: Prepared, rare: int, seed: int) -> Prepared:
    """`prepared` with so few images of the class `rare`, chosen at random."""
    labels = np.asarray(prepared.labels)
    few = np.bincount(labels).max() // RARE
    kept = np.random.default_rng(seed).permutation(np.flatnonzero(labels == rare))[:few]
    return chosen_of(prepared, np.sort(np.append(np.flatnonzero(labels != rare), kept)))


def alarms_in_rare(original: Prepared, experiment: Experiment, seeds: list[int]) -> dict[str, Any]:
    """Alarms about labels of rare classes, over every class and seed."""
    rows = {}
    for kind in ("clean", "symmetric"):
        counts = {name: dict.fromkeys(("right", "wrong"), 0) for name in ("labels", "suspect")}
        unjudged = 0
        for seed in seeds:
            for rare in range(len(original.classes)):
                unchanged = with_rare(original, rare, seed)
                prepared = planted(unchanged, kind, seed)
                is_right = np.asarray(prepared.labels) == np.asarray(unchanged.labels)
                is_rare = np.asarray(prepared.labels) == rare
                split = data.split(prepared, experiment)
                fields = judging.check(audit_input(experiment, prepared, split, None, Progress()))
                listed = fields.get("details", {}).get("labels", ())
                indices = np.array([suspect.image.index for suspect in listed], int)
                images = {"labels": np.flatnonzero(is_rare), "suspect": indices[is_rare[indices]]}
                unjudged += original.classes[rare] in fields["labels"].unjudged
                for name, chosen in images.items():
                    counts[name]["right"] += int(is_right[chosen].sum())
                    counts[name]["wrong"] += int((~is_right[chosen]).sum())
        sets = len(seeds) * len(original.classes)
        rows[kind] = {"data_sets": sets, "not_judged": unjudged, **counts}
        print(kind, json.dumps(rows[kind]), flush=True)
    return {"ratio": RARE, "seeds": seeds, **rows}


def main() -> None:
    parser = shared.parser(
        __doc__,
        dataset="digits",
        data_dir=str,
        limit=int,
        folds=int,
        epochs=int,
        seeds=[0],
        rare=False,
    )
    given = parser.parse_args()
    epochs = {} if given.epochs is None else {"epochs": given.epochs}
    experiment = strong(dataset=given.dataset, data_dir=given.data_dir, folds=given.folds, **epochs)
    original, progress = data.load(experiment), Progress()
    if given.limit:
        rows = np.random.default_rng(1).choice(len(original), given.limit, replace=False)
        original = chosen_of(original, np.sort(rows))
    result = f"labels-{given.dataset}.json"
    known = shared.read(result, {})
    if given.rare:
        shared.write(result, {**known, "rare": alarms_in_rare(original, experiment, given.seeds)})
        return
    settings = {name: value for name, value in vars(given).items() if name != "data_dir"}
    document: dict[str, Any] = {
        "settings": {**settings, "share": SHARE},
        "images": len(original),
        **{name: kept for name, kept in known.items() if name == "rare"},
        "found": [],
    }
    kinds = [(kind, seed) for seed in given.seeds for kind in ("symmetric", "pairwise")]
    for kind, seed in [*kinds, ("clean", given.seeds[0])]:
        prepared = planted(original, kind, seed)
        is_changed = np.asarray(prepared.labels) != np.asarray(original.labels)
        splits = data.splits(prepared, experiment)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SPIKEDUEL_CACHE"] = folder
            audit = examine(experiment, prepared, splits[0], progress)
            store = Store(folder)
            fitted = shared.fitted(experiment, prepared, splits[0], store)
            trials = contenders.trials_of(fitted, prepared, *splits)
            finished = shared.finished(trials, prepared, store)
        judged = conclude_outcomes(finished, RunData(prepared, splits, audit))
        sides = [
            side
            for split in splits
            for side in ([split.test] if given.folds else [split.val, split.test])
        ]
        found = {
            "kind": kind,
            "seed": seed,
            "limits_chosen_with_it": (given.dataset, seed) in CHOSEN_WITH,
            "neighbours": {
                **scored(list(audit.details.labels), np.arange(len(prepared)), is_changed),
                "agreement": audit.labels and round(audit.labels.agreement, 4),
            },
            "networks": {
                **scored(judged.suspects, np.concatenate(sides), is_changed),
                "agreement": round(judged.check.agreement, 4),
            },
        }
        document["found"].append(found)
        shared.write(result, document)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
