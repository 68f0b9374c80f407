import pytest
from typer.testing import CliRunner

from made_models import make
from spikeduel.cli import app
from spikeduel.engine.networks.models import save_model
from synthetic_files import write_pictures


@pytest.fixture
def paths(tmp_path):
    """Two model files and an image."""
    models = [tmp_path / f"{name}.safetensors" for name in ("dense-snn", "small-cnn")]
    for path in models:
        save_model(path, make(path.stem))
    return [*models, *write_pictures(tmp_path, 1, size=(30, 20), mode="RGB")]


def invoked(command, *arguments):
    return CliRunner().invoke(app, [command, *map(str, arguments)])


def refused(command, *arguments):
    done = invoked(command, *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    return " ".join(done.stderr.split())


def test_a_page_of_all_models_is_written(paths, tmp_path):
    out = tmp_path / "inside"
    done = invoked("inspect", *paths, "--out", out)
    assert done.stdout.strip() == str(out / "inside.html")
    assert (out / "inside.html").is_file()


def test_what_cannot_be_shown_is_refused(paths, tmp_path):
    assert "the image is missing" in refused("inspect", paths[0])
    assert "nowhere.png" in refused("inspect", paths[0], tmp_path / "nowhere.png")
    (tmp_path / "text.png").write_text("not an image")
    assert "text.png: cannot be read as an image" in refused(
        "inspect", paths[0], tmp_path / "text.png"
    )
    paths[0].write_bytes(paths[0].read_bytes()[:-50])
    assert paths[0].name in refused("inspect", paths[0], paths[2])


def test_play_refuses_models_before_it_serves(paths):
    assert "nowhere.safetensors" in refused("play", "nowhere.safetensors")
    other = "fashion-mnist-vgg-relu"
    assert "prepares images in another way" in refused("play", paths[1], other)
