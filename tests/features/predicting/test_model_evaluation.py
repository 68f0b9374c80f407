"""Models on the test part of data, or on all."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from PIL import Image

from made_models import of_recordings
from made_trained import EXPERIMENT, train, write_folder
from spikeduel import data
from spikeduel.auditing.audit_results import Counts
from spikeduel.engine.networks.models import load_model
from spikeduel.experiment.settings import Experiment
from spikeduel.features.predicting.model_evaluation import Evaluation, evaluate
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training import contenders, trial
from spikeduel.training.store import Store, images_digest
from telling import Telling

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Each contender's model file, and what its trial measured."""
    store = Store(tmp_path_factory.mktemp("store"))
    prepared = data.load(EXPERIMENT)
    split = data.split(prepared, EXPERIMENT)
    made = {}
    for planned in contenders.trials_of(EXPERIMENT, prepared, split):
        record = trial.run(planned, prepared, store, Progress())
        made[planned.card.contender] = store.model_path(record.key), trial.measured(planned, store)
    return made


@pytest.mark.parametrize("contender", ["dense-snn", "small-cnn"])
def test_the_trials_numbers_are_found_again(contender, trained):
    path, measured = trained[contender]
    evaluated = evaluate(load_model(path), EXPERIMENT)
    assert evaluated == Evaluation(
        **structs.asdict(measured["classification"].scores()),
        encoding_deviation=measured["encoding_deviation"],
        seen=Counts(train=0, val=0, test=evaluated.n),
        features=evaluated.features,
    )
    assert evaluated.computed_in == "32"
    assert (evaluated.encoding_deviation.accuracies is not None) == (contender == "dense-snn")


def test_a_model_of_a_fold_is_tested_on_its_own_fold(tmp_path):
    experiment = replace(EXPERIMENT, contenders=("small-cnn",), epochs=1, folds=3, limit=300)
    path, predictions, split = train(experiment, tmp_path / "s", fold=2)
    evaluated = evaluate(load_model(path), EXPERIMENT)
    assert evaluated.n == len(split.test) == 599
    assert evaluated.accuracy == predictions.accuracy


def test_a_model_of_grouped_files_is_tested_on_the_groups_that_it_has_not_met(tmp_path):
    plain = write_folder(tmp_path / "pets", ["cat", "dog"], 12)
    names = [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(12)]
    table = tmp_path / "groups.csv"
    table.write_text(
        "path,group\n" + "".join(f"{name},{name[:3]}{int(name[4:-4]) // 3}\n" for name in names)
    )
    experiment = replace(plain, contenders=("small-cnn",), epochs=1, group_by=str(table))
    path, predictions, split = train(experiment, tmp_path / "s")
    model = load_model(path)
    assert not np.array_equal(split.test, data.split(data.load(plain), plain).test)
    for asked in (plain, experiment):
        evaluated = evaluate(model, asked)
        assert (evaluated.n, evaluated.loss) == (predictions.n, predictions.loss)
    table.write_text(table.read_text().replace(",cat0", ",cat1"))
    with pytest.raises(
        InputError, match=r"groups.csv: no longer groups these images as when small-cnn was trained"
    ):
        evaluate(model, plain)
    table.unlink()
    with pytest.raises(InputError, match=r"groups.csv: no such file"):
        evaluate(model, plain)
    evaluated = evaluate(model, plain, "all", log := Telling())
    assert (evaluated.n, evaluated.seen) == (24, None)
    assert log.lines[0].startswith("note: it is not known which images small-cnn was trained on")


def test_all_images_instead_of_the_test_part(trained):
    path, measured = trained["small-cnn"]
    evaluated = evaluate(load_model(path), EXPERIMENT, "all", log := Telling())
    assert evaluated.n == 1797
    assert evaluated.accuracy != measured["classification"].accuracy
    assert log.lines[0].startswith(
        "warning: small-cnn was trained on 1,438 of these 1,797 images, and validated on 180"
    )
    assert evaluated.seen == Counts(train=1438, val=180, test=179)
    with pytest.raises(InputError, match="unknown part 'tset': did you mean 'test'"):
        evaluate(load_model(path), EXPERIMENT, "tset")


def test_other_shapes_classes_and_recordings_are_refused(trained, tmp_path):
    model = load_model(trained["dense-snn"][0])
    with pytest.raises(
        InputError, match=r"dense-snn takes images of shape \[1, 8, 8\].*mini has \[1, 28, 28\]"
    ):
        evaluate(model, replace(EXPERIMENT, dataset="fashion-mnist-mini"))
    with pytest.raises(
        InputError, match=r"knows the classes 0, 1, .*; pets has cat, dog\. They must be the same"
    ):
        evaluate(model, write_folder(tmp_path / "pets", ["cat", "dog"]))
    with pytest.raises(InputError, match="digits': holds images, and the model takes recordings"):
        evaluate(of_recordings(), Experiment(dataset="digits"))


def test_other_data_than_those_of_the_training_are_noted(trained, tmp_path):
    model, log = load_model(trained["small-cnn"][0]), Telling()
    evaluate(model, EXPERIMENT, progress=log)
    assert log.lines == []
    others = write_folder(tmp_path / "others", model.card.classes)
    assert evaluate(model, others, progress=log).seen is None
    assert log.lines[0].startswith("note: it is not known which images small-cnn was trained on")
    assert log.lines[0].endswith("10 of 40 are tested; --part all tests all.")


@pytest.mark.parametrize("folds", [None, 3], ids=["split", "folds"])
def test_images_of_the_training_are_known_by_their_files_in_any_folder(folds, tmp_path):
    experiment = write_folder(tmp_path / "pets", ["cat", "dog"], 20)
    experiment = replace(experiment, contenders=("small-cnn",), epochs=1, folds=folds)
    fold = 0 if folds is None else 2
    stored, _, split = train(experiment, tmp_path / "store", fold)
    run, moved = tmp_path / "run", tmp_path / "moved"
    (run / "models").mkdir(parents=True)
    path = shutil.copy(stored, run / "models")
    prepared = data.load(experiment)
    data.write_splits(run / "split.csv", prepared, data.splits(prepared, experiment))
    for number, picture in enumerate(sorted((tmp_path / "pets").rglob("*.png"))):
        folder = moved / ("train" if number % 3 else "val") / picture.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, folder / f"{97 - number}.png")
    Image.new("L", (8, 8), 77).save(moved / "val" / "cat" / "new.png")

    elsewhere = replace(experiment, dataset=str(moved), folds=None)
    evaluated = evaluate(load_model(path), elsewhere, "all", log := Telling())
    counts = {folder: len(getattr(split, folder)) for folder in ("train", "val", "test")}
    assert evaluated.seen == Counts(**counts)
    assert evaluated.n == len(prepared) + 1
    warned = f"warning: small-cnn was trained on {len(split.train)} of these 41 images, and"
    assert any(line.startswith(warned) for line in log.lines)
    assert evaluate(load_model(path), elsewhere).seen.train > 0

    new = write_folder(tmp_path / "new", ["cat", "dog"], 3)
    for picture in (tmp_path / "new").rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    assert evaluate(load_model(path), new, "all", log).seen == Counts(train=0, val=0, test=0)
    assert "note: small-cnn was trained and validated on none of these 6 images." in log.lines[-1]
    # Neither the model file alone nor another program's file says it.
    assert evaluate(load_model(stored), elsewhere, "all", log := Telling()).seen is None
    assert any("it is not known which images" in line for line in log.lines)
    (run / "split.csv").write_text("name,part\na,b\n")
    assert evaluate(load_model(path), elsewhere, "all").seen is None


def test_a_folder_is_prepared_as_the_model_was_trained(trained, tmp_path):
    """The set's own pictures, stored larger and in colour, are brought back to 8×8 grey."""
    prepared, model = data.load(EXPERIMENT), load_model(trained["small-cnn"][0])
    rows = np.concatenate([np.flatnonzero(prepared.labels == digit)[:6] for digit in range(10)])
    for row in rows:
        large = np.kron(prepared.images[row, 0], np.ones((4, 4), np.uint8))
        path = tmp_path / "again" / str(prepared.labels[row]) / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(large).convert("RGB").save(path)
    evaluated = evaluate(model, replace(EXPERIMENT, dataset=str(tmp_path / "again")), "all")
    paths = sorted((tmp_path / "again").rglob("*.png"))
    images = [model.card.preprocessing(data.open_picture(path)) for path in paths]
    labels, _ = model.predict(np.stack(images))
    assert evaluated.n == 60
    assert evaluated.accuracy == np.mean([int(path.parent.name) for path in paths] == labels) > 0.5


def test_the_store_counts_how_often_the_test_images_were_asked(trained, tmp_path):
    model, store = load_model(trained["small-cnn"][0]), Store(tmp_path / "s")
    prepared = data.load(EXPERIMENT)
    test = data.split(prepared, EXPERIMENT).test
    evaluate(model, EXPERIMENT, store=store)
    evaluate(model, EXPERIMENT, store=tmp_path / "s")
    evaluate(model, EXPERIMENT, "all", store=store)
    assert store.test_uses(images_digest(prepared, test)) == 2
