import json

import numpy as np
import pytest
from msgspec import structs

from made_models import make
from spikeduel.engine.networks.models import save_model
from spikeduel.evaluation import latency as timing
from spikeduel.evaluation.latency import latency, machine
from spikeduel.results.trials import Latency
from spikeduel.system import typed
from spikeduel.system.errors import InputError

CLOCK = 1e-3


@pytest.fixture
def images(random):
    return random.integers(0, 256, (256, 1, 10, 10), dtype=np.uint8)


OWN = """
from spikeduel.engine.networks.architectures import DenseSNN
from spikeduel.engine.neurons import LIF

print("imported, noisily")

class Noisy(DenseSNN):
    def forward(self, x):
        print("noise")
        return super().forward(x)

def build(image_shape, num_classes, num_steps, **settings):
    return Noisy(image_shape, num_classes, lambda: LIF(0.9), 8)
"""


def test_a_model_is_timed_in_a_process_where_code_of_the_users_may_print(
    tmp_path, images, monkeypatch, capsys
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own_network_timed.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "mine")
    card = {"kind": "snn", "encoding": "rate", "num_steps": 6, "network": {}}
    save_model(tmp_path / "own.safetensors", make("own_network_timed:build", **card))
    capsys.readouterr()
    timed = latency(tmp_path / "own.safetensors", images, "cpu", ["own_network_timed:build"])
    assert capsys.readouterr() == ("", "")
    assert timed.reasons.get("process") is None
    assert structs.replace(timed.machine, load_average=None) == structs.replace(
        machine("cpu"), load_average=None
    )
    assert timed.precision == "32"
    assert set(timed.throughput) == {"1", "32", "256"}
    assert 0 < timed.one_image.median_ms < 1000
    assert len(timed.stream_ms) == 6
    assert timed.start_up_seconds > 0.1
    # Torch is in it; and it is not the memory of this process, which has grown by pictures and
    # tests.
    assert 50 << 20 < timed.peak_memory_bytes < 4 << 30
    written = json.dumps(typed.plain(timed), allow_nan=False)
    assert typed.converted(json.loads(written), Latency) == timed


def test_what_fails_is_null_and_says_why(images, tmp_path):
    path = tmp_path / "a model.safetensors"
    path.write_bytes(b"damaged")
    times = latency(path, images, "cpu")
    assert times == Latency(machine=times.machine, reasons=times.reasons)
    assert "a model.safetensors" in times.reasons["process"]
    late = latency(path, images, "cpu", seconds=0.01)
    assert late.reasons["process"] == "no process for it (TimeoutExpired)"


@pytest.fixture
def clock(monkeypatch):
    """A clock that tells a millisecond more whenever it is asked, and stands still in between."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            self.now += CLOCK
            return self.now

    made = Clock()
    monkeypatch.setattr(timing, "time", made)
    return made


def test_the_first_call_is_not_counted_and_the_time_limit_holds(clock):
    called = []

    def work(number):
        called.append(number)
        clock.now += 0.5 if number == 0 else 0.009

    milliseconds = timing.repeated(work, range(4))
    # Ten milliseconds each, until the first and they make 0.35 s; but at least three.
    assert called == list(range(4))
    assert milliseconds == pytest.approx([10, 10, 10])

    called.clear()
    clock.now = 0
    milliseconds = timing.repeated(called.append, range(9999))
    assert len(milliseconds) == len(called) - 1 == pytest.approx(timing.SECONDS / CLOCK, abs=2)


def test_a_summary_by_hand():
    assert timing.summary([3.0, 1.0, 2.0]) == {
        "median_ms": 2,
        "p95_ms": None,
        "n": 3,
    }
    many = timing.summary([float(ms) for ms in range(21)])
    assert many == {"median_ms": 10, "p95_ms": 19, "n": 21}


def test_what_is_timed_is_predict_in_batches_of_three_sizes(images, monkeypatch):
    model, asked = make(), {}
    predict = model.predict

    def predicting(pictures):
        asked.setdefault(len(pictures), []).append(pictures)
        return predict(pictures)

    monkeypatch.setattr(model, "predict", predicting)
    monkeypatch.setattr(timing, "SECONDS", 0.02)
    monkeypatch.setattr(timing, "WARM_UP_SECONDS", 0.01)
    times = timing.timed(model, images)
    assert set(asked) == {1, 32, 256}
    for size, entry in ((size, times["throughput"][str(size)]) for size in asked):
        untimed = len(asked[size]) - 1 - entry["n"]  # single images warm the process up
        assert untimed > 0 if size == 1 else untimed == 0
        assert entry["images_per_second"] == pytest.approx(1000 * size / entry["median_ms"])
    np.testing.assert_array_equal(asked[32][1], images[32:64])
    assert times["one_image"]["median_ms"] == times["throughput"]["1"]["median_ms"]
    assert len(times["stream_ms"]) == 6
    assert (np.diff(times["stream_ms"]) > 0).all()


def test_what_cannot_be_had_is_null_with_a_reason(images, monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0)
    times = timing.timed(make("small-cnn"), images)
    assert times["stream_ms"] is None
    assert set(times["reasons"]) == {"stream_ms"}


def test_a_stream_sees_every_step(images, clock):
    # The clock goes on when it is asked: once before the encoding and once after each step.
    assert timing.streamed(make(), images) == pytest.approx([1, 2, 3, 4, 5, 6])
    with pytest.raises(InputError, match="does not spike"):
        timing.streamed(make("small-cnn"), images)
