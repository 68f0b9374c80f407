"""Charts as data: panels of marks on axes named by columns. Tips, table and download come from the
marks' rows.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Literal

import numpy as np
from matplotlib.ticker import EngFormatter

from spikeduel.system.errors import visible

SPIKING_COLOURS = ("#D55E00", "#CC79A7", "#8C510A", "#C17F00")
"""Warm colours, for colour-blind readers too (Okabe and Ito, 2008), with a contrast of at least 3
to 1 against white.
"""
OTHER_COLOURS = ("#0072B2", "#009E73", "#5E4FA2", "#3A93CB")
"""Cool colours of contenders without spikes."""
ACCURACY = "accuracy, %"
INK, QUIET, FAINT, PAPER = "#1F2933", "#5F6B7A", "#DDE2E8", "#FFFFFF"
RIGHT, WRONG = "#1B7F5C", "#B3261E"
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
"""Colours on a dark page."""
MAX_LISTED = 100
"""Rows in the table under a chart; the download has all rows."""
MIN_RANGE = 2.0
"""Smallest range of an axis of accuracy, in points: chance should not look like a difference."""

Value = str | float | None
Row = Mapping[str, Value]
"""Texts and numbers by column (", " and a unit may end it); None is unknown."""
Kind = Literal["line", "points", "bars", "spans", "intervals", "band"]


@dataclass(frozen=True)
class Look:
    """Colour and form of marks: size and width in points, dashes as lengths of line and gap."""

    colour: str = QUIET
    shape: Literal["circle", "square", "triangle", "diamond", "star", "none"] = "circle"
    size: float = 6.0
    width: float = 1.6
    dashes: tuple[float, ...] = ()
    opacity: float = 1.0
    filled: bool = True


DASHES = (4.0, 2.0)


@dataclass(frozen=True)
class Marks:
    """Rows that are drawn alike.

    Lines, points and bars show the axes' columns; spans go along x between the two columns `ends`,
    intervals along y, a band fills the space. `place` is a row of a panel of names. Rows not
    `listed` have no tip, table or download.
    """

    kind: Kind
    rows: Sequence[Row]
    look: Look
    ends: tuple[str, str] = ("", "")
    place: float | None = None
    label: str = ""
    listed: bool = True


@dataclass(frozen=True)
class Axis:
    """An axis of the values in `column`, by default the title. `low` and `high` are limits, `least`
    and `most` the smallest and the largest range.
    """

    column: str
    title: str | None = None
    scale: Literal["linear", "log", "powers of two"] = "linear"
    ticks: Literal["numbers", "whole", "signed", "ratios"] = "numbers"
    low: float | None = None
    high: float | None = None
    least: float = 0.0
    most: float = math.inf


@dataclass(frozen=True)
class Rule:
    """A line through a whole panel at `at` of one axis; a zone up to `until`."""

    at: float
    axis: Literal["x", "y"] = "x"
    until: float | None = None
    look: Look = field(default=Look(width=0.9))
    row: Row | None = None


@dataclass(frozen=True)
class Name:
    """Name of a panel's row, and the conclusion at the right in `colour`."""

    text: str
    concluded: str = ""
    colour: str = INK


@dataclass(frozen=True)
class Panel:
    """Marks on two axes. In a panel of `names`, y has a row for each name, 0 at the top."""

    x: Axis
    y: Axis
    marks: Sequence[Marks]
    title: str = ""
    rules: Sequence[Rule] = ()
    names: Sequence[Name] = ()
    height: float = 2.4
    row_height: float = 0.31
    """Inches of a row with its name above it."""


@dataclass(frozen=True)
class Key:
    label: str
    kind: Kind
    look: Look


@dataclass(frozen=True)
class Chart:
    """A chart with at most `abreast` panels in a row; `name` in the page and in files."""

    name: str
    panels: Sequence[Panel]
    keys: Sequence[Key] = ()
    abreast: Literal[1, 2, 3, 4] = 2

    @property
    def rows(self) -> list[Row]:
        listed = [marks.rows for panel in self.panels for marks in panel.marks if marks.listed]
        ruled = [rule.row for panel in self.panels for rule in panel.rules if rule.row]
        every = [row for rows in (*listed, ruled) for row in rows]
        return [*{repr(row): row for row in map(plain, every)}.values()]

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for row in self.rows for column in row))

    @property
    def table(self) -> list[list[Value]]:
        columns = self.columns
        return [[row.get(column) for column in columns] for row in self.rows]

    @property
    def worded(self) -> list[bool]:
        """True for each of `columns` that holds words."""
        return [
            any(isinstance(value, str) for value in values)
            for values in zip(*self.table, strict=True)
        ]


def contender_colours(trials: Iterable[Any]) -> dict[str, str]:
    """Return a colour for each contender, the same in every chart."""
    spiking = {trial.contender: trial.kind == "snn" for trial in trials}
    palettes = {True: cycle(SPIKING_COLOURS), False: cycle(OTHER_COLOURS)}
    return {name: next(palettes[spikes]) for name, spikes in spiking.items()}


def contender_keys(colours: Mapping[str, str], kind: Kind = "line") -> list[Key]:
    return [Key(shortened(name, 44), kind, Look(colour)) for name, colour in colours.items()]


def rows_of(columns: Mapping[str, Iterable[Value]], common: Row | None = None) -> list[Row]:
    """Return a row for each place of the columns, after `common`."""
    return [
        {**(common or {}), **dict(zip(columns, values, strict=True))}
        for values in zip(*columns.values(), strict=True)
    ]


def averaged(
    x: str,
    xs: Iterable[float],
    y: str,
    curves: Sequence[Sequence[float]] | np.ndarray,
    look: Look,
    common: Row,
) -> list[Marks]:
    """Return the mean of `curves` `[S, N]` as a line, with a band of a standard deviation if S >
    1.
    """
    at, places = np.asarray(curves, dtype=float), list(xs)
    mean, columns = at.mean(0), {x: places, y: at.mean(0)}
    if len(at) < 2:
        return [Marks("line", rows_of(columns, common), look)]
    deviation = at.std(0, ddof=1)
    ends = rows_of({x: places, "low": mean - deviation, "high": mean + deviation})
    rows = rows_of({**columns, "standard deviation, points": deviation}, common)
    return [
        Marks("line", rows, look),
        Marks("band", ends, Look(look.colour), ("low", "high"), listed=False),
    ]


def plain(row: Row) -> Row:
    """Return a row with Python's numbers at six digits, None for others."""
    return {
        column: value
        if value is None or isinstance(value, str | int)
        else float(f"{value:.6g}")
        if math.isfinite(value)
        else None
        for column, value in row.items()
    }


def title_of(column: str) -> str:
    return column.rpartition(", ")[0] or column


def unit_of(column: str) -> str:
    return column.rpartition(", ")[2] if ", " in column else ""


def engineering(value: float, unit: str, places: int | None = None) -> str:
    """Return a value with an SI prefix: "1.75 µJ", whatever matplotlib's settings are."""
    return EngFormatter(unit, places, usetex=False, useMathText=False)(value)


def value_text(column: str, value: Value) -> str:
    """Return a value with its unit: "90.4 %", "1.75 µJ"; a text as it is, and "" for None."""
    if value is None or isinstance(value, str):
        return visible(value or "")
    unit = unit_of(column)
    if unit in ("J", "s"):
        return engineering(value, unit, 2)
    # Differences of sums may leave a crumb, or a zero with a sign.
    number = f"{value:,}" if isinstance(value, int) else f"{round(value, 12) + 0:.4g}"
    unit = "point" if unit == "points" and number in ("1", "-1") else unit
    return f"{number} {unit}".strip().replace("-", "−")


def tip(row: Row) -> str:
    """Return a row as lines: names alone, numbers after their column."""
    values = [(column, value) for column, value in plain(row).items() if value is not None]
    return "\n".join(
        visible(value)
        if isinstance(value, str)
        else f"{title_of(column)}: {value_text(column, value)}"
        for column, value in values
    )


def shortened(text: str, length: int = 18) -> str:
    """Return `text` on one line, the middle replaced by … beyond `length`."""
    text = visible(text)
    if len(text) > length:
        tail = (length - 1) // 3
        text = text[: length - 1 - tail] + "…" + text[len(text) - tail :]
    return text


def file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text).strip("-.") or "unnamed"
