"""Pages and figures in place of those that take seconds."""

from PIL import Image

from spikeduel.reporting import style
from spikeduel.reporting.svg import Chart, telling
from spikeduel.system import files


def unreported(comparison, **settings):
    """In place of `comparing.report`: an empty page."""
    files.write_text(comparison.out / "report.html", "a page")


def unpainted(figure, path):
    """In place of `reporting.style.save`: a white pixel instead of the figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (1, 1), 255).save(path, format="png")
    return path


def undrawn(draw, figure, path):
    """In place of `reporting.svg.chart`: a chart with nothing on it."""
    return Chart(path.stem, "<svg ></svg>", "<svg ></svg>", [])


def unmoved(encoded, image, path):
    """In place of `reporting.spikes.encoded_animation`: a white pixel that stands still."""
    unpainted(None, path.with_suffix(".png"))
    Image.new("L", (1, 1), 255).save(path, format="gif")
    return path


def told(figure):
    """All rows that a figure tells, those of a mark after those of the other."""
    return [row for artist in telling(figure) for row in style.rows_of(artist) if row]
