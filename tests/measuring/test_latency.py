import json
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs

from made_models import make
from spikeduel.measuring.latency import latency, machine
from spikeduel.networks.model_files import save_model
from spikeduel.results.costs import Latency, Times
from spikeduel.system import typed
from spikeduel.system.progress import Progress
from spikeduel.trials import gathering
from spikeduel.trials.store import Store


@pytest.fixture
def images(random):
    return random.integers(0, 256, (20, 1, 10, 10), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    save_model(tmp_path / "a model.safetensors", make())
    return tmp_path / "a model.safetensors"


def test_a_model_is_timed_in_a_process_of_its_own(path, images):
    found = latency(path, images, "cpu")
    assert structs.replace(found.machine, load_average=None) == structs.replace(machine("cpu"), load_average=None)
    assert found.precision == "32"
    assert set(found.throughput) == {"1", "32", "256"}
    assert 0 < found.one_image.median_ms < 1000
    assert len(found.stream_ms) == 6
    start_up = found.start_up
    parts = [start_up.import_seconds, start_up.load_seconds, start_up.first_answer_seconds]
    assert min(parts) > 0
    assert start_up.total_seconds == pytest.approx(sum(parts))
    # Torch is in it; and it is not the memory of this process, which has grown by pictures and tests.
    memory = found.peak_memory_bytes
    assert 50 << 20 < memory.first_answer <= memory.batch_256
    assert memory.gpu is None
    assert typed.converted(json.loads(json.dumps(typed.plain(found), allow_nan=False)), Latency) == found


OWN = """
from torch import nn

print("imported, noisily")

class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(100, 3)

    def forward(self, x):
        print("noise")
        return self.linear(x.flatten(1))

def build(image_shape, num_classes, num_steps, **settings):
    return Noisy()
"""


def test_code_of_the_users_is_found_and_may_print(tmp_path, images, monkeypatch, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own_network_timed.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    save_model(
        tmp_path / "own.safetensors",
        make("own_network_timed:build", family="cnn", encoding=None, network={}, num_steps=None),
    )
    capsys.readouterr()
    found = latency(tmp_path / "own.safetensors", images, "cpu", ["own_network_timed:build"])
    assert found.one_image.n >= 3
    assert capsys.readouterr() == ("", "")
    refused = latency(tmp_path / "own.safetensors", images, "cpu")
    assert refused.one_image is None
    assert "own_network_timed:build" in refused.reasons["process"]


def test_what_fails_is_null_and_says_why(path, images, tmp_path):
    path.write_bytes(b"damaged")
    found = latency(path, images, "cpu")
    assert found == Latency(machine=found.machine, reasons=found.reasons)
    assert "a model.safetensors" in found.reasons["process"]
    late = latency(path, images, "cpu", seconds=0.01)
    assert late.reasons["process"] == "no process for it (TimeoutExpired)"


class Told(Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture
def counted(monkeypatch):
    """Latencies with made-up times: the n-th that is taken has a median of n ms; None, where none are to be had."""
    taken = []

    def made(path, images, device, own_code=()):
        taken.append(path.parent.name)
        works = "broken" not in path.parent.name
        one = Times(median_ms=float(len(taken)), p95_ms=None, min_ms=0.5, n=3) if works else None
        reasons = {} if works else {"process": "it broke"}
        return Latency(machine=machine(device), one_image=one, reasons=reasons)

    monkeypatch.setattr("spikeduel.measuring.latency.latency", made)
    return taken


def planned(key, title):
    """As much of a trial as its timing needs."""
    card, split = SimpleNamespace(contender=key, title=title), SimpleNamespace(test=np.arange(20))
    own = SimpleNamespace(own_code=())
    return SimpleNamespace(key=key, card=card, settings={"device": "cpu"}, experiment=own, split=split)


def take(trials, images, store, progress):
    records = [SimpleNamespace(status="done") for _ in trials]
    return gathering.time_answers(trials, records, SimpleNamespace(images=images), store, progress)


def on(taken, **machine):
    return structs.replace(taken, machine=structs.replace(taken.machine, **machine))


def test_all_are_taken_in_one_sitting_and_found_again(tmp_path, images, counted):
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
    take([one, other], images, store, told)
    assert len(counted) == 5
    assert told.lines == []


def test_who_cannot_be_timed_is_said_and_tried_again(tmp_path, images, counted):
    store, told = Store(tmp_path / "store"), Told()
    trials = [planned("broken", "net, seed 0")]
    assert take(trials, images, store, told)["broken"].one_image is None
    assert told.lines == ["  net, seed 0: not timed, it broke"]
    take(trials, images, store, told)
    assert len(counted) == 2
