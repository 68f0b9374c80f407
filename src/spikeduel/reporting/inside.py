"""What happens inside networks for one image, as a page with a time slider, and as figures and
films of its steps.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from spikeduel.measuring.inside import look_inside
from spikeduel.networks.models import Model
from spikeduel.reporting import rendering, spikes, style
from spikeduel.results.inside import Inside, Pictures, Seen
from spikeduel.results.words import inside as words
from spikeduel.system import files
from spikeduel.system.errors import MissingExtra, unknown

MOST_FRAMES = 50
"""Of a film; of more time steps, so many in even distances."""
STEP_MS, LAST_MS = 350, 2000
MOST_LINES, LEAST_APART = 4, 0.06
"""Classes in a chart, the most probable first; one that ends nearer than this to another loses its
name.
"""
DARKER, BRIGHTER = style.OTHER_COLOURS[0], style.SPIKING_COLOURS[0]
_LINES = (style.SPIKING_COLOURS[0], *(style.OTHER_COLOURS[k] for k in (0, 2, 3)))
_NAMED_ROW, _RASTER_POINTS = 4, 135
"""Rows that a neuron with a name takes, and the height of a raster, 1/72 inch."""
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
    """Writes what happens inside one model, or several by name, for one image into the folder
    `out`; returns the paths.

    `image` is prepared: uint8 `[C, H, W]`, one for all models or one for each name; `truth` is its
    class name, where known. The first file is inside.html, a page with a time slider; then one for
    each of `formats`: "png" and "svg" show the last time step, "gif" and "mp4" all of them. Raises
    `InputError` for an unknown class or format, an image of another shape, models of different
    classes, a folder that cannot be written to; and, when all else is written, for mp4 without the
    extra `[video]`.
    """
    folder = Path(out)
    if wrong := [each for each in formats if each not in FORMATS]:
        raise unknown("format", wrong[0], FORMATS)
    models = model if isinstance(model, Mapping) else {model.card.contender: model}
    inside = look_inside(models, image, truth, calibrated=calibrated)
    files.require_writable(folder)
    page = {"title": words.title(inside), "inside": inside}
    paths = [rendering.write(folder / "inside.html", "inside.html.j2", page, inside.noun)]
    for name in sorted(set(formats), key=list(FORMATS).index):
        with files.atomic_path(folder / f"inside.{name}") as temporary:
            FORMATS[name](inside, temporary)
        paths.append(folder / f"inside.{name}")
    return paths


def at_step(inside: Inside, step: int) -> Figure:
    """What each model sees and does up to time step `step` (from 1), a row each: input,
    attribution, spikes, membranes and evidence; of one that does not spike, its activations and
    probabilities.
    """
    figure = style.new_figure(2.75 * len(inside.models))
    rows = np.atleast_1d(
        np.asarray(figure.subfigures(len(inside.models), 1, squeeze=False)).ravel()
    )
    for row, seen in zip(rows, inside.models, strict=True):
        row.suptitle(
            style.shortened(seen.name, 40),
            x=0.01,
            ha="left",
            fontsize=style.MEDIUM,
            fontweight="bold",
        )
        panels = row.subplots(
            1,
            5 if seen.layers else 4,
            width_ratios=[1, 1, *([1.7, 1.3, 1.4] if seen.layers else [2.4, 2])],
        )
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
    picture = (
        _coloured(now)
        if len(now) == 2
        else style.as_picture(np.rint(255 * now / seen.input.high).astype(np.uint8))
    )
    style.show_image(
        axes, picture, which if inside.noun == "image" else which.replace("step", "frame")
    )


def _attribution(axes: Axes, inside: Inside, seen: Seen) -> None:
    style.bare(axes, "attribution")
    if seen.attribution is None:
        return
    values, most = seen.attribution.values[0, 0], seen.attribution.high
    strength = np.sqrt(np.abs(values) / most)[..., None]
    inks = np.where(values[..., None] > 0, to_rgb(BRIGHTER), to_rgb(DARKER))
    axes.imshow(1 - strength * (1 - inks), interpolation="nearest")
    axes.set_xlabel(
        f"for {style.shortened(inside.classes[seen.answer], 14)}",
        fontsize=style.SMALL,
        color=style.QUIET,
    )


def _over_time(axes: Axes, title: str, count: int, noun: str) -> Axes:
    style.quiet(axes, x="frame" if noun == "recording" else "time step")
    axes.set_title(title, loc="center", fontsize=style.SMALL, color=style.INK)
    axes.set_xlim(0.4, count + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    return axes


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
        names += (
            [style.shortened(each, 11) for each in inside.classes]
            if layer.of_classes
            else [f"layer {number}"]
        )
        top += apart * shown + 2
    height = 0.75 * _RASTER_POINTS / top
    axes.hlines(
        rows,
        np.array(times) - 0.42,
        np.array(times) + 0.42,
        color=style.SPIKING_COLOURS[0],
        linewidth=height,
    )
    axes.set_ylim(top - 1, -2)
    axes.set_yticks(ticks, names, fontsize=style.SMALL - 2)
    axes.tick_params(axis="y", length=0)


def _membranes(axes: Axes, seen: Seen, step: int) -> None:
    layer = seen.layers[-1]
    _over_time(
        axes,
        "membranes, last layer",
        len(layer.spikes),
        "recording" if seen.encoding == "events" else "image",
    )
    for each, colour in zip(layer.membranes, _LINES, strict=False):
        axes.plot(
            np.arange(1, step + 1)[: len(layer.spikes)],
            each.potential[:step],
            color=colour,
            linewidth=1.2,
        )
    if threshold := layer.membranes[0].threshold:
        axes.plot(
            np.arange(1, len(threshold) + 1),
            threshold,
            color=style.INK,
            linewidth=0.9,
            linestyle=style.DASHED,
        )
    values = [
        value for each in layer.membranes for value in (*each.potential, *(each.threshold or ()))
    ]
    reach = 0.1 * (max(values) - min(values)) + 1e-3
    axes.set_ylim(min(values) - reach, max(values) + reach)


def _evidence(axes: Axes, inside: Inside, seen: Seen, step: int) -> None:
    values = np.array(seen.probabilities)
    _over_time(axes, "evidence", len(values), inside.noun)
    now, named = min(step, len(values)), list[float]()
    for k, colour in zip(
        np.argsort(-values.max(0), kind="stable")[:MOST_LINES], _LINES, strict=False
    ):
        axes.plot(
            np.arange(1, now + 1),
            values[:now, k],
            color=colour,
            linewidth=1.4,
            marker="o",
            markersize=2.5,
        )
        height = float(values[now - 1, k])
        if all(abs(height - other) >= LEAST_APART for other in named):
            named.append(height)
            axes.annotate(
                style.shortened(inside.classes[k], 12),
                (now, height),
                (4, 0),
                textcoords="offset points",
                color=colour,
                fontsize=style.SMALL,
                va="center",
                annotation_clip=False,
            )
    axes.set_ylim(-0.03, 1.05)
    style.per_cent_axis(axes.yaxis)


def _bars(axes: Axes, inside: Inside, seen: Seen, step: int) -> None:
    values = np.array(seen.probabilities[-1])
    shown = np.argsort(-values, kind="stable")[: MOST_LINES + 1]
    style.quiet(axes).set_title("probability", loc="center", fontsize=style.SMALL, color=style.INK)
    axes.barh(
        np.arange(len(shown)), values[shown], height=0.7, color=style.OTHER_COLOURS[0], linewidth=0
    )
    axes.set_yticks(np.arange(len(shown)), [style.shortened(inside.classes[k], 14) for k in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    style.per_cent_axis(axes.xaxis)


def _maps(axes: Axes, seen: Seen, step: int) -> None:
    """The activations of each layer, a row each."""
    style.bare(axes, "activations, a layer a row")
    rows = [_row(layer.maps, step) for layer in seen.activations if layer.maps.shape[1] > 1]
    if rows:
        widest = max(row.shape[1] for row in rows)
        padded = [
            np.pad(row, ((0, 2), (0, widest - row.shape[1])), constant_values=255) for row in rows
        ]
        axes.imshow(
            np.concatenate(padded),
            cmap="gray",
            vmin=0,
            vmax=255,
            interpolation="nearest",
            aspect="equal",
        )


def _row(maps: Pictures, step: int) -> np.ndarray:
    now = maps.values[min(step, maps.shape[0]) - 1]
    grey = np.rint(255 * (now - maps.low) / (maps.high - maps.low)).astype(np.uint8)
    size = (_MAP_SIDE, _MAP_SIDE)
    pictures = [
        np.asarray(Image.fromarray(each).resize(size, Image.Resampling.NEAREST)) for each in grey
    ]
    return np.concatenate(
        [np.pad(each, ((0, 0), (0, 2)), constant_values=255) for each in pictures], 1
    )


def _coloured(counts: np.ndarray) -> np.ndarray:
    """uint8 `[H, W, 3]` of counts `[2, H, W]`: darker and brighter in colours of their own on
    white.
    """
    strength = np.sqrt(counts / max(counts.max(), 1))[..., None]
    inks = 1 - np.array([to_rgb(DARKER), to_rgb(BRIGHTER)])
    return np.rint(255 * np.clip(1 - (strength * inks[:, None, None]).sum(0), 0, 1)).astype(
        np.uint8
    )


# ---- Files.


def _still(kind: str) -> Callable[[Inside, Path], None]:
    def write(inside: Inside, path: Path) -> None:
        at_step(inside, inside.num_steps).savefig(
            path, format=kind, dpi=style.DPI, facecolor="white"
        )

    return write


def _frames(inside: Inside) -> Iterator[Image.Image]:
    for step in np.unique(
        np.linspace(1, inside.num_steps, min(inside.num_steps, MOST_FRAMES)).astype(int)
    ):
        picture = io.BytesIO()
        at_step(inside, int(step)).savefig(
            picture, format="png", dpi=_SCREEN_DPI, facecolor="white"
        )
        yield Image.open(picture).convert("RGB")


def _gif(inside: Inside, path: Path) -> None:
    frames = list(_frames(inside))
    path.write_bytes(
        spikes.animation(
            lambda levels: [each.quantize(levels) for each in frames], STEP_MS, _GIF_BYTES
        )
    )


def _mp4(inside: Inside, path: Path) -> None:
    try:
        import imageio_ffmpeg
    except ImportError:
        raise MissingExtra("imageio-ffmpeg", "video") from None
    frames = list(_frames(inside))
    # Most players want even sides.
    width, height = frames[0].width // 2 * 2, frames[0].height // 2 * 2
    film = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=1000 / STEP_MS,
        macro_block_size=2,
        output_params=["-f", "mp4"],
    )
    film.send(None)
    for frame in [*frames, *[frames[-1]] * (LAST_MS // STEP_MS)]:
        film.send(frame.crop((0, 0, width, height)).tobytes())
    film.close()


FORMATS: dict[str, Callable[[Inside, Path], None]] = {
    "png": _still("png"),
    "svg": _still("svg"),
    "gif": _gif,
    "mp4": _mp4,
}
"""What writes the figure, by the ending of its file."""
