"""What spikes look like: an encoded image over time, its diagonal as a raster, one neuron from inside."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from spikeduel.networks.models import Model, Trace
from spikeduel.reporting import style
from spikeduel.results.words.numbers import per_cent

STRONGEST_INPUTS = 20


def raster_of_diagonal(encoded: np.ndarray, image: np.ndarray) -> Figure:
    """Spikes of the pixels on an image's diagonal, a row each, over time.

    `encoded` is `[T, C, H, W]` of 0 and 1, `image` uint8 `[C, H, W]`. Beside the raster: the image with its diagonal
    marked, and how often each pixel fired against its brightness.
    """
    num_steps, channels, height, width = encoded.shape
    rows, columns = diagonal(height, width)
    spikes = np.asarray(encoded)[:, :, rows, columns]
    figure = style.new_figure(3.6)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.25, 3, 0.75])
    style.show_image(left, image, "image and diagonal")
    left.plot(columns[[0, -1]], rows[[0, -1]], color=style.SPIKING_COLOURS[0], linewidth=1.2)
    style.quiet(middle, f"spikes over {num_steps} steps", x="time step", y="diagonal pixel")
    style.quiet(right, "spike rate", x="share of steps")
    colours = style.CHANNEL_COLOURS if channels == 3 else (style.INK,) * channels
    pixels = np.arange(len(rows))
    for channel, colour in enumerate(colours):
        # Channels of one pixel lie beside one another within its row.
        shift = (channel - (channels - 1) / 2) / channels * 0.9
        style.spike_marks(middle, spikes[:, channel], pixels + shift, colour, height=0.72 / channels)
        right.barh(
            pixels + shift,
            spikes[:, channel].mean(0),
            height=0.9 / channels,
            color=colour,
            alpha=0.35,
            linewidth=0,
        )
        right.plot(image[channel, rows, columns] / 255, pixels + shift, color=colour, linewidth=1.0)
    for axes in (middle, right):
        axes.set_ylim(len(rows) - 0.5, -0.5)
    middle.set_xlim(-1, num_steps)
    right.set_xlim(0, 1.02)
    right.set_yticks([])
    style.per_cent_axis(right.xaxis)
    right.set_xticks([0, 1])
    return figure


def diagonal(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels from the top left to the bottom right corner."""
    length = max(height, width)
    return (
        np.round(np.linspace(0, height - 1, length)).astype(int),
        np.round(np.linspace(0, width - 1, length)).astype(int),
    )


def neuron_over_time(model: Model, trace: Trace, image_index: int = 0) -> Figure:
    """One hidden neuron from inside: input spikes, input current, membrane with threshold, output spikes.

    `trace` is `model.trace(images, num_steps=100)`. The neuron is the one whose number of spikes is nearest to one
    in eight steps. Input spikes are those of its strongest inputs, where the encoding makes spikes and the layer
    before the neuron is linear on the pixels.
    """
    layer = next(iter(trace.spk))
    spk, mem, current = (
        values[layer][:, image_index].flatten(1).float().numpy() for values in (trace.spk, trace.mem, trace.current)
    )
    neuron = moderate_neuron(spk)
    num_steps = len(spk)
    inputs = trace.encoded[:, image_index].flatten(1).float().numpy()
    weights = _input_weights(model.module, inputs.shape[1], spk.shape[1])
    with_inputs = weights is not None and np.isin(inputs, (0, 1)).all() and not (inputs == inputs[0]).all()
    heights = ([1.5] if with_inputs else []) + [0.8, 1.5, 0.3]
    figure = style.new_figure(0.9 + sum(heights) * 1.05)
    panels = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    if with_inputs and weights is not None:
        _strongest_inputs(style.quiet(panels.pop(0), "input spikes"), inputs, weights[neuron])
    steps = np.arange(num_steps)
    amount, membrane, output = panels
    style.quiet(amount, "input current", y="I[t]")
    amount.axhline(0, color=style.FAINT, linewidth=0.8)
    amount.step(steps, current[:, neuron], where="mid", color=style.QUIET, linewidth=1.1)
    _membrane(style.quiet(membrane, "membrane potential", y="U[t]"), mem[:, neuron], spk[:, neuron], model, layer)
    style.quiet(output, f"output spikes: {int(spk[:, neuron].sum())} in {num_steps} steps", x="time step")
    output.vlines(np.nonzero(spk[:, neuron])[0], 0, 1, color=style.SPIKING_COLOURS[0], linewidth=1.4)
    output.set_yticks([])
    output.set_ylim(0, 1.05)
    output.spines["left"].set_visible(False)
    output.set_xlim(-1, num_steps)
    for axes in panels[:-1]:
        axes.tick_params(labelbottom=False)
    return figure


def explain_neuron(model: Model, trace: Trace) -> str:
    """What `neuron_over_time` shows, in words, with this neuron's decay and reset."""
    layer = next(iter(trace.spk))
    neuron = model.module.get_submodule(layer)
    words = ["A neuron adds its input to its membrane potential U"]
    beta = getattr(neuron, "beta", None)
    if isinstance(beta, float):
        words.append(f", of which {per_cent(beta, 0)} stays from one step to the next")
    words.append(". Where U exceeds the threshold (dots), the neuron spikes")
    words.append(
        {
            "subtract": "; at the next step the threshold is subtracted from U.",
            "zero": "; at the next step what was left of U is dropped.",
            "none": "; U is not reset.",
        }.get(getattr(neuron, "reset_mechanism", ""), ".")
    )
    words.append(
        " Of the first layer's neurons, this is the one that comes nearest to a spike in one of eight steps."
        if trace.spk[layer].any()
        else " No neuron of the first layer spikes on this image."
    )
    return "".join(words)


def moderate_neuron(spk: np.ndarray) -> int:
    """The neuron of `[T, N]` whose number of spikes is, as a ratio, nearest to T/8; the first of several."""
    counts = spk.sum(0)
    ratio = np.maximum(counts, 1e-9) / (len(spk) / 8)
    return int(np.abs(np.log(ratio)).argmin())


def _input_weights(module: nn.Module, num_inputs: int, num_neurons: int) -> np.ndarray | None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            if (layer.in_features, layer.out_features) == (num_inputs, num_neurons):
                return layer.weight.detach().float().cpu().numpy()
            return None
    return None


def _strongest_inputs(axes: Axes, inputs: np.ndarray, weights: np.ndarray) -> None:
    strength = np.abs(weights) * inputs.sum(0)
    strongest = np.argsort(-strength, kind="stable")[:STRONGEST_INPUTS]
    strongest = strongest[np.argsort(-weights[strongest], kind="stable")]
    positions = np.arange(len(strongest))
    for sign, colour, label in (
        (1, style.SPIKING_COLOURS[0], "raises U"),
        (-1, style.OTHER_COLOURS[0], "lowers U"),
    ):
        of_sign = np.sign(weights[strongest]) == sign
        style.spike_marks(axes, inputs[:, strongest[of_sign]], positions[of_sign], colour)
        if of_sign.any():
            axes.annotate(
                label, (1.005, positions[of_sign].mean()), xycoords=("axes fraction", "data"), fontsize=style.SMALL,
                color=colour, va="center",
            )  # fmt: skip
    axes.set_ylim(len(strongest) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_ylabel(f"{len(strongest)} strongest\ninputs", fontsize=style.SMALL, color=style.QUIET)


def _membrane(axes: Axes, mem: np.ndarray, spk: np.ndarray, model: Model, layer: str) -> None:
    colour = style.SPIKING_COLOURS[0]
    threshold = getattr(model.module.get_submodule(layer), "threshold", None)
    if isinstance(threshold, int | float):
        _threshold(axes, float(threshold))
    axes.plot(np.arange(len(mem)), mem, color=colour, linewidth=1.2)
    fired = np.nonzero(spk)[0]
    axes.scatter(fired, mem[fired], s=14, color=colour, zorder=3, linewidths=0)


def _threshold(axes: Axes, threshold: float) -> None:
    axes.axhline(threshold, color=style.INK, linewidth=0.9, linestyle=style.DASHED)
    axes.annotate(
        "threshold", (1.005, threshold), xycoords=("axes fraction", "data"), fontsize=style.SMALL, color=style.INK,
        va="center",
    )  # fmt: skip
