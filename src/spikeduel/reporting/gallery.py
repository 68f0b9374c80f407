"""Looking at images and at what models make of them: which ones to show, and their figures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from spikeduel.data.prepared import Prepared
from spikeduel.networks.models import Model
from spikeduel.reporting import answers, figures, spikes, style
from spikeduel.reporting.animation import encoded_animation
from spikeduel.reporting.style import Shown
from spikeduel.spiking.encoders import rate
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import SpikeCountReadout
from spikeduel.system.errors import InputError, unknown

RASTER_STEPS = 100
ANIMATION_STEPS = 40
MOST_SEARCHED = 2048
_ENCODINGS = {
    "direct": "Direct encoding: the same analogue image at every step, so the input of this layer is constant.",
    "rate": "Rate encoding: new random spikes at every step.",
    "latency": "Latency encoding: each pixel spikes once, the brighter the earlier.",
}


@dataclass(frozen=True)
class Example:
    """A test image: its index in the data, its class and what a model said."""

    index: int
    truth: int
    predicted: int


def of_data(prepared: Prepared, folder: Path) -> Shown:
    """Samples before and after preprocessing."""
    most, num_classes = figures.MOST_SAMPLES, len(prepared.classes)
    which = f"One image per class{f' (the first {most} of {num_classes})' if num_classes > most else ''}"
    return Shown(
        style.save(figures.samples(prepared), folder / "samples.png"),
        "one image of each class, original and prepared",
        f"{which}: the original above, the network's input below. {_preprocessing(prepared)}"
        if prepared.samples
        else f"{which}, as the networks get it.",
        "The data",
    )


def of_rate_encoding(prepared: Prepared, index: int, folder: Path, trained_on: str | None = "rate") -> list[Shown]:
    """The animation of a rate-encoded image, and the raster of its diagonal over 100 steps.

    `trained_on` is the encoding that the run's networks really got.
    """
    name = prepared.classes[int(prepared.labels[index])]
    animation, diagonal = rate_figures(np.asarray(prepared.images[index]), folder)
    other = "" if trained_on == "rate" else f" (Shown for comparison: these networks got {trained_on} encoding.)"
    return [
        Shown(
            animation,
            f"a test image of class {name}, its spikes at each step, and their mean, which approaches the image",
            "At every step, each pixel spikes with a probability equal to its brightness: a pixel of 60 % brightness "
            "spikes in about 60 of 100 steps. One step is noisy; the mean of many steps comes close to the image."
            f"{other}",
            "Rate encoding: an image as spikes",
        ),
        Shown(
            diagonal,
            "spikes of the pixels on the image's diagonal over 100 steps",
            "Each row is one pixel of the diagonal, each mark a spike. Right: how often each pixel spiked (bars) and "
            "its brightness (line)."
            + (" Red, green and blue are a pixel's three channels." if prepared.image_shape[0] == 3 else ""),
            "The diagonal's pixels over 100 steps",
        ),
    ]


def rate_figures(image: np.ndarray, folder: Path) -> list[Path]:
    """Writes the animation and the raster of `image` uint8 `[C, H, W]`, rate-encoded over 100 steps."""
    batch = torch.from_numpy(image.copy()).unsqueeze(0)
    encoded = rate(batch, RASTER_STEPS, RandomKeys.for_content(batch))[:, 0].float().numpy()
    return [
        encoded_animation(encoded[:ANIMATION_STEPS], image, folder / "encoded.gif"),
        style.save(spikes.raster_of_diagonal(encoded, image), folder / "diagonal.png"),
    ]


def of_neuron(model: Model, image: np.ndarray, folder: Path) -> list[Shown]:
    """One hidden neuron of `model` over 100 steps, looking at `image` uint8 `[C, H, W]`; nothing where it has none
    that can be looked into.
    """
    if model.card.foreign is not None:
        return []
    trace = model.trace(image[None], num_steps=RASTER_STEPS)
    if not trace.spk:
        return []
    shown = Shown(
        style.save(spikes.neuron_over_time(model, trace), folder / "neuron.png"),
        "input spikes, input current, membrane potential with its threshold, and output spikes of one neuron",
        f"{spikes.explain_neuron(model, trace)} {_ENCODINGS.get(model.card.encoding or '', '')}".rstrip(),
        "One neuron from inside",
    )
    return [shown]


def of_answer(model: Model, image: np.ndarray, truth: int | None, path: Path, index: int | None = None) -> Shown:
    """`model`'s answer to `image` uint8 `[C, H, W]`: spikes of its output neurons, or probabilities.

    `index` is the image's place in the data, which decides the draws of a random encoding in evaluation.
    """
    draw = None if index is None else RandomKeys.for_evaluation(np.array([index]))
    batch = image[None]
    if not _spikes_decide(model):
        values = model.predict(batch, draw)[1][0]
        figure: Figure = answers.probabilities(image, values, model.card.classes, truth)
        caption = "The probability of each class; the highest is the answer."
    else:
        trace = model.trace(batch, draw)
        figure = answers.answer(image, trace, model.card.classes, truth)
        caption = (
            "One row per class, one mark per spike of its output neuron. The class with the most spikes is the answer; "
            "in a tie, the higher summed membrane potential decides."
        )
    return Shown(style.save(figure, path), "an image and the network's answer to it", caption)


def _spikes_decide(model: Model) -> bool:
    counts = model.card.encoding is not None and isinstance(model.module.readout, SpikeCountReadout)
    return counts and model.card.foreign is None


def examples(model: Model, prepared: Prepared, test: np.ndarray) -> dict[str, Example | None]:
    """The first test image that `model` gets right, and the first that it gets wrong, in the order of the test set.

    Looks at 2048 images at most; what is not found among them is None. Random encodings draw as in evaluation.
    """
    found: dict[str, Example | None] = {"right": None, "wrong": None}
    for part in _parts(test[:MOST_SEARCHED]):
        predicted = model.predict(np.asarray(prepared.images[part]), RandomKeys.for_evaluation(part))[0]
        truth = np.asarray(prepared.labels)[part]
        for kind, candidates in (("right", part[predicted == truth]), ("wrong", part[predicted != truth])):
            for index in candidates if found[kind] is None else ():
                example = _confirmed(model, prepared, int(index))
                if (example.truth == example.predicted) == (kind == "right"):
                    found[kind] = example
                    break
        if all(found.values()):
            break
    return found


def _confirmed(model: Model, prepared: Prepared, index: int) -> Example:
    # Sums of another batch size round differently, which can flip a spike, and with it a close answer.
    image, draw = np.asarray(prepared.images[[index]]), RandomKeys.for_evaluation(np.array([index]))
    if not _spikes_decide(model):
        predicted = int(model.predict(image, draw)[0][0])
    else:
        predicted = answers.predicted_class(model.trace(image, draw))
    return Example(index, int(prepared.labels[index]), predicted)


def _parts(indices: np.ndarray, first: int = 64) -> Iterator[np.ndarray]:
    """`indices` in parts that double in size, so that a common case is found soon."""
    start, size = 0, first
    while start < len(indices):
        yield indices[start : start + size]
        start, size = start + size, min(2 * size, 512)


def telling_image(prepared: Prepared, test: np.ndarray) -> int:
    """Of the first 64 test images, the one with the most grey on its diagonal.

    Black and white pixels spike never and always: on grey ones a raster shows what rate encoding does.
    """
    candidates = test[:64]
    rows, columns = spikes.diagonal(*prepared.image_shape[1:])
    brightness = np.asarray(prepared.images[candidates])[:, :, rows, columns] / 255
    return int(candidates[(brightness * (1 - brightness)).mean((1, 2)).argmax()])


def _preprocessing(prepared: Prepared) -> str:
    how = prepared.preprocessing
    steps = []
    if any(how.crop):
        steps.append("cropped (pixels: {} left, {} above, {} right, {} below)".format(*how.crop))
    steps.append("grey" if how.channels == 1 else "in colour")
    if how.invert:
        steps.append("inverted to light on dark")
    steps.append(f"{how.width}×{how.height} pixels, padded with black to that shape where needed")
    return f"Preprocessing: {', '.join(steps)}. Pixels are then scaled to [0, 1]."


def inside(
    models: Mapping[str, Model], prepared: Prepared, tests: Mapping[str, np.ndarray], folder: Path
) -> list[Shown]:
    """How one test image is encoded, and one neuron of the first spiking model; nothing where there is none.

    `tests` has the indices of each model's test images.
    """
    spiking = [name for name, model in models.items() if model.card.encoding]
    if not spiking or not len(tests[spiking[0]]):
        return []
    chosen = next((name for name in spiking if models[name].card.foreign is None), spiking[0])
    index = telling_image(prepared, tests[chosen])
    return [
        *of_rate_encoding(prepared, index, folder, models[chosen].card.encoding),
        *of_neuron(models[chosen], np.asarray(prepared.images[index]), folder),
    ]


def right_and_wrong(name: str, model: Model, prepared: Prepared, test: np.ndarray, folder: Path) -> list[Shown | str]:
    """A figure of the first right and of the first wrong answer of contender `name`, or a sentence in its place."""
    shown: list[Shown | str] = []
    for kind, example in examples(model, prepared, test).items():
        if example is None:
            shown.append(f"None of the first {min(len(test), MOST_SEARCHED):,} test images gets a {kind} answer.")
            continue
        image = np.asarray(prepared.images[example.index])
        path = folder / f"answer-{kind}-{style.file_name(name)}.png"
        figure = of_answer(model, image, example.truth, path, example.index)
        caption = figure.caption if kind == "right" else "Red: the answer. Green: the true class."
        shown.append(replace(figure, caption=caption, heading=f"The first {kind} answer"))
    return shown


def inspect(model: Model, image: np.ndarray, out: Path | str, truth: str | None = None) -> list[Path]:
    """Writes the figures for one image into the folder `out`, and returns their paths.

    `image` is prepared: uint8 `[C, H, W]`; `truth` is its class name, where known. Of a spiking model: its input, the
    animation and the raster of its encoding where that is rate encoding, one neuron over 100 steps, the answer; of any
    other: its input and the answer.
    Raises `InputError` for an unknown class, an image of another shape, or a folder that cannot be written to.
    """
    folder = Path(out)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != tuple(model.card.image_shape):
        raise InputError(
            f"{model.card.contender} takes a prepared image, uint8 {list(model.card.image_shape)}; got {image.dtype} "
            f"{list(image.shape)}. Use model.card.preprocessing(picture)."
        )
    if truth is not None and truth not in model.card.classes:
        raise unknown("class", truth, model.card.classes)
    label = None if truth is None else model.card.classes.index(truth)

    figure = style.new_figure(3.2, 3.0)
    height, width = image.shape[1:]
    style.show_image(figure.subplots(), image, f"network input, {width}×{height}")
    paths = [style.save(figure, folder / "input.png")]
    if model.card.encoding == "rate":
        paths += rate_figures(image, folder)
    if model.card.encoding is not None:
        paths += [shown.path for shown in of_neuron(model, image, folder)]
    paths.append(of_answer(model, image, label, folder / "answer.png").path)
    return paths
