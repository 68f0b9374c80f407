"""CSV files with named columns, read row by row, so that errors name the line."""

import csv
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from spikeduel.system.errors import InputError


def columns(path: Path) -> list[str]:
    """Return the columns of a CSV in small letters; none if it cannot be read."""
    try:
        # Spreadsheets put a signature before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _named(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def rows(
    path: Path | zipfile.Path, needed: Sequence[str], place: str
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (`place` with the line, stripped texts by column).

    Raises `InputError` if the file cannot be read or lacks a `needed` column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            reader.fieldnames = names = _named(reader)
            if missing := [name for name in needed if name not in names]:
                raise InputError(
                    f"{place}: has no column '{missing[0]}'; its first line names "
                    f"{', '.join(names) or 'nothing'}. It must name {' and '.join(needed)}, "
                    f"separated by commas."
                )
            for row in reader:
                yield (
                    f"{place}, line {reader.line_num}",
                    {name: row[name].strip() for name in names},
                )
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror or error}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{place}: not a CSV file in UTF-8 ({error}).") from None


def _named(reader: "csv.DictReader[str]") -> list[str]:
    return [name.strip().lower() for name in reader.fieldnames or ()]
