import csv

import numpy as np
import torch

from spikeduel.data.auditing.labels import NEIGHBOURS, suspects, votes, write_csv
from spikeduel.results.audit import AuditedImage, SuspectLabel
from spikeduel.system.progress import Progress


def test_an_image_is_suspect_where_another_class_reaches_its_threshold():
    """By hand: class 0 gives itself 0.9, 0.7 and 0.05 (mean 0.55), class 1 gives itself 0.8 and 0.04 (mean 0.42)."""
    labels = np.array([0, 0, 0, 1, 1])
    given = np.array([0.9, 0.7, 0.05, 0.8, 0.04])
    best = np.array([0, 0, 1, 1, 0])
    assert suspects(labels, given, best, np.array([0.9, 0.7, 0.9, 0.8, 0.9])).tolist() == [0, 0, 1, 0, 1]
    # Too unsure of the other class; and, in the second, sure enough.
    assert suspects(labels, given, best, np.array([0.9, 0.7, 0.41, 0.8, 0.56])).tolist() == [0, 0, 0, 0, 1]


def test_a_label_that_is_not_improbable_is_left_alone():
    labels, best = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    for given, expected in ((0.1, False), (0.099, True)):
        found = suspects(labels, np.array([0.9, given, 0.85, 0.8]), best, np.array([0.9, 0.9, 0.85, 0.8]))
        assert found[1] == expected


def test_a_class_without_labels_is_never_suggested():
    assert not suspects(np.array([0, 0]), np.array([0.0, 0.9]), np.array([1, 0]), np.array([1.0, 0.9])).any()


def two_clouds(per_class: int = 40) -> tuple[torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    clouds = [torch.randn(per_class, 5, generator=generator) * 0.1 + place for place in (0.0, 3.0)]
    return torch.cat(clouds), np.repeat([0, 1], per_class)


def test_neighbours_find_planted_labels_and_nothing_else():
    small, truth = two_clouds()
    labels = truth.copy()
    labels[[3, 17, 50]] ^= 1
    everything = np.arange(len(labels))
    given, best, highest = votes(small, labels, everything, everything, Progress())
    assert np.flatnonzero(suspects(labels, given, best, highest)).tolist() == [3, 17, 50]
    assert (best == truth).all()
    given, best, highest = votes(small, truth, everything, everything, Progress())
    assert not suspects(truth, given, best, highest).any()


def test_votes_are_shares_of_the_nearest_by_brute_force():
    small, labels = torch.rand(60, 4, generator=torch.Generator().manual_seed(1)), np.arange(60) % 3
    used = np.arange(5, 60)
    given, best, highest = votes(small, labels, np.arange(60), used, Progress())
    for row, image in enumerate(used):
        distance = ((small[used] - small[image]) ** 2).sum(1).numpy()
        nearest = used[[other for other in np.argsort(distance) if used[other] != image][:NEIGHBOURS]]
        share = np.bincount(labels[nearest], minlength=3) / NEIGHBOURS
        np.testing.assert_allclose([given[row], highest[row]], [share[labels[image]], share.max()], rtol=1e-6)
        assert share[best[row]] == share.max()


def test_copies_with_one_wrong_label_do_not_vouch_for_each_other():
    small, labels = two_clouds()
    small, labels = torch.cat([small, small[:1].repeat(12, 1)]), np.concatenate([labels, np.ones(12, int)])
    labels[0], same = 1, np.concatenate([np.arange(80), np.zeros(12, int)])
    everything = np.arange(len(labels))
    given, best, highest = votes(small, labels, same, everything, Progress())
    assert suspects(labels, given, best, highest)[[0, *range(80, 92)]].all()


def test_the_table_has_a_row_for_each_label_and_source(tmp_path):
    image = AuditedImage(index=7, side="test", label="cat", file="cat/a, b.png")
    one = SuspectLabel(image=image, suggested="dog", given_probability=0.0, suggested_probability=0.9)
    with write_csv(tmp_path / "labels.csv", [one], [one]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == ["neighbours", "networks"]
    assert rows[0] | {"source": ""} == {
        "index": "7", "file": "cat/a, b.png", "side": "test", "given": "cat", "suggested": "dog",
        "given_probability": "0.0", "suggested_probability": "0.9", "source": "",
    }  # fmt: skip
