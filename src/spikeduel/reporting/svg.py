"""Charts of a page: a figure as SVG whose text is text, with what its points say, at two widths.

matplotlib draws; here its markup becomes a part of a page: colours of the page's scheme, ids of its
own, and marks that can be pointed at, each with the row that `style.told` gave it.
"""

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter
from matplotlib.transforms import Bbox

from spikeduel.reporting import style
from spikeduel.system import files
from spikeduel.system.errors import visible

POINTS = 72
"""Units of an SVG to the inch."""
MOST_LISTED = 100
"""Rows of the table under a chart; a download has all."""
_LINK = "{http://www.w3.org/1999/xlink}href"
_REACH = 4.0
"""Half the side of the mark that stands for a point, in `POINTS`."""
_SCHEME = {
    style.INK: "--ink",
    style.QUIET: "--quiet",
    style.FAINT: "--line",
    "#FFFFFF": "--card",
    **{colour: f"--chart-{colour[1:].lower()}" for colour in style.IN_THE_DARK},
}
"""The page's variable for each colour of a chart."""
DARK = {_SCHEME[colour]: dark for colour, dark in style.IN_THE_DARK.items()}
"""The variables that a dark page sets, beside those that it has for its own text."""


@dataclass(frozen=True)
class Chart:
    """A chart for a page: its markup when `wide` and when `narrow`, and its `rows`, each of them
    once.
    """

    name: str
    wide: str
    narrow: str
    rows: Sequence[style.Row]

    @property
    def columns(self) -> list[str]:
        """The names of all values of its rows."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @property
    def cells(self) -> list[list[str | float | None]]:
        """The values of all rows, by `columns`."""
        return [[row.get(name) for name in self.columns] for row in self.rows]

    @property
    def listed(self) -> list[list[str]]:
        """The first `MOST_LISTED` rows, as people read them."""
        columns = self.columns
        return [[said(name, row.get(name)) for name in columns] for row in self.rows[:MOST_LISTED]]

    @property
    def worded(self) -> list[bool]:
        """Of each of `columns`, whether it has words instead of numbers."""
        return [any(isinstance(row.get(name), str) for row in self.rows) for name in self.columns]

    def shown(self, label: str) -> Markup:
        """Both for a page, which shows the one that fits; `label` says what is to be seen."""
        told = f'role="img" aria-label="{escape(visible(label))}"'
        return Markup(
            "\n".join(
                each.replace("<svg ", f"<svg {told} ", 1) for each in (self.wide, self.narrow)
            )
        )


def chart(draw: Callable[[], Figure | None], figure: Figure, path: Path) -> Chart:
    """The chart that `draw` makes: as drawn in `figure`, which is also written to `path`, and once
    more for a phone.
    """
    name = style.file_name(path.stem)
    root = _drawn(figure, f"{name}-wide")
    with files.atomic_path(path) as temporary:
        temporary.write_text(ElementTree.tostring(root, encoding="unicode"), encoding="utf-8")
    rows = list(
        {
            repr(row): row for artist in telling(figure) for row in style.rows_of(artist) if row
        }.values()
    )
    wide = _on_page(root, figure, "wide")
    with style.drawn_for(style.PHONE):
        small = draw() or figure
    return Chart(name, wide, _on_page(_drawn(small, f"{name}-narrow"), small, "narrow"), rows)


def telling(figure: Figure) -> list[Artist]:
    """What in it says what it shows (`style.told`); nothing in pictures."""
    return [artist for artist in figure.findobj() if style.rows_of(artist)]


def title_of(column: str) -> str:
    """The name of a value without its unit."""
    return column.rpartition(", ")[0] or column


def said(column: str, value: str | float | None) -> str:
    """A value as people read it, with its unit: "90.4 %", "1.75 µJ"."""
    if value is None or isinstance(value, str):
        return visible(value or "")
    unit = column.rpartition(", ")[2] if ", " in column else ""
    if unit in ("J", "s"):
        return EngFormatter(unit, places=2)(value)
    # A difference of two sums may leave the smallest of crumbs, or a zero with a sign.
    number = f"{value:,}" if isinstance(value, int) else f"{round(value, 12) + 0:.4g}"
    unit = "point" if unit == "points" and number in ("1", "-1") else unit
    return f"{number} {unit}".strip().replace("-", "−")


def tip(row: style.Row) -> str:
    """A row in lines: names of things alone, numbers after what they are."""
    known = [(name, value) for name, value in row.items() if value is not None]
    lines = [
        said(name, value) if isinstance(value, str) else f"{title_of(name)}: {said(name, value)}"
        for name, value in known
    ]
    return "\n".join(lines)


class _Renderer(RendererSVG):
    """Text stays text, whatever the user's `svg.fonttype` says."""

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):  # type: ignore[no-untyped-def]
        self._draw_text_as_text(gc, x, y, s, prop, angle, ismath, mtext)


def _drawn(figure: Figure, prefix: str) -> ElementTree.Element:
    """`figure` as a tree of SVG without what a page has no use for; its ids begin with `prefix`."""
    written = io.StringIO()
    figure.set_dpi(POINTS)
    width, height = figure.get_size_inches()
    renderer = _Renderer(width * POINTS, height * POINTS, written, image_dpi=style.DPI)
    mixed = MixedModeRenderer(figure, width, height, style.DPI, renderer)
    figure.draw(mixed)  # type: ignore[arg-type]
    mixed.finalize()
    root = ElementTree.fromstring(written.getvalue())
    _without_overhead(root)
    _renamed(root, prefix)
    wide, high = (f"{inches * POINTS:g}" for inches in (width, height))
    root.attrib.clear()
    root.attrib |= {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {wide} {high}",
        "width": wide,
        "height": high,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
        "font-family": "'DejaVu Sans', Verdana, sans-serif",
    }
    return root


def _without_overhead(root: ElementTree.Element) -> None:
    """Removes metadata, styles of the whole document, and fonts of single texts; shortens names and
    numbers.
    """
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style") or (
                child.tag in ("defs", "g") and not len(child)
            ):
                parent.remove(child)

    def rounded(number: re.Match[str]) -> str:
        return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")

    for element in root.iter():
        element.tail = None
        if not len(element) and element.text and not element.text.strip():
            element.text = None
        for name in ("d", "x", "y", "transform", "width", "height"):
            if name in element.attrib:
                element.set(
                    name, re.sub(r"\d+\.\d{3,}", rounded, " ".join(element.get(name, "").split()))
                )
        if "style" in element.attrib:
            element.set("style", _own_size(element.get("style", "")))


def _own_size(look: str) -> str:
    """A style in which a font is nothing but its size and weight."""
    font = re.search(r"font: (?:(?:normal|italic|oblique) )?(?:(bold|\d+) )?([\d.]+)px [^;]*", look)
    if font is None:
        return look
    weight = "; font-weight: bold" if font[1] in ("bold", "700") else ""
    return look.replace(font[0], f"font-size: {font[2]}px{weight}")


def _renamed(root: ElementTree.Element, prefix: str) -> None:
    """Keeps the ids that are referred to, in the order of their first use: equal figures have equal
    markup.
    """
    names: dict[str, str] = {}

    def new(old: str) -> str:
        return names.setdefault(old, f"{prefix}-{len(names)}")

    for element in root.iter():
        if _LINK in element.attrib:
            link = element.attrib.pop(_LINK)
            # A picture has itself as its address.
            element.set("href", "#" + new(link[1:]) if link.startswith("#") else link)
        for key, value in element.attrib.items():
            if "url(#" in value:
                element.set(
                    key, re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{new(found[1])})", value)
                )
    for element in root.iter():
        if "id" in element.attrib:
            old = element.attrib.pop("id")
            if old in names:
                element.set("id", names[old])


def _on_page(root: ElementTree.Element, figure: Figure, kind: str) -> str:
    """The markup of `root` in the page's colours, with a mark for each of the rows that `figure`
    tells.
    """
    marks = ElementTree.SubElement(root, "g", {"class": "tips"})
    height = figure.get_figheight() * POINTS
    for place, row in _places(figure):
        box = (
            place.x0,
            height - place.y1,
            place.width,
            place.height,
            min(place.width, place.height, 2 * _REACH) / 2,
        )
        sides = dict(
            zip(("x", "y", "width", "height", "rx"), (f"{side:.4g}" for side in box), strict=True)
        )
        ElementTree.SubElement(marks, "rect", {**sides, "data-tip": tip(row)})
    for name in ("xmlns", "width", "height", "font-family"):
        del root.attrib[name]
    root.attrib |= {"class": kind, "style": f"--natural: {figure.get_figwidth():g}in"}
    return re.sub(r"#[0-9A-Fa-f]{6}\b", _in_scheme, ElementTree.tostring(root, encoding="unicode"))


def _in_scheme(colour: re.Match[str]) -> str:
    variable = _SCHEME.get(colour[0].upper())
    return f"var({variable}, {colour[0].upper()})" if variable else colour[0]


def _places(figure: Figure) -> Iterator[tuple[Bbox, style.Row]]:
    """Where each row is to be pointed at, in `POINTS` from below; what the axes leave out is
    not.
    """
    for artist in telling(figure):
        rows, points = style.rows_of(artist), _points(artist)
        if points is None or len(points) != len(rows):
            (only,) = (row for row in rows if row)
            box = artist.get_window_extent().padded(1.5)
            if artist.axes is not None:
                box = Bbox.intersection(box, artist.axes.get_window_extent()) or box
            if np.isfinite(box.extents).all():
                yield box, only
            continue
        limits = (
            artist.axes.get_window_extent().padded(_REACH)
            if artist.axes is not None
            else figure.bbox
        )
        for (x, y), row in zip(points, rows, strict=True):
            if row and math.isfinite(x + y) and limits.contains(x, y):
                yield Bbox.from_extents(x - _REACH, y - _REACH, x + _REACH, y + _REACH), row


def _points(artist: Artist) -> np.ndarray | None:
    """The points of a line or of scattered marks, `[N, 2]` in pixels."""
    if isinstance(artist, Line2D):
        return artist.get_transform().transform(artist.get_xydata())
    if isinstance(artist, PathCollection):
        return artist.get_offset_transform().transform(np.asarray(artist.get_offsets()))
    return None
