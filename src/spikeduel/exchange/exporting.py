"""`export`: writes a model for another program, runs what was written, and keeps it only if the
answers agree.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from spikeduel.exchange import nir, onnx
from spikeduel.exchange.agreement import (
    REQUIRED,
    Agreement,
    Required,
    Runner,
    as_written,
    compared,
    probabilities_of,
)
from spikeduel.networks.models import Model
from spikeduel.results.words.nouns import said_of
from spikeduel.results.words.numbers import per_cent
from spikeduel.settings import Experiment
from spikeduel.system import __version__, files
from spikeduel.system.errors import InputError, MissingExtra, SpikeduelError, unknown
from spikeduel.system.hardware import package_version
from spikeduel.system.progress import Progress
from spikeduel.system.typed import Frozen, converted, plain, write_json
from spikeduel.trials import evaluating

Exporter = Callable[[Model, Path, str], dict[str, Runner]]
"""Writes a float32 model to a path, its weights as named by the third argument; returns by name who
can run the file.

Raises `InputError` for a model that the format cannot express: why, and what to do.
"""

EXPORTERS: dict[str, Exporter] = {"onnx": onnx.unrolled, "onnx-step": onnx.step, "nir": nir.write}
_TAKES = dict.fromkeys(("onnx", "onnx-step"), ("onnx", "onnxscript", "onnxruntime")) | {
    "nir": ("nir",)
}
"""The packages that an exporter takes."""
WEIGHTS = ("float32", "int8")
_WHERE = {"nir": "not in the file, as NIR has no softmax"}
NUM_IMAGES = 1000
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "nir", "nirtorch", "snntorch", "norse")


class ExportDisagrees(SpikeduelError):
    """What was written does not give the model's answers, and was not kept."""

    exit_code = 1


class ExportedModel(Frozen):
    """The model that was exported; `trained_in` is its precision in training."""

    contender: str
    seed: int
    encoding: str | None
    num_steps: int | None
    trained_in: str


_REQUIRED = (
    f"Required: the same label on {per_cent(REQUIRED.same_label)}, scores within "
    f"{REQUIRED.score_difference:g} where no spike flipped, at most "
    f"{per_cent(REQUIRED.flipped_spikes)} of the spikes flipped."
)


class ExportCheck(Frozen):
    """What FILE.check.json holds: the file, the model, and how far each program agreed on `n` test
    images of `dataset`.

    `temperature` is the model's, and `probabilities` says how they come of the file's scores.
    `accuracy` is the model's with the weights as written, `accuracy_lost` the difference to
    `accuracy_float32`. `noun`: what the test images are.
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
    required: Required
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
) -> ExportCheck:
    """Writes `model` to `path` in the format `to`, checked on test images; the outcome is kept in
    `path`.check.json.

    Prepared `images` (uint8 `[N, C, H, W]`) and `labels` may be given; otherwise `num_images` of
    the test part that `evaluate` would take, of `experiment`'s data set (the one that the model was
    trained on: see `evaluating.trained_on`). Every program that read the file must give the same
    label on at least 99.9 %, scores within 1e-4 wherever no spike flipped, and other spikes in at
    most 0.1 %; both sides compute in float32. With `weights="int8"` the file is compared with the
    model whose weights were rounded so. Raises `InputError` where the format cannot express the
    model, `ExportDisagrees` where the check fails: then nothing is written.
    """
    progress, path = progress or Progress(), Path(path)
    _require_exportable(model, to, weights)
    if (images is None) != (labels is None):
        raise InputError("images and labels go together: give both, or neither.")
    written, dataset = as_written(model, weights), model.card.dataset
    noun: Literal["image", "recording"] = (
        "recording" if model.card.preprocessing.binning else "image"
    )
    with files.atomic_path(path) as temporary:
        progress.say(f"writing {path}")
        # Before any data is loaded: a model that the format cannot express is refused at once.
        runners = EXPORTERS[to](written, temporary, weights)
        if images is None or labels is None:
            images, labels, dataset = evaluating.test_images(
                model, experiment, num_images, progress, store
            )
        accuracy, programs = compared(written, runners, images, labels, progress)
        if not all(program.ok for program in programs.values()):
            told = said_of(" ".join(_program_lines(programs, len(labels))), noun)
            raise ExportDisagrees(
                f"{path}: not written: it does not give the model's answers. {told} {_REQUIRED}"
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
            required=REQUIRED,
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
    """`check` in words: a line for each program that ran the file, and what int8 cost."""
    told = [*_program_lines(check.programs, check.n), f"Probabilities: {check.probabilities}."]
    if set(check.programs) == {"spikeduel"}:
        told.append(
            "No other program checked it. To have snnTorch check it, install snntorch and nirtorch."
        )
    if check.weights == "int8":
        told.append(
            f"Accuracy on these images: {per_cent(check.accuracy_float32, 2)}, with int8 weights "
            f"{per_cent(check.accuracy, 2)} (lost: {check.accuracy_lost * 100:.2f} points)."
        )
    return [said_of(line, check.noun) for line in told]


def _program_lines(programs: Mapping[str, Agreement], n: int) -> list[str]:
    told = []
    for name, program in programs.items():
        where = spikes = ""
        if program.spikes_flipped is not None:
            where = " where no spike flipped"
            spikes = f"; {program.spikes_flipped:,} of {program.spikes_compared:,} spikes flipped"
        if program.largest_score_difference is not None:
            scores = f"scores differ by at most {program.largest_score_difference:.2g}{where}"
        else:
            scores = (
                "no image without flips"
                if program.images_with_flips == n
                else "scores are not numbers"
            )
        told.append(
            f"{name}: the same label on {per_cent(program.same_label, 2)} of {n:,} test images; "
            f"{scores}{spikes}."
        )
    return told
