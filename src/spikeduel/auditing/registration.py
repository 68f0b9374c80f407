# mypy: disable-error-code="no-untyped-def"
"""Laying one image over another: turn, mirror, scale and shift, found by Gauss-Newton steps; the
compiled inner loop.

Inverse compositional image alignment (Baker and Matthews, "Lucas-Kanade 20 years on", 2004) for
similarities, with gain and offset left free. A placement is float32 `[6]`: pixel (y, x) of the
query, counted from its middle, lies on
(p0·y + p1·x + p4, p2·y + p3·x + p5) of the reference.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from spikeduel.spiking.kernels.cpu import run_chunks
from spikeduel.spiking.kernels.cpu_numbers import COMPILED

if TYPE_CHECKING:
    from torch import Tensor

LEAST_OVERLAP = 0.5
"""Share of the query's pixels that must lie on the reference."""
UNRELATED = np.float32(2.0)
"""Stands for the residual of what could not be laid over one another."""


@dataclass(frozen=True, eq=False)
class Queries:
    """Images to be laid over others: float32 `[Q, S, S]`, how they change with a small move, and
    its normal equations.

    `changes` is float32 `[Q, 4, S·S]`: the derivative by scale, turn, shift down and shift right,
    less what gain and offset explain; `inverse` `[Q, 4, 4]` the inverse of its products.
    """

    images: np.ndarray
    changes: np.ndarray
    inverse: np.ndarray


def queries(images: "Tensor") -> Queries:
    """Return what `register` needs to know of `images`, float32 `[Q, S, S]`."""
    import torch

    side = images.shape[-1]
    down, right = torch.gradient(images, dim=(1, 2))
    place = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    y, x = place[:, None], place
    changes = torch.stack([down * y + right * x, right * y - down * x, down, right], 1).flatten(2)
    centred = images.flatten(1) - images.flatten(1).mean(1, keepdim=True)
    unit = (centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-6))[:, None]
    changes = changes - changes.mean(2, keepdim=True)
    changes = changes - (changes * unit).sum(2, keepdim=True) * unit
    products = changes @ changes.transpose(1, 2)
    diagonal = products.diagonal(dim1=1, dim2=2)
    products = products + torch.diag_embed(1e-3 * diagonal + 1e-6)
    inverse = torch.linalg.inv(products.double()).float()
    return Queries(
        images.contiguous().numpy(), changes.contiguous().numpy(), inverse.contiguous().numpy()
    )


def register(
    of: Queries,
    rows: np.ndarray,
    references: np.ndarray,
    others: np.ndarray,
    start: np.ndarray,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Lays query `rows[i]` over reference `others[i]`, from placement `start[i]`, in at most
    `steps` steps.

    `rows` and `others` are int64 `[P]`, `references` float32 `[N, S, S]`, `start` float32 `[P, 6]`.
    Returns float32 `[P]`, the residuals √(1 − r²) of the correlation r where both overlap, and
    float32 `[P, 6]`, the placements. A residual is `UNRELATED` where they overlap by less than
    `LEAST_OVERLAP`, or where one of them is uniform there.
    """
    residual = np.full(len(rows), UNRELATED, dtype=np.float32)
    placement = np.ascontiguousarray(start, dtype=np.float32).copy()

    def part(first: int, last: int) -> None:
        _register(
            of.images,
            of.changes,
            of.inverse,
            rows,
            references,
            others,
            placement,
            residual,
            steps,
            first,
            last,
        )

    run_chunks(part, len(rows), work=len(rows) * of.images.shape[1] ** 2 * steps)
    return residual, placement


@njit(**COMPILED, fastmath=True)
def _register(
    images, changes, inverse, rows, references, others, placement, residual, steps, first, last
):
    side = images.shape[1]
    values, inside = np.empty(side * side, np.float32), np.empty(side * side, np.float32)
    best = np.empty(6, np.float32)
    for pair in range(first, last):
        query, reference = images[rows[pair]].ravel(), references[others[pair]].ravel()
        change, inverted, p = changes[rows[pair]], inverse[rows[pair]], placement[pair]
        best[:] = p
        for step in range(steps + 1):
            _sample(reference, side, p, values, inside)
            found = _compared(query, values, inside)
            gained = residual[pair] - found
            if gained > 0:
                residual[pair] = found
                best[:] = p
            if step == steps or found >= 1 or (gained < 0.001 and step > 1):
                break
            _move(p, change, inverted, values, side)
            size = abs(p[0] * p[3] - p[1] * p[2])
            if size < 0.5 or size > 2:
                break
        p[:] = best


@njit(**COMPILED, fastmath=True)
def _sample(reference, side, p, values, inside):
    """Bilinear values of the reference under each pixel of the query; `inside` is 1 where it is,
    else 0.
    """
    middle, last = np.float32((side - 1) / 2), np.float32(side - 1)
    for row in range(side):
        for column in range(side):
            down, right = np.float32(row) - middle, np.float32(column) - middle
            y = p[0] * down + p[1] * right + p[4] + middle
            x = p[2] * down + p[3] * right + p[5] + middle
            near_y, near_x = min(max(y, np.float32(0)), last), min(max(x, np.float32(0)), last)
            top, left = (
                min(np.int32(near_y), np.int32(side - 2)),
                min(np.int32(near_x), np.int32(side - 2)),
            )
            low, beside = near_y - np.float32(top), near_x - np.float32(left)
            at, here = top * np.int32(side) + left, row * side + column
            above = reference[at] + beside * (reference[at + 1] - reference[at])
            below = reference[at + side] + beside * (
                reference[at + side + 1] - reference[at + side]
            )
            values[here] = above + low * (below - above)
            # Rounding must not lose the border of an image that lies where it was.
            apart = abs(near_y - y) + abs(near_x - x)
            inside[here] = np.float32(1) if apart < np.float32(0.02) else np.float32(0)


@njit(**COMPILED, fastmath=True)
def _compared(query, values, inside):
    """The residual; what the query and `values`, with gain and offset, differ by is left in
    `values`.
    """
    count, of_values, of_query = np.float32(0), np.float32(0), np.float32(0)
    for k in range(len(values)):
        count += inside[k]
        of_values += inside[k] * values[k]
        of_query += inside[k] * query[k]
    if count < LEAST_OVERLAP * len(values):
        return UNRELATED
    of_values /= count
    of_query /= count
    square, query_square, product = np.float32(0), np.float32(0), np.float32(0)
    for k in range(len(values)):
        a, b = inside[k] * (values[k] - of_values), inside[k] * (query[k] - of_query)
        square += a * a
        query_square += b * b
        product += a * b
    if square < 1e-5 or query_square < 1e-5 or product <= 0:
        return UNRELATED
    gain = product / square
    # As the fit was made on all pixels, what is seen of them counts for all.
    whole = np.float32(len(values)) / count
    for k in range(len(values)):
        values[k] = whole * inside[k] * (gain * (values[k] - of_values) - (query[k] - of_query))
    return np.sqrt(max(np.float32(0), np.float32(1) - product * gain / query_square))


@njit(**COMPILED, fastmath=True)
def _move(p, change, inverted, errors, side):
    """Take one step: the move of the query that explains the `errors`, undone in the placement
    `p`.
    """
    slope = np.zeros(4, np.float32)
    for number in range(4):
        total = np.float32(0)
        for k in range(len(errors)):
            total += change[number, k] * errors[k]
        slope[number] = total
    most, far = np.float32(0.15), np.float32(0.1 * side)
    grown, turned, down, right = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for number in range(4):
        grown += inverted[0, number] * slope[number]
        turned += inverted[1, number] * slope[number]
        down += inverted[2, number] * slope[number]
        right += inverted[3, number] * slope[number]
    grown, turned = np.float32(1) + min(max(grown, -most), most), min(max(turned, -most), most)
    down, right = min(max(down, -far), far), min(max(right, -far), far)
    size = grown * grown + turned * turned
    same, other = grown / size, turned / size
    a, b, c, d = p[0], p[1], p[2], p[3]
    p[0], p[1] = a * same - b * other, a * other + b * same
    p[2], p[3] = c * same - d * other, c * other + d * same
    p[4] -= p[0] * down + p[1] * right
    p[5] -= p[2] * down + p[3] * right
