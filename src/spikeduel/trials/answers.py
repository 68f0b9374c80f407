"""The answers of all trials to the test images, pooled over folds, and the file that keeps them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data import Prepared, Split
from spikeduel.results.predictions import FILE, PredictionsFile, SeedAnswers
from spikeduel.system import files, typed
from spikeduel.trials.store import TrialRecord


def tested(splits: Sequence[Split]) -> np.ndarray:
    """The indices of all test images int64 `[N]`: the only split's, or those of one fold after the other."""
    return np.concatenate([split.test for split in splits])


def pooled(
    part: str, contender: str, records: Sequence[TrialRecord], measures: Sequence[Mapping[str, Any]]
) -> dict[int, np.ndarray]:
    """int64 `[N]` for each seed that `contender` finished: `part` ("truth", "predicted") for the images of `tested`.

    A seed with an unfinished fold is left out, for want of its images.
    """
    folds = sorted({record.fold for record in records}, key=lambda fold: -1 if fold is None else fold)
    found: dict[int, dict[int | None, np.ndarray]] = {}
    for record, measured in zip(records, measures, strict=True):
        if record.settings["contender"] == contender and "classification" in measured:
            answered = getattr(measured["classification"], part)
            found.setdefault(record.settings["seed"], {})[record.fold] = np.array(answered)
    return {
        seed: np.concatenate([answers[fold] for fold in folds])
        for seed, answers in found.items()
        if len(answers) == len(folds)
    }


def write(
    run: Path,
    prepared: Prepared,
    splits: Sequence[Split],
    records: Sequence[TrialRecord],
    measures: Sequence[Mapping[str, Any]],
) -> None:
    """Writes a run's `predictions.json`, whole or not at all."""
    test, contenders = tested(splits), dict.fromkeys(record.settings["contender"] for record in records)
    content = PredictionsFile(
        schema=1,
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        classes=list(prepared.classes),
        indices=test.tolist(),
        labels=np.asarray(prepared.labels)[test].tolist(),
        groups=None if prepared.groups is None else np.asarray(prepared.groups)[test].tolist(),
        trials=[
            SeedAnswers(contender=contender, seed=seed, predicted=predicted.tolist())
            for contender in contenders
            for seed, predicted in pooled("predicted", contender, records, measures).items()
        ],
    )
    files.write_text(Path(run) / FILE, json.dumps(typed.plain(content), separators=(",", ":")) + "\n")
