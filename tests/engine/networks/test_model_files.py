import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from safetensors.torch import save_file

from damage import FUZZED, changed, damaged, problem
from made_models import make
from spikeduel.engine.networks.models import load_model, save_model
from spikeduel.system.errors import InputError


@pytest.fixture
def images(random):
    return random.integers(0, 256, (5, 1, 10, 10), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    """The file of a saved model."""
    save_model(tmp_path / "m.safetensors", make())
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize("contender", ["dense-snn", "small-cnn"])
def test_a_saved_model_comes_back_whole(contender, tmp_path, images):
    model = make(contender, temperature=2.5)
    save_model(tmp_path / "m.safetensors", model)
    again = load_model(tmp_path / "m.safetensors")
    assert again.card == model.card
    for one, other in zip(model.predict(images), again.predict(images), strict=True):
        assert np.array_equal(one, other)


def _overwrite(path, metadata, weights=None):
    weights = weights or {"x": torch.zeros(1)}
    save_file({name: value.contiguous() for name, value in weights.items()}, path, metadata)


def _card_of(whole):
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    return json.loads(header["__metadata__"]["spikeduel"])


@pytest.mark.parametrize(
    "broken",
    [
        lambda whole: b"",
        lambda whole: b"PK\x03\x04 not safetensors",
        lambda whole: whole[:100],
        lambda whole: whole[:-10],
        lambda whole: b"\xff" * 8 + whole[8:],
    ],
)
def test_broken_files_are_named(broken, path):
    path.write_bytes(broken(path.read_bytes()))
    with pytest.raises(InputError, match=r"m\.safetensors"):
        load_model(path)
    path.unlink()
    with pytest.raises(InputError, match=r"m\.safetensors: no such model file"):
        load_model(path)


def test_a_file_cannot_make_spikeduel_run_code_that_the_user_did_not_name(path, tmp_path):
    card, trace = _card_of(path.read_bytes()), tmp_path / "was run"
    for changes in (
        {"contender": "subprocess:call", "image_shape": ["touch", str(trace), "-c"]},
        {"contender": "os:system"},
        {"encoding": "os:system"},
        {"network": {"hidden": 12, "neuron": "os:system"}},
        {"network": {"hidden": 12, "neuron": "lif", "surrogate": "os:system"}},
    ):
        _overwrite(path, {"spikeduel": json.dumps({**card, **changes})})
        with pytest.raises(InputError, match=r"m\.safetensors"):
            load_model(path)
    assert not trace.exists()
    with pytest.raises(InputError, match=r"needs the code os:system.*--own-code os:system"):
        load_model(path)


def test_own_code_is_run_where_it_is_named(tmp_path):
    (tmp_path / "my_net.py").write_text(
        "import torch\n"
        "def build(image_shape, num_classes, num_steps, **settings):\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(100, num_classes))\n"
    )
    model = make("small-cnn", contender="my_net:build", kind="ann", network={})
    save_model(tmp_path / "m.safetensors", model)
    with pytest.raises(InputError, match="needs the code my_net:build"):
        load_model(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors", own_code=["my_net:build"]).card == model.card


@pytest.mark.parametrize(
    ("asked", "dtype"), [({}, torch.float32), ({"precision": "bf16"}, torch.bfloat16)], ids=str
)
def test_a_model_computes_in_float32_unless_bf16_is_asked_for(asked, dtype, tmp_path, images):
    path, seen = tmp_path / "m.safetensors", []
    save_model(path, make(precision="bf16"))
    model = load_model(path, **asked)
    assert model.card.precision == "bf16"
    model.module.linear1.register_forward_hook(
        lambda layer, inputs, output: seen.append(output.dtype)
    )
    model.predict(images)
    assert seen == [dtype]
    with pytest.raises(InputError, match="precision '16'"):
        load_model(path, precision="16")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image_shape": [1, 10**6, 10**6]}, "preprocessing"),
        ({"image_shape": [1, 10, 10.5]}, r"image_shape\[2\]: "),
        ({"image_shape": "abc"}, "image_shape: "),
        (
            {"preprocessing": {"channels": 1, "height": 10**6, "width": 10**6}},
            r"preprocessing\.height: ",
        ),
        ({"preprocessing": []}, "preprocessing: "),
        ({"network": {"hidden": 10**12, "neuron": "lif"}}, "do not fit dense-snn"),
        ({"network": {"hidden": 12, "neuron": 5}}, r"network\.neuron: "),
        ({"network": {"hidden": 12, "neuron": "lif", "surrogate": 5}}, r"network\.surrogate: "),
        (
            {"network": {"hidden": 12, "neuron": "lif", "threshold": -1}},
            "threshold must be greater than 0",
        ),
        (
            {"network": {"hiden": 12, "neuron": "lif"}},
            "setting of dense-snn 'hiden': did you mean 'hidden'",
        ),
        ({"num_steps": 10**12}, "num_steps: "),
        ({"num_steps": None}, "a spiking network has an encoding and a number of steps"),
        ({"kind": "resnet"}, "kind: "),
        ({"foreign": {"way": "once", "flat": True, "output": "scores"}}, "dense-snn foreign"),
        ({"foreign": {"way": "twice", "flat": True, "output": "scores"}}, r"foreign\.way: "),
        ({"kind": "cnn", "encoding": None, "num_steps": None}, "dense-snn is of kind snn"),
        ({"encoding": "rats"}, "unknown encoding 'rats': did you mean 'rate'"),
        ({"classes": 3}, "classes: "),
        ({"network": ["hidden"]}, "network: "),
        ({"contender": "dens-snn"}, "did you mean 'dense-snn'"),
        ({"classes": ["a", "a", "b"]}, "or one twice"),
        ({"classes": ["a"] + ["b"] * 10**4}, "or one twice"),
        ({"precision": "64"}, "precision: "),
        ({"temperature": 0.0}, "temperature: "),
        ({"temperature": 1e-300}, "temperature: "),
        ({"temperature": "2"}, "temperature: "),
        ({"trained_on": {"fingerprint": "f"}}, "trained_on: .*limit"),
        ({"format": 99}, "written by another version"),
    ],
)
def test_what_a_file_says_about_itself_is_checked(changes, says, path):
    card = {**_card_of(path.read_bytes()), **changes}
    _overwrite(path, {"spikeduel": json.dumps(card)}, make().module.state_dict())
    with pytest.raises(InputError, match=rf"m\.safetensors: .*{says}"):
        load_model(path)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (None, ""),
        ({"other": "1"}, ""),
        ({"spikeduel": "not json"}, ""),
        ({"spikeduel": "[]"}, ""),
        ({"spikeduel": '"text"'}, ""),
        ({"spikeduel": '{"a":' * 100_000}, "it says about itself is wrong.*nested too deeply"),
        ({"spikeduel": '{"seed": NaN}'}, "it says about itself is wrong.*not JSON"),
        ({"spikeduel": '{"seed": ' + "9" * 5000 + "}"}, "it says about itself is wrong"),
    ],
    ids=range(8),
)
def test_metadata_that_are_none_or_beyond_reason(metadata, says, path):
    _overwrite(path, metadata)
    with pytest.raises(InputError, match=rf"m\.safetensors.*{says}"):
        load_model(path)


LAYER = "linear1.weight"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda value: {LAYER: value[:, :50].clone()}, "do not fit dense-snn"),
        (lambda value: {"other": value}, "do not fit"),
        (lambda value: {LAYER: None}, "do not fit"),
        (lambda value: {LAYER: value.half()}, f"{LAYER} are float16, and dense-snn has float32"),
        (lambda value: {LAYER: value * torch.nan}, f"weights {LAYER} are not all numbers"),
        (lambda value: {LAYER: value + torch.inf}, f"weights {LAYER} are not all numbers"),
    ],
)
def test_weights_are_checked_before_they_are_taken(change, says, path):
    weights = load_model(path).module.state_dict()
    weights |= change(weights[LAYER].clone())
    weights = {name: value for name, value in weights.items() if value is not None}
    _overwrite(path, {"spikeduel": json.dumps(_card_of(path.read_bytes()))}, weights)
    with pytest.raises(InputError, match=rf"m\.safetensors: .*{says}"):
        load_model(path)


@pytest.mark.parametrize("size", [2**40, 100 << 20, 2**64 - 1])
def test_a_header_of_any_size_is_not_read(size, path):
    path.write_bytes(size.to_bytes(8, "little") + b"{}")
    with pytest.raises(InputError, match=f"m.safetensors: .*claims a header of {size:,} bytes"):
        load_model(path)


class _Planted:
    """Whoever unpickles this leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_renamed_pickle_or_torch_file_runs_no_code(path, tmp_path):
    trace = tmp_path / "was run"
    planted = _Planted(trace)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps({"weights": planted, "padding": "x" * 200}, protocol))
        with pytest.raises(InputError, match=r"m\.safetensors: not a model file of spikeduel"):
            load_model(path)
    torch.save(planted, path)
    with pytest.raises(InputError, match=r"not a model file of spikeduel.*could run code"):
        load_model(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(planted))  # the trap works
    assert trace.exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match=r"m\.safetensors: no such model file"):
        load_model(tmp_path / "m.safetensors")


@FUZZED
@given(data=st.data())
def test_damaged_files_give_a_model_or_an_input_error(data, path):
    save_model(path, make())
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(data.draw(damaged(whole)))
    else:
        card = data.draw(changed(_card_of(whole)))
        _overwrite(path, {"spikeduel": json.dumps(card)}, make().module.state_dict())
    if message := problem(load_model, path):
        assert "m.safetensors" in message
    else:
        load_model(path).predict(np.zeros((1, 10, 10), np.uint8))
