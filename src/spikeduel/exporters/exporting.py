"""`export`: batch norms folded, written for another program, run there, kept if scores agree."""

import copy
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model, neurons_watched
from spikeduel.engine.neurons import Neuron, QuantisedReLU, ReLU
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.system import __version__, files
from spikeduel.system.errors import InputError, MissingExtra, SpikeduelError, unknown
from spikeduel.system.hardware import package_version
from spikeduel.system.progress import Progress
from spikeduel.system.typed import Frozen, write_json

Encoded = Tensor | ConstantInput


class Run(NamedTuple):
    """Result for some images: `scores` `[B, K]`, and spikes `[T, B, …]` by layer of neurons."""

    scores: np.ndarray
    spikes: dict[str, np.ndarray]


Runner = Callable[[Tensor, Encoded], Run]
"""Runs a file on prepared images uint8 `[B, C, H, W]` and their encoded form."""


class Exported(NamedTuple):
    """A written file: descriptions of the `inputs` by name, the image first, and runners by
    program.

    Programs give the model's scores; with a `reference`, in int8, exactly its scores.
    `flash` and `ram` are bytes of constants and variables.
    """

    inputs: dict[str, str]
    runners: dict[str, Runner]
    reference: Runner | None = None
    flash: int | None = None
    ram: int | None = None


Examples = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Returns images uint8 `[N, C, H, W]` and labels int64 `[N]` of the training part."""
NUM_EXAMPLES = 512
"""Training images on which the ranges of integers are measured."""
Exporter = Callable[[Model, Path, Examples], Exported]
"""Writes a float32 model to a path.

Raises `InputError`, with the remedy, for a model that the format cannot express.
"""


def _write(module: str, function: str, model: Model, path: Path, examples: Examples) -> Exported:
    """Write by the function of a module that is imported here, since it can need the extra."""
    exporter: Exporter = getattr(import_module(f"spikeduel.exporters.{module}"), function)
    return exporter(model, path, examples)


EXPORTERS: dict[str, Exporter] = {
    "onnx": partial(_write, "onnx", "unrolled"),
    "onnx-step": partial(_write, "onnx", "step"),
    "nir": partial(_write, "nir", "write"),
    "c": partial(_write, "c", "write"),
}
FOLDERS = ("c",)
"""Formats of more than one file, which compute in int8; all others do in float32."""
_NEEDS = dict.fromkeys(("onnx", "onnx-step"), ("onnx", "onnxscript", "onnxruntime")) | {
    "nir": ("nir",)
}
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "nir", "nirtorch", "snntorch", "norse")
BATCH = 50
SAME_LABEL, SCORE_DIFFERENCE, FLIPPED_SPIKES = 0.999, 1e-4, 1e-3
"""Least agreement for a file to be kept, the last two at most: rounding flips few spikes."""


class ExportDisagrees(SpikeduelError):
    """Error: the written file does not give the model's scores."""


class Agreement(Frozen):
    """Agreement of one program with the model.

    Spikes are None if nothing can flip. `largest_score_difference` is over images without flipped
    spikes: None without any, or if a score is not a number.
    """

    ok: bool
    same_label: float
    largest_score_difference: float | None
    spikes_flipped: int | None
    spikes_compared: int | None
    images_with_flips: int | None
    accuracy: float


class ExportCheck(Frozen):
    """Content of FILE.check.json: the file, the model's card, and each program's agreement on `n`
    test images.

    `accuracy` is that of the file's reference, in int8 for C; `accuracy_float32` is the model's.
    `inputs` says what the file takes, by name. `flash` and `ram` are bytes of constants and
    variables, of C alone. The checksum of a folder is that of its files' checksums, in order of
    their names.
    """

    spikeduel: str
    created: str
    sha256: str
    bytes: int
    format: str
    weights: str
    model: ModelCard
    dataset: str
    n: int
    accuracy_float32: float
    accuracy: float
    inputs: dict[str, str]
    programs: dict[str, Agreement]
    versions: dict[str, str]
    flash: int | None = None
    ram: int | None = None

    @property
    def noun(self) -> str:
        return "recording" if self.model.preprocessing.binning else "image"


def export(
    model: Model,
    path: Path,
    test_images: Callable[[], tuple[np.ndarray, np.ndarray, str]],
    to: str = "onnx",
    progress: Progress | None = None,
    *,
    examples: Examples,
) -> ExportCheck:
    """Write `model` to `path` in the format `to`; keep the check in `path`.check.json.

    Every program that reads the file must agree with the float32 model, or with its int8 form, on
    the test images. `test_images` returns images uint8 `[N, C, H, W]`, labels int64 `[N]` and the
    data set's name; it is called once the format accepts the model. The int8 form is fitted to
    `examples`. Raises `InputError` if the format cannot express the model, and `ExportDisagrees`,
    without a file, if a program gives other scores.
    """
    progress = progress or Progress()
    _require_exportable(model, to)
    _require_new(path, to)
    written = as_written(model)
    with files.atomic_path(path, folder=to in FOLDERS) as temporary:
        exported = EXPORTERS[to](written, temporary, examples)
        progress.say(f"writing {path}")
        images, labels, dataset = test_images()
        check = ExportCheck(
            spikeduel=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            sha256=_checksum(temporary),
            bytes=sum(file.stat().st_size for file in _files_of(temporary)),
            format=to,
            weights="int8" if exported.reference else "float32",
            model=model.card,
            dataset=dataset,
            n=len(labels),
            accuracy_float32=float((written.predict(images)[0] == labels).mean()),
            inputs=exported.inputs,
            versions={name: version for name in _PACKAGES if (version := package_version(name))},
            flash=exported.flash,
            ram=exported.ram,
            **compared(written, exported, images, labels, progress),
        )
        if not all(program.ok for program in check.programs.values()):
            required = (
                "the same scores on all."
                if exported.reference
                else f"the same label on {100 * SAME_LABEL:.1f} %, scores within "
                f"{SCORE_DIFFERENCE:g} where no spike flipped, at most {100 * FLIPPED_SPIKES:.1f} "
                "% of the spikes flipped."
            )
            raise ExportDisagrees(
                f"{path}: not written: it does not give the model's scores. "
                f"{' '.join(_program_lines(check))} Required: {required}"
            )
        _require_new(path, to)  # another process may have been faster
    write_json(path.with_name(f"{path.name}.check.json"), check)
    return check


def _files_of(path: Path) -> list[Path]:
    return sorted(file for file in (path, *path.rglob("*")) if file.is_file())


def _checksum(path: Path) -> str:
    sums = [files.checksum(file) for file in _files_of(path)]
    return sums[0] if path.is_file() else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _require_new(path: Path, to: str) -> None:
    is_empty = path.is_dir() and not path.is_symlink() and not any(path.iterdir())
    if to in FOLDERS and os.path.lexists(path) and not is_empty:
        raise InputError(f"{path}: there is something already. Name a new folder, or delete it.")


def _require_exportable(model: Model, to: str) -> None:
    """Raise `InputError` for an unknown format, a missing extra, or a foreign spiking network."""
    if to not in EXPORTERS:
        raise unknown("export format", to, EXPORTERS)
    for package in _NEEDS.get(to, ()):
        if find_spec(package) is None:
            raise MissingExtra(package, "export")
    if model.card.foreign is not None and model.card.kind == "snn":
        raise InputError(
            f"{model.card.contender} is a spiking network of another library, whose neurons export "
            "does not know: build it of spikeduel's (sd.LIF), or export it with that library."
        )


def lines(check: ExportCheck) -> list[str]:
    """Return sentences on `check`."""
    follow = probabilities_of(check.model)
    probabilities = {
        "nir": f"not in the file, as NIR has no softmax: {follow}",
        "c": "not in the program, whose header says what its scores mean",
    }.get(check.format, f"output probabilities: {follow}")
    name, takes = next(iter(check.inputs.items()))
    sentences = [
        *_program_lines(check),
        f"Input {name}: {takes}.",
        f"Probabilities: {probabilities}.",
    ]
    if set(check.programs) == {"spikeduel"}:
        sentences.append(
            "No other program checked it. To have snnTorch check it, install snntorch and nirtorch."
        )
    if check.weights == "int8":
        gained = check.accuracy - check.accuracy_float32
        sentences.append(
            f"Accuracy on these {check.noun}s: {100 * check.accuracy_float32:.2f} %, with int8 "
            f"weights {100 * check.accuracy:.2f} % ({100 * gained:+.2f} points)."
        )
    if check.flash is not None:
        sentences.append(
            f"Memory: {check.flash:,} bytes of constants (flash) and {check.ram:,} of variables "
            "(RAM), the program itself and its stack not counted."
        )
    return sentences


def _program_lines(check: ExportCheck) -> list[str]:
    """Return a sentence on each program's agreement."""
    sentences = []
    # Without time steps, levels of activations are compared in place of spikes.
    unit, changed = ("spike", "flipped") if check.model.num_steps else ("activation", "changed")
    for name, program in check.programs.items():
        where = spikes = ""
        if program.spikes_flipped is not None:
            number = f"{program.spikes_flipped:,} of {program.spikes_compared:,}"
            where, spikes = f" where no {unit} {changed}", f"; {number} {unit}s {changed}"
        if program.largest_score_difference is not None:
            scores = f"scores differ by at most {program.largest_score_difference:.2g}{where}"
        elif program.images_with_flips == check.n:
            scores = f"no {check.noun} in which no {unit} {changed}"
        else:
            scores = "scores are not numbers"
        sentences.append(
            f"{name}: the same label on {100 * program.same_label:.2f} % of {check.n:,} test "
            f"{check.noun}s; {scores}{spikes}."
        )
    return sentences


def as_written(model: Model) -> Model:
    """Return a copy on the CPU in float32, rows contiguous."""
    copied = Model(copy.deepcopy(model.module).cpu().float().eval(), model.card)
    copied.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return copied


def compared(
    model: Model, exported: Exported, images: np.ndarray, labels: np.ndarray, progress: Progress
) -> dict[str, Any]:
    """Return the `accuracy` of `model`, or of the exported reference, on `images` uint8 `[N, C, H,
    W]`, and how `programs` agree with it.
    """
    reference, flip_sizes = exported.reference, _flip_sizes(model.module)
    if reference is not None:
        flip_sizes = {}
    by_image: dict[str, list[np.ndarray]] = {name: [] for name in exported.runners}
    right = 0
    for start in progress.track(range(0, len(labels), BATCH), "checking", -(-len(labels) // BATCH)):
        part, truth = torch.from_numpy(images[start : start + BATCH]), labels[start : start + BATCH]
        encoded = model.encode(part, RandomKeys.for_content(part))
        expected = reference(part, encoded) if reference else reference_run(model, encoded)
        right += int((expected.scores.argmax(1) == truth).sum())
        for name, run in exported.runners.items():
            by_image[name].append(_by_image(expected, run(part, encoded), truth, flip_sizes))
    agreements = {
        name: _agreement(np.concatenate(parts), bool(flip_sizes), reference is not None)
        for name, parts in by_image.items()
    }
    return {"accuracy": right / len(labels), "programs": agreements}


def _by_image(
    expected: Run, run: Run, labels: np.ndarray, flip_sizes: Mapping[str, float]
) -> np.ndarray:
    """Return `[B, 5]`: label as expected, label right, flipped spikes, compared spikes, largest
    score difference.
    """
    predicted = run.scores.argmax(1)
    flips = spikes = np.zeros(len(labels), np.int64)
    for name, size in flip_sizes.items():
        flipped = np.abs(expected.spikes[name] - run.spikes[name]) > size
        flips = flips + flipped.sum(axis=(0, *range(2, flipped.ndim)))
        spikes = spikes + flipped.size // len(labels)
    # Scores that are not numbers differ beyond all tolerance.
    differences = np.nan_to_num(np.abs(expected.scores - run.scores), nan=np.inf).max(1)
    same = predicted == expected.scores.argmax(1)
    return np.stack([same, predicted == labels, flips, spikes, differences], 1)


def _agreement(by_image: np.ndarray, has_spikes: bool, is_exact: bool) -> Agreement:
    same, right, flips, spikes, differences = by_image.astype(np.float64).T
    largest = float(differences[flips == 0].max(initial=0.0))
    few_flips = flips.sum() <= FLIPPED_SPIKES * spikes.sum()
    least_same, most_different = (1.0, 0.0) if is_exact else (SAME_LABEL, SCORE_DIFFERENCE)
    return Agreement(
        ok=bool(same.mean() >= least_same and largest <= most_different and few_flips),
        same_label=float(same.mean()),
        largest_score_difference=largest if not flips.all() and np.isfinite(largest) else None,
        spikes_flipped=int(flips.sum()) if has_spikes else None,
        spikes_compared=int(spikes.sum()) if has_spikes else None,
        images_with_flips=int((flips > 0).sum()) if has_spikes else None,
        accuracy=float(right.mean()),
    )


@torch.inference_mode()
def reference_run(model: Model, encoded: Encoded) -> Run:
    with neurons_watched(model.module) as seen:
        scores = model.readout.scores(model.run(encoded))
    return Run(scores.numpy(), {name: spk.float().numpy() for name, (_, spk, _) in seen.items()})


def _flip_sizes(module: nn.Module) -> dict[str, float]:
    """Return the change that is a flip, by layer: half a spike or half a level."""
    return {
        name: float(neuron.level_step.detach().abs()) / 2
        if isinstance(neuron, QuantisedReLU)
        else 0.5
        for name, neuron in module.named_modules()
        if isinstance(neuron, QuantisedReLU)
        or (isinstance(neuron, Neuron) and not isinstance(neuron, ReLU))
    }


def folded(module: nn.Module) -> nn.Module:
    """Fold batch norms behind a Linear or Conv2d, also across average pooling, in place; an
    Identity keeps the name.
    """
    module.eval()
    for part in (part for part in module.modules() if isinstance(part, nn.Sequential)):
        layers = [(name, layer) for name, layer in part.named_children() if not _averages(layer)]
        for (name, layer), (next_name, norm) in itertools.pairwise(layers):
            if isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                setattr(part, name, fuse_linear_bn_eval(layer, norm))
            elif isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, name, fuse_conv_bn_eval(layer, norm))
            else:
                continue
            setattr(part, next_name, nn.Identity())
    return module


def flat(layers: Sequence[nn.Module]) -> Iterator[nn.Module]:
    """Yield layers, those of a `Sequential` one by one."""
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from flat(list(layer))
        else:
            yield layer


def _averages(layer: nn.Module) -> bool:
    return (
        isinstance(layer, nn.AvgPool2d)
        and layer.padding in (0, (0, 0))
        and layer.divisor_override is None
    )


def probabilities_of(card: ModelCard) -> str:
    """Return how probabilities follow from scores, in words."""
    if card.temperature is None:
        return "the softmax of scores, which is not calibrated: no temperature was fitted"
    return (
        f"the softmax of scores / {card.temperature:g}, a temperature that was fitted on "
        "validation images"
    )


def preparation_of(card: ModelCard) -> list[str]:
    """Return the steps from a picture to a prepared image, in words."""
    how = card.preprocessing
    channels, height, width = card.image_shape
    if how.binning is not None:
        return [f"{how.binning.num_frames} frames of events, counted per pixel and polarity"]
    left, top, right, bottom = how.crop
    cropped = f"cut {left}, {top}, {right}, {bottom} pixels off left, top, right, bottom"
    steps = {
        "grey" if channels == 1 else "red, green, blue": True,
        cropped: any(how.crop),
        "turn dark to light (255 - value)": how.invert,
        f"pad with 0, centred, to the shape of {height} x {width}": True,
        f"resize to {height} x {width} {'' if how.enlarge else 'where it is larger '}as Pillow "
        "does (bilinear, averaging)": True,
    }
    return [step for step, is_taken in steps.items() if is_taken]


def frames_of(card: ModelCard) -> str:
    """Return the input of one time step, in words."""
    return {
        "direct": "at every step the same: prepared pixels / 255",
        "rate": "fresh at every step: 1 with probability prepared pixel / 255, else 0",
        "events": "the number of events of each pixel, darker and brighter, in this frame of the "
        "recording",
        "latency": "1 once for each pixel above 0, at step round((1 − pixel / 255) · (T − 1)), "
        "else 0",
    }.get(card.encoding or "", f"what the encoding {card.encoding} gives at this step")
