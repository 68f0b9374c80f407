"""Trained models on images they have not met: whole data sets, and single files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import Prepared
from spikeduel.draws import seeded
from spikeduel.errors import InputError, unknown
from spikeduel.measuring.quality import draws, quality
from spikeduel.models import Model, ModelCard
from spikeduel.progress import Progress
from spikeduel.settings import Experiment
from spikeduel.store import Store
from spikeduel.training import EVALUATION_BATCH, EvaluationBatches

PARTS = ("test", "all")


def evaluate(
    model: Model,
    experiment: Experiment,
    part: str = "test",
    progress: Progress | None = None,
    store: Store | Path | str | None = None,
) -> dict[str, Any]:
    """A trial's `test` in results.json, for `model` on the test part (or all) of `experiment.dataset`.

    A folder of images is prepared as the model was trained; data that it was trained on is split (and grouped) as it
    was then, and its fold's test part taken. That the test part was asked is noted in `store` (see `Store`), or it is
    said why it cannot be. Raises `InputError` where images or classes do not match, or where that split cannot be found
    again.
    """
    progress = progress or Progress()
    if part not in PARTS:
        raise unknown("part", part, PARTS)
    card = model.card
    prepared = data.load(experiment, progress.track, card.preprocessing, progress.say)
    if prepared.image_shape != card.image_shape:
        raise InputError(
            f"{card.contender} takes images of shape {list(card.image_shape)} (channels, height, width), and "
            f"{prepared.name} has {list(prepared.image_shape)}."
        )
    if prepared.classes != card.classes:
        raise InputError(
            f"{card.contender} knows the classes {', '.join(card.classes)}; {prepared.name} has "
            f"{', '.join(prepared.classes)}. They must be the same."
        )
    indices = np.arange(len(prepared)) if part == "all" else _test_part(card, prepared, experiment)
    if part == "test":
        try:
            (store if isinstance(store, Store) else Store(store)).note_test_use(prepared.fingerprint, indices)
        except InputError as error:
            progress.say(f"this use of the test images is not counted: {error}")
    images, labels = prepared.held
    batches = EvaluationBatches(images, labels, indices)
    with seeded(card.seed):
        found = quality(model, progress.track(batches, "evaluating", -(-len(indices) // EVALUATION_BATCH)))
    del found["truth"], found["predicted"]
    with seeded(card.seed):
        return {**found, "draws": draws(model, batches)}


def _test_part(card: ModelCard, prepared: Prepared, experiment: Experiment) -> np.ndarray:
    """The test images of `prepared`; of data that the model was trained on, those that were its test images then."""
    known = card.trained_on
    if known.get("group_by") is not None and prepared.fingerprint == known["ungrouped"]:
        prepared = data.regrouped(prepared, known["group_by"])
        if prepared.fingerprint != known["fingerprint"]:
            raise InputError(
                f"group_by {known['group_by']}: no longer groups these images as when {card.contender} was trained, so "
                "that its test part cannot be told from its training images. Restore the file, or train again."
            )
    if prepared.fingerprint != known.get("fingerprint"):
        return data.split(prepared, experiment).test
    # Models of earlier versions know nothing of folds.
    as_then = replace(
        experiment,
        split=known["split"],
        split_seed=known["split_seed"],
        limit=known["limit"],
        folds=known.get("folds"),
    )
    return data.split(prepared, as_then, known.get("fold") or 0).test


def predict_files(
    model: Model, paths: Sequence[Path], progress: Progress | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Labels for image files, and for the images in folders: rows of file, label, probability, probabilities.

    Second, one line for each file that cannot be read. Raises `InputError` where there is no file at all.
    """
    progress = progress or Progress()
    pictures = data.picture_files(paths)
    rows, unreadable = [], []
    for start in range(0, len(pictures), EVALUATION_BATCH):
        names, images = [], []
        for path in progress.track(pictures[start : start + EVALUATION_BATCH], "reading images"):
            try:
                images.append(data.prepared_picture(path, model.card.preprocessing))
                names.append(str(path))
            except InputError as error:
                unreadable.append(str(error))
        if not images:
            continue
        labels, probabilities = model.predict(np.stack(images))
        for name, label, row in zip(names, labels, probabilities, strict=True):
            by_class = {known: float(p) for known, p in zip(model.card.classes, row, strict=True)}
            best = model.card.classes[label]
            rows.append({"file": name, "label": best, "probability": by_class[best], "probabilities": by_class})
    return rows, unreadable


def open_for(model: Model, image: Path) -> np.ndarray:
    """One image file, prepared for `model`: uint8 `[C, H, W]`. Raises `InputError`."""
    return data.prepared_picture(image, model.card.preprocessing)
