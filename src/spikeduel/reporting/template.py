"""The package's HTML pages: their templates, and pictures that are part of them."""

import base64
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from spikeduel.reporting import style
from spikeduel.results.words import numbers, report, tables
from spikeduel.system.errors import visible

SCREEN_DPI = 107
_MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif"}


def template(name: str = "report.html.j2") -> jinja2.Template:
    """One of the package's pages; in it, `words` is `results.words.report`, `numbers` and `tables` are beside it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("spikeduel", "reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "data_uri": data_uri,
        "width": shown_width,
        "percent": tables.percent,
        "percent_1": report.one_digit,
    }
    environment.globals |= {"words": report, "numbers": numbers, "tables": tables}
    return environment.get_template(name)


def _shown(value: Any) -> Any:
    """What is not printable in a name, such as a mark that turns the writing direction, as an escape."""
    return visible(value) if type(value) is str else value


def shown_width(path: Path) -> int:
    """How wide a picture is to stand on the page, in CSS pixels: all at one scale, so that their text has one size."""
    with Image.open(path) as picture:
        return round(picture.width * (SCREEN_DPI / style.DPI if path.suffix == ".png" else 1))


def data_uri(path: Path) -> str:
    """A picture file as the address of itself."""
    content = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    return f"data:{_MEDIA_TYPES[Path(path).suffix]};base64,{content}"
