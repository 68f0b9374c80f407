"""Labels that look wrong: by the nearest neighbours' labels before training, by networks'
probabilities after it.

The threshold of a class is the mean probability that its own images give to it, as in confident
learning (Northcutt, Jiang, Chuang 2021, Confident Learning, JAIR 70). Here, an image is suspect
where another class fits better and the label's own probability stays far below the threshold of its
class, so that an image between two classes is left alone. Limits: `benchmarks/labels.py`.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikeduel.auditing.context import AuditContext, Fields
from spikeduel.auditing.neighbours import gradients, lowest
from spikeduel.results.audit import Audit, LabelCheck, SuspectLabel
from spikeduel.results.findings import Values, finds
from spikeduel.system import files
from spikeduel.system.progress import Progress

NEIGHBOURS = 40
"""Neighbours that vote; a quarter of the images of the label's class where that is fewer, at least
`FEWEST_NEIGHBOURS`.
"""
FEWEST_NEIGHBOURS = 5
TRUSTED = 0.5
"""A neighbour votes if its own label has at least this share of its best class's votes."""
MOST_BY_NEIGHBOURS, MOST_BY_NETWORKS = 0.03, 0.08
"""A label with less than this part of its class's threshold looks wrong; of forty neighbours, one
may have it.
"""
LEAST_AGREEMENT = 0.6
"""Share of labels that neighbours vote for below which neighbours cannot judge labels."""
MOST_PRODUCTS = 1e12
"""Multiplications that the search may take; beyond, the neighbours are those in a sample of the
images.
"""
QUERIES_AT_ONCE = 1024


def check(context: AuditContext) -> Fields:
    """Ask the nearest neighbours for labels that look wrong.

    Nothing is found where neighbours know too little of the labels; nor of recordings, whose
    pictures have no time.
    """
    used = np.flatnonzero(context.side >= 0)
    if len(used) < 2 or context.recordings:
        return {}
    labels, classes = context.labels, context.prepared.classes
    vectors = gradients(context.prepared.pictures)
    given, best, highest = votes(vectors, labels, context.same, used, context.progress)
    agreement = float((best == labels[used]).mean())
    if agreement < LEAST_AGREEMENT:
        return {"labels": LabelCheck(examined=len(used), agreement=agreement, suspects=0)}
    found = tuple(
        SuspectLabel(
            image=context.described(int(used[row])),
            suggested=classes[best[row]],
            given_probability=round(float(given[row]), 4),
            suggested_probability=round(float(highest[row]), 4),
        )
        for row in suspects(labels[used], given, best, highest, MOST_BY_NEIGHBOURS)
    )
    shares: list[float | None] = [None] * len(labels)
    for image, share in zip(used.tolist(), given.tolist(), strict=True):
        shares[image] = round(share, 4)
    return {
        "labels": LabelCheck(examined=len(used), agreement=agreement, suspects=len(found)),
        "details": {"labels": found, "label_shares": tuple(shares)},
    }


@finds("labels_to_check")
def labels_to_check(audit: Audit) -> Iterator[Values]:
    if audit.labels and (count := audit.labels.suspects):
        examined = audit.labels.examined
        yield {"count": count, "share": count / examined, "examined": examined}


def suspects(
    labels: np.ndarray, given: np.ndarray, best: np.ndarray, highest: np.ndarray, most: float
) -> np.ndarray:
    """Return which of N labels look wrong, int64 `[M]`, the surest first.

    `given` float `[N]` is the probability of each of `labels` int `[N]`, by what was not trained on
    the image, `best` int `[N]` the class that fits better, and `highest` `[N]` its probability,
    which orders those alike. A label with less than `most` of its class's threshold is suspect.
    """
    count = np.bincount(labels)
    threshold = (np.bincount(labels, given) / np.maximum(count, 1))[labels]
    found = np.flatnonzero((best != labels) & (given < most * threshold))
    return found[np.lexsort((-highest[found], given[found] / threshold[found]))]


def votes(
    vectors: Tensor, labels: np.ndarray, same: np.ndarray, used: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the nearest neighbours of the images `used` `[M]` (ascending indices) vote, by
    `vectors` `[N, D]`.

    Shares of the votes: that of the label, `given`, the class with most, `best`, and its share,
    `highest`, all `[M]`. All vote first; then only those whose own label the first vote supports,
    so that wrong labels are not counted. Of equal images (equal numbers in `same` `[N]`) one votes,
    and not on its copies: these share a wrong label.
    """

    most = max(NEIGHBOURS + 1, int(MOST_PRODUCTS // (len(used) * vectors.shape[1])))
    voters = np.unique(same[used], return_index=True)[1]
    if len(voters) > most:
        voters = np.sort(np.random.default_rng(0).choice(voters, most, replace=False))
    others, label = vectors[used[voters]], torch.from_numpy(labels[used])
    sames = torch.from_numpy(same[used])
    num_classes, nearest = int(label.max()) + 1, min(NEIGHBOURS, len(voters) - 1)
    half_square = others.square().sum(1) / 2
    places = torch.zeros(len(used), nearest, dtype=torch.int64)
    counts = torch.zeros(len(used), nearest)
    asked = label[voters].bincount(minlength=num_classes) // 4
    asked = asked.clamp(FEWEST_NEIGHBOURS, NEIGHBOURS)[label]
    blocks = [slice(k, k + QUERIES_AT_ONCE) for k in range(0, len(used), QUERIES_AT_ONCE)]
    for rows in progress.track(blocks, "asking neighbours", len(blocks)):
        distance = torch.addmm(half_square, vectors[used[rows]], others.T, alpha=-1)
        distance[sames[rows][:, None] == sames[voters]] = float("inf")
        few = lowest(distance, nearest)
        places[rows] = torch.from_numpy(voters)[few]
        is_asked = torch.arange(nearest) < asked[rows, None]
        counts[rows] = (torch.isfinite(distance.gather(1, few)) & is_asked).float()

    def shares(rows: slice, counted: Tensor) -> Tensor:
        total = torch.zeros(len(counted), num_classes)
        total.scatter_add_(1, label[places[rows]], counted)
        return total / total.sum(1, keepdim=True).clamp_min(1)

    trusted = torch.zeros(len(used), dtype=torch.bool)
    for rows in blocks:
        first = shares(rows, counts[rows])
        trusted[rows] = first.gather(1, label[rows, None])[:, 0] >= TRUSTED * first.amax(1)
    voted = []
    for rows in blocks:
        second = shares(rows, counts[rows] * trusted[places[rows]])
        # Where no neighbour is trusted, the first vote stands.
        last = torch.where(second.sum(1, keepdim=True) > 0, second, shares(rows, counts[rows]))
        highest, best = last.max(1)
        voted.append((last.gather(1, label[rows, None])[:, 0], best, highest))
    given, best, highest = (torch.cat(parts) for parts in zip(*voted, strict=True))
    return given.numpy(), best.numpy(), highest.numpy()


def write_csv(
    path: Path, by_neighbours: Iterable[SuspectLabel], by_networks: Iterable[SuspectLabel] = ()
) -> Path:
    """Write the labels to check, a row each, with what doubts it ("neighbours" or "networks");
    return `path`.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = ("index", "file", "side", "given", "suggested", "given_probability")
    rows.writerow([*names, "suggested_probability", "source"])
    for source, suspects in (("neighbours", by_neighbours), ("networks", by_networks)):
        for suspect in suspects:
            image = suspect.image
            rows.writerow(
                [
                    *(image.index, image.file or "", image.side, image.label, suspect.suggested),
                    *(suspect.given_probability, suspect.suggested_probability, source),
                ]
            )
    files.write_text(path, text.getvalue())
    return path
