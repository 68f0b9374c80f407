from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs

from spikeduel.evaluation import latency
from spikeduel.experiment.recipes import baseline
from spikeduel.results.trials import Latency, Times
from spikeduel.system.errors import InputError
from spikeduel.training.run_folder import default_name, located, require_writable
from spikeduel.training.store import Store
from spikeduel.training.timing import time_inference
from telling import Telling

EXPERIMENT = baseline(dataset="digits")


def test_the_default_folder():
    name = default_name(EXPERIMENT, "f" * 64)
    assert name == default_name(replace(EXPERIMENT), "f" * 64)
    assert name != default_name(EXPERIMENT, "0" * 64)
    assert name != default_name(replace(EXPERIMENT, beta=0.9), "f" * 64)


@pytest.mark.parametrize(
    ("dataset", "begins"),
    [
        ("digits", "digits-baseline-"),
        ("/my pets/cats & dogs/", "cats-dogs-baseline-"),
        ("my_sets:pets", "my-sets-pets-baseline-"),
        ("/", "images-baseline-"),
    ],
)
def test_the_default_folder_is_called_after_the_data(dataset, begins):
    assert default_name(replace(EXPERIMENT, dataset=dataset), "f").startswith(begins)


def test_an_experiment_means_the_same_in_every_folder(small, tmp_path, monkeypatch):
    folder, table = str(tmp_path / "mine"), str(tmp_path / "groups.csv")
    for path, make in ((folder, Path.mkdir), (table, Path.touch)):
        make(Path(path))
    inside = located(replace(small, dataset="mine", data_dir="mine", group_by="groups.csv"))
    monkeypatch.chdir(folder)
    assert (inside.dataset, inside.data_dir, inside.group_by) == (folder, folder, table)
    for same in (inside, small, replace(small, group_by=r"(\d+)_")):
        assert located(same) == same


@pytest.mark.parametrize(
    "names",
    [[], [".lock", ".experiment.toml.abcdefgh.part"], ["report.html", "experiment.toml"]],
    ids=["empty", "a process was killed at its first file", "a run"],
)
def test_a_new_folder_and_a_runs_own_are_taken(names, tmp_path):
    for name in names:
        (tmp_path / name).touch()
    require_writable(tmp_path)
    require_writable(tmp_path / "new")
    require_writable(None)


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "report.html").write_text("precious")
    with pytest.raises(InputError, match="holds other things than a run"):
        require_writable(tmp_path)


# ---- how long answers take


@pytest.fixture
def images(random):
    return random.integers(0, 256, (20, 1, 10, 10), dtype=np.uint8)


@pytest.fixture
def counted(monkeypatch):
    """Latencies with made-up times: the n-th that is taken has a median of n ms; None, where none
    are to be had.
    """
    taken = []

    def made(path, images, device, own_code=()):
        taken.append(path.parent.name)
        works = "broken" not in path.parent.name
        one = Times(median_ms=float(len(taken)), p95_ms=None, n=3) if works else None
        reasons = {} if works else {"process": "it broke"}
        return Latency(machine=latency.machine(device), one_image=one, reasons=reasons)

    monkeypatch.setattr("spikeduel.evaluation.latency.latency", made)
    return taken


def planned(key, title):
    """A trial with no more than its timing needs."""
    card, split = SimpleNamespace(contender=key, title=title), SimpleNamespace(test=np.arange(20))
    own = SimpleNamespace(own_code=())
    return SimpleNamespace(key=key, card=card, device="cpu", experiment=own, split=split)


def take(trials, images, store, progress, **when):
    prepared = SimpleNamespace(images=images)
    return time_inference([(trial, prepared) for trial in trials], store, progress, **when)


def on(taken, **machine):
    return structs.replace(taken, machine=structs.replace(taken.machine, **machine))


def test_on_a_busy_machine_only_earlier_times_are_had(tmp_path, images, counted, machine):
    store, one = Store(tmp_path / "store"), planned("one", "net one")
    machine.load = 77.0
    assert take([one], images, store, Telling(), when_idle=True) == {}
    machine.load = 0.1
    idle = take([one], images, store, Telling(), when_idle=True)
    machine.load = 77.0
    assert take([one], images, store, Telling(), when_idle=True) == idle
    assert counted == ["one", "one"]


def test_all_are_taken_in_one_sitting_and_found_again(tmp_path, images, counted, machine):
    machine.load = 0.1
    store, log = Store(tmp_path / "store"), Telling()
    one, other = planned("one", "net one"), planned("other", "net other")
    first = take([one], images, store, log)
    assert first["one"].one_image.median_ms == 1
    assert take([one], images, store, log) == first
    assert counted == ["one", "one"]
    # With a second one, the first is taken again, so that both are from now.
    both = take([one, other], images, store, log)
    assert {key: latency.one_image.median_ms for key, latency in both.items()} == {
        "one": 3,
        "other": 4,
    }
    assert take([one, other], images, store, log) == both
    # Another machine's times are of no use.
    taken = store.measure("other", "latency", Latency)
    store.save_measure("other", "latency", on(taken, threads=taken.machine.threads + 1))
    assert len(take([one, other], images, store, log)) == 2
    assert counted == ["one", "one", *["one", "other"] * 4]
    # Being busier does not make it another one.
    taken = store.measure("other", "latency", Latency)
    store.save_measure("other", "latency", on(taken, load_average=77.0))
    machine.load = 77.0
    take([one, other], images, store, log)
    assert len(counted) == 10
    # What was timed while it was busy is timed again once it is not.
    machine.load = 0.1
    take([one, other], images, store, log)
    assert len(counted) == 14
    assert log.lines == []


def test_the_quicker_sitting_counts(tmp_path, images, counted, machine, monkeypatch):
    machine.load = 0.1
    made, medians = latency.latency, iter([3.0, 2.0, 1.0, 5.0])

    def slower_or_not(*given):
        one = Times(median_ms=next(medians), p95_ms=None, n=3)
        return structs.replace(made(*given), one_image=one)

    monkeypatch.setattr(latency, "latency", slower_or_not)
    trials = [planned("one", "net one"), planned("other", "net other")]
    taken = take(trials, images, Store(tmp_path / "store"), Telling())
    assert [taken[key].one_image.median_ms for key in ("one", "other")] == [1, 2]


def test_a_contender_that_cannot_be_timed_is_named_and_tried_again(tmp_path, images, counted):
    store, log = Store(tmp_path / "store"), Telling()
    trials = [planned("broken", "net, seed 0")]
    assert take(trials, images, store, log)["broken"].one_image is None
    assert log.lines == ["  net, seed 0: not timed, it broke"]
    take(trials, images, store, log)
    assert len(counted) == 2
