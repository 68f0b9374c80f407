"""The nearest neighbour of each image, by blocked matrix products: all pairs are compared, none is guessed."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikeduel.system.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

QUERIES_AT_ONCE = 4096
PORTION = 1024
"""Rows and columns of a block of distances. Smaller ones are faster on an idle machine, and far slower on a busy one,
where each product waits for the slowest thread."""


@dataclass(frozen=True)
class Closest:
    """What `closest` found for M queries.

    index     int64 `[M]`: the nearest reference
    distance  float32 `[M]`: how far it is
    usual     float32 `[M]`: the median, over equal random portions of the references, of the distance to the nearest
              in the portion
    """

    index: np.ndarray
    distance: np.ndarray
    usual: np.ndarray


def nearest(queries: np.ndarray, references: np.ndarray, exclude_self: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """For each of `queries` the nearest of `references` by Euclidean distance of pixels; of several, any one.

    Both are uint8 `[M, …]` and `[N, …]` of one shape of image. With `exclude_self` they are the same images, and none
    is its own neighbour. Returns (index int64 `[M]`, distance float32 `[M]`, in grey levels). Sums of squares up to
    2^24 are exact (28×28 grey: always where it matters); beyond, neighbours that are equally far to seven digits may be
    taken for one another. Raises `ValueError` where shapes do not match or nobody is left to be the neighbour.
    """
    import torch

    if queries.shape[1:] != references.shape[1:]:
        raise ValueError(f"queries {queries.shape} and references {references.shape} differ in the shape of an image")
    if exclude_self and len(queries) != len(references):
        raise ValueError("exclude_self: queries and references must be the same images")
    # Around zero, products of bytes are small enough to be exact in float32.
    flat = [
        torch.from_numpy(part.reshape(len(part), -1).astype(np.float32) - 128)
        for part in ([references] if exclude_self else [queries, references])
    ]
    found = closest(flat[0], flat[-1], max(1, len(references) // PORTION), exclude_self)
    distance = np.empty(len(queries), dtype=np.float32)
    for rows in _blocks(len(queries)):
        pairs = queries[rows].astype(np.int64) - references[found.index[rows]]
        distance[rows] = np.sqrt((pairs**2).sum(axis=tuple(range(1, pairs.ndim))))
    return found.index, distance


def closest(
    queries: "Tensor",
    references: "Tensor",
    num_portions: int,
    exclude_self: bool = False,
    progress: Progress | None = None,
    description: str = "comparing images",
    own: np.ndarray | None = None,
) -> Closest:
    """For each of `queries` (float32 `[M, D]`) the nearest of `references` (float32 `[N, D]`).

    With `exclude_self`, query i is reference `own[i]` (unset: reference i) and not its own neighbour. The references
    are shuffled, always alike, and cut into `num_portions`. Raises `ValueError` where nobody is left.
    """
    import torch

    if len(references) <= exclude_self:
        raise ValueError("there is no image to be the neighbour")
    num_portions = max(1, min(num_portions, len(references) - exclude_self))
    order = torch.randperm(len(references), generator=torch.Generator().manual_seed(0))
    portions = order.tensor_split(num_portions)
    place = _places(portions, len(references))
    own_rows = torch.arange(len(queries)) if own is None else torch.from_numpy(np.asarray(own, dtype=np.int64))
    lowest = torch.empty(len(queries), num_portions)
    tracked: Iterable[tuple[int, Tensor]] = (progress or Progress()).track(
        list(enumerate(portions)), description, num_portions
    )
    for number, portion in tracked:
        part = references[portion]
        half_square = part.square().sum(1) / 2
        for rows in _blocks(len(queries)):
            scores = torch.addmm(half_square, queries[rows], part.T, alpha=-1)
            if exclude_self:
                _without_self(scores, own_rows[rows], place, number)
            lowest[rows, number] = scores.amin(1)
    best = lowest.argmin(1)
    index = torch.empty(len(queries), dtype=torch.int64)
    for number, portion in enumerate(portions):
        mine = torch.nonzero(best == number).flatten()
        part = references[portion]
        half_square = part.square().sum(1) / 2
        for rows in _blocks(len(mine)):
            scores = torch.addmm(half_square, queries[mine[rows]], part.T, alpha=-1)
            if exclude_self:
                _without_self(scores, own_rows[mine[rows]], place, number)
            index[mine[rows]] = portion[scores.argmin(1)]
    squares = queries.square().sum(1)
    distance, usual = (
        (squares + 2 * score).clamp_min(0).sqrt().numpy() for score in (lowest.amin(1), lowest.median(1).values)
    )
    return Closest(index.numpy(), distance, usual)


def _places(portions: "tuple[Tensor, ...]", count: int) -> "tuple[Tensor, Tensor]":
    """For each reference the number of its portion, and its row there."""
    import torch

    portion_of, row_of = torch.empty(count, dtype=torch.int64), torch.empty(count, dtype=torch.int64)
    for number, portion in enumerate(portions):
        portion_of[portion] = number
        row_of[portion] = torch.arange(len(portion))
    return portion_of, row_of


def _without_self(scores: "Tensor", own: "Tensor", place: "tuple[Tensor, Tensor]", number: int) -> None:
    rows = (place[0][own] == number).nonzero().flatten()
    scores[rows, place[1][own[rows]]] = float("inf")


def _blocks(count: int) -> list[slice]:
    return [slice(start, start + QUERIES_AT_ONCE) for start in range(0, count, QUERIES_AT_ONCE)]
