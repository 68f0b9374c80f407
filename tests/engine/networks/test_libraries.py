"""Torchvision's networks without a network: downloads fail, or come from a server here."""

import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision import models

from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.networks import libraries
from spikeduel.engine.networks.building import build, started
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.libraries import settings_of
from spikeduel.engine.networks.models import Model, load_model, save_model
from spikeduel.engine.networks.plain import AsPretrained
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system.errors import InputError

NAME, FILE = "torchvision:squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch):
    """The folder in which torch keeps weights, empty; downloads fail."""

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


def test_it_starts_from_the_pretrained_weights_with_a_new_head(weights):
    few, many = (card(pretrained="yes", classes=tuple(map(str, range(n)))) for n in (3, 1000))
    assert few.network["weights"] == "SqueezeNet1_1_Weights.IMAGENET1K_V1"
    state = started(few).net.state_dict()
    head = [name for name in state if not torch.equal(state[name], weights[name])]
    assert head == ["classifier.1.weight", "classifier.1.bias"]
    assert state[head[0]].shape[0] == 3
    # As many classes as it was pretrained for are still other classes.
    assert not torch.equal(started(many).net.state_dict()[head[0]], weights[head[0]])
    # Made from its card, as a file is read, it needs none of that.
    first = "features.0.weight"
    assert not torch.equal(build(few).net.state_dict()[first], weights[first])


def test_without_the_weights_it_starts_from_nothing_or_says_what_to_do(checkpoints):
    assert settings_of(NAME, (3, 32, 32), "auto")["weights"] is None
    with pytest.raises(InputError, match="no network here") as error:
        settings_of(NAME, (3, 32, 32), "yes")
    for part in (str(checkpoints / FILE), "TORCH_HOME", "https://", "--pretrained no"):
        assert part in str(error.value)
    assert "no network here" in libraries.why_not_pretrained(NAME, "auto")


@pytest.mark.parametrize("pretrained", ["auto", "yes"])
@pytest.mark.parametrize("damage", ["half", "other"])
def test_a_damaged_file_is_an_error_in_any_case(weights, checkpoints, damage, pretrained):
    file = checkpoints / FILE
    torch.save({"features.0.weight": torch.zeros(3)}, checkpoints / "other")
    contents = {"half": file.read_bytes()[:9999], "other": (checkpoints / "other").read_bytes()}
    file.write_bytes(contents[damage])
    problem = rf"{FILE} is damaged, or holds other weights .* Remove or replace it"
    with pytest.raises(InputError, match=problem):
        settings_of(NAME, (3, 32, 32), pretrained)


@pytest.mark.parametrize(
    ("name", "shape", "pretrained", "size"),
    [
        (NAME, (3, 32, 32), "yes", 224),
        # From nothing, nothing is owed to another size; but some are made for one.
        (NAME, (3, 32, 32), "no", None),
        ("torchvision:vit_b_16", (3, 32, 32), "no", 224),
        ("torchvision:vgg11", (1, 8, 8), "no", 224),
        ("torchvision:inception_v3", (1, 8, 8), "no", 299),
    ],
)
def test_how_it_sees_images(name, shape, pretrained, size, weights):
    assert settings_of(name, shape, pretrained)["size"] == size


def test_images_as_it_was_pretrained_to_see_them():
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.1, 0.2, 0.5])
    grey, lines = torch.rand(2, 1, 8, 10), (torch.arange(32) % 2).float().expand(1, 1, 32, 32)
    larger = F.interpolate(grey, (16, 16), mode="bilinear")
    expected = (larger - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    torch.testing.assert_close(AsPretrained(16, mean.tolist(), std.tolist())(grey), expected)
    assert AsPretrained(None, mean.tolist(), std.tolist())(grey).shape == (2, 3, 8, 10)
    # Made smaller, every pixel counts.
    smaller = AsPretrained(8, [0.0], [1.0])(lines)[..., 1:-1]
    torch.testing.assert_close(smaller, torch.full((1, 1, 8, 6), 0.5))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("torchvision:resnet19", "did you mean 'resnet1"),
        ("torchvision:zzz", "unknown classifier of torchvision 'zzz'"),
        ("torchvision:fasterrcnn_resnet50_fpn", "is no classifier of images"),
        ("torchvision:fcn_resnet50", "is no classifier of images"),
    ],
)
def test_names_that_lead_nowhere(name, problem):
    with pytest.raises(InputError, match=problem):
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
    made = card(f"torchvision:{name}", (3, 33, 33))
    model = Model(build(made).eval(), made)
    counter, images = Counter(model.module), torch.rand(2, 3, 64, 64)
    counter.run(lambda: model.module(images), images, len(images))
    assert counter.operations().totals


@pytest.mark.parametrize("network", [{"size": 10**6}, {"size": 32, "mean": [0.5]}, {"depth": 3}])
def test_a_card_with_impossible_settings_is_refused(network):
    made = ModelCard(NAME, "cnn", (3, 32, 32), ("a", "b"), Preprocessing(3, 32, 32), network)
    with pytest.raises(InputError):
        build(made)


def test_timms_networks():
    pytest.importorskip("timm")
    made = card("timm:resnet18", (1, 40, 40))
    assert (made.network["size"], made.network["weights"]) == (None, None)
    assert build(made)(torch.rand(2, 1, 40, 40)).shape == (2, 3)
    for name, problem in {
        "resnet-18": "did you mean",
        "resnet18.nobodys": r"unknown weights of timm:resnet18 'nobodys'",
        "hf-hub:somebody/model": "unknown classifier",
    }.items():
        with pytest.raises(InputError, match=problem):
            libraries.architecture(f"timm:{name}")
