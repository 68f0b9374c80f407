import numpy as np
import pytest

from spikeduel.statistics import clusters, numbered


@pytest.mark.parametrize("groups", [[7, 2, 7, 5], ["z", "b", "z", "a"], np.array([7, 2, 7, 5])])
def test_groups_are_numbered_as_they_appear(groups):
    assert clusters(groups).tolist() == numbered(list(groups)).tolist() == [0, 1, 0, 2]
