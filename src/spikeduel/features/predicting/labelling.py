"""Label image files and recordings with a trained model."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import pictures
from spikeduel.data.events.recording_files import is_recording
from spikeduel.data.folder import endings_of, none_in
from spikeduel.data.inventory import files_below, inventory, pictures_left_out
from spikeduel.data.loader import EVALUATION_BATCH
from spikeduel.engine.kernels import unfused
from spikeduel.engine.networks import models
from spikeduel.engine.networks.models import Model, alike
from spikeduel.inputs.preprocessing import Events
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

MAX_UNFUSED = 16
"""Images that are labelled without compiled kernels."""
CHUNK_US = 1000
"""Microseconds of a stream whose events are handed on together."""


def predict_files(
    model: Model,
    paths: Sequence[Path],
    progress: Progress | None = None,
    calibrated: bool = True,
    exit_threshold: float | None = None,
    fallback: Model | None = None,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Label image files or recordings, also in folders: a row for each, and a line for each
    unusable path.

    `exit_threshold` is a calibrated probability: a spiking network stops at the first step that
    reaches it (`Model.predict_with_early_exit`), or `fallback` labels the images for which `model`
    does not.
    Raises `InputError`.
    """
    progress, card, rows = progress or Progress(), model.card, []
    is_recorded = card.preprocessing.binning is not None
    chosen, unreadable = files_to_predict(paths, is_recorded, progress.say)
    named = alike([model, fallback] if fallback else [model])
    for name, labeller in named.items():
        if calibrated and labeller.card.temperature is None:
            progress.say(
                f"note: no temperature was fitted for {name}, so that its probabilities are as it "
                "gives them. They rank the classes, and are not calibrated."
            )
    if model.precision == "bf16":
        progress.say(
            "note: predictions are in bf16; reports and exports are about float32. A few labels "
            "can differ."
        )
    for start in range(0, len(chosen), EVALUATION_BATCH):
        names, images = [], []
        for path in progress.track(chosen[start : start + EVALUATION_BATCH], "reading images"):
            try:
                images.append(data.prepared_picture(path, card.preprocessing))
                names.append(str(path))
            except InputError as error:
                unreadable.append(str(error))
        if images:
            # Equal bit for bit; to load or compile kernels takes longer than a few predictions.
            with unfused() if len(images) <= MAX_UNFUSED else nullcontext():
                predicted = _predicted(named, np.stack(images), calibrated, exit_threshold)
            for name, label, shares, early in zip(names, *predicted, strict=True):
                predicting_model = named.get(early.get("predicted_by", ""), model).card
                how = {
                    "calibrated": calibrated and predicting_model.temperature is not None,
                    "computed_in": model.precision,
                }
                rows.append(
                    {"file": name, **_prediction(card.classes, label, shares), **early, **how}
                )
    return rows, unreadable


def _predicted(
    named: Mapping[str, Model],
    images: np.ndarray,
    calibrated: bool,
    exit_threshold: float | None,
) -> tuple[np.ndarray, np.ndarray, list[dict[str, Any]]]:
    """Return class indices `[N]`, probabilities `[N, K]`, and for each image what an early exit
    took; a second model labels the images for which the first one's confidence is below
    `exit_threshold`.
    """
    (name, model), *second = named.items()
    if exit_threshold is not None and not second:
        exits = [
            model.predict_with_early_exit(image, exit_threshold, calibrated) for image in images
        ]
        shares = np.stack([probabilities for probabilities, _ in exits])
        return shares.argmax(1), shares, [{"num_steps": num_steps} for _, num_steps in exits]
    scores = model.scores(images)
    labels, shares = scores.argmax(1).numpy(), model.probabilities(scores, calibrated).numpy()
    took: list[dict[str, Any]] = [{} for _ in images]
    for fallback_name, fallback in second:
        unsure = model.confidence(scores).numpy() < exit_threshold
        labels[unsure], shares[unsure] = fallback.predict(images[unsure], calibrated=calibrated)
        took = [{"predicted_by": fallback_name if asked else name} for asked in unsure]
    return labels, shares, took


def _prediction(classes: Sequence[str], label: int, shares: Any) -> dict[str, Any]:
    probabilities = {name: float(share) for name, share in zip(classes, shares, strict=True)}
    best = classes[label]
    return {"label": best, "probability": probabilities[best], "probabilities": probabilities}


def follow(model: Model, path: Path, calibrated: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the prediction after each frame of a recording.

    `path` "-" reads events "t x y p" from standard input, t in microseconds. Raises `InputError`.
    """
    if str(path) == "-":
        predictions = models.predict_stream(model, events_of(sys.stdin), calibrated=calibrated)
    else:
        predictions = models.predict_recording(model, pictures.events_in(path), calibrated)
    for prediction in predictions:
        yield {
            "file": str(path),
            "milliseconds": prediction.milliseconds,
            "events": prediction.events,
            **_prediction(
                model.card.classes,
                int(np.argmax(prediction.probabilities)),
                prediction.probabilities,
            ),
        }


def events_of(lines: Iterable[str]) -> Iterator[Events]:
    """Yield the events of lines "t x y p", a millisecond at a time.

    Raises `InputError` naming the line.
    """
    rows: list[tuple[int, ...]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            t, x, y, p = map(int, line.replace(",", " ").split())
        except ValueError:
            raise InputError(
                f'line {number:,}: "t x y p" is expected, whole numbers, t in microseconds; not '
                f"'{line.strip()[:60]}'."
            ) from None
        if rows and t - rows[0][2] >= CHUNK_US:
            yield Events(*np.array(rows, np.int64).T)
            rows = []
        rows.append((x, y, t, p))
    if rows:
        yield Events(*np.array(rows, np.int64).T)


def files_to_predict(
    paths: Sequence[Path], is_recorded: bool, say: Callable[[str], None]
) -> tuple[list[Path], list[str]]:
    """Return the files among and below `paths`, and a sentence for each unusable path.

    `say` names other files.
    """
    chosen: list[Path] = []
    unusable: list[str] = []
    for path in paths:
        if files.is_folder(path):
            inside = sorted(files_below(path, endings_of(is_recorded)))
            if is_recorded:
                inside = list(filter(is_recording, inside))
            counts = inventory(path, inside, is_recorded=is_recorded)
            problems = pictures_left_out(counts) if inside else [none_in(path, is_recorded)]
            unusable += [f"{path}: {problem}" for problem in problems]
            chosen += inside
            for ignored in counts.ignored:
                say(f"{path}: ignored {ignored}")
        elif files.is_file(path):
            chosen.append(path)
        else:
            unusable.append(f"{path}: no such file, or not a regular one.")
    return chosen, unusable
