import threading
import time

import pytest

from spikeduel.data.workers import AHEAD, MAX_THREADS, over_files
from spikeduel.system.errors import InputError, UnreadableFiles


def unchanged(items, description, total):
    return items


@pytest.mark.parametrize("at_once", [1, 3])
def test_results_come_in_order_and_threads_are_never_far_ahead(at_once):
    furthest, begun, lock = [], [0], threading.Lock()

    def look(row, source):
        with lock:
            begun[0] += 1
        time.sleep(0.001 * (row % 3))
        return source * 2

    for row, result in over_files(look, range(400), unchanged, "reading", at_once=at_once):
        assert (row, result) == (len(furthest), 2 * row)
        furthest.append(begun[0] - row)
    assert len(furthest) == 400
    assert max(furthest) <= at_once * (AHEAD * MAX_THREADS + 2)


@pytest.mark.parametrize("at_once", [1, 4])
def test_all_that_fail_are_named_after_the_others_were_read(at_once):
    def look(row, source):
        if row in (2, 5):
            raise InputError(f"cut off at byte {row}")
        return row

    read, sources = [], [f"file {row}" for row in range(7)]
    with pytest.raises(UnreadableFiles) as caught:
        for row, _ in over_files(look, sources, unchanged, "reading", at_once=at_once):
            read.append(row)
    assert caught.value.files == {"file 2": "cut off at byte 2", "file 5": "cut off at byte 5"}
    assert read == [0, 1, 3, 4, 6]
