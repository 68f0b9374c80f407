"""Pages of the package's templates, with their pictures in them."""

import base64
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from spikeduel.reporting import figures, style, svg, thumbnails
from spikeduel.results import columns, rankings
from spikeduel.results.run_findings import tuning_limits
from spikeduel.results.words import answer as answers
from spikeduel.results.words import audit as audit_words
from spikeduel.results.words import (
    controls,
    costs,
    findings,
    measures,
    method,
    numbers,
    power,
    verdict,
)
from spikeduel.results.words import court as court_words
from spikeduel.results.words import inside as inside_words
from spikeduel.results.words import report as words
from spikeduel.results.words.numbers import said_of
from spikeduel.system import files
from spikeduel.system.errors import visible

MOST_PICTURED = 12
"""Pairs of equal images in a figure."""
MOST_CROSSED = 30
"""Classes in a confusion matrix; of more, the most frequent errors are listed."""
MOST_ERRORS = 50
SCREEN_DPI = 107
SCRIPTS = ("page.js", "charts.js", "inside.js")
"""Files of this folder that every page has at its end; the content policy lets it run no other
script.
"""
PLACE_OF_SCRIPTS = "<!-- scripts -->"
_MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


def write(path: Path | str, template: str, page: Mapping[str, Any], noun: str = "image") -> Path:
    """Renders one of the package's templates; in it, `words` is `results.words.report`, the others
    beside it.

    `noun` is what is learned from (`said_of`).
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spikeduel", "reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What is not printable in a name, such as a mark that turns the writing direction, as an
        # escape.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters |= {
        "data_uri": data_uri,
        "width": _width,
        "percent": columns.percent,
        "percent_1": columns.one_digit,
        "file_name": style.file_name,
        "sentence": findings.sentence,
        "shortened": style.shortened,
        "embedded": embedded,
    }
    environment.globals |= {
        "words": words,
        "method": method,
        "numbers": numbers,
        "columns": columns,
        "measures": measures,
        "costs": costs,
        "rankings": rankings,
        "controls": controls,
        "power": power,
        "verdicts": verdict,
        "court": court_words,
        "audits": audit_words,
        "answers": answers,
        "inside_words": inside_words,
        "definitions": words.DEFINITIONS,
        "colours": style.contender_colours,
        "script_hashes": [policy_of(each) for each in scripts()],
        "place_of_scripts": PLACE_OF_SCRIPTS,
        "tuning_limits": tuning_limits,
        "most_samples": figures.MOST_SAMPLES,
        "most_pictured": MOST_PICTURED,
        "most_crossed": MOST_CROSSED,
        "most_errors": MOST_ERRORS,
        "most_of_one": thumbnails.MOST_OF_ONE,
        "most_listed": svg.MOST_LISTED,
        "title_of": svg.title_of,
        "dark_charts": svg.DARK,
    }
    text = said_of(environment.get_template(template).render(page), noun)
    # Only now: a script is not to be reworded, its hash stands in the policy.
    text = text.replace(
        PLACE_OF_SCRIPTS, "".join(f"<script>{each}</script>\n" for each in scripts())
    )
    files.write_text(Path(path), text)
    return Path(path)


def embedded(value: Any) -> Markup:
    """A struct as JSON within a page."""
    return Markup(msgspec.json.encode(value).decode().replace("<", r"\u003c"))


def scripts() -> list[str]:
    """The text of each of `SCRIPTS`."""
    folder = resources.files("spikeduel") / "reporting"
    return [(folder / name).read_text(encoding="utf-8") for name in SCRIPTS]


def policy_of(script: str) -> str:
    """A script as a content policy names it: by its hash."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"


def _width(path: Path) -> int:
    """How wide a picture is to stand on the page, in CSS pixels: all at one scale, so that their
    text has one size.
    """
    with Image.open(path) as picture:
        return round(picture.width * (SCREEN_DPI / style.DPI if path.suffix == ".png" else 1))


def data_uri(path: Path) -> str:
    """A picture file as the address of itself."""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{_MEDIA_TYPES[path.suffix]};base64,{content}"


Drawings = Iterator[tuple[str, Callable[[], Figure | None]]]
"""What draws each figure, by name; charts are drawn twice. What a page says of each stands in its
template.
"""


def saved(
    drawings: Iterable[tuple[str, Callable[[], Figure | None]]], folder: Path
) -> dict[str, Path | svg.Chart]:
    """Writes all figures as PNG, and charts as SVG, too; what the page shows of each, by name."""
    shown: dict[str, Path | svg.Chart] = {}
    for name, draw in drawings:
        if figure := draw():
            shown[name] = style.save(figure, folder / f"{name}.png")
            if svg.telling(figure):
                shown[name] = svg.chart(draw, figure, folder / f"{name}.svg")
    return shown
