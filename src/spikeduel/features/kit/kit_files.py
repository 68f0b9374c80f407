"""Write a kit: all of a run that a reviewer needs to check it, in one zip file."""

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from spikeduel import energy
from spikeduel.analysis import hashes
from spikeduel.energy import accounting
from spikeduel.features import providing
from spikeduel.results.run import Results
from spikeduel.sentences.columns import (
    PAIRS,
    Column,
    contender_columns,
    contender_rows,
    holm_column,
    text_rows,
)
from spikeduel.sentences.comparison import Comparison, load_run
from spikeduel.system import files
from spikeduel.system.errors import InputError

README = """\
# {title}

{headline}

## Caveats

{caveats}

## Files

| file | holds |
|---|---|
| results.json | all numbers and conclusions, counts of operations, uses of the test images |
| predictions.json | the prediction of every network for every test image, with the image's hash |
| split.csv | the side of every image, by file name or index, and its hash |
| experiment.toml | all settings, with the seeds |
| tables/scores.* | the scores as LaTeX and CSV, with standard deviations (±) |
| tables/pairs.csv | every two networks: the first minus the second |
{features}| figures/ | the charts as SVG |
| energy/ | the prices and formulas that energies assume |
| labels.csv | labels that may be wrong |
| report.html | the report |
| sha256sums.txt | the hash of each file, for `sha256sum --check sha256sums.txt` |

## To check it

Without training and without PyTorch, in a folder with the source of spikeduel:

    pip install '.[verify]'
    spikeduel verify kit.zip

results.json was written by spikeduel {version}. Neither a commit nor an address of its source is
known. Another source of the same version may differ; `verify` then says where.

## Author and licence

Neither is stated here, and no setting states them: whoever publishes this kit does so there, or
adds a file LICENSE, which `verify` lets pass. Images in report.html have the licence of the data
set.
"""


def write_kit(run: Path, path: Path) -> Path:
    """Pack a run into a zip file for reviewers, with hashes of all files.

    Parameters
    ----------
    run : Path
        Folder of a run with its report and figures.
    path : Path
        Zip file to write.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        If something is missing, or the run does not pass `verify`.

    Examples
    --------
    >>> import spikeduel as sd
    >>> from pathlib import Path
    >>> sd.write_kit(Path("runs/digits"), Path("digits.zip"))  # doctest: +SKIP
    """
    comparison = load_run(run)
    if not all(holds(run) for holds in providing("holds").values()):
        raise InputError(f"{run}: does not hold, and a kit must: spikeduel verify {run} says why.")
    created = comparison.results.created
    moment = (int(created[:4]), int(created[5:7]), int(created[8:10]), 0, 0, 0)
    content = {part: files.read_bytes(run / part) for part in hashes.of_files(run, hashes.ARCHIVED)}
    content |= dict(derived_files(comparison))
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    content[hashes.FILE] = hashes.text(sums).encode()
    with files.atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, moment)
            archive.writestr(entry, content[name], zipfile.ZIP_DEFLATED)
    return path


def derived_files(comparison: Comparison) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of each file."""
    results = comparison.results
    yield (
        "README.md",
        README.format(
            title=f"{' against '.join(results.contenders)} on {results.dataset.name}",
            headline=comparison.headline(),
            caveats="\n".join(f"- {caveat}" for caveat in comparison.caveats()) or "None.",
            features="".join(
                f"| {name} | {title} |\n" for name, title, *_ in _feature_tables(results)
            ),
            version=results.spikeduel,
        ).encode(errors="replace"),
    )
    yield (
        "tables/scores.tex",
        b"% \\usepackage{booktabs}\n" + comparison.to_latex().encode(errors="replace"),
    )
    yield "tables/scores.csv", _csv(contender_columns(results), contender_rows(results))
    pairs = results.comparison.pairs
    yield (
        "tables/pairs.csv",
        _csv([*PAIRS, holm_column(pairs)], [pair.leader_first for pair in pairs]),
    )
    for name, _, columns, rows in _feature_tables(results):
        yield name, _csv(columns, rows)
    for folder, names in ((".", energy.NAMES), ("accountings", accounting.NAMES)):
        for table in names:
            source = accounting.FOLDER.joinpath(folder, f"{table}.toml")
            yield f"energy/{table}.toml", source.read_bytes()


def _feature_tables(results: Results) -> Iterator[tuple[str, str, Sequence[Column[Any]], Any]]:
    """Yield the file name, title, columns and rows of each table of a feature."""
    for feature, tables in providing("tables").items():
        if feature in results.features:
            by_title = tables(results.features[feature]).items()
            for number, (title, (columns, rows)) in enumerate(by_title, 1):
                yield f"tables/{feature}-{number}.csv", title, columns, rows


def _csv(columns: Sequence[Column[Any]], rows: Sequence[Any]) -> bytes:
    text = io.StringIO()
    cells = [
        {part: number for title in row for part, number in _numbers(title, row[title])}
        for row in text_rows(columns, rows)
    ]
    titles = list(dict.fromkeys(title for row in cells for title in row)) or [
        column.title for column in columns
    ]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([titles, *([row.get(title, "") for title in titles] for row in cells)])
    return text.getvalue().encode(errors="replace")


def _numbers(title: str, cell: str) -> list[tuple[str, str]]:
    """Return a cell as spreadsheets read it: signs of ASCII, and two columns for two numbers."""
    plain = re.sub(r"(?<=\d),(?=\d{3})", "", cell.replace("−", "-").removeprefix("–"))
    both = re.fullmatch(r"(\S+) (±|to) (\S+)", plain)
    return [(title, both[1]), (f"{title} {both[2]}", both[3])] if both else [(title, plain)]
