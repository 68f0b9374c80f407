import pytest

from benchmarks.energy.counters import Case, cases, judged, ours
from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.counting.ledger import SPIKES

CASES = {case.name: case for case in cases()}


@pytest.mark.parametrize("name", CASES)
def test_ours_counts_what_is_counted_by_hand(name):
    if name == "a loop over 4 steps":
        pytest.importorskip("snntorch")
    assert ours(CASES[name]) == CASES[name].hand


def test_a_loop_counts_its_first_layer_at_every_step_too():
    pytest.importorskip("snntorch")
    case = CASES["a loop over 4 steps"]
    module = case.module()
    counter = Counter(module)
    counter.run(lambda: module(case.x), case.x, 1)
    assert counter.operations().totals.macs.dense.per_step == 4 * 8 * 4


def test_a_count_that_differs_from_its_definition_or_by_hand_is_marked():
    right = CASES["spikes, one layer"]
    wrong = Case(right.name, right.module, right.x, SPIKES, (0, 10), {"spikeduel": (0, 9)})
    assert judged(right, "spikeduel")["as_by_hand"]
    assert not judged(wrong, "spikeduel")["as_by_hand"]
    assert judged(wrong, "spikeduel")["as_defined"]
