"""Geometric duplicates: shifted, turned, mirrored, cropped or scaled images.

Candidates, the nearest by descriptors, are laid over each image (`registration`). The best is a
copy if its residual is below a share of the other candidates' usual one, so natural look-alikes
raise no alarm. Amplitude spectra do not change with shifts, nor angular harmonics' amplitudes and
common phases with turns and mirroring; linear discriminant analysis on moved copies learns the
rest.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from spikeduel.auditing.arrays import SplitIndices, in_parts, rows_of
from spikeduel.auditing.neighbours import Matches, compared, lowest
from spikeduel.system.large_arrays import empty_array
from spikeduel.system.progress import Progress

NEAREST, NEAREST_UPRIGHT = 8, 4
"""Candidates by descriptors for all moves, and for shifts and sizes alone."""
BLOCK = 1024


def search(
    images: np.ndarray,
    centres: np.ndarray,
    same: np.ndarray,
    split: SplitIndices,
    progress: Progress,
) -> Matches:
    """Return the geometric duplicates among `images` and, for bars hide copies, among their
    `centres` (of `middles`).
    """
    whole = _search(images, same, split, progress)
    if centres is images:
        return whole
    inner = _search(centres, same, split, progress)
    index = np.where(inner.ratio < whole.ratio, inner.nearest, whole.nearest)
    return Matches(index, np.minimum(inner.ratio, whole.ratio))


def middles(images: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Return the centre square of each picture, enlarged to its full side, uint8 `[N, C, S, S]`;
    `images` themselves where no picture was padded to a square.

    `shapes` `[N, 2]` are sizes before padding, if known. At least two pixels stay.
    """
    if not len(shapes) or images.shape[2] != images.shape[3] or (shapes.T[0] == shapes.T[1]).all():
        return images
    centres, edge = empty_array(images.shape), images.shape[-1]
    margins = (
        np.ceil((1 - shapes.min(1) / shapes.max(1)) / 2 * edge).astype(int).clip(0, (edge - 2) // 2)
    )
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        centres[block] = images[block]
        for margin in np.unique(margins[block][margins[block] > 0]):
            indices = start + np.flatnonzero(margins[block] == margin)
            part = images[indices, :, margin:-margin, margin:-margin].astype(np.float32)
            larger = interpolate(torch.from_numpy(part), size=edge, mode="bilinear")
            centres[indices] = larger.round().clamp(0, 255).byte().numpy()
    return centres


def _search(
    images: np.ndarray, same: np.ndarray, split: SplitIndices, progress: Progress
) -> Matches:
    """Return the geometric duplicates among `images`, uint8 `[N, C, H, W]`, without equal ones
    (equal `same` `[N]`). Ratios of `registration.PLAUSIBLE`·`NEAR` and more mean that nothing was
    found.
    """
    # Numba, which it needs, takes long to import.
    from spikeduel.auditing import registration

    matches = Matches.none(len(images))
    views, descriptors = None, []
    for earlier, blocks in compared(split, progress, "looking for geometric duplicates"):
        if views is None:
            views = registration.made_views(images)
            chosen = np.sort(np.random.default_rng(0).permutation(split.train)[:MAX_LEARNED])
            learned = views.whole[torch.from_numpy(chosen)].float()
            for measured in (invariant, upright):
                descriptors.append(in_parts(views.whole, descriptor(learned, measured)))
        references = [rows_of(described, earlier) for described in descriptors]
        for block in blocks:
            queries = [described[torch.from_numpy(block)] for described in descriptors]
            few = earlier[_candidates(queries, references)]
            is_twice = np.tril(few[:, :, None] == few[:, None], -1).any(2)
            few = np.where(is_twice | (same[few] == same[block][:, None]), -1, few)
            matches.nearest[block], matches.ratio[block] = registration.best(views, block, few)
    return matches


def _candidates(queries: list[Tensor], references: list[Tensor]) -> np.ndarray:
    """Return the nearest references of M queries by both descriptors in turn, int64 `[M, K]`."""
    candidates, rank = [], []
    for query, reference, most in zip(queries, references, (NEAREST, NEAREST_UPRIGHT), strict=True):
        k = min(most, len(reference))
        distances = torch.addmm(reference.square().sum(1) / 2, query, reference.T, alpha=-1)
        candidates.append(lowest(distances, k).numpy())
        rank.append((np.arange(k) + 0.5) / most)
    return np.concatenate(candidates, 1)[:, np.argsort(np.concatenate(rank), kind="stable")]


NUM_ANGLES = 32
LENGTH = 96
"""Numbers in a descriptor."""
MAX_LEARNED = 1000
COPIES = 4
"""Images for learning the metric, and moved copies of each."""
HIGHEST, CENTRE = 9, 16
"""Frequencies of the spectrum, and pixels across the middle, of upright descriptors."""
BORDERS = ("zeros", "border", "reflection")
PHASES = ((1, 1), (1, 2), (2, 2), (1, 3), (2, 3), (2, 4), (3, 3))
"""Pairs of angular frequencies of the bispectrum: phases compared with that of their sum."""

Measured: TypeAlias = Callable[[Tensor], Tensor]
"""Measurements float32 `[N, D]` of images float32 `[N, S, S]`."""


def moved(images: Tensor, seed: int, is_upright: bool) -> Tensor:
    """Return a moved copy of each of `images`, float32 `[N, S, S]`.

    Turned by right angles and mirrored at random; each with probability 1/2, turned by up to 10°,
    shifted by up to a tenth of the side, scaled by up to 10 %. New borders are black, the nearest
    pixel or a reflection, in turn. Nothing is turned or mirrored if `is_upright`.
    """
    random, count = torch.Generator().manual_seed(seed), len(images)

    def drawn(max_size: float) -> Tensor:
        values, is_used = torch.rand(2, count, generator=random)
        return max_size * (2 * values - 1) * (is_used < 0.5)

    turn = torch.deg2rad(drawn(10.0)) + torch.randint(4, (count,), generator=random) * torch.pi / 2
    size = 1 / (1 + drawn(0.3 if is_upright else 0.1))
    mirror = 1 - 2 * torch.randint(2, (count,), generator=random)
    if is_upright:
        turn, mirror = torch.zeros_like(turn), torch.ones_like(mirror)
    cos, sin = turn.cos() * size, turn.sin() * size
    rows = [
        torch.stack([cos * mirror, -sin, drawn(0.2)], 1),
        torch.stack([sin * mirror, cos, drawn(0.2)], 1),
    ]
    grid = affine_grid(torch.stack(rows, 1), [count, 1, *images.shape[1:]], align_corners=False)
    copies = torch.empty_like(images)
    for number, border in enumerate(BORDERS):
        part = slice(number, None, len(BORDERS))
        copies[part] = grid_sample(
            images[part, None], grid[part], padding_mode=border, align_corners=False
        )[:, 0]
    return copies


def descriptor(images: Tensor, measured: Measured) -> Measured:
    """Learn a descriptor, float32 `[M, LENGTH]` or fewer, from `images` float32 `[N, S, S]`: copies
    are near by Euclidean distance.
    """
    from scipy.linalg import eigh

    versions = [images, *(moved(images, seed, measured is upright) for seed in range(COPIES))]
    copies = torch.stack([in_parts(version, measured) for version in versions], 1)
    mean, deviation = copies.mean((0, 1)), copies.std((0, 1)) + 1e-6
    copies = (copies - mean) / deviation
    within = (copies - copies.mean(1, keepdim=True)).flatten(0, 1)
    within = (within.T @ within / (len(images) * COPIES)).double()
    within.diagonal().add_(1e-2 * within.diagonal().mean() + 1e-9)
    whole = copies.flatten(0, 1)
    whole = (whole.T @ whole / len(whole)).double()
    length = len(whole)
    _, axes = eigh(whole.numpy(), within.numpy(), subset_by_index=(length - LENGTH, length - 1))
    project = torch.from_numpy(axes).float() / deviation[:, None]
    return lambda others: measured(others.float()) @ project - mean @ project


def invariant(images: Tensor) -> Tensor:
    """Measure what hardly changes when images move."""
    parts = [_polar_spectrum(images, 0.5), _polar_spectrum(images, 1.0), _around(images)]
    return torch.cat(parts, 1)


def upright(images: Tensor) -> Tensor:
    """Measure what hardly changes with shifts and sizes, which tells more apart."""
    return torch.cat([_spectrum(images, 0.5), _spectrum(images, 1.0), _recentred(images)], 1)


def _windowed(images: Tensor, power: float) -> Tensor:
    """Return images without their mean, faded out at the borders by a power of a Hann window."""
    window = torch.hann_window(images.shape[-1] + 2, periodic=False)[1:-1] ** power
    window = window[:, None] * window
    mean = (images * window).sum((1, 2), keepdim=True) / window.sum()
    return _unit((images - mean) * window)


def _spectrum(images: Tensor, power: float) -> Tensor:
    """Return the amplitudes of low frequencies, which do not change with shifts."""
    size = max(32, images.shape[-1])
    amplitude = torch.fft.rfft2(_windowed(images, power), s=(size, size)).abs().sqrt()
    lowest = amplitude[:, :HIGHEST, :HIGHEST], amplitude[:, 1 - HIGHEST :, :HIGHEST]
    return torch.cat(lowest, 1).flatten(1)


def _recentred(images: Tensor) -> Tensor:
    """Return small images of what lies around the middle of the object."""
    seen, middle, _ = objects(images)
    move = torch.tensor([[0.8, 0, 0], [0, 0.8, 0]]).repeat(len(images), 1, 1)
    move[:, :, 2] = middle * 2 / images.shape[-1]
    grid = affine_grid(move, [len(images), 1, CENTRE, CENTRE], align_corners=False)
    seen = grid_sample(seen[:, None], grid, align_corners=False)[:, 0]
    return _unit(seen - seen.mean((1, 2), keepdim=True)).flatten(1)


def _polar_spectrum(images: Tensor, power: float) -> Tensor:
    """Return invariants of the amplitude spectrum on circles around frequency 0."""
    size = max(32, images.shape[-1])
    spectrum = torch.fft.fft2(_windowed(images, power), s=(size, size))
    amplitude = torch.fft.fftshift(spectrum, dim=(1, 2)).abs()
    radius = torch.linspace(1, min(0.45 * size, 15.0), 12)
    points = _circles(radius, torch.pi) + size // 2
    grid = (2 * points / (size - 1) - 1).expand(len(images), -1, -1, -1)
    polar = grid_sample(amplitude[:, None], grid, align_corners=True)[:, 0]
    return _invariants(torch.fft.rfft(polar.sqrt(), dim=2)[:, :, :7] / NUM_ANGLES)


def _around(images: Tensor) -> Tensor:
    """Return invariants of the image on circles around the middle of the object."""
    seen, middle, reach = objects(images)
    circles = reach[:, None, None] * _circles((torch.arange(8) + 0.5) / 8, 2 * torch.pi)
    points = middle[:, None, None] + circles
    seen = _unit(seen - seen.mean((1, 2), keepdim=True))
    polar = grid_sample(seen[:, None], points * 2 / (images.shape[-1] - 1), align_corners=True)
    return _invariants(torch.fft.rfft(polar[:, 0], dim=2)[:, :, :9] / NUM_ANGLES)


def objects(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return `images` less their border, the middle of the rest, x and y `[N, 2]`, and twice its
    standard deviation `[N, 1]`.
    """
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    seen = images - torch.cat(edges, 1).median(1).values[:, None, None]
    weight = seen.abs() / seen.abs().sum((1, 2), keepdim=True).clamp_min(1e-6)
    position = torch.arange(images.shape[-1], dtype=torch.float32) - (images.shape[-1] - 1) / 2
    profiles = torch.stack([weight.sum(1), weight.sum(2)], 1)
    middle = profiles @ position
    deviation = (profiles * (position - middle[:, :, None]).square()).sum((1, 2))
    return seen, middle, 2 * deviation.sqrt()[:, None]


def _circles(radius: Tensor, whole: float) -> Tensor:
    """Return x and y at `NUM_ANGLES` angles of circles, float32 `[R, A, 2]`."""
    angle = torch.arange(NUM_ANGLES) * whole / NUM_ANGLES
    return radius[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)


def _unit(images: Tensor) -> Tensor:
    """Return images scaled to length 1."""
    return images / images.flatten(1).norm(dim=1).clamp_min(1e-3)[:, None, None]


def _invariants(harmonics: Tensor) -> Tensor:
    """Return invariants of turning and mirroring all `harmonics`, complex `[N, R, M]` on R
    circles.
    """
    parts = [harmonics.abs()]
    for apart in (1, 2):
        product = (harmonics[:, apart:] * harmonics[:, :-apart].conj())[:, :, 1:]
        product = product / (product.abs() + 1e-9).sqrt()
        parts += [product.real, product.imag.abs()]
    for a, b in PHASES:
        product = harmonics[:, :, a] * harmonics[:, :, b] * harmonics[:, :, a + b].conj()
        parts.append(product.real / (product.abs() + 1e-9) ** (2 / 3))
    return torch.cat([values.flatten(1) for values in parts], 1)
