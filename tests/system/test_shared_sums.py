from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import numpy as np
import pytest

from spikeduel.system.shared_sums import MOST_BYTES, OthersLeft, SharedSums


def made(size, patience=60.0):
    memory = np.zeros(SharedSums.shape(size))
    return [SharedSums(memory, rank, patience) for rank in range(size)]


@pytest.mark.parametrize("size", [2, 3])
def test_all_get_the_same_sum_of_all(size, random):
    lengths = (1, 7, 100, MOST_BYTES // 8, MOST_BYTES // 4 + 9, 3) * 20
    calls = [
        random.normal(size=(size, length)).astype(dtype)
        for length, dtype in zip(
            lengths, cycle([np.float64, np.float32, np.float64, np.float64]), strict=False
        )
    ]

    def work(rank, sums):
        own = [numbers[rank].copy() for numbers in calls]
        for each in own:
            sums.sum(each)
        return own

    with ThreadPoolExecutor(size) as pool:
        found = list(pool.map(work, range(size), made(size)))
    for numbers, *of_all in zip(calls, *found, strict=True):
        for each in of_all:
            assert np.array_equal(each, numbers.sum(0))


def test_who_has_left_is_waited_for_no_more():
    one, other = made(2)
    other.leave()
    with pytest.raises(OthersLeft):
        one.sum(np.ones(3))


def test_who_has_left_after_its_part_is_no_loss():
    one, other = made(2)
    its, own = np.ones(3), np.ones(3)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(one.sum, its)
        other.sum(own)
        other.leave()
        coming.result()
    assert its.tolist() == own.tolist() == [2, 2, 2]


def test_patience_has_an_end():
    one, _ = made(2, patience=0.05)
    with pytest.raises(OthersLeft):
        one.sum(np.ones(3))
