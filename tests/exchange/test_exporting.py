import dataclasses
import json
import sys

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from made_models import make
from spikeduel.data import Preprocessing
from spikeduel.exchange import exporting
from spikeduel.exchange.agreement import Agreement, Run, reference_run
from spikeduel.settings import Experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import exchanging

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 1, 10, 10), np.uint8)
LABELS = np.arange(60) % 3


KEYS = {
    "spikeduel",
    "created",
    "file",
    "sha256",
    "bytes",
    "format",
    "weights",
    "model",
    "dataset",
    "n",
    "accuracy_float32",
    "accuracy_lost",
    "accuracy",
    "programs",
    "versions",
    "temperature",
    "probabilities",
    "noun",
}


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
    check = exchanging.export(model, tmp_path / "a.same", "same", images=IMAGES, labels=LABELS)
    assert (tmp_path / "a.same").read_text() == "float32"
    assert set(json.loads((tmp_path / "a.same.check.json").read_text())) == KEYS
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


def test_a_damaged_check_is_a_clear_error(tmp_path):
    (tmp_path / "a.check.json").write_text('{"spikeduel": "0.1.0", "file": 3}')
    with pytest.raises(InputError, match=r"a\.check\.json: "):
        typed.read_json(tmp_path / "a.check.json", exporting.ExportCheck)


def one_flip(run):
    flipped = {name: spk.copy() for name, spk in run.spikes.items()}
    flipped["lif1"][2, 0, 5] = 1 - flipped["lif1"][2, 0, 5]
    scores = run.scores.copy()
    scores[0, scores[0].argmax()] += 0.01
    return Run(scores, flipped)


def test_a_spike_that_flips_is_counted_and_its_image_may_have_other_scores(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "flip", answering(one_flip))
    check = exchanging.export(make(), tmp_path / "a", "flip", images=IMAGES, labels=LABELS)
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
    ) as caught:
        exchanging.export(make(), tmp_path / "a", "faulty", images=IMAGES, labels=LABELS)
    assert caught.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a"]
    assert (tmp_path / "a").read_text() == "what was there before"


def test_the_model_itself_stays_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "onnx-same", answering(lambda run: run))
    model = make(precision="bf16")
    model.precision = "bf16"
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    check = exchanging.export(
        model, tmp_path / "a", "onnx-same", weights="int8", images=IMAGES, labels=LABELS
    )
    assert model.precision == "bf16"
    assert all(
        torch.equal(value, before[name]) for name, value in model.module.state_dict().items()
    )
    assert check.model.trained_in == "bf16"
    assert check.accuracy_lost == pytest.approx(check.accuracy_float32 - check.accuracy)


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
        exchanging.export(make(), tmp_path / "a", **settings)
    with pytest.raises(InputError, match="a folder"):
        exchanging.export(make(), tmp_path)


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
        exchanging.export(
            make(), tmp_path / "a", to, images=IMAGES, labels=LABELS, progress=progress
        )
    assert told == []


def test_lines_say_what_was_found(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "same", answering(lambda run: run))
    check = exchanging.export(
        make(temperature=1.5), tmp_path / "a", "same", images=IMAGES, labels=LABELS
    )
    assert check.temperature == 1.5
    program = replace(
        check.programs["program 1.0"], largest_score_difference=2e-6, spikes_flipped=3
    )
    program = replace(program, same_label=0.999, spikes_compared=1000)
    check = replace(check, n=1000, weights="int8", programs={"p 1": program})
    check = replace(check, accuracy_float32=0.87, accuracy=0.861, accuracy_lost=0.009)
    assert exporting.lines(check) == [
        "p 1: the same label on 99.90 % of 1,000 test images; scores differ by at most 2e-06 "
        "where no spike flipped; 3 of 1,000 spikes flipped.",
        "Probabilities: output probabilities: the softmax of scores / 1.5, a temperature that was "
        "fitted on validation images.",
        "Accuracy on these images: 87.00 %, with int8 weights 86.10 % (lost: 0.90 points).",
    ]
    alone = exporting.lines(replace(check, weights="float32", programs={"spikeduel": program}))
    assert len(alone) == 3
    assert "nirtorch" in alone[2]


def test_a_model_file_that_names_code_as_its_data_does_not_run_it(tmp_path, monkeypatch):
    monkeypatch.setitem(exporting.EXPORTERS, "same", answering(lambda run: run))
    (tmp_path / "evil_data.py").write_text("raise SystemExit('it has run')")
    with pytest.raises(InputError, match=r"evil_data:load.*--dataset"):
        exchanging.export(make(dataset="evil_data:load"), tmp_path / "a", "same")
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
    check = exchanging.export(
        model, tmp_path / "a", "same", num_images=20, store=tmp_path / "store"
    )
    assert (check.n, check.dataset) == (20, "digits")
    assert (tmp_path / "store" / "ledger.jsonl").exists()
    named = {"experiment": Experiment(dataset="digits"), "store": tmp_path / "store"}
    model.card = dataclasses.replace(model.card, dataset="made up")
    check = exchanging.export(model, tmp_path / "b", "same", **named)
    assert (check.n, check.dataset) == (179, "digits")
