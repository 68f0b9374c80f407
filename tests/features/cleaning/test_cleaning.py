import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from factories import record, results, trial, variant_result
from spikeduel.data import cache
from spikeduel.data.prepared import RawDataset
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.features.cleaning import cleaning
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.sentences.comparison import Comparison
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.training.store import Store

EXPERIMENT = Experiment(dataset="made up", contenders=("snn", "cnn"))
OWN, CONTROL, OTHER, BEGUN = "1" * 16, "2" * 16, "3" * 16, "4" * 16
DAY = cleaning.SECONDS_A_DAY


def keep(key, done=True):
    """A trial in the store, finished or begun; the store is used for no longer than that."""
    store = Store("runs/store")
    with store.locked(key):
        store.folder(key).mkdir(exist_ok=True)
        if not done:
            store.checkpoint_path(key).write_bytes(b"c" * 500)
            return
        store.model_path(key).write_bytes(b"w" * 1000)
        store.save(record(key=key, model_digest=files.checksum(store.model_path(key))))


@pytest.fixture
def runs():
    """A run with a trial and a trained variant, and what else its store gathered."""
    trials = [
        trial("snn", 0.9, key=OWN, variants={"relu_twin": variant_result("twin", 0.5, key=CONTROL)})
    ]
    run = Path("runs/made-up")
    comparison = Comparison(EXPERIMENT, results(trials, experiment=EXPERIMENT), run)
    write_experiment(run / "experiment.toml", EXPERIMENT)
    (run / "results.json").write_text(json.dumps(comparison.document()))
    for key in (OWN, CONTROL, OTHER):
        keep(key)
    keep(BEGUN, done=False)
    return Path("runs")


def kinds(waste):
    return {Path(entry.path).name: entry.kind for entry in waste.unneeded}


def unneeded(*runs, days=30.0):
    return cleaning.find(runs, Store("runs/store"), days)


def clean(runs):
    return cleaning.remove(unneeded(runs), [runs], Store("runs/store"), 30)


def test_what_no_run_refers_to_goes_and_all_else_stays(runs):
    store = Store("runs/store")
    budget = store.root / "budgets" / "a.json"
    files.write_text(budget, "{}")
    before = {path.relative_to(runs) for path in (runs / "made-up").rglob("*")}
    waste = cleaning.find([runs], store, 30)
    assert kinds(waste) == {OTHER: "trained", BEGUN: "unfinished"}
    assert waste.bytes >= 1500
    assert store.record(OTHER) is not None  # nothing is removed by looking
    assert cleaning.remove(waste, [runs], store, 30).unneeded == waste.unneeded
    assert store.trials() == [OWN, CONTROL]
    assert store.record(OWN)
    assert budget.exists()
    assert {path.relative_to(runs) for path in (runs / "made-up").rglob("*")} == before
    assert cleaning.find([runs], store, 30).unneeded == []


def test_nothing_goes_from_a_store_that_is_used(runs):
    store = Store("runs/store")
    waste = cleaning.find([runs], store, 30)
    user = Store("runs/store")
    with user.locked(OWN):
        pass
    # Between its trials it holds no lock of theirs, and still counts on what it found.
    refused = cleaning.find([runs], store, 30)
    assert refused.unneeded == []
    assert "another process is using this store" in refused.in_use[0]
    with pytest.raises(InputError, match="another process is using"):
        cleaning.remove(waste, [runs], store, 30)
    assert store.record(OTHER)
    del user
    assert kinds(cleaning.find([runs], store, 30))


def test_what_came_to_be_needed_since_it_was_shown_stays(runs):
    store = Store("runs/store")
    waste = cleaning.find([runs], store, 30)
    path = runs / "made-up" / "results.json"
    path.write_text(path.read_text().replace(OWN, OTHER))
    assert kinds(cleaning.remove(waste, [runs], store, 30)) == {BEGUN: "unfinished"}
    assert OTHER in store.trials()


def test_a_run_that_cannot_be_read_may_need_anything(runs):
    (runs / "made-up" / "results.json").write_text("{")
    waste = unneeded(runs)
    assert waste.unneeded == []
    assert "made-up" in waste.in_use[0]


def test_a_store_whose_runs_are_elsewhere_is_left_alone(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    waste = unneeded(tmp_path / "empty")
    assert waste.unneeded == []
    assert "--runs" in waste.in_use[0]
    # The runs' own store may hold nothing but what was interrupted.
    (runs / "made-up").rename(tmp_path / "away")
    assert set(kinds(unneeded(runs))) == {OWN, CONTROL, OTHER, BEGUN}


def test_other_files_beside_an_experiment_need_their_trials(runs):
    write_experiment(runs / "made" / "experiment.toml", EXPERIMENT)
    typed.write_json(runs / "made" / "tuning.json", {"trials": [{"key": OTHER}]})
    assert kinds(unneeded(runs)) == {BEGUN: "unfinished"}


@pytest.mark.parametrize("inner", ["runs/several/parts/made-up", "runs/parts/made-up"])
def test_runs_inside_what_a_feature_made_need_their_trials(runs, inner):
    Path(inner).parent.mkdir(parents=True)
    (runs / "made-up").rename(inner)
    part = Path(inner) / ".a.abcdefgh.part"
    part.write_bytes(b"half")
    os.utime(part, (time.time() - 2 * DAY,) * 2)
    assert kinds(clean(runs)) == {OTHER: "trained", BEGUN: "unfinished", part.name: "left_behind"}
    assert Store("runs/store").trials() == [OWN, CONTROL]


def test_prepared_data_goes_when_nobody_used_it_for_days(tmp_path):
    made = []

    def make(place):
        made.append(1)
        return RawDataset(
            images=np.zeros((4, 1, 8, 8), np.uint8),
            labels=np.array([0, 1, 0, 1]),
            classes=("a", "b"),
            preprocessing=Preprocessing(1, 8, 8),
        )

    def age(days):
        for path in cache.root().rglob("*"):
            os.utime(path, (time.time() - days * DAY,) * 2)

    cache.fetch("squares", {}, "", make)
    age(10)
    assert cleaning.find([tmp_path], Store("none"), 11).unneeded == []
    waste = cleaning.find([tmp_path], Store("none"), 9)
    assert [entry.kind for entry in waste.unneeded] == ["prepared"]
    cache.fetch("squares", {}, "", make)  # it is used once more
    assert cleaning.remove(waste, [tmp_path], Store("none"), 9).unneeded == []
    age(10)
    (folder,) = cache.root().glob("[!.]*")
    with files.locked(cache.root() / f".{folder.name}.lock"):
        assert cleaning.remove(waste, [tmp_path], Store("none"), 9).unneeded == []
    assert cleaning.remove(waste, [tmp_path], Store("none"), 9).unneeded == waste.unneeded
    assert made == [1]
    cache.fetch("squares", {}, "", make)
    assert made == [1, 1]


def test_an_unfinished_preparation_goes_when_nobody_went_on_for_days(tmp_path):
    def fail(place):
        (place / "images.npy").write_bytes(bytes(1000))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fetch("squares", {}, "", fail)
    (place,) = cache.unfinished()
    assert cleaning.find([tmp_path], Store("none"), 9).unneeded == []
    for path in (place, *place.iterdir()):
        os.utime(path, (time.time() - 10 * DAY,) * 2)
    waste = cleaning.find([tmp_path], Store("none"), 9)
    assert [(entry.kind, entry.bytes) for entry in waste.unneeded] == [("prepared", 1000)]
    assert cleaning.remove(waste, [tmp_path], Store("none"), 9).unneeded == waste.unneeded
    assert cache.unfinished() == []


def test_leftovers_of_killed_processes_go(runs):
    parts = [
        runs / "store" / OWN / ".trial.json.abcdefgh.part",
        runs / "made-up" / "models" / ".a.abcdefgh.part",
    ]
    for path in parts:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    new = runs / "made-up" / ".b.abcdefgh.part"
    new.write_bytes(b"somebody writes this")
    os.utime(parts[1], (time.time() - 2 * DAY,) * 2)
    Path("runs/store", f".{OTHER}.abcdefgh.part").mkdir()  # an interrupted removal
    gone = {name for name, kind in kinds(clean(runs)).items() if kind == "left_behind"}
    assert gone == {".trial.json.abcdefgh.part", ".a.abcdefgh.part", f".{OTHER}.abcdefgh.part"}
    assert new.exists()


def test_store_and_run_share_one_file_of_a_model(runs):
    source, copy = (
        Store("runs/store").model_path(OTHER),
        runs / "made-up" / "models" / "a.safetensors",
    )
    files.link(source, copy)
    assert copy.read_bytes() == source.read_bytes()
    if source.stat().st_nlink == 2:
        sizes = {entry.key: entry.bytes for entry in unneeded(runs).unneeded}
        assert sizes[OTHER] < 1000
    clean(runs)
    assert copy.read_bytes() == b"w" * 1000
