import json
from dataclasses import replace

import nir
import numpy as np
import pytest

from factories import export
from made_models import make, varied
from spikeduel import data
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.models import Model
from spikeduel.experiment.recipes import chip
from spikeduel.exporters import exporting, nir as nir_files
from spikeduel.exporters.nir import import_model
from spikeduel.system.errors import InputError
from spikeduel.training import contenders

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 1, 10, 10), np.uint8)
LABELS = np.arange(30) % 3
NETWORK = {"hidden": 12, "neuron": "lif", "beta": 0.9, "threshold": 0.5, "reset_mechanism": "zero"}


def made(shape="dense-lif", **network):
    card = {
        "kind": "snn",
        "encoding": "direct",
        "num_steps": 4,
        "network": {**NETWORK, **network},
    }
    return varied(make(shape, **card))


def exported(model, path):
    return export(model, path, "nir", images=IMAGES, labels=LABELS)


@pytest.mark.parametrize(
    ("shape", "network", "programs"),
    [
        ("dense-lif", {}, {"spikeduel", "snntorch", "norse"}),
        ("conv-lif", {"pooling": "avg"}, {"spikeduel", "snntorch"}),
        ("vgg-lif", {"width": 4, "dropout": 0.5, "pooling": "avg"}, {"spikeduel", "snntorch"}),
    ],
)
def test_other_programs_give_the_models_scores(shape, network, programs, tmp_path):
    checks = exported(made(shape, **network), tmp_path / "a.nir").programs
    assert {name.split()[0] for name in checks} == programs
    assert all(check.ok and check.spikes_compared > 0 for check in checks.values())
    nodes = nir.read(tmp_path / "a.nir").nodes.values()  # it passes nir's own check of shapes
    if shape == "conv-lif":
        kinds = [*["Conv2d", "LIF", "AvgPool2d"] * 2, "Flatten", "Affine", "LIF", "Affine"]
        assert sorted(type(node).__name__ for node in nodes) == sorted(["Input", *kinds, "Output"])


def test_the_recipe_chip_trains_what_nir_can_say(tmp_path):
    experiment = chip("digits", width=4, device="cpu")
    prepared = data.load(experiment)
    model = {}
    for recipe in (experiment, replace(experiment, pooling="max", reset_mechanism="subtract")):
        card = contenders.describe("vgg-lif", recipe, prepared).card
        model[recipe.pooling] = Model(build(card).eval(), card)
    some = {"images": prepared.images[:20], "labels": prepared.labels[:20]}
    check = export(model["avg"], tmp_path / "a.nir", "nir", **some)
    assert all(program.ok for program in check.programs.values())
    with pytest.raises(InputError, match="--recipe chip"):
        export(model["max"], tmp_path / "b.nir", "nir", **some)


def test_the_neurons_by_hand(tmp_path):
    exported(made(), tmp_path / "a.nir")
    graph = nir.read(tmp_path / "a.nir")
    (lif, _) = [node for node in graph.nodes.values() if isinstance(node, nir.LIF)]
    # tau is dt / (1 − 0.9), and the threshold 0.5 · (1 − 0.9).
    expected = {"tau": 1e-3, "v_threshold": 0.05, "r": 1, "v_leak": 0, "v_reset": 0}
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(lif, name), np.full(12, value), rtol=1e-6)
    about = json.loads(graph.metadata["spikeduel"])
    assert (about["classes"], about["num_steps"]) == (["a", "b", "c"], 4)
    assert about["probabilities"].startswith("not in the graph, as NIR has no softmax: ")
    order = "float32 at each step, [B, C·H·W], an image's rows one after the other; "
    assert about["input"].startswith(order)
    assert about["input"].endswith("prepared pixels / 255")


@pytest.mark.parametrize("program", ["snntorch", "norse"])
def test_a_program_that_reads_something_else_is_found_out(program, tmp_path, monkeypatch):
    def wrong(graph):
        for node in graph.nodes.values():
            if isinstance(node, nir.LIF):
                node.v_threshold[:] *= 1.5
        return honest(graph)

    honest = nir_files.PROGRAMS[program]
    monkeypatch.setattr(nir_files, "PROGRAMS", {program: wrong})
    with pytest.raises(exporting.ExportDisagrees, match=program):
        exported(made(), tmp_path / "a.nir")
    assert not (tmp_path / "a.nir").exists()


@pytest.mark.parametrize(
    ("shape", "network", "remedy"),
    [
        ("dense-lif", {"reset_mechanism": "subtract"}, "--reset-mechanism zero"),
        ("dense-lif", {"neuron": "alif"}, "--neuron lif"),
        ("dense-lif", {"neuron": "relu"}, "--neuron lif"),
        ("dense-lif", {"neuron": "if"}, "a beta below 1"),
        ("dense-lif", {"beta": 0.0}, "a beta above 0"),
        ("conv-lif", {}, "--pooling avg"),
        ("dense-snn", {}, "--contender dense-lif"),
        ("conv-lif", {"reset_mechanism": "none"}, "--reset-mechanism zero.*--pooling avg"),
    ],
)
def test_what_nir_cannot_say_is_refused_with_a_remedy(shape, network, remedy, tmp_path):
    card = {"kind": "snn", "encoding": "direct", "num_steps": 4}
    taken = {**NETWORK, **network}
    if taken["neuron"] == "relu":
        taken = {"hidden": 12, "neuron": "relu"}
    if taken["neuron"] == "if":
        del taken["beta"]
    with pytest.raises(InputError, match=remedy):
        exported(make(shape, **card, network=taken), tmp_path / "a.nir")
    assert not list(tmp_path.glob("a.nir*"))


def test_the_temperature_goes_along_as_long_as_the_steps_are_the_same(tmp_path):
    model, path = made(), tmp_path / "a.nir"
    model.card = replace(model.card, temperature=1.75)
    check = exported(model, path)
    sentence = "Probabilities: not in the file, as NIR has no softmax: the softmax of scores / 1.75"
    assert sentence in " ".join(exporting.lines(check))
    again = import_model(path)
    assert again.card.temperature == check.model.temperature == 1.75
    np.testing.assert_allclose(again.predict(IMAGES)[1], model.predict(IMAGES)[1], atol=1e-5)
    for changes in ({"num_steps": 5}, {"dt": 2e-4}):
        assert import_model(path, **changes).card.temperature is None
