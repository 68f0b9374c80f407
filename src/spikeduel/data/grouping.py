"""Groups of images: joined, and read from `--group-by`; and CSVs by lines."""

import csv
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from spikeduel.statistics import numbered
from spikeduel.system import files
from spikeduel.system.errors import InputError


def join_groups(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the finest grouping that cuts neither `first` nor `second`, `numbered`."""
    import scipy

    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    offset = int(a.max()) + 1
    size = offset + int(b.max()) + 1
    edges = scipy.sparse.coo_matrix(
        (np.ones(len(a), dtype=np.int8), (a, b + offset)), shape=(size, size)
    )
    _, component = scipy.sparse.csgraph.connected_components(edges, directed=False)
    return numbered(component[a].tolist())


def group_rule(group_by: str) -> Callable[[str], str | None]:
    """Return the rule from an image's path (forward slashes) to its group.

    `group_by` is a CSV with the columns `path` and `group`, else a regular expression with one
    capturing group. Raises `InputError`.
    """
    if files.is_file(group_by):
        return _table(Path(group_by).expanduser()).get
    problem = f"group_by {group_by}: no such file, and"
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise InputError(
            f"{problem} not a regular expression ({error}). Mend it, or name a CSV."
        ) from None
    if pattern.groups != 1:
        raise InputError(
            f"{problem} as a regular expression it has {pattern.groups} groups in parentheses "
            f"where it needs exactly one, which captures the name of an image's group, as in "
            rf"([^/]+)_\d+\.png; others are written (?:…)."
        )

    def group_of(name: str) -> str | None:
        match = pattern.search(name)
        return match and (match.group(1) or None)

    return group_of


def _table(path: Path) -> dict[str, str]:
    groups: dict[str, str] = {}
    for line, row in rows_of(path, ("path", "group"), f"group_by {path}"):
        name, group = row["path"].removeprefix("./"), row["group"]
        if not name or not group:
            raise InputError(f"{line}: has no {'group' if name else 'path'}.")
        if groups.setdefault(name, group) != group:
            raise InputError(
                f"{line}: {name} is in group '{group}' here and in '{groups[name]}' above. List it "
                f"once."
            )
    return groups


def columns_of(path: Path) -> list[str]:
    """Return a CSV's columns in small letters; none if it cannot be read."""
    try:
        # Spreadsheets put a signature before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _named(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def rows_of(
    path: Path | zipfile.Path, needed: Sequence[str], place: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (`place`, by default the file, with the line; stripped texts by column) of a CSV.

    Raises `InputError` for an unreadable file or a missing `needed` column.
    """
    place = place or str(path)
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
                stripped = {name: row[name].strip() for name in names}
                yield f"{place}, line {reader.line_num}", stripped
    except OSError as error:
        raise InputError(f"{place}: cannot be read ({error.strerror or error}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{place}: not a CSV file in UTF-8 ({error}).") from None


def _named(reader: "csv.DictReader[str]") -> list[str]:
    return [name.strip().lower() for name in reader.fieldnames or ()]
