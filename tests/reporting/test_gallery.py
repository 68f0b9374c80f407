import numpy as np
import pytest

from spikeduel.reporting import gallery
from spikeduel.spiking.random_keys import RandomKeys


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
