"""Torchvision's networks without a network: downloads fail, or come from a server here."""

import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision import models

from spikeduel.data import Preprocessing
from spikeduel.measuring.answers import Counting
from spikeduel.networks import libraries
from spikeduel.networks.building import build, started
from spikeduel.networks.cards import ModelCard
from spikeduel.networks.libraries import settings_of
from spikeduel.networks.models import Model, load_model, save_model
from spikeduel.networks.plain import AsPretrained
from spikeduel.system import registry
from spikeduel.system.errors import InputError

NAME, FILE = "torchvision:squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch):
    """Where torch keeps weights, empty; downloads fail."""

    def offline(*args, **settings):
        raise URLError("no network here")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def weights(checkpoints):
    """Weights that squeezenet1_1 was "pretrained" to, in their file."""
    torch.manual_seed(7)
    state = models.squeezenet1_1().state_dict()
    torch.save(state, checkpoints / FILE)
    return state


def card(contender=NAME, shape=(3, 32, 32), pretrained="no", classes=("a", "b", "c")):
    network = settings_of(contender, shape, pretrained)
    return ModelCard(contender, "cnn", shape, classes, Preprocessing(*shape), network)


def test_the_registry_knows_the_libraries():
    assert tuple(libraries.LIBRARIES) == registry.LIBRARIES
    assert registry.is_own_code("mine:net")
    assert not registry.is_own_code("timm:resnet18")


def test_it_starts_from_the_pretrained_weights_with_a_new_head(weights):
    found = card(pretrained="yes")
    assert found.network["weights"] == "SqueezeNet1_1_Weights.IMAGENET1K_V1"
    state = started(found).net.state_dict()
    head = [name for name in state if not torch.equal(state[name], weights[name])]
    assert head == ["classifier.1.weight", "classifier.1.bias"]
    assert state["classifier.1.weight"].shape[0] == 3
    # As many classes as it was pretrained for are still other classes.
    many = started(card(pretrained="yes", classes=tuple(map(str, range(1000))))).net.state_dict()
    assert not torch.equal(many["classifier.1.weight"], weights["classifier.1.weight"])
    # Made from its card, as a file is read, it needs none of that.
    assert not torch.equal(
        build(found).net.state_dict()["features.0.weight"], weights["features.0.weight"]
    )


def test_without_the_weights_it_starts_from_nothing_or_says_what_to_do(checkpoints):
    assert settings_of(NAME, (3, 32, 32), "auto")["weights"] is None
    with pytest.raises(InputError) as error:
        settings_of(NAME, (3, 32, 32), "yes")
    for part in (
        str(checkpoints / FILE),
        "no network here",
        "TORCH_HOME",
        "https://",
        "--pretrained no",
    ):
        assert part in str(error.value)
    assert "no network here" in libraries.why_not_pretrained(NAME, "auto")


@pytest.mark.parametrize("pretrained", ["auto", "yes"])
@pytest.mark.parametrize("damage", ["half", "other"])
def test_a_damaged_file_is_an_error_in_any_case(weights, checkpoints, damage, pretrained):
    file = checkpoints / FILE
    if damage == "half":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    else:
        torch.save({"features.0.weight": torch.zeros(3)}, file)
    with pytest.raises(
        InputError, match=rf"{FILE} is damaged, or holds other weights .* Remove or replace it"
    ):
        settings_of(NAME, (3, 32, 32), pretrained)


def test_how_it_sees_images(weights):
    assert settings_of(NAME, (3, 32, 32), "yes")["size"] == 224
    # From nothing, nothing is owed to another size; but some are made for one.
    assert settings_of(NAME, (3, 32, 32), "no")["size"] is None
    assert settings_of("torchvision:vit_b_16", (3, 32, 32), "no")["size"] == 224
    assert settings_of("torchvision:vgg11", (1, 8, 8), "no")["size"] == 224
    assert settings_of("torchvision:inception_v3", (1, 8, 8), "no")["size"] == 299


def test_images_as_it_was_pretrained_to_see_them():
    mean, std = [0.4, 0.5, 0.6], [0.1, 0.2, 0.5]
    grey = torch.rand(2, 1, 8, 10)
    found = AsPretrained(16, mean, std)(grey)
    larger = F.interpolate(grey, (16, 16), mode="bilinear")
    for channel in range(3):
        torch.testing.assert_close(found[:, channel], (larger[:, 0] - mean[channel]) / std[channel])
    assert AsPretrained(None, mean, std)(grey).shape == (2, 3, 8, 10)
    # Made smaller, every pixel counts.
    lines = (torch.arange(32) % 2).float().expand(1, 1, 32, 32)
    torch.testing.assert_close(
        AsPretrained(8, [0.0], [1.0])(lines)[..., 1:-1], torch.full((1, 1, 8, 6), 0.5)
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torchvision:resnet19", "did you mean 'resnet1"),
        ("torchvision:zzz", "unknown classifier of torchvision 'zzz'"),
        ("torchvision:fasterrcnn_resnet50_fpn", "is no classifier of images"),
        ("torchvision:fcn_resnet50", "is no classifier of images"),
    ],
)
def test_names_that_lead_nowhere(name, said):
    with pytest.raises(InputError, match=said):
        libraries.architecture(name)


def test_timm_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"timm is not installed: pip install 'spikeduel\[timm\]'"):
        libraries.architecture("timm:resnet18")


def test_a_file_of_it_is_a_model_like_any_other(tmp_path):
    made = card("torchvision:shufflenet_v2_x0_5", (1, 40, 40))
    torch.manual_seed(3)
    model = Model(build(made).eval(), made)
    save_model(tmp_path / "m.safetensors", model)
    again = load_model(tmp_path / "m.safetensors")
    images = torch.randint(0, 256, (5, 1, 40, 40), dtype=torch.uint8)
    assert np.array_equal(again.predict(images)[1], model.predict(images)[1])
    assert again.card == made


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "googlenet"])
def test_its_operations_are_counted(name):
    made = card(f"torchvision:{name}", (3, 64, 64))
    model = Model(build(made).eval(), made)
    counting = Counting(model)
    counting.run(torch.rand(2, 3, 64, 64), 2)
    assert counting.found().reason is None
    assert counting.found().operations.totals


@pytest.mark.parametrize("network", [{"size": 10**6}, {"size": 32, "mean": [0.5]}, {"depth": 3}])
def test_a_card_with_impossible_settings_is_refused(network):
    made = ModelCard(NAME, "cnn", (3, 32, 32), ("a", "b"), Preprocessing(3, 32, 32), network)
    with pytest.raises(InputError):
        build(made)


def test_timms_networks(monkeypatch):
    pytest.importorskip("timm")
    made = card("timm:resnet18", (1, 40, 40))
    assert (made.network["size"], made.network["weights"]) == (None, None)
    assert build(made)(torch.rand(2, 1, 40, 40)).shape == (2, 3)
    with pytest.raises(InputError, match="did you mean"):
        libraries.architecture("timm:resnet-18")
    with pytest.raises(InputError, match=r"unknown weights of timm:resnet18 'nobodys'"):
        libraries.architecture("timm:resnet18.nobodys")
    with pytest.raises(InputError, match="unknown classifier"):
        libraries.architecture("timm:hf-hub:somebody/model")
