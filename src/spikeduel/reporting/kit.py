"""Write a kit: all of a run that a reviewer needs to check it, in one zip file."""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from spikeduel import energy
from spikeduel.concluding import crate
from spikeduel.concluding.verifying import verify
from spikeduel.energy import accounting
from spikeduel.results.checklist import checklist, is_done
from spikeduel.results.columns import (
    PAIRS,
    Column,
    contender_columns,
    contender_rows,
    control_columns,
    text_rows,
)
from spikeduel.results.comparison import Comparison, load_run
from spikeduel.results.findings import sentence
from spikeduel.system import files
from spikeduel.system.errors import InputError

PARTS = (*(part for part in crate.PARTS if not part.startswith("models/")), "figures/*.svg")
"""Files of the run that a kit holds; models stay with the run."""
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
| report.html | the report |
| ro-crate-metadata.json | this kit for machines (RO-Crate 1.1), with the hash of each file |

To check it, without training and without PyTorch, with spikeduel {version}:

    pip install '.[verify]'          # in a clone of spikeduel's repository
    spikeduel verify {name}
"""


def write_kit(run: Path, path: Path) -> Path:
    """Write the kit of a run whose report and figures are drawn, and return `path`. Raises
    `InputError`, also if the run does not hold.
    """
    comparison = load_run(run)
    if not all(verification.holds for verification in verify(run)):
        raise InputError(
            f"{run}: does not hold, and a kit must: `spikeduel verify {run}` says why."
        )
    created = comparison.results.created
    moment = (int(created[:4]), int(created[5:7]), int(created[8:10]), 0, 0, 0)
    content = dict(_content(comparison, path.name))
    content[crate.FILE] = crate.written(comparison, content)
    with files.atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, moment)
            archive.writestr(entry, content[name], zipfile.ZIP_DEFLATED)
    return path


def _content(comparison: Comparison, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each file but the description."""
    run, results = comparison.out, comparison.results
    for part in crate.found(run, PARTS):
        yield part, files.read_bytes(run / part)
    title = f"{' against '.join(results.contenders)} on {results.dataset.name}"
    about = {"title": title, "headline": comparison.headline(), "version": results.spikeduel}
    yield "README.md", README.format(**about, name=name).encode()
    yield "checklist.md", _checklist(comparison).encode()
    yield "tables/scores.tex", comparison.to_latex().encode()
    yield "tables/scores.csv", _csv(contender_columns(results), contender_rows(results))
    yield "tables/pairs.csv", _csv(PAIRS, results.comparison.pairs)
    for controlled in results.comparison.controls:
        table = f"tables/controls-{controlled.contender.replace(':', '.')}.csv"
        yield table, _csv(control_columns(controlled), controlled.rows)
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
