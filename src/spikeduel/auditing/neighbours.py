"""Exact nearest neighbours of small images by blocked matrix products."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, pad

from spikeduel.auditing.arrays import Rows, SplitIndices, in_parts
from spikeduel.system.progress import Progress

NEAR = 0.33
"""Share of the usual distance below which images are near-duplicates."""
QUERIES_AT_ONCE, AT_ONCE = 4096, 256
MAX_SCORES = 1 << 25
"""Distances in memory at once."""
TOGETHER = 64
"""Scores in a portion whose lowest is found first."""
SMALL_SIZE = 25
"""Longest side of small versions: keeps ridges of fingers, drops single pixels."""
BLUR = 0.75
"""Standard deviation of the blur, in pixels of the small version
(`benchmarks/audit/recordings.py`).
"""
GRADIENTS_SIZE, CELLS, ORIENTATIONS = 32, 7, 8
"""Longest side of images for gradients; cells a side; directions in each."""
MIN_PORTIONS, MAX_PORTIONS, IMAGES_A_PORTION = 7, 72, 70
"""Portions of the references whose median is the usual distance."""
MIN_OTHERS = 4
"""Fewest other images that tell the usual difference."""

Vectors: TypeAlias = Tensor | Rows
"""float32 `[N, D]`."""


class Matches(NamedTuple):
    """Closest match of each of N images in an earlier split (training, validation, test).

    `nearest` int64 `[N]`, −1 for none; `ratio` float `[N]` of their distance to the usual one,
    infinite for none.
    """

    nearest: np.ndarray
    ratio: np.ndarray

    @classmethod
    def none(cls, count: int) -> Self:
        """Return the matches of `count` images before any is found."""
        return cls(np.full(count, -1), np.full(count, np.inf, np.float32))


class Closest(NamedTuple):
    """Nearest reference of each of M queries: `nearest` int64 `[M]` and `distance` float32 `[M]`.

    `usual` float32 `[M]` is the median distance to the nearest in equal random portions of the
    references.
    """

    nearest: np.ndarray
    distance: np.ndarray
    usual: np.ndarray


class Neighbourhood(NamedTuple):
    """Neighbours of N images by `small_grey` versions.

    `training`: nearest training image of those in validation and test; `earlier`: nearest of all
    earlier splits. `usual` float32 `[N]` is `Closest.usual` in training, or NaN.
    """

    training: Matches
    earlier: Matches
    usual: np.ndarray


def closest(queries: Vectors, references: Vectors, progress: Progress | None = None) -> Closest:
    """Return the nearest of `references` float32 `[N, D]` for each of `queries` float32 `[M, D]`.

    The references, at least one, are shuffled, always alike, and cut into portions.
    """
    order = torch.randperm(len(references), generator=torch.Generator().manual_seed(0))
    num_portions = int(np.clip(len(order) // IMAGES_A_PORTION, MIN_PORTIONS, MAX_PORTIONS))
    portions = order.tensor_split(min(num_portions, len(order)))
    at_once = max(1, min(QUERIES_AT_ONCE, MAX_SCORES // len(portions[0])))
    blocks = [slice(start, start + at_once) for start in range(0, len(queries), at_once)]
    # Half the squared distances, less half the query's square.
    scores = torch.empty(len(queries), len(portions))
    index = torch.empty(len(queries), len(portions), dtype=torch.int64)
    track = (progress or Progress()).track
    for number, portion in track(enumerate(portions), "comparing images", len(portions)):
        part = references[portion]
        half_square = part.square().sum(1) / 2
        for rows in blocks:
            score, column = torch.addmm(half_square, queries[rows], part.T, alpha=-1).min(1)
            scores[rows, number], index[rows, number] = score, portion[column]
    squares = torch.cat([queries[rows].square().sum(1) for rows in blocks])
    lowest, best = scores.min(1)
    distance, usual = (
        (squares + 2 * score).clamp_min(0).sqrt().numpy()
        for score in (lowest, scores.median(1).values)
    )
    return Closest(index.gather(1, best[:, None])[:, 0].numpy(), distance, usual)


def small_grey(images: np.ndarray) -> Tensor:
    """Return float32 `[N, D]` from uint8 `[N, C, H, W]`: grey, averaged over the smallest squares
    that bring the longer side to `SMALL_SIZE`, mean removed, scaled to length 1. A uniform image
    becomes zero.
    """

    def unit_pictures(part: np.ndarray) -> Tensor:
        small = grey(part, SMALL_SIZE).flatten(1)
        small -= small.mean(1, keepdim=True)
        # Only rounding errors are left of a uniform image; scaled up they would be a picture.
        length = small.norm(dim=1, keepdim=True)
        return torch.where(length > 1e-2, small / length.clamp_min(1e-2), torch.zeros(()))

    return in_parts(images, unit_pictures)


def blurred(pictures: np.ndarray) -> np.ndarray:
    """Blur pictures of recordings, uint8 `[N, C, H, W]`: noise hides copies."""
    from scipy.ndimage import gaussian_filter

    width = BLUR * -(-max(pictures.shape[-2:]) // SMALL_SIZE)
    return in_parts(
        pictures, lambda part: torch.from_numpy(gaussian_filter(part, (0, 0, width, width)))
    ).numpy()


def gradients(images: np.ndarray) -> Tensor:
    """Return float32 `[N, D]` from uint8 `[N, C, H, W]`: histograms of oriented gradients (Dalal
    and Triggs 2005), their square roots scaled to length 1. A uniform image becomes zero.
    """

    def made(part: np.ndarray) -> Tensor:
        roots = oriented(part, ORIENTATIONS, 2 * torch.pi).flatten(1).sqrt()
        return roots / roots.norm(dim=1, keepdim=True).clamp_min(1e-3)

    return in_parts(images, made)


def oriented(images: np.ndarray, num: int, turn: float) -> Tensor:
    """Return the sums of gradients in `CELLS`² cells by `num` directions of a `turn` (π: opposite
    ones are one direction), float32 `[N, num, CELLS, CELLS]`.
    """
    small = pad(grey(images, GRADIENTS_SIZE), (1, 1, 1, 1), mode="replicate")
    down, right = (
        small[:, :, 2:, 1:-1] - small[:, :, :-2, 1:-1],
        small[:, :, 1:-1, 2:] - small[:, :, 1:-1, :-2],
    )
    direction = torch.atan2(down, right) / turn * num
    from_direction = (direction - torch.arange(num)[:, None, None] + num / 2) % num
    nearness = (1 - (from_direction - num / 2).abs()).clamp_min(0)
    return adaptive_avg_pool2d(nearness * torch.hypot(down, right), CELLS)


def grey(images: np.ndarray, longest: int) -> Tensor:
    """Return grey versions of `images` uint8 `[N, C, H, W]`, averaged over the smallest squares
    that bring the longer side to `longest`, float32 `[N, 1, h, w]`.
    """
    factor = -(-max(images.shape[-2:]) // longest)
    whole = torch.from_numpy(images.astype(np.float32)).mean(1, keepdim=True)
    # Pooling of single pixels copies them slowly.
    if factor == 1:
        return whole
    return avg_pool2d(whole, factor, ceil_mode=True, count_include_pad=False)


def lowest(scores: Tensor, k: int) -> Tensor:
    """Return the columns of the `k` lowest in each row of `scores` `[M, N]`, int64 `[M, k]`,
    the lowest first.
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


def compared(
    split: SplitIndices, progress: Progress, text: str
) -> Iterator[tuple[np.ndarray, Iterable[np.ndarray]]]:
    """Yield the images of the splits before validation or test, int64 `[E]`, and blocks of the
    split's images to compare with them. Each image is compared with all earlier splits together: a
    small one might have nothing like it.
    """
    for images, earlier in (
        (split.val, split.train),
        (split.test, np.concatenate([split.train, split.val])),
    ):
        if len(images) and len(earlier) >= MIN_OTHERS:
            at_once = max(1, min(AT_ONCE, MAX_SCORES // len(earlier)))
            blocks = np.split(images, range(at_once, len(images), at_once))
            yield earlier, progress.track(blocks, text, len(blocks))


def search(small: Tensor, split: SplitIndices, progress: Progress) -> Neighbourhood:
    """Return the neighbours of validation and test images by `small_grey` versions. Uniform images,
    as all are in grey whose colours are equally bright, are all alike: their ratio is 1 at least.
    """
    min_ratio = 1 - small.any(1).numpy()
    training, earlier = Matches.none(len(small)), Matches.none(len(small))
    usual = np.full(len(small), np.nan, np.float32)
    for images, others, updated in (
        (split.val, split.train, (training, earlier)),
        (split.test, split.train, (training, earlier)),
        (split.test, split.val, (earlier,)),
    ):
        if not len(images) or not len(others):
            continue
        neighbour = closest(Rows(small, images), Rows(small, others), progress)
        if others is split.train:
            usual[images] = np.maximum(neighbour.usual, 1e-9)
        ratio = np.maximum(neighbour.distance / usual[images], min_ratio[images])
        for matches in updated:
            is_nearer = ratio < matches.ratio[images]
            matches.nearest[images[is_nearer]] = others[neighbour.nearest[is_nearer]]
            matches.ratio[images[is_nearer]] = ratio[is_nearer]
    return Neighbourhood(training, earlier, usual)
