"""Plain drawings: circles, squares, triangles and the like, in few flat tones.

Whatever distinguishes two of them (place, size, turn, colour) is what a moved or edited copy may
change, so that a copy cannot be distinguished from another drawing.
"""

import numpy as np
from torch.nn.functional import pad

from spikeduel.auditing.geometric_duplicates import objects

MAX_DRAWINGS = 100
"""Alleged copies that are looked at."""
SYMMETRIC = 0.2
"""Residual of an image laid over its own mirror image or turn below which it is symmetric (97.5 %
of MNIST, photographs and fingerprints have more).
"""
FLAT = 0.8
"""Share of pixels with one of the two most frequent of 32 tones above which an image is flat."""
STEPS = 15
WAYS = np.array(
    [
        [[across * np.cos(turn), -np.sin(turn)], [across * np.sin(turn), np.cos(turn)]]
        for across, degrees in ((-1, range(0, 360, 15)), (1, range(90, 271, 15)))
        for turn in np.deg2rad(degrees)
    ]
)
"""Mirror images and turns that an image is laid over itself in, float64 `[37, 2, 2]`."""


def are_plain(images: np.ndarray, alike: np.ndarray) -> bool:
    """Return True if most of the images `alike`, int64 `[A]`, are flat and symmetric."""
    chosen = np.sort(np.random.default_rng(0).permutation(alike)[:MAX_DRAWINGS])
    return len(chosen) > 0 and bool(is_plain(images[chosen]).mean() > 0.5)


def is_plain(images: np.ndarray) -> np.ndarray:
    """Return True for images that are flat and symmetric, bool `[N]`."""
    tones = (images.mean(1).reshape(len(images), -1) // 8).astype(int)
    counts = np.stack([np.bincount(image, minlength=32) for image in tones])
    is_flat = np.sort(counts, 1)[:, -2:].sum(1) > FLAT * tones.shape[1]
    return is_flat & (residual_to_itself(images) < SYMMETRIC)


def residual_to_itself(images: np.ndarray) -> np.ndarray:
    """Return the least residual (`registration.register`) of each image laid over itself, mirrored
    or turned around its object, float32 `[N]`.
    """
    from spikeduel.auditing import registration

    whole = registration.made_views(images).whole.float()
    whole = pad(whole[:, None], [whole.shape[-1] // 2] * 4, mode="replicate")[:, 0]
    middle = 2 * objects(whole)[1].numpy() / whole.shape[-1]
    shift = middle[:, None] - np.einsum("wij,nj->nwi", WAYS, middle)
    turns = np.broadcast_to(WAYS, (len(images), *WAYS.shape))
    placements = np.concatenate([turns, shift[..., None]], 3).reshape(-1, 6).astype(np.float32)
    rows = np.repeat(np.arange(len(images)), len(WAYS))
    residuals, _ = registration.register(whole, whole, (rows, rows), placements, STEPS)
    return residuals.reshape(len(images), -1).min(1)
