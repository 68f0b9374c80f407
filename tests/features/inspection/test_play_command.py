from typer.testing import CliRunner

from made_models import make
from spikeduel.cli import app
from spikeduel.engine.networks.models import save_model


def refused(*models):
    done = CliRunner().invoke(app, ["play", *map(str, models)])
    assert (done.exit_code, done.stdout) == (2, "")
    return " ".join(done.stderr.split())


def test_play_refuses_what_it_cannot_serve_before_it_serves(tmp_path):
    save_model(tmp_path / "made.safetensors", make("small-cnn"))
    assert "nowhere.safetensors" in refused("nowhere.safetensors")
    assert "prepares images in another way" in refused(
        tmp_path / "made.safetensors", "fashion-mnist-vgg-relu"
    )
