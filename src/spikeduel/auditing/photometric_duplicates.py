"""Photometric duplicates: images with other tones (negative, solarised) or covered in part.

Candidates are the nearest by directions of gradients in cells, light to dark like dark to light, at
equal contrast: tones hardly change them. The original is the candidate whose best cells hardly
differ and whose tones explain the image's, whatever one becomes in the other.
"""

import numpy as np
import torch
from torch import Tensor

from spikeduel.auditing.arrays import SplitIndices, in_parts, rows_of
from spikeduel.auditing.neighbours import Matches, compared, grey, lowest, oriented
from spikeduel.system.progress import Progress

NEAREST = 10
"""Candidates of an image."""
MAX_LONG_EDGE = 32
DIRECTIONS, TONES = 4, 12
FLAT = 0.1
"""Gradients that are noise, as a share of those of the image's strongest cell."""
BEST_CELLS = 0.3
"""Share of the cells that must agree; the others may be covered."""
MIN_TEXTURE = 0.5
"""Length of two cells together above which there is something to compare."""


def search(
    images: np.ndarray, same: np.ndarray, split: SplitIndices, progress: Progress
) -> Matches:
    """Return the photometric duplicates among `images`, uint8 `[N, C, H, W]`, without equal ones
    (equal `same` `[N]`). A ratio is the best candidate's difference over the others' median.
    """
    matches = Matches.none(len(images))
    cells = in_parts(images, _cells)
    greys = in_parts(images, lambda part: grey(part, MAX_LONG_EDGE).flatten(1).round().byte())
    for earlier, blocks in compared(split, progress, "looking for photometric duplicates"):
        references = rows_of(cells, earlier).flatten(1)
        half_square = references.square().sum(1) / 2
        for block in blocks:
            queries = torch.from_numpy(block)
            vectors = cells[queries].flatten(1)
            distances = torch.addmm(half_square, vectors, references.T, alpha=-1)
            candidates = earlier[lowest(distances, min(NEAREST, len(earlier))).numpy()]
            others = torch.from_numpy(candidates)
            products = _difference(cells[queries], cells[others])
            products *= unexplained(greys[queries], greys[others])
            means = products.sqrt().clamp_min(1e-3).numpy()
            difference = np.where(same[candidates] == same[block][:, None], np.nan, means)
            ranked = np.sort(difference, 1)
            rows = np.flatnonzero(np.isfinite(ranked[:, :3]).all(1))
            usual = np.nanmedian(ranked[rows, 1:], 1)
            best = np.nanargmin(difference[rows], 1)
            matches.nearest[block[rows]] = candidates[rows, best]
            matches.ratio[block[rows]] = ranked[rows, 0] / usual
    return matches


def _cells(images: np.ndarray) -> Tensor:
    """Return directions in cells at equal contrast, float32 `[N, CELLS², DIRECTIONS]`."""
    roots = oriented(images, DIRECTIONS, torch.pi).flatten(2).mT.sqrt()
    length = roots.norm(dim=2, keepdim=True)
    return roots / (length + FLAT * length.amax(1, keepdim=True) + 1e-3)


def _difference(queries: Tensor, others: Tensor) -> Tensor:
    """Return the largest difference among the `BEST_CELLS` of `queries` `[M, L, D]` to `others`
    `[M, K, L, D]`, float32 `[M, K]`; 2 without texture.
    """
    is_flat = queries.norm(dim=2)[:, None] + others.norm(dim=3) <= MIN_TEXTURE
    ranked = (queries[:, None] - others).norm(dim=3).masked_fill(is_flat, 2.0).sort(2).values
    rank = (BEST_CELLS * ((~is_flat).sum(2) - 1)).round().long().clamp_min(0)
    return ranked.gather(2, rank[:, :, None])[:, :, 0]


def unexplained(queries: Tensor, others: Tensor) -> Tensor:
    """Return √(1 − η²), η² the correlation ratio: the share of the variance of `queries` bytes
    `[M, P]` that the tones of `others` bytes `[M, K, P]` explain, float32 `[M, K]`; 1 for uniform
    images.
    """
    queries, others = queries.float()[:, None].expand(others.shape), others.float()
    least = others.amin(2, keepdim=True)
    tone = (others - least) / (others.amax(2, keepdim=True) - least).clamp_min(1) * (TONES - 0.01)
    tone, none = tone.long(), torch.zeros(*others.shape[:2], TONES)
    number = none.scatter_add(2, tone, torch.ones_like(queries))
    mean = none.scatter_add(2, tone, queries) / number.clamp_min(1)
    remains = (queries - mean.gather(2, tone)).square().sum(2)
    whole = (queries - queries.mean(2, keepdim=True)).square().sum(2)
    return torch.where(whole > queries.shape[2], remains / whole.clamp_min(1), 1.0).sqrt()
