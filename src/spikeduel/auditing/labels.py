"""Check labels: sizes of classes, and labels that look wrong to nearest neighbours.

The threshold of a class is the mean probability that its images give it (confident learning:
Northcutt, Jiang, Chuang 2021, JAIR 70). An image is suspect if another class fits better and its
label stays far below that threshold. Limits: `benchmarks/audit/labels.py`.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikeduel.auditing.audit_results import Audit, LabelCheck, SuspectLabel
from spikeduel.auditing.context import AuditInput, Fields, is_above_chance
from spikeduel.auditing.neighbours import gradients, lowest
from spikeduel.system import files
from spikeduel.system.finding_tables import Values, finds
from spikeduel.system.progress import Progress

MIN_TEST_IMAGES = 10
"""Test images of a class below which the accuracy on it says little."""
MAX_CLASS_RATIO = 5
"""Images of the largest class, as a multiple of the smallest, above which classes are
unbalanced.
"""
NEIGHBOURS = 40
"""Neighbours that vote; at most a quarter of the label's class, at least `FEWEST_NEIGHBOURS`."""
MIN_NEIGHBOURS = 5
TRUSTED = 0.5
"""Share of its best class's votes that a voting neighbour's label needs."""
MAX_SHARE_BY_NEIGHBOURS = 0.03
"""Part of its class's threshold below which a label looks wrong."""
MIN_AGREEMENT = 0.6
"""Share of labels confirmed by neighbours below which they cannot judge."""
MIN_IN_RARE = 0.9
"""The same share of a class with less than 1/`MAX_CLASS_RATIO` of the images of the largest."""
MAX_PRODUCTS = 1e12
"""Multiplications of the search above which neighbours come from a sample."""
QUERIES_AT_ONCE = 1024


def check(data: AuditInput) -> Fields:
    """Count images by class and split, and find labels that look wrong to nearest neighbours; none
    if these know too little, and none of recordings, whose pictures have no time.
    """
    labels, classes = data.labels, data.classes
    used = np.flatnonzero(data.split_code >= 0)
    counts = {
        "counts": data.counts(np.ones(len(labels), dtype=bool)),
        "class_splits": {name: data.counts(labels == k) for k, name in enumerate(classes)},
    }
    if len(used) < 2 or data.recordings:
        return counts
    vectors = gradients(data.images)
    given, best, highest = votes(vectors, labels, data.same, used, data.progress)
    agreement = float((best == labels[used]).mean())
    if agreement < MIN_AGREEMENT:
        return counts | {"labels": LabelCheck(examined=len(used), agreement=agreement, suspects=0)}
    is_unjudged = outvoted(labels[used], best == labels[used], len(classes))
    found = tuple(
        SuspectLabel(
            image=data.described(int(used[row])),
            suggested=classes[best[row]],
            given_probability=round(float(given[row]), 4),
            suggested_probability=round(float(highest[row]), 4),
        )
        for row in suspects(labels[used], given, best, highest, MAX_SHARE_BY_NEIGHBOURS)
        if not is_unjudged[labels[used[row]]]
    )
    unjudged = tuple(classes[k] for k in np.flatnonzero(is_unjudged))
    checked = LabelCheck(
        examined=len(used), agreement=agreement, suspects=len(found), unjudged=unjudged
    )
    shares: list[float | None] = [None] * len(labels)
    for row in np.flatnonzero(~is_unjudged[labels[used]]):
        shares[used[row]] = round(float(given[row]), 4)
    return counts | {
        "labels": checked,
        "details": {"labels": found, "label_shares": tuple(shares)},
    }


def outvoted(labels: np.ndarray, is_confirmed: np.ndarray, num_classes: int) -> np.ndarray:
    """Return True for rare classes whose neighbours are mostly of other classes, bool `[K]`: right
    labels look wrong there. `is_confirmed` `[N]`: the label is its neighbours' best class.
    """
    count = np.bincount(labels, minlength=num_classes)
    confirmed = np.bincount(labels, is_confirmed, num_classes)
    return (count * MAX_CLASS_RATIO < count.max()) & (confirmed < MIN_IN_RARE * count)


@finds("unbalanced_classes")
def unbalanced_classes(audit: Audit) -> Iterator[Values]:
    totals = {name: counts.total for name, counts in audit.class_splits.items()}
    most, least = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    if totals[most] > MAX_CLASS_RATIO * totals[least]:
        yield {
            "most": most,
            "most_images": totals[most],
            "least": least,
            "least_images": totals[least],
        }


@finds("classes_with_few_test_images")
def classes_with_few_test_images(audit: Audit) -> Iterator[Values]:
    class_counts = audit.class_splits
    if names := [name for name in class_counts if class_counts[name].test < MIN_TEST_IMAGES]:
        yield {"count": len(names), "few": MIN_TEST_IMAGES, "names": names}


@finds("class_shares_differ")
def class_shares_differ(audit: Audit) -> Iterator[Values]:
    class_counts, counts = audit.class_splits, audit.counts
    train = {
        name: counts_of.train / max(1, counts.train) for name, counts_of in class_counts.items()
    }
    test = {name: counts_of.test / max(1, counts.test) for name, counts_of in class_counts.items()}
    worst = max(class_counts, key=lambda name: abs(train[name] - test[name]))
    apart = abs(train[worst] - test[worst])
    if is_above_chance(train[worst] + apart, train[worst], counts.test):
        yield {"name": worst, "train_share": train[worst], "test_share": test[worst]}


@finds("labels_not_judged")
def labels_not_judged(audit: Audit) -> Iterator[Values]:
    if audit.labels and (names := audit.labels.unjudged):
        yield {"count": len(names), "names": names, "ratio": MAX_CLASS_RATIO}


@finds("labels_to_check")
def labels_to_check(audit: Audit) -> Iterator[Values]:
    if audit.labels and (count := audit.labels.suspects):
        examined = audit.labels.examined
        yield {"count": count, "share": count / examined, "examined": examined}


def suspects(
    labels: np.ndarray, given: np.ndarray, best: np.ndarray, highest: np.ndarray, most: float
) -> np.ndarray:
    """Return the indices of labels that look wrong, int64 `[M]`, most suspicious first.

    A model not trained on the image gives `labels` int `[N]` the probability `given` `[N]`, and its
    answer `best` int `[N]` the probability `highest` `[N]`. A label is suspect if the answer is
    another class, and `given` is less than `most` times its mean over images with this label.
    """
    count = np.bincount(labels)
    usual = (np.bincount(labels, given) / np.maximum(count, 1))[labels]
    suspect = np.flatnonzero((best != labels) & (given < most * usual))
    # `lexsort` sorts by its last key first.
    return suspect[np.lexsort((-highest[suspect], given[suspect] / usual[suspect]))]


def votes(
    vectors: Tensor, labels: np.ndarray, same: np.ndarray, used: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the votes of the nearest neighbours of images `used` `[M]` (ascending) by `vectors`
    `[N, D]`: the label's share `given`, the `best` class, its share `highest`, all `[M]`.

    A second vote counts only neighbours whose label the first supports. Equal images (equal `same`
    `[N]`) vote once, and not on their copies.
    """

    most = max(NEIGHBOURS + 1, int(MAX_PRODUCTS // (len(used) * vectors.shape[1])))
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
    asked = asked.clamp(MIN_NEIGHBOURS, NEIGHBOURS)[label]
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
        # The first vote stands where no neighbour is trusted.
        last = torch.where(second.sum(1, keepdim=True) > 0, second, shares(rows, counts[rows]))
        highest, best = last.max(1)
        voted.append((last.gather(1, label[rows, None])[:, 0], best, highest))
    given, best, highest = (torch.cat(parts) for parts in zip(*voted, strict=True))
    return given.numpy(), best.numpy(), highest.numpy()


def write_csv(
    path: Path, by_neighbours: Iterable[SuspectLabel], by_networks: Iterable[SuspectLabel] = ()
) -> None:
    """Write suspect labels, a row each, with their source ("neighbours" or "networks")."""
    names = ("index", "file", "split", "given", "suggested", "given_probability")
    rows: list[Sequence[object]] = [(*names, "suggested_probability", "source")]
    for source, suspects in (("neighbours", by_neighbours), ("networks", by_networks)):
        for suspect in suspects:
            image = suspect.image
            where = image.index, image.file or "", image.split, image.label, suspect.suggested
            shares = suspect.given_probability, suspect.suggested_probability
            rows.append((*where, *shares, source))
    files.write_csv(path, rows)
