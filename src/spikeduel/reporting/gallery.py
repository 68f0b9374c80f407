"""Looking at single images and at what models make of them: which ones to show, and their figures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.data.events.recordings import picture_of
from spikeduel.data.prepared import Prepared
from spikeduel.networks.models import Model, Trace
from spikeduel.reporting import recorded, spikes, style
from spikeduel.spiking.encoders import rate
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import SpikeCountReadout
from spikeduel.system import files
from spikeduel.system.errors import InputError, unknown

RASTER_STEPS = 100
ANIMATION_STEPS = 40
MOST_SEARCHED = 2048
MOST_CLASSES = 12
_OTHERS = "#9AA5B1"
"""The colour of classes that are neither the answer nor the truth."""


def answer(image: np.ndarray, trace: Trace, classes: Sequence[str], truth: int | None = None) -> Figure:
    """An image, and the spikes of the output neurons over time, with their counts; the answer has the most.

    `image` is uint8 `[C, H, W]`, the first that `trace` is of. Beyond twelve classes, the highest scores are shown, and
    the truth. Where no output neuron spikes, their membranes are shown, whose sums then decide.
    """
    spk, mem = (values[trace.output_layer][:, 0].float().numpy() for values in (trace.spk, trace.mem))
    colours, figure, (middle, right) = _beside(image, _scores(trace), classes, truth, [1.3, 2.7, 0.9])
    shown, counts = list(colours), spk.sum(0)
    if spk.any():
        num_steps, rows = len(spk), np.arange(len(shown))
        style.quiet(middle, "spikes of the output neurons", x="time step")
        middle.hlines(rows, -0.5, num_steps - 0.5, color=style.FAINT, linewidth=0.6, zorder=0)
        for row, (k, colour) in enumerate(colours.items()):
            style.spike_marks(middle, spk[:, [k]], rows[[row]], colour, 1.6)
        middle.set_xlim(-0.8, num_steps - 0.2)
        middle.set_ylim(len(rows) - 0.5, -0.5)
        _bars(right, "count", counts[shown], colours, "{:.0f}")
        if (counts == counts.max()).sum() > 1:
            middle.set_xlabel("time step  (equal counts: the summed membrane decides)")
    else:
        style.quiet(middle, "no output neuron spiked: membranes", x="time step", y="U[t]")
        for k in sorted(shown, key=lambda k: colours[k] != _OTHERS):
            middle.plot(mem[:, k], color=colours[k], linewidth=0.8 if colours[k] == _OTHERS else 1.8)
        _bars(right, "summed U", mem.sum(0)[shown], colours, "{:.1f}")
    _name_rows(middle if spk.any() else right, classes, colours)
    return figure


def probabilities(image: np.ndarray, values: np.ndarray, classes: Sequence[str], truth: int | None = None) -> Figure:
    """An image, and the probability `[K]` that a network gives to each class: the twelve highest, and the truth."""
    colours, figure, (right,) = _beside(image, values, classes, truth, [1.3, 3.6])
    _bars(right, "probability", np.asarray(values)[list(colours)], colours, "{:.1%}")
    right.set_xlim(0, 1.12)
    _name_rows(right, classes, colours)
    return figure


def predicted_class(trace: Trace) -> int:
    """The class index that the most-spikes readout gives to the first image."""
    return int(_scores(trace).argmax())


def _scores(trace: Trace) -> np.ndarray:
    output = (trace.spk[trace.output_layer][:, [0]].float(), trace.mem[trace.output_layer][:, [0]].float())
    return SpikeCountReadout().scores(output)[0].numpy()


def _beside(
    image: np.ndarray, scores: np.ndarray, classes: Sequence[str], truth: int | None, widths: list[float]
) -> tuple[dict[int, str], Figure, list[Axes]]:
    """The classes to show and their colours; a figure with the image and the answer, and the panels beside them."""
    predicted = int(np.argmax(scores))
    shown = list(range(len(scores)))
    if len(scores) > MOST_CLASSES:
        shown = np.argsort(-np.asarray(scores), kind="stable")[:MOST_CLASSES].tolist()
        if truth is not None and truth not in shown:
            shown[-1] = truth
    colours = dict.fromkeys(shown, _OTHERS)
    colours[predicted] = style.INK if truth is None else style.WRONG
    figure = style.new_figure(max(2.0, 0.75 + 0.19 * len(shown)))
    left, *panels = figure.subplots(1, len(widths), width_ratios=widths)
    style.show_image(left, image)
    left.set_title(f"answer: {style.shortened(str(classes[predicted]), 22)}", fontsize=style.MEDIUM, fontweight="bold")
    if truth is not None:
        colours[truth] = style.RIGHT
        colour = style.RIGHT if truth == predicted else style.WRONG
        left.title.set_color(colour)
        text = "right" if truth == predicted else f"wrong: it is {style.shortened(str(classes[truth]), 22)}"
        left.set_xlabel(text, fontsize=style.MEDIUM, color=colour)
    return colours, figure, panels


def _bars(axes: Axes, title: str, values: np.ndarray, colours: dict[int, str], form: str) -> None:
    style.quiet(axes, title)
    rows = np.arange(len(values))
    axes.barh(rows, values, height=0.7, color=list(colours.values()), linewidth=0)
    reach = max(float(np.abs(values).max(initial=0)), 1e-9)
    for row, value in zip(rows, values, strict=True):
        axes.annotate(
            form.format(value), (max(value, 0), row), (4, 0), textcoords="offset points", va="center",
            fontsize=style.SMALL, color=style.QUIET,
        )  # fmt: skip
    axes.set_xlim(min(0, float(values.min(initial=0))), reach * 1.4)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)


def _name_rows(axes: Axes, classes: Sequence[str], colours: dict[int, str]) -> None:
    axes.set_yticks(np.arange(len(colours)), [style.shortened(str(classes[k]), 20) for k in colours])
    axes.tick_params(axis="y", length=0)
    for label, colour in zip(axes.get_yticklabels(), colours.values(), strict=True):
        label.set_fontsize(style.SMALL)
        if colour != _OTHERS:
            label.set_color(colour)
            label.set_fontweight("bold")


def spikes_decide(model: Model) -> bool:
    """Whether `model` answers by the spike counts of its output neurons, and can be looked into."""
    counts = model.card.encoding is not None and isinstance(model.module.readout, SpikeCountReadout)
    return counts and model.card.foreign is None


def of_answer(
    model: Model,
    image: np.ndarray,
    truth: int | None,
    path: Path,
    index: int | None = None,
    calibrated: bool = True,
) -> Path:
    """Writes `model`'s answer to `image` uint8 `[C, H, W]`: spikes of its output neurons, or probabilities.

    `index` is the image's place in the data, which decides the draws of a random encoding in evaluation.
    """
    draw = None if index is None else RandomKeys.for_evaluation(np.array([index]))
    if spikes_decide(model):
        figure = answer(image, model.trace(image[None], draw), model.card.classes, truth)
    else:
        shares = model.predict(image[None], draw, calibrated=calibrated)[1][0]
        figure = probabilities(image, shares, model.card.classes, truth)
    return style.save(figure, path)


def of_rate_encoding(image: np.ndarray, folder: Path) -> list[Path]:
    """Writes the animation and the raster of `image` uint8 `[C, H, W]`, rate-encoded over 100 steps."""
    batch = torch.from_numpy(image.copy()).unsqueeze(0)
    encoded = rate(batch, RASTER_STEPS, RandomKeys.for_content(batch))[:, 0].float().numpy()
    return [
        spikes.encoded_animation(encoded[:ANIMATION_STEPS], image, folder / "encoded.gif"),
        style.save(spikes.raster_of_diagonal(encoded, image), folder / "diagonal.png"),
    ]


def of_encoding(model: Model, image: np.ndarray, folder: Path) -> list[Path]:
    """Writes how `image` uint8 `[C, H, W]` comes in: of a recording its frames, with what goes on in `model` if it
    spikes; of any other image `of_rate_encoding`.
    """
    if model.card.preprocessing.binning is None:
        return of_rate_encoding(image, folder)
    path = folder / "recording.gif"
    if model.card.encoding is not None and model.card.foreign is None:
        return [recorded.inside(model, image, path)]
    steps = image.reshape(-1, 2, *image.shape[1:]).max(1, keepdims=True)
    return [spikes.encoded_animation((steps > 0).astype(float), picture_of(image.sum(0))[None], path)]


def of_neuron(model: Model, image: np.ndarray, folder: Path) -> tuple[Path, str] | None:
    """Writes one hidden neuron of `model` over 100 steps, looking at `image` uint8 `[C, H, W]`, and explains it.

    None where it has no neuron that can be looked into.
    """
    if model.card.foreign is not None or model.card.encoding is None:
        return None
    trace = model.trace(image[None], num_steps=None if model.card.preprocessing.binning else RASTER_STEPS)
    if not trace.spk:
        return None
    return style.save(spikes.neuron_over_time(model, trace), folder / "neuron.png"), spikes.explain_neuron(model, trace)


def examples(model: Model, prepared: Prepared, test: np.ndarray) -> dict[str, int | None]:
    """The index of the first test image that `model` gets right, and of the first that it gets wrong.

    Looks at 2048 images at most; what is not found among them is None. Random encodings draw as in evaluation.
    """
    found: dict[str, int | None] = {"right": None, "wrong": None}
    for part in _parts(test[:MOST_SEARCHED]):
        predicted = model.predict(np.asarray(prepared.images[part]), RandomKeys.for_evaluation(part))[0]
        is_right = predicted == np.asarray(prepared.labels)[part]
        for kind, candidates in (("right", part[is_right]), ("wrong", part[~is_right])):
            if found[kind] is None:
                confirmed = (int(k) for k in candidates if _is_right(model, prepared, int(k)) == (kind == "right"))
                found[kind] = next(confirmed, None)
        if None not in found.values():
            break
    return found


def _is_right(model: Model, prepared: Prepared, index: int) -> bool:
    # Sums of another batch size round differently, which can flip a spike, and with it a close answer.
    image, draw = np.asarray(prepared.images[[index]]), RandomKeys.for_evaluation(np.array([index]))
    decide = spikes_decide(model)
    predicted = predicted_class(model.trace(image, draw)) if decide else int(model.predict(image, draw)[0][0])
    return predicted == int(prepared.labels[index])


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


def inspect(
    model: Model, image: np.ndarray, out: Path | str, truth: str | None = None, *, calibrated: bool = True
) -> list[Path]:
    """Writes the figures for one image into the folder `out`, and returns their paths.

    `image` is prepared: uint8 `[C, H, W]`; `truth` is its class name, where known. Of a spiking model: its input, the
    animation and the raster of its encoding where that is rate encoding, one neuron over 100 steps, the answer; of any
    other: its input and the answer, whose probabilities are those of `Model.predict`.
    Raises `InputError` for an unknown class, an image of another shape, or a folder that cannot be written to.
    """
    folder, card, image = Path(out), model.card, np.asarray(image)
    if image.dtype != np.uint8 or image.shape != tuple(card.image_shape):
        raise InputError(
            f"{card.contender} takes a prepared image, uint8 {list(card.image_shape)}; got {image.dtype} "
            f"{list(image.shape)}. Use model.card.preprocessing(picture)."
        )
    if truth is not None and truth not in card.classes:
        raise unknown("class", truth, card.classes)
    files.require_writable(folder)
    figure = style.new_figure(3.2, 3.0)
    height, width = image.shape[1:]
    style.show_image(figure.subplots(), image, f"network input, {width}×{height}")
    paths = [style.save(figure, folder / "input.png")]
    if card.encoding == "rate" or card.preprocessing.binning:
        paths += of_encoding(model, image, folder)
    if neuron := of_neuron(model, image, folder):
        paths.append(neuron[0])
    label = None if truth is None else card.classes.index(truth)
    return [*paths, of_answer(model, image, label, folder / "answer.png", calibrated=calibrated)]
