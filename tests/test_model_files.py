import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from made_models import make
from spikeduel.errors import InputError
from spikeduel.model_files import load_model, save_model


@pytest.fixture
def images(random):
    return random.integers(0, 256, (5, 1, 10, 10), dtype=np.uint8)


@pytest.mark.parametrize("contender", ["dense-snn", "small-cnn"])
def test_a_saved_model_comes_back_whole(contender, tmp_path, images):
    model = make(contender)
    save_model(tmp_path / "m.safetensors", model)
    again = load_model(tmp_path / "m.safetensors")
    assert again.card == model.card
    for one, other in zip(model.predict(images), again.predict(images), strict=True):
        assert np.array_equal(one, other)


def test_neuron_settings_reach_the_neurons(tmp_path):
    save_model(tmp_path / "m.safetensors", make())
    assert load_model(tmp_path / "m.safetensors").module.lif1.threshold == 0.5


def _overwrite(path, metadata, weights=None):
    save_file(weights or {"x": torch.zeros(1)}, path, metadata)


def test_broken_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(InputError, match=r"m\.safetensors: no such model file"):
        load_model(path)
    save_model(path, make())
    whole = path.read_bytes()
    with_card = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]["spikeduel"]
    for content in (b"", b"PK\x03\x04 not safetensors", whole[:100], whole[:-10], b"\xff" * 8 + whole[8:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"m\.safetensors"):
            load_model(path)
    for metadata in (
        None,
        {"other": "1"},
        {"spikeduel": "not json"},
        {"spikeduel": "[]"},
        {"spikeduel": '"text"'},
        {"spikeduel": json.dumps({**json.loads(with_card), "network": ["hidden"]})},
        {"spikeduel": json.dumps({**json.loads(with_card), "classes": 3})},
        {"spikeduel": json.dumps({**json.loads(with_card), "format": 99})},
        {"spikeduel": json.dumps({**json.loads(with_card), "contender": "dens-snn"})},
        {"spikeduel": with_card},
    ):
        _overwrite(path, metadata)
        with pytest.raises(InputError, match=r"m\.safetensors"):
            load_model(path)


def test_a_file_cannot_make_spikeduel_run_code_that_the_user_did_not_name(tmp_path):
    path, trace = tmp_path / "m.safetensors", tmp_path / "was run"
    save_model(path, make())
    whole = path.read_bytes()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]["spikeduel"]
    for changes in (
        {"contender": "subprocess:call", "image_shape": ["touch", str(trace), "-c"]},
        {"contender": "os:system"},
        {"encoding": "os:system"},
        {"network": {"hidden": 12, "neuron": "os:system"}},
    ):
        _overwrite(path, {"spikeduel": json.dumps({**json.loads(header), **changes})})
        with pytest.raises(InputError, match=r"m\.safetensors"):
            load_model(path)
    assert not trace.exists()
    with pytest.raises(InputError, match=r"needs the code os:system.*--own-code os:system"):
        load_model(path)


def test_a_card_cannot_ask_for_more_than_its_file_holds(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(path, make())
    whole = path.read_bytes()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]["spikeduel"]
    for changes in (
        {"network": {"hidden": 10**9}},
        {"network": {"hidden": -1}},
        {"network": {"hidden": "many"}},
        {"network": {"hidden": 12, "neuron": "lif", "beta": "x"}},
        {"image_shape": [1, 10**6, 10**6]},
        {"image_shape": [1, 10]},
        {"image_shape": [1, 10.5, 10]},
        {"num_steps": -3},
        {"classes": ["a"]},
    ):
        _overwrite(path, {"spikeduel": json.dumps({**json.loads(header), **changes})}, make().module.state_dict())
        with pytest.raises(InputError, match=r"m\.safetensors"):
            load_model(path)


def test_own_code_is_run_where_it_is_named(tmp_path):
    (tmp_path / "my_net.py").write_text(
        "import torch\n"
        "def build(image_shape, num_classes, num_steps, **settings):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(100, num_classes))\n"
    )
    model = make("small-cnn", contender="my_net:build", network={})
    save_model(tmp_path / "m.safetensors", model)
    with pytest.raises(InputError, match="needs the code my_net:build"):
        load_model(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors", own_code=["my_net:build"]).card == model.card


def test_a_model_answers_in_the_precision_of_its_card_where_the_hardware_has_it(tmp_path, images, monkeypatch):
    save_model(tmp_path / "m.safetensors", make(precision="bf16"))
    for has_bf16, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("spikeduel.model_files.has_bf16", lambda device, found=has_bf16: found)
        model = load_model(tmp_path / "m.safetensors")
        seen = []
        model.module.linear1.register_forward_hook(lambda layer, inputs, output, seen=seen: seen.append(output.dtype))
        model.predict(images)
        assert seen == [dtype]
