import numpy as np
import pytest

from spikeduel.reporting import gallery
from spikeduel.spiking.random_keys import RandomKeys


@pytest.fixture
def models(make_prepared, make_model):
    prepared = make_prepared(num_images=200)
    return prepared, {name: make_model(name, prepared) for name in ("dense-snn", "small-cnn")}


def test_the_image_to_look_at_is_the_first_on_which_one_is_right_and_the_other_wrong(models):
    prepared, models = models
    tests = {"dense-snn": np.arange(20, 200), "small-cnn": np.arange(40, 180)}

    found = gallery.differing_image(models, prepared, tests)

    both = np.arange(40, 180)
    right = [
        model.predict(prepared.images[both], RandomKeys.for_evaluation(both))[0]
        == prepared.labels[both]
        for model in models.values()
    ]
    assert found == both[(right[0] != right[1]).argmax()]


def test_where_none_is_right_they_at_least_differ(models):
    prepared, models = models
    test = np.arange(200)
    prepared.labels[:] = 7

    found = gallery.differing_image(models, prepared, dict.fromkeys(models, test))

    answers = [
        model.predict(prepared.images, RandomKeys.for_evaluation(test))[0]
        for model in models.values()
    ]
    assert found == (answers[0] != answers[1]).argmax()


def test_of_one_model_it_is_the_first_and_without_a_common_one_none(models):
    prepared, models = models
    one = {"small-cnn": models["small-cnn"]}

    assert gallery.differing_image(one, prepared, {"small-cnn": np.arange(30, 60)}) == 30
    apart = {"dense-snn": np.arange(10), "small-cnn": np.arange(10, 20)}
    assert gallery.differing_image(models, prepared, apart) is None


def test_the_telling_image_has_grey_on_its_diagonal(make_prepared):
    prepared = make_prepared()
    prepared.images[:] = 255
    prepared.images[9] = np.eye(8, dtype=np.uint8) * 127
    prepared.images[3, 0, 0] = 127

    assert gallery.telling_image(prepared, np.arange(60)) == 9
