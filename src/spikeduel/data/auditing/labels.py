"""Labels that look wrong: by the nearest neighbours' labels before training, by networks' probabilities after it.

Confident learning (Northcutt, Jiang, Chuang 2021, Confident Learning, JAIR 70): the threshold of a class is the mean
probability that its own images give to it; an image is suspect where another class reaches its threshold. Here, only
the most probable class is looked at, and the given one must be improbable as well (below `MOST_GIVEN`).
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spikeduel.data.auditing.neighbours import lowest
from spikeduel.results.audit import SuspectLabel
from spikeduel.system import files
from spikeduel.system.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

NEIGHBOURS = 10
MOST_GIVEN = 0.1
"""Labels that are at least as probable as this are left alone; of ten neighbours, none may have the label."""
LEAST_AGREEMENT = 0.6
"""Where fewer labels are those that their images' neighbours vote for, the neighbours cannot judge labels."""
MOST_PRODUCTS = 1e12
"""Multiplications that the search may take; beyond, the neighbours are those in a sample of the images."""
QUERIES_AT_ONCE = 1024


def suspects(labels: np.ndarray, given: np.ndarray, best: np.ndarray, highest: np.ndarray) -> np.ndarray:
    """bool `[N]`: which of `labels` int `[N]` look wrong.

    `given` float `[N]` is the probability of the label, `best` int `[N]` the most probable class, `highest` `[N]` its
    probability; all of images that were not trained on.
    """
    count = np.bincount(labels, minlength=int(max(labels.max(), best.max())) + 1)
    threshold = np.bincount(labels, given, len(count)) / np.maximum(count, 1)
    return (best != labels) & (count[best] > 0) & (highest >= threshold[best]) & (given < MOST_GIVEN)


def votes(
    small: "Tensor", labels: np.ndarray, same: np.ndarray, used: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the nearest neighbours of the images `used` `[M]` (their indices) say: `given`, `best`, `highest` `[M]`.

    Shares of the `NEIGHBOURS` nearest on `small`, float32 `[N, D]`; equal images (equal numbers in `same` `[N]`) do not
    vote, so that copies with one wrong label do not vouch for each other.
    """
    import torch

    most = max(NEIGHBOURS + 1, int(MOST_PRODUCTS // (len(used) * small.shape[1])))
    voters = used
    if len(used) > most:
        voters = np.sort(np.random.default_rng(0).choice(used, most, replace=False))
    others, their_labels, their_same = small[voters], torch.from_numpy(labels[voters]), torch.from_numpy(same[voters])
    half_square = others.square().sum(1) / 2
    shares = torch.zeros(len(used), int(labels.max()) + 1)
    nearest = min(NEIGHBOURS, len(voters) - 1)
    starts = range(0, len(used), QUERIES_AT_ONCE)
    for start in progress.track(starts, "asking neighbours", len(starts)):
        rows = used[start : start + QUERIES_AT_ONCE]
        distance = torch.addmm(half_square, small[rows], others.T, alpha=-1)
        distance[torch.from_numpy(same[rows])[:, None] == their_same] = float("inf")
        found = lowest(distance, nearest)
        vote = torch.isfinite(distance.gather(1, found)).float()
        shares[start : start + len(rows)].scatter_add_(1, their_labels[found], vote)
    shares /= shares.sum(1, keepdim=True).clamp_min(1)
    highest, best = (part.numpy() for part in shares.max(1))
    return shares.numpy()[np.arange(len(used)), labels[used]], best, highest


def write_csv(path: Path, by_neighbours: Iterable[SuspectLabel], by_networks: Iterable[SuspectLabel] = ()) -> Path:
    """Writes the labels to check, a row each, with what doubts it ("neighbours" or "networks"); returns `path`."""
    sources = {"neighbours": by_neighbours, "networks": by_networks}
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["index", "file", "side", "given", "suggested", "given_probability", "suggested_probability", "source"]
    )
    for source, each in ((source, each) for source, listed in sources.items() for each in listed):
        image = each.image
        rows.writerow(
            [
                *(image.index, image.file or "", image.side, image.label, each.suggested),
                *(each.given_probability, each.suggested_probability, source),
            ]
        )
    files.write_text(path, text.getvalue())
    return path
