import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from spikeduel.data import Preprocessing
from spikeduel.draws import Draw
from spikeduel.errors import InputError
from spikeduel.models import Model, ModelCard, build, load_model, save_model


def make(shape="dense-snn", **changes):
    spiking = shape == "dense-snn"
    network = {"hidden": 12, **({"neuron": "lif", "beta": 0.9, "threshold": 0.5} if spiking else {})}
    card = {
        "contender": shape,
        "family": "snn" if spiking else "cnn",
        "image_shape": (1, 10, 10),
        "classes": ("a", "b", "c"),
        "preprocessing": Preprocessing(1, 10, 10, crop=(1, 2, 3, 4), invert=True, enlarge=False),
        "network": network,
        "encoding": "rate" if spiking else None,
        "num_steps": 6 if spiking else None,
        "seed": 4,
        "dataset": "made up",
    }
    card = ModelCard(**{**card, **changes})
    torch.manual_seed(0)
    return Model(build(card), card)


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


@pytest.mark.parametrize("encoding", ["rate", "direct", "latency"])
def test_an_image_gets_one_answer_in_whatever_company(encoding, images):
    model = make(encoding=encoding)
    labels, probabilities = model.predict(images)
    assert labels.dtype == np.int64
    assert probabilities.shape == (5, 3)
    assert np.allclose(probabilities.sum(1), 1)
    assert np.array_equal(labels, probabilities.argmax(1))
    one_by_one = [model.predict(image[None]) for image in images]
    assert np.array_equal(labels, np.concatenate([answer[0] for answer in one_by_one]))
    assert np.allclose(probabilities, np.concatenate([answer[1] for answer in one_by_one]), atol=1e-6)
    assert np.array_equal(labels, model.predict(images, batch_size=2)[0])


def test_grey_images_may_lack_a_channel_axis_and_none_is_fine(images):
    model = make()
    assert np.array_equal(model.predict(images[:, 0])[1], model.predict(images)[1])
    labels, probabilities = model.predict(images[:0])
    assert labels.shape == (0,)
    assert probabilities.shape == (0, 3)


def test_wrong_images_are_refused(images):
    for wrong in (images.astype(np.float32), images[:, :, :5], images[0, 0]):
        with pytest.raises(InputError, match=r"uint8 \[N, 1, 10, 10\]"):
            make().predict(wrong)


def test_a_trace_is_what_the_network_did(images):
    model = make()
    draw = Draw.for_evaluation(np.arange(5))
    trace = model.trace(images, draw)
    assert trace.encoded.shape == (6, 5, 1, 10, 10)
    assert list(trace.spk) == ["lif1", "lif2"]
    assert trace.output_layer == "lif2"
    x = model.encode(torch.from_numpy(images), draw)
    spk, mem = model.module(x)
    assert torch.equal(trace.spk["lif2"], spk)
    assert torch.equal(trace.mem["lif2"], mem)
    torch.testing.assert_close(trace.current["lif2"], model.module.linear2(trace.spk["lif1"]))
    assert model.trace(images, num_steps=9).mem["lif1"].shape == (9, 5, 12)
    with pytest.raises(InputError, match="does not spike"):
        make("small-cnn").trace(images)


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


@pytest.mark.parametrize("encoding", ["rate", "direct", "latency"])
@pytest.mark.parametrize("contender", ["dense-snn", "conv-lif"])
def test_streaming_ends_in_the_scores_of_predict(contender, encoding, images):
    model = make(contender, encoding=encoding, num_steps=6, family="snn", network={"hidden": 12, "neuron": "lif"})
    model.module.eval()
    state = None
    frames = list(model.frames(images))
    assert len(frames) == 6
    for frame in frames:
        scores, state = model.step(frame, state)
    assert state.num_steps == 6
    labels, probabilities = model.predict(images)
    assert np.array_equal(scores.argmax(1).numpy(), labels)
    assert np.allclose(scores.softmax(1).numpy(), probabilities, atol=1e-5)
    # Another stream begins anew.
    again, _ = model.step(frames[0])
    assert torch.equal(again, model.step(frames[0])[0])


def test_two_streams_do_not_disturb_each_other(images):
    model = make(encoding="direct")
    one, other = (torch.from_numpy(images[i : i + 1]).float() / 255 for i in (0, 1))
    alone = None
    for _ in range(4):
        expected, alone = model.step(one, alone)
    state, between = None, None
    for _ in range(4):
        scores, state = model.step(one, state)
        _, between = model.step(other, between)
    assert torch.equal(scores, expected)


def test_what_cannot_stream_is_told_why(images):
    with pytest.raises(InputError, match="does not spike"):
        make("small-cnn").step(torch.zeros(1, 1, 10, 10))
    with pytest.raises(InputError, match=r"model\.frames\(images\)"):
        make().step(torch.from_numpy(images))
    with pytest.raises(InputError, match=r"float32 \[B, 1, 10, 10\]"):
        make().step(torch.zeros(1, 1, 9, 10))


def test_a_model_answers_in_the_precision_of_its_card_where_the_hardware_has_it(tmp_path, images, monkeypatch):
    save_model(tmp_path / "m.safetensors", make(precision="bf16"))
    for has_bf16, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("spikeduel.models.has_bf16", lambda device, found=has_bf16: found)
        model = load_model(tmp_path / "m.safetensors")
        seen = []
        model.module.linear1.register_forward_hook(lambda layer, inputs, output, seen=seen: seen.append(output.dtype))
        model.predict(images)
        assert seen == [dtype]
