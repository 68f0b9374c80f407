"""Lay images over one another for `moved`, small from all orientations, then whole.

Gauss-Newton steps find turn, mirror, scale and shift: inverse compositional image alignment (Baker
and Matthews, "Lucas-Kanade 20 years on", 2004) for similarities, with free gain and offset. A
placement is a matrix float32 `[3, 3]` from places (x, y, 1) of the query to the reference; images
go from −1 to 1.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import (
    adaptive_avg_pool2d,
    affine_grid,
    conv2d,
    grid_sample,
    interpolate,
    normalize,
    pad,
)

from spikeduel.auditing.neighbours import NEAR
from spikeduel.data.disk_arrays import in_parts

LONGEST_SIDE = 50
SHORTEST_SIDE = 12
SMALL_SIDE = 15
"""Width of small images, about; whole ones have at most `LONGEST_SIDE`."""
LONGEST_LAST = 100
"""Largest width of the last overlay: fewer pixels lose small ridges."""
NUM_TURNS = 3
"""Turns by −7°, 0° and 7° that each orientation is tried with."""
TURNED = torch.tensor(
    [
        [
            [across * np.cos(angle), -np.sin(angle), 0.0],
            [across * np.sin(angle), np.cos(angle), 0.0],
            [0.0, 0.0, 1.0],
        ]
        for across in (1, -1)
        for right_angles in range(4)
        for angle in np.deg2rad([90 * right_angles - 7, 90 * right_angles, 90 * right_angles + 7])
    ],
    dtype=torch.float32,
)
"""Placements float32 `[8·3, 3, 3]` by orientation (right angles, mirrored or not) and turn."""
OTHERS = 4
PLAUSIBLE = 2.3
"""Images are laid over whole ones where the best is below this many times `NEAR` of the best
`OTHERS`.
"""
SMALL_STEPS, WHOLE_STEPS, LAST_STEPS = 8, 8, 30
LEAST_OVERLAP = 0.5
"""Share of the query's pixels that must lie on the reference."""
UNRELATED = 2.0
"""Residual of images that could not be laid over one another."""


class Views(NamedTuple):
    """Grey versions of N `images`: `whole` float16 `[N, S, S]`, `small` float32 `[N, s, s]`."""

    images: np.ndarray
    whole: Tensor
    small: Tensor


def made_views(images: np.ndarray, longest: int = LONGEST_SIDE) -> Views:
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
        return _blurred(grey, 0.6)[:, 0].half()

    def small(part: Tensor) -> Tensor:
        shrink = max(1, round(part.shape[-1] / SMALL_SIDE))
        blurred = _blurred(part[:, None].float(), 0.4 * shrink)
        return adaptive_avg_pool2d(blurred, -(-part.shape[-1] // shrink))[:, 0]

    wholes = in_parts(images, whole)
    return Views(images, wholes, in_parts(wholes, small))


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """Return `images` `[N, 1, S, S]` under a Gaussian of `sigma` pixels."""
    reach = int(np.ceil(3 * sigma))
    kernel = torch.exp(-(torch.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    wide = pad(images, (reach,) * 4, mode="replicate")
    return conv2d(conv2d(wide, kernel[None, None, :, None]), kernel[None, None, None, :])


def starts(queries: Tensor, candidates: Tensor) -> Tensor:
    """Return placements float32 `[B, 2, K, 3, 3]` of `queries` float32 `[B, s, s]` on `candidates`
    `[B, K, s, s]`: of the two best orientations each, turned and shifted in steps.
    """
    count, num, side = candidates.shape[:3]
    most = int(0.15 * side + 0.4)
    width, shifts = side - 2 * most, 2 * most + 1
    grid = affine_grid(
        torch.linalg.inv(TURNED)[:, :2], [len(TURNED), 1, side, side], align_corners=False
    )
    turned = grid_sample(
        queries.expand(len(TURNED), -1, -1, -1), grid, padding_mode="border", align_corners=False
    )
    windows = turned.transpose(0, 1).unfold(2, width, 1).unfold(3, width, 1)
    windows = windows.reshape(count, -1, width * width)
    middles = candidates[:, :, most : most + width, most : most + width].flatten(2)
    windows, middles = (
        normalize(part - part.mean(2, keepdim=True), dim=2, eps=1e-3) for part in (windows, middles)
    )
    alike = (windows @ middles.mT).view(count, -1, NUM_TURNS * shifts**2, num)
    best = alike.max(2)
    orientation = best.values.topk(2, 1).indices
    place = best.indices.gather(1, orientation) + orientation * alike.shape[2]
    placements = TURNED[place // shifts**2]
    moved = most - torch.stack([place % shifts, place // shifts % shifts], -1)
    placements[..., :2, 2] = moved * 2 / side
    return placements


def best(views: Views, images: np.ndarray, few: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best of candidates `few`, int64 `[B, K]` (−1: none), of `images` `[B]`: index
    int64 `[B]` and residual, as a share of the others' median, float32 `[B]`, infinite above some
    `PLAUSIBLE`·`NEAR`.
    """
    queries, candidates = torch.from_numpy(images), torch.from_numpy(few)
    is_none = (candidates < 0).repeat(1, 2)

    def laid(
        pictures: Tensor, rows: Tensor, placements: Tensor, steps: int
    ) -> tuple[Tensor, Tensor]:
        references = pictures[candidates[rows]].float().repeat(1, 2, 1, 1)
        asked = pictures[queries[rows]].float()
        remains, placements = register(asked, references, placements, steps)
        return remains.clamp_max(1).masked_fill(is_none[rows], UNRELATED), placements

    begun = starts(views.small[queries], views.small[candidates]).flatten(1, 2)
    remains, placements = laid(views.small, torch.arange(len(images)), begun, SMALL_STEPS)
    lowest = remains.unflatten(1, (2, -1)).amin(1).sort(1).values[:, :OTHERS].clamp_max(1)
    rows = torch.nonzero(lowest[:, 0] < PLAUSIBLE * NEAR * lowest[:, -1])[:, 0]
    index, share = torch.full(queries.shape, -1), torch.full(queries.shape, torch.inf)
    if not len(rows):
        return index.numpy(), share.numpy()
    remains, placements = laid(views.whole, rows, placements[rows], WHOLE_STEPS)
    lowest, chosen = remains.min(1)
    index[rows] = candidates[rows, chosen % few.shape[1]]
    pairs = torch.cat([queries[rows], index[rows]]).numpy()
    asked, references = made_views(views.images[pairs], LONGEST_LAST).whole.float().chunk(2)
    last = placements[torch.arange(len(rows)), chosen]
    finished, _ = register(asked, references[:, None], last[:, None], LAST_STEPS)
    others = (
        remains.unflatten(1, (2, -1)).amin(1).masked_fill(is_none[rows].chunk(2, 1)[0], torch.nan)
    )
    others.scatter_(1, chosen[:, None] % few.shape[1], torch.nan)
    ratio = torch.minimum(lowest, finished[:, 0]) / others.nanmedian(1).values.clamp_min(1e-6)
    share[rows] = torch.where(others.isfinite().sum(1) > 1, ratio, torch.inf)
    return index.numpy(), share.numpy()


def register(
    queries: Tensor, references: Tensor, placements: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Lay `queries` float32 `[Q, S, S]` over `references` `[Q, R, S, S]`, from `placements` `[Q, R,
    3, 3]`, in so many steps. Returns the best residuals √(1 − r²) of the correlation r, `[Q, R]`,
    and their placements. A residual is `UNRELATED` if the overlap is below `LEAST_OVERLAP` or
    uniform.
    """
    count, num, side = references.shape[:3]
    # Less their means, so that little is lost where sums are subtracted.
    query, pictures = (part - part.mean((-2, -1), keepdim=True) for part in (queries, references))
    query, pictures = query.flatten(1)[:, None], pictures.flatten(0, 1)[:, None]
    updates = _updates(queries)
    sums = torch.cat([torch.ones_like(query), query, query**2, updates, query * updates], 1).mT
    x, y = _places(side)
    places = torch.stack([x, y, torch.ones_like(x)], 2).flatten(0, 1)
    best, placed = torch.full((count, num), UNRELATED), placements
    for step in range(steps + 1):
        grid = (places @ placements[:, :, :2].mT).view(-1, side, side, 2)
        values = grid_sample(pictures, grid, padding_mode="border", align_corners=False)
        # Rounding must not lose the border of an image that lies where it was.
        x_inside, y_inside = (grid.abs() < 1 - 0.96 / side).unbind(3)
        inside = (x_inside & y_inside).float().view(count, num, -1)
        values = inside * values.view(count, num, -1)
        of_query, of_values = inside @ sums, values @ sums
        seen = of_query[..., 0].clamp_min(1)
        query_mean = of_query[..., 1] / seen
        mean = of_values[..., 0] / seen
        square = values.square().sum(2) - seen * mean**2
        query_square = of_query[..., 2] - seen * query_mean**2
        product = of_values[..., 1] - seen * mean * query_mean
        size = torch.linalg.det(placements).abs()
        is_related = (product > 0) & (seen >= LEAST_OVERLAP * side**2) & (square > 1e-5)
        is_related &= (query_square > 1e-5) & (size > 0.5) & (size < 2)
        remains = (1 - product**2 / (square * query_square).clamp_min(1e-10)).clamp_min(0).sqrt()
        remains = torch.where(is_related, remains, UNRELATED)
        placed = torch.where((remains < best)[:, :, None, None], placements, placed)
        best = torch.minimum(best, remains)
        if step == steps:
            break
        gain = product / square.clamp_min(1e-5)
        offset = (gain * mean - query_mean)[..., None]
        update = (
            gain[..., None] * of_values[..., 3:7] - of_query[..., 7:] - offset * of_query[..., 3:7]
        )
        # The fit was made on all pixels, so visible ones count for all.
        update *= (side**2 / seen)[..., None]
        grown, turned = update[..., :2].clamp(-0.15, 0.15).unbind(2)
        grown = 1 + grown
        right, down = update[..., 2:].clamp(-0.2, 0.2).unbind(2)
        none, one = torch.zeros_like(grown), torch.ones_like(grown)
        rows = [grown, -turned, right, turned, grown, down, none, none, one]
        move = torch.stack(rows, 2).unflatten(2, (3, 3))
        placements = placements @ torch.linalg.inv(move)
    return best, placed


def _updates(queries: Tensor) -> Tensor:
    """Return the Gauss-Newton update of scale, turn, shift right and shift down for each pixel's
    difference, float32 `[Q, 4, S·S]`.
    """
    side = queries.shape[-1]
    x, y = _places(side)
    down, right = torch.gradient(queries, spacing=2 / side, dim=(1, 2))
    changes = torch.stack([right * x + down * y, down * x - right * y, right, down], 1).flatten(2)
    query = queries.flatten(1)[:, None]
    unit = normalize(query - query.mean(2, keepdim=True), dim=2, eps=1e-6)
    # Gain and offset are free.
    changes = changes - changes.mean(2, keepdim=True)
    changes = changes - (changes * unit).sum(2, keepdim=True) * unit
    products = changes @ changes.mT
    products += torch.diag_embed(1e-3 * products.diagonal(dim1=1, dim2=2) + 1e-6)
    return torch.linalg.solve(products, changes)


def _places(side: int) -> tuple[Tensor, Tensor]:
    """Return x and y of each pixel, float32 `[S, S]`."""
    places = (2 * torch.arange(side) + 1) / side - 1
    x, y = torch.meshgrid(places, places, indexing="xy")
    return x, y
