import threading
import time

import pytest

from spikeduel.data.workers import over_files
from spikeduel.system.errors import InputError, UnreadableFiles


def unchanged(items, description, total):
    return items


def test_results_come_in_order_and_threads_are_never_far_ahead():
    taken, furthest, begun, lock = [], [], [0], threading.Lock()

    def look(row):
        with lock:
            begun[0] += 1
        time.sleep(0.001 * (row % 3))
        return row

    def keep(row):
        taken.append(row)
        furthest.append(begun[0] - row)

    over_files(look, [str(row) for row in range(400)], unchanged, "reading", keep=keep)
    assert taken == list(range(400))
    assert max(furthest) <= 4 * 8 + 1


def test_who_stops_in_between_waits_for_few():
    begun = []

    def stopped(row):
        if row == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        over_files(
            lambda row: begun.append(row) or row,
            [str(k) for k in range(10_000)],
            unchanged,
            "",
            keep=stopped,
        )
    assert len(begun) < 200


def test_all_that_fail_are_named():
    def look(row):
        if row in (2, 5):
            raise InputError(f"cut off at byte {row}")
        return row

    with pytest.raises(UnreadableFiles) as caught:
        over_files(look, [f"file {k}" for k in range(7)], unchanged, "reading")
    assert caught.value.files == {"file 2": "cut off at byte 2", "file 5": "cut off at byte 5"}
