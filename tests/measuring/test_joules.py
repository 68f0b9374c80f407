"""Known loads, read from a made counter or meter under a made clock: nothing is really timed."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from made_joules import here
from spikeduel.measuring import joules
from spikeduel.measuring.joules import EnergyCounter, LogMeter, counters, measure
from spikeduel.results.words.joules import method
from spikeduel.system.errors import InputError
from telling import Telling

IMAGES = np.zeros((64, 1, 8, 8), np.uint8)
WATTS = {"snn": 30.0, "cnn": 12.0}
SECONDS = {"snn": 0.5, "cnn": 0.2}
"""Power above idle, and time for all images."""
TRUTH = {name: WATTS[name] * SECONDS[name] / len(IMAGES) for name in WATTS}
OTHERS = 0.1


class World:
    """A machine whose clock goes on while somebody sleeps or answers, and whose counter shows a new
    value every `step` seconds, from 0 again after `wraps_at`. `idle` is the power at a time.
    """

    def __init__(self, idle=lambda t: 20.0, step=1e-3, wraps_at=1e9, noise=0.01, log=None):
        self.now = self.begun = 1.7e9
        self.idle, self.step, self.wraps_at, self.noise, self.log = idle, step, wraps_at, noise, log
        self.random = np.random.default_rng(0)
        self.energy = self.shown = 0.0
        self.others, self.passes = OTHERS, 0
        self.factor = lambda name: 1.0
        self.rows = []

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.advance(seconds, 0.0)

    def advance(self, seconds, watts):
        watts *= 1 + self.noise * self.random.normal()
        ends = self.now + seconds
        # The counter shows the energy at its last step.
        shown = np.floor((ends - self.begun) / self.step) * self.step + self.begun
        first = np.ceil((self.now - self.begun) / self.step + 1e-9) * self.step + self.begun
        for moment in np.arange(first, shown + self.step / 2, self.step) if self.log else ():
            power = self.idle(moment - self.begun) + watts
            self.rows.append((moment, self.at(moment, watts), power))
        if shown > self.now:
            self.shown = self.at(shown, watts)
        self.energy = self.at(ends, watts)
        self.now = ends

    def at(self, moment, watts):
        """The energy at a moment of this piece of work, whose idle power changes evenly."""
        middle = (self.now + moment) / 2 - self.begun
        return self.energy + (moment - self.now) * (self.idle(middle) + watts)

    def read(self):
        return self.shown % self.wraps_at

    def seconds_of_others(self, cores):
        return self.others * (self.now - self.begun)

    def model(self, name):
        def predict(images, batch_size):
            assert (images is IMAGES, batch_size) == (True, 256)
            self.passes += 1
            self.advance(SECONDS[name], WATTS[name] * self.factor(name))
            return np.zeros(len(images)), None

        return SimpleNamespace(device=torch.device("cpu"), predict=predict)

    def models(self):
        return {name: self.model(name) for name in WATTS}


@pytest.fixture
def measured(monkeypatch):
    """Measure both models in a world, by its counters or by the log of a meter."""

    def run(world, log=None, made=None, models=None):
        monkeypatch.setattr(joules, "time", world)
        monkeypatch.setattr(joules, "machine", lambda device: here())
        monkeypatch.setattr(joules.load, "seconds_of_others", world.seconds_of_others)
        counter = EnergyCounter("rapl", "package-0", world.read, world.wraps_at)
        monkeypatch.setattr(joules, "counters", lambda device: made or [counter])
        return measure(models or world.models(), IMAGES, log)

    return run


def holds(interval, truth):
    return interval.low <= truth <= interval.high


WORLDS = {
    "steady": {},
    "noisy, drifting": {"idle": lambda t: 20 + 0.002 * t, "noise": 0.03},
    "wraps": {"wraps_at": 300.0},
    "slow counter": {"step": 0.1},
}


@pytest.mark.parametrize("world", WORLDS)
def test_known_loads_are_recovered(world, measured):
    made = measured(World(**WORLDS[world]))
    assert made.refused == []
    assert [window.network for window in made.windows] == [*[None, "snn", "cnn", "snn"] * 5, None]
    assert made.step_seconds == pytest.approx(WORLDS[world].get("step", 1e-3), rel=0.5)
    for name, network in made.networks.items():
        assert holds(network.interval, TRUTH[name])
        assert network.interval.high - network.interval.low < 0.1 * TRUTH[name]
        assert network.net_watts == pytest.approx(WATTS[name], rel=0.03)
        assert len(network.repeats) == 5
        assert holds(network.ratio_interval, TRUTH[name] / TRUTH["snn"])
    for window in made.windows:
        assert window.seconds >= 10
        assert window.answers == len(IMAGES) * (
            round(window.seconds / SECONDS[window.network]) if window.network else 0
        )
        assert window.others == pytest.approx(OTHERS)
    assert (made.source, made.domains) == ("rapl", ["package-0"])
    assert (made.images, made.batch_size) == (64, 64)


def test_intervals_hold_the_truth_as_often_as_they_say(measured):
    held = []
    for seed in range(40):
        world = World(noise=0.05)
        world.random = np.random.default_rng(seed)
        made = measured(world)
        held += [holds(made.networks[name].interval, TRUTH[name]) for name in WATTS]
    assert np.mean(held) >= 0.9


def test_the_energy_of_all_counters_is_added(measured):
    world = World(noise=0.0)
    halves = [
        EnergyCounter("rapl", name, lambda share=share: share * world.shown % 200.0, 200.0)
        for name, share in (("package-0", 0.75), ("dram", 0.25))
    ]
    made = measured(world, made=halves)
    assert made.domains == ["package-0", "dram"]
    assert made.networks["snn"].joules == pytest.approx(TRUTH["snn"], rel=1e-3)


def test_three_networks_are_measured_there_and_back(measured):
    world = World()
    models = {"a": world.model("snn"), "b": world.model("cnn"), "c": world.model("snn")}
    made = measured(world, models=models)
    there_and_back = [window.network for window in made.windows[:7]]
    assert there_and_back == [None, "a", "b", "c", "b", "a", None]
    assert holds(made.networks["c"].ratio_interval, 1.0)


@pytest.fixture
def log(tmp_path, monkeypatch):
    """The log of a meter of one row a second, which began before the measurement and lags behind
    it; `change` gets the rows.
    """

    def make(world, kind="watts", change=lambda rows: rows):
        path = tmp_path / "meter.csv"
        world.sleep(5.0)
        read = LogMeter._read

        def written(meter):
            rows = [
                f"{moment:.6f},{energy if kind == 'joules' else power:.9g}"
                for moment, energy, power in change(world.rows)
            ]
            path.write_text("\n".join([f"Seconds, {kind}", *map(str, rows), "17"]))
            return read(meter)

        monkeypatch.setattr(LogMeter, "_read", written)
        monkeypatch.setattr(joules, "LOG_SECONDS", 10.0)
        return path

    return make


@pytest.mark.parametrize("kind", ["watts", "joules"])
def test_a_meters_log_gives_the_same(kind, measured, log):
    world = World(step=1.0, log=True)
    made = measured(world, log(world, kind))
    assert (made.refused, made.domains) == ([], ["meter"])
    assert made.step_seconds == pytest.approx(1.0)
    # A hundred steps.
    assert min(window.seconds for window in made.windows) >= 100
    for name, network in made.networks.items():
        assert holds(network.interval, TRUTH[name])
        assert network.interval.high - network.interval.low < 0.1 * TRUTH[name]


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        # Five rows are missing, the clock is late by an hour, and the log ends early.
        (lambda rows: [row for row in rows if not 900 < row[0] - 1.7e9 < 905.5], "6 s"),
        (lambda rows: [(row[0] + 3600, *row[1:]) for row in rows], "leave out"),
        (lambda rows: [row for row in rows if row[0] < 1.7e9 + 800], "leave out"),
    ],
    ids=["gap", "clock", "end"],
)
def test_a_log_that_leaves_out_a_part_is_refused(change, gap, measured, log):
    world = World(step=1.0, log=True)
    with pytest.raises(InputError, match=gap) as refused:
        measured(world, log(world, change=change))
    assert "meter.csv" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "time,watts\n1,2\n2,2\n",
        "seconds,watts\n",
        "seconds,watts\n1,2\n",
        "seconds,watts\n1,2\n1,2\n",
        "seconds,watts\n1,2\n2,much\n",
        "seconds,watts\n1,2\n2,nan\n",
        "seconds,watts\n1,2\n2,2,2\n",
        "seconds,joules\n1,2\n2,1\n",
        "1,2\n2,2\n",
    ],
)
def test_what_is_no_log_is_refused_by_its_name(text, tmp_path):
    (tmp_path / "meter.csv").write_text(text)
    with pytest.raises(InputError, match=r"meter\.csv: a meter's log begins with the line"):
        LogMeter(tmp_path / "meter.csv")


def test_a_log_without_a_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv"):
        LogMeter(tmp_path / "none.csv")


def refusal(made, id):
    assert made.networks == {}
    (reason,) = (reason for reason in made.refused if reason.id == id)
    return reason.values


def test_a_busy_machine_ends_the_measurement_at_once(measured):
    world = World()
    world.others = 0.6
    made = measured(world)
    assert len(made.windows) == 1
    assert refusal(made, "joules_busy") == pytest.approx({"others": 0.6, "cores": 2})


def test_an_idle_power_that_changes_is_refused(measured):
    made = measured(World(idle=lambda t: 20.0 if t < 100 else 22.0, noise=0.0))
    assert {reason.values["network"] for reason in made.refused} == {"snn", "cnn"}
    values = refusal(structs_of(made, "cnn"), "joules_drift")
    assert values["drift"] == pytest.approx(2.0, rel=1e-2)


def structs_of(made, network):
    reasons = [reason for reason in made.refused if reason.values["network"] == network]
    return SimpleNamespace(networks=made.networks, refused=reasons)


def test_repeats_that_differ_are_refused_with_their_spread(measured):
    world = World(noise=0.0)
    # One repeat of the first network takes a tenth more.
    world.factor = lambda name: 1.1 if name == "snn" and 100 < world.now - world.begun < 140 else 1
    made = measured(world)
    assert [reason.id for reason in made.refused] == ["joules_noisy"]
    values = refusal(made, "joules_noisy")
    assert (values["network"], values["repeats"], values["most"]) == ("snn", 5, 0.05)
    assert 0.05 < values["spread"] <= 0.1
    # Half of that is no reason.
    world = World(noise=0.0)
    world.factor = lambda name: 1.04 if 100 < world.now - world.begun < 140 else 1
    assert measured(world).refused == []


def test_a_network_that_takes_nothing_is_refused(measured):
    world = World(noise=0.0)
    world.factor = lambda name: float(name == "snn")
    values = refusal(measured(world), "joules_drift")
    assert (values["network"], values["net"]) == ("cnn", pytest.approx(0, abs=1e-3))


def test_a_counter_that_may_have_wrapped_unseen_or_was_set_back_is_refused(measured):
    # An answer to all images takes 25 J.
    made = measured(World(wraps_at=40.0))
    assert 0.6 < refusal(made, "joules_wrapped")["share"] < 0.7
    world = World(noise=0.0)
    set_back = EnergyCounter(
        "nvml",
        "GPU-0",
        lambda: world.shown - 2000 * (world.now - world.begun > 90),
        2**64 / 1e3,
    )
    made = measured(world, made=[set_back])
    assert refusal(made, "joules_wrapped")["share"] > 0.99


def test_a_counter_that_stands_still_is_refused(measured):
    world = World()
    with pytest.raises(InputError, match=r"nvml: the counter of GPU-0 stands still"):
        measured(world, made=[EnergyCounter("nvml", "GPU-0", lambda: 5.0, 100.0)])
    assert world.passes == 0


def test_it_is_said_how_long_the_windows_are(measured, monkeypatch):
    world, told = World(step=0.5), Telling()
    monkeypatch.setattr(joules, "time", world)
    made = measured(world)
    assert min(window.seconds for window in made.windows) == pytest.approx(50, abs=0.5)
    text = method(made)
    assert "5 repeats of idle, snn, cnn, snn, idle" in text
    assert "windows of 50 s or more" in text
    measure(world.models(), IMAGES, None, told)
    assert any("21 windows of 50 s or more" in line for line in told.lines)


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
    put("intel-rapl:0:1", "dram", 500_000)
    put("intel-rapl:2", "psys", 9_000_000)
    put.folder = tmp_path
    return put


def test_each_package_is_counted_once_and_its_memory_beside_it(powercap):
    packages = counters(torch.device("cpu"), powercap.folder)
    assert [(counter.source, counter.domain, counter.read()) for counter in packages] == [
        ("rapl", "intel-rapl:0 package-0", 1.0),
        ("rapl", "intel-rapl:0:1 dram", 0.5),
        ("rapl", "intel-rapl:1 package-1", 4.0),
    ]
    powercap("intel-rapl:0", "package-0", 3_500_000)
    assert (packages[0].read() - 1.0) % packages[0].wraps_at == 2.5
    # It has begun again from 0 after 5 J.
    powercap("intel-rapl:1", "package-1", 250_000)
    assert (packages[2].read() - 4.0) % packages[2].wraps_at == 1.25


def test_what_one_may_not_read_is_named_with_its_remedy(powercap, monkeypatch):
    read_text = Path.read_text

    def denied(path, **settings):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, **settings)

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(InputError) as refused:
        counters(torch.device("cpu"), powercap.folder)
    text = str(refused.value)
    assert text.startswith(str(powercap.folder / "intel-rapl:0" / "energy_uj"))
    assert f"sudo chmod a+r {powercap.folder}/intel-rapl:*/energy_uj" in text


def test_a_counter_that_is_not_there_or_damaged_is_refused(powercap, tmp_path):
    with pytest.raises(InputError, match="shows no energy counter for cpu"):
        counters(torch.device("cpu"), tmp_path / "none")
    with pytest.raises(InputError, match="shows no energy counter for mps"):
        counters(torch.device("mps"), powercap.folder)
    (powercap.folder / "intel-rapl:1" / "energy_uj").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        counters(torch.device("cpu"), powercap.folder)
    powercap("intel-rapl:1", "package-1", "<damaged>")
    with pytest.raises(InputError, match="cannot be read"):
        counters(torch.device("cpu"), powercap.folder)


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
    with pytest.raises(InputError, match="NVML: not supported"):
        counters(torch.device("cuda"))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(InputError, match="pip install nvidia-ml-py"):
        counters(torch.device("cuda"))
