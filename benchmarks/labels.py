"""How many of planted wrong labels are found, before training and by networks that have not seen the images.

    python benchmarks/labels.py [--dataset digits] [--folds 3] [--epochs 10]

A tenth of the labels is changed: to any other class ("symmetric") or to the next one ("pairwise"); and none ("clean").
Recall is the share of changed labels that is flagged, precision the share of flagged ones that was changed. The result
goes to benchmarks/results/labels-DATASET.json, anew after each kind.
"""

import argparse
import json
import platform
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel import data
from spikeduel.data import Prepared
from spikeduel.data.auditing import examine
from spikeduel.results.audit import SuspectLabel
from spikeduel.settings.recipes import twins
from spikeduel.system.progress import Progress
from spikeduel.trials import labelling, planning, trial
from spikeduel.trials.runs import Finished
from spikeduel.trials.store import Store

SHARE = 0.1


def planted(prepared: Prepared, kind: str) -> Prepared:
    """`prepared` with a tenth of its labels changed, or none."""
    random, labels, num_classes = np.random.default_rng(0), np.array(prepared.labels), len(prepared.classes)
    if kind != "clean":
        chosen = random.permutation(len(labels))[: round(SHARE * len(labels))]
        by = random.integers(1, num_classes, len(chosen)) if kind == "symmetric" else 1
        labels[chosen] = (labels[chosen] + by) % num_classes
    return replace(prepared, labels=labels, fingerprint=f"{kind}-{prepared.fingerprint}"[:64])


def scored(listed: list[SuspectLabel], is_changed: np.ndarray) -> dict[str, Any]:
    """What was flagged, and how much of it rightly."""
    images = np.array([each.image.index for each in listed], dtype=int)
    found = int(is_changed[images].sum())
    changed = int(is_changed.sum())
    return {
        "flagged": len(images),
        "changed": changed,
        "recall": round(found / changed, 4) if changed else None,
        "precision": round(found / len(images), 4) if changed and len(images) else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    experiment = twins(dataset=given.dataset, folds=given.folds, epochs=given.epochs)
    original, progress = data.load(experiment), Progress()
    machine = {"processor": platform.processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}
    document: dict[str, Any] = {
        "settings": {**vars(given), "share": SHARE},
        "machine": machine,
        "images": len(original),
    }
    for kind in ("symmetric", "pairwise", "clean"):
        prepared = planted(original, kind)
        is_changed = np.asarray(prepared.labels) != np.asarray(original.labels)
        splits = data.splits(prepared, experiment)
        audit = examine(experiment, prepared, splits[0], progress)
        document[kind] = {"neighbours": scored(list(audit.details.labels), is_changed)}
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            trials = [each for split in splits for each in planning.plan(experiment, prepared, split)]
            finished = [
                Finished(trial.run(each, prepared, store, progress), trial.measured(each, store)) for each in trials
            ]
        check, listed = labelling.check(prepared, splits, finished)
        answers = [each.answers for each in finished if each.answers]
        document[kind]["networks"] = {
            **scored(listed, is_changed),
            "agreement": check and round(check.agreement, 4),
            "accuracy": round(float(np.mean([each.accuracy for each in answers])), 4),
        }
        result = Path(__file__).parent / "results" / f"labels-{given.dataset}.json"
        result.write_text(json.dumps(document, indent=2) + "\n")
        print(kind, json.dumps(document[kind]))


if __name__ == "__main__":
    main()
