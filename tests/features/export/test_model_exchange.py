"""Export on the data that a model was trained on, and import with the data of its training."""

import dataclasses
import itertools

import nir
import numpy as np
import pytest
import torch

import made_recordings
from factories import evaluate
from made_models import make
from spikeduel.data import Preprocessing
from spikeduel.experiment.recipes import events, strong
from spikeduel.experiment.settings import Experiment
from spikeduel.exporters import exporting
from spikeduel.features.export import export, import_model
from spikeduel.inputs.preprocessing import Binning
from spikeduel.system.errors import InputError
from telling import Telling

pytestmark = pytest.mark.numeric


@pytest.fixture
def exporter(monkeypatch):
    """The format "same", whose file gives the answers of the model."""

    def write(model, path, examples):
        path.write_text("written")
        run = torch.inference_mode()(
            lambda images, encoded: exporting.reference_run(model, encoded)
        )
        return exporting.Exported({"images": "uint8"}, {"program 1.0": run})

    monkeypatch.setitem(exporting.EXPORTERS, "same", write)


def test_images_and_labels_go_together(tmp_path):
    with pytest.raises(InputError, match="give both"):
        export(make(), tmp_path / "a", images=np.zeros((1, 1, 10, 10), np.uint8))


def test_a_model_file_that_names_code_as_its_data_does_not_run_it(tmp_path, exporter):
    (tmp_path / "evil_data.py").write_text("raise SystemExit('it has run')")
    with pytest.raises(InputError, match=r"evil_data:load.*--dataset"):
        export(make(dataset="evil_data:load"), tmp_path / "a", "same")
    assert not (tmp_path / "a").exists()


def test_test_images_of_the_data_it_was_trained_on(tmp_path, exporter):
    images = {"image_shape": (1, 8, 8), "preprocessing": Preprocessing(1, 8, 8)}
    model = make(dataset="digits", classes=tuple("0123456789"), num_steps=4, **images)
    where = {"path": tmp_path / "a", "to": "same", "store": tmp_path / "store"}
    check = export(model, num_images=20, **where)
    assert (check.n, check.dataset) == (20, "digits")
    assert (tmp_path / "store" / "ledger.jsonl").exists()
    model.card = dataclasses.replace(model.card, dataset="made up")
    check = export(model, experiment=Experiment(dataset="digits"), **where)
    assert (check.n, check.dataset) == (179, "digits")


def two_layers(path):
    """Write a network of recordings of 12×12 pixels, of two classes, as a NIR graph."""
    numbers = np.random.default_rng(0)

    def affine(outputs, inputs):
        weight = numbers.normal(size=(outputs, inputs)).astype(np.float32)
        return nir.Affine(weight=weight, bias=np.zeros(outputs, np.float32))

    neurons = {"tau": 1e-3, "r": 2.0, "v_leak": 0.0, "v_threshold": 0.3, "v_reset": 0.0}
    nodes = {
        "input": nir.Input(np.array([2, 12, 12])),
        "first": affine(5, 2 * 12 * 12),
        "neurons": nir.LIF(**{name: np.full(5, value) for name, value in neurons.items()}),
        "second": affine(2, 5),
        "output": nir.Output(np.array([2])),
    }
    edges = list(itertools.pairwise(nodes))
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    return path


def test_recordings_become_as_many_frames_of_that_length_as_were_asked_for(tmp_path):
    made_recordings.directions(tmp_path / "bars", 4)
    path, bars = two_layers(tmp_path / "a.nir"), str(tmp_path / "bars")
    model = import_model(path, events(bars, bin_ms=20.0), num_steps=6)
    assert model.card.preprocessing.binning == Binning(6, (12, 12), 20_000)
    assert model.card.num_steps == 6
    assert evaluate(model, events(bars), "all").n == 8
    assert evaluate(model, events(bars, bin_ms=20.0, num_steps=6), "all").n == 8
    with pytest.raises(InputError, match="bin_ms: has no effect: sequential takes its own 6 frame"):
        evaluate(model, events(bars, bin_ms=1.0), "all")
    with pytest.raises(InputError, match="encoding: has no effect"):
        import_model(path, events(bars), encoding="rate")


def test_without_a_number_frames_cover_the_longest_recording(tmp_path):
    made_recordings.directions(tmp_path / "bars", 4)  # of 240 ms
    path, bars = two_layers(tmp_path / "a.nir"), str(tmp_path / "bars")
    progress = Telling()
    model = import_model(path, events(bars, bin_ms=7.0), progress=progress)
    assert model.card.preprocessing.binning == Binning(35, (12, 12), 7_000)
    assert model.card.num_steps == 35
    assert not progress.messages
    chosen = import_model(path, events(bars, bin_ms=7.0, num_steps=5), progress=progress)
    assert chosen.card.num_steps == 5
    assert "5 frames of 7 ms, while the longest recording lasts 240 ms" in progress.messages[0]
    assert import_model(path, events(bars)).card.preprocessing.binning.frame_us is None
    with pytest.raises(InputError, match=r"are 4,791 frames of 0\.05 ms, and at most 4,096"):
        import_model(path, events(bars, bin_ms=0.05))


def test_a_length_of_frames_is_for_recordings(tmp_path):
    with pytest.raises(InputError, match="bin_ms: has no effect: digits has other data"):
        import_model(two_layers(tmp_path / "a.nir"), strong("digits", bin_ms=1.0))
