"""Groups of images as numbers."""

from collections.abc import Hashable, Sequence

import numpy as np


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
