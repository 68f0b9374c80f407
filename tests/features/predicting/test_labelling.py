"""Labels of image files, and events of a stream."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import made_recordings as made
from spikeduel.data import Preprocessing
from spikeduel.engine.networks import shipped
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model, load_model
from spikeduel.features.predicting import labelling
from spikeduel.features.predicting.labelling import events_of, files_to_predict, predict_files
from spikeduel.system.errors import InputError
from telling import Telling


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
    log = Telling()
    rows, _ = predict_files(first, [tmp_path], log, exit_threshold=sure, fallback=then)
    raw, _ = predict_files(first, [tmp_path], calibrated=False, exit_threshold=sure, fallback=then)
    for asked, row, in_raw, one, other in zip(asks, rows, raw, alone, of_second, strict=True):
        expected = other if asked else one
        # The second network gets fewer images at once, and a batch's size decides the rounding.
        assert row["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
        assert row["calibrated"] is not asked
        assert in_raw["predicted_by"] == row["predicted_by"] == ("vgg-relu" if asked else "vgg-lif")
        assert (in_raw["label"], in_raw["calibrated"]) == (expected["label"], False)
    assert [line for line in log.messages if "no temperature was fitted for vgg-relu" in line]
    with pytest.raises(InputError, match=r"^vgg-relu knows other classes than vgg-lif"):
        digits = load_model(shipped.located(Path("mnist-vgg-relu")))
        predict_files(first, [tmp_path / "nothing.png"], exit_threshold=sure, fallback=digits)


def test_a_few_images_are_labelled_alike_without_compiled_kernels(tmp_path, random, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(random.integers(0, 256, (28, 28), dtype=np.uint8)).save(path)
    spiking = load_model(shipped.located(Path("fashion-mnist-vgg-lif")))
    few = predict_files(spiking, [path])
    monkeypatch.setattr(labelling, "MAX_UNFUSED", 0)
    assert predict_files(spiking, [path]) == few


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


def test_lines_are_events_a_millisecond_at_a_time():
    parts = list(events_of(["# t x y p", "10 3 4 1", "", "900,5,6,0", "1010 7 8 1"]))
    assert [made.rows(events) for events in parts] == [
        [(3, 4, 10, 1), (5, 6, 900, 0)],
        [(7, 8, 1010, 1)],
    ]
    with pytest.raises(InputError, match=r"line 2: .* not '1 2 3'"):
        list(events_of(["1 2 3 0", "1 2 3"]))


def save(path, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size)).save(path)
    return path


def test_files_to_predict_are_the_named_ones_and_the_images_of_folders(tmp_path):
    single = save(tmp_path / "z.png")
    inside = [save(tmp_path / "folder" / name) for name in ("a.png", "b/c.bmp")]
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    wrong = [tmp_path / name for name in ("absent.png", "empty", "pipe.png", "x" * 300)]
    paths, problems = files_to_predict([single, tmp_path / "folder", *wrong], False, [].append)
    assert paths == [single, *inside]
    expected = ("no such file", "holds no images", "no such file", "no such file")
    for path, reason, line in zip(wrong, expected, problems, strict=True):
        assert line.startswith(f"{path}: {reason}")


def test_recordings_to_predict_are_found_in_folders_and_other_files_are_listed(tmp_path):
    folder = tmp_path / "bars"
    made.directions(folder, 4)
    (folder / "up" / "README.txt").write_text("No recording.")
    (folder / "up" / "photo.png").write_bytes(b"no matter what")
    messages = []
    single = folder / "down" / "3.npy"
    paths, unusable = files_to_predict(
        [folder / "up", single, folder / "gone"], True, messages.append
    )
    assert paths == [*sorted((folder / "up").glob("*.npy")), single]
    assert [line.partition(": ")[2] for line in messages] == [
        "ignored 1 .txt and 1 .png (no recording)"
    ]
    (problem,) = unusable
    assert problem.startswith(str(folder / "gone"))
    (folder / "none").mkdir()
    assert files_to_predict([folder / "none"], True, messages.append)[1] == [
        f"{folder / 'none'}: holds no recordings that can be read here."
    ]
