import hashlib
import json
import os
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace

from factories import record
from forked import Forked
from spikeduel.evaluation.correctness import classified
from spikeduel.results.trials import Classification, EncodingDeviation
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.training.store import Store, images_digest

WEIGHTS = b"weights"
RECORD = record(key="k1", model_digest=hashlib.sha256(WEIGHTS).hexdigest())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trials")


def keep(store, record=RECORD):
    store.save(record)
    store.model_path(record.key).write_bytes(WEIGHTS)


def test_a_record_comes_back_as_it_was(store):
    assert store.record("k1") is None
    keep(store)
    assert store.record("k1") == RECORD
    assert store.record("k2") is None
    assert RECORD.best == RECORD.history[1]
    assert (RECORD.fold, replace(RECORD, settings={"data": {"fold": 2}}).fold) == (None, 2)


def test_a_failed_trial_counts_as_absent(store):
    keep(store, replace(RECORD, status="failed", error="it broke"))
    assert store.record("k1") is None
    # The record is still there for whoever looks.
    assert json.loads((store.folder("k1") / "trial.json").read_text())["error"] == "it broke"


def test_measures_lie_beside_the_trial_one_file_each(store):
    keep(store)
    assert store.measure("k1", "encoding_deviation", EncodingDeviation) is None
    deviation = EncodingDeviation(accuracies=[0.25, 0.75], standard_deviation=0.5)
    store.save_measure("k1", "encoding_deviation", deviation)
    store.save_measure("k1", "own_code:speed", {"seconds": None})
    assert store.measure("k1", "encoding_deviation", EncodingDeviation) == deviation
    assert store.measure("k1", "own_code:speed", dict) == {"seconds": None}
    names = {path.name for path in (store.folder("k1") / "measures").iterdir()}
    assert names == {"encoding_deviation.json", "own_code.speed.json"}
    assert store.record("k1") == RECORD


def test_what_another_measure_found_counts_as_absent(store):
    store.save_measure("k1", "encoding_deviation", {"standard_deviation": -1})
    assert store.measure("k1", "encoding_deviation", EncodingDeviation) is None
    store.save_measure("k1", "classification", EncodingDeviation())
    assert store.measure("k1", "classification", Classification) is None


def test_numbers_that_json_cannot_say_are_refused_and_nothing_is_left(store):
    keep(store)
    with pytest.raises(ValueError, match="JSON"):
        store.save(replace(RECORD, epoch_seconds=[float("nan")]))
    assert store.record("k1") == RECORD
    assert sorted(path.name for path in store.folder("k1").iterdir()) == [
        "model.safetensors",
        "trial.json",
    ]


def test_a_second_process_waits_for_the_trial(store):
    def asking():
        with Store(store.root).locked("k1", lambda: print("waits")):
            print("has it")

    with store.locked("k1"):
        with store.locked("k2"):
            pass  # another trial is free
        other = Forked(asking)
        assert next(iter(other)) == "waits"
        assert os.waitpid(other.pid, os.WNOHANG) == (0, 0)
    assert other.ended() == (0, ["has it"])


# ---- damage


def damaged(whole, random):
    """`whole` cut at several lengths, and with single bits changed."""
    yield from (whole[:length] for length in (0, 1, len(whole) // 3, len(whole) - 3))
    for place in random.integers(0, len(whole) - 2, 30):
        yield (
            whole[:place]
            + bytes([whole[place] ^ 1 << int(random.integers(7))])
            + whole[place + 1 :]
        )


@pytest.mark.parametrize("name", ["trial.json", "model.safetensors"])
def test_any_damage_is_noticed_and_named(name, store, random):
    keep(store)
    store.model_path("k1").write_bytes(random.bytes(300))
    store.save(replace(RECORD, model_digest=files.checksum(store.model_path("k1"))))
    before = store.read("k1")
    path = store.folder("k1") / name
    whole = path.read_bytes()
    for content in damaged(whole, random):
        path.write_bytes(content)
        if (record := store.record("k1")) is not None:
            # Only where JSON does not mind, such as a space that became another blank.
            assert (name, record) == ("trial.json", before)
            continue
        with pytest.raises(InputError, match=name):
            store.read("k1")
    path.unlink()
    assert store.record("k1") is None
    path.write_bytes(whole)
    assert store.record("k1") is not None


def test_a_damaged_measure_counts_as_absent(store, random):
    value = classified(("a", "b"), np.array([0] * 20), np.arange(20) % 2)
    store.save_measure("k1", "classification", value)
    path = store.measure_path("k1", "classification")
    whole = path.read_bytes()
    for content in damaged(whole, random):
        path.write_bytes(content)
        assert store.measure("k1", "classification", Classification) in (None, value)
    decoded = json.loads(whole)
    for content in (
        b"[]",
        b"{" * 100_000,
        whole.replace(b"0.5", b"0.6"),
        json.dumps(decoded | {"digest": 3}).encode(),
        json.dumps({name: decoded[name] for name in decoded if name != "digest"}).encode(),
    ):
        path.write_bytes(content)
        assert store.measure("k1", "classification", Classification) is None


def test_reasons_of_failed_measures_stay_until_they_are_tried_again(store):
    assert store.failed_measures("k1") == {}
    for reasons in ({"classification": "it broke"}, {}, {}):
        store.save_failed_measures("k1", reasons)
        assert store.failed_measures("k1") == reasons


def test_what_a_killed_process_left_goes_when_the_trial_is_next_locked(store):
    keep(store)
    names = (".checkpoint.pt.abcdefgh.part", "measures/.a.json.12345678.part")
    left = [store.folder("k1") / name for name in names]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    with store.locked("k1"):
        assert not any(path.exists() for path in left)
    assert store.record("k1") == RECORD


# ---- the ledger


def asked(*images):
    """The digest of test images whose files are known by these numbers."""
    prepared = SimpleNamespace(content_of=lambda test: 100 + test)
    return images_digest(prepared, np.array(images))


def test_the_ledger_counts_models_by_their_test_images(store):
    test = asked(4, 2, 9)
    assert store.test_uses(test) == 0
    for key in ("k1", "k2", "k1"):  # a trial is one model, however often it is measured
        store.note_test_use(test, key)
    store.note_test_use(asked(2, 4, 9))  # the same images
    store.note_test_use(test)
    store.note_test_use(asked(4, 2), "k3")
    assert store.test_uses(test) == 4
    # A trial of before there was a ledger counts as well.
    assert store.test_uses(test, ["k1", "k9"]) == 5
    assert store.test_uses(asked(4, 2)) == 1


def test_a_training_tested_after_every_epoch_is_counted_apart(store):
    test = asked(4, 2, 9)
    for key, every_epoch in (("k1", True), ("k1", True), ("k1", False), ("k2", False)):
        store.note_test_use(test, key, every_epoch=every_epoch)
    assert (store.test_uses(test), store.tested_every_epoch(test)) == (2, 1)
    assert sum(map(bool, (store.root / "ledger.jsonl").read_text().splitlines())) == 3
    assert store.tested_every_epoch(asked(1)) == 0


def test_a_line_that_was_cut_short_costs_only_itself(store):
    test, path = asked(0, 1, 2), store.root / "ledger.jsonl"
    store.note_test_use(test, "k1")
    store.note_test_use(test, "k2")
    path.write_bytes(path.read_bytes()[:-20] + b"\xff")
    store.note_test_use(test, "k3")
    assert store.test_uses(test) == 2
    assert sum(map(bool, path.read_bytes().splitlines())) == 3


def test_processes_write_the_ledger_side_by_side(store):
    def note(name):
        for number in range(20):
            Store(store.root).note_test_use("i", f"{name}-{number}")

    both = [Forked(partial(note, name)) for name in "ab"]
    assert [process.ended()[0] for process in both] == [0, 0]
    assert store.test_uses("i") == 40
