"""Show what happens inside networks for one image: a page with a time slider, and figures of its
time steps.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from PIL import Image

from spikeduel.measuring.inside import look_inside
from spikeduel.networks.models import Model
from spikeduel.reporting import rendering
from spikeduel.reporting.charts import (
    FAINT,
    INK,
    OTHER_COLOURS,
    PAPER,
    QUIET,
    SPIKING_COLOURS,
    shortened,
)
from spikeduel.reporting.drawing import DPI
from spikeduel.reporting.encoded import animation
from spikeduel.reporting.pictures import as_picture
from spikeduel.results.inside import Inside, Pictures, Seen
from spikeduel.system import files
from spikeduel.system.errors import unknown
from spikeduel.system.sentences import listed

MOST_FRAMES = 50
"""Frames of an animation at most; of more time steps, frames stand at even distances."""
STEP_MS = 350
MOST_LINES, LEAST_APART = 4, 0.06
"""Classes in a chart, the most probable first. A class that ends nearer than `LEAST_APART` to
another has no name."""
DARKER, BRIGHTER = OTHER_COLOURS[0], SPIKING_COLOURS[0]
SMALL, MEDIUM = 8.0, 9.0
"""Points of text."""
_LINES = (SPIKING_COLOURS[0], *(OTHER_COLOURS[k] for k in (0, 2, 3)))
_NAMED_ROW, _RASTER_POINTS = 4, 135
"""Rows that a neuron with a name takes, and the points that a raster is high."""
_SCREEN_DPI, _MAP_SIDE, _GIF_BYTES = 100, 28, 3_000_000


def inspect(
    model: Model | Mapping[str, Model],
    image: np.ndarray | Mapping[str, np.ndarray],
    out: Path | str,
    truth: str | None = None,
    *,
    calibrated: bool = True,
    formats: Sequence[str] = ("png",),
) -> list[Path]:
    """Write what happens inside one model, or several by name, for one image; return the paths.

    `image` is prepared: uint8 `[C, H, W]`, one for all models or one for each name; `truth` is its
    class name, where known. The folder `out` gets inside.html, a page with a time slider, and a
    file for each of `formats`: "png" and "svg" show the last time step, "gif" all of them. Raises
    `InputError` for an unknown class or format, an image of another shape, models of different
    classes, and a folder that cannot be written to.
    """
    folder = Path(out)
    if wrong := [name for name in formats if name not in FORMATS]:
        raise unknown("format", wrong[0], FORMATS)
    models = model if isinstance(model, Mapping) else {model.card.contender: model}
    inside = look_inside(models, image, truth, calibrated=calibrated)
    files.require_writable(folder)
    names = [seen.name for seen in inside.models]
    page = {"title": f"Inside {listed(names)}", "inside": inside}
    paths = [rendering.write(folder / "inside.html", "inside.html.j2", page, inside.noun)]
    for name in sorted(set(formats), key=list(FORMATS).index):
        with files.atomic_path(folder / f"inside.{name}") as temporary:
            FORMATS[name](inside, temporary)
        paths.append(folder / f"inside.{name}")
    return paths


def at_step(inside: Inside, step: int) -> Figure:
    """Return a figure of what each model sees and does up to time step `step` (from 1).

    A row is a model: input, attribution, spikes, membranes and evidence; of a model that does not
    spike, its activations and probabilities.
    """
    size = (8.0, 2.75 * len(inside.models))
    figure = Figure(size, DPI, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subfigures(len(inside.models), 1, squeeze=False).ravel()
    for row, seen in zip(rows, inside.models, strict=True):
        row.suptitle(
            shortened(seen.name, 40), x=0.01, ha="left", fontsize=MEDIUM, fontweight="bold"
        )
        widths = [1, 1, *([1.7, 1.3, 1.4] if seen.layers else [2.4, 2])]
        panels = row.subplots(1, len(widths), width_ratios=widths)
        _input(panels[0], inside, seen, step)
        _attribution(panels[1], inside, seen)
        if seen.layers:
            _raster(panels[2], inside, seen, step)
            _membranes(panels[3], seen, step)
        else:
            _maps(panels[2], seen, step)
        (_evidence if len(seen.probabilities) > 1 else _bars)(panels[-1], inside, seen, step)
    return figure


def _input(axes: Axes, inside: Inside, seen: Seen, step: int) -> None:
    values = seen.input.values
    now = values[min(step, len(values)) - 1]
    which = f"step {min(step, len(values))} of {len(values)}" if len(values) > 1 else "input"
    grey = as_picture(np.rint(255 * now / seen.input.high).astype(np.uint8))
    _bare(axes, which if inside.noun == "image" else which.replace("step", "frame"))
    picture = _coloured(now) if len(now) == 2 else grey
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _attribution(axes: Axes, inside: Inside, seen: Seen) -> None:
    _bare(axes, "attribution")
    if seen.attribution is None:
        return
    values, most = seen.attribution.values[0, 0], seen.attribution.high
    strength = np.sqrt(np.abs(values) / most)[..., None]
    inks = np.where(values[..., None] > 0, to_rgb(BRIGHTER), to_rgb(DARKER))
    axes.imshow(1 - strength * (1 - inks), interpolation="nearest")
    answer = shortened(inside.classes[seen.answer], 14)
    axes.set_xlabel(f"for {answer}", fontsize=SMALL, color=QUIET)


def _raster(axes: Axes, inside: Inside, seen: Seen, step: int) -> None:
    _over_time(axes, "spikes so far", len(seen.probabilities), inside.noun)
    top, ticks, names = 0, list[float](), list[str]()
    rows, times = list[int](), list[int]()
    for number, layer in enumerate(seen.layers, 1):
        # Rows with a name need its height.
        apart, shown = _NAMED_ROW if layer.of_classes else 1, len(layer.shown)
        neurons, when = np.nonzero(layer.fired[:, :step])
        rows += (top + apart * neurons).tolist()
        times += (when + 1).tolist()
        named = range(shown) if layer.of_classes else [(shown - 1) / 2]
        ticks += [top + apart * place for place in named]
        classes = [shortened(name, 11) for name in inside.classes]
        names += classes if layer.of_classes else [f"layer {number}"]
        top += apart * shown + 2
    height, when = 0.75 * _RASTER_POINTS / top, np.array(times)
    axes.hlines(rows, when - 0.42, when + 0.42, color=SPIKING_COLOURS[0], linewidth=height)
    axes.set_ylim(top - 1, -2)
    axes.set_yticks(ticks, names, fontsize=SMALL - 2)
    axes.tick_params(axis="y", length=0)


def _membranes(axes: Axes, seen: Seen, step: int) -> None:
    layer = seen.layers[-1]
    noun = "recording" if seen.encoding == "events" else "image"
    _over_time(axes, "membranes, last layer", len(layer.spikes), noun)
    steps = np.arange(1, step + 1)[: len(layer.spikes)]
    for membrane, colour in zip(layer.membranes, _LINES, strict=False):
        axes.plot(steps, membrane.potential[:step], color=colour, linewidth=1.2)
    if threshold := layer.membranes[0].threshold:
        along = np.arange(1, len(threshold) + 1)
        axes.plot(along, threshold, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
    values = [
        value
        for membrane in layer.membranes
        for value in (*membrane.potential, *(membrane.threshold or ()))
    ]
    reach = 0.1 * (max(values) - min(values)) + 1e-3
    axes.set_ylim(min(values) - reach, max(values) + reach)


def _evidence(axes: Axes, inside: Inside, seen: Seen, step: int) -> None:
    values = np.array(seen.probabilities)
    _over_time(axes, "evidence", len(values), inside.noun)
    now, named = min(step, len(values)), list[float]()
    probable = np.argsort(-values.max(0), kind="stable")[:MOST_LINES]
    for k, colour in zip(probable, _LINES, strict=False):
        steps, line = np.arange(1, now + 1), values[:now, k]
        axes.plot(steps, line, color=colour, linewidth=1.4, marker="o", markersize=2.5)
        height = float(values[now - 1, k])
        if all(abs(height - other) >= LEAST_APART for other in named):
            named.append(height)
            axes.annotate(
                shortened(inside.classes[k], 12),
                (now, height),
                (4, 0),
                textcoords="offset points",
                color=colour,
                fontsize=SMALL,
                va="center",
                annotation_clip=False,
            )
    axes.set_ylim(-0.03, 1.05)
    _per_cent(axes.yaxis)


def _bars(axes: Axes, inside: Inside, seen: Seen, step: int) -> None:
    values = np.array(seen.probabilities[-1])
    shown = np.argsort(-values, kind="stable")[: MOST_LINES + 1]
    _quiet(axes, "probability")
    places = np.arange(len(shown))
    axes.barh(places, values[shown], height=0.7, color=OTHER_COLOURS[0], linewidth=0)
    axes.set_yticks(places, [shortened(inside.classes[k], 14) for k in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    _per_cent(axes.xaxis)


def _maps(axes: Axes, seen: Seen, step: int) -> None:
    """Draw the activations of each layer in a row."""
    _bare(axes, "activations, a layer a row")
    rows = [_row(layer.maps, step) for layer in seen.activations if layer.maps.shape[1] > 1]
    if rows:
        widest = max(row.shape[1] for row in rows)
        padded = [
            np.pad(row, ((0, 2), (0, widest - row.shape[1])), constant_values=255) for row in rows
        ]
        picture = np.concatenate(padded)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="equal")


def _row(maps: Pictures, step: int) -> np.ndarray:
    now = maps.values[min(step, maps.shape[0]) - 1]
    grey = np.rint(255 * (now - maps.low) / (maps.high - maps.low)).astype(np.uint8)
    size = (_MAP_SIDE, _MAP_SIDE)
    resized = [
        np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST))
        for picture in grey
    ]
    apart = [np.pad(picture, ((0, 0), (0, 2)), constant_values=255) for picture in resized]
    return np.concatenate(apart, 1)


def _coloured(counts: np.ndarray) -> np.ndarray:
    """Return uint8 `[H, W, 3]` of counts `[2, H, W]`: darker and brighter events in two colours."""
    strength = np.sqrt(counts / max(counts.max(), 1))[..., None]
    inks = 1 - np.array([to_rgb(DARKER), to_rgb(BRIGHTER)])
    light = np.clip(1 - (strength * inks[:, None, None]).sum(0), 0, 1)
    return np.rint(255 * light).astype(np.uint8)


# ---- axes


def _quiet(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=SMALL, color=INK)
    axes.tick_params(colors=QUIET, labelsize=SMALL, length=3, width=0.8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set(color=QUIET, linewidth=0.8)


def _bare(axes: Axes, title: str) -> None:
    _quiet(axes, title)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(FAINT)


def _over_time(axes: Axes, title: str, count: int, noun: str) -> None:
    _quiet(axes, title)
    axes.set_xlabel("frame" if noun == "recording" else "time step", fontsize=SMALL, color=QUIET)
    axes.set_xlim(0.4, count + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))


def _per_cent(axis: Axis) -> None:
    axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


# ---- files


def _still(kind: str) -> Callable[[Inside, Path], None]:
    def write(inside: Inside, path: Path) -> None:
        figure = at_step(inside, inside.num_steps)
        figure.savefig(path, format=kind, dpi=DPI, facecolor=PAPER)

    return write


def _frames(inside: Inside) -> Iterator[Image.Image]:
    count = min(inside.num_steps, MOST_FRAMES)
    for step in np.unique(np.linspace(1, inside.num_steps, count).astype(int)):
        picture = io.BytesIO()
        figure = at_step(inside, int(step))
        figure.savefig(picture, format="png", dpi=_SCREEN_DPI, facecolor=PAPER)
        yield Image.open(picture).convert("RGB")


def _gif(inside: Inside, path: Path) -> None:
    frames = list(_frames(inside))
    content = animation(
        lambda levels: [frame.quantize(levels) for frame in frames], STEP_MS, _GIF_BYTES
    )
    path.write_bytes(content)


FORMATS: dict[str, Callable[[Inside, Path], None]] = {
    "png": _still("png"),
    "svg": _still("svg"),
    "gif": _gif,
}
"""Writers of the figure by the ending of its file."""
