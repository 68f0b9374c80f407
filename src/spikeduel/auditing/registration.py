# mypy: disable-error-code="no-untyped-def"
"""Image registration: lay images over one another, small from all orientations, then whole.

Gauss-Newton steps find turn, mirror, scale and shift: inverse compositional image alignment (Baker
and Matthews, "Lucas-Kanade 20 years on", 2004) for similarities, with free gain and offset. Images
go from −1 to 1. A placement is float32 `[6]`: the query's (x, y) lies on (p0·x + p1·y + p2, p3·x +
p4·y + p5) of the reference.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numba import njit
from numba.extending import register_jitable
from torch import Tensor
from torch.nn.functional import (
    adaptive_avg_pool2d,
    affine_grid,
    grid_sample,
    interpolate,
    normalize,
    pad,
)

from spikeduel.auditing.arrays import in_parts
from spikeduel.auditing.neighbours import NEAR
from spikeduel.system.parallel import UNCOUNTED, run_chunks, with_scratch

MAX_LONG_EDGE = 50
MIN_SIZE = 12
SMALL_SIZE = 15
"""Width of small images, about; whole ones have at most `MAX_LONG_EDGE`."""
MAX_LAST_SIDE = 100
"""Largest width in the last registration: fewer pixels lose small ridges."""
NUM_TURNS = 3
"""Turns by −7°, 0° and 7° that each orientation is tried with."""
CROPS = (0.85, 0.75, 0.65)
"""Parts of the side that upright crops are tried with, as one more orientation."""
WAYS = (
    *(
        (across, right + turn, 1.0)
        for across in (1, -1)
        for right in (0, 90, 180, 270)
        for turn in (-7, 0, 7)
    ),
    *((1, 0, part) for part in CROPS),
)
TURNED = torch.tensor(
    [
        [
            [part * across * np.cos(np.deg2rad(angle)), -part * np.sin(np.deg2rad(angle)), 0.0],
            [part * across * np.sin(np.deg2rad(angle)), part * np.cos(np.deg2rad(angle)), 0.0],
        ]
        for across, angle, part in WAYS
    ],
    dtype=torch.float32,
)
"""Placements float32 `[9·3, 2, 3]` by orientation and turn."""
BEST_ORIENTATIONS = 3
"""Orientations that each candidate is tried in."""
ALWAYS_WHOLE, BEST_WHOLE = 2, 4
"""First candidates, and placements that agree best when small, that are always tried whole: only
whole, a nearly symmetric image differs from its mirror image.
"""
OTHERS = 4
PLAUSIBLE = 1.7
"""All candidates are tried whole where the best is below this many times `NEAR` of the best
`OTHERS`.
"""
SMALL_STEPS, WHOLE_STEPS, LAST_STEPS = 4, 8, 30
MIN_OVERLAP = 0.5
"""Share of the query's pixels that must lie on the reference."""
UNRELATED = np.float32(2.0)
"""Residual of images that could not be laid over one another."""


class Registration(NamedTuple):
    """Task of the compiled `_register`: P pairs of queries `[Q, S·S]` and references `[R, S·S]`.

    `updates` are of `_updates`. `rows` and `others` int64 `[P]` are the indices of the pairs.
    `placements` `[P, 6]` and `residuals` `[P]` are improved in place, in at most `steps` steps.
    """

    queries: np.ndarray
    updates: np.ndarray
    references: np.ndarray
    rows: np.ndarray
    others: np.ndarray
    placements: np.ndarray
    residuals: np.ndarray
    steps: int
    edge: int


class Views(NamedTuple):
    """Grey versions of N `images`: `whole` float16 `[N, S, S]`, `small` float32 `[N, s, s]`."""

    images: np.ndarray
    whole: Tensor
    small: Tensor


def made_views(images: np.ndarray, longest: int = MAX_LONG_EDGE) -> Views:
    """Return grey, slightly blurred versions of `images` uint8 `[N, C, H, W]`, squared by repeating
    borders.
    """
    factor = -(-max(images.shape[-2:]) // longest)
    height, width = (max(1, round(length / factor)) for length in images.shape[-2:])
    edge = max(height, width)
    left, top = (edge - width) // 2, (edge - height) // 2

    def whole(part: np.ndarray) -> Tensor:
        grey = torch.from_numpy(part.astype(np.float32)).mean(1, keepdim=True) / 255
        if factor > 1:  # pooling of single pixels copies them slowly
            grey = adaptive_avg_pool2d(grey, (height, width))
        around = [left, edge - width - left, top, edge - height - top]
        grey = pad(grey, around, mode="replicate")
        if edge < MIN_SIZE:
            grey = interpolate(grey, scale_factor=-(-MIN_SIZE // edge), mode="bilinear")
        return _blurred(grey[:, 0], 0.6).half()

    def small(part: Tensor) -> Tensor:
        shrink = max(1, round(part.shape[-1] / SMALL_SIZE))
        blurred = _blurred(part.float(), 0.4 * shrink)
        return adaptive_avg_pool2d(blurred, -(-part.shape[-1] // shrink))

    wholes = in_parts(images, whole)
    return Views(images, wholes, in_parts(wholes, small))


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Return `images` `[N, S, S]` under a Gaussian of `sigma` pixels, borders repeated."""
    edge, reach = images.shape[-1], int(np.ceil(3 * sigma))
    offset = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(offset**2) / (2 * sigma**2))
    pixels = (torch.arange(edge)[:, None] + offset).clamp(0, edge - 1)
    blur = torch.zeros(edge, edge).scatter_add_(1, pixels, (kernel / kernel.sum()).expand(edge, -1))
    return blur @ images @ blur.T


def starts(queries: Tensor, candidates: Tensor) -> Tensor:
    """Return placements float32 `[B, O, K, 6]` of `queries` float32 `[B, s, s]` on `candidates`
    `[B, K, s, s]`: in the O = `BEST_ORIENTATIONS` each, turned and shifted in steps.
    """
    count, num, edge = candidates.shape[:3]
    max_shift = int(0.15 * edge + 0.4)
    width, shifts = edge - 2 * max_shift, 2 * max_shift + 1
    back = torch.cat([torch.linalg.inv(TURNED[:, :, :2]), TURNED[:, :, 2:]], 2)
    grid = affine_grid(back, [len(TURNED), 1, edge, edge], align_corners=False)
    turned = grid_sample(
        queries.expand(len(TURNED), -1, -1, -1), grid, padding_mode="border", align_corners=False
    )
    windows = turned.transpose(0, 1).unfold(2, width, 1).unfold(3, width, 1)
    windows = windows.reshape(count, -1, width * width)
    inner = slice(max_shift, max_shift + width)
    middles = candidates[:, :, inner, inner].flatten(2)
    windows, middles = (
        normalize(part - part.mean(2, keepdim=True), dim=2, eps=1e-3) for part in (windows, middles)
    )
    alike = (windows @ middles.mT).view(count, -1, NUM_TURNS * shifts**2, num)
    best = alike.max(2)
    orientation = best.values.topk(BEST_ORIENTATIONS, 1).indices
    start = best.indices.gather(1, orientation) + orientation * alike.shape[2]
    placements = TURNED[start // shifts**2]
    shift = max_shift - torch.stack([start % shifts, start // shifts % shifts], -1)
    placements[..., 2] = shift * 2 / edge
    return placements.flatten(3)


def best(views: Views, images: np.ndarray, few: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best of candidates `few`, int64 `[B, K]` (−1: none), of `images` `[B]`: index
    int64 `[B]` and residual, as a share of the others' median, float32 `[B]`, infinite above some
    `PLAUSIBLE`·`NEAR`.
    """
    candidates = np.tile(few, BEST_ORIENTATIONS)
    index, share = np.full(len(images), -1), np.full(len(images), np.inf, np.float32)

    def laid(
        pictures: Tensor, is_tried: np.ndarray | np.bool_, placements: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return residuals, `UNRELATED` where not `is_tried` `[B, O·K]`, and placements."""
        row, column = np.nonzero(is_tried & (candidates >= 0))
        used, others = np.unique(candidates[row, column], return_inverse=True)
        queries, references = (pictures[torch.from_numpy(part)].float() for part in (images, used))
        pairs = row, others
        remains, placements = np.full(candidates.shape, UNRELATED), placements.copy()
        remains[row, column], placements[row, column] = register(
            queries, references, pairs, placements[row, column], steps
        )
        return remains, placements

    def of_each(remains: np.ndarray) -> np.ndarray:
        return np.minimum(remains, 1).reshape(len(images), BEST_ORIENTATIONS, -1).min(1)

    begun = starts(views.small[torch.from_numpy(images)], views.small[torch.from_numpy(few)])
    remains, placed = laid(views.small, np.True_, begun.flatten(1, 2).numpy(), SMALL_STEPS)
    remains[:, np.arange(candidates.shape[1]) % few.shape[1] < ALWAYS_WHOLE] -= UNRELATED
    is_first = remains.argsort(1).argsort(1) < BEST_ORIENTATIONS * ALWAYS_WHOLE + BEST_WHOLE
    remains, _ = laid(views.whole, is_first, placed, WHOLE_STEPS)
    lowest = np.sort(of_each(remains), 1)[:, :OTHERS]
    is_plausible = lowest[:, 0] < PLAUSIBLE * NEAR * lowest[:, -1]
    rows = np.flatnonzero(is_plausible)
    if not len(rows):
        return index, share
    remains, placed = laid(views.whole, is_plausible[:, None], placed, WHOLE_STEPS)
    chosen = remains[rows].argmin(1)
    index[rows] = candidates[rows, chosen]
    pairs = np.concatenate([images[rows], index[rows]])
    queries, references = made_views(views.images[pairs], MAX_LAST_SIDE).whole.float().chunk(2)
    number = np.arange(len(rows))
    finished, _ = register(queries, references, (number, number), placed[rows, chosen], LAST_STEPS)
    lowest = np.minimum(remains[rows, chosen], finished)
    others = np.where(few[rows] < 0, np.nan, of_each(remains)[rows])
    others[number, chosen % few.shape[1]] = np.nan
    is_enough = np.isfinite(others).sum(1) > 1
    usual = np.nanmedian(others[is_enough], 1).clip(1e-6)
    share[rows[is_enough]] = lowest[is_enough] / usual
    return index, share


def register(
    queries: Tensor,
    references: Tensor,
    pairs: tuple[np.ndarray, np.ndarray],
    placements: np.ndarray,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Lay `queries` float32 `[Q, S, S]` over `references` `[R, S, S]`, from `placements` `[P, 6]`,
    in at most so many steps.

    `pairs` are indices of queries and of references, int64 `[P]` each. Returns the best residuals
    √(1 − r²) of the correlation r, float32 `[P]`, and their placements. A residual is `UNRELATED`
    if the overlap is below `MIN_OVERLAP` or uniform.
    """
    # Of one layout, so that the kernel is compiled once.
    rows, others, placements = map(np.ascontiguousarray, (*pairs, placements))
    task = Registration(
        queries.flatten(1).contiguous().numpy(),
        _updates(queries).contiguous().numpy(),
        references.flatten(1).contiguous().numpy(),
        rows,
        others,
        placements,
        np.full(len(placements), UNRELATED),
        steps,
        queries.shape[-1],
    )
    pixels, count = task.queries.shape[1], len(placements)
    kernel = with_scratch(partial(_register, task), pixels, pixels, 6, 4)
    run_chunks(kernel, count, work=count * pixels * steps)
    return task.residuals, task.placements


def _updates(queries: Tensor) -> Tensor:
    """Return the Gauss-Newton update of scale, turn, shift right and shift down for each pixel's
    difference, float32 `[Q, 4, S·S]`.
    """
    edge = queries.shape[-1]
    position = (2 * torch.arange(edge) + 1) / edge - 1
    x, y = torch.meshgrid(position, position, indexing="xy")
    down, right = torch.gradient(queries, spacing=2 / edge, dim=(1, 2))
    changes = torch.stack([right * x + down * y, down * x - right * y, right, down], 1).flatten(2)
    query = queries.flatten(1)[:, None]
    unit = normalize(query - query.mean(2, keepdim=True), dim=2, eps=1e-6)
    # Gain and offset are free.
    changes = changes - changes.mean(2, keepdim=True)
    changes = changes - (changes * unit).sum(2, keepdim=True) * unit
    products = changes @ changes.mT
    products += torch.diag_embed(1e-3 * products.diagonal(dim1=1, dim2=2) + 1e-6)
    return torch.linalg.solve(products, changes)


@njit(**UNCOUNTED, fastmath=True)
def _register(task, values, inside, placement, moved, first, last):
    """Do the pairs `first` to `last` of a `Registration`, in four scratch arrays."""
    for pair in range(first, last):
        row = task.rows[pair]
        reference = task.references[task.others[pair]]
        _copy(task.placements[pair], placement)
        for step in range(task.steps + 1):
            _sample(reference, task.edge, placement, values, inside)
            remains = _compare(task.queries[row], values, inside)
            gained = task.residuals[pair] - remains
            if gained > 0:
                task.residuals[pair] = remains
                _copy(placement, task.placements[pair])
            if step == task.steps or remains >= 1 or (gained < 0.001 and step > 1):
                break
            _move(placement, task.updates[row], values, moved)
            size = abs(placement[0] * placement[4] - placement[1] * placement[3])
            if size < 0.5 or size > 2:
                break


@register_jitable(**UNCOUNTED, fastmath=True)
def _copy(values, out):
    """Copy `values`: assigning slices would count references."""
    for number in range(len(out)):
        out[number] = values[number]


@register_jitable(**UNCOUNTED, fastmath=True)
def _sample(reference, edge, placement, values, inside):
    """Write the reference's bilinear values under the query's pixels; `inside` is 1 there, else
    0.
    """
    p, half, unit = placement, np.float32(edge / 2), np.float32(1)
    last, middle = np.float32(edge - 1), np.float32((edge - 1) / 2)
    for row in range(edge):
        for column in range(edge):
            down, right = np.float32(row) - middle, np.float32(column) - middle
            x = p[0] * right + p[1] * down + p[2] * half + middle
            y = p[3] * right + p[4] * down + p[5] * half + middle
            near_x, near_y = min(max(x, np.float32(0)), last), min(max(y, np.float32(0)), last)
            left = min(np.int32(near_x), np.int32(edge - 2))
            top = min(np.int32(near_y), np.int32(edge - 2))
            beside, below = near_x - np.float32(left), near_y - np.float32(top)
            at, here = top * np.int32(edge) + left, row * edge + column
            upper = reference[at] * (unit - beside) + beside * reference[at + 1]
            at += np.int32(edge)
            lower = reference[at] * (unit - beside) + beside * reference[at + 1]
            values[here] = upper + below * (lower - upper)
            # Rounding must not lose the border of an image that lies where it was.
            inside[here] = np.float32(abs(near_x - x) + abs(near_y - y) < np.float32(0.02))


@register_jitable(**UNCOUNTED, fastmath=True)
def _compare(query, values, inside):
    """Return the residual; `values` become the difference to the query, with gain and offset."""
    count, mean, query_mean = np.float32(0), np.float32(0), np.float32(0)
    for k in range(len(values)):
        count += inside[k]
        mean += inside[k] * values[k]
        query_mean += inside[k] * query[k]
    if count < MIN_OVERLAP * len(values):
        return UNRELATED
    mean /= count
    query_mean /= count
    square, query_square, product = np.float32(0), np.float32(0), np.float32(0)
    for k in range(len(values)):
        a, b = inside[k] * (values[k] - mean), inside[k] * (query[k] - query_mean)
        square += a * a
        query_square += b * b
        product += a * b
    if square < 1e-5 or query_square < 1e-5 or product <= 0:
        return UNRELATED
    gain = product / square
    # The fit was made on all pixels, so visible ones count for all.
    whole = np.float32(len(values)) / count
    for k in range(len(values)):
        values[k] = whole * inside[k] * (gain * (values[k] - mean) - (query[k] - query_mean))
    return np.sqrt(max(np.float32(0), np.float32(1) - product * gain / query_square))


@register_jitable(**UNCOUNTED, fastmath=True)
def _move(p, update, errors, moved):
    """Undo in placement `p` the move of the query that explains the `errors`; `moved` gets it."""
    for number in range(4):
        total = np.float32(0)
        for k in range(len(errors)):
            total += update[number, k] * errors[k]
        most = np.float32(0.15 if number < 2 else 0.2)
        moved[number] = min(max(total, -most), most)
    grown, turned, right, down = np.float32(1) + moved[0], moved[1], moved[2], moved[3]
    size = grown * grown + turned * turned
    for row in (0, 3):
        a, b = p[row], p[row + 1]
        p[row], p[row + 1] = (a * grown - b * turned) / size, (a * turned + b * grown) / size
        p[row + 2] -= p[row] * right + p[row + 1] * down
