import numpy as np
import torch

from spikeduel.auditing.labels import (
    MIN_NEIGHBOURS,
    NEIGHBOURS,
    TRUSTED,
    outvoted,
    suspects,
    votes,
)
from spikeduel.system.progress import Progress

MAX_SHARE = 0.05


def test_a_label_is_suspect_far_below_the_threshold_of_its_class():
    # Class 0 gives itself 0.95, 0.9, 0.03 and 0.04 (mean 0.48), class 1 0.2 and 0.004 (0.102).
    labels = np.array([0, 0, 0, 0, 1, 1])
    of_label = np.array([0.95, 0.9, 0.03, 0.04, 0.2, 0.004])
    best = np.array([0, 0, 1, 1, 1, 0])
    highest = 1 - of_label
    # Parts of the threshold: 0.0625 and 0.083 of class 0, 0.039 of class 1.
    assert suspects(labels, of_label, best, highest, 0.07).tolist() == [5, 2]
    assert suspects(labels, of_label, best, highest, 0.09).tolist() == [5, 2, 3]
    assert suspects(labels, of_label, np.array([0, 0, 0, 1, 1, 0]), highest, 0.09).tolist() == [
        5,
        3,
    ]


def two_clouds(per_class: int = 40, others: int | None = None) -> tuple[torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    sizes = (per_class, others or per_class)
    clouds = [torch.randn(n, 5, generator=generator) * 0.1 + 3.0 * k for k, n in enumerate(sizes)]
    return torch.cat(clouds), np.repeat([0, 1], sizes)


def suspected(
    vectors: torch.Tensor, labels: np.ndarray, same: np.ndarray | None = None
) -> list[int]:
    everything = np.arange(len(labels))
    of_label, best, highest = votes(
        vectors, labels, everything if same is None else same, everything, Progress()
    )
    return sorted(suspects(labels, of_label, best, highest, MAX_SHARE).tolist())


def test_neighbours_find_planted_labels_and_nothing_else():
    vectors, truth = two_clouds()
    labels = truth.copy()
    labels[[3, 17, 50]] ^= 1
    assert suspected(vectors, labels) == [3, 17, 50]
    assert suspected(vectors, truth) == []


def test_a_fifth_of_wrong_labels_in_one_class_do_not_vouch_for_each_other():
    vectors, truth = two_clouds(120)
    labels = truth.copy()
    wrong = np.random.default_rng(0).permutation(120)[:24]
    labels[wrong] = 1
    assert suspected(vectors, labels) == sorted(wrong.tolist())


def test_votes_are_shares_of_the_nearest_by_brute_force():
    random = np.random.default_rng(1)
    vectors, labels = (
        torch.rand(90, 4, generator=torch.Generator().manual_seed(1)),
        np.arange(90) % 3,
    )
    labels[random.permutation(90)[:30]] = 0
    used = np.arange(5, 90)
    of_label, best, highest = votes(vectors, labels, np.arange(90), used, Progress())
    count = np.bincount(labels[used])
    nearest = {}
    for image in used:
        distance = ((vectors[used] - vectors[image]) ** 2).sum(1).numpy()
        order = [other for other in used[np.argsort(distance)] if other != image]
        nearest[image] = order[: np.clip(count[labels[image]] // 4, MIN_NEIGHBOURS, NEIGHBOURS)]
    first = {image: np.bincount(labels[their], minlength=3) for image, their in nearest.items()}
    trusted = {
        image for image in used if first[image][labels[image]] >= TRUSTED * first[image].max()
    }
    assert 0 < len(trusted) < len(used)
    for row, image in enumerate(used):
        their = [other for other in nearest[image] if other in trusted] or nearest[image]
        share = np.bincount(labels[their], minlength=3) / len(their)
        np.testing.assert_allclose(
            [of_label[row], highest[row]], [share[labels[image]], share.max()], rtol=1e-6
        )
        assert share[best[row]] == share.max()


def test_copies_with_one_wrong_label_do_not_vouch_for_each_other():
    vectors, labels = two_clouds()
    vectors, labels = (
        torch.cat([vectors, vectors[:1].repeat(12, 1)]),
        np.concatenate([labels, np.ones(12, int)]),
    )
    labels[0], same = 1, np.concatenate([np.arange(80), np.zeros(12, int)])
    assert suspected(vectors, labels, same) == [0, *range(80, 92)]


def test_right_labels_of_a_rare_class_among_others_are_not_judged():
    vectors, labels = two_clouds(300, others=12)
    # Every second rare image looks like the common class.
    vectors[300::2] -= 3.0
    of_label, best, _ = votes(vectors, labels, np.arange(312), np.arange(312), Progress())
    assert of_label[300::2].max() == 0
    assert outvoted(labels, best == labels, 2).tolist() == [False, True]
    # Where it keeps to itself, or is no rarer than the limit, it is judged.
    assert outvoted(labels, np.full(312, True), 2).tolist() == [False, False]
    assert outvoted(labels[240:], best[240:] == labels[240:], 2).tolist() == [False, False]
