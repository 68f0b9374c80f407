"""One look for all figures: a colour per contender, quiet axes, one size of text, on a wide page
and on a phone.

Figures are `matplotlib.figure.Figure` objects without pyplot: nothing global is read back or
changed, so that they can be made in any thread and leave the user's own plots alone.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from spikeduel.data.events.recordings import picture_of
from spikeduel.results.trials import Trial
from spikeduel.results.tuned import TunedContender
from spikeduel.system import files
from spikeduel.system.errors import visible

SPIKING_COLOURS = ("#D55E00", "#CC79A7", "#8C510A", "#C17F00")
"""Warm colours for spiking contenders, told apart by colour-blind readers (after Okabe and Ito,
2008).

Three to one against white, as all that have to be told apart on a page.
"""
OTHER_COLOURS = ("#0072B2", "#009E73", "#5E4FA2", "#3A93CB")
"""Cool colours for all others."""

INK, QUIET, FAINT = "#1F2933", "#5F6B7A", "#DDE2E8"
RIGHT, WRONG = "#1B7F5C", "#B3261E"
CHANNEL_COLOURS = ("#C62828", "#2E7D32", "#1565C0")
IN_THE_DARK = {
    "#D55E00": "#F2833A",
    "#CC79A7": "#E39BC2",
    "#8C510A": "#C98B4B",
    "#C17F00": "#FFC04D",
    "#0072B2": "#4BA3E3",
    "#009E73": "#34C79A",
    "#5E4FA2": "#A99BE6",
    "#3A93CB": "#8FD0F5",
    RIGHT: "#5CC49C",
    WRONG: "#FF8A80",
}
"""What each colour of a chart is on a dark page."""


@dataclass(frozen=True)
class Canvas:
    """What figures are drawn for: so many inches, and how many characters of a title or label go
    into a line.
    """

    width: float
    line: int
    narrow: bool = False


DESKTOP, PHONE = Canvas(8.0, 200), Canvas(3.0, 36, narrow=True)
_canvas = ContextVar("_canvas", default=DESKTOP)
Row = Mapping[str, Any]
"""What a point of a chart says: texts and numbers by their names, which may end in ", " and a unit;
None: not known.
"""
DPI = 140
SMALL, MEDIUM = 8.0, 9.0
DASHED = (0, (4, 2))
SMALLEST_RANGE = 0.02
"""Two points of accuracy: about what seeds and ten thousand images leave open."""
FONT_FILE = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


def contender_colours(trials: Sequence[Trial] | Sequence[TunedContender]) -> dict[str, str]:
    """A colour for each contender, by its family and place in `trials`: the same in every
    figure.
    """
    spiking = {trial.contender: trial.family == "snn" for trial in trials}
    palettes = {True: cycle(SPIKING_COLOURS), False: cycle(OTHER_COLOURS)}
    return {name: next(palettes[spikes]) for name, spikes in spiking.items()}


def canvas() -> Canvas:
    """What is drawn for now: `DESKTOP`, but within `drawn_for`."""
    return _canvas.get()


@contextmanager
def drawn_for(target: Canvas) -> Iterator[None]:
    """Within it, figures are drawn for `target`."""
    before = _canvas.set(target)
    try:
        yield
    finally:
        _canvas.reset(before)


def new_figure(height: float, width: float | None = None) -> Figure:
    """An empty white figure that lays itself out: `height` and at most `width` inches, that of the
    canvas if None.
    """
    width = min(width or canvas().width, canvas().width)
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_panels(
    number: int, height: float, abreast: int = 2, stacked: int = 1, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels of `height` inches, `abreast` ones in a row, and `stacked` ones in
    a row of a phone.

    One column leaves some of a wide page free.
    """
    columns = min(number, stacked if canvas().narrow else abreast)
    rows = -(-number // columns)
    figure = new_figure(
        0.4 + height * rows * (0.85 if canvas().narrow else 1),
        canvas().width * (1 if columns > 1 or canvas().narrow else 0.72),
    )
    grid = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axes in grid[number:]:
        axes.set_visible(False)
    return figure, grid[:number]


def told(artist: Artist, rows: Sequence[Row | None]) -> None:
    """Says what `artist` shows: a row for each of its points, None where one says nothing, or a
    single one for all.

    On a page these are what a reader sees at the pointer, and what can be downloaded
    (`reporting.svg`).
    """
    artist.told = [row and {name: _plain(value) for name, value in row.items()} for row in rows]  # type: ignore


def rows_of(artist: Artist) -> list[Row | None]:
    """What it was `told`; of most nothing."""
    return getattr(artist, "told", [])


def of_training(trial: Trial) -> dict[str, Any]:
    """The beginning of a row about one training."""
    return {"contender": trial.contender, "seed": trial.seed} | (
        {} if trial.fold is None else {"fold": trial.fold}
    )


def percent(share: float | None) -> float | None:
    """A share of one in per cent, for a row."""
    return None if share is None else 100 * share


def _plain(value: Any) -> str | float | None:
    """A value of a row: numbers of numpy as those of Python, six digits of what was computed, None
    for what is not.
    """
    if value is None or isinstance(value, str | int):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def quiet(axes: Axes, title: str = "", x: str = "", y: str = "", grid: bool = False) -> Axes:
    """Axes with two spines, small grey ticks, and their labels set in one style.

    Of panels that share an axis those at the left or at the bottom are labelled.
    """
    if place := axes.get_subplotspec():
        if not place.is_first_col() and len(axes.get_shared_y_axes().get_siblings(axes)) > 1:
            y = ""
        if not place.is_last_row() and len(axes.get_shared_x_axes().get_siblings(axes)) > 1:
            x = ""
    axes.set_facecolor("white")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(QUIET)
        spine.set_linewidth(0.8)
    axes.tick_params(colors=QUIET, labelsize=SMALL, length=3, width=0.8)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_title(
        fill(title, canvas().line - 6), loc="left", fontsize=MEDIUM, color=INK, fontweight="bold"
    )
    axes.set_xlabel(fill(x, canvas().line), fontsize=SMALL, color=QUIET)
    axes.set_ylabel(fill(y, canvas().line - 12), fontsize=SMALL, color=QUIET)
    return axes


def key(label: str, colour: str = QUIET, **look: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], color=colour, label=shortened(label, 44), **look)


def keys(colours: Mapping[str, str], **look: Any) -> list[Line2D]:
    """An entry of a legend for each contender."""
    return [key(name, colour, linewidth=2.2, **look) for name, colour in colours.items()]


def legend(
    figure: Figure, entries: Sequence[Artist], columns: int = 5, place: Any = "outside upper center"
) -> None:
    """A legend above all panels, or at another `place` outside, in as many columns as fit; rows add
    to the height.
    """
    lengths = [len(str(entry.get_label())) for entry in entries]
    for ncols in range(min(len(entries), columns), 0, -1):
        rows = -(-len(entries) // ncols)
        widest = [max(lengths[first : first + rows]) for first in range(0, len(entries), rows)]
        if sum(widest) * 0.064 + len(widest) * 0.5 < figure.get_figwidth():
            break
    figure.set_figheight(figure.get_figheight() + 0.17 * (rows - 1))
    figure.legend(
        handles=entries, loc=place, ncols=ncols, frameon=False, fontsize=SMALL, labelcolor=INK
    )


def axes_legend(axes: Axes, place: Any = "best") -> None:
    """A legend of the lines that have a label, within the panel; on a phone above it."""
    if canvas().narrow:
        return legend(axes.get_figure(), axes.get_legend_handles_labels()[0])  # type: ignore[arg-type]
    axes.legend(loc=place, frameon=False, fontsize=SMALL, labelcolor=INK)


class _Shares(MaxNLocator):
    """Round ticks between 0 and 1: an axis may go a little further, so that marks at its ends are
    seen whole.
    """

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        return [tick for tick in super().tick_values(vmin, vmax) if -1e-9 < tick < 1 + 1e-9]


def per_cent_axis(axis: Axis) -> None:
    """Shares as per cent, with as many digits as there are: a label says where its tick stands."""
    axis.set_major_locator(_Shares("auto", steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))


def count_axis(axis: Axis) -> None:
    """Whole numbers, such as epochs, trials or time steps."""
    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def accuracy_axis(axes: Axes) -> None:
    """Per cent, over at least `SMALLEST_RANGE`: chance must not look like a difference."""
    low, high = axes.get_ylim()
    missing = max(0.0, SMALLEST_RANGE - (high - low)) / 2
    axes.set_ylim(low - missing, high + missing)
    per_cent_axis(axes.yaxis)


def cost_axis(axes: Axes, unit: str) -> None:
    """A logarithmic axis of costs in `unit`, with few round ticks however far it goes. Call it when
    all is drawn.
    """
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    decades = math.log10(high / low)
    few = MaxNLocator(nbins=4, steps=[1, 2, 5, 10])
    subs = (1, 2, 5) if decades < 1.3 else (1, 3) if decades < 2.2 else (1,)
    axes.xaxis.set_major_locator(few if decades < 0.7 else LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(EngFormatter(unit))
    axes.xaxis.set_minor_locator(NullLocator())


def steps_axis(axes: Axes, most: int) -> None:
    """A logarithmic axis of time steps from 1 to `most`, with a tick at each power of two."""
    axes.set_xscale("log", base=2)
    powers = [2**power for power in range(most.bit_length())]
    axes.set_xticks(powers, [str(step) for step in powers])
    axes.minorticks_off()


def beside(axes: Axes, y: float, text: str, colour: str, x: float = 1.005) -> None:
    """`text` to the right of the panel, at height `y`."""
    place = ("axes fraction", "data")
    axes.annotate(text, (x, y), xycoords=place, va="center", fontsize=SMALL, color=colour)


def name_rows(axes: Axes, places: Sequence[float], names: Sequence[str]) -> None:
    """The names of rows, left of the panel; on a phone each above its row, which has to be high
    enough.
    """
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_yticks(places, ["" for _ in names] if canvas().narrow else names)
    if canvas().narrow:
        axes.spines["left"].set_visible(False)
        for place, name in zip(places, names, strict=True):
            axes.annotate(
                name,
                (0, place),
                (0, 4),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="bottom",
                fontsize=SMALL,
                color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            )


def margin_band(axes: Axes, points: float) -> Line2D:
    """Shades ±`points` on the x axis; returns the legend's entry. Its two lines are seen where the
    band is narrow.
    """
    shade = axes.axvspan(-points, points, color=FAINT, alpha=0.6, linewidth=0, zorder=0)
    told(shade, [{"margin of equivalence, points": points}])
    dotted: dict[str, Any] = {"linestyle": (0, (2, 2)), "linewidth": 0.8}
    axes.vlines(
        [-points, points], 0, 1, QUIET, transform=axes.get_xaxis_transform(), zorder=1, **dotted
    )
    axes.axvline(0, color=QUIET, linewidth=0.8, zorder=1)
    return key(f"margin, ±{points:g} points", **dotted)


def signed_axis(axis: Axis) -> None:
    """Differences with their sign, and a plain 0."""
    axis.set_major_formatter(
        lambda value, place: f"{value:+.4g}".replace("-", "−") if value else "0"
    )


def band(axes: Axes, x: ArrayLike, values: np.ndarray, colour: str) -> None:
    """One standard deviation around the mean of `values` `[S, N]` over S trials, where there are
    several.
    """
    if len(values) > 1:
        mean, deviation = values.mean(0), values.std(0, ddof=1)
        axes.fill_between(
            x, mean - deviation, mean + deviation, color=colour, alpha=0.18, linewidth=0
        )


def bare(axes: Axes, title: str = "") -> Axes:
    """Axes of a picture: no ticks, a thin frame."""
    quiet(axes)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(FAINT)
    axes.set_title(title, loc="center", fontsize=SMALL, color=INK)
    return axes


def show_image(axes: Axes, image: np.ndarray, title: str = "") -> Axes:
    """A picture in its own pixels: uint8 `[C, H, W]`, `[H, W]` or `[H, W, 3]`."""
    bare(axes, title)
    axes.imshow(as_picture(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    return axes


def as_picture(image: np.ndarray) -> np.ndarray:
    """`[H, W]` or `[H, W, 3]` from `[C, H, W]`, `[H, W]` or `[H, W, 3]`; of a recording's frames,
    all its events.
    """
    if image.ndim == 2 or (image.shape[-1] == 3 and image.shape[0] not in (1, 3)):
        return image
    if image.shape[0] == 3:
        return np.moveaxis(image, 0, -1)
    return image[0] if image.shape[0] == 1 else picture_of(image.sum(0))


def shades_of(colour: str) -> LinearSegmentedColormap:
    """White to `colour`."""
    return LinearSegmentedColormap.from_list("shades", ["#FFFFFF", colour])


def shortened(text: str, length: int = 18) -> str:
    """`text` on one line, its middle replaced by … where it is longer than `length`; a dollar does
    not begin math.
    """
    text = visible(text)
    if len(text) > length:
        tail = (length - 1) // 3
        text = text[: length - 1 - tail] + "…" + text[len(text) - tail :]
    return text.replace("$", r"\$")


def file_name(text: str) -> str:
    """`text` as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.") or "unnamed"


def save(figure: Figure, path: Path) -> Path:
    """Writes `figure` as PNG, atomically."""
    with files.atomic_path(path) as temporary:
        figure.savefig(
            temporary,
            format="png",
            dpi=DPI,
            facecolor="white",
            bbox_inches="tight",
            pad_inches=0.06,
        )
    return path
