import json
import shlex
import sys
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from typer.testing import CliRunner

import made_operations
from factories import planned, prepared, record, small_experiment
from made_pages import without_pages
from spikeduel import data, energy
from spikeduel.analysis.conclusions import compare_with_controls
from spikeduel.analysis.predicted import Answers
from spikeduel.cli import app
from spikeduel.comparing import compare
from spikeduel.data import Split
from spikeduel.data.loader import EvaluationBatches
from spikeduel.energy.rescaling import relu_twin
from spikeduel.engine.counting.operations import Ways
from spikeduel.engine.networks.models import Model, load_model
from spikeduel.evaluation import latency
from spikeduel.evaluation.correctness import chosen_threshold, classified
from spikeduel.evaluation.costing import cost, cost_entry
from spikeduel.evaluation.predictions_of_model import ask
from spikeduel.experiment.recipes import strong
from spikeduel.experiment.settings import Experiment
from spikeduel.features.compression import frontier_sentences as frontier
from spikeduel.results import predictions, significance
from spikeduel.results.cost_results import Counted
from spikeduel.results.significance import Conclusion
from spikeduel.results.trials import (
    Anytime,
    Classification,
    Confidences,
    ControlResult,
    LabelConfidences,
    Latency,
    MissingControl,
    Score,
    Times,
)
from spikeduel.sentences.comparison import load_run
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training import controls
from spikeduel.training.controls import CONTROLS, Controlled
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.outcomes import TrialOutcome, predictions_of, trial_entry
from spikeduel.training.store import Store
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")

EXPERIMENT = small_experiment(
    encoding="direct",
    limit=300,
    contenders=("dense-snn", "small-cnn"),
    controls=True,
)


ON_IMAGES = {
    name: control
    for name, control in CONTROLS.items()
    if not control.of_recordings and not control.of_all
}


@pytest.fixture(scope="module")
def controlled(tmp_path_factory):
    """A comparison with controls, without figures, which take seconds."""
    folder = tmp_path_factory.mktemp("controlled")
    with without_pages():
        return compare(EXPERIMENT, folder / "out", folder / "store")


@pytest.fixture
def write(tmp_path):
    def module(name, source):
        (tmp_path / f"{name}.py").write_text(source)

    yield module
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


def run(experiment, root, progress=None):
    """The results of the controls of each trial, by contender."""
    prepared, trials = planned(experiment)
    store, progress = Store(root), progress or Progress()
    Workers().run([Job(trial, prepared, progress) for trial in trials], store)
    by_key = controls.run(trials, prepared, store, progress, Workers())
    return {trial.card.contender: by_key.get(trial.key) for trial in trials}


def test_all_contenders_are_compared_in_whole_numbers(tmp_path, unreported):
    experiment = replace(EXPERIMENT, controls=False, int8=True, encoding="direct", seeds=2)
    results = compare(experiment, tmp_path / "out", tmp_path / "store").results
    found = results.comparison.equal_precision
    assert [row.contender for row in found.rows] == results.contenders
    for row in found.rows:
        trials = [trial.controls["int8"] for trial in results.of(row.contender)]
        assert row.accuracy == pytest.approx(np.mean([trial.accuracy for trial in trials]))
        floats = np.mean([trial.test.accuracy for trial in results.of(row.contender)])
        assert row.lost.difference == pytest.approx(floats - row.accuracy)
        assert abs(row.lost.difference) < 0.1
        kept = [trial.whole_numbers for trial in trials]
        assert row.operations == pytest.approx(np.mean([cost.operations for cost in kept]))
        assert row.flash > results.of(row.contender)[0].parameters
    (pair,) = found.pairs
    assert {pair.a, pair.b} == set(results.contenders)
    assert pair.difference == pytest.approx(pair.accuracy_a - pair.accuracy_b)
    assert results.comparison.controls == []
    assert load_run(tmp_path / "out").results.comparison.equal_precision.rows == found.rows


def test_a_network_without_a_form_in_whole_numbers_is_left_out_with_the_reason(
    unreported, tmp_path
):
    experiment = Experiment(
        dataset="digits", contenders=("resnet-silu",), epochs=1, limit=60, int8=True, device="cpu"
    )
    results = compare(experiment, tmp_path / "out", tmp_path / "store").results
    found = results.comparison.equal_precision
    assert found.rows == found.pairs == []
    assert "SiLU" in found.left_out["resnet-silu"]
    assert "resnet-silu" not in found.left_out["resnet-silu"]


FAMILIES = strong(
    "digits",
    contenders=("vgg-lif", "vgg-relu", "dense-relu"),
    epochs=2,
    width=8,
    limit=300,
    seeds=2,
    device="cpu",
    # Epochs are validated in the precision of the training, early exits are chosen in float32.
    precision="32",
    frontier=True,
)


@pytest.mark.numeric
def test_families_of_cheaper_networks_go_on_from_dearer_ones(tmp_path, unreported, monkeypatch):
    timed = []

    def made(path, images, device, own_code=()):
        timed.append(path.parent.name)
        median_ms = 100.0 - len(timed)
        num_steps = load_model(path).card.num_steps or 0
        return Latency(
            machine=latency.machine(device),
            one_image=Times(median_ms=median_ms, p95_ms=None, n=3),
            # The first step takes as long as any two others.
            stream_ms=[median_ms * (2 + step) for step in range(num_steps)] or None,
        )

    monkeypatch.setattr("spikeduel.system.load.load_average", lambda own_threads: 0.1)
    monkeypatch.setattr("spikeduel.evaluation.latency.latency", made)
    # So few validation images show no early exit to cost less.
    monkeypatch.setattr("spikeduel.evaluation.correctness.MAX_EXIT_LOSS", 0.5)
    told, awaited = Telling(), []
    monkeypatch.setattr(told, "trials", lambda seconds: awaited.extend(seconds) or nullcontext())
    results = compare(FAMILIES, tmp_path / "out", tmp_path / "store", told).results
    # All but the members of a network that has no width.
    finished = {title for title, _ in told.done}
    assert finished <= set(awaited)
    assert {title for title in awaited if "dense-relu" not in title} <= finished
    spiking, other, _ = (trial for trial in results.trials if trial.seed == 0)
    for trial in (spiking, other):
        names = set(controls.members_of(trial.spiking))
        assert {name for name, one in trial.controls.items() if one.member} == names
        assert len(names) == 15
    store = Store(tmp_path / "store")
    sources = {
        name: store.record(result.key).settings["source"]
        for name, result in spiking.controls.items()
        if result.member and result.key
    }
    keys = {name: result.key for name, result in spiking.controls.items()}
    _assert_second_is_asked_where_the_first_is_not_sure(store, other)
    _assert_predict_gives_their_answers(tmp_path / "out", monkeypatch)
    _assert_steps_are_those_until_sure(store, spiking, results.comparison.frontier)
    _assert_later_seeds_take_as_long_a_step(results)
    times = {
        result.key: result.one_image_ms
        for trial in results.trials
        if trial.seed == 0
        for result in trial.controls.values()
        if result.member and result.key
    }
    last = {key: number for number, key in enumerate(timed)}
    assert list(times.values()) == [100.0 - last[key] - 1 for key in times]
    assert sources["8_bits"] == spiking.key
    assert sources["few_spikes_half_channels"] == keys["few_spikes"]
    counted = {name: one.operations for name, one in spiking.controls.items() if one.operations}
    cost = {name: operations.totals.acs.total for name, operations in counted.items()}
    assert cost["quarter_steps"] < cost["half_steps"] < 0.7 * cost["8_bits"]
    assert 1.5 * cost["8_bits"] < cost["twice_steps"] < 3 * cost["8_bits"]
    assert cost["few_spikes_half_channels"] < cost["few_spikes"] < cost["8_bits"]
    assert cost["quarter_channels"] < cost["half_channels"] < cost["8_bits"]
    _assert_bytes_are_of_weights_and_the_rest(other, results.comparison.frontier)
    _assert_times_are_the_least_of_a_shape(other, results.comparison.frontier)
    weights = {name: one.parameters or 0 for name, one in other.controls.items()}
    assert weights["eighth_channels"] < weights["quarter_channels"] < weights["half_channels"]
    for name in ("4_bits", "2_bits"):
        levels = len(np.unique(weights_of(store, other.controls[name].key)))
        assert levels <= 2 ** int(name[0]) - 1
    assert other.controls["half_channels"].epochs == 2 * other.controls["8_bits"].epochs
    # Other conclusions are of the contenders alone.
    assert results.comparison.controls == []
    assert results.comparison.frontier.pairs[0].break_even
    kept = load_model(tmp_path / "out" / other.controls["half_channels"].model)
    assert kept.card.network["width"] == 4
    found = results.comparison.frontier
    assert [(pair.spiking, pair.other) for pair in found.pairs] == [
        ("vgg-lif", "vgg-relu"),
        ("vgg-lif", "dense-relu"),
    ]
    assert "width" in found.left_out["dense-relu"]["half the channels"]
    kept = {path.name for path in (tmp_path / "store").iterdir()}
    compare(FAMILIES, tmp_path / "again", tmp_path / "store")
    assert {path.name for path in (tmp_path / "store").iterdir()} == kept


def asked_early(num_val):
    """Two networks: the first is right where its confidence is 0.9, which is for two of three
    images, and wrong where it is 0.6; the second is always right.
    """
    labels = np.arange(2 * num_val) % 2

    def confidences(truth, is_first):
        is_right = (np.arange(len(truth)) % 3 > 0) | (not is_first)
        return Confidences(
            given=[0.5] * len(truth),
            best=np.where(is_right, truth, 1 - truth).tolist(),
            highest=np.where(is_right, 0.9, 0.6).tolist(),
        )

    val, test = np.split(np.arange(2 * num_val), 2)
    measured = {
        name: LabelConfidences(
            validation=confidences(labels[val], name == "first"),
            test=confidences(labels[test], name == "first"),
        )
        for name in ("first", "then")
    }
    context = SimpleNamespace(
        store=SimpleNamespace(measure=lambda key, measure, kind: measured[key]),
        member=lambda name: name,
        prepared=SimpleNamespace(labels=labels, classes=("a", "b")),
        trial=SimpleNamespace(split=SimpleNamespace(val=val, test=test)),
    )
    return controls._answered_early(context, "first", "then")


def test_two_networks_exit_early_by_the_rule_of_steps(monkeypatch):
    """The limit of no loss in 1,497 images is 0.2 points."""
    answers, about = asked_early(1500)
    assert (about["early"].threshold, about["early"].share) == (0.9, pytest.approx(1 / 3))
    assert (answers.accuracy, about["val_accuracy"]) == (1, 1)
    with pytest.raises(
        InputError, match=r"0\.2 points .* by 1,494 val.* At least 1,497 are needed"
    ):
        asked_early(1494)
    # Another rule reaches them, too.
    monkeypatch.setattr(chosen_threshold, "__code__", (lambda validation: (0.6, 0.0)).__code__)
    answers, about = asked_early(1494)
    assert (about["early"].threshold, about["early"].share) == (0.6, 0)
    assert answers.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize(("name", "expected"), [("8_bits", 1 / 3), ("relu_twin", 0.9)])
def test_members_are_ranked_by_validation_in_float32(name, expected):
    """Training has validated in another precision, which is what other controls keep."""
    confidences = Confidences(given=[0.5] * 3, best=[1, 1, 0], highest=[0.5] * 3)
    measured = {
        "classification": classified(["a", "b"], np.array([0, 1]), np.array([0, 1])),
        "label_confidences": LabelConfidences(validation=confidences, test=confidences),
        "operations": Counted(operations=None),
    }
    record = SimpleNamespace(
        key="key",
        status="done",
        settings={"training": {}, "network": {}, "num_steps": 1},
        parameters=10,
        history=[],
        epoch_seconds=[],
        best=SimpleNamespace(validation=Score(accuracy=0.9, loss=0.1)),
    )
    context = SimpleNamespace(
        control=(controls.MEMBERS | controls.CONTROLS)[name],
        store=SimpleNamespace(measure=lambda key, measure, kind: measured[measure]),
        prepared=SimpleNamespace(labels=[0, 1, 0, 1]),
        trial=SimpleNamespace(split=SimpleNamespace(val=np.array([1, 2, 3]))),
    )
    _, entry = controls._trained(context, record, None)
    assert entry["val_accuracy"] == pytest.approx(expected)


def test_few_bits_of_weights_leave_sums_of_spikes_their_bits():
    counted = made_operations.spiking()
    layers = [structs.replace(counted.layers[0], input="spikes", input_bits=3)]
    layers += [structs.replace(counted.layers[0], input="real", input_bits=None)]
    entry = cost_entry(Counted(operations=structs.replace(counted, layers=layers)), 4)
    assert [layer.input_bits for layer in entry["operations"].layers] == [3, 8]
    assert {layer.weight_bits for layer in entry["operations"].layers} == {4}


def _assert_bytes_are_of_weights_and_the_rest(trial, found):
    """Biases and batch norms stay in 32 bits."""
    entries = {one.member: one for one in found.members if one.contender == trial.contender}
    for name, bits in (("8_bits", 8), ("2_bits", 2), ("eighth_channels_4_bits", 4)):
        result = trial.controls[name]
        weights = sum(layer.weights for layer in result.operations.layers)
        others = result.parameters - weights
        assert 0 < others < weights
        assert entries[name].amounts["weights"].low == weights * bits / 8 + 4 * others


def _assert_times_are_the_least_of_a_shape(trial, found):
    entries = {one.member: one for one in found.members if one.contender == trial.contender}
    alike = ("8_bits", "4_bits", "2_bits")
    least = min(trial.controls[name].one_image_ms for name in alike)
    assert least < trial.controls["8_bits"].one_image_ms
    for name in alike:
        assert entries[name].amounts["time"].low == pytest.approx(least / 1e3)


def _assert_second_is_asked_where_the_first_is_not_sure(store, trial):
    result, (first, then) = trial.controls["early_exit"], ("quarter_channels", "8_bits")
    assert (result.early.first, result.early.then) == (first, then)
    answered, asked = (
        store.measure(trial.controls[name].key, "label_confidences", LabelConfidences).test
        for name in (first, then)
    )
    unsure = np.array(answered.highest) < result.early.threshold
    assert result.early.share == pytest.approx(unsure.mean())
    truth = store.measure(trial.key, "classification", Classification).truth
    predicted = np.where(unsure, asked.best, answered.best)
    assert result.accuracy == pytest.approx(np.mean(predicted == truth))
    assert result.val_accuracy >= trial.controls[then].val_accuracy - 0.5


def _assert_predict_gives_their_answers(run, monkeypatch):
    """The commands in the report, on the test images as files, give the answers that were scored,
    after as many steps, and of as many images by the second network.
    """
    results = load_run(run).results
    prepared = data.load(FAMILIES)
    test = data.split(prepared, FAMILIES).test
    answered = Answers(predictions.read(run))
    monkeypatch.chdir(run)
    for number, index in enumerate(test):
        Image.fromarray(prepared.images[index][0]).save(f"{number:03}.png")
    members = {
        f"{trial.contender}, {control.title}": (trial.contender, name, control)
        for trial in results.of("vgg-lif")[:1] + results.of("vgg-relu")[:1]
        for name, control in trial.controls.items()
    }
    commands = frontier.early_exits(results)
    assert {title for title, *_ in commands} <= members.keys()
    exits = [members[title][2] for title, *_ in commands]
    assert any(control.early for control in exits)
    assert any(control.in_time for control in exits)
    for title, command, _ in commands:
        asked = [*shlex.split(command.replace("IMAGE", "."))[1:], "--json", "-q"]
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == 0, done.output
        rows = json.loads(done.stdout)
        contender, name, control = members[title]
        labels = [prepared.classes[label] for label in answered.of(contender, name)[0]]
        assert [row["label"] for row in rows] == labels
        if control.early:
            second = f"{contender}-seed0-{control.early.then}"
            asked_second = [row["answered_by"] == second for row in rows]
            assert np.mean(asked_second) == pytest.approx(control.early.share)
        else:
            steps = [row["num_steps"] for row in rows]
            assert np.mean(steps) == pytest.approx(control.in_time.mean_steps)


def _assert_later_seeds_take_as_long_a_step(results):
    name, first, *others = "twice_steps_until_sure", *(t for t in results.trials if t.spiking)
    until_step = first.controls["twice_steps"].one_image_ms * np.arange(2, 10)
    times = [np.dot(trial.controls[name].in_time.shares, until_step) for trial in (first, *others)]
    assert len(set(times)) == 2
    assert [trial.controls[name].one_image_ms for trial in (first, *others)] == pytest.approx(times)
    (entry,) = [one for one in results.comparison.frontier.members if one.member == name]
    assert entry.amounts["time"].low == pytest.approx(np.mean(times) / 1e3)
    steps = [np.dot(t.controls[name].in_time.shares, range(1, 9)) for t in (first, *others)]
    assert entry.num_steps == pytest.approx(np.mean(steps))


def _assert_steps_are_those_until_sure(store, trial, found):
    """The answers of a network of so few steps with the same weights, at that network's cost."""
    result = trial.controls["twice_steps_until_sure"]
    exits, whole = result.in_time, trial.controls["twice_steps"]
    assert exits.source == "twice_steps"
    assert result.val_accuracy >= whole.val_accuracy - 0.5
    assert sum(exits.shares) == pytest.approx(1)
    entries = {one.member: one for one in found.members if one.contender == trial.contender}
    entry = entries["twice_steps_until_sure"]
    assert entry.num_steps < entries["twice_steps"].num_steps == 8
    for name, amount in entry.amounts.items():
        if name not in ("weights", "time"):
            assert amount.low < entries["twice_steps"].amounts[name].low
    counts = {step: counted for step, counted in enumerate(exits.operations, 1) if counted}
    assert counts.keys() == {step for step, share in enumerate(exits.shares, 1) if share}
    assert all(counted.num_steps == step for step, counted in counts.items())
    mean = sum(
        share * counted.totals.acs.total
        for share, counted in zip(exits.shares, exits.operations, strict=True)
        if counted
    )
    assert mean < whole.operations.totals.acs.total
    # Counted are the images that leave, by a network of so many steps.
    prepared = data.load(FAMILIES)
    test = data.split(prepared, FAMILIES).test
    model = load_model(store.model_path(whole.key))
    answers = ask(model, EvaluationBatches(*prepared.held, test), over_time=True)
    left = answers.over_time.exits(exits.threshold)[0]
    for step, counted in counts.items():
        shorter = Model(model.module, replace(model.card, num_steps=step))
        own = cost(shorter, prepared.images[test[left == step]]).operations
        assert own.totals.acs.total == pytest.approx(counted.totals.acs.total)
    leaving = store.measure(whole.key, "by_step", Anytime).early_exit
    assert exits.threshold == leaving.threshold
    assert leaving.accuracy == pytest.approx(result.accuracy)
    assert np.array(leaving.exit_steps) / result.n == pytest.approx(np.array(exits.shares))


def weights_of(store, key):
    """The first channel of the first layer, in steps of its largest weight."""
    state = load_model(store.model_path(key)).module.state_dict()
    weight = next(value for value in state.values() if value.dim() == 4)[0]
    return (weight / weight.abs().max()).numpy().round(4)


def test_every_control_is_in_the_results(controlled):
    spiking, other = controlled.results.trials
    assert other.controls == {}
    assert list(spiking.controls) == list(ON_IMAGES)
    for name, result in spiking.controls.items():
        about, control = (result.title, result.meaning, result.spikes), CONTROLS[name]
        assert about == (control.title, control.meaning, control.spikes)
        assert result.n == spiking.test.n
        # With one step, hardly any neuron reaches its threshold so early.
        assert (0.05 if name == "one_step" else 0.3) < result.accuracy <= 1
    assert [result.num_steps for result in spiking.controls.values()] == [1, 1, 1, 4, None]
    assert spiking.controls["quantised_twin"].bits == 3
    (about,) = controlled.results.comparison.controls
    assert [row.control for row in about.rows] == list(ON_IMAGES)
    for row in about.rows:
        assert row.accuracy == spiking.controls[row.control].accuracy
        assert row.found.difference == pytest.approx(spiking.test.accuracy - row.accuracy)
    # Controls are no rows of the main table.
    assert controlled.results.contenders == list(EXPERIMENT.contenders)


def test_energy_stands_beside_the_accuracy_of_twins(controlled):
    spiking, plain = controlled.results.trials
    first = spiking.operations.layers[0].macs.dense
    assert first == Ways(per_step=4 * 64 * 32, hoisted=64 * 32)
    assert plain.energy.tables["45nm-fp32"].of().dense > 0
    for name in ("relu_twin", "quantised_twin"):
        twin = spiking.controls[name]
        assert twin.operations.num_steps == 1
        assert twin.operations.totals.macs.dense.hoisted == 64 * 32 + 32 * 10
        # From its shape alone it is the same.
        alone = energy.estimate(relu_twin(spiking.operations).layers, energy.read("45nm-int8"))
        for memory in ("compute", "off_chip"):
            dense = twin.energy.tables["45nm-int8"].of(memory).dense
            assert dense <= alone.of(memory).dense
            assert (dense == pytest.approx(alone.of(memory).dense)) or name == "quantised_twin"
    # Activations of 3 bits are moved in 3.
    bits = [layer.input_bits for layer in spiking.controls["quantised_twin"].operations.layers]
    assert bits == [None, 3]
    assert spiking.controls["nearest_neighbour"].energy is None


def test_the_nearest_neighbour_is_scikit_learns(controlled):
    prepared = data.load(EXPERIMENT)
    split = data.split(prepared, EXPERIMENT)
    images = np.asarray(prepared.images, dtype=float).reshape(len(prepared), -1)
    known = KNeighborsClassifier(1, algorithm="brute").fit(
        images[split.train], prepared.labels[split.train]
    )
    expected = known.score(images[split.test], prepared.labels[split.test])
    accuracy = controlled.results.trials[0].controls["nearest_neighbour"].accuracy
    # Images that are equally far may be told apart otherwise.
    assert accuracy == pytest.approx(expected, abs=2 / len(split.test))


def test_controls_are_read_again_and_found_again(controlled, unreported):
    read, made = load_run(controlled.out).results.comparison, controlled.results.comparison
    assert read.pairs == made.pairs
    # The sentences are added when they are written.
    assert [about.rows for about in read.controls] == [about.rows for about in made.controls]
    document = json.loads((controlled.out / "results.json").read_text())
    assert [about["text"] for about in document["comparison"]["controls"]] == controlled.controls()
    store, told = controlled.out.parent / "store", Telling()
    again = compare(EXPERIMENT, controlled.out.parent / "again", store, told)
    assert not any(", epoch " in line for line in told.lines)
    assert sum("control, " in line and "not trained again" in line for line in told.lines) == 3
    assert again.results.comparison == controlled.results.comparison


TAKES = """
from torch import nn
import spikeduel as sd
from spikeduel.engine import over_time
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
    own = replace(EXPERIMENT, contenders=("own_takes:build",), epochs=1)
    (made,) = run(own, tmp_path / "store").values()
    assert made.missing == {}
    assert all(made.results[name].accuracy > 0 for name in ON_IMAGES)
    assert sum(bool(result.key) for result in made.results.values()) == 3


@pytest.mark.parametrize(
    ("name", "left_out", "says"),
    [
        (
            "stubborn",
            {"relu_twin", "quantised_twin"},
            "has layers of LIF whatever neuron it is given",
        ),
        ("foreign", {"relu_twin", "quantised_twin", "shuffled"}, "no layer of spikeduel's neurons"),
    ],
)
def test_what_cannot_be_had_is_left_out_with_a_reason_and_the_others_run(
    name, left_out, says, write, tmp_path
):
    write("own_stubborn", TAKES)
    experiment = replace(EXPERIMENT, contenders=(f"own_stubborn:{name}",), epochs=1, seeds=2)
    told = Telling()
    (made,) = run(experiment, tmp_path / "store", told).values()
    assert set(made.missing) == left_out == set(ON_IMAGES) - set(made.results)
    assert set(made.answers) == set(made.results)
    assert says in made.missing["relu_twin"].reason
    reasons = [line.partition("left out, ")[2] for line in told.said if "left out" in line]
    assert any(says in reason for reason in reasons)
    assert len(reasons) == len({*reasons})


def test_a_control_that_fails_costs_the_others_nothing(tmp_path, monkeypatch):
    failing = replace(CONTROLS["one_step"], train={"num_steps": 1, "learning_rate": 1e36})
    monkeypatch.setitem(controls.CONTROLS, "one_step", failing)
    made, none = run(replace(EXPERIMENT, epochs=1), tmp_path / "store").values()
    assert none is None
    assert "one_step" not in made.results
    assert "its training failed: loss or weights became NaN" in made.missing["one_step"].reason
    assert made.results["relu_twin"].accuracy > 0


# ---- what is concluded


SPIKING = {"family": "snn", "num_steps": 4}


def answered(num_right, n=1000, start=0):
    """Right on `num_right` of `n` images, from image `start` on."""
    predicted = (np.roll(np.arange(n), start) >= num_right).astype(int)
    return classified(("a", "b"), np.zeros(n, int), predicted)


def concluded(own, reasons=None, groups=None, margin=0.005, bits=None, folds=1, **by_control):
    """A contender with the answers `own` beside its controls, a seed for each answer; None is a
    failure.

    With `folds`, each seed has as many, one after the other.
    """
    outcomes = []
    for place, answers in enumerate(own):
        beside = {name: row[place] for name, row in by_control.items() if row[place] is not None}
        results = {
            name: ControlResult(
                title="",
                meaning="",
                spikes=False,
                paired=CONTROLS[name].paired,
                n=scores.n,
                accuracy=scores.accuracy,
                by_class=scores.by_class,
                bits=bits if name == "quantised_twin" else None,
            )
            for name, scores in beside.items()
        }
        fold = None if folds == 1 else place % folds
        own = record("conv-lif", place // folds, fold=fold, settings=SPIKING)
        if answers is None:
            outcomes.append(TrialOutcome(own, {}))
        else:
            missing = {
                name: MissingControl(title="", meaning="", reason=reason)
                for name, reason in (reasons or {}).items()
            }
            controlled = Controlled(results, beside, missing)
            outcomes.append(TrialOutcome(own, {"classification": answers}, controlled=controlled))
    nothing = np.arange(0)
    splits = [
        Split(nothing, nothing, np.arange(1000 * fold, 1000 * (fold + 1)), "stratified", fold)
        for fold in range(folds)
    ]
    answers = Answers(predictions_of(prepared(1000 * folds, groups=groups), splits, outcomes))
    trials = [trial_entry(outcome) for outcome in outcomes]
    about = compare_with_controls("conv-lif", trials, answers, margin)
    return about, {row.control: row for row in about.rows}


def right(answers):
    return np.array([np.equal(scores.truth, scores.predicted) for scores in answers])


def test_differences_are_those_of_contenders():
    own, other = [answered(800), answered(820)], [answered(700, start=50), answered(760, start=50)]
    _, rows = concluded(own, relu_twin=other)
    row = rows["relu_twin"]
    assert row.found == significance.difference(right(own), right(other))
    # Of two controls, the smaller p-value counts twice (Holm).
    _, both = concluded(own, relu_twin=other, quantised_twin=[answered(790), answered(810)])
    smaller, larger = sorted(
        (row.found for row in both.values() if row.found), key=lambda found: found.p_value_raw
    )
    assert smaller.p_value == 2 * smaller.p_value_raw
    assert larger.p_value == max(larger.p_value_raw, 2 * smaller.p_value_raw)
    # Images that belong together say less than as many single ones.
    _, rows = concluded(own, groups=np.arange(1000) // 50, margin=0.2, relu_twin=other)
    grouped = rows["relu_twin"].found
    assert (grouped.margin, grouped.groups) == (0.2, 20)
    assert grouped.ci95[1] - grouped.ci95[0] > row.found.ci95[1] - row.found.ci95[0]


def test_what_is_asked_of_the_trained_network_itself_is_compared_seed_by_seed():
    own = [answered(800 + 10 * seed) for seed in range(6)]
    less = [answered(780 + 10 * seed) for seed in range(6)]
    _, rows = concluded(own, shuffled=less, one_step=less)
    assert rows["shuffled"].found.p_permutation == pytest.approx(2 / 64)
    assert rows["shuffled"].found.conclusion is Conclusion.A_BETTER
    # As many right answers of other trainings say less.
    assert not rows["one_step"].found.paired
    assert rows["one_step"].found.conclusion is Conclusion.INCONCLUSIVE
    assert [name for name, control in ON_IMAGES.items() if control.paired] == ["shuffled"]


def test_rows_are_pairs_of_the_contender_and_a_control():
    about, rows = concluded(
        [answered(800), answered(820)],
        reasons={"one_step": "its training failed: NaN"},
        bits=3,
        relu_twin=[answered(900), answered(900)],
        quantised_twin=[answered(700), None],
    )
    assert list(rows) == ["relu_twin", "quantised_twin", "one_step"]
    assert (about.contender, about.num_steps, about.seeds) == ("conv-lif", 4, 2)
    assert about.accuracy == pytest.approx(0.81)
    relu, quantised, one_step = (rows[name] for name in ("relu_twin", "quantised_twin", "one_step"))
    assert relu.found.difference == pytest.approx(-0.09)
    assert relu.spread == pytest.approx(np.std([0.1, 0.08], ddof=1))
    assert (relu.found.seeds, relu.found.n, relu.bits) == (2, 1000, None)
    # Only the seed that both have.
    assert quantised.found.difference == pytest.approx(0.1)
    assert (quantised.found.seeds, quantised.bits, quantised.spread) == (1, 3, None)
    assert (one_step.accuracy, one_step.found, one_step.reason) == (
        None,
        None,
        "its training failed: NaN",
    )


def test_folds_are_pooled_by_seed_and_an_unfinished_seed_is_left_out():
    # Two seeds of two folds of 1,000 images; the last fold of the second seed has no twin.
    own = [answered(800), answered(600), answered(700), answered(900)]
    about, rows = concluded(
        own, folds=2, relu_twin=[answered(700), answered(600), answered(700), None]
    )
    assert about.accuracy == pytest.approx((0.7 + 0.8) / 2)
    difference = rows["relu_twin"].found
    assert (difference.seeds, difference.n) == (1, 2000)
    assert difference.difference == pytest.approx(0.7 - 0.65)
    # A seed with an unfinished fold of its own is no seed.
    about, _ = concluded([*own[:3], None], folds=2, relu_twin=[answered(700)] * 4)
    assert (about.seeds, about.accuracy) == (1, pytest.approx(0.7))
