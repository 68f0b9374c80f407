"""The documentation as a site: `make docs`, or `sphinx-build -W docs build/docs`. It fetches nothing."""

import dataclasses
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from msgspec import Struct
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np

import spikeduel
from spikeduel.cli.inputs import settings_rows

project, author = "spikeduel", "the spikeduel contributors"
copyright = "the spikeduel contributors, MIT licence"
version = release = spikeduel.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# Docstrings write names and shapes between single backticks.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
smartquotes = False
html_theme = "furo"
pygments_dark_style = "monokai"
html_title = "spikeduel"
html_static_path = ["_static"]
html_css_files = ["spikeduel.css"]
html_copy_source = False
html_show_sphinx = False

SHOWN = 10597
"""An ankle boot that the spiking network takes for a sneaker until its third time step."""


class Settings(SphinxDirective):
    """A table of the settings of an experiment, made from its fields."""

    def run(self) -> list[nodes.Node]:
        cells = [(f"`{row['setting']}`", *list(row.values())[1:]) for row in settings_rows()]
        return self.parse_text_to_nodes(_table(("setting", "default", "meaning", "values"), cells))


class Entries(SphinxDirective):
    """A table of what a registry holds: each name, and the first paragraph that is written about it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        registry: Mapping[str, Any] = getattr(spikeduel, self.arguments[0])
        rows = [(f"`{name}`", _about(entry)) for name, entry in registry.items()]
        return self.parse_text_to_nodes(_table(("name", "what it is"), rows))


def _about(entry: Any) -> str:
    """Return one line on an entry of a registry."""
    for name in ("help", "meaning", "about"):
        if text := getattr(entry, name, ""):
            return str(text)
    for told in (entry, *(getattr(entry, name, None) for name in ("take", "gradient", "function"))):
        if callable(told) and told.__doc__:
            return " ".join(told.__doc__.partition("\n\n")[0].split())
    return ""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [
        head,
        ("---",) * len(head),
        *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _with_names_alone(
    app: Sphinx,
    what: str,
    name: str,
    found: Any,
    options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str | None] | None:
    """Return the fields of a type without their types, of which its docstring tells."""
    if name == "spikeduel.Experiment":
        return "(**settings)", ""
    if what == "class" and dataclasses.is_dataclass(found):
        return f"({', '.join(field.name for field in dataclasses.fields(found))})", ""
    if what == "class" and issubclass(found, Struct):
        return f"({', '.join(found.__struct_fields__)})", ""
    return (readable(signature), returned) if signature else None


def readable(signature: str) -> str:
    """Return a signature with short names for a type of NumPy's and for defaults that are methods."""
    array = re.sub(
        r"_Buffer \| .*?NestedSequence\[complex \| bytes \| str\]", "ArrayLike", signature
    )
    return re.sub(r"<bound method (\S+) of <[^>]*>>", r"\1", array)


def _look_inside(app: Sphinx, failed: Exception | None) -> None:
    """Write the page that docs/spiking.md shows: the shipped twins, and a test image."""
    if failed or app.builder.format != "html" or not hasattr(spikeduel, "inspect"):
        return
    prepared = spikeduel.data.load(spikeduel.recipes.strong())
    image, label = np.array(prepared.images[SHOWN]), prepared.labels[SHOWN]
    models = {
        name: spikeduel.load_model(f"fashion-mnist-{name}") for name in ("vgg-lif", "vgg-relu")
    }
    spikeduel.inspect(models, image, Path(app.outdir, "_static"), prepared.classes[label])


def setup(app: Sphinx) -> None:
    """Tell Sphinx of both tables, how to write signatures, and what to draw."""
    app.connect("build-finished", _look_inside)
    app.connect("autodoc-process-signature", _with_names_alone)
    app.add_directive("settings", Settings)
    app.add_directive("entries", Entries)
