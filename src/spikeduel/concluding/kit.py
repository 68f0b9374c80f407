"""Files of a kit that follow from a run's results: README, checklist, tables, prices of energy."""

import csv
import io
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

from spikeduel import energy
from spikeduel.energy import accounting
from spikeduel.results.checklist import checklist, is_done
from spikeduel.results.columns import (
    PAIRS,
    Column,
    contender_columns,
    contender_rows,
    control_columns,
    holm_column,
    text_rows,
)
from spikeduel.results.comparison import Comparison
from spikeduel.results.findings import sentence

CHECKLIST = "checklist.md"
README = """\
# {title}

{headline}

| file | holds |
|---|---|
| results.json | all numbers and conclusions, counts of operations, uses of the test images |
| predictions.json | the answer of every network to every test image, with the image's hash |
| split.csv | the side of every image, by file name or index, and its hash |
| experiment.toml | all settings, with the seeds |
| checklist.md | what was done against the usual faults, and what was not |
| tables/ | the scores as LaTeX, and the tables as CSV |
| figures/ | the charts as SVG |
| energy/ | the prices and formulas that energies assume |
| labels.csv | labels that may be wrong |
| report.html | the report |
| ro-crate-metadata.json | this kit for machines (RO-Crate 1.1), with the hash of each file |

To check it, without training and without PyTorch, with spikeduel {version}:

    pip install '.[verify]'          # in a clone of spikeduel's repository
    spikeduel verify kit.zip
"""


def made(comparison: Comparison) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each file."""
    results = comparison.results
    title = f"{' against '.join(results.contenders)} on {results.dataset.name}"
    about = {"title": title, "headline": comparison.headline(), "version": results.spikeduel}
    yield "README.md", README.format(**about).encode()
    yield CHECKLIST, _checklist(comparison).encode()
    yield "tables/scores.tex", comparison.to_latex().encode()
    yield "tables/scores.csv", _csv(contender_columns(results), contender_rows(results))
    pairs = [pair.led for pair in results.comparison.pairs]
    yield "tables/pairs.csv", _csv([*PAIRS, holm_column(pairs)], pairs)
    for controlled in results.comparison.controls:
        differences = [row.found for row in controlled.rows]
        columns = [*control_columns(controlled), holm_column(differences)]
        table = f"tables/controls-{controlled.contender.replace(':', '.')}.csv"
        yield table, _csv(columns, controlled.rows)
    for folder, names in ((".", energy.NAMES), ("accountings", accounting.NAMES)):
        for table in names:
            source = resources.files("spikeduel.energy").joinpath(folder, f"{table}.toml")
            yield f"energy/{table}.toml", source.read_bytes()


def _checklist(comparison: Comparison) -> str:
    noun = comparison.results.dataset.noun
    lines = [
        f"- [{'x' if is_done(finding) else ' '}] {sentence(finding, noun)}"
        for finding in checklist(comparison.results)
    ]
    return "\n".join(["# Checklist", "", "Filled in from the results.", "", *lines, ""])


def _csv(columns: Sequence[Column[Any]], rows: Sequence[Any]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, [column.title for column in columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows(text_rows(columns, rows))
    return text.getvalue().encode()
