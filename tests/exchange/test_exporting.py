import dataclasses
import sys

import numpy as np
import pytest
import torch
from torch import nn

from made_models import make
from spikeduel.data import Preprocessing
from spikeduel.exchange import exporting
from spikeduel.exchange.exporting import (
    Agreement,
    Run,
    folded,
    reference_run,
    rounded_to_int8,
)
from spikeduel.settings import Experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import evaluating

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 1, 10, 10), np.uint8)
LABELS = np.arange(60) % 3


def answering(changed):
    """An exporter whose file would be run with the answers of the model, `changed`."""

    def write(model, path, weights):
        path.write_text(weights)

        @torch.inference_mode()
        def run(images, encoded):
            return changed(reference_run(model, encoded))

        return {"program 1.0": run}

    return write


def test_what_agrees_is_kept_with_its_check(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "same", answering(lambda run: run))
    model = make()
    check = evaluating.export(model, tmp_path / "a.same", "same", images=IMAGES, labels=LABELS)
    assert (tmp_path / "a.same").read_text() == "float32"
    assert typed.read_json(tmp_path / "a.same.check.json", exporting.ExportCheck) == check
    assert check.n == 60
    assert check.sha256 == files.checksum(tmp_path / "a.same")
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


def test_a_spike_that_flips_is_counted_and_its_image_may_have_other_scores(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "flip", answering(one_flip))
    check = evaluating.export(make(), tmp_path / "a", "flip", images=IMAGES, labels=LABELS)
    program = check.programs["program 1.0"]
    assert (program.spikes_flipped, program.images_with_flips) == (
        2,
        2,
    )  # one in each of two batches
    assert program.largest_score_difference == 0.0


def all_flipped(run):
    return Run(run.scores, {name: 1 - spk for name, spk in run.spikes.items()})


FAULTS = {
    "the right answers by another way": all_flipped,
    "another label": lambda run: Run(-run.scores, run.spikes),
    "scores that differ without a flip": lambda run: Run(run.scores + 2e-4, run.spikes),
    "scores that are not numbers": lambda run: Run(np.full_like(run.scores, np.nan), run.spikes),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_disagrees_is_not_kept(fault, tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "faulty", answering(FAULTS[fault]))
    (tmp_path / "a").write_text("what was there before")
    with pytest.raises(
        exporting.ExportDisagrees, match=r"program 1\.0: the same label on .*99\.9 %"
    ):
        evaluating.export(make(), tmp_path / "a", "faulty", images=IMAGES, labels=LABELS)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a"]
    assert (tmp_path / "a").read_text() == "what was there before"


def test_the_model_itself_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "onnx-same", answering(lambda run: run))
    model = make(precision="bf16")
    model.precision = "bf16"
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    check = evaluating.export(
        model, tmp_path / "a", "onnx-same", weights="int8", images=IMAGES, labels=LABELS
    )
    assert model.precision == "bf16"
    assert all(
        torch.equal(value, before[name]) for name, value in model.module.state_dict().items()
    )
    assert check.model.precision == "bf16"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"to": "onx"}, "did you mean 'onnx'"),
        ({"weights": "int4"}, "unknown weights"),
        ({"to": "nir", "weights": "int8"}, "for the ONNX formats"),
        ({"images": IMAGES}, "give both"),
    ],
)
def test_what_cannot_be_is_said_at_once(settings, problem, tmp_path):
    with pytest.raises(InputError, match=problem):
        evaluating.export(make(), tmp_path / "a", **settings)
    with pytest.raises(InputError, match="a folder"):
        evaluating.export(make(), tmp_path)


@pytest.mark.parametrize(
    ("to", "package"), [("onnx", "onnxscript"), ("onnx-step", "onnxruntime"), ("nir", "nir")]
)
def test_a_missing_extra_says_what_to_install(to, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    progress, told = Progress(), []
    progress.say = told.append
    with pytest.raises(
        InputError, match=rf"{package} is not installed: pip install 'spikeduel\[export\]'"
    ):
        evaluating.export(
            make(), tmp_path / "a", to, images=IMAGES, labels=LABELS, progress=progress
        )
    assert told == []


def test_a_model_file_that_names_code_as_its_data_does_not_run_it(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "same", answering(lambda run: run))
    (tmp_path / "evil_data.py").write_text("raise SystemExit('it has run')")
    with pytest.raises(InputError, match=r"evil_data:load.*--dataset"):
        evaluating.export(make(dataset="evil_data:load"), tmp_path / "a", "same")
    assert not (tmp_path / "a").exists()


def test_test_images_of_the_data_it_was_trained_on(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "same", answering(lambda run: run))
    digits = tuple("0123456789")
    model = make(
        dataset="digits",
        classes=digits,
        image_shape=(1, 8, 8),
        preprocessing=Preprocessing(1, 8, 8),
        num_steps=4,
    )
    check = evaluating.export(
        model, tmp_path / "a", "same", num_images=20, store=tmp_path / "store"
    )
    assert (check.n, check.dataset) == (20, "digits")
    assert (tmp_path / "store" / "ledger.jsonl").exists()
    named = {"experiment": Experiment(dataset="digits"), "store": tmp_path / "store"}
    model.card = dataclasses.replace(model.card, dataset="made up")
    check = evaluating.export(model, tmp_path / "b", "same", **named)
    assert (check.n, check.dataset) == (179, "digits")


# ---- batch norms folded, weights rounded


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
    found = folded(network)
    torch.testing.assert_close(found(images), expected)
    assert isinstance(found[2], nn.Identity) == folds


def test_a_folded_network_computes_the_same():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)),
        nn.Flatten(),
        nn.Sequential(nn.Linear(48, 5), nn.BatchNorm1d(5)),
    )
    for norm in (network[0][2], network[2][1]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 3)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.rand(6, 2, 4, 4)
    expected = network.eval()(x)
    result = folded(network)
    torch.testing.assert_close(result(x), expected)
    assert not [
        layer for layer in result.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
    ]


def test_weights_by_hand():
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, -0.504], [0.0, 0.0], [-2.54, 0.021]]))
    bias = layer.bias.clone()
    rounded_to_int8(layer)
    # Scales 0.01, none, 0.02: values 127 and −50, 0 and 0, −127 and 1.
    torch.testing.assert_close(
        layer.weight, torch.tensor([[1.27, -0.5], [0.0, 0.0], [-2.54, 0.02]])
    )
    assert torch.equal(layer.bias, bias)
