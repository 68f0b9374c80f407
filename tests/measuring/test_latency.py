import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from msgspec import structs

from made_models import make
from spikeduel.measuring import latency as timing
from spikeduel.measuring.latency import EnergyCounter, counters, latency, machine
from spikeduel.networks.models import save_model
from spikeduel.results.trials import Latency
from spikeduel.system import typed
from spikeduel.system.errors import InputError

CLOCK = 1e-3


@pytest.fixture
def images(random):
    return random.integers(0, 256, (256, 1, 10, 10), dtype=np.uint8)


OWN = """
from spikeduel.networks.architectures import DenseSNN
from spikeduel.spiking.neurons import LIF

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
    card = {"family": "snn", "encoding": "rate", "num_steps": 6, "network": {}}
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
    kept = json.dumps(typed.plain(timed), allow_nan=False)
    assert typed.converted(json.loads(kept), Latency) == timed


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


def test_the_first_call_is_not_counted_and_time_is_kept(clock):
    called = []

    def work(number):
        called.append(number)
        clock.now += 0.5 if number == 0 else 0.009

    milliseconds, calls = timing.repeated(work, range(4))
    # Ten milliseconds each, until the first and they make 0.35 s; but at least three.
    assert called == list(range(4))
    assert calls == 4
    assert milliseconds == pytest.approx([10, 10, 10])

    called.clear()
    clock.now = 0
    milliseconds, _ = timing.repeated(called.append, range(9999))
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
    times = timing.timed(model, images)
    assert set(asked) == {1, 32, 256}
    for size, entry in ((size, times["throughput"][str(size)]) for size in asked):
        assert entry["n"] == len(asked[size]) - 1
        assert entry["images_per_second"] == pytest.approx(1000 * size / entry["median_ms"])
    np.testing.assert_array_equal(asked[32][1], images[32:64])
    assert times["one_image"]["median_ms"] == times["throughput"]["1"]["median_ms"]
    assert len(times["stream_ms"]) == 6
    assert (np.diff(times["stream_ms"]) > 0).all()


def test_joules_are_those_of_the_largest_batches_by_their_images(images, monkeypatch):
    readings = []

    def read():
        readings.append(0)
        return 1000.0 if len(readings) == 1 else 1000.0 + 256 * 4 * 0.5

    # Three calls that count and one before them: half a joule an image.
    monkeypatch.setattr(timing, "SECONDS", 0)
    monkeypatch.setattr(timing, "counters", lambda device: [EnergyCounter("rapl", read)])
    times = timing.timed(make(), images)
    assert (times["joules_per_image"], times["joules_source"]) == (0.5, "rapl")
    assert "joules_per_image" not in times["reasons"]
    assert len(readings) == 2


def test_what_cannot_be_had_is_null_with_a_reason(images, monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0)
    monkeypatch.setattr(timing, "counters", lambda device: [])
    times = timing.timed(make("small-cnn"), images)
    assert (times["stream_ms"], times["joules_per_image"], times["joules_source"]) == (
        None,
        None,
        None,
    )
    assert set(times["reasons"]) == {"stream_ms", "joules_per_image"}


def test_a_stream_sees_every_step(images, clock):
    # The clock goes on when it is asked: once before the encoding and once after each step.
    assert timing.streamed(make(), images) == pytest.approx([1, 2, 3, 4, 5, 6])
    with pytest.raises(InputError, match="does not spike"):
        timing.streamed(make("small-cnn"), images)


@pytest.fixture
def powercap(tmp_path):
    """Two packages, a part of one, and the whole board, as Linux shows them."""

    def put(domain, name, microjoules):
        folder = tmp_path / domain
        folder.mkdir(exist_ok=True)
        for file, text in (
            ("name", name),
            ("energy_uj", microjoules),
            ("max_energy_range_uj", 5_000_000),
        ):
            (folder / file).write_text(f"{text}\n")

    put("intel-rapl:0", "package-0", 1_000_000)
    put("intel-rapl:1", "package-1", 4_000_000)
    put("intel-rapl:0:0", "core", 900_000)
    put("intel-rapl:2", "psys", 9_000_000)
    put.folder = tmp_path
    return put


def test_each_package_is_counted_once(powercap):
    packages = counters(torch.device("cpu"), powercap.folder)
    assert [(counter.source, counter.read()) for counter in packages] == [
        ("rapl", 1.0),
        ("rapl", 4.0),
    ]
    powercap("intel-rapl:0", "package-0", 3_500_000)
    assert (packages[0].read() - 1.0) % packages[0].wraps_at == 2.5
    # It has begun again from 0 after 5 J.
    powercap("intel-rapl:1", "package-1", 250_000)
    assert (packages[1].read() - 4.0) % packages[1].wraps_at == 1.25


def test_what_one_may_not_read_or_is_not_there_is_no_counter(powercap, tmp_path):
    (powercap.folder / "intel-rapl:1" / "energy_uj").unlink()
    assert counters(torch.device("cpu"), powercap.folder) == []
    assert counters(torch.device("cpu"), tmp_path / "none") == []
    powercap("intel-rapl:1", "package-1", "<damaged>")
    assert counters(torch.device("cpu"), powercap.folder) == []


def test_a_gpu_is_found_by_its_identity(monkeypatch):
    readings = iter([7000, 7000, 9500])

    class NVMLError(Exception):
        pass

    def total(handle):
        assert handle == "handle of GPU-abc"
        return next(readings)

    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda identity: f"handle of {identity}",
        nvmlDeviceGetTotalEnergyConsumption=total,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid="abc")
    )
    (counter,) = counters(torch.device("cuda"))
    assert counter.source == "nvml"
    assert counter.read() - counter.read() == -2.5

    def refuses(handle):
        raise NVMLError("not supported")

    fake.nvmlDeviceGetTotalEnergyConsumption = refuses
    assert counters(torch.device("cuda")) == []
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert counters(torch.device("cuda")) == []
