import numpy as np
import pytest
from scipy.stats.contingency import association

from spikeduel.data.auditing.formats import cramers_v, formats


def test_a_type_that_gives_the_class_away():
    labels = np.tile([0, 1], 50)
    listed = tuple(("PNG", "L", 8, 8) if label else ("JPEG", "L", 8, 8) for label in labels)
    side = np.repeat([0, 2], 50)
    (row,) = formats(listed, labels, side)
    assert (row["property"], row["class_accuracy"], row["class_chance"]) == ("file type", 1.0, 0.5)
    assert row["values"] == {"JPEG": 50, "PNG": 50}
    assert row["split_association"] == 0.0


def test_sizes_never_seen_in_training_tell_nothing():
    labels = np.tile([0, 1, 1], 20)
    listed = tuple(("PNG", "L", k + 1, 5) for k in range(60))
    (row,) = formats(listed, labels, np.repeat([0, 2], 30))
    assert row["num_values"] == 60
    assert row["class_accuracy"] == row["class_chance"] == pytest.approx(2 / 3)


def test_one_format_has_nothing_to_tell():
    assert formats((("PNG", "L", 8, 8),) * 4, np.array([0, 1, 0, 1]), np.array([0, 0, 2, 2])) == []


def test_cramers_v_is_one_where_one_decides_the_other_and_near_scipys():
    a = np.tile([0, 1, 2], 100)
    assert cramers_v(a, (a + 1) % 3) == pytest.approx(1)
    assert cramers_v(a, np.repeat([0, 1, 2], 100)) == 0
    assert cramers_v(a, np.zeros(300)) == 0
    random = np.random.default_rng(0)
    b = np.where(random.random(300) < 0.5, a, random.integers(0, 3, 300))
    table = np.zeros((3, 3), int)
    np.add.at(table, (a, b), 1)
    assert cramers_v(a, b) == pytest.approx(association(table), abs=0.02)
