"""`export`: writes a model for another program, runs what was written, and keeps it only if the answers agree."""

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel.data import DATASETS
from spikeduel.exchange.exporting import checking, int8, nir, onnx
from spikeduel.exchange.exporting.runs import Runner
from spikeduel.networks.models import Model
from spikeduel.settings import Experiment
from spikeduel.system import __version__, files
from spikeduel.system.errors import InputError, SpikeduelError, unknown
from spikeduel.system.progress import Progress
from spikeduel.system.visible import visible
from spikeduel.trials import evaluating

Exporter = Callable[[Model, Path, str], dict[str, Runner]]
"""Writes a float32 model to a path, its weights as named by the third argument; returns by name who can run the file.

Raises `InputError` for a model that the format cannot express: why, and what to do.
"""

EXPORTERS: dict[str, Exporter] = {
    "onnx": onnx.unrolled,
    "onnx-step": onnx.step,
    "nir": nir.write,
}
WEIGHTS = ("float32", "int8")
NUM_IMAGES = 1000
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "nir", "nirtorch", "snntorch", "norse")


class ExportDisagrees(SpikeduelError):
    """What was written does not give the model's answers, and was not kept."""

    exit_code = 1


def export(
    model: Model,
    path: Path | str,
    to: str = "onnx",
    *,
    weights: str = "float32",
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    experiment: Experiment | None = None,
    num_images: int = NUM_IMAGES,
    progress: Progress | None = None,
    store: Path | str | None = None,
) -> dict[str, Any]:
    """Writes `model` to `path` in the format `to`, checked on test images; the outcome lies in `path`.check.json.

    Prepared `images` (uint8 `[N, C, H, W]`) and `labels` may be given; otherwise `num_images` of the test part that
    `evaluate` would take, of `experiment`'s data set (the one that the model was trained on). The check is that every
    program that read the file gives the same label on at least 99.9 %, scores within 1e-4 wherever no spike flipped,
    and other spikes in at most 0.1 %; both sides compute in float32. With `weights="int8"` the file is compared with
    the model whose weights were rounded so, and `accuracy_lost` tells what rounding cost. Returns what check.json
    holds. Raises `InputError` where the format cannot express the model, `ExportDisagrees` where the check fails: then
    nothing is written.
    """
    progress = progress or Progress()
    if to not in EXPORTERS:
        raise unknown("export format", to, EXPORTERS)
    if weights not in WEIGHTS:
        raise unknown("weights", weights, WEIGHTS)
    if weights == "int8" and not to.startswith("onnx"):
        raise InputError(f"weights int8 are for the ONNX formats; {to} holds floats. Leave --weights out.")
    if model.card.foreign is not None and model.card.family == "snn":
        raise InputError(
            f"{model.card.contender} is a spiking network of another library, whose neurons export does not know: "
            "build it of spikeduel's (sd.LIF), or export it with that library."
        )
    path = Path(path)
    if (images is None) != (labels is None):
        raise InputError("images and labels go together: give both, or neither.")
    original = _in_float32(model)
    written = original if weights == "float32" else _in_float32(model)
    if weights == "int8":
        int8.rounded(written.module)
    with files.atomic_path(path) as temporary:
        progress.say(f"writing {path}")
        # Before any data is loaded: a model that the format cannot express is refused at once.
        runners = EXPORTERS[to](written, temporary, weights)
        if images is None or labels is None:
            chosen = experiment or Experiment(dataset=trained_on(model))
            images, labels = evaluating.test_images(model, chosen, num_images, progress, store)
        outcome = checking.compared(written, runners, images, labels, progress)
        before = outcome["accuracy"] if written is original else checking.accuracy(original, images, labels)
        size, digest = temporary.stat().st_size, files.checksum(temporary)
        if not all(found["ok"] for found in outcome["programs"].values()):
            raise ExportDisagrees(_disagreement(path, outcome["programs"], len(labels)))
    document = {
        "spikeduel": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "file": path.name,
        "sha256": digest,
        "bytes": size,
        "format": to,
        "weights": weights,
        "model": {
            "contender": model.card.contender,
            "seed": model.card.seed,
            "encoding": model.card.encoding,
            "num_steps": model.card.num_steps,
            "trained_in": model.card.precision,
        },
        "dataset": model.card.dataset,
        "n": len(labels),
        "required": {
            "same_label": checking.SAME_LABEL,
            "score_difference": checking.SCORE_TOLERANCE,
            "flipped_spikes": checking.FLIPPED_SPIKES,
        },
        "accuracy_float32": before,
        "accuracy_lost": before - outcome["accuracy"],
        **outcome,
        "versions": _versions(),
    }
    files.write_json(path.with_name(f"{path.name}.check.json"), document)
    return document


def trained_on(model: Model) -> str:
    """The data set that the model's card names. Raises `InputError` where it has to be named by the user.

    It may be the name of somebody's code: opening a file must never be enough to run that.
    """
    name = model.card.dataset
    if name in DATASETS or files.is_folder(name):
        return name
    raise InputError(
        f"{model.card.contender} was trained on {visible(name)[:80] or 'data without a name'}, which cannot be found "
        "from here. To check the file on it, name it with --dataset (in Python: experiment=Experiment(dataset=…))."
    )


def lines(found: dict[str, Any]) -> list[str]:
    """What `export` returned, in words: a line for each program that ran the file, and what int8 cost."""
    told = []
    for name, its in found["programs"].items():
        largest, flips = its["largest_score_difference"], its["spikes_flipped"]
        where = "" if flips is None else " where no spike flipped"
        spikes = "" if flips is None else f"; {flips:,} of {its['spikes_compared']:,} spikes flipped"
        scores = "no image without flips" if largest is None else f"scores differ by at most {largest:.2g}{where}"
        told.append(
            f"{name}: the same label on {its['same_label']:.2%} of {found['n']:,} test images; {scores}{spikes}."
        )
    if set(found["programs"]) == {"spikeduel"}:
        told.append("No other program that reads it is installed: with snntorch and nirtorch, snnTorch checks it too.")
    if found["weights"] == "int8":
        told.append(
            f"Accuracy on these images: {found['accuracy_float32']:.2%}, with int8 weights {found['accuracy']:.2%} "
            f"(lost: {found['accuracy_lost'] * 100:.2f} points)."
        )
    return told


def _in_float32(model: Model) -> Model:
    """A copy of `model` on the CPU that computes in float32, its weights laid out in rows."""
    alike = Model(copy.deepcopy(model.module).cpu().float().eval(), model.card)
    alike.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    alike.precision = "32"
    return alike


def _disagreement(path: Path, programs: dict[str, Any], n: int) -> str:
    figures = "; ".join(
        f"{name}: same label on {found['same_label']:.2%} of {n:,} images (at least {checking.SAME_LABEL:.1%}), "
        f"largest difference of a score where no spike flipped {_shown(found['largest_score_difference'])} (at most "
        f"{checking.SCORE_TOLERANCE:g}), {found['spikes_flipped'] or 0:,} spikes flipped (at most "
        f"{checking.FLIPPED_SPIKES:.1%} of {found['spikes_compared'] or 0:,})"
        for name, found in programs.items()
    )
    return f"{path}: not written, for what it answers is not what the model answers. {figures}."


def _shown(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.2g}"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
