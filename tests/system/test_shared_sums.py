from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from spikeduel.system.shared_sums import MOST_NUMBERS, OthersLeft, SharedSums


def made(size, patience=60.0):
    memory = np.zeros((2, size, 2 + MOST_NUMBERS))
    return [SharedSums(memory, rank, patience) for rank in range(size)]


@pytest.mark.parametrize("size", [2, 3])
def test_all_get_the_same_sum_of_all(size, random):
    calls = [random.normal(size=(size, length)) for length in (1, 7, 100, MOST_NUMBERS, 3) * 40]

    def work(rank, sums):
        return [sums.sum(numbers[rank]) for numbers in calls]

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
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(one.sum, np.ones(3))
        assert np.array_equal(other.sum(np.ones(3)), [2, 2, 2])
        other.leave()
        assert np.array_equal(coming.result(), [2, 2, 2])


def test_patience_has_an_end():
    one, _ = made(2, patience=0.05)
    with pytest.raises(OthersLeft):
        one.sum(np.ones(3))
