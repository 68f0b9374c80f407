"""Three charts drawn two ways: by matplotlib as `spikeduel.reporting.drawing` does it, and by
Vega-Lite rendered by vl-convert. Seconds of the processor, bytes, imports and installed size.

    python benchmarks/charts.py [--run RUN] [--out FOLDER]     needs: pip install vl-convert-python

With --run also the whole page of a comparison, without the start of Python and its imports.

Both draw the same declarations. Vega-Lite in the page itself, with an embedded Vega, was not
measured further: Vega makes functions of text, which the page's content policy forbids (it would
need 'unsafe-eval'), and a page without a script would have no chart.
"""

import argparse
import importlib.metadata
import json
import math
import platform
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

RESULTS = Path(__file__).parent / "results" / "charts.json"
PACKAGES = {
    "matplotlib": ["matplotlib", "fonttools", "contourpy", "kiwisolver"],
    "vega": ["vl-convert-python"],
}
REPEATS = 5


def declared() -> list[Any]:
    """Return three charts: accuracy against cost, learning curves, reliability."""
    from spikeduel.reporting.charts import (
        DASHES,
        OTHER_COLOURS,
        SPIKING_COLOURS,
        Axis,
        Chart,
        Key,
        Look,
        Marks,
        Panel,
    )

    contenders = {"vgg-lif": SPIKING_COLOURS[0], "vgg-relu": OTHER_COLOURS[0]}
    accuracy = Axis("accuracy, %", least=2)
    costs = []
    for column, first in (("energy, J", 2e-7), ("time, s", 1e-3)):
        marks = []
        for place, (name, colour) in enumerate(contenders.items()):
            value, right = first * 4**place, 90.0 + 2 * place
            row: dict[str, str | float | None] = {
                "contender": name,
                "accuracy, %": right,
                "from, %": right - 1,
                "to, %": right + 1,
            }
            rows: list[dict[str, str | float | None]] = [
                row | {column: value, "at most": 2 * value}
            ]
            marks += [
                Marks("intervals", rows, Look(colour, width=1), ("from, %", "to, %"), told=False),
                Marks(
                    "spans",
                    rows,
                    Look(colour, width=2.5, opacity=0.3),
                    (column, "at most"),
                    told=False,
                ),
                Marks("points", rows, Look(colour, size=7), label=name),
            ]
        costs.append(Panel(Axis(column, scale="log"), accuracy, marks))
    curves: dict[str, list[Marks]] = {"loss": [], "accuracy, %": []}
    for name, colour in contenders.items():
        for part, dashes in (("validation", ()), ("training", DASHES)):
            rows = [
                {
                    "contender": name,
                    "images": part,
                    "epoch": epoch,
                    "loss": 2 / epoch,
                    "accuracy, %": 95 - 60 / epoch,
                }
                for epoch in range(1, 21)
            ]
            for quantity in curves:
                curves[quantity].append(Marks("line", rows, Look(colour, "none", dashes=dashes)))
    bins = []
    for name, colour in contenders.items():
        rows = [
            {
                "contender": name,
                "confidence, %": 10 * k + 5,
                "accuracy, %": 9 * k + 5,
                "number": k * k,
            }
            for k in range(10)
        ]
        bins.append(
            Panel(
                Axis("confidence, %", low=0, high=100),
                Axis("accuracy, %", low=0, high=100),
                [
                    Marks("bars", rows, Look(colour, opacity=0.75)),
                    Marks("line", rows, Look(width=1)),
                ],
                name,
            )
        )
    keys = [Key(name, "line", Look(colour)) for name, colour in contenders.items()]
    return [
        Chart("cost", costs, keys),
        Chart(
            "curves",
            [Panel(Axis("epoch", ticks="whole"), Axis(y), marks) for y, marks in curves.items()],
            keys,
        ),
        Chart("reliability", bins),
    ]


def vega(panel: Any, width: int = 400) -> dict[str, Any]:
    """Return a panel as Vega-Lite."""

    def channel(axis: Any) -> dict[str, Any]:
        scale: dict[str, Any] = {
            "type": "log" if axis.scale == "log" else "linear",
            "zero": axis.low == 0,
        }
        field = axis.column.replace(".", "\\.").replace("[", "\\[")
        return {
            "field": field,
            "type": "quantitative",
            "title": axis.column,
            "scale": scale,
            "axis": {"format": "~s"},
        }

    kinds = {"points": "point", "bars": "bar", "line": "line", "spans": "rule", "intervals": "rule"}
    layers = []
    for marks in panel.marks:
        encoding = {"x": channel(panel.x), "y": channel(panel.y)}
        if marks.kind == "spans":
            encoding["x"]["field"], encoding["x2"] = marks.ends[0], {"field": marks.ends[1]}
        if marks.kind == "intervals":
            encoding["y"]["field"], encoding["y2"] = marks.ends[0], {"field": marks.ends[1]}
        rows = [
            {**row, "tip": "\n".join(f"{k}: {v}" for k, v in row.items())} for row in marks.rows
        ]
        if marks.kind == "points":
            encoding["description"] = {"field": "tip"}
        look = {
            "type": kinds[marks.kind],
            "color": marks.look.colour,
            "opacity": marks.look.opacity,
        }
        layers.append({"data": {"values": rows}, "mark": look, "encoding": encoding})
        if marks.label:
            text = {"type": "text", "align": "left", "dx": 8}
            encoding = {**encoding, "text": {"value": marks.label}}
            layers.append({"data": {"values": rows}, "mark": text, "encoding": encoding})
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": width,
        "height": 250,
        "autosize": {"type": "fit", "contains": "padding"},
        "title": panel.title,
        "layer": layers,
    }


def drawn(way: str, charts: list[Any]) -> list[str]:
    """Return the SVG of every chart."""
    if way == "matplotlib":
        from spikeduel.reporting import drawing

        return [str(drawing.panels(chart, chart.name)) for chart in charts]
    import vl_convert

    return [
        "".join(vl_convert.vegalite_to_svg(vega(panel)) for panel in chart.panels)
        for chart in charts
    ]


def measured(way: str, folder: Path | None) -> dict[str, Any]:
    """Measure one way in this process: the first three charts, and the median of further ones."""
    start = time.process_time()
    if way == "matplotlib":
        import matplotlib.backends.backend_svg
        import matplotlib.figure  # noqa: F401
    else:
        import vl_convert  # noqa: F401
    imported = time.process_time() - start
    charts = declared()
    spent, pictures = [], []
    for _ in range(REPEATS):
        start = time.process_time()
        pictures = drawn(way, charts)
        spent.append(time.process_time() - start)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures):
            (folder / f"{way}-{number}.html").write_text(f"<body style='max-width:980px'>{picture}")
    return {
        "import_seconds": round(imported, 3),
        "first_three_seconds": round(spent[0], 3),
        "next_three_seconds": round(sorted(spent[1:])[(REPEATS - 1) // 2], 3),
        "bytes_of_three": sum(map(len, pictures)),
        "installed_mb": installed(PACKAGES[way]),
    }


def whole_page(run: Path) -> dict[str, Any]:
    """Measure the page of a run: the first one in a process, and the next."""
    from spikeduel.reporting import report_again

    spent = []
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        for _ in range(2):
            start = time.process_time()
            report_again(run, page)
            spent.append(round(time.process_time() - start, 2))
        text = page.read_text()
    return {
        "first_seconds": spent[0],
        "next_seconds": spent[1],
        "bytes": len(text.encode()),
        "charts": text.count('<figure class="chart'),
        "panels": text.count('<svg class="panel'),
    }


def installed(packages: list[str]) -> float:
    """Return the megabytes of installed files of packages."""
    files = [file for package in packages for file in importlib.metadata.files(package) or []]
    sizes = [
        Path(str(file.locate())).stat().st_size
        for file in files
        if Path(str(file.locate())).exists()
    ]
    return math.ceil(sum(sizes) / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="Also write the charts here, to look at.")
    parser.add_argument("--run", type=Path, help="Also measure the page of this run.")
    parser.add_argument("--way", choices=PACKAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measured(options.way, options.out)))
        return
    ways = {}
    for way in PACKAGES:
        command = [sys.executable, __file__, "--way", way]
        command += ["--out", str(options.out)] if options.out else []
        ways[way] = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
    versions = {
        name: importlib.metadata.version(name) for each in PACKAGES.values() for name in each[:1]
    }
    found = {
        "python": platform.python_version(),
        "versions": versions,
        "charts": 3,
        "panels": 6,
        **ways,
    }
    if options.run:
        found["page"] = whole_page(options.run)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
