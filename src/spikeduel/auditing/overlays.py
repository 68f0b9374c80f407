"""The search for the candidate that an image is a moved copy of: laid over it small, from all
orientations, then whole.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikeduel.auditing.registration import UNRELATED, queries, register
from spikeduel.data.disk_arrays import empty_array

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_SIDE = 50
SHORTEST_SIDE = 12
SMALL_SIDE = 15
"""Images are laid over one another at most `LONGEST_SIDE` wide; about `SMALL_SIDE` to begin
with.
"""
LONGEST_LAST = 100
"""The best candidate is laid over the image at most so wide: small ridges do not survive in fewer
pixels.
"""
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
"""Orientations by right angles, and mirrored: matrices that bring (y, x) of the query to the
reference.
"""
MOST_STARTS, MOST_WHOLE = 24, 8
"""Starts (candidates and orientations) that are tried small for every image, and tried whole."""
ALWAYS_WHOLE = 4
"""Starts always tried whole, two of each of the first candidates: a nearly symmetric image is told
from its mirror image only whole.
"""
OTHERS = 4
PLAUSIBLE = 1.7
"""All candidates are tried where the best is below this many times the allowed share of the best
`OTHERS`.
"""
SMALL_STEPS, WHOLE_STEPS, LAST_STEPS = 8, 8, 30
AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Views:
    """Grey versions of N `images`: `whole` float16 `[N, S, S]`, `small` float32 `[N, s, s]`.

    `factor` pixels make one of `whole`.
    """

    images: np.ndarray
    whole: "Tensor"
    small: "Tensor"
    factor: float


def views(images: np.ndarray, longest: int = LONGEST_SIDE) -> Views:
    """Grey, slightly blurred versions of `images` uint8 `[N, C, H, W]`, made square by repeating
    their borders.
    """
    import torch
    from torch.nn.functional import adaptive_avg_pool2d, interpolate, pad

    factor = -(-max(images.shape[-2:]) // longest)
    height, width = images.shape[-2:]
    shape = max(1, round(height / factor)), max(1, round(width / factor))
    side = max(shape)
    missing = [side - length for length in shape]
    made: list[Tensor] = []
    for start in range(0, len(images), AT_ONCE):
        grey = (
            torch.from_numpy(images[start : start + AT_ONCE].astype(np.float32)).mean(
                1, keepdim=True
            )
            / 255
        )
        grey = adaptive_avg_pool2d(grey, shape)
        around = [
            missing[1] // 2,
            missing[1] - missing[1] // 2,
            missing[0] // 2,
            missing[0] - missing[0] // 2,
        ]
        grey = pad(grey, around, mode="replicate")
        if side < SHORTEST_SIDE:
            grey = interpolate(grey, size=SHORTEST_SIDE, mode="bilinear")
        whole = _blurred(grey, 0.6)
        shrink = max(1, round(whole.shape[-1] / SMALL_SIDE))
        small = adaptive_avg_pool2d(_blurred(whole, 0.4 * shrink), -(-whole.shape[-1] // shrink))
        if not made:
            rooms = ((whole, np.float16), (small, np.float32))
            made = [
                torch.from_numpy(empty_array((len(images), *part.shape[2:]), kind))
                for part, kind in rooms
            ]
        for all_of_them, part in zip(made, (whole, small), strict=True):
            all_of_them[start : start + AT_ONCE] = part[:, 0]
    whole, small = made
    return Views(images, whole, small, max(images.shape[-2:]) / whole.shape[-1])


def _blurred(images: "Tensor", sigma: float) -> "Tensor":
    """`images` `[N, 1, S, S]` under a Gaussian of `sigma` pixels: what sampling does to single
    pixels drops out.
    """
    import torch
    from torch.nn.functional import conv2d, pad

    reach = int(np.ceil(3 * sigma))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    wide = pad(images, (reach,) * 4, mode="replicate")
    return conv2d(conv2d(wide, kernel[None, None, :, None]), kernel[None, None, None, :])


def orientation_maps(side: int) -> "Tensor":
    """float32 `[8·3·side², side²]`: maps small images to what they look like from all orientations,
    bilinear.
    """
    import torch

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


def _starts(
    small: "Tensor", candidates: "Tensor", turned: "Tensor"
) -> tuple[np.ndarray, np.ndarray]:
    """Return how alike B queries and their K candidates look at best from each orientation, turned
    and shifted in steps.

    `small` is float32 `[B, s, s]`, `candidates` `[B, K, s, s]`. Returns the correlations of the
    candidates' middles float32 `[B, K, 8]`, and the placements that gave them, float32 `[B, K, 8,
    6]`.
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
    views: Views, maps: "Tensor", images: np.ndarray, few: np.ndarray, near: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the best of the candidates `few`, int64 `[B, K]` (−1: none), of each of `images`
    `[B]`.

    Returns its index int64 `[B]`; what remains, as a share of what remains for the median of the
    others, float32 `[B]`; and its placement in pixels, float32 `[B, 6]`. The share is infinite
    where it is above some `PLAUSIBLE`·`near`. `maps` are the `orientation_maps`.
    """
    attempt = _Attempt(views, maps, images, few)
    attempt.lay(np.arange(len(images)), attempt.order[:, :MOST_STARTS], MOST_WHOLE)
    lowest = np.sort(np.minimum(attempt.remains, 1), 1)[:, :OTHERS]
    rows = np.flatnonzero(lowest[:, 0] < PLAUSIBLE * near * lowest[:, -1])
    index, share, placement = (
        np.full(len(images), -1),
        np.full(len(images), np.inf),
        np.zeros((len(images), 6)),
    )
    if len(rows):
        attempt.lay(rows, attempt.two_of_each(rows), 2 * few.shape[1])
        chosen = attempt.remains[rows].argmin(1)
        index[rows] = few[rows, chosen]
        lowest, placement[rows] = attempt.finished(rows, chosen)
        others = np.where(few[rows] < 0, np.nan, np.minimum(attempt.remains[rows], 1))
        others[np.arange(len(rows)), chosen] = np.nan
        enough = np.isfinite(others).sum(1) > 1
        share[rows[enough]] = lowest[enough] / np.maximum(np.nanmedian(others[enough], 1), 1e-6)
    return index, share.astype(np.float32), placement.astype(np.float32)


class _Attempt:
    """B images and their K candidates, and what remains, float32 `[B, K]`, of those that were laid
    over one another.

    `order` `[B, K·8]`: candidates and orientations (numbered together) as they are worth trying.
    """

    def __init__(self, views: Views, maps: "Tensor", images: np.ndarray, few: np.ndarray) -> None:
        import torch

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
        """For `rows` `[R]` the two best orientations of every candidate, `[R, 2·K]`, numbered as in
        `order`.
        """
        two = self.doubt[rows].argsort(2, kind="stable")[:, :, :2]
        return (two + len(ORIENTATIONS) * np.arange(two.shape[1])[:, None]).reshape(len(rows), -1)

    def lay(self, rows: np.ndarray, tried: np.ndarray, whole: int) -> None:
        """Lays small candidates over `rows` `[R]` from the starts `tried` `[R, n]`, then some
        `whole` of each whole.

        Those are the first `ALWAYS_WHOLE`, and the best of the others.
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
        # Of several orientations of one candidate, the last that is written is the best.
        worst_first = np.argsort(-found, kind="stable")
        worst_first = worst_first[found[worst_first] < self.remains[row, candidate][worst_first]]
        row, candidate = row[worst_first], candidate[worst_first]
        self.remains[row, candidate], self.placed[row, candidate] = (
            found[worst_first],
            at[worst_first],
        )

    def finished(self, rows: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what remains, and the placement in pixels, of the `chosen` candidate of each of
        `rows`,
        after more steps.
        """
        remains, placed = self._whole(rows, chosen, self.placed[rows, chosen], LAST_STEPS)
        placed[:, 4:] *= self.views.factor
        if self.views.factor == 1:
            return remains, placed
        pairs = np.concatenate([self.images[rows], self.few[rows, chosen]])
        wide = views(self.views.images[pairs], LONGEST_LAST)
        start, number = placed / np.append(np.ones(4), [wide.factor] * 2), np.arange(len(rows))
        asked, references = wide.whole.float().split(len(rows))
        found, at = register(
            queries(asked), number, references.numpy(), number, start.astype(np.float32), LAST_STEPS
        )
        at[:, 4:] *= wide.factor
        better = found < remains
        remains[better], placed[better] = found[better], at[better]
        return remains, placed

    def _whole(
        self, row: np.ndarray, candidate: np.ndarray, start: np.ndarray, steps: int
    ) -> tuple[np.ndarray, np.ndarray]:
        import torch

        used, others = np.unique(self.few[row, candidate], return_inverse=True)
        references = self.views.whole[torch.from_numpy(used)].float().numpy()
        return register(self.of_whole, row, references, others, start, steps)
