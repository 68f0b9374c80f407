import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

import factories
from made_models import make
from spikeduel.exporters import exporting
from spikeduel.exporters.exporting import (
    Agreement,
    Run,
    folded,
    reference_run,
)
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from telling import Telling

pytestmark = pytest.mark.numeric

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 1, 10, 10), np.uint8)
LABELS = np.arange(60) % 3


def predicting_model(changed):
    """An exporter whose file would be run with the answers of the model, `changed`."""

    def write(model, path, examples):
        (path / "made" if path.is_dir() else path).write_text("written")
        run = torch.inference_mode()(lambda images, encoded: changed(reference_run(model, encoded)))
        return exporting.Exported({"images": "uint8"}, {"program 1.0": run})

    return write


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Export a model to `tmp_path`/a, checked on IMAGES by an exporter that gives changed answers."""

    def run(changed, model=None, **settings):
        monkeypatch.setitem(exporting.EXPORTERS, "onnx-made", predicting_model(changed))
        settings = {"images": IMAGES, "labels": LABELS, **settings}
        return factories.export(model or make(), tmp_path / "a", "onnx-made", **settings)

    return run


def same(run):
    return run


def test_a_file_that_agrees_stays_with_its_check(export, tmp_path):
    model = make(precision="bf16")
    model.precision = "bf16"
    before = copy.deepcopy(model.module.state_dict())
    check = export(same, model)
    # The model itself stays as it was.
    assert model.precision == check.model.precision == "bf16"
    torch.testing.assert_close(model.module.state_dict(), before, rtol=0, atol=0)
    model.precision = "32"
    assert (tmp_path / "a").read_text() == "written"
    assert typed.read_json(tmp_path / "a.check.json", exporting.ExportCheck) == check
    assert (check.n, check.sha256) == (60, files.checksum(tmp_path / "a"))
    predicted, _ = model.predict(IMAGES)
    assert check.accuracy == check.accuracy_float32 == pytest.approx((predicted == LABELS).mean())
    assert check.programs["program 1.0"] == Agreement(
        ok=True,
        same_label=1.0,
        largest_score_difference=0.0,
        spikes_flipped=0,
        spikes_compared=60 * 6 * (12 + 3),
        images_with_flips=0,
        accuracy=check.accuracy,
    )


def one_flip(run):
    flipped = {name: spk.copy() for name, spk in run.spikes.items()}
    flipped["lif1"][2, 0, 5] = 1 - flipped["lif1"][2, 0, 5]
    scores = run.scores.copy()
    scores[0, scores[0].argmax()] += 0.01
    return Run(scores, flipped)


def test_a_spike_that_flips_is_counted_and_its_image_may_have_other_scores(export):
    program = export(one_flip).programs["program 1.0"]
    # One in each of two batches.
    assert (program.spikes_flipped, program.images_with_flips) == (2, 2)
    assert program.largest_score_difference == 0.0


def test_changed_levels_of_a_network_without_spikes_are_activations(export):
    check = export(same, make("vgg-relu", network={"width": 4, "activation_bits": 4}))
    text = exporting.lines(check)[0]
    assert " 0 of " in text
    assert "activations changed" in text
    assert "spike" not in text


FAULTS = {
    "the right answers by another way": lambda run: Run(
        run.scores, {name: 1 - spk for name, spk in run.spikes.items()}
    ),
    "another label": lambda run: Run(-run.scores, run.spikes),
    "scores that differ without a flip": lambda run: Run(run.scores + 2e-4, run.spikes),
    "scores that are not numbers": lambda run: Run(np.full_like(run.scores, np.nan), run.spikes),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_disagrees_is_removed(fault, export, tmp_path):
    (tmp_path / "a").write_text("what was there before")
    with pytest.raises(
        exporting.ExportDisagrees, match=r"program 1\.0: the same label on .*99\.9 %"
    ):
        export(FAULTS[fault])
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a"]
    assert (tmp_path / "a").read_text() == "what was there before"


def test_of_two_exports_to_one_folder_the_first_stays(export, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "FOLDERS", ("onnx-made",))

    def while_another_ends(run):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / "b").write_text("another's")
        return run

    with pytest.raises(InputError, match="Name a new folder"):
        export(while_another_ends)
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "b"]


def test_impossible_exports_are_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="did you mean 'onnx'"):
        factories.export(make(), tmp_path / "a", "onx")
    with pytest.raises(InputError, match="a folder"):
        factories.export(make(), tmp_path)


@pytest.mark.parametrize(
    ("to", "package"), [("onnx", "onnxscript"), ("onnx-step", "onnxruntime"), ("nir", "nir")]
)
def test_a_missing_extra_says_what_to_install(to, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    progress, about = Telling(), {"images": IMAGES, "labels": LABELS}
    with pytest.raises(
        InputError, match=rf"{package} is not installed: pip install 'spikeduel\[export\]'"
    ):
        factories.export(make(), tmp_path / "a", to, **about, progress=progress)
    assert progress.lines == []


# ---- batch norms folded


@pytest.mark.parametrize(
    ("pooling", "folds"),
    [
        (nn.AvgPool2d(2), True),
        (nn.AvgPool2d(3, 2), True),
        (nn.AvgPool2d(2, padding=1), False),
        (nn.MaxPool2d(2), False),
    ],
    ids=str,
)
def test_a_norm_is_folded_over_averages_and_over_nothing_else(pooling, folds):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), pooling, nn.BatchNorm2d(3))
    for _ in range(3):
        network(torch.randn(8, 2, 9, 9) * 2 + 1)
    images = torch.randn(4, 2, 9, 9)
    expected = network.eval()(images)
    result = folded(network)
    torch.testing.assert_close(result(images), expected)
    assert isinstance(result[2], nn.Identity) == folds
