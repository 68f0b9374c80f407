"""Nearest neighbours on pixels, exactly, by blocked matrix products."""

import numpy as np

BLOCK = 1024


def nearest(queries: np.ndarray, references: np.ndarray, exclude_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """For each of `queries` uint8 `[M, …]` the index int64 `[M]` of the nearest of `references` uint8 `[N, …]`, and
    the Euclidean distance float32 `[M]` to it.
    """
    import torch

    known = torch.from_numpy(np.array(references)).flatten(1).float()
    squares = known.square().sum(1)
    found, distances = [], []
    for start in range(0, len(queries), BLOCK):
        asked = torch.from_numpy(np.array(queries[start : start + BLOCK])).flatten(1).float()
        squared = torch.addmm(squares, asked, known.T, alpha=-2)
        if exclude_self:
            squared.diagonal(start).fill_(torch.inf)
        least, index = squared.min(1)
        found.append(index)
        distances.append((least + asked.square().sum(1)).clamp(min=0).sqrt())
    return torch.cat(found).numpy(), torch.cat(distances).numpy()
