"""Networks of recordings in files of other programs, and back."""

import numpy as np
import pytest

from factories import export
from made_models import make_recorded
from spikeduel.exporters import exporting
from spikeduel.exporters.nir import import_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("nir")
FOR_NIR = {"reset_mechanism": "zero", "pooling": "avg"}


@pytest.mark.parametrize(
    ("contender", "to", "network"),
    [
        ("dense-lif", "onnx", {"hidden": 8}),
        ("dense-lif", "onnx-step", {"hidden": 8}),
        ("conv-lif", "nir", FOR_NIR | {"hidden": 8}),
        ("vgg-sum", "onnx", {}),
    ],
)
def test_a_file_gives_the_models_scores_of_frames(contender, to, network, tmp_path):
    model, frames = make_recorded(contender, **network)
    check = export(model, tmp_path / "a", to, images=frames.numpy(), labels=np.zeros(2, np.int64))
    assert all(program.ok for program in check.programs.values())
    assert check.noun == "recording"
    assert "image" not in " ".join(exporting.lines(check)).replace("on validation images", "")
    if to == "onnx":
        (taken,) = onnx.load(tmp_path / "a").graph.input
        axes = [axis.dim_value for axis in taken.type.tensor_type.shape.dim]
        assert (taken.name, axes[1:]) == ("frames", [6, 6, 6])


def test_what_comes_back_from_nir_is_a_network_of_the_same_recordings(tmp_path):
    model, frames = make_recorded(**FOR_NIR)
    asked = {"images": frames.numpy(), "labels": np.zeros(2, np.int64)}
    export(model, tmp_path / "a.nir", "nir", **asked)
    back = import_model(tmp_path / "a.nir")
    for name in ("image_shape", "input_shape", "preprocessing", "encoding", "num_steps"):
        assert getattr(back.card, name) == getattr(model.card, name)
    np.testing.assert_allclose(back.predict(frames)[1], model.predict(frames)[1], atol=1e-5)
