"""The Pareto front, against its definition."""

import pytest
from hypothesis import given, settings, strategies as st

from spikeduel.results.pareto import front

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


@given(POINTS)
@settings(deadline=None)
def test_no_point_has_more_accuracy_for_at_most_the_same_cost(points):
    costs, accuracies = zip(*points, strict=True) if points else ((), ())
    expected = {
        (cost, accuracy)
        for cost, accuracy in points
        if not any(
            (other <= cost and more > accuracy) or (other < cost and more >= accuracy)
            for other, more in points
        )
    }
    on_front = [points[index] for index in front(costs, accuracies)]
    assert on_front == sorted(expected)


def test_another_front_fails(monkeypatch):
    def of_all(costs, accuracies):
        return sorted(range(len(costs)), key=costs.__getitem__)

    monkeypatch.setattr(front, "__code__", of_all.__code__)
    with pytest.raises(AssertionError):
        test_no_point_has_more_accuracy_for_at_most_the_same_cost()
