"""Moved copies: images that another one gives when it is shifted, turned, mirrored, cropped or
scaled.

For each image the few others with the nearest descriptors are candidates (`invariants`). They are
laid over it (`overlays`). The image is a moved copy of the best one where what remains is below a
share of what usually remains for the other candidates, so that images that are alike by nature
raise no alarm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spikeduel.auditing.invariants import LENGTH, MOST_LEARNED, descriptor, invariant, upright
from spikeduel.auditing.neighbours import MOST_SCORES, compared, lowest
from spikeduel.data import Split
from spikeduel.data.disk_arrays import empty_array, in_parts, rows_of
from spikeduel.system.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

NEAREST, NEAREST_UPRIGHT = 12, 5
"""Candidates by descriptors for all moves, and for shifts and sizes alone."""
FEWEST_OTHERS = 4
"""Other images below which it is not known what usually remains."""
AT_ONCE = 256
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Moved:
    """The best candidate of each of N images on an earlier side: training, then validation, then
    test.

    `index` int64 `[N]`, −1 where there is none; `ratio` float32 `[N]`, infinity where there is
    none: that of what remains to what usually remains.
    """

    index: np.ndarray
    ratio: np.ndarray


def search(
    images: np.ndarray,
    same: np.ndarray,
    split: Split,
    near: float,
    progress: Progress,
    shapes: np.ndarray | None = None,
) -> Moved:
    """Return the moved copies among `images`, as `_search` finds them; also among the middles of
    pictures that were padded.

    `shapes` `[N, 2]` are the pictures' heights and widths before they were padded to squares. The
    black bars do not move with what was moved before: laid over one another, they would hide the
    copy.
    """
    whole = _search(images, same, split, near, progress)
    shares = None if shapes is None else shapes.min(1) / shapes.max(1)
    if shares is None or images.shape[2] != images.shape[3] or (shares == 1).all():
        return whole
    inner = _search(_middles(images, shares), same, split, near, progress)
    index = np.where(inner.ratio < whole.ratio, inner.index, whole.index)
    return Moved(index, np.minimum(inner.ratio, whole.ratio))


def _middles(images: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the largest square between the black bars of each picture, enlarged to the size of
    `images`, uint8 `[N, C, S, S]`.
    """
    import torch
    from torch.nn.functional import interpolate

    middles, side = empty_array(images.shape), images.shape[-1]
    margins = np.ceil((1 - shares) / 2 * side).astype(int).clip(0, (side - 2) // 2)
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        middles[block] = images[block]
        for margin in np.unique(margins[block][margins[block] > 0]):
            rows = start + np.flatnonzero(margins[block] == margin)
            part = images[rows, :, margin:-margin, margin:-margin].astype(np.float32)
            larger = interpolate(torch.from_numpy(part), size=side, mode="bilinear")
            middles[rows] = larger.round().clamp(0, 255).byte().numpy()
    return middles


def _search(
    images: np.ndarray, same: np.ndarray, split: Split, near: float, progress: Progress
) -> Moved:
    """Return the moved copies among `images`, uint8 `[N, C, H, W]`; equal ones (equal numbers in
    `same` `[N]`) are left out.

    Each image is laid over those of all earlier sides together: on a small side alone nothing might
    be like it, and what remains would look little beside that. Images of one side are not compared
    with one another: copies there inflate no score, and to look for them would take several times
    as long. Ratios of `overlays.PLAUSIBLE`·`near` and more say only that nothing was found.
    """
    import torch

    # Numba, which it needs, takes long to import.
    from spikeduel.auditing import overlays

    index, ratio = np.full(len(images), -1), np.full(len(images), np.inf, np.float32)
    views, described = None, []
    for asked, earlier in (
        (split.val, split.train),
        (split.test, np.concatenate([split.train, split.val])),
    ):
        if not len(asked) or len(earlier) < FEWEST_OTHERS:
            continue
        asked = asked[compared(len(asked), len(earlier), LENGTH)]
        if views is None:
            views = overlays.views(images)
            chosen = np.random.default_rng(0).permutation(len(split.train))[:MOST_LEARNED]
            learned = views.whole[torch.from_numpy(np.sort(split.train[chosen]))].float()
            for measured in (invariant, upright):
                described.append(in_parts(views.whole, descriptor(learned, measured)))
            maps = overlays.orientation_maps(views.small.shape[-1])
        references = [rows_of(descriptors, earlier) for descriptors in described]
        at_once = max(1, min(AT_ONCE, MOST_SCORES // len(earlier)))
        blocks = np.split(asked, range(at_once, len(asked), at_once))
        for block in progress.track(blocks, "looking for moved copies", len(blocks)):
            queries = [descriptors[torch.from_numpy(block)] for descriptors in described]
            few = earlier[_few(queries, references)]
            is_twice = np.tril(few[:, :, None] == few[:, None], -1).any(2)
            few = np.where(is_twice | (same[few] == same[block][:, None]), -1, few)
            index[block], ratio[block] = overlays.best(views, maps, block, few, near)
    return Moved(index, ratio)


def _few(queries: Sequence["Tensor"], references: Sequence["Tensor"]) -> np.ndarray:
    """Return the nearest of N references to M queries by both descriptors in turn, nearest first:
    int64 `[M, K]`. `queries` are `[M, D]` and `references` `[N, D]`, of one descriptor each.
    """
    import torch

    candidates, place = [], []
    for query, reference, most in zip(queries, references, (NEAREST, NEAREST_UPRIGHT), strict=True):
        k = min(most, len(reference))
        distances = torch.addmm(reference.square().sum(1) / 2, query, reference.T, alpha=-1)
        candidates.append(lowest(distances, k).numpy())
        place.append((np.arange(k) + 0.5) / most)
    return np.concatenate(candidates, 1)[:, np.argsort(np.concatenate(place), kind="stable")]
