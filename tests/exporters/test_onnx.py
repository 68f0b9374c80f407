import json
import re
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from factories import export, of_feature, page_of
from made_models import make, varied
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.exporters import exporting
from spikeduel.exporters.preparing import unprepared
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system.errors import InputError

BRIGHTNESS = np.linspace(0, 1, 40).reshape(40, 1, 1, 1)
IMAGES = (np.random.default_rng(0).integers(0, 256, (40, 1, 10, 10)) * BRIGHTNESS).astype(np.uint8)
LABELS = np.arange(40) % 3
LIF = {"hidden": 12, "neuron": "lif", "beta": 0.9, "threshold": 0.5}
SPIKING = {"kind": "snn", "encoding": "direct", "num_steps": 2}


def spiking(shape, encoding="direct", **network):
    model = make(shape, **{**SPIKING, "encoding": encoding}, network={**LIF, **network})
    model.module.eval()
    return model


def exported(model, path, to, **more):
    check = export(model, path, to, images=IMAGES, labels=LABELS, **more)
    return check, onnxruntime.InferenceSession(path.read_bytes())


@pytest.mark.parametrize(
    ("shape", "encoding", "network"),
    [
        ("dense-snn", "latency", {"neuron": "alif", "reset_mechanism": "zero"}),
        ("conv-lif", "direct", {"hidden": 8, "neuron": "plif", "threshold": 0.05}),
        ("vgg-integer", "direct", {"width": 8}),
        ("small-cnn", None, {}),
        ("vgg-relu", None, {"width": 8, "activation_bits": 4}),
    ],
)
def test_images_in_scores_out(shape, encoding, network, tmp_path):
    made = make(shape, kind="cnn", network=network) if encoding is None else None
    model = varied(made or spiking(shape, encoding, **network))
    model.card = replace(model.card, temperature=0.25)
    check, session = exported(model, tmp_path / "a.onnx", "onnx")
    assert [program.ok for program in check.programs.values()] == [True]
    # Another batch size than any that was traced or checked.
    raw = unprepared(torch.from_numpy(IMAGES[::6]), model.card.preprocessing).numpy()
    scores, calibrated = session.run(None, {"images": raw})
    _, probabilities = model.predict(IMAGES[::6], calibrated=False)
    np.testing.assert_allclose(torch.tensor(scores).softmax(1), probabilities, atol=1e-5)
    np.testing.assert_allclose(calibrated, model.predict(IMAGES[::6])[1], atol=1e-5)
    assert not np.allclose(calibrated, probabilities, atol=1e-3)
    assert len(np.unique(probabilities.round(4), axis=0)) > 1
    (opset,) = onnx.load(tmp_path / "a.onnx").opset_import
    assert opset.version >= 18


@pytest.mark.parametrize(("shape", "encoding"), [("conv-lif", "direct"), ("small-cnn", None)])
def test_raw_pictures_get_the_labels_of_predict(shape, encoding, tmp_path, monkeypatch, capsys):
    preprocessing = Preprocessing(3, 12, 10)
    images = {"image_shape": preprocessing.shape, "preprocessing": preprocessing}
    card = {"kind": "cnn", "encoding": None, "num_steps": None, **images}
    network = {"hidden": 8}
    if encoding:
        card, network = {**SPIKING, **images}, {**LIF, "threshold": 0.05, "hidden": 8}
    model = make(shape, **card, network=network)
    path, numbers = tmp_path / "a.onnx", np.random.default_rng(1)
    checked = {"images": numbers.integers(0, 256, (20, 3, 12, 10), np.uint8), "labels": LABELS[:20]}
    check = export(model, path, "onnx", **checked)
    session = onnxruntime.InferenceSession(path.read_bytes())
    sizes = [(12, 10), (24, 20), (5, 31), (90, 40), (13, 11), (48, 64)]
    for index, size in enumerate(sizes):
        pixels = numbers.integers(0, 256, (*size, 3), np.uint8) // (index + 1)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{index}.png")
    rows, _ = of_feature("predicting.labelling").predict_files(
        model, sorted(tmp_path.glob("*.png"))
    )
    page = page_of("export")
    code = re.search(r"```python\n# label[.]py\n(.*?)```", page, re.DOTALL)[1]
    monkeypatch.setattr(sys, "argv", ["label.py", str(path), *(row["file"] for row in rows)])
    exec(compile(code, "label.py", "exec"), {})
    printed = [line.split() for line in capsys.readouterr().out.splitlines()[-len(rows) :]]
    for row, (name, label, probability) in zip(rows, printed, strict=True):
        assert (row["file"], row["label"]) == (name, model.card.classes[int(label)])
        assert float(probability) == pytest.approx(row["probability"], abs=1e-5)
        raw = np.asarray(Image.open(row["file"])).transpose(2, 0, 1)[None]
        scores, probabilities = session.run(None, {"images": raw})
        assert model.card.classes[int(scores.argmax())] == row["label"]
        expected = list(row["probabilities"].values())
        np.testing.assert_allclose(probabilities[0], expected, atol=1e-5)
    # Pixels that somebody else has divided by 255 would get other answers.
    with pytest.raises(Exception, match=r"Unexpected input data type.*uint8"):
        session.run(None, {"images": raw.astype(np.float32) / 255})
    assert any("uint8 [B, 3, H, W], 0 to 255" in line for line in exporting.lines(check))


def test_random_encodings_are_the_callers(tmp_path):
    model, images = varied(spiking("dense-lif", "rate")), torch.from_numpy(IMAGES[-5:])
    _, session = exported(model, tmp_path / "a.onnx", "onnx")
    encoded = model.encode(images, RandomKeys.for_content(images))
    scores, raw = session.run(None, {"encoded": encoded.numpy()})
    expected = model.predict(images)[1]
    np.testing.assert_allclose(torch.tensor(scores).softmax(1), expected, atol=1e-5)
    np.testing.assert_allclose(raw, expected, atol=1e-5)  # no temperature was fitted
    written = onnx.load(tmp_path / "a.onnx")
    about = json.loads(written.metadata_props[0].value)
    assert "probability pixel / 255" in about["inputs"]["encoded"]
    assert (about["classes"], about["num_steps"], about["encoding"]) == (["a", "b", "c"], 2, "rate")
    assert (about["preprocessing"]["crop"], about["temperature"]) == ([1, 2, 3, 4], None)
    assert "not calibrated" in about["outputs"]["probabilities"]
    assert "made by spikeduel" in written.doc_string
    # Nothing of the machine on which it was made.
    assert b".py" not in (tmp_path / "a.onnx").read_bytes()
    assert [output.name for output in written.graph.output] == ["scores", "probabilities"]


def test_step_by_step_as_the_model_streams(tmp_path):
    model, state = spiking("dense-snn", neuron="alif", beta=1.0), None
    model.card = replace(model.card, temperature=2.0)
    _, session = exported(model, tmp_path / "a.onnx", "onnx-step")
    shapes = {
        taken.name: [3 if axis == "batch" else axis for axis in taken.shape]
        for taken in session.get_inputs()
        if taken.name != "frame"
    }
    assert {"lif1.mem", "lif1.adaptation"} < set(shapes)
    wanted = ["scores", "probabilities", *(f"{name}.next" for name in shapes)]
    assert [output.name for output in session.get_outputs()] == wanted
    state_now = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for frame in model.frames(torch.from_numpy(IMAGES[:3])):
        expected, state = model.step(frame, state)
        scores, probabilities, *after = session.run(None, {"frame": IMAGES[:3], **state_now})
        state_now = dict(zip(shapes, after, strict=True))
        np.testing.assert_allclose(scores, expected, atol=1e-4)
        # After one of two steps, counts of spikes have half the temperature.
        calibrated = (expected / (2.0 * state.num_steps / 2)).softmax(1)
        np.testing.assert_allclose(probabilities, calibrated, atol=1e-5)
        np.testing.assert_allclose(state_now["lif1.mem"], state.neurons["lif1"]["mem"], atol=1e-5)
    assert state_now["readout.num_steps"] == 2


def test_what_has_no_steps_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no time steps.*--to onnx"):
        exported(make("small-cnn"), tmp_path / "a.onnx", "onnx-step")
    assert not list(tmp_path.glob("a*"))
