"""Groups of images: numbered, joined, and read from `--group-by`."""

import re
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

import numpy as np

from spikeduel.data import tables
from spikeduel.system import files
from spikeduel.system.errors import InputError


def numbered(keys: Sequence[Hashable]) -> np.ndarray:
    """Return equal numbers for equal keys, int64 `[N]`: 0, 1, … as they appear."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def join_groups(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the finest grouping that cuts neither `first` nor `second`, int64 `[N]`: 0, 1, … as
    they appear.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _, a = np.unique(first, return_inverse=True)
    _, b = np.unique(second, return_inverse=True)
    offset = int(a.max()) + 1
    size = offset + int(b.max()) + 1
    edges = coo_matrix((np.ones(len(a), dtype=np.int8), (a, b + offset)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
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
    for line, row in tables.rows(path, ("path", "group"), f"group_by {path}"):
        name, group = row["path"].removeprefix("./"), row["group"]
        if not name or not group:
            raise InputError(f"{line}: has no {'group' if name else 'path'}.")
        if groups.setdefault(name, group) != group:
            raise InputError(
                f"{line}: {name} is in group '{group}' here and in '{groups[name]}' above. List it "
                f"once."
            )
    return groups
