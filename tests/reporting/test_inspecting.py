import numpy as np
import pytest
from PIL import Image

from spikeduel.reporting import inspect
from spikeduel.system.errors import InputError


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
