# mypy: disable-error-code="no-untyped-def"
"""Lay images over one another, small from all orientations, then whole: Gauss-Newton steps find
turn, mirror, scale and shift. Inverse compositional image alignment (Baker and Matthews,
"Lucas-Kanade 20 years on", 2004) for similarities, with free gain and offset. A placement is
float32 `[6]`: pixel (y, x) of the query, counted from its middle, lies on (p0·y + p1·x + p4, p2·y +
p3·x + p5) of the reference.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, conv2d, interpolate, pad

from spikeduel.data.disk_arrays import in_parts
from spikeduel.spiking.kernels.cpu import run_chunks
from spikeduel.spiking.kernels.cpu_numbers import COMPILED

LONGEST_SIDE = 50
SHORTEST_SIDE = 12
SMALL_SIDE = 15
"""Width of small images, about; whole ones have at most `LONGEST_SIDE`."""
LONGEST_LAST = 100
"""Largest width of the last overlay: fewer pixels lose small ridges."""
TURNS = np.deg2rad([-7.0, 0.0, 7.0])
ORIENTATIONS = np.array(
    [
        [[1, 0], [0, 1]],
        [[0, -1], [1, 0]],
        [[-1, 0], [0, -1]],
        [[0, 1], [-1, 0]],
        [[1, 0], [0, -1]],
        [[0, 1], [1, 0]],
        [[-1, 0], [0, 1]],
        [[0, -1], [-1, 0]],
    ],
    dtype=np.float32,
)
"""Orientations by right angles, and mirrored: matrices from (y, x) of the query to the
reference.
"""
MOST_STARTS, MOST_WHOLE = 24, 8
"""Starts (candidates and orientations) tried small, and tried whole."""
ALWAYS_WHOLE = 4
"""Starts always tried whole, two of each first candidate: only whole, a nearly symmetric image
differs from its mirror image.
"""
OTHERS = 4
PLAUSIBLE = 1.7
"""All candidates are tried where the best is below this many times the allowed share of the best
`OTHERS`.
"""
SMALL_STEPS, WHOLE_STEPS, LAST_STEPS = 8, 8, 30
LEAST_OVERLAP = 0.5
"""Share of the query's pixels that must lie on the reference."""
UNRELATED = np.float32(2.0)
"""Residual of images that could not be laid over one another."""


@dataclass(frozen=True, eq=False)
class Views:
    """Grey versions of N `images`: `whole` float16 `[N, S, S]`, `small` float32 `[N, s, s]`.

    `factor` pixels make one of `whole`.
    """

    images: np.ndarray
    whole: Tensor
    small: Tensor
    factor: float


def views(images: np.ndarray, longest: int = LONGEST_SIDE) -> Views:
    """Return grey, slightly blurred versions of `images` uint8 `[N, C, H, W]`, squared by repeating
    borders.
    """

    factor = -(-max(images.shape[-2:]) // longest)
    height, width = (max(1, round(length / factor)) for length in images.shape[-2:])
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2

    def whole(part: np.ndarray) -> Tensor:
        grey = torch.from_numpy(part.astype(np.float32)).mean(1, keepdim=True) / 255
        grey = adaptive_avg_pool2d(grey, (height, width))
        around = [left, side - width - left, top, side - height - top]
        grey = pad(grey, around, mode="replicate")
        if side < SHORTEST_SIDE:
            grey = interpolate(grey, size=SHORTEST_SIDE, mode="bilinear")
        return _blurred(grey, 0.6)

    def small(part: np.ndarray) -> Tensor:
        grey = whole(part)
        shrink = max(1, round(grey.shape[-1] / SMALL_SIDE))
        size = -(-grey.shape[-1] // shrink)
        return adaptive_avg_pool2d(_blurred(grey, 0.4 * shrink), size)[:, 0]

    wholes = in_parts(images, lambda part: whole(part)[:, 0].half())
    return Views(images, wholes, in_parts(images, small), max(images.shape[-2:]) / wholes.shape[-1])


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Return `images` `[N, 1, S, S]` under a Gaussian of `sigma` pixels."""

    reach = int(np.ceil(3 * sigma))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    wide = pad(images, (reach,) * 4, mode="replicate")
    return conv2d(conv2d(wide, kernel[None, None, :, None]), kernel[None, None, None, :])


def orientation_maps(side: int) -> Tensor:
    """Return the bilinear map of small images to all orientations, float32 `[8·3·side², side²]`."""

    middle = (side - 1) / 2
    place = np.indices((side, side)).reshape(2, -1) - middle
    maps = np.zeros((len(ORIENTATIONS), len(TURNS), side**2, side**2), np.float32)
    for orientation, turn in np.ndindex(maps.shape[:2]):
        y, x = np.clip(np.linalg.inv(_turn(orientation, turn)) @ place + middle, 0, side - 1)
        top, left = (np.minimum(values.astype(int), side - 2) for values in (y, x))
        for down, right in np.ndindex(2, 2):
            weight = np.abs(1 - down - (y - top)) * np.abs(1 - right - (x - left))
            maps[orientation, turn, np.arange(side**2), (top + down) * side + left + right] += (
                weight
            )
    return torch.from_numpy(maps).flatten(0, 2)


def _turn(orientation: int, turn: int) -> np.ndarray:
    cos, sin = np.cos(TURNS[turn]), np.sin(TURNS[turn])
    return np.array([[cos, -sin], [sin, cos]]) @ ORIENTATIONS[orientation]


def _starts(small: Tensor, candidates: Tensor, turned: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the best correlations float32 `[B, K, 8]` of B queries with K candidates in each
    orientation, turned and shifted in steps, and their placements float32 `[B, K, 8, 6]`. `small`
    is float32 `[B, s, s]`, `candidates` `[B, K, s, s]`.
    """
    count, num, side = candidates.shape[:3]
    most = int(0.15 * side + 0.4)
    width = side - 2 * most
    views = (small.flatten(1) @ turned.T).view(count, -1, side, side)
    windows = views.unfold(2, width, 1).unfold(3, width, 1).reshape(count, -1, width * width)
    middles = candidates[:, :, most : most + width, most : most + width].flatten(2)
    middles = middles - middles.mean(2, keepdim=True)
    middles = middles / middles.norm(dim=2, keepdim=True).clamp_min(1e-3)
    spread = (windows.square().sum(2) - windows.sum(2).square() / width**2).clamp_min(1e-6).sqrt()
    alike = (windows @ middles.transpose(1, 2) / spread[:, :, None]).view(
        count, len(ORIENTATIONS), -1, num
    )
    best = alike.max(2)
    turn, shift = np.divmod(best.indices.transpose(1, 2).numpy(), (2 * most + 1) ** 2)
    matrices = np.array(
        [[_turn(o, t).ravel() for t in range(len(TURNS))] for o in range(len(ORIENTATIONS))]
    )
    down, right = np.divmod(shift, 2 * most + 1)
    straight = matrices[np.arange(len(ORIENTATIONS)), turn]
    moved = most - np.stack([down, right], -1)
    return best.values.transpose(1, 2).numpy(), np.concatenate([straight, moved], -1).astype(
        np.float32
    )


def best(
    views: Views, maps: Tensor, images: np.ndarray, few: np.ndarray, near: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best of candidates `few`, int64 `[B, K]` (−1: none), of `images` `[B]`: index
    int64 `[B]` and residual, as a share of the others' median, float32 `[B]`, infinite above some
    `PLAUSIBLE`·`near`.
    """
    attempt = _Attempt(views, maps, images, few)
    attempt.lay(np.arange(len(images)), attempt.order[:, :MOST_STARTS], MOST_WHOLE)
    lowest = np.sort(np.minimum(attempt.remains, 1), 1)[:, :OTHERS]
    rows = np.flatnonzero(lowest[:, 0] < PLAUSIBLE * near * lowest[:, -1])
    index, share = np.full(len(images), -1), np.full(len(images), np.inf)
    if len(rows):
        attempt.lay(rows, attempt.two_of_each(rows), 2 * few.shape[1])
        chosen = attempt.remains[rows].argmin(1)
        index[rows] = few[rows, chosen]
        lowest = attempt.finished(rows, chosen)
        others = np.where(few[rows] < 0, np.nan, np.minimum(attempt.remains[rows], 1))
        others[np.arange(len(rows)), chosen] = np.nan
        enough = np.isfinite(others).sum(1) > 1
        share[rows[enough]] = lowest[enough] / np.maximum(np.nanmedian(others[enough], 1), 1e-6)
    return index, share.astype(np.float32)


class _Attempt:
    """B images, their K candidates, and residuals float32 `[B, K]`.

    `order` `[B, K·8]`: candidates and orientations (numbered together), most promising first.
    """

    def __init__(self, views: Views, maps: Tensor, images: np.ndarray, few: np.ndarray) -> None:

        self.views, self.images, self.few = views, images, few
        small, whole = (
            views.small[torch.from_numpy(images)],
            views.whole[torch.from_numpy(images)].float(),
        )
        self.of_small, self.of_whole = queries(small), queries(whole)
        alike, self.starts = _starts(small, views.small[torch.from_numpy(few)], maps)
        # The nearer by descriptors, the sooner it is tried.
        self.doubt = (1 - alike) * np.sqrt(np.arange(2, few.shape[1] + 2))[:, None]
        self.doubt[few < 0] = np.inf
        doubt = self.doubt.reshape(len(few), -1).copy()
        np.put_along_axis(doubt, self.two_of_each(np.arange(len(few)))[:, :ALWAYS_WHOLE], -1, 1)
        self.order = doubt.argsort(1, kind="stable")
        self.remains = np.full(few.shape, UNRELATED, np.float32)
        self.placed = np.zeros((*few.shape, 6), np.float32)

    def two_of_each(self, rows: np.ndarray) -> np.ndarray:
        """Return the two best orientations of every candidate for `rows` `[R]`: `[R, 2·K]`, as in
        `order`.
        """
        two = self.doubt[rows].argsort(2, kind="stable")[:, :, :2]
        return (two + len(ORIENTATIONS) * np.arange(two.shape[1])[:, None]).reshape(len(rows), -1)

    def lay(self, rows: np.ndarray, tried: np.ndarray, whole: int) -> None:
        """Lay small candidates over `rows` `[R]` from starts `tried` `[R, n]`, then `whole` of each
        whole: the first `ALWAYS_WHOLE` and the best others.
        """
        row = np.repeat(rows, tried.shape[1])
        candidate, orientation = np.divmod(tried.ravel(), len(ORIENTATIONS))
        usable = self.few[row, candidate] >= 0
        row, candidate, orientation = row[usable], candidate[usable], orientation[usable]
        start, others = self.starts[row, candidate, orientation], self.few[row, candidate]
        found, at = register(
            self.of_small, row, self.views.small.numpy(), others, start, SMALL_STEPS
        )
        doubt = np.full(tried.shape, np.inf)
        doubt.ravel()[usable] = np.where(found < UNRELATED, found, np.inf)
        doubt[:, :ALWAYS_WHOLE] -= UNRELATED
        chosen = np.zeros_like(doubt, dtype=bool)
        np.put_along_axis(chosen, doubt.argsort(1, kind="stable")[:, :whole], True, 1)
        chosen = (chosen & np.isfinite(doubt)).ravel()[usable]
        row, candidate, start = row[chosen], candidate[chosen], at[chosen]
        start[:, 4:] *= self.views.whole.shape[-1] / self.views.small.shape[-1]
        found, at = self._whole(row, candidate, start, WHOLE_STEPS)
        # The last orientation of a candidate that is written is the best.
        worst_first = np.argsort(-found, kind="stable")
        worst_first = worst_first[found[worst_first] < self.remains[row, candidate][worst_first]]
        row, candidate = row[worst_first], candidate[worst_first]
        self.remains[row, candidate], self.placed[row, candidate] = (
            found[worst_first],
            at[worst_first],
        )

    def finished(self, rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """Return the residual of the `chosen` candidate of each of `rows`, after more steps."""
        remains, placed = self._whole(rows, chosen, self.placed[rows, chosen], LAST_STEPS)
        if self.views.factor == 1:
            return remains
        pairs = np.concatenate([self.images[rows], self.few[rows, chosen]])
        wide = views(self.views.images[pairs], LONGEST_LAST)
        placed[:, 4:] *= self.views.factor
        start, number = placed / np.append(np.ones(4), [wide.factor] * 2), np.arange(len(rows))
        asked, references = wide.whole.float().split(len(rows))
        wider, _ = register(
            queries(asked), number, references.numpy(), number, start.astype(np.float32), LAST_STEPS
        )
        return np.minimum(wider, remains)

    def _whole(
        self, row: np.ndarray, candidate: np.ndarray, start: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:

        used, others = np.unique(self.few[row, candidate], return_inverse=True)
        references = self.views.whole[torch.from_numpy(used)].float().numpy()
        return register(self.of_whole, row, references, others, start, steps)


@dataclass(frozen=True, eq=False)
class Queries:
    """Images to lay over others, float32 `[Q, S, S]`.

    `changes` float32 `[Q, 4, S·S]`: derivatives by scale, turn, shift down and shift right, less
    gain and offset; `inverse` `[Q, 4, 4]`: inverse of their products.
    """

    images: np.ndarray
    changes: np.ndarray
    inverse: np.ndarray


def queries(images: Tensor) -> Queries:
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
    """Lay query `rows[i]` over reference `others[i]`, from placement `start[i]`, in at most `steps`
    steps. `rows` and `others` are int64 `[P]`, `references` float32 `[N, S, S]`, `start` float32
    `[P, 6]`. Returns residuals √(1 − r²) of the correlation r, float32 `[P]`, and placements,
    float32 `[P, 6]`. A residual is `UNRELATED` if the overlap is below `LEAST_OVERLAP` or uniform.
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
    """Write the reference's bilinear values under the query's pixels; `inside` is 1 there, else
    0.
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
    """Return the residual; `values` become the difference to the query, with gain and offset."""
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
    # The fit was made on all pixels, so visible ones count for all.
    whole = np.float32(len(values)) / count
    for k in range(len(values)):
        values[k] = whole * inside[k] * (gain * (values[k] - of_values) - (query[k] - of_query))
    return np.sqrt(max(np.float32(0), np.float32(1) - product * gain / query_square))


@njit(**COMPILED, fastmath=True)
def _move(p, change, inverted, errors, side):
    """Undo in placement `p` the move of the query that explains the `errors`."""
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
