"""The package's HTML pages: their templates, and pictures that are part of them."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from spikeduel.reporting import figures, style
from spikeduel.results.concluding import tuning_limits
from spikeduel.results.words import audit, caveats, controls, costs, numbers, report, tables
from spikeduel.system import files
from spikeduel.system.errors import visible

MOST_PICTURED = 12
"""Pairs of equal images in a figure."""
SCREEN_DPI = 107
_MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


def write(path: Path | str, template: str, page: Mapping[str, Any]) -> Path:
    """Renders one of the package's templates; in it, `words` is `results.words.report`, the others beside it."""
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
        "data_uri": data_uri, "width": _width, "percent": tables.percent, "percent_1": report.one_digit,
        "file_name": style.file_name, "sentence": caveats.sentence,
    }  # fmt: skip
    environment.globals |= {
        "words": report, "numbers": numbers, "tables": tables, "costs": costs, "controls": controls,
        "audits": audit, "colours": style.contender_colours,
        "tuning_limits": tuning_limits, "most_samples": figures.MOST_SAMPLES, "most_pictured": MOST_PICTURED,
    }  # fmt: skip
    files.write_text(Path(path), environment.get_template(template).render(page))
    return Path(path)


def _width(path: Path) -> int:
    """How wide a picture is to stand on the page, in CSS pixels: all at one scale, so that their text has one size."""
    with Image.open(path) as picture:
        return round(picture.width * (SCREEN_DPI / style.DPI if path.suffix == ".png" else 1))


def data_uri(path: Path) -> str:
    """A picture file as the address of itself."""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:{_MEDIA_TYPES[path.suffix]};base64,{content}"
