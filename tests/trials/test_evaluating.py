import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from msgspec import structs
from PIL import Image

from made_models import of_recordings
from spikeduel import data
from spikeduel.data import Preprocessing, cache, loader
from spikeduel.measuring.robustness import CORRUPTIONS, corrupt
from spikeduel.networks.building import build
from spikeduel.networks.cards import ModelCard
from spikeduel.networks.models import Model, load_model
from spikeduel.results.trials import Classification
from spikeduel.settings import Experiment, write_experiment
from spikeduel.settings.recipes import baseline
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import contenders, evaluating, trial
from spikeduel.trials.evaluating import Evaluation, evaluate, predict_files
from spikeduel.trials.evaluating import test_images as images_to_test
from spikeduel.trials.store import Store, images_digest

EXPERIMENT = baseline(
    dataset="digits",
    hidden=32,
    num_steps=4,
    epochs=2,
    batch_size=64,
    learning_rate=5e-3,
    device="cpu",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Each contender's model file, and what its trial measured."""
    store = Store(tmp_path_factory.mktemp("store"))
    prepared = data.load(EXPERIMENT)
    split = data.split(prepared, EXPERIMENT)
    found = {}
    for each in contenders.trials_of(EXPERIMENT, prepared, split):
        record = trial.run(each, prepared, store, Progress())
        found[each.card.contender] = store.model_path(record.key), trial.measured(each, store)
    return found


@pytest.mark.parametrize("contender", ["dense-snn", "small-cnn"])
def test_the_trials_numbers_are_found_again(contender, trained):
    path, measured = trained[contender]
    found = evaluate(load_model(path), EXPERIMENT)
    assert found == Evaluation(
        **structs.asdict(measured["classification"].scores()),
        encoding_spread=measured["encoding_spread"],
        calibration=measured["calibration"],
    )
    assert found.computed_in == "32"
    assert found.calibration.temperature == load_model(path).card.temperature
    assert found.calibration.scaled.nll < found.calibration.nll
    assert (found.encoding_spread.accuracies is not None) == (contender == "dense-snn")
    assert evaluate(load_model(path), EXPERIMENT) == found


def test_corrupted_images_where_they_are_asked_for(trained):
    path, measured = trained["small-cnn"]
    found = evaluate(load_model(path), replace(EXPERIMENT, robustness=True)).robustness
    assert found.clean == measured["classification"].accuracy
    assert set(found.corruptions) == set(CORRUPTIONS)
    prepared = data.load(EXPERIMENT)
    test = data.split(prepared, EXPERIMENT).test
    corrupted = corrupt("rotation", torch.from_numpy(prepared.images[test]), 4, test)
    labels, _ = load_model(path).predict(corrupted)
    assert found.corruptions["rotation"][3] == float((labels == prepared.labels[test]).mean())


def test_data_that_stays_on_disk_gives_the_same(trained, tmp_path, monkeypatch):
    path, _ = trained["dense-snn"]
    expected = evaluate(load_model(path), EXPERIMENT)
    cache.write(tmp_path / "digits", data.load(EXPERIMENT))
    mapped = cache.read(tmp_path / "digits")
    monkeypatch.setattr(loader, "available_memory", lambda: 0)
    monkeypatch.setattr(data, "load", lambda *arguments: mapped)
    assert evaluate(load_model(path), EXPERIMENT) == expected
    assert isinstance(mapped.held[0], np.memmap)


def test_data_that_it_was_trained_on_is_split_as_it_was_then(trained):
    path, _ = trained["small-cnn"]
    expected = evaluate(load_model(path), EXPERIMENT)
    assert evaluate(load_model(path), replace(EXPERIMENT, split_seed=5)) == expected


def test_a_model_of_a_fold_is_tested_on_its_own_fold(tmp_path):
    experiment = replace(EXPERIMENT, contenders=("small-cnn",), epochs=1, folds=3, limit=300)
    store, prepared = Store(tmp_path / "s"), data.load(experiment)
    for split in data.splits(prepared, experiment)[1:]:
        (each,) = contenders.trials_of(experiment, prepared, split)
        record = trial.run(each, prepared, store, Progress())
        found = evaluate(load_model(store.model_path(record.key)), EXPERIMENT)
        assert found.n == len(split.test) == 599
        assert (
            found.accuracy == store.measure(record.key, "classification", Classification).accuracy
        )


def test_a_model_of_grouped_files_is_tested_on_the_groups_that_it_has_not_met(tmp_path):
    plain = write_folder(tmp_path / "pets", ["cat", "dog"], 8, count=12)
    names = [f"{name}/{k}.png" for name in ("cat", "dog") for k in range(12)]
    table = tmp_path / "groups.csv"
    table.write_text(
        "path,group\n" + "".join(f"{name},{name[:3]}{int(name[4:-4]) // 3}\n" for name in names)
    )
    experiment = replace(plain, contenders=("small-cnn",), epochs=1, group_by=str(table))
    store, prepared = Store(tmp_path / "s"), data.load(experiment)
    split = data.split(prepared, experiment)
    (each,) = contenders.trials_of(experiment, prepared, split)
    record = trial.run(each, prepared, store, Progress())
    model = load_model(store.model_path(record.key))
    assert not np.array_equal(split.test, data.split(data.load(plain), plain).test)
    asked = []
    expected = store.measure(record.key, "classification", Classification)
    for given in (plain, experiment):
        found = evaluate(model, given)
        asked.append((found.n, found.loss))
    assert asked == [(expected.n, expected.loss)] * 2
    table.write_text(table.read_text().replace(",cat0", ",cat1"))
    with pytest.raises(
        InputError, match=r"groups.csv: no longer groups these images as when small-cnn was trained"
    ):
        evaluate(model, plain)
    table.unlink()
    with pytest.raises(InputError, match=r"groups.csv: no such file"):
        evaluate(model, plain)
    assert evaluate(model, plain, "all").n == 24


def test_all_images_instead_of_the_test_part(trained):
    path, measured = trained["small-cnn"]
    found = evaluate(load_model(path), EXPERIMENT, "all")
    assert found.n == 1797
    assert found.accuracy != measured["classification"].accuracy
    told = []
    progress = Progress()
    progress.say = told.append
    evaluate(load_model(path), EXPERIMENT, "all", progress)
    assert told[0].startswith("warning: small-cnn was trained on most of these images.")
    with pytest.raises(InputError, match="unknown part 'tset': did you mean 'test'"):
        evaluate(load_model(path), EXPERIMENT, "tset")


def write_folder(root, names, side, count=4, mode="L"):
    random = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(root / name / f"{number}.png")
    return replace(EXPERIMENT, dataset=str(root))


def test_other_shapes_and_classes_are_refused(trained, tmp_path):
    path = trained["dense-snn"][0]
    with pytest.raises(
        InputError, match=r"dense-snn takes images of shape \[1, 8, 8\].*mini has \[1, 28, 28\]"
    ):
        evaluate(load_model(path), replace(EXPERIMENT, dataset="fashion-mnist-mini"))
    with pytest.raises(
        InputError, match=r"knows the classes 0, 1, .*; pets has cat, dog\. They must be the same"
    ):
        evaluate(load_model(path), write_folder(tmp_path / "pets", ["cat", "dog"], 8))


def test_images_are_no_recordings():
    with pytest.raises(InputError, match="digits': holds images, and the model takes recordings"):
        evaluate(of_recordings(), Experiment(dataset="digits"))


def test_other_data_than_those_of_the_training_are_told(trained, tmp_path):
    model, told = load_model(trained["small-cnn"][0]), []
    progress = Progress()
    progress.say = told.append
    evaluate(model, EXPERIMENT, progress=progress)
    assert told == []
    evaluate(model, write_folder(tmp_path / "others", model.card.classes, 8), progress=progress)
    (note,) = (
        text for text in told if text.startswith("note: these data are not those that small-cnn")
    )
    assert "10 of 40 are tested; --part all" in note


def test_a_folder_is_prepared_as_the_model_was_trained(trained, tmp_path):
    """The set's own images, enlarged, in colour and upside down in polarity are not what the model
    knows; its own pictures, stored larger and in colour, are brought back to 8×8 grey.
    """
    path = trained["small-cnn"][0]
    prepared = data.load(EXPERIMENT)
    for digit in range(10):
        (tmp_path / "again" / str(digit)).mkdir(parents=True)
    rows = np.concatenate([np.flatnonzero(prepared.labels == digit)[:6] for digit in range(10)])
    for row in rows:
        large = np.kron(prepared.images[row, 0], np.ones((4, 4), np.uint8))
        picture = Image.fromarray(large).convert("RGB")
        picture.save(tmp_path / "again" / str(prepared.labels[row]) / f"{row}.png")
    found = evaluate(load_model(path), replace(EXPERIMENT, dataset=str(tmp_path / "again")), "all")
    model = load_model(path)
    pictures = sorted((tmp_path / "again").rglob("*.png"))
    images = np.stack(
        [model.card.preprocessing(data.open_picture(picture)) for picture in pictures]
    )
    labels, _ = model.predict(images)
    assert found.n == 60
    assert found.accuracy == np.mean([int(picture.parent.name) for picture in pictures] == labels)
    assert found.accuracy > 0.5


# ---- single files


@pytest.fixture
def model():
    """A model of 6×6 grey images that was never trained: its answers depend on the image all the
    same.
    """
    card = ModelCard(
        contender="small-cnn",
        family="cnn",
        image_shape=(1, 6, 6),
        classes=("left", "right", "neither"),
        preprocessing=Preprocessing(1, 6, 6, invert=True),
        network={"hidden": 8},
    )
    return Model(build(card), card)


def test_good_truncated_and_other_files_in_one_go(model, tmp_path, random):
    picture = Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8))
    picture.save(tmp_path / "good.png")
    picture.save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-200])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    names = ("good.png", "cut.jpg", "text.png", "whole.jpg", "empty.png")
    rows, unreadable = predict_files(model, [tmp_path / name for name in names])
    assert [row["file"] for row in rows] == [
        str(tmp_path / "good.png"),
        str(tmp_path / "whole.jpg"),
    ]
    assert len(unreadable) == 3
    for name, line in zip(("cut.jpg", "text.png", "empty.png"), unreadable, strict=True):
        assert name in line
        assert "\n" not in line


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


def test_folders_give_their_images_in_order_and_ignore_the_rest(model, tmp_path, random):
    for name in ("b.png", "a.png", "sub/c.bmp"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8)).save(
            tmp_path / "pictures" / name
        )
    (tmp_path / "pictures" / "notes.txt").write_text("hello")
    rows, unreadable = predict_files(model, [tmp_path / "pictures"])
    assert [row["file"] for row in rows] == [
        str(tmp_path / "pictures" / name) for name in ("a.png", "b.png", "sub/c.bmp")
    ]
    assert unreadable == []


def test_paths_that_lead_nowhere_are_named(model, tmp_path):
    (tmp_path / "bare").mkdir()
    rows, (absent, bare) = predict_files(model, [tmp_path / "nowhere.png", tmp_path / "bare"])
    assert rows == []
    assert "nowhere.png: no such file" in absent
    assert "bare: holds no images" in bare


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
    """The model file in a run's folder, and the run's experiment, on the user's own grouped folder
    called digits.
    """
    folder = write_folder(tmp_path / "mine" / "digits", list("0123456789"), 8, count=12)
    experiment = replace(folder, contenders=("small-cnn",), epochs=1, group_by=r"(\d/\d)")
    store, prepared = Store(tmp_path / "s"), data.load(experiment)
    split = data.split(prepared, experiment)
    record = trial.run(
        *contenders.trials_of(experiment, prepared, split), prepared, store, Progress()
    )
    path = tmp_path / "run" / "models" / "small-cnn-seed0.safetensors"
    path.parent.mkdir(parents=True)
    path.write_bytes(store.model_path(record.key).read_bytes())
    write_experiment(tmp_path / "run" / "experiment.toml", experiment)
    return path, np.array(prepared.images[split.test])


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
    assert evaluating.trained_on(model).robustness is False
    (tmp_path / "mine" / "digits").rename(moved)
    experiment = evaluating.trained_on(model, lambda its: replace(its, dataset=str(moved)))
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
    found = evaluating.trained_on(
        load_model(path), lambda its: replace(its, data_dir=str(tmp_path / "new"))
    )
    assert (found.dataset, found.data_dir) == ("mnist", str(tmp_path / "new"))
