import math

import numpy as np
import pytest

import spikeduel as sd
from spikeduel.results import significance
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.system.errors import InputError

LABELS = [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("seeds", "groups", "reservation"),
    [
        (3, None, Reservation.TOO_FEW_SEEDS),
        (6, np.arange(800) // 200, Reservation.TOO_FEW_GROUPS),
        (3, np.arange(800) // 200, Reservation.TOO_FEW_SEEDS),
        (6, None, None),
    ],
)
def test_a_difference_that_excludes_0_says_why_neither_is_better(seeds, groups, reservation):
    rng = np.random.default_rng(0)
    a, b = (rng.random((seeds, 800)) < share for share in (0.99, 0.5))
    difference = significance.difference(a, b, groups)
    assert difference.excludes_zero
    assert difference.reservation is reservation
    assert difference.conclusion.better == (reservation is None)
    assert significance.difference(a, a, groups).reservation is None


def test_unbalanced_classes_count_alike():
    # 120 negatives and 12 positives. a misses six negatives, b three positives.
    labels = np.repeat([0, 1], [120, 12])
    a, b = labels.copy(), labels.copy()
    a[:6], b[120:123] = 1, 0
    result = sd.compare_predictions(labels, a, b)
    assert (result.measure, result.difference) == ("balanced_accuracy", pytest.approx(0.1))
    # A positive weighs as much as ten negatives: of 2^9 signs, those of the three positives decide.
    flips = [
        abs(10 * positives - negatives) >= 24
        for positives in (3, 1, -1, -3)
        for negatives in (6, 4, 2, 0, -2, -4, -6)
    ]
    ways = [x * y for x in (1, 3, 3, 1) for y in (1, 6, 15, 20, 15, 6, 1)]
    assert result.p_value == pytest.approx(np.dot(flips, ways) / 2**9)
    # With five negatives for each positive, or fewer than ten positives, all images count alike.
    for chosen, difference in ((slice(60, None), 3 / 72), (slice(-3), -3 / 129)):
        fewer = sd.compare_predictions(labels[chosen], a[chosen], b[chosen])
        assert (fewer.measure, fewer.difference) == ("accuracy", pytest.approx(difference))


@pytest.mark.parametrize(("seeds", "groups"), [(1, None), (6, None), (1, 4), (6, 4)])
def test_a_rare_class_decides_no_less_than_a_frequent_one(seeds, groups):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [1900, 100])
    rng.shuffle(labels)
    # a finds nine in ten positives, b a third, with fewer false alarms.
    a, b = (
        np.where(
            rng.random((seeds, 2000)) < np.where(labels, recall, specificity), labels, 1 - labels
        )
        for recall, specificity in ((0.9, 0.95), (0.33, 0.99))
    )
    names = None if groups is None else np.arange(2000) // groups
    result = sd.compare_predictions(labels, a, b, names)
    assert (a == labels).mean() < (b == labels).mean()
    assert result.conclusion is Conclusion.A_BETTER
    assert result.ci95[0] < 0.265 < result.ci95[1]
    assert result.difference == pytest.approx(0.265, abs=0.05)


def test_a_difference_prints_as_one_line():
    labels, right, wrong = np.arange(400) % 4, np.arange(400) % 4, (np.arange(400) + 1) % 4
    text = str(sd.compare_predictions(labels, np.where(labels == 0, wrong, right), right))
    assert text.startswith("a − b: −25.00 points, 95 % interval −")
    assert text.endswith(": b better")


@pytest.mark.parametrize(
    ("accuracy", "margin"), [(0.9, 0.005), (0.98, 0.005), (0.99, 0.0025), (0.998, 0.0005)]
)
def test_the_margin_is_at_most_a_quarter_of_the_errors(accuracy, margin):
    right = np.arange(1000)[None] < 1000 * accuracy
    assert significance.difference(right & False, right).margin == pytest.approx(margin)
    assert significance.difference(right, right, margin=0.01).margin == 0.01


def test_labels_may_be_text_and_seeds_rows():
    labels = ["cat", "dog", "dog"]
    result = sd.compare_predictions(
        labels, [labels, labels], [["cat", "cat", "dog"], ["cat", "cat", "dog"]]
    )
    assert (result.seeds, result.n) == (2, 3)
    assert result.difference == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"labels": []}, r"labels must have one entry for each image, \[N\], not the shape \[0\]"),
        ({"labels": 3}, "labels must have one entry for each image"),
        ({"labels": [LABELS]}, "labels must have one entry for each image"),
        ({"predictions_a": LABELS[:-1]}, "predictions_a must have one entry for each image"),
        (
            {"predictions_b": np.zeros((0, 6))},
            r"predictions_b must have .*, \[6\] or \[seeds, 6\]",
        ),
        ({"predictions_b": [LABELS, LABELS]}, "a has 1 and b 2 seeds"),
        (
            {"predictions_b": [LABELS, LABELS[:-1]]},
            "predictions_b: its rows have different lengths",
        ),
        ({"predictions_a": [0, 1, 2, 0, 1, math.nan]}, "predictions_a has missing values"),
        ({"predictions_a": [0, 1, 2, 0, 1, 0.3]}, "not scores or probabilities"),
        ({"predictions_a": [0, 1, 2, 0, 1, None]}, "predictions_a must be whole numbers or text"),
        ({"predictions_a": ["a"] * 6}, "must both be numbers, or both be text"),
        ({"groups": [1, 2]}, r"groups must have one entry for each image, \[6\]"),
        ({"margin": -0.1}, "margin must be a fraction"),
    ],
)
def test_what_cannot_be_compared_is_named(changes, problem):
    arguments = {"labels": LABELS, "predictions_a": LABELS, "predictions_b": LABELS, **changes}
    with pytest.raises(InputError, match=problem):
        sd.compare_predictions(**arguments)
