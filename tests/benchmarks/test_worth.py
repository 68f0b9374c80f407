"""The page that says when a spiking network is worth it says what the results say."""

import pytest

pytest.importorskip("spikeduel.features.compression")
pytest.importorskip("spikeduel.features.device_energy")
from benchmarks.energy import worth
from spikeduel.features.device_energy.device_models import models
from spikeduel.features.device_energy.targets import NEWEST


def test_the_page_is_made_of_the_results():
    assert worth.PAGE.read_text(encoding="utf-8") == worth.page()


def test_the_answers_are_those_of_the_results():
    """The page's answers are fixed text; these are the results that they stand for."""
    families = worth.times_by_family()
    assert families.keys() == worth.FAMILIES.keys()
    assert all(ratio.result != "less" for of in families.values() for ratio in of.values())
    assert {ratio.result for ratio in families["vgg-lif"].values()} == {"more"}
    results = {
        board: {one.result for one in of.values()} for board, of in worth.by_device().items()
    }
    for board, found in results.items():
        if "other" in models()[NEWEST[board]]:
            assert found == {"more"}
        else:
            assert "less" not in found
    assert {"open"} in results.values()
    arithmetic = worth.costs("arithmetic")[worth.COST_COLUMNS[worth.EVENTS]]
    assert arithmetic.counts.keys() == {"less"}


def test_results_are_counted_in_words():
    assert worth.counted(["more", "open", "more"]) == "more in 2 of 3, open in 1 of 3"
