import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikeduel.store import Store, TrialRecord

RECORD = TrialRecord(
    key="k1",
    settings={"contender": "dense-snn", "seed": 3, "network": {"hidden": 8}},
    parameters=2410,
    status="done",
    error=None,
    best_epoch=1,
    stopped="limit",
    epoch_seconds=[0.5, 0.25],
    history=[{"val_loss": 2.0, "val_accuracy": 0.5}, {"val_loss": 1.0, "val_accuracy": 0.75}],
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
            "train": [0, 1, 2, 3, 4], "val": [7], "test": [6, 8],
        }  # fmt: skip
    assert [path.name for path in store.folder("k1").iterdir()] == ["split.npz"]


def test_a_record_comes_back_as_it_was(store):
    assert store.record("k1") is None
    keep(store)
    assert store.record("k1") == RECORD
    assert store.record("k2") is None


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
    assert store.measure("k1", "draws") is None
    store.save_measure("k1", "draws", {"standard_deviation": 0.5})
    store.save_measure("k1", "own_code:speed", {"seconds": None})
    assert store.measure("k1", "draws") == {"standard_deviation": 0.5}
    assert store.measure("k1", "own_code:speed") == {"seconds": None}
    assert {path.name for path in (store.folder("k1") / "measures").iterdir()} == {
        "draws.json",
        "own_code.speed.json",
    }
    assert store.record("k1") == RECORD
    for damaged in ('{"standard_deviation": 0.', '{"standard_deviation": -1}', "[]", "{" * 100_000):
        (store.folder("k1") / "measures" / "draws.json").write_text(damaged)
        assert store.measure("k1", "draws") is None


def test_numbers_that_json_cannot_say_are_refused_and_nothing_is_left(store):
    keep(store)
    with pytest.raises(ValueError, match="JSON"):
        store.save(replace(RECORD, epoch_seconds=[float("nan")]))
    assert store.record("k1") == RECORD
    assert sorted(path.name for path in store.folder("k1").iterdir()) == ["model.safetensors", "trial.json"]


def test_where_it_lies(tmp_path, monkeypatch):
    assert Store().root == tmp_path / "store"  # from SPIKEDUEL_STORE, which every test has
    assert Store("here").root == Path("here")
    monkeypatch.setenv("SPIKEDUEL_STORE", "")
    assert Store().root == Path("runs/store")
    monkeypatch.delenv("SPIKEDUEL_STORE")
    assert Store().root == Path("runs/store")


WAITS = """
import sys
from spikeduel.store import Store
print("asks", flush=True)
with Store(sys.argv[1]).locked("k1"):
    print("has it", flush=True)
"""


def test_a_second_process_waits_for_the_trial(store):
    with store.locked("k1"):
        with store.locked("k2"):
            pass  # another trial is free
        other = subprocess.Popen([sys.executable, "-c", WAITS, store.root], stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "asks\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.7)
    assert other.communicate(timeout=30)[0] == "has it\n"
    assert other.returncode == 0
