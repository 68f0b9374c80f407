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
"""Neighbours that vote; at most a quarter of the label's class, at least `MIN_NEIGHBOURS`."""
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
    fields: Fields = {
        "counts": data.counts(np.ones(len(labels), dtype=bool)),
        "class_splits": {name: data.counts(labels == k) for k, name in enumerate(classes)},
    }
    if len(used) < 2 or data.recordings:
        return fields
    vectors = gradients(data.images)
    of_label, best, highest = votes(vectors, labels, data.same, used, data.progress)
    agreement = float((best == labels[used]).mean())
    if agreement < MIN_AGREEMENT:
        fields["labels"] = LabelCheck(examined=len(used), agreement=agreement, suspects=0)
        return fields
    is_unjudged = outvoted(labels[used], best == labels[used], len(classes))
    suspect_labels = tuple(
        SuspectLabel(
            image=data.described(int(used[row])),
            suggested=classes[best[row]],
            given_probability=round(float(of_label[row]), 4),
            suggested_probability=round(float(highest[row]), 4),
        )
        for row in suspects(labels[used], of_label, best, highest, MAX_SHARE_BY_NEIGHBOURS)
        if not is_unjudged[labels[used[row]]]
    )
    label_shares: list[float | None] = [None] * len(labels)
    for row in np.flatnonzero(~is_unjudged[labels[used]]):
        label_shares[used[row]] = round(float(of_label[row]), 4)
    fields["labels"] = LabelCheck(
        examined=len(used),
        agreement=agreement,
        suspects=len(suspect_labels),
        unjudged=tuple(classes[k] for k in np.flatnonzero(is_unjudged)),
    )
    fields["details"] = {"labels": suspect_labels, "label_shares": tuple(label_shares)}
    return fields


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
    if names := [name for name, counts in class_counts.items() if counts.test < MIN_TEST_IMAGES]:
        yield {"count": len(names), "few": MIN_TEST_IMAGES, "names": names}


@finds("class_shares_differ")
def class_shares_differ(audit: Audit) -> Iterator[Values]:
    num_train, num_test = max(1, audit.counts.train), max(1, audit.counts.test)
    shares = {
        name: (counts.train / num_train, counts.test / num_test)
        for name, counts in audit.class_splits.items()
    }
    name, (train, test) = max(shares.items(), key=lambda item: abs(item[1][0] - item[1][1]))
    if is_above_chance(train + abs(train - test), train, audit.counts.test):
        yield {"name": name, "train_share": train, "test_share": test}


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
    labels: np.ndarray,
    of_label: np.ndarray,
    best: np.ndarray,
    highest: np.ndarray,
    max_share: float,
) -> np.ndarray:
    """Return the indices of labels that look wrong, int64 `[M]`, most suspicious first.

    A model not trained on the image gives `labels` int `[N]` the probability `of_label` `[N]`, and
    its prediction `best` int `[N]` the probability `highest` `[N]`. A label is suspect if the
    prediction is another class, and `of_label` is less than `max_share` times its mean over images
    with this label.
    """
    count = np.bincount(labels)
    usual = (np.bincount(labels, of_label) / np.maximum(count, 1))[labels]
    suspect = np.flatnonzero((best != labels) & (of_label < max_share * usual))
    # `lexsort` sorts by its last key first.
    return suspect[np.lexsort((-highest[suspect], of_label[suspect] / usual[suspect]))]


def votes(
    vectors: Tensor, labels: np.ndarray, same: np.ndarray, used: np.ndarray, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the votes of the nearest neighbours of images `used` `[M]` (ascending) by `vectors`
    `[N, D]`: the label's share, the best class, and its share, `[M]` each.

    A second vote counts only neighbours whose label the first supports. Equal images (equal `same`
    `[N]`) vote once, and not on their copies.
    """
    label = torch.from_numpy(labels[used])
    num_classes = int(label.max()) + 1
    blocks = [slice(k, k + QUERIES_AT_ONCE) for k in range(0, len(used), QUERIES_AT_ONCE)]
    neighbours, weights = _voters(vectors, label, same[used], used, blocks, progress)

    def shares(rows: slice, weights: Tensor) -> Tensor:
        total = torch.zeros(len(weights), num_classes)
        total.scatter_add_(1, label[neighbours[rows]], weights)
        return total / total.sum(1, keepdim=True).clamp_min(1)

    is_trusted = torch.zeros(len(used), dtype=torch.bool)
    for rows in blocks:
        first = shares(rows, weights[rows])
        is_trusted[rows] = first.gather(1, label[rows, None])[:, 0] >= TRUSTED * first.amax(1)
    votes_of_blocks = []
    for rows in blocks:
        second = shares(rows, weights[rows] * is_trusted[neighbours[rows]])
        # The first vote stands where no neighbour is trusted.
        last = torch.where(second.sum(1, keepdim=True) > 0, second, shares(rows, weights[rows]))
        highest, best = last.max(1)
        votes_of_blocks.append((last.gather(1, label[rows, None])[:, 0], best, highest))
    of_label, best, highest = (torch.cat(parts) for parts in zip(*votes_of_blocks, strict=True))
    return of_label.numpy(), best.numpy(), highest.numpy()


def _voters(
    vectors: Tensor,
    label: Tensor,
    same: np.ndarray,
    used: np.ndarray,
    blocks: list[slice],
    progress: Progress,
) -> tuple[Tensor, Tensor]:
    """Return the nearest neighbours of M images, places among these, int64 `[M, K]`, and the weight
    of each vote, 0 or 1, float32 `[M, K]`. Of very many images a sample votes.
    """
    max_voters = max(NEIGHBOURS + 1, int(MAX_PRODUCTS // (len(used) * vectors.shape[1])))
    voters = np.unique(same, return_index=True)[1]
    if len(voters) > max_voters:
        voters = np.sort(np.random.default_rng(0).choice(voters, max_voters, replace=False))
    references, image_id = vectors[used[voters]], torch.from_numpy(same)
    half_square = references.square().sum(1) / 2
    num_nearest = min(NEIGHBOURS, len(voters) - 1)
    neighbours = torch.zeros(len(used), num_nearest, dtype=torch.int64)
    weights = torch.zeros(len(used), num_nearest)
    num_voting = label[voters].bincount(minlength=int(label.max()) + 1) // 4
    num_voting = num_voting.clamp(MIN_NEIGHBOURS, NEIGHBOURS)[label]
    for rows in progress.track(blocks, "comparing labels of neighbours", len(blocks)):
        distance = torch.addmm(half_square, vectors[used[rows]], references.T, alpha=-1)
        distance[image_id[rows][:, None] == image_id[voters]] = float("inf")
        columns = lowest(distance, num_nearest)
        neighbours[rows] = torch.from_numpy(voters)[columns]
        is_voting = torch.arange(num_nearest) < num_voting[rows, None]
        weights[rows] = (torch.isfinite(distance.gather(1, columns)) & is_voting).float()
    return neighbours, weights


def write_csv(
    path: Path, by_neighbours: Iterable[SuspectLabel], by_networks: Iterable[SuspectLabel] = ()
) -> None:
    """Write suspect labels, a row each, with their source ("neighbours" or "networks")."""
    names = ("index", "file", "split", "given", "suggested", "given_probability")
    rows: list[Sequence[object]] = [(*names, "suggested_probability", "source")]
    for source, suspect_labels in (("neighbours", by_neighbours), ("networks", by_networks)):
        for suspect in suspect_labels:
            image = suspect.image
            named = image.index, image.file or "", image.split, image.label, suspect.suggested
            probabilities = suspect.given_probability, suspect.suggested_probability
            rows.append((*named, *probabilities, source))
    files.write_csv(path, rows)
