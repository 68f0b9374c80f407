"""One image and a network's answer to it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.networks.models import Trace
from spikeduel.reporting import style
from spikeduel.spiking.readouts import SpikeCountReadout

MOST_CLASSES = 12


def answer(
    image: np.ndarray, trace: Trace, classes: Sequence[str], truth: int | None = None, image_index: int = 0
) -> Figure:
    """An image, and the spikes of the output neurons over time, with their counts; the answer has the most.

    `image` is uint8 `[C, H, W]`. Beyond twelve classes, the highest scores are shown, and the truth. Where no output
    neuron spikes, their membranes are shown, whose sums then decide.
    """
    layer = trace.output_layer
    spk, mem = (values[layer][:, image_index].float() for values in (trace.spk, trace.mem))
    scores = SpikeCountReadout().scores((spk.unsqueeze(1), mem.unsqueeze(1)))[0].numpy()
    predicted = int(scores.argmax())
    shown = _shown(scores, truth)
    figure, (left, middle, right) = _panels(len(shown), [1.3, 2.7, 0.9])
    style.show_image(left, image)
    _verdict(left, classes, predicted, truth)
    if spk.any():
        counts = spk.sum(0).numpy()
        _spikes(middle, spk[:, shown].numpy(), [_colour(k, predicted, truth) for k in shown])
        _bars(style.quiet(right, "count"), counts[shown], shown, predicted, truth, "{:.0f}")
        if (counts == counts.max()).sum() > 1:
            middle.set_xlabel("time step  (equal counts: the summed membrane decides)")
    else:
        _membranes(middle, mem.numpy(), shown, predicted, truth)
        _bars(style.quiet(right, "summed U"), mem.sum(0).numpy()[shown], shown, predicted, truth, "{:.1f}")
    if spk.any():
        _name_rows(middle, classes, shown, predicted, truth)
    else:
        _name_rows(right, classes, shown, predicted, truth)
    return figure


def probabilities(image: np.ndarray, values: np.ndarray, classes: Sequence[str], truth: int | None = None) -> Figure:
    """An image, and the probability `[K]` that a network gives to each class: the twelve highest, and the truth."""
    predicted = int(np.argmax(values))
    shown = _shown(np.asarray(values), truth)
    figure, (left, right) = _panels(len(shown), [1.3, 3.6])
    style.show_image(left, image)
    _verdict(left, classes, predicted, truth)
    style.quiet(right, "probability")
    _bars(right, np.asarray(values)[shown], shown, predicted, truth, "{:.1%}")
    right.set_xlim(0, 1.12)
    _name_rows(right, classes, shown, predicted, truth)
    return figure


def predicted_class(trace: Trace, image_index: int = 0) -> int:
    """The class index that the most-spikes readout gives."""
    layer = trace.output_layer
    output = (trace.spk[layer][:, [image_index]], trace.mem[layer][:, [image_index]])
    return int(SpikeCountReadout().scores(output).argmax())


def _shown(scores: np.ndarray, truth: int | None) -> list[int]:
    if len(scores) <= MOST_CLASSES:
        return list(range(len(scores)))
    best = np.argsort(-scores, kind="stable")[:MOST_CLASSES].tolist()
    if truth is not None and truth not in best:
        best[-1] = truth
    return best


def _panels(num_rows: int, widths: list[float]) -> tuple[Figure, list[Axes]]:
    figure = style.new_figure(max(2.0, 0.75 + 0.19 * num_rows))
    return figure, list(figure.subplots(1, len(widths), width_ratios=widths))


def _verdict(axes: Axes, classes: Sequence[str], predicted: int, truth: int | None) -> None:
    axes.set_title(f"answer: {style.shortened(str(classes[predicted]), 22)}", fontsize=style.MEDIUM, fontweight="bold")
    if truth is not None:
        colour = style.RIGHT if truth == predicted else style.WRONG
        axes.title.set_color(colour)
        text = "right" if truth == predicted else f"wrong: it is {style.shortened(str(classes[truth]), 22)}"
        axes.set_xlabel(text, fontsize=style.MEDIUM, color=colour)


def _colour(k: int, predicted: int, truth: int | None) -> str:
    if k == truth:
        return style.RIGHT
    if k == predicted:
        return style.INK if truth is None else style.WRONG
    return "#9AA5B1"


def _spikes(axes: Axes, spk: np.ndarray, colours: list[str]) -> None:
    num_steps, num_rows = spk.shape
    style.quiet(axes, "spikes of the output neurons", x="time step")
    axes.hlines(np.arange(num_rows), -0.5, num_steps - 0.5, color=style.FAINT, linewidth=0.6, zorder=0)
    for row, colour in enumerate(colours):
        style.spike_marks(axes, spk[:, [row]], np.array([row]), colour, 1.6)
    axes.set_xlim(-0.8, num_steps - 0.2)
    axes.set_ylim(num_rows - 0.5, -0.5)


def _membranes(axes: Axes, mem: np.ndarray, shown: list[int], predicted: int, truth: int | None) -> None:
    style.quiet(axes, "no output neuron spiked: membranes", x="time step", y="U[t]")
    for k in sorted(shown, key=lambda k: k in (predicted, truth)):
        strong = k in (predicted, truth)
        axes.plot(mem[:, k], color=_colour(k, predicted, truth), linewidth=1.8 if strong else 0.8)


def _bars(axes: Axes, values: np.ndarray, shown: list[int], predicted: int, truth: int | None, form: str) -> None:
    style.quiet(axes, axes.get_title(loc="left"))
    rows = np.arange(len(shown))
    axes.barh(rows, values, height=0.7, color=[_colour(k, predicted, truth) for k in shown], linewidth=0)
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


def _name_rows(axes: Axes, classes: Sequence[str], shown: list[int], predicted: int, truth: int | None) -> None:
    axes.set_yticks(np.arange(len(shown)), [style.shortened(str(classes[k]), 20) for k in shown])
    axes.tick_params(axis="y", length=0)
    for label, k in zip(axes.get_yticklabels(), shown, strict=True):
        label.set_fontsize(style.SMALL)
        if k in (predicted, truth):
            label.set_color(_colour(k, predicted, truth))
            label.set_fontweight("bold")
