"""Show the inside of networks for one image: a page with a time slider, and figures."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from spikeduel.data.events.recordings import picture_of
from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.inside_measurement import Inside, Seen, look_inside
from spikeduel.reporting import charts, drawing, rendering
from spikeduel.reporting.charts import (
    DASHES,
    INK,
    OTHER_COLOURS,
    PAPER,
    SPIKING_COLOURS,
    Axis,
    Look,
    Marks,
    Name,
    Panel,
    Row,
)
from spikeduel.reporting.images import as_picture, gif
from spikeduel.system import files
from spikeduel.system.errors import unknown
from spikeduel.system.sentences import listed

MAX_FRAMES = 50
"""Frames of an animation at most; of more time steps, frames stand at even distances."""
STEP_MS = 350
MAX_LINES = 4
"""Classes in a chart, the most probable first."""
MIN_NAMED = 6
"""Per cent from which on a class has its name beside its line."""
FORMATS = ("png", "svg", "gif")
_LINES = (SPIKING_COLOURS[0], *(OTHER_COLOURS[k] for k in (0, 2, 3)))
_WIDTHS = (1.0, 1.0, 1.7, 1.4, 1.4)


def inspect(
    model: Model | Mapping[str, Model],
    image: np.ndarray | Mapping[str, np.ndarray],
    out: Path | str,
    truth: str | None = None,
    *,
    calibrated: bool = True,
    formats: Sequence[str] = ("png",),
) -> list[Path]:
    """Write what happens inside models for one image; return the paths.

    `image` is prepared: uint8 `[C, H, W]`, one for all or one for each name; `truth` its class
    name. The folder `out` gets inside.html, and a file for each of `formats`: "png" and "svg" show
    the last time step, "gif" all. Raises `InputError`.
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
    for name in (name for name in FORMATS if name in formats):
        path = folder / f"inside.{name}"
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(_movie(inside) if name == "gif" else _still(inside, name))
        paths.append(path)
    return paths


def _still(inside: Inside, kind: str, step: int | None = None, dpi: int = drawing.DPI) -> bytes:
    content = BytesIO()
    figure = at_step(inside, step or inside.num_steps)
    figure.savefig(content, format=kind, dpi=dpi, facecolor=PAPER)
    return content.getvalue()


def _movie(inside: Inside) -> bytes:
    steps = np.linspace(1, inside.num_steps, min(inside.num_steps, MAX_FRAMES)).astype(int)
    stills = [_still(inside, "png", step, 100) for step in np.unique(steps).tolist()]
    frames = [Image.open(BytesIO(still)).convert("RGB").quantize(32) for still in stills]
    return gif(frames, STEP_MS)


def at_step(inside: Inside, step: int) -> Figure:
    """Return a figure of what each model (a row) sees and does up to time step `step` (from 1)."""
    with matplotlib.rc_context(drawing.SETTINGS):
        size = (9.0, 2.6 * len(inside.models))
        figure = Figure(size, drawing.DPI, facecolor=PAPER)
        FigureCanvasAgg(figure)
        shape = (len(inside.models), len(_WIDTHS))
        rows = figure.subplots(*shape, squeeze=False, width_ratios=_WIDTHS)
        figure.subplots_adjust(0.01, 0.4 / size[1], 0.98, 1 - 0.4 / size[1], 0.25, 0.4)
        for row, seen in zip(rows, inside.models, strict=True):
            pictures, panels = _pictures(inside, seen, step), _panels(inside, seen, step)
            for axes in row:
                axes.set_axis_off()
            for axes, (title, picture) in zip(row, pictures.items(), strict=False):
                axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                axes.set_title(title, fontsize=drawing.TEXT, color=INK)
            for axes, panel in zip(row[-len(panels) :], panels, strict=True):
                axes.set_axis_on()
                drawing.draw_panel(axes, panel, 2.0)
                drawing.add_labels(axes, panel)
    return figure


def _pictures(inside: Inside, seen: Seen, step: int) -> dict[str, np.ndarray]:
    now = seen.input.values[min(step, len(seen.input.values)) - 1]
    grey = np.rint(255 * now / seen.input.high).astype(np.uint8)
    shown = {
        charts.shortened(seen.name, 20): picture_of(now.sum(0))
        if len(now) == 2
        else as_picture(grey)
    }
    if seen.attribution is not None:
        values = seen.attribution.values[0, 0]
        strength = np.sqrt(np.abs(values) / seen.attribution.high)[..., None]
        ink = np.where(values[..., None] > 0, to_rgb(SPIKING_COLOURS[0]), to_rgb(OTHER_COLOURS[0]))
        shown[f"for {charts.shortened(inside.classes[seen.prediction], 14)}"] = 1 - strength * (
            1 - ink
        )
    return shown


def _panels(inside: Inside, seen: Seen, step: int) -> list[Panel]:
    shares = np.array(seen.probabilities)
    likely = np.argsort(-shares.max(0), kind="stable")[: MAX_LINES + 1].tolist()
    if len(shares) == 1:
        bars, names = [], []
        for place, k in enumerate(likely):
            row: Row = {"from": 0, "to": shares[0, k]}
            bars.append(Marks("spans", [row], Look(_LINES[1], width=5), ("from", "to"), place))
            names.append(Name(charts.shortened(inside.classes[k], 14), f"{shares[0, k]:.0%}"))
        return [Panel(Axis("probability", low=0, high=1), Axis(""), bars, names=names)]
    time = "frame" if inside.noun == "recording" else "time step"
    x = Axis(time, ticks="whole", low=0.4, high=len(shares) + 0.6)

    def line(column: str, values: Any, look: Look) -> Marks:
        known = values[:step]
        return Marks("line", charts.rows_of({time: range(1, len(known) + 1), column: known}), look)

    panels = []
    if seen.layers:
        fired = np.concatenate([layer.fired for layer in seen.layers])[:, :step]
        neurons, when = np.nonzero(fired)
        ends = {"neuron": neurons, time: when + 1, "from": when + 0.6, "to": when + 1.4}
        look = Look(SPIKING_COLOURS[0], width=min(1.6, 140 / len(fired)))
        spikes = Marks("spans", charts.rows_of(ends), look, ("from", "to"))
        rows = Axis("neuron", "", ticks="whole", low=-1, high=len(fired), falling=True)
        panels.append(Panel(x, rows, [spikes], "spikes so far"))
        membranes = seen.layers[-1].membranes
        lines = [
            line("potential", membrane.potential, Look(colour, "none", width=1.2))
            for membrane, colour in zip(membranes, _LINES, strict=False)
        ]
        if threshold := membranes[0].threshold:
            look = Look(INK, "none", width=0.9, dashes=DASHES)
            lines.append(line("potential", threshold, look))
        panels.append(Panel(x, Axis("potential", ""), lines, "membranes, last layer"))
    marks = []
    for k, colour in zip(likely[:MAX_LINES], _LINES, strict=False):
        course = line("probability, %", 100 * shares[:, k], Look(colour, size=2.5, width=1.4))
        is_named = 100 * shares[:step][-1, k] > MIN_NAMED
        name = charts.shortened(inside.classes[k], 12) if is_named else ""
        marks += [course, Marks("points", course.rows[-1:], Look(colour, size=2.5), label=name)]
    return [*panels, Panel(x, Axis("probability, %", "", low=-3, high=105), marks, "evidence, %")]
