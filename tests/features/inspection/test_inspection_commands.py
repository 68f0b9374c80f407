import pytest

from made_commands import printed, refused
from made_models import make
from spikeduel.engine.networks.models import save_model
from synthetic_files import write_pictures


@pytest.fixture
def paths(tmp_path):
    """Two model files and an image."""
    models = [tmp_path / f"{name}.safetensors" for name in ("dense-snn", "small-cnn")]
    for path in models:
        save_model(path, make(path.stem))
    return [*models, *write_pictures(tmp_path, 1, size=(30, 20), mode="RGB")]


def test_a_page_of_all_models_is_written(paths, tmp_path):
    out = tmp_path / "inside"
    assert printed("inspect", *paths, "--out", out).strip() == str(out / "inside.html")
    assert (out / "inside.html").is_file()


def test_what_cannot_be_shown_is_refused(paths, tmp_path):
    assert "the image is missing" in refused(tmp_path, "inspect", paths[0])
    assert "nowhere.png" in refused(tmp_path, "inspect", paths[0], tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("not an image")
    line = refused(tmp_path, "inspect", paths[0], tmp_path / "text.png")
    assert "text.png: cannot be read as an image" in line
    paths[0].write_bytes(paths[0].read_bytes()[:-50])
    assert paths[0].name in refused(tmp_path, "inspect", paths[0], paths[2])


def test_play_refuses_models_before_it_serves(paths, tmp_path):
    assert "nowhere.safetensors" in refused(tmp_path, "play", "nowhere.safetensors")
    other = "fashion-mnist-vgg-relu"
    assert "prepares images in another way" in refused(tmp_path, "play", paths[1], other)
