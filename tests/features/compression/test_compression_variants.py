import json
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from typer.testing import CliRunner

import made_models
import made_operations
from spikeduel import data
from spikeduel.analysis.predicted import Predictions
from spikeduel.cli import app
from spikeduel.comparing import compare
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks.models import Model, load_model
from spikeduel.evaluation import latency
from spikeduel.evaluation.correctness import chosen_threshold, classified
from spikeduel.evaluation.costing import cost_entry, operations
from spikeduel.evaluation.predictions_of_model import predict_in_one_pass
from spikeduel.experiment.recipes import strong
from spikeduel.features import FEATURES
from spikeduel.features.compression import compression_section, compression_variants
from spikeduel.results import predictions
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import (
    Anytime,
    Classification,
    Confidences,
    LabelConfidences,
    Latency,
    Score,
    Times,
)
from spikeduel.sentences.comparison import load_run
from spikeduel.system.errors import InputError
from spikeduel.training import variants
from spikeduel.training.store import Store
from spikeduel.training.twins import RELU_TWIN
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")

NETWORK_KINDS = strong(
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
def test_cheaper_variants_go_on_from_dearer_ones(tmp_path, unreported, monkeypatch):
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
    progress, awaited = Telling(), []
    monkeypatch.setattr(
        progress, "trials", lambda seconds: awaited.extend(seconds) or nullcontext()
    )
    results = compare(NETWORK_KINDS, tmp_path / "out", tmp_path / "store", progress).results
    # All but the variants of a network that has no width.
    finished = {title for title, _ in progress.done}
    assert finished <= set(awaited)
    assert {title for title in awaited if "dense-relu" not in title} <= finished
    spiking, other, _ = (trial for trial in results.trials if trial.seed == 0)
    for trial in (spiking, other):
        names = set(compression_variants.variants_of(trial.spiking))
        assert {name for name, one in trial.variants.items() if one.compressed} == names
        assert sum(name.endswith("first_spikes") for name in names) == 7 * (not trial.spiking)
        trained = {name for name in names if trial.variants[name].key}
        assert len(trained) == 16
    store = Store(tmp_path / "store")
    sources = {
        name: store.record(result.key).settings["source"]
        for name, result in spiking.variants.items()
        if result.compressed and result.key
    }
    keys = {name: result.key for name, result in spiking.variants.items()}
    _assert_second_is_asked_where_the_first_is_not_sure(store, other)
    if "predicting" in FEATURES:
        _assert_predict_gives_their_predictions(tmp_path / "out", monkeypatch)
    _assert_steps_are_those_of_early_exits(store, spiking, results.features["compression"])
    _assert_later_seeds_take_as_long_a_step(results)
    times = {
        result.key: result.one_image_ms
        for trial in results.trials
        if trial.seed == 0
        for result in trial.variants.values()
        if result.compressed and result.key
    }
    last = {key: number for number, key in enumerate(timed)}
    assert list(times.values()) == [100.0 - last[key] - 1 for key in times]
    assert sources["8_bits"] == spiking.key
    assert sources["few_spikes_half_channels"] == keys["few_spikes"]
    counted = {name: one.operations for name, one in spiking.variants.items() if one.operations}
    cost = {name: operations.totals.acs.total for name, operations in counted.items()}
    assert cost["quarter_steps"] < cost["half_steps"] < 0.7 * cost["8_bits"]
    assert 1.5 * cost["8_bits"] < cost["twice_steps"] < 3 * cost["8_bits"]
    assert cost["few_spikes_half_channels"] < cost["few_spikes"] < cost["8_bits"]
    assert cost["quarter_channels"] < cost["half_channels"] < cost["8_bits"]
    _assert_bytes_are_of_weights_and_the_rest(other, results.features["compression"])
    _assert_times_are_the_least_of_a_shape(other, results.features["compression"])
    weights = {name: one.parameters or 0 for name, one in other.variants.items()}
    assert weights["eighth_channels"] < weights["quarter_channels"] < weights["half_channels"]
    for name in ("4_bits", "2_bits"):
        levels = len(np.unique(weights_of(store, other.variants[name].key)))
        assert levels <= 2 ** int(name[0]) - 1
    assert other.variants["half_channels"].epochs == 2 * other.variants["8_bits"].epochs
    # Other conclusions are of the contenders alone.
    assert "ablations" not in results.features
    assert results.features["compression"].pairs[2].break_even
    loaded = load_model(tmp_path / "out" / other.variants["half_channels"].model)
    assert loaded.card.network["width"] == 4
    found = results.features["compression"]
    assert [(pair.spiking, pair.other) for pair in found.pairs] == [
        (spiking, other)
        for spiking in ("the spiking networks", "vgg-lif", "vgg-relu by first spikes")
        for other in ("vgg-relu", "dense-relu")
    ]
    _assert_first_spikes_are_of_the_same_network(other, found)
    assert compression_section.section(SimpleNamespace(results=results), found).charts
    assert "width" in found.left_out["dense-relu"]["half the channels"]
    stored = {path.name for path in (tmp_path / "store").iterdir()}
    compare(NETWORK_KINDS, tmp_path / "again", tmp_path / "store")
    assert {path.name for path in (tmp_path / "store").iterdir()} == stored


def asked_early(num_val, monkeypatch):
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
    monkeypatch.setattr(
        compression_variants, "load_of", lambda *where: made_models.make("vgg-relu")
    )
    context = SimpleNamespace(
        store=SimpleNamespace(measure=lambda key, measure, kind: measured[key]),
        key_of=lambda name: name,
        prepared=SimpleNamespace(labels=labels, classes=("a", "b")),
        trial=SimpleNamespace(split=SimpleNamespace(val=val, test=test)),
    )
    return compression_variants.predict_in_turn(context, "first", "then")


def test_two_networks_exit_early_by_the_rule_of_steps(monkeypatch):
    """The limit of no loss in 1,497 images is 0.2 points."""
    predicted, about = asked_early(1500, monkeypatch)
    assert (about["early"].threshold, about["early"].share) == (0.9, pytest.approx(1 / 3))
    assert (predicted.accuracy, about["val_accuracy"]) == (1, 1)
    assert about["early"].deciding_ms > 0
    with pytest.raises(
        InputError, match=r"by 1,494 val.* 0\.2 points .* At least 1,497 are needed"
    ):
        asked_early(1494, monkeypatch)
    # Another rule reaches them, too.
    monkeypatch.setattr(chosen_threshold, "__code__", (lambda validation: (0.6, 0.0)).__code__)
    predicted, about = asked_early(1494, monkeypatch)
    assert (about["early"].threshold, about["early"].share) == (0.6, 0)
    assert predicted.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize(("name", "expected"), [("8_bits", 1 / 3), ("relu_twin", 0.9)])
def test_variants_are_ranked_by_validation_in_float32(name, expected):
    """Training has validated in another precision, which is what other variants keep."""
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
        variant=(compression_variants.VARIANTS | {"relu_twin": RELU_TWIN})[name],
        store=SimpleNamespace(measure=lambda key, measure, kind: measured[measure]),
        prepared=SimpleNamespace(labels=[0, 1, 0, 1]),
        latencies={},
        trial=SimpleNamespace(split=SimpleNamespace(val=np.array([1, 2, 3]))),
    )
    _, entry = variants._result(context, record)
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
    entries = {one.name: one for one in found.variants if one.contender == trial.contender}
    for name, bits in (("8_bits", 8), ("2_bits", 2), ("half_channels_4_bits", 4)):
        result = trial.variants[name]
        weights = sum(layer.weights for layer in result.operations.layers)
        others = result.parameters - weights
        assert 0 < others < weights
        assert entries[name].amounts["weights"].low == weights * bits / 8 + 4 * others


def _assert_times_are_the_least_of_a_shape(trial, found):
    entries = {one.name: one for one in found.variants if one.contender == trial.contender}
    alike = ("8_bits", "4_bits", "2_bits", "activations_4_bits", "activations_2_bits")
    least = min(trial.variants[name].one_image_ms for name in alike)
    assert least < trial.variants["8_bits"].one_image_ms
    for name in alike:
        assert entries[name].amounts["time"].low == pytest.approx(least / 1e3)


def _assert_first_spikes_are_of_the_same_network(trial, found):
    """Accuracies, weights and times are those of the network without spikes, and at most one spike
    leaves a neuron.
    """
    entries = {one.name: one for one in found.variants}
    for name in (*compression_variants.COMPRESSED_OF_OTHERS, "8_bits"):
        if f"{name}_first_spikes" not in entries:
            assert trial.variants[name].title in found.left_out[trial.contender]
            continue
        spiking, result = entries[f"{name}_first_spikes"], trial.variants[f"{name}_first_spikes"]
        usual = next(one for one in found.variants if one.name == name and not one.spiking)
        assert spiking.spiking
        assert spiking.contender == "vgg-relu by first spikes"
        assert spiking.accuracy == usual.accuracy
        assert spiking.amounts["weights"] == usual.amounts["weights"]
        assert spiking.amounts["time"] == usual.amounts["time"]
        totals = result.operations.totals
        assert 0 < totals.spikes.total < totals.neurons
        steps = 2 ** int(name.split("activations_")[1][0]) - 1 if "activations" in name else 255
        assert spiking.num_steps == result.operations.num_steps == steps


def _assert_second_is_asked_where_the_first_is_not_sure(store, trial):
    result, (first, then) = trial.variants["early_exit"], ("quarter_channels", "8_bits")
    assert (result.early.first, result.early.then) == (first, then)
    first_network, asked = (
        store.measure(trial.variants[name].key, "label_confidences", LabelConfidences).test
        for name in (first, then)
    )
    unsure = np.array(first_network.highest) < result.early.threshold
    assert result.early.share == pytest.approx(unsure.mean())
    truth = store.measure(trial.key, "classification", Classification).truth
    predicted = np.where(unsure, asked.best, first_network.best)
    assert result.accuracy == pytest.approx(np.mean(predicted == truth))
    assert result.val_accuracy >= trial.variants[then].val_accuracy - 0.5


def _assert_predict_gives_their_predictions(run, monkeypatch):
    """The commands in the docs, on the test images as files, give the predictions that were scored,
    after as many steps, and of as many images by the second network.
    """
    results = load_run(run).results
    prepared = data.load(NETWORK_KINDS)
    test = data.split(prepared, NETWORK_KINDS).test
    scored = Predictions(predictions.read(run))
    monkeypatch.chdir(run)
    for number, index in enumerate(test):
        Image.fromarray(prepared.images[index][0]).save(f"{number:03}.png")
    exits = [
        (trial, name, variant)
        for trial in results.of("vgg-lif")[:1] + results.of("vgg-relu")[:1]
        for name, variant in trial.variants.items()
        if variant.early or variant.temporal_exit
    ]
    assert any(variant.early for _, _, variant in exits)
    assert any(variant.temporal_exit for _, _, variant in exits)
    for trial, name, variant in exits:
        first, *then = [trial.variants[used].model for used in variant.asks]
        threshold = (variant.early or variant.temporal_exit).threshold
        asked = ["predict", first, ".", "--exit-threshold", str(threshold), "--json", "-q"]
        asked += [part for model in then for part in ("--fallback", model)]
        done = CliRunner().invoke(app, asked)
        assert done.exit_code == 0, done.output
        rows = json.loads(done.stdout)
        contender = trial.contender
        labels = [prepared.classes[label] for label in scored.of(contender, name)[0]]
        assert [row["label"] for row in rows] == labels
        if variant.early:
            second = f"{contender}-seed0-{variant.early.then}"
            asked_second = [row["predicted_by"] == second for row in rows]
            assert np.mean(asked_second) == pytest.approx(variant.early.share)
        else:
            steps = [row["num_steps"] for row in rows]
            assert np.mean(steps) == pytest.approx(variant.temporal_exit.mean_steps)


def _assert_later_seeds_take_as_long_a_step(results):
    name, first, *others = "twice_steps_until_sure", *(t for t in results.trials if t.spiking)
    until_step = first.variants["twice_steps"].one_image_ms * np.arange(2, 10)
    times = [
        np.dot(trial.variants[name].temporal_exit.shares, until_step) for trial in (first, *others)
    ]
    assert len(set(times)) == 2
    assert [trial.variants[name].one_image_ms for trial in (first, *others)] == pytest.approx(times)
    (entry,) = [one for one in results.features["compression"].variants if one.name == name]
    assert entry.amounts["time"].low == pytest.approx(np.mean(times) / 1e3)
    steps = [np.dot(t.variants[name].temporal_exit.shares, range(1, 9)) for t in (first, *others)]
    assert entry.num_steps == pytest.approx(np.mean(steps))


def _assert_steps_are_those_of_early_exits(store, trial, found):
    """Predictions are those of a network of so few steps with the same weights, at its cost."""
    result = trial.variants["twice_steps_until_sure"]
    exits, whole = result.temporal_exit, trial.variants["twice_steps"]
    assert exits.source == "twice_steps"
    assert result.val_accuracy >= whole.val_accuracy - 0.5
    assert sum(exits.shares) == pytest.approx(1)
    entries = {one.name: one for one in found.variants if one.contender == trial.contender}
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
    prepared = data.load(NETWORK_KINDS)
    test = data.split(prepared, NETWORK_KINDS).test
    model = load_model(store.model_path(whole.key))
    predicted = predict_in_one_pass(
        model, EvaluationBatches(*prepared.arrays, test), over_time=True
    )
    left = predicted.over_time.exits(exits.threshold)[0]
    for step, counted in counts.items():
        shorter = Model(model.module, replace(model.card, num_steps=step))
        own = operations(
            shorter, EvaluationBatches(*prepared.arrays, test[left == step])
        ).operations
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
