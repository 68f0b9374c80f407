"""How alike images are: small grey versions, every image's nearest neighbours by side of the split, what is near."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikeduel.data import Split
from spikeduel.data.auditing.neighbours import closest
from spikeduel.system.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

SMALL_SIDE = 25
"""Longest side of the small versions: keeps a garment's print and a finger's ridges, drops single pixels."""
MOST_PRODUCTS = 4e12
"""Multiplications that one search may take, some 30 seconds on two cores; beyond, its queries are sampled."""
MOST_PORTIONS = 72
IMAGES_A_PORTION = 70


@dataclass(frozen=True)
class Neighbourhood:
    """The nearest neighbours of each of N images, among others of three kinds, and its usual distance.

    `own`: on its own side of the split; `earlier`: training for validation images, training or validation for test
    images; `training`: in training, itself excepted. Each is (index int64 `[N]`, distance float32 `[N]`), −1 and
    infinity where there is none or it was not searched. `usual` is float32 `[N]`: what distance to expect, see
    `definition`; NaN where unknown. `searched` counts by side the images of which the neighbours in training are known.
    """

    own: tuple[np.ndarray, np.ndarray]
    earlier: tuple[np.ndarray, np.ndarray]
    training: tuple[np.ndarray, np.ndarray]
    usual: np.ndarray
    searched: dict[str, int]


def definition(near: float, num_train: int) -> str:
    """What counts as near, in words."""
    return (
        f"Two images are near duplicates where the distance between their small grey versions (mean removed, scaled to "
        f"length 1) is below {near:g} times the usual one: the median, over {num_portions(num_train)} equal random "
        "portions of the training images, of the distance to the nearest image in the portion. Exact duplicates are "
        "counted apart."
    )


def num_portions(num_train: int) -> int:
    """Of how many portions of the training images the usual distance is the median."""
    return int(np.clip(num_train // IMAGES_A_PORTION, 7, MOST_PORTIONS))


def small_grey(images: np.ndarray) -> "Tensor":
    """float32 `[N, D]` from uint8 `[N, C, H, W]`: grey, averaged over blocks, mean removed, scaled to length 1.

    Blocks are the smallest squares that bring the longer side to `SMALL_SIDE` or less. Brightness and contrast drop
    out; a uniform image becomes zero.
    """
    import torch
    from torch.nn.functional import avg_pool2d

    factor = -(-max(images.shape[-2:]) // SMALL_SIDE)
    parts = []
    for start in range(0, len(images), 4096):
        grey = torch.from_numpy(images[start : start + 4096].astype(np.float32)).mean(1, keepdim=True)
        small = avg_pool2d(grey, factor, ceil_mode=True, count_include_pad=False).flatten(1)
        small -= small.mean(1, keepdim=True)
        # A grey level apart is no contrast: without the bound, rounding would be blown up to a picture.
        length = small.norm(dim=1, keepdim=True)
        parts.append(torch.where(length > 1e-2, small / length.clamp_min(1e-2), torch.zeros(())))
    return torch.cat(parts)


def search(small: "Tensor", split: Split, progress: Progress) -> Neighbourhood:
    """The neighbours of each image, from `small_grey` of all of them."""
    count = len(small)
    own, earlier, training = ((np.full(count, -1), np.full(count, np.inf, dtype=np.float32)) for _ in range(3))
    usual = np.full(count, np.nan, dtype=np.float32)
    searched = {}
    sides = {"train": split.train, "val": split.val, "test": split.test}
    for name, side in sides.items():
        rows, index, distance, expected = _look(small, side, split.train, name == "train", progress)
        searched[name] = len(rows)
        usual[rows] = expected
        _keep_nearer(training, rows, index, distance)
        _keep_nearer(own if name == "train" else earlier, rows, index, distance)
    for name in ("val", "test"):
        rows, index, distance, _ = _look(small, sides[name], sides[name], True, progress)
        _keep_nearer(own, rows, index, distance)
    rows, index, distance, _ = _look(small, split.test, split.val, False, progress)
    _keep_nearer(earlier, rows, index, distance)
    return Neighbourhood(own, earlier, training, usual, searched)


def _look(
    small: "Tensor", side: np.ndarray, others: np.ndarray, is_same: bool, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For images of `side`, or a sample of them: their indices, nearest of `others`, its distance, the usual one."""
    if not len(side) or len(others) <= is_same:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32)
    most = max(1, int(MOST_PRODUCTS // (len(others) * small.shape[1])))
    rows = np.arange(len(side))
    if len(side) > most:
        rows = np.sort(np.random.default_rng(0).choice(len(side), most, replace=False))
    found = closest(
        small[side[rows]], small[others], num_portions(len(others)), is_same, progress, "comparing images", rows
    )
    return side[rows], others[found.index], found.distance, found.usual


def _keep_nearer(
    kept: tuple[np.ndarray, np.ndarray], rows: np.ndarray, index: np.ndarray, distance: np.ndarray
) -> None:
    nearer = distance < kept[1][rows]
    kept[0][rows[nearer]], kept[1][rows[nearer]] = index[nearer], distance[nearer]
