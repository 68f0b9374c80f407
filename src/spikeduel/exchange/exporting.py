"""`export`: a model written for another program, run there, and kept only if the answers agree."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from spikeduel.exchange import nir, onnx
from spikeduel.exchange.agreement import (
    REQUIRED,
    Agreement,
    Runner,
    as_written,
    compared,
    probabilities_of,
)
from spikeduel.networks.models import Model
from spikeduel.system import __version__, files
from spikeduel.system.errors import InputError, MissingExtra, SpikeduelError, unknown
from spikeduel.system.hardware import package_version
from spikeduel.system.progress import Progress
from spikeduel.system.typed import Frozen, converted, plain, write_json

Exporter = Callable[[Model, Path, str], dict[str, Runner]]
"""Writes a float32 model to a path with weights of the named type; returns runners by name.

Raises `InputError`, with the remedy, for a model that the format cannot express.
"""

EXPORTERS: dict[str, Exporter] = {"onnx": onnx.unrolled, "onnx-step": onnx.step, "nir": nir.write}
_TAKES = dict.fromkeys(("onnx", "onnx-step"), ("onnx", "onnxscript", "onnxruntime")) | {
    "nir": ("nir",)
}
"""Packages of each exporter."""
WEIGHTS = ("float32", "int8")
_WHERE = {"nir": "not in the file, as NIR has no softmax"}
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "nir", "nirtorch", "snntorch", "norse")


class ExportDisagrees(SpikeduelError):
    """Error: the written file does not give the model's answers."""

    exit_code = 1


class ExportedModel(Frozen):
    """The exported model; `trained_in` is its precision in training."""

    contender: str
    seed: int
    encoding: str | None
    num_steps: int | None
    trained_in: str


class LabelledImages(NamedTuple):
    """Images of a data set to check an export on: uint8 `[N, C, H, W]`, labels int64 `[N]`."""

    images: np.ndarray
    labels: np.ndarray
    dataset: str


class ExportCheck(Frozen):
    """Content of FILE.check.json: the file, the model, and each program's agreement on `n` test
    images.

    `accuracy` is with the weights as written, `accuracy_lost` its difference to `accuracy_float32`.
    """

    spikeduel: str
    created: str
    file: str
    sha256: str
    bytes: int
    format: str
    weights: str
    model: ExportedModel
    dataset: str
    n: int
    accuracy_float32: float
    accuracy_lost: float
    accuracy: float
    programs: dict[str, Agreement]
    versions: dict[str, str]
    temperature: float | None
    probabilities: str
    noun: Literal["image", "recording"] = "image"


def export(
    model: Model,
    path: Path,
    test_images: Callable[[], LabelledImages],
    to: str = "onnx",
    weights: str = "float32",
    progress: Progress | None = None,
) -> ExportCheck:
    """Write `model` to `path` in the format `to`; keep the check in `path`.check.json.

    Every program that reads the file must agree with the float32 model on `test_images`, loaded
    once the format accepts the model. Raises `InputError` where the format cannot express the
    model, and `ExportDisagrees`, without a file, for other answers.
    """
    progress = progress or Progress()
    _require_exportable(model, to, weights)
    written = as_written(model, weights)
    noun: Literal["image", "recording"] = (
        "recording" if model.card.preprocessing.binning else "image"
    )
    with files.atomic_path(path) as temporary:
        progress.say(f"writing {path}")
        runners = EXPORTERS[to](written, temporary, weights)
        images, labels, dataset = test_images()
        accuracy, programs = compared(written, runners, images, labels, progress)
        if not all(program.ok for program in programs.values()):
            reasons = " ".join(_program_lines(programs, len(labels), noun))
            raise ExportDisagrees(
                f"{path}: not written: it does not give the model's answers. {reasons} Required: "
                f"the same label on {100 * REQUIRED.same_label:.1f} %, scores within "
                f"{REQUIRED.score_difference:g} where no spike flipped, at most "
                f"{100 * REQUIRED.flipped_spikes:.1f} % of the spikes flipped."
            )
        before = (
            accuracy
            if weights == "float32"
            else compared(as_written(model), {}, images, labels, Progress())[0]
        )
        check = ExportCheck(
            spikeduel=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            file=path.name,
            sha256=files.checksum(temporary),
            bytes=temporary.stat().st_size,
            format=to,
            weights=weights,
            model=converted(
                {**plain(model.card), "trained_in": model.card.precision}, ExportedModel
            ),
            dataset=dataset,
            n=len(labels),
            accuracy_float32=before,
            accuracy_lost=before - accuracy,
            accuracy=accuracy,
            programs=programs,
            versions={
                package: known
                for package in _PACKAGES
                if (known := package_version(package)) is not None
            },
            temperature=model.card.temperature,
            probabilities=f"{_WHERE.get(to, 'output probabilities')}: {probabilities_of(model)}",
            noun=noun,
        )
    write_json(path.with_name(f"{path.name}.check.json"), check)
    return check


def _require_exportable(model: Model, to: str, weights: str) -> None:
    if to not in EXPORTERS:
        raise unknown("export format", to, EXPORTERS)
    for package in _TAKES.get(to, ()):
        if find_spec(package) is None:
            raise MissingExtra(package, "export")
    if weights not in WEIGHTS:
        raise unknown("weights", weights, WEIGHTS)
    if weights == "int8" and not to.startswith("onnx"):
        raise InputError(
            f"weights int8 are for the ONNX formats; {to} holds floats. Leave --weights out."
        )
    if model.card.foreign is not None and model.card.family == "snn":
        raise InputError(
            f"{model.card.contender} is a spiking network of another library, whose neurons export "
            f"does not know: "
            "build it of spikeduel's (sd.LIF), or export it with that library."
        )


def lines(check: ExportCheck) -> list[str]:
    """Return sentences on `check`."""
    sentences = [
        *_program_lines(check.programs, check.n, check.noun),
        f"Probabilities: {check.probabilities}.",
    ]
    if set(check.programs) == {"spikeduel"}:
        sentences.append(
            "No other program checked it. To have snnTorch check it, install snntorch and nirtorch."
        )
    if check.weights == "int8":
        sentences.append(
            f"Accuracy on these {check.noun}s: {100 * check.accuracy_float32:.2f} %, with int8 "
            f"weights {100 * check.accuracy:.2f} % (lost: {check.accuracy_lost * 100:.2f} points)."
        )
    return sentences


def _program_lines(programs: Mapping[str, Agreement], n: int, noun: str) -> list[str]:
    sentences = []
    for name, program in programs.items():
        where = spikes = ""
        if program.spikes_flipped is not None:
            where = " where no spike flipped"
            spikes = f"; {program.spikes_flipped:,} of {program.spikes_compared:,} spikes flipped"
        if program.largest_score_difference is not None:
            scores = f"scores differ by at most {program.largest_score_difference:.2g}{where}"
        elif program.images_with_flips == n:
            scores = f"no {noun} without flips"
        else:
            scores = "scores are not numbers"
        sentences.append(
            f"{name}: the same label on {100 * program.same_label:.2f} % of {n:,} test {noun}s; "
            f"{scores}{spikes}."
        )
    return sentences
