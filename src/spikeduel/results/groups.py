"""Which images belong together: groups as numbers."""

from collections.abc import Hashable, Sequence

import numpy as np

from spikeduel.system.typed import Count, Frozen


def numbered(keys: Sequence[Hashable]) -> np.ndarray:
    """int64 `[N]`: equal keys get equal numbers; 0, 1, … as they appear."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def join_groups(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """int64 `[N]`: the finest grouping that cuts neither `first` nor `second`; 0, 1, … as they
    appear.
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


class SuggestedGroups(Frozen):
    """How the names of files look as if they say which belong together: a `pattern` for
    `--group-by`, the number of `groups` that it gives, and two files of one.
    """

    pattern: str
    groups: Count
    alike: tuple[str, str]
