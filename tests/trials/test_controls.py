import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from spikeduel import data
from spikeduel.comparing import compare
from spikeduel.measuring import energy
from spikeduel.results import comparison
from spikeduel.settings.recipes import baseline
from spikeduel.system.progress import Progress
from spikeduel.trials import controls, trial
from spikeduel.trials.controls import CONTROLS
from spikeduel.trials.store import Store

EXPERIMENT = baseline(
    dataset="digits", hidden=32, num_steps=4, epochs=2, batch_size=64, learning_rate=5e-3, device="cpu",
    encoding="direct", limit=300, contenders=("dense-snn", "small-cnn"), controls=True,
)  # fmt: skip


class Telling(Progress):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def controlled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controlled")
    return compare(EXPERIMENT, folder / "out", folder / "store")


@pytest.fixture
def write(tmp_path):
    def module(name, source):
        (tmp_path / f"{name}.py").write_text(source)

    yield module
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def run(experiment, store, progress=None):
    """What the controls of the first trial found."""
    prepared = data.load(experiment)
    split, store, progress = data.split(prepared, experiment), Store(store), progress or Progress()
    trials = trial.plan(experiment, prepared, split)
    for each in trials:
        trial.run(each, prepared, split, store, progress)
    return controls.run([(each, split) for each in trials], prepared, store, progress)


@pytest.mark.parametrize(("num_steps", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (25, 5)])
def test_the_bits_tell_the_counts_apart(num_steps, bits):
    assert controls.bits_of(num_steps) == bits == int(np.ceil(np.log2(num_steps + 1)))


def test_every_control_is_in_the_results(controlled):
    spiking, other = controlled.results["trials"]
    assert other["controls"] is None
    assert set(spiking["controls"]) == {*CONTROLS, "reasons"}
    assert spiking["controls"]["reasons"] == {}
    for name in CONTROLS:
        found = spiking["controls"][name]
        assert found["n"] == spiking["test"]["n"]
        # With one step, hardly any neuron reaches its threshold so early.
        assert (0.05 if name == "one_step" else 0.3) < found["accuracy"] <= 1
    assert [spiking["controls"][name]["num_steps"] for name in CONTROLS[:4]] == [1, 1, 1, 4]
    assert spiking["controls"]["quantised_twin"]["bits"] == 3
    assert json.loads((controlled.out / "results.json").read_text()) == json.loads(json.dumps(controlled.results))
    (about,) = controlled.results["comparison"]["controls"]
    assert [row["b"] for row in about["rows"]] == list(CONTROLS)
    for row in about["rows"]:
        assert row["accuracy"] == spiking["controls"][row["b"]]["accuracy"]
        assert row["difference"] == pytest.approx(spiking["test"]["accuracy"] - row["accuracy"])
    # Controls are no rows of the main table.
    assert [t["contender"] for t in controlled.results["trials"]] == list(EXPERIMENT.contenders)


def test_energy_stands_beside_the_accuracy_of_twins(controlled):
    spiking, plain = controlled.results["trials"]
    first = spiking["operations"]["layers"][0]["macs"]["dense"]
    assert first == {"as_written": 4 * 64 * 32, "cached": 64 * 32}
    assert plain["energy"]["tables"]["45nm-fp32"]["compute"]["synapses"]["cached"]["dense"] > 0
    for name in ("relu_twin", "quantised_twin"):
        twin = spiking["controls"][name]
        assert twin["operations"]["num_steps"] == 1
        assert twin["operations"]["totals"]["macs"]["dense"]["cached"] == 64 * 32 + 32 * 10
        # From its shape alone it is the same.
        alone = energy.estimate(energy.relu_twin(spiking["operations"]), energy.read("45nm-int8"))
        for memory in ("compute", "off_chip"):
            found = energy.joules(twin["energy"]["tables"]["45nm-int8"], memory)
            assert found <= energy.joules(alone, memory)
            assert (found == pytest.approx(energy.joules(alone, memory))) or name == "quantised_twin"
    # Activations of 3 bits are moved in 3.
    bits = [layer["input_bits"] for layer in spiking["controls"]["quantised_twin"]["operations"]["layers"]]
    assert bits == [None, 3]
    assert "energy" not in spiking["controls"]["nearest_neighbour"]


def test_the_nearest_neighbour_is_scikit_learns(controlled):
    from sklearn.neighbors import KNeighborsClassifier

    prepared = data.load(EXPERIMENT)
    split = data.split(prepared, EXPERIMENT)
    images = np.asarray(prepared.images, dtype=float).reshape(len(prepared), -1)
    known = KNeighborsClassifier(1, algorithm="brute").fit(images[split.train], prepared.labels[split.train])
    expected = known.score(images[split.test], prepared.labels[split.test])
    found = controlled.results["trials"][0]["controls"]["nearest_neighbour"]["accuracy"]
    # Images that are equally far may be told apart otherwise.
    assert found == pytest.approx(expected, abs=2 / len(split.test))


def test_controls_are_found_again_and_shown_in_the_report(controlled):
    told = Telling()
    again = compare(EXPERIMENT, controlled.out, controlled.out.parent / "store", told)
    assert not any(", epoch " in line for line in told.lines)
    assert sum("control, " in line and "not trained again" in line for line in told.lines) == 3
    assert again.results["comparison"] == controlled.results["comparison"]
    page = (controlled.out / "report.html").read_text()
    assert "What spiking buys" in page
    assert (controlled.out / "figures" / "controls.png").is_file()
    # Without controls, the same trials are found, and nothing of the controls is said.
    without = compare(replace(EXPERIMENT, controls=False), controlled.out.parent / "plain", again.out.parent / "store")
    assert without.results["trials"][0]["controls"] is None
    assert "What spiking buys" not in (without.out / "report.html").read_text()
    assert [t["key"] for t in without.results["trials"]] == [t["key"] for t in controlled.results["trials"]]
    assert comparison.load_run(controlled.out).experiment.controls


def test_a_contender_that_is_the_twin_is_named(tmp_path):
    contenders = ("dense-lif", "dense-relu", "small-cnn")
    told = Telling()
    lif, relu, _ = run(replace(EXPERIMENT, contenders=contenders, epochs=1), tmp_path / "store", told)
    assert relu is None
    (line,) = [line for line in told.lines if "shape for shape" in line]
    assert "dense-lif has the weights of the contender dense-relu" in line
    # What the line says is to be expected.
    twin = Store(tmp_path / "store").record(lif.found["relu_twin"]["key"])
    others = [Store(tmp_path / "store").record(path.parent.name) for path in tmp_path.glob("store/*/trial.json")]
    (itself,) = [record for record in others if record.settings["contender"] == "dense-relu"]
    assert twin.history == itself.history


TAKES = """
from torch import nn
import spikeduel as sd
from spikeduel.spiking.constant_input import over_time
class Net(nn.Module):
    family = "snn"
    readout = sd.MeanReadout()
    def __init__(self, num_classes, neuron):
        super().__init__()
        self.one, self.two, self.lif = nn.Linear(64, 24), nn.Linear(24, num_classes), neuron()
        self.end = sd.LeakyReadout(0.9)
    def forward(self, x):
        spk, _ = self.lif(over_time(lambda images: self.one(images.flatten(1)), x))
        return self.end(over_time(self.two, spk))
def build(image_shape, num_classes, num_steps, *, neuron, **settings):
    return Net(num_classes, neuron)
def stubborn(image_shape, num_classes, num_steps, **settings):
    return Net(num_classes, lambda: sd.LIF(0.9))
class Foreign(nn.Module):
    family = "snn"
    readout = sd.MeanReadout()
    def __init__(self, num_classes):
        super().__init__()
        self.one, self.two = nn.Linear(64, 24), nn.Linear(24, num_classes)
    def forward(self, x):
        x = x.expand() if isinstance(x, sd.ConstantInput) else x
        return self.two((self.one(x.flatten(2)).cumsum(0) > 0.5).float())
def foreign(image_shape, num_classes, num_steps, **settings):
    return Foreign(num_classes)
"""


def test_a_network_of_ones_own_gets_its_controls(write, tmp_path):
    write("own_takes", TAKES)
    (found,) = run(replace(EXPERIMENT, contenders=("own_takes:build",), epochs=1), tmp_path / "store")
    assert found.reasons == {}
    assert all(found.found[name]["accuracy"] > 0 for name in CONTROLS)


@pytest.mark.parametrize(
    ("name", "left_out", "says"),
    [
        ("stubborn", {"relu_twin", "quantised_twin"}, "has layers of LIF whatever neuron it is given"),
        ("foreign", {"relu_twin", "quantised_twin", "shuffled"}, "no layer of spikeduel's neurons"),
    ],
)
def test_what_cannot_be_had_is_null_with_a_reason_and_the_others_run(name, left_out, says, write, tmp_path):
    write("own_stubborn", TAKES)
    experiment = replace(EXPERIMENT, contenders=(f"own_stubborn:{name}",), epochs=1)
    told = Telling()
    (found,) = run(experiment, tmp_path / "store", told)
    assert {control for control in CONTROLS if found.found[control] is None} == left_out == set(found.reasons)
    assert says in found.reasons["relu_twin"]
    assert found.entry()["relu_twin"] is None
    assert any("left out" in line and says in line for line in told.lines)


def test_a_control_that_fails_costs_the_others_nothing(tmp_path, monkeypatch):
    failing = {**controls.TRAINED, "one_step": lambda given: replace(given, num_steps=1, learning_rate=1e36)}
    monkeypatch.setattr(controls, "TRAINED", failing)
    found, none = run(replace(EXPERIMENT, epochs=1), tmp_path / "store")
    assert none is None
    assert found.found["one_step"] is None
    assert "its training failed: loss or weights became NaN" in found.reasons["one_step"]
    assert found.found["relu_twin"]["accuracy"] > 0
