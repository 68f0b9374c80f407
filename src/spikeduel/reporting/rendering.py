"""Pages of the package's templates, with their pictures in them."""

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files as files_of
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from spikeduel.reporting import figures, style, svg
from spikeduel.results import rankings
from spikeduel.results.concluding import tuning_limits
from spikeduel.results.words import audit as audit_words
from spikeduel.results.words import caveats, confidence, controls, costs, method, numbers, optimism, power, tables
from spikeduel.results.words import court as court_words
from spikeduel.results.words import report as words
from spikeduel.results.words.nouns import said_of
from spikeduel.system import files
from spikeduel.system.errors import visible

MOST_PICTURED = 12
"""Pairs of equal images in a figure."""
SCREEN_DPI = 107
SCRIPT = files_of("spikeduel.reporting").joinpath("charts.js").read_text(encoding="utf-8")
"""What makes a page answer a pointer and keys; without it all is there to be read."""
_MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


def write(path: Path | str, template: str, page: Mapping[str, Any], noun: str = "image") -> Path:
    """Renders one of the package's templates; in it, `words` is `results.words.report`, the others beside it.

    `noun` is what is learned from (`said_of`).
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spikeduel", "reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # What is not printable in a name, such as a mark that turns the writing direction, as an escape.
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters |= {
        "data_uri": data_uri, "width": _width, "percent": tables.percent, "percent_1": words.one_digit,
        "file_name": style.file_name, "sentence": caveats.sentence,
    }  # fmt: skip
    environment.globals |= {
        "words": words, "method": method, "numbers": numbers, "tables": tables, "costs": costs, "rankings": rankings,
        "controls": controls, "optimisms": optimism, "power": power, "confidence": confidence, "court": court_words,
        "audits": audit_words, "colours": style.contender_colours,
        "tuning_limits": tuning_limits, "most_samples": figures.MOST_SAMPLES, "most_pictured": MOST_PICTURED,
        "most_listed": svg.MOST_LISTED, "title_of": svg.title_of, "dark_charts": svg.DARK,
        "script": Markup(SCRIPT), "script_hash": Markup(_hash(said_of(SCRIPT, noun))),
    }  # fmt: skip
    files.write_text(Path(path), said_of(environment.get_template(template).render(page), noun))
    return Path(path)


def _hash(script: str) -> str:
    """The one script that a page's policy allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _width(path: Path) -> int:
    """How wide a picture is to stand on the page, in CSS pixels: all at one scale, so that their text has one size."""
    with Image.open(path) as picture:
        return round(picture.width * (SCREEN_DPI / style.DPI if path.suffix == ".png" else 1))


def data_uri(path: Path) -> str:
    """A picture file as the address of itself."""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{_MEDIA_TYPES[path.suffix]};base64,{content}"
