import numpy as np
import pytest
from PIL import Image

from spikeduel.reporting import gallery, inspect
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.errors import InputError


@pytest.mark.parametrize("contender", ["dense-snn", "small-cnn"])
def test_examples_are_the_first_right_and_the_first_wrong_answer(make_prepared, make_model, contender):
    prepared = make_prepared(num_images=200)
    model = make_model(contender, prepared)
    test = np.arange(20, 200)

    found = gallery.examples(model, prepared, test)

    predicted = model.predict(prepared.images[test], RandomKeys.for_evaluation(test))[0]
    right = predicted == prepared.labels[test]
    assert found["right"].index == test[right.argmax()]
    assert found["wrong"].index == test[(~right).argmax()]
    assert found["wrong"].predicted == predicted[(~right).argmax()]


def test_a_model_that_is_always_right_has_no_wrong_example(make_prepared, make_model):
    prepared = make_prepared()
    model = make_model("small-cnn", prepared)
    test = np.arange(len(prepared))
    prepared.labels[:] = model.predict(prepared.images)[0]

    found = gallery.examples(model, prepared, test)

    assert found["right"].index == 0
    assert found["wrong"] is None


def test_right_and_wrong_answers_have_figures_or_a_sentence(make_prepared, make_model, tmp_path):
    prepared = make_prepared()
    model = make_model("small-cnn", prepared)
    test = np.arange(len(prepared))
    prepared.labels[:] = model.predict(prepared.images)[0]

    right, wrong = gallery.right_and_wrong("small-cnn", model, prepared, test, tmp_path)

    assert right.path == tmp_path / "answer-right-small-cnn.png"
    assert wrong == "None of the first 60 test images gets a wrong answer."


def test_another_readout_is_shown_by_its_probabilities(make_prepared, make_model, tmp_path):
    prepared = make_prepared()
    model = make_model("dense-snn", prepared)
    model.module.readout = MeanMembrane()

    shown = gallery.of_answer(model, prepared.images[0], 0, tmp_path / "answer.png")
    found = gallery.examples(model, prepared, np.arange(60))

    assert "probability" in shown.caption
    index = found["wrong"].index
    assert found["wrong"].predicted == model.predict(prepared.images[[index]], RandomKeys.for_evaluation([index]))[0][0]


class MeanMembrane:
    def scores(self, output):
        return output[1].mean(0)


def test_the_telling_image_has_grey_on_its_diagonal(make_prepared):
    prepared = make_prepared()
    prepared.images[:] = 255
    prepared.images[9] = np.eye(8, dtype=np.uint8) * 127
    prepared.images[3, 0, 0] = 127

    assert gallery.telling_image(prepared, np.arange(60)) == 9


def test_the_preprocessing_is_told(make_prepared, tmp_path):
    shown = gallery.of_data(make_prepared(num_classes=12, shape=(1, 8, 9)), tmp_path)

    assert "cropped (pixels: 1 left, 2 above, 1 right, 2 below)" in shown.caption
    assert "inverted" in shown.caption
    assert "9×8" in shown.caption
    assert "the first 10 of 12" in shown.caption


@pytest.mark.parametrize("encoding", ["rate", "direct", "latency"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 10)])
def test_a_spiking_model_is_shown_from_inside(make_prepared, make_model, tmp_path, encoding, shape):
    prepared = make_prepared(shape=shape)
    model = make_model("dense-snn", prepared, encoding)

    paths = inspect(model, prepared.images[4], tmp_path / "seen", truth="class 1")

    # Spikes that the model never gets are not shown.
    of_input = ["encoded.gif", "diagonal.png"] if encoding == "rate" else []
    assert [path.name for path in paths] == ["input.png", *of_input, "neuron.png", "answer.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert np.ptp(np.asarray(picture.convert("L"))) > 0


def test_any_other_model_is_shown_with_its_probabilities(make_prepared, make_model, tmp_path):
    prepared = make_prepared()

    paths = inspect(make_model("small-cnn", prepared), prepared.images[0], tmp_path)

    assert [path.name for path in paths] == ["input.png", "answer.png"]
    assert all(path.stat().st_size for path in paths)


@pytest.mark.parametrize(
    ("image", "truth", "words"),
    [
        (np.zeros((1, 9, 8), np.uint8), None, "prepared image"),
        (np.zeros((1, 8, 8), np.float32), None, "float32"),
        (np.zeros((1, 8, 8), np.uint8), "class 7", "unknown class"),
    ],
)
def test_what_cannot_be_shown_is_said(make_prepared, make_model, tmp_path, image, truth, words):
    model = make_model("dense-snn", make_prepared())

    with pytest.raises(InputError, match=words):
        inspect(model, image, tmp_path, truth)
