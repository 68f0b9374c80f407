"""The commands `export` and `import`."""

import numpy as np
import pytest

import spikeduel as sd
from made_commands import QUICKEST, document, model, printed, refused, spikeduel
from spikeduel.engine.networks.models import load_model
from spikeduel.experiment.settings import Experiment

pytestmark = pytest.mark.usefixtures("known_data")


def test_a_model_goes_out_as_nir_and_comes_in_again(desk, unreported):
    network = ["--contender", "dense-lif", "--reset-mechanism", "zero", "--encoding", "direct"]
    printed("compare", "digits", *network, *QUICKEST, "--out", "run")
    path = model(desk / "run", "dense-lif")
    words = " ".join(printed("export", path, "--to", "nir", "--out", "a.nir", "--quiet").split())
    assert "snntorch 1" in words
    assert "the same label on 100.00 % of 179 test images" in words
    assert "check: a.nir.check.json" in words
    assert document("export", path, "--to", "nir", "--out", "b.nir", "--images", 20)["n"] == 20
    words = " ".join(printed("export", path, "--to", "c", "--out", "c", "--quiet").split())
    target = words.rpartition("make -C c ")[2]
    assert f"\n{target}:" in (desk / "c" / "Makefile").read_text()
    printed("import", "a.nir", "--out", "again.safetensors")
    first, again = load_model(path), load_model("again.safetensors")
    images = sd.data.load(Experiment(dataset="digits")).images[:100]
    assert np.array_equal(first.predict(images)[0], again.predict(images)[0])
    line = refused(desk, "export", path, "--out", "c.onnx", "--data-dir", "files")
    assert "files, where nothing is now" in line


def test_data_are_named_where_settings_say_how_they_are_prepared():
    done = spikeduel("import", "m.nir", "--out", "m.safetensors", "--bin-ms", "1")
    assert "bin_ms: takes the data: name them (--dataset)" in done.output
