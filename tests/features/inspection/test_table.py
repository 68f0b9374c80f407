from dataclasses import replace

import numpy as np
import pytest
import torch

import made_models
from spikeduel import data
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.models import Model, load_model, save_model
from spikeduel.evaluation.corruptions import corrupt
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.features.inspection.table import MAX_STEPS, lay, takes
from spikeduel.system.errors import InputError

pytestmark = pytest.mark.numeric

LIF, RELU = "vgg-lif", "vgg-relu"


def test_samples_are_two_test_images_of_each_class_most_of_them_known(table):
    assert np.bincount(table.labels).tolist() == [2] * 10
    labels, _ = table.models[LIF].predict(table.samples)
    assert (labels == table.labels).sum() >= 16


@pytest.mark.parametrize(("dataset", "num_samples"), [("digits", 20), ("mnist", 0)])
def test_samples_of_a_run_are_its_test_images_where_they_are_at_hand(
    tmp_path, dataset, num_samples
):
    path = tmp_path / "run" / "models" / "small-cnn-seed0.safetensors"
    path.parent.mkdir(parents=True)
    experiment = Experiment(dataset=dataset)
    write_experiment(path.parents[1] / "experiment.toml", experiment)
    digits = data.load(Experiment(dataset="digits"))
    card = {
        "image_shape": (1, 8, 8),
        "classes": digits.classes,
        "preprocessing": digits.preprocessing,
    }
    save_model(path, made_models.make("small-cnn", network={"hidden": 12}, **card))
    table = lay([load_model(path)])
    assert len(table.samples) == num_samples
    if num_samples:
        test = digits.images[data.split(digits, experiment).test]
        assert all((test == sample).all((1, 2, 3)).any() for sample in table.samples)
        assert np.bincount(table.labels).tolist() == [2] * 10
    assert not list(tmp_path.rglob("store"))


@pytest.mark.parametrize(
    "models",
    [
        [],
        [made_models.make()] * 5,
        [made_models.of_recordings()],
        [made_models.make(), made_models.make(classes=("a", "b", "d"))],
        [
            made_models.make(),
            made_models.make(
                preprocessing=replace(made_models.make().card.preprocessing, invert=False)
            ),
        ],
    ],
    ids=["none", "five", "recordings", "other classes", "other preprocessing"],
)
def test_models_that_cannot_look_at_one_image_are_refused(models):
    with pytest.raises(InputError):
        lay(models)


def test_what_can_be_changed_in_a_model(table):
    assert takes(table.models[LIF]) == {
        "num_steps": 4,
        "threshold": 0.5,
        "beta": 0.5,
        "encoding": "direct",
    }
    assert takes(table.models[RELU]) == {}
    network = {"hidden": 12, "neuron": "plif", "beta": 0.9, "threshold": 0.5}
    learned = takes(made_models.make(network=network))
    assert "beta" not in learned
    assert learned["threshold"] == 0.5


def test_settings_change_a_model_as_if_it_had_been_built_so_and_not_the_one_on_the_table(table):
    settings = table.settings(
        {"threshold": "0.8", "beta": "0.2", "num_steps": "7", "encoding": "rate"}
    )
    before, weights = (
        table.models[LIF].predict(table.samples),
        table.models[LIF].module.state_dict(),
    )
    players = table.players(settings)
    card = replace(table.models[LIF].card, num_steps=7, encoding="rate")
    card = replace(card, network={**card.network, "threshold": 0.8, "beta": 0.2})
    module = build(card)
    module.load_state_dict(weights)
    expected = Model(module.eval(), card).predict(table.samples)[1]
    np.testing.assert_array_equal(players[LIF].predict(table.samples)[1], expected)
    assert not np.array_equal(expected, before[1])
    assert players[RELU] is table.models[RELU]
    np.testing.assert_array_equal(table.models[LIF].predict(table.samples)[1], before[1])


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("num_steps", ["0", "17", "2.5", "9" * 400]),
        ("threshold", ["0", "-1", "1e300", "1e-30", "nan", "inf"]),
        ("beta", ["1.01"]),
        ("encoding", ["os:system", "foo"]),
        ("corruption", ["fog"]),
        ("severity", ["6", "0"]),
        ("sample", ["20", "-1", "../../etc/passwd"]),
        ("path", ["/etc/passwd"]),
    ],
)
def test_settings_out_of_limits_are_refused(table, name, texts):
    for text in texts:
        with pytest.raises(InputError):
            table.settings({name: text})


@pytest.mark.parametrize(
    ("threshold", "num_steps", "limits"),
    [
        (3.0, 24, {"num_steps": (1, 48), "threshold": (0.05, 6.0)}),
        (0.01, 2 * MAX_STEPS, {"num_steps": (1, 2 * MAX_STEPS), "threshold": (0.01, 2.0)}),
    ],
)
def test_limits_hold_the_values_as_trained_and_twice_these(threshold, num_steps, limits):
    network = {"hidden": 12, "neuron": "lif", "threshold": threshold}
    table = lay([made_models.make(network=network, num_steps=num_steps)])
    assert table.limits == limits
    assert table.settings({"num_steps": str(num_steps), "threshold": str(threshold)})


def test_an_image_is_corrupted_as_robustness_does_it(table):
    settings = table.settings({"sample": "3", "corruption": "noise", "severity": "4"})
    expected = corrupt("noise", torch.from_numpy(table.samples[3:4]), 4, np.array([3]))[0]
    np.testing.assert_array_equal(table.image(b"", settings), expected)
    np.testing.assert_array_equal(table.image(b"", {"sample": 3}), table.samples[3])
    with pytest.raises(InputError, match="No image"):
        table.image(b"", {})
