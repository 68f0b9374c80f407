"""Exact nearest neighbours of small images by blocked matrix products."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, pad

from spikeduel.data import Split
from spikeduel.data.disk_arrays import Rows, in_parts
from spikeduel.results.audit import SIDES, Counts, Side
from spikeduel.system.progress import Progress

QUERIES_AT_ONCE = 4096
PORTION = 1024
"""Rows and columns of a block of distances."""
MOST_SCORES = 1 << 25
"""Distances that are in memory at once."""
TOGETHER = 64
"""Scores in a portion whose lowest is found first."""
SMALL_SIDE = 25
"""Longest side of the small versions: keeps ridges of fingers, drops single pixels."""
BLUR = 0.75
"""Standard deviation of the blur, in pixels of the small version (`benchmarks/recordings.py`)."""
GRADIENTS_SIDE, CELLS, ORIENTATIONS = 32, 7, 8
"""Longest side of images for gradients; cells a side; directions in each."""
MOST_PRODUCTS = 4e12
"""Multiplications of a search (30 seconds on two cores) above which queries are sampled."""
COMPARED: tuple[tuple[Side, Side], ...] = (
    ("train", "train"),
    ("val", "train"),
    ("test", "train"),
    ("val", "val"),
    ("test", "test"),
    ("test", "val"),
)
"""Sides that are searched, and the sides of their neighbours."""
MOST_PORTIONS = 72
IMAGES_A_PORTION = 70


Vectors: TypeAlias = Tensor | Rows
"""float32 `[N, D]`."""


@dataclass(frozen=True, eq=False)
class Closest:
    """Nearest reference of each of M queries: index int64 `[M]` and distance float32 `[M]`.

    `usual` float32 `[M]` is the median of the distances to the nearest in equal random portions of
    the references.
    """

    index: np.ndarray
    distance: np.ndarray
    usual: np.ndarray


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Nearest neighbours of each of N images, (index int64 `[N]`, distance float32 `[N]`), −1 and
    infinity for none. `same_side`: on its own side; `earlier`: training, for test images also
    validation; `training`: in training, itself excepted. `usual` float32 `[N]` is `Closest.usual`
    in training, or NaN; `searched` counts the images searched in training.
    """

    same_side: tuple[np.ndarray, np.ndarray]
    earlier: tuple[np.ndarray, np.ndarray]
    training: tuple[np.ndarray, np.ndarray]
    usual: np.ndarray
    searched: Counts


def nearest(queries: "np.ndarray | Rows", references: "np.ndarray | Rows") -> np.ndarray:
    """Return the nearest of `references` `[N, …]` for each of `queries` `[M, …]`, both uint8, by
    Euclidean distance: int64 `[M]`. Sums of squares up to 2^24 are exact. Raises `ValueError`
    without references.
    """

    def flat(pixels: np.ndarray) -> Tensor:
        # Products of bytes around zero are small enough to be exact in float32.
        return torch.from_numpy(pixels.reshape(len(pixels), -1).astype(np.float32) - 128)

    asked, others = (Rows(part, np.arange(len(part)), flat) for part in (queries, references))
    return closest(asked, others, max(1, len(references) // PORTION)).index


def closest(
    queries: Vectors,
    references: Vectors,
    num_portions: int,
    self_at: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Closest:
    """Return the nearest of `references` float32 `[N, D]` for each of `queries` float32 `[M, D]`.

    With `self_at`, query i is reference `self_at[i]`, not its own neighbour. The references are
    shuffled, always alike, and cut into `num_portions`. Raises `ValueError` if none can be the
    neighbour.
    """

    num_others = len(references) - (self_at is not None)
    if num_others < 1:
        raise ValueError("there is no image to be the neighbour")
    num_portions = max(1, min(num_portions, num_others))
    order = torch.randperm(len(references), generator=torch.Generator().manual_seed(0))
    portions = order.tensor_split(num_portions)
    starts = np.cumsum([0, *map(len, portions)]).tolist()
    self_place = None
    if self_at is not None:
        self_place = torch.argsort(order)[torch.from_numpy(np.asarray(self_at, dtype=np.int64))]

    def scores(
        number: int, blocks: Iterable[slice | Tensor]
    ) -> Iterator[tuple[slice | Tensor, Tensor]]:
        # Half the squared distances to a portion, less half the query's square.
        part = references[portions[number]]
        half_square = part.square().sum(1) / 2
        for rows in blocks:
            block = torch.addmm(half_square, queries[rows], part.T, alpha=-1)
            if self_place is not None:
                place = self_place[rows] - starts[number]
                here = ((place >= 0) & (place < len(part))).nonzero().flatten()
                block[here, place[here]] = float("inf")
            yield rows, block

    at_once = max(1, min(QUERIES_AT_ONCE, MOST_SCORES // len(portions[0])))
    blocks = [slice(start, start + at_once) for start in range(0, len(queries), at_once)]
    lowest = torch.empty(len(queries), num_portions)
    for number in (progress or Progress()).track(
        range(num_portions), "comparing images", num_portions
    ):
        for rows, block in scores(number, blocks):
            lowest[rows, number] = block.amin(1)
    best = lowest.argmin(1)
    index = torch.empty(len(queries), dtype=torch.int64)
    for number, portion in enumerate(portions):
        for rows, block in scores(number, torch.nonzero(best == number).flatten().split(at_once)):
            index[rows] = portion[block.argmin(1)]
    squares = torch.cat([queries[rows].square().sum(1) for rows in blocks])
    distance, usual = (
        (squares + 2 * score).clamp_min(0).sqrt().numpy()
        for score in (lowest.amin(1), lowest.median(1).values)
    )
    return Closest(index.numpy(), distance, usual)


def num_portions(num_train: int) -> int:
    """Return the portions of training images whose median is the usual distance."""
    return int(np.clip(num_train // IMAGES_A_PORTION, 7, MOST_PORTIONS))


def small_grey(images: np.ndarray) -> Tensor:
    """Return float32 `[N, D]` from uint8 `[N, C, H, W]`: grey, averaged over the smallest squares
    that bring the longer side to `SMALL_SIDE`, mean removed, scaled to length 1. A uniform image
    becomes zero.
    """

    factor = -(-max(images.shape[-2:]) // SMALL_SIDE)

    def unit_pictures(part: np.ndarray) -> Tensor:
        grey = torch.from_numpy(part.astype(np.float32)).mean(1, keepdim=True)
        small = avg_pool2d(grey, factor, ceil_mode=True, count_include_pad=False).flatten(1)
        small -= small.mean(1, keepdim=True)
        # Only rounding errors are left of a uniform image; scaled up they would be a picture.
        length = small.norm(dim=1, keepdim=True)
        return torch.where(length > 1e-2, small / length.clamp_min(1e-2), torch.zeros(()))

    return in_parts(images, unit_pictures)


def blurred(pictures: np.ndarray) -> np.ndarray:
    """Blur pictures of recordings, uint8 `[N, C, H, W]`: noise hides copies."""
    from scipy.ndimage import gaussian_filter

    width = BLUR * -(-max(pictures.shape[-2:]) // SMALL_SIDE)
    return in_parts(
        pictures, lambda part: torch.from_numpy(gaussian_filter(part, (0, 0, width, width)))
    ).numpy()


def gradients(images: np.ndarray) -> Tensor:
    """Return float32 `[N, D]` from uint8 `[N, C, H, W]`: histograms of oriented gradients (Dalal
    and Triggs 2005), their square roots scaled to length 1. A uniform image becomes zero.
    """

    factor = -(-max(images.shape[-2:]) // GRADIENTS_SIDE)

    def made(part: np.ndarray) -> Tensor:
        grey = torch.from_numpy(part.astype(np.float32)).mean(1, keepdim=True)
        small = pad(
            avg_pool2d(grey, factor, ceil_mode=True, count_include_pad=False),
            (1, 1, 1, 1),
            mode="replicate",
        )
        down, right = (
            small[:, :, 2:, 1:-1] - small[:, :, :-2, 1:-1],
            small[:, :, 1:-1, 2:] - small[:, :, 1:-1, :-2],
        )
        place = torch.atan2(down, right) / (2 * torch.pi) * ORIENTATIONS
        from_direction = (
            place - torch.arange(ORIENTATIONS)[:, None, None] + ORIENTATIONS / 2
        ) % ORIENTATIONS
        nearness = (1 - (from_direction - ORIENTATIONS / 2).abs()).clamp_min(0)
        histograms = adaptive_avg_pool2d(nearness * torch.hypot(down, right), CELLS)
        roots = histograms.flatten(1).sqrt()
        return roots / roots.norm(dim=1, keepdim=True).clamp_min(1e-3)

    return in_parts(images, made)


def lowest(scores: Tensor, k: int) -> Tensor:
    """Return the places of the `k` lowest in each row of `scores` `[M, N]`, lowest first: int64
    `[M, k]`.
    """

    rows, columns = scores.shape
    if columns <= TOGETHER * k:
        return scores.topk(k, largest=False).indices
    # They lie in the k portions with the lowest minima.
    whole = columns // TOGETHER * TOGETHER
    portions = scores[:, :whole].unflatten(1, (-1, TOGETHER)).amin(2).topk(k, largest=False).indices
    places = (portions[:, :, None] * TOGETHER + torch.arange(TOGETHER)).flatten(1)
    places = torch.cat([places, torch.arange(whole, columns).expand(rows, -1)], 1)
    return places.gather(1, scores.gather(1, places).topk(k, largest=False).indices)


def compared(count: int, num_others: int, length: int) -> np.ndarray:
    """Return the images of `count` to compare with so many others, int64: all, or always the same
    sample.
    """
    most = max(1, int(MOST_PRODUCTS // (num_others * length)))
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def search(small: Tensor, split: Split, progress: Progress) -> Neighbourhood:
    """Return the neighbours of each image by `small_grey`; of a sample if a side takes too long."""
    count = len(small)
    same_side, earlier, training = (
        (np.full(count, -1), np.full(count, np.inf, dtype=np.float32)) for _ in range(3)
    )
    usual = np.full(count, np.nan, dtype=np.float32)
    searched = dict.fromkeys(SIDES, 0)
    for name, others_name in COMPARED:
        side, others = getattr(split, name), getattr(split, others_name)
        is_same = name == others_name
        if not len(side) or len(others) <= is_same:
            continue
        rows = compared(len(side), len(others), small.shape[1])
        images = side[rows]
        nearest = closest(
            Rows(small, images),
            Rows(small, others),
            num_portions(len(others)),
            rows if is_same else None,
            progress,
        )
        kept = [same_side if is_same else earlier]
        if others_name == "train":
            searched[name], usual[images] = len(images), nearest.usual
            kept.append(training)
        for index, distance in kept:
            nearer = nearest.distance < distance[images]
            index[images[nearer]] = others[nearest.index[nearer]]
            distance[images[nearer]] = nearest.distance[nearer]
    return Neighbourhood(same_side, earlier, training, usual, Counts(**searched))
