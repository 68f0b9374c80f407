import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec.structs import replace

from spikeduel.measuring.correctness import classified
from spikeduel.results.trials import Classification, EncodingSpread, Epoch
from spikeduel.system import files
from spikeduel.trials.store import AskedImages, Store, TrialRecord
from spikeduel.trials.store import test_digest as digest_of

RECORD = TrialRecord(
    key="k1",
    settings={"contender": "dense-snn", "seed": 3, "network": {"hidden": 8}},
    parameters=2410,
    status="done",
    error=None,
    best_epoch=1,
    stopped="limit",
    epoch_seconds=[0.5, 0.25],
    history=[Epoch(val_loss=2.0, val_accuracy=0.5), Epoch(val_loss=1.0, val_accuracy=0.75)],
    environment={"cpu": "a chip"},
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "trials")


def keep(store, record=RECORD):
    store.save(record)
    store.model_path(record.key).write_bytes(b"weights")


def test_a_split_is_kept_whole_and_without_pickles(store):
    store.save_split("k1", train=np.arange(5), val=np.array([7]), test=np.array([6, 8]))
    with np.load(store.split_path("k1"), allow_pickle=False) as kept:
        assert {name: kept[name].tolist() for name in kept.files} == {
            "train": [0, 1, 2, 3, 4],
            "val": [7],
            "test": [6, 8],
        }
    assert [path.name for path in store.folder("k1").iterdir()] == ["split.npz"]


def test_a_record_comes_back_as_it_was(store):
    assert store.record("k1") is None
    keep(store)
    assert store.record("k1") == RECORD
    assert store.record("k2") is None
    assert RECORD.best == Epoch(val_loss=1.0, val_accuracy=0.75)
    assert (RECORD.fold, replace(RECORD, settings={"data": {"fold": 2}}).fold) == (None, 2)


@pytest.mark.parametrize(
    "content",
    [
        # As earlier versions wrote it: without checksums, and with what nobody reads any more.
        lambda whole: {
            name: value for name, value in whole.items() if name not in ("digest", "model_digest")
        },
        lambda whole: {
            **{name: value for name, value in whole.items() if name != "digest"},
            "another": 1,
        },
    ],
)
def test_a_record_without_a_checksum_is_read(content, store):
    keep(store)
    path = store.folder("k1") / "trial.json"
    path.write_text(json.dumps(content(json.loads(path.read_text()))))
    assert store.record("k1") == RECORD


def test_a_best_epoch_that_is_not_there_is_damage(store):
    keep(store, replace(RECORD, best_epoch=2))
    assert store.record("k1") is None
    assert "best epoch" in store.damage("k1")


def test_a_failed_trial_counts_as_absent(store):
    keep(store, replace(RECORD, status="failed", error="it broke"))
    assert store.record("k1") is None
    # The record is still there for whoever looks.
    assert json.loads((store.folder("k1") / "trial.json").read_text())["error"] == "it broke"


@pytest.mark.parametrize("damage", ["empty", "cut", "list", "null", "lacking", "foreign", "binary"])
def test_a_damaged_record_counts_as_absent(damage, store):
    keep(store)
    path = store.folder("k1") / "trial.json"
    whole = path.read_bytes()
    content = json.loads(whole)
    lacking = {name: value for name, value in content.items() if name != "history"}
    damaged = {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "list": b"[1, 2]",
        "null": b"null",
        "lacking": json.dumps(lacking).encode(),
        "foreign": json.dumps({**content, "another": 1}).encode(),
        "binary": b"\xff\xfe\x00",
    }
    path.write_bytes(damaged[damage])
    assert store.record("k1") is None
    path.write_bytes(whole)
    assert store.record("k1") == RECORD


def test_a_record_without_its_model_counts_as_absent(store):
    keep(store)
    store.model_path("k1").unlink()
    assert store.record("k1") is None


def test_measures_lie_beside_the_trial_one_file_each(store):
    keep(store)
    assert store.measure("k1", "encoding_spread", EncodingSpread) is None
    spread = EncodingSpread(accuracies=[0.25, 0.75], standard_deviation=0.5)
    store.save_measure("k1", "encoding_spread", spread)
    store.save_measure("k1", "own_code:speed", {"seconds": None})
    assert store.measure("k1", "encoding_spread", EncodingSpread) == spread
    assert store.measure("k1", "own_code:speed", dict) == {"seconds": None}
    assert {path.name for path in (store.folder("k1") / "measures").iterdir()} == {
        "encoding_spread.json",
        "own_code.speed.json",
    }
    assert store.record("k1") == RECORD


def test_what_another_measure_found_counts_as_absent(store):
    store.save_measure("k1", "encoding_spread", {"standard_deviation": -1})
    assert store.measure("k1", "encoding_spread", EncodingSpread) is None
    store.save_measure("k1", "classification", EncodingSpread())
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


def test_where_it_lies(tmp_path, monkeypatch):
    assert Store().root == tmp_path / "store"  # from SPIKEDUEL_STORE, which every test has
    assert Store("here").root == Path("here")
    monkeypatch.setenv("SPIKEDUEL_STORE", "")
    assert Store().root == Path("runs/store")
    monkeypatch.delenv("SPIKEDUEL_STORE")
    assert Store().root == Path("runs/store")


WAITS = """
import sys
from types import SimpleNamespace
from spikeduel.trials.store import Store
print("asks", flush=True)
with Store(sys.argv[1]).locked("k1"):
    print("has it", flush=True)
"""


def test_a_second_process_waits_for_the_trial(store):
    with store.locked("k1"):
        with store.locked("k2"):
            pass  # another trial is free
        other = subprocess.Popen(
            [sys.executable, "-c", WAITS, store.root], stdout=subprocess.PIPE, text=True
        )
        assert other.stdout.readline() == "asks\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.7)
    assert other.communicate(timeout=30)[0] == "has it\n"
    assert other.returncode == 0


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
    assert store.damage("k1") is None
    before = store.record("k1")
    path = store.folder("k1") / name
    whole = path.read_bytes()
    for each in damaged(whole, random):
        path.write_bytes(each)
        if (found := store.record("k1")) is not None:
            # Only where JSON does not mind, such as a space that became another blank.
            assert name == "trial.json"
            assert found == before
            continue
        assert name in store.damage("k1")
    path.unlink()
    assert store.record("k1") is None
    path.write_bytes(whole)
    assert store.record("k1") is not None


def test_a_damaged_measure_counts_as_absent(store, random):
    value = classified(("a", "b"), np.array([0] * 20), np.arange(20) % 2)
    store.save_measure("k1", "classification", value)
    path = store.measure_path("k1", "classification")
    whole = path.read_bytes()
    others = (
        b"[]",
        b"{" * 100_000,
        whole.replace(b"0.5", b"0.6"),
        json.dumps(json.loads(whole) | {"digest": 3}).encode(),
    )
    for each in (*damaged(whole, random), *others):
        path.write_bytes(each)
        assert store.measure("k1", "classification", Classification) in (None, value)
    # Another number, and no checksum at all.
    for each in (
        others[2],
        json.dumps({n: v for n, v in json.loads(whole).items() if n != "digest"}).encode(),
    ):
        path.write_bytes(each)
        assert store.measure("k1", "classification", Classification) is None


def test_why_measures_failed_is_kept_until_they_are_tried_again(store):
    assert store.failed_measures("k1") == {}
    store.save_failed_measures("k1", {"classification": "it broke"})
    assert store.failed_measures("k1") == {"classification": "it broke"}
    store.save_failed_measures("k1", {})
    store.save_failed_measures("k1", {})
    assert store.failed_measures("k1") == {}


def test_what_a_killed_process_left_goes_when_the_trial_is_next_locked(store):
    keep(store)
    left = [
        store.folder("k1") / ".checkpoint.pt.abcdefgh.part",
        store.folder("k1") / "measures" / ".a.json.12345678.part",
    ]
    left[1].parent.mkdir()
    for path in left:
        path.write_text("half")
    with store.locked("k1"):
        assert not any(path.exists() for path in left)
    assert store.record("k1") == RECORD


# ---- the ledger


def asked(*images, fingerprint="f" * 64, first=0):
    """The test images of a set of ten whose files are known as 100, 101, …, of which those numbered
    `images` are.
    """
    made = SimpleNamespace(fingerprint=fingerprint, content_of=lambda test: 100 + test - first)
    return AskedImages.of(made, np.array(images))


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


def test_images_are_the_same_at_another_size_and_in_another_order(store):
    store.note_test_use(asked(4, 2, 9), "k1")
    at_another_size, in_another_order = (
        asked(9, 4, 2, fingerprint="0" * 64),
        asked(5, 10, 3, first=1),
    )
    store.note_test_use(at_another_size, "k2")
    assert store.test_uses(asked(4, 2, 9)) == store.test_uses(in_another_order) == 2
    # Other files, with the numbers that these have: another split of other data.
    assert store.test_uses(asked(4, 2, 9, first=1)) == 0


def test_ledgers_of_earlier_versions_know_images_by_the_prepared_data(store):
    test = asked(4, 2, 9)
    store.root.mkdir(parents=True, exist_ok=True)
    old = {
        "data": "f" * 64,
        "test": digest_of(np.array([4, 2, 9])),
        "trial": "k1",
        "at": "2025-01-01T00:00:00",
    }
    (store.root / "ledger.jsonl").write_text(json.dumps(old) + "\n")
    assert store.test_uses(test) == 1
    assert store.test_uses(asked(4, 2, 9, fingerprint="0" * 64)) == 0
    store.note_test_use(test, "k1")
    store.note_test_use(test, "k2")
    assert store.test_uses(test) == 2


def test_a_training_that_was_asked_after_every_epoch_is_told_apart(store):
    test = asked(4, 2, 9)
    store.note_test_use(test, "k1", every_epoch=True)
    store.note_test_use(test, "k1", every_epoch=True)
    store.note_test_use(test, "k1")
    store.note_test_use(test, "k2")
    assert (store.test_uses(test), store.tested_every_epoch(test)) == (2, 1)
    assert len((store.root / "ledger.jsonl").read_text().splitlines()) == 3
    assert store.tested_every_epoch(asked(1)) == 0


def test_a_line_that_was_cut_short_costs_only_itself(store):
    test = asked(0, 1, 2)
    store.note_test_use(test, "k1")
    store.note_test_use(test, "k2")
    path = store.root / "ledger.jsonl"
    path.write_bytes(path.read_bytes()[:-20] + b"\xff")
    store.note_test_use(test, "k3")
    assert store.test_uses(test) == 2
    assert len(path.read_bytes().splitlines()) == 3


NOTES = """
import sys
from types import SimpleNamespace
from spikeduel.trials.store import AskedImages, Store
for number in range(20):
    Store(sys.argv[1]).note_test_use(AskedImages("i", "d", "t"), f"{sys.argv[2]}-{number}")
"""


def test_processes_write_the_ledger_side_by_side(store):
    both = [subprocess.Popen([sys.executable, "-c", NOTES, store.root, name]) for name in "ab"]
    assert [process.wait(120) for process in both] == [0, 0]
    assert store.test_uses(AskedImages("i", "d", "t")) == 40
