import numpy as np
from hypothesis import example, given, strategies as st

from spikeduel.results.pareto import front


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
# Of five: beaten by the second, the cheapest, the best, beaten by the third, as the second, dearer.
@example([(3, 6), (1, 7), (5, 9), (6, 8), (2, 7)])
def test_the_front_is_what_no_other_beats(pairs):
    """And of equal points, the first."""
    points = np.array(pairs, float)
    indices = front(*points.T)
    for index, (cost, accuracy) in enumerate(points):
        beaten = (points[:, 0] <= cost) & (points[:, 1] >= accuracy)
        beaten &= (points != points[index]).any(1)
        first = (points == points[index]).all(1).argmax()
        assert (index in indices) == (not beaten.any() and first == index)
    assert (np.diff(points[indices], axis=0) > 0).all()
