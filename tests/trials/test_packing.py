"""A trial that goes from one store to another."""

from spikeduel.system import files
from spikeduel.trials.clusters import PackedTrial
from spikeduel.trials.store import Store

KEY = "0123456789abcdef"


def test_a_store_has_afterwards_what_the_other_one_has_and_no_more(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    here.save_failed_measures(KEY, {"latency": "no time"})
    here.save_measure(KEY, "classification", {"n": 1})
    files.write_text(here.checkpoint_path(KEY), "after the first epoch")
    PackedTrial.of(here, KEY).write_to(there)
    # The worker goes on, and finishes.
    there.checkpoint_path(KEY).unlink()
    there.save_failed_measures(KEY, {})
    there.save_measure(KEY, "latency", {"seconds": 1.0})
    PackedTrial.of(there, KEY).write_to(here)
    assert here.failed_measures(KEY) == {}
    assert not here.checkpoint_path(KEY).exists()
    assert sorted(path.name for path in here.folder(KEY).glob("measures/*")) == [
        "classification.json",
        "latency.json",
    ]
    assert PackedTrial.of(here, KEY) == PackedTrial.of(there, KEY)
