"""Which images belong together: exact duplicates, and groups that share a member."""

import hashlib

import numpy as np


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
