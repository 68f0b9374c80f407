"""Pages and drawings in place of those that take seconds, and what declared charts hold."""

import base64
import io
from contextlib import contextmanager

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image

from spikeduel.analysis import hashes
from spikeduel.data import Split
from spikeduel.system import files

SPLIT = Split(np.arange(30), np.arange(30, 40), np.arange(40, 60), "stratified")
"""The split of a set of 60 images."""


def unreported(comparison, **settings):
    """Write an empty page, in place of `comparing.report`."""
    files.write_text(comparison.out / "report.html", "a page")
    hashes.renew_page(comparison.out)


@contextmanager
def without_pages():
    """Let comparisons write empty pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikeduel.comparing.report", unreported)
        yield


def unpainted(chart, label):
    """Return an empty drawing, in place of `reporting.drawing.panels`."""
    return Markup("<svg></svg>")


def listed_rows(chart):
    """Return the listed rows of a chart, panel by panel."""
    return [row for panel in chart.panels for row in rows_in(panel)]


def rows_in(panel):
    """Return the listed rows of a panel."""
    return [row for marks in panel.marks if marks.listed for row in marks.rows]


def places(panel, marks):
    """Return x and y of the rows of some marks."""
    rows = marks.rows
    ys = [row[panel.y.column] for row in rows] if marks.place is None else [marks.place] * len(rows)
    return [row[panel.x.column] for row in rows], ys


def pixels(source):
    kind, content = source.split(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
