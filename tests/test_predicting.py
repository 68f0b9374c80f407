import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from PIL import Image

from factories import small_experiment
from made_models import of_recordings
from spikeduel import data, predicting as evaluating
from spikeduel.auditing.audit_results import Counts
from spikeduel.data import Preprocessing
from spikeduel.engine.networks import shipped
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model, load_model
from spikeduel.experiment.settings import Experiment, write_experiment
from spikeduel.predicting import (
    Evaluation,
    evaluate,
    predict_files,
    test_images as images_to_test,
)
from spikeduel.results.trials import Classification
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.training import contenders, trial
from spikeduel.training.store import Store, images_digest
from telling import Telling

pytestmark = pytest.mark.numeric

EXPERIMENT = small_experiment()


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


def trained_on(experiment, root, fold=0):
    """The model file of the only contender of `experiment`, what it answered, and its split."""
    store, prepared = Store(root), data.load(experiment)
    split = data.splits(prepared, experiment)[fold]
    (planned,) = contenders.trials_of(experiment, prepared, split)
    record = trial.run(planned, prepared, store, Progress())
    answers = store.measure(record.key, "classification", Classification)
    return store.model_path(record.key), answers, split


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
    path, answers, split = trained_on(experiment, tmp_path / "s", fold=2)
    evaluated = evaluate(load_model(path), EXPERIMENT)
    assert evaluated.n == len(split.test) == 599
    assert evaluated.accuracy == answers.accuracy


def test_a_model_of_grouped_files_is_tested_on_the_groups_that_it_has_not_met(tmp_path):
    plain = write_folder(tmp_path / "pets", ["cat", "dog"], 12)
    names = [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(12)]
    table = tmp_path / "groups.csv"
    table.write_text(
        "path,group\n" + "".join(f"{name},{name[:3]}{int(name[4:-4]) // 3}\n" for name in names)
    )
    experiment = replace(plain, contenders=("small-cnn",), epochs=1, group_by=str(table))
    path, answers, split = trained_on(experiment, tmp_path / "s")
    model = load_model(path)
    assert not np.array_equal(split.test, data.split(data.load(plain), plain).test)
    for asked in (plain, experiment):
        evaluated = evaluate(model, asked)
        assert (evaluated.n, evaluated.loss) == (answers.n, answers.loss)
    table.write_text(table.read_text().replace(",cat0", ",cat1"))
    with pytest.raises(
        InputError, match=r"groups.csv: no longer groups these images as when small-cnn was trained"
    ):
        evaluate(model, plain)
    table.unlink()
    with pytest.raises(InputError, match=r"groups.csv: no such file"):
        evaluate(model, plain)
    evaluated = evaluate(model, plain, "all", told := Telling())
    assert (evaluated.n, evaluated.seen) == (24, None)
    assert told.lines[0].startswith("note: it is not known which images small-cnn was trained on")


def test_all_images_instead_of_the_test_part(trained):
    path, measured = trained["small-cnn"]
    evaluated = evaluate(load_model(path), EXPERIMENT, "all", told := Telling())
    assert evaluated.n == 1797
    assert evaluated.accuracy != measured["classification"].accuracy
    assert told.lines[0].startswith(
        "warning: small-cnn was trained on 1,438 of these 1,797 images, and validated on 180"
    )
    assert evaluated.seen == Counts(train=1438, val=180, test=179)
    with pytest.raises(InputError, match="unknown part 'tset': did you mean 'test'"):
        evaluate(load_model(path), EXPERIMENT, "tset")


def write_folder(root, names, count=4):
    """An experiment on pictures of noise, 8×8, `count` of each class."""
    random = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return replace(EXPERIMENT, dataset=str(root))


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


def test_other_data_than_those_of_the_training_are_told(trained, tmp_path):
    model, told = load_model(trained["small-cnn"][0]), Telling()
    evaluate(model, EXPERIMENT, progress=told)
    assert told.lines == []
    others = write_folder(tmp_path / "others", model.card.classes)
    assert evaluate(model, others, progress=told).seen is None
    assert told.lines[0].startswith("note: it is not known which images small-cnn was trained on")
    assert told.lines[0].endswith("10 of 40 are tested; --part all tests all.")


@pytest.mark.parametrize("folds", [None, 3], ids=["split", "folds"])
def test_images_of_the_training_are_known_by_their_files_in_any_folder(folds, tmp_path):
    experiment = write_folder(tmp_path / "pets", ["cat", "dog"], 20)
    experiment = replace(experiment, contenders=("small-cnn",), epochs=1, folds=folds)
    fold = 0 if folds is None else 2
    stored, _, split = trained_on(experiment, tmp_path / "store", fold)
    run, moved = tmp_path / "run", tmp_path / "moved"
    (run / "models").mkdir(parents=True)
    path = shutil.copy(stored, run / "models")
    prepared = data.load(experiment)
    data.write_splits(run / "split.csv", prepared, data.splits(prepared, experiment))
    for number, picture in enumerate(sorted((tmp_path / "pets").rglob("*.png"))):
        side = moved / ("train" if number % 3 else "val") / picture.parent.name
        side.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, side / f"{97 - number}.png")
    Image.new("L", (8, 8), 77).save(moved / "val" / "cat" / "new.png")

    elsewhere = replace(experiment, dataset=str(moved), folds=None)
    evaluated = evaluate(load_model(path), elsewhere, "all", told := Telling())
    sides = {side: len(getattr(split, side)) for side in ("train", "val", "test")}
    assert evaluated.seen == Counts(**sides)
    assert evaluated.n == len(prepared) + 1
    warned = f"warning: small-cnn was trained on {len(split.train)} of these 41 images, and"
    assert any(line.startswith(warned) for line in told.lines)
    assert evaluate(load_model(path), elsewhere).seen.train > 0

    new = write_folder(tmp_path / "new", ["cat", "dog"], 3)
    for picture in (tmp_path / "new").rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(picture))).save(picture)
    assert evaluate(load_model(path), new, "all", told).seen == Counts(train=0, val=0, test=0)
    assert "note: small-cnn was trained and validated on none of these 6 images." in told.lines[-1]
    # Neither the model file alone nor another program's file says it.
    assert evaluate(load_model(stored), elsewhere, "all", told := Telling()).seen is None
    assert any("it is not known which images" in line for line in told.lines)
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


# ---- single files


@pytest.fixture
def model():
    """A model of 6×6 grey images that was never trained: its answers depend on the image all the
    same.
    """
    card = ModelCard(
        contender="small-cnn",
        kind="cnn",
        image_shape=(1, 6, 6),
        classes=("left", "right", "neither"),
        preprocessing=Preprocessing(1, 6, 6, invert=True),
        network={"hidden": 8},
    )
    return Model(build(card), card)


def test_good_truncated_and_other_files_in_one_go(model, tmp_path, random):
    picture = Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    names = ("good.png", "cut.jpg", "text.png", "whole.jpg", "empty.png")
    good, cut, text, whole, empty = (tmp_path / name for name in names)
    picture.save(good)
    picture.save(whole)
    cut.write_bytes(whole.read_bytes()[:-200])
    text.write_text("not an image")
    empty.touch()
    rows, unreadable = predict_files(model, [good, cut, text, whole, empty])
    assert [row["file"] for row in rows] == [str(good), str(whole)]
    for path, line in zip((cut, text, empty), unreadable, strict=True):
        assert path.name in line
        assert "\n" not in line


def test_a_second_network_is_asked_by_calibrated_probabilities_of_four_digits(tmp_path, random):
    for number in range(8):
        square = np.kron(random.integers(0, 256, (4, 4), dtype=np.uint8), np.ones((5, 5), np.uint8))
        Image.fromarray(square).save(tmp_path / f"{number}.png")
    first = load_model(shipped.located(Path("fashion-mnist-vgg-lif")))
    then = load_model(shipped.located(Path("fashion-mnist-vgg-relu")))
    then.card = replace(then.card, temperature=None)
    assert first.card.temperature
    alone, of_second = (predict_files(model, [tmp_path])[0] for model in (first, then))
    highest = [row["probability"] for row in alone]
    # Rounded, it reaches the threshold, and as it is it does not.
    sure = next(round(p, 4) for p in sorted(highest)[2:] if round(p, 4) > p)
    asks = [round(p, 4) < sure for p in highest]
    assert set(asks) == {True, False}
    told = Telling()
    rows, _ = predict_files(first, [tmp_path], told, exit_threshold=sure, fallback=then)
    raw, _ = predict_files(first, [tmp_path], calibrated=False, exit_threshold=sure, fallback=then)
    for asked, row, in_raw, one, other in zip(asks, rows, raw, alone, of_second, strict=True):
        expected = other if asked else one
        # The second network gets fewer images at once, and a batch's size decides the rounding.
        assert row["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
        assert row["calibrated"] is not asked
        assert in_raw["predicted_by"] == row["predicted_by"] == ("vgg-relu" if asked else "vgg-lif")
        assert (in_raw["label"], in_raw["calibrated"]) == (expected["label"], False)
    assert [line for line in told.said if "no temperature was fitted for vgg-relu" in line]
    with pytest.raises(InputError, match=r"^vgg-relu knows other classes than vgg-lif"):
        digits = load_model(shipped.located(Path("mnist-vgg-relu")))
        predict_files(first, [tmp_path / "nothing.png"], exit_threshold=sure, fallback=digits)


def test_a_few_images_are_labelled_alike_without_compiled_kernels(tmp_path, random, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(random.integers(0, 256, (28, 28), dtype=np.uint8)).save(path)
    spiking = load_model(shipped.located(Path("fashion-mnist-vgg-lif")))
    few = predict_files(spiking, [path])
    monkeypatch.setattr(evaluating, "MAX_UNFUSED", 0)
    assert predict_files(spiking, [path]) == few


def test_one_image_is_labelled_without_importing_the_compiler(tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    code = """
import sys
from spikeduel.cli import main
try:
    main()
finally:
    assert not {"numba", "matplotlib", "sklearn", "scipy.stats"} & sys.modules.keys()
"""
    command = [sys.executable, "-c", code, "predict", "fashion-mnist-vgg-lif", tmp_path / "a.png"]
    assert subprocess.run(command).returncode == 0


def test_a_row_says_label_and_probabilities(model, tmp_path, random):
    Image.fromarray(random.integers(0, 256, (6, 6), dtype=np.uint8)).save(tmp_path / "a.png")
    ((row,), _) = predict_files(model, [tmp_path / "a.png"])
    assert list(row["probabilities"]) == ["left", "right", "neither"]
    assert sum(row["probabilities"].values()) == pytest.approx(1)
    assert (
        row["probability"]
        == max(row["probabilities"].values())
        == row["probabilities"][row["label"]]
    )
    image = 255 - np.asarray(Image.open(tmp_path / "a.png"))
    labels, probabilities = model.predict(image[None, None])
    assert row["label"] == model.card.classes[labels[0]]
    assert row["probability"] == pytest.approx(float(probabilities.max()))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("size", [(6, 6), (1, 1), (50, 13)])
def test_any_size_and_mode(mode, size, model, tmp_path):
    path = tmp_path / "picture.tiff"
    Image.new(mode, size).save(path)
    rows, unreadable = predict_files(model, [path])
    assert (len(rows), unreadable) == (1, [])


def test_folders_give_their_images_in_order_and_paths_that_lead_nowhere_are_named(model, tmp_path):
    pictures, bare = tmp_path / "pictures", tmp_path / "bare"
    expected = [pictures / name for name in ("a.png", "b.png", "sub/c.bmp")]
    for path in reversed(expected):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(path)
    (pictures / "notes.txt").write_text("hello")
    bare.mkdir()
    rows, unreadable = predict_files(model, [pictures, tmp_path / "nowhere.png", bare])
    assert [row["file"] for row in rows] == list(map(str, expected))
    nowhere, empty = unreadable
    assert "nowhere.png: no such file" in nowhere
    assert "bare: holds no images" in empty


def test_the_store_counts_how_often_the_test_images_were_asked(trained, tmp_path):
    model, store = load_model(trained["small-cnn"][0]), Store(tmp_path / "s")
    prepared = data.load(EXPERIMENT)
    test = data.split(prepared, EXPERIMENT).test
    evaluate(model, EXPERIMENT, store=store)
    evaluate(model, EXPERIMENT, store=tmp_path / "s")
    evaluate(model, EXPERIMENT, "all", store=store)
    assert store.test_uses(images_digest(prepared, test)) == 2


def test_some_test_images_evenly_spread(trained, tmp_path):
    model = load_model(trained["small-cnn"][0])
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
    trained, _, split = trained_on(experiment, tmp_path / "s")
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


def test_data_that_were_moved_are_found_where_it_is_said(run_on_own_digits, tmp_path):
    path, _ = run_on_own_digits
    model, moved = load_model(path), tmp_path / "elsewhere"
    (tmp_path / "mine" / "digits").rename(moved)
    experiment = evaluating.trained_on(model, {"dataset": str(moved)})
    evaluating.require_the_same(model.card, experiment, Progress())
    assert (
        evaluate(model, experiment).n == evaluate(model, replace(experiment, group_by=None)).n < 120
    )


def test_a_place_of_files_that_is_gone_is_named_with_who_says_so(run_on_own_digits, tmp_path):
    path, _ = run_on_own_digits
    toml = tmp_path / "run" / "experiment.toml"
    write_experiment(toml, Experiment(dataset="mnist", data_dir=str(tmp_path / "idx")))
    with pytest.raises(
        InputError, match=r"mnist from .*idx, where nothing is now \(.*experiment\.toml.*--data-dir"
    ):
        evaluating.trained_on(load_model(path))
    (tmp_path / "new").mkdir()
    moved = evaluating.trained_on(load_model(path), {"data_dir": str(tmp_path / "new")})
    assert (moved.dataset, moved.data_dir) == ("mnist", str(tmp_path / "new"))
