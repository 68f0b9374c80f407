from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs

from spikeduel.measuring.latency import machine
from spikeduel.results.trials import Latency, Times
from spikeduel.settings.recipes import baseline
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import outcomes
from spikeduel.trials.run_folder import default_name, located, require_writable
from spikeduel.trials.store import Store

EXPERIMENT = baseline(dataset="digits")


def test_the_default_folder():
    name = default_name(EXPERIMENT, "f" * 64)
    assert name.startswith("digits-baseline-")
    assert name == default_name(replace(EXPERIMENT), "f" * 64)
    assert name != default_name(EXPERIMENT, "0" * 64)
    assert name != default_name(replace(EXPERIMENT, beta=0.9), "f" * 64)
    assert default_name(replace(EXPERIMENT, dataset="/my pets/cats & dogs/"), "f").startswith(
        "cats-dogs-baseline-"
    )
    assert default_name(replace(EXPERIMENT, dataset="my_sets:pets"), "f").startswith(
        "my-sets-pets-baseline-"
    )
    assert default_name(replace(EXPERIMENT, dataset="/"), "f").startswith("images-baseline-")


def test_an_experiment_means_the_same_in_every_folder(small, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    inside = located(replace(small, dataset="mine", data_dir="mine"))
    monkeypatch.chdir(tmp_path / "mine")
    assert inside.dataset == inside.data_dir == str(tmp_path / "mine")
    assert located(inside) == inside
    assert located(small) == small
    (tmp_path / "mine" / "groups.csv").touch()
    by_table = located(replace(small, group_by="groups.csv"))
    assert by_table.group_by == str(tmp_path / "mine" / "groups.csv")
    by_expression = replace(small, group_by=r"(\d+)_")
    assert located(by_expression) == by_expression


def test_a_folder_in_which_a_process_was_killed_at_its_first_file_is_taken(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".lock").touch()
    (tmp_path / "out" / ".experiment.toml.abcdefgh.part").write_text("half")
    require_writable(tmp_path / "out")


def test_a_folder_of_other_things_is_refused_and_a_runs_own_is_taken(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("precious")
    with pytest.raises(InputError, match="mine: holds other things than a run"):
        require_writable(tmp_path / "mine")
    (tmp_path / "mine" / "experiment.toml").touch()
    require_writable(tmp_path / "mine")
    require_writable(tmp_path / "new")
    require_writable(None)


# ---- how long answers take


@pytest.fixture
def images(random):
    return random.integers(0, 256, (20, 1, 10, 10), dtype=np.uint8)


class Told(Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


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
        return Latency(machine=machine(device), one_image=one, reasons=reasons)

    monkeypatch.setattr("spikeduel.measuring.latency.latency", made)
    return taken


def planned(key, title):
    """As much of a trial as its timing needs."""
    card, split = SimpleNamespace(contender=key, title=title), SimpleNamespace(test=np.arange(20))
    own = SimpleNamespace(own_code=())
    return SimpleNamespace(key=key, card=card, device="cpu", experiment=own, split=split)


def take(trials, images, store, progress):
    records = [SimpleNamespace(status="done") for _ in trials]
    return outcomes.time_answers(trials, records, SimpleNamespace(images=images), store, progress)


def on(taken, **machine):
    return structs.replace(taken, machine=structs.replace(taken.machine, **machine))


def test_all_are_taken_in_one_sitting_and_found_again(tmp_path, images, counted, monkeypatch):
    monkeypatch.setattr("spikeduel.system.load.load_average", lambda own_threads: 0.1)
    store, told = Store(tmp_path / "store"), Told()
    one, other = planned("one", "net one"), planned("other", "net other")
    first = take([one], images, store, told)
    assert first["one"].one_image.median_ms == 1
    assert take([one], images, store, told) == first
    assert counted == ["one"]
    # With a second one, the first is taken again, so that both are from now.
    both = take([one, other], images, store, told)
    assert {key: found.one_image.median_ms for key, found in both.items()} == {"one": 2, "other": 3}
    assert take([one, other], images, store, told) == both
    # Another machine's times are of no use.
    taken = store.measure("other", "latency", Latency)
    store.save_measure("other", "latency", on(taken, threads=taken.machine.threads + 1))
    assert len(take([one, other], images, store, told)) == 2
    assert counted == ["one", "one", "other", "one", "other"]
    # Being busier does not make it another one.
    taken = store.measure("other", "latency", Latency)
    store.save_measure("other", "latency", on(taken, load_average=77.0))
    monkeypatch.setattr("spikeduel.system.load.load_average", lambda own_threads: 77.0)
    take([one, other], images, store, told)
    assert len(counted) == 5
    # What was timed while it was busy is timed again once it is not.
    monkeypatch.setattr("spikeduel.system.load.load_average", lambda own_threads: 0.1)
    take([one, other], images, store, told)
    assert len(counted) == 7
    assert told.lines == []


def test_who_cannot_be_timed_is_said_and_tried_again(tmp_path, images, counted):
    store, told = Store(tmp_path / "store"), Told()
    trials = [planned("broken", "net, seed 0")]
    assert take(trials, images, store, told)["broken"].one_image is None
    assert told.lines == ["  net, seed 0: not timed, it broke"]
    take(trials, images, store, told)
    assert len(counted) == 2
