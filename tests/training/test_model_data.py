"""The data of a trained model are found again, or refused."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from made_trained import EXPERIMENT, train, write_folder
from spikeduel import data
from spikeduel.engine.networks.models import load_model
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training.model_data import (
    require_the_same,
    split_for,
    test_images as images_to_test,
    trained_on,
)
from spikeduel.training.store import Store, images_digest


def test_some_test_images_evenly_spread(tmp_path):
    experiment = replace(EXPERIMENT, contenders=("small-cnn",), epochs=1)
    model = load_model(train(experiment, tmp_path / "s")[0])
    prepared = data.load(EXPERIMENT)
    test = data.split(prepared, EXPERIMENT).test
    images, labels, name = images_to_test(model, EXPERIMENT, 3, store=tmp_path / "counting")
    assert name == "digits"
    chosen = test[[0, (len(test) - 1) // 2, len(test) - 1]]
    assert np.array_equal(images, prepared.images[chosen])
    assert np.array_equal(labels, prepared.labels[chosen])
    everything, *_ = images_to_test(model, EXPERIMENT, 10**6, store=tmp_path / "counting")
    assert np.array_equal(everything, prepared.images[test])
    assert Store(tmp_path / "counting").test_uses(images_digest(prepared, test)) == 2
    with pytest.raises(InputError, match="takes images of shape"):
        images_to_test(model, replace(EXPERIMENT, dataset="fashion-mnist-mini"), 3)


@pytest.fixture
def run_on_own_digits(tmp_path):
    """The model file in a run's folder, and the images tested of the run's experiment on the user's
    own grouped folder called digits.
    """
    folder = write_folder(tmp_path / "mine" / "digits", list("0123456789"), 12)
    experiment = replace(folder, contenders=("small-cnn",), epochs=1, group_by=r"(\d/\d)")
    trained, _, split = train(experiment, tmp_path / "s")
    path = tmp_path / "run" / "models" / "small-cnn-seed0.safetensors"
    path.parent.mkdir(parents=True)
    shutil.copy(trained, path)
    write_experiment(tmp_path / "run" / "experiment.toml", experiment)
    return path, np.array(data.load(experiment).images[split.test])


def test_the_data_that_its_run_says_not_a_built_in_set_of_the_same_name(
    run_on_own_digits, monkeypatch
):
    path, expected = run_on_own_digits
    images, _, name = images_to_test(load_model(path), None, 1000)
    assert (name, np.array_equal(images, expected)) == ("digits", True)
    monkeypatch.chdir(path.parent)
    assert np.array_equal(images_to_test(load_model(path.name), None, 1000)[0], expected)


def test_a_built_in_set_of_the_same_name_is_not_taken_unless_it_is_named(
    run_on_own_digits, tmp_path
):
    path, expected = run_on_own_digits
    away = load_model(shutil.copy(path, tmp_path / "away.safetensors"))
    marks = (away.card.trained_on["ungrouped"][:12], data.load(EXPERIMENT).fingerprint[:12])
    with pytest.raises(
        InputError, match=r"small-cnn.* digits .*{}.* digits .*{}.*--dataset".format(*marks)
    ):
        images_to_test(away, None, 10, store=tmp_path / "counting")
    assert not (tmp_path / "counting").exists()
    assert len(images_to_test(away, EXPERIMENT, 10**6)[0]) == 179 != len(expected)


def test_own_data_that_have_changed_or_gone_are_refused(run_on_own_digits, tmp_path):
    path, _ = run_on_own_digits
    folder = tmp_path / "mine" / "digits"
    shutil.copy(folder / "0" / "1.png", folder / "2" / "99.png")
    with pytest.raises(InputError, match="these are other data"):
        images_to_test(load_model(path), None, 10)
    shutil.rmtree(folder)
    gone = (
        r"trained on .*mine/digits, which cannot be found here "
        r"\(.*run.experiment\.toml says so\)\. Name .* --dataset"
    )
    with pytest.raises(InputError, match=gone):
        images_to_test(load_model(path), None, 10)


def test_data_that_were_moved_are_found_where_the_settings_name_them(run_on_own_digits, tmp_path):
    path, _ = run_on_own_digits
    model, moved = load_model(path), tmp_path / "elsewhere"
    (tmp_path / "mine" / "digits").rename(moved)
    experiment = trained_on(model, {"dataset": str(moved)})
    require_the_same(model.card, experiment, Progress())
    numbers = [
        len(split_for(model.card, each, Progress())[1].test)
        for each in (experiment, replace(experiment, group_by=None))
    ]
    assert numbers[0] == numbers[1] < 120


def test_a_place_of_files_that_is_gone_is_named_with_who_says_so(run_on_own_digits, tmp_path):
    path, _ = run_on_own_digits
    toml = tmp_path / "run" / "experiment.toml"
    write_experiment(toml, Experiment(dataset="mnist", data_dir=str(tmp_path / "idx")))
    with pytest.raises(
        InputError, match=r"mnist from .*idx, where nothing is now \(.*experiment\.toml.*--data-dir"
    ):
        trained_on(load_model(path))
    (tmp_path / "new").mkdir()
    moved = trained_on(load_model(path), {"data_dir": str(tmp_path / "new")})
    assert (moved.dataset, moved.data_dir) == ("mnist", str(tmp_path / "new"))
