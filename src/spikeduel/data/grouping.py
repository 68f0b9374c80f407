"""Which images belong together: exact duplicates, groups that share a member, groups by file name (`--group-by`)."""

import csv
import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from spikeduel.system import files
from spikeduel.system.errors import InputError

Rule = Callable[[str], str | None]
"""From an image's path, relative to its folder with forward slashes, to the name of its group, or None."""

_COLUMNS = ("path", "group")


def duplicates(images: np.ndarray) -> np.ndarray:
    """int64 `[N]`: equal numbers where `images` (`[N, …]`) are equal; 0, 1, … as they appear."""
    return numbered([checksum(image) for image in images])


def checksum(pixels: np.ndarray) -> bytes:
    """16 bytes that only equal pixels share."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def numbered(keys: list[bytes]) -> np.ndarray:
    """int64 `[N]`: equal keys get equal numbers; 0, 1, … as they appear."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def join(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """int64 `[N]`: the finest grouping that cuts neither `first` nor `second`; 0, 1, … as they appear."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    offset = int(a.max()) + 1
    size = offset + int(b.max()) + 1
    edges = coo_matrix((np.ones(len(a), dtype=np.int8), (a, b + offset)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    return by_appearance(component[a])


def united(groups: np.ndarray | None, same: np.ndarray) -> np.ndarray | None:
    """`groups` joined with exact duplicates `same` (as `duplicates` numbers them); None where every image is alone."""
    joined = same if groups is None else join(groups, same)
    return None if int(joined.max()) + 1 == len(joined) else joined


def by_appearance(ids: np.ndarray) -> np.ndarray:
    """int64 `[N]`: `ids` renumbered 0, 1, … in the order in which they first appear."""
    _, first, inverse = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def rule(group_by: str) -> Rule:
    """What `group_by` says: the CSV file of that name where there is one, else a regular expression.

    Raises `InputError` for a CSV without the columns `path` and `group`, and for an expression that is invalid or has
    not exactly one capturing group.
    """
    if names_a_file(group_by):
        return _read_table(Path(group_by).expanduser()).get
    return _expression(group_by)


def names_a_file(group_by: str) -> bool:
    """Whether `group_by` names a file, and so is no regular expression."""
    return files.is_file(group_by)


def named_groups(names: Sequence[str], group_by: str) -> list[str]:
    """The name of each image's group, from the images' paths.

    Raises `InputError` where `group_by` does not say for every image which group it belongs to, or says nothing that a
    split could keep to.
    """
    group_of = rule(group_by)
    groups: list[str] = []
    silent: list[str] = []
    for name in names:
        group = group_of(name)
        if group is None:
            silent.append(name)
        else:
            groups.append(group)
    if silent:
        raise _says_nothing(names, silent, group_by)
    if len(set(groups)) == 1:
        raise InputError(
            f"group_by {group_by}: puts all {len(names):,} images into one group, '{groups[0]}', and no split can cut "
            "it. Capture what tells the groups apart."
        )
    if len(set(groups)) == len(groups):
        raise InputError(
            f"group_by {group_by}: puts every image into a group of its own ({names[0]} into '{groups[0]}'). Capture "
            "what images of one group have in common."
        )
    return groups


def _says_nothing(names: Sequence[str], silent: list[str], group_by: str) -> InputError:
    first, count = silent[0], f"{len(silent):,} of {len(names):,} images"
    if names_a_file(group_by):
        return InputError(
            f"group_by {group_by}: has no line for {count}, the first of them {first}. List every image by its path "
            "relative to the data folder, such as that."
        )
    which = "matches no image" if len(silent) == len(names) else f"does not match {count}"
    return InputError(
        f"group_by {group_by}: {which} (and is no file). The first without a match is {first}: paths are relative to "
        "the data folder, with forward slashes, and every one needs a group."
    )


def _expression(text: str) -> Rule:
    try:
        pattern = re.compile(text)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise InputError(
            f"group_by {text}: no such file, and not a regular expression ({error.msg}{where}). Mend it, or name a CSV "
            "file."
        ) from None
    if pattern.groups != 1:
        raise InputError(
            f"group_by {text}: no such file, and as a regular expression it has {pattern.groups} groups in parentheses "
            r"where it needs exactly one, which captures the name of an image's group, as in ([^/]+)_\d+\.png; "
            "parentheses that shall not capture are written (?:…)."
        )

    def group_of(name: str) -> str | None:
        match = pattern.search(name)
        return match and (match.group(1) or None)

    return group_of


def _read_table(path: Path) -> dict[str, str]:
    """The group of each path in a CSV. Raises `InputError` naming the line that is wrong."""
    groups: dict[str, str] = {}
    try:
        # The signature that spreadsheets put in front is none of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            if missing := [name for name in _COLUMNS if name not in columns]:
                raise InputError(
                    f"group_by {path}: has no column '{missing[0]}'; its first line names "
                    f"{', '.join(columns) or 'nothing'}. It must name path and group, separated by commas."
                )
            for row in reader:
                name, group = (row[column] for column in _COLUMNS)
                if not name or not group:
                    lacking = "path" if not name else "group"
                    raise InputError(f"group_by {path}, line {reader.line_num}: has no {lacking}.")
                name = name.removeprefix("./")
                if groups.setdefault(name, group) != group:
                    raise InputError(
                        f"group_by {path}, line {reader.line_num}: {name} is in group '{group}' here and in "
                        f"'{groups[name]}' above. List it once."
                    )
    except OSError as error:
        raise InputError(f"group_by {path}: cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"group_by {path}: not a CSV file in UTF-8 ({error}).") from None
    return groups
