"""The commands `evaluate` and `predict`."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from msgspec import structs

from factories import scored
from made_commands import document, model, one_line, printed, refused, spikeduel
from spikeduel.data import prepared_picture
from spikeduel.engine.networks.models import load_model
from spikeduel.features.predicting.model_evaluation import class_rows
from spikeduel.results.trials import ClassScores
from synthetic_files import write_pictures

pytestmark = pytest.mark.usefixtures("known_data")


def test_evaluate(finished):
    run, _ = finished
    test = json.loads((run / "results.json").read_text())["trials"][0]["test"]
    # Which images lie near training images is the audit's to say.
    seen = {"train": 0, "val": 0, "test": 179}
    evaluated = document("evaluate", model(run), "digits")
    del evaluated["features"]
    assert evaluated == {**test, "seen": seen}
    output = printed("evaluate", model(run), "digits")
    assert "179 images" in output
    assert re.search(rf"^ *accuracy +{100 * test['accuracy']:.2f} *$", output, re.M)
    assert len(re.findall(r"^ ?\d ", output, re.M)) == 10


def test_predict(finished, picture, monkeypatch):
    run, _ = finished
    first, second = document("predict", model(run), picture, picture)
    assert first == second
    names = ["file", "label", "probability", "probabilities", "calibrated", "computed_in"]
    assert sorted(first) == sorted(names)
    assert (first["file"], first["calibrated"], first["computed_in"]) == (str(picture), True, "32")
    assert list(first["probabilities"]) == list("0123456789")
    assert first["probability"] == max(first["probabilities"].values())
    monkeypatch.setenv("COLUMNS", "400")
    words = printed("predict", model(run), picture).split()
    assert words == [str(picture), first["label"], f"{first['probability']:.1%}"]


def test_predict_exits_early(finished, desk, picture, monkeypatch):
    run, _ = finished
    snn, cnn = model(run), model(run, "small-cnn")
    (whole,) = document("predict", snn, picture)
    (late,) = document("predict", snn, picture, "--exit-threshold", 1)
    (early,) = document("predict", snn, picture, "--exit-threshold", 0)
    network = load_model(snn)
    assert (late["num_steps"], late["calibrated"]) == (network.card.num_steps, True)
    assert late["probability"] == pytest.approx(whole["probability"], abs=1e-6)
    assert (early["num_steps"], early["calibrated"]) == (1, True)
    # P is compared with the calibrated probability, which is printed, and with --raw as well.
    image, steps, state = prepared_picture(picture, network.card.preprocessing)[None], [], None
    for frame in network.frames(image):
        scores, state = network.step(frame, state)
        steps.append(float(network.confidence(scores, state.num_steps)))
    assert early["probability"] == pytest.approx(steps[0], abs=1e-4)
    for p in (round(steps[0] + 1e-4, 4), max(steps)):
        num_steps = 1 + int(np.argmax(np.array(steps) >= p))
        for options in ((), ("--raw",)):
            (row,) = document("predict", snn, picture, "--exit-threshold", p, *options)
            assert (row["num_steps"], row["calibrated"]) == (num_steps, not options)
    # A network that is sure enough answers alone, with the probabilities that are printed.
    just = math.floor(1e4 * whole["probability"]) / 1e4
    above = min(1.0, just + 2e-4)
    (alone,) = document("predict", snn, picture, "--exit-threshold", just, "--fallback", cnn)
    (both,) = document("predict", snn, picture, "--exit-threshold", above, "--fallback", cnn)
    assert (alone["predicted_by"], alone["probability"]) == ("dense-snn", whole["probability"])
    assert both["predicted_by"] == "small-cnn"
    assert both["probabilities"] == document("predict", cnn, picture)[0]["probabilities"]
    monkeypatch.setenv("COLUMNS", "400")
    assert printed("predict", snn, picture, "--exit-threshold", 0).endswith("  after 1 step\n")
    assert printed("predict", snn, picture, "--exit-threshold", above, "--fallback", cnn).endswith(
        "  by small-cnn\n"
    )
    assert "has no time steps to stop at" in refused(
        desk, "predict", cnn, picture, "--exit-threshold", 0.5
    )
    assert "--fallback needs --exit-threshold" in refused(
        desk, "predict", snn, picture, "--fallback", cnn
    )
    assert "--follow" not in refused(desk, "predict", snn, picture, "--fallback", cnn)
    followed = refused(desk, "predict", snn, picture, "--exit-threshold", 0.5, "--follow")
    assert "--exit-threshold does not go with --follow" in followed
    assert "--fallback" not in followed
    other = ("--exit-threshold", 0.5, "--fallback", "fashion-mnist-vgg-relu")
    assert "prepares images in another way" in refused(desk, "predict", snn, picture, *other)


def test_predict_tells_what_it_can_and_names_what_it_cannot_read(finished, picture, tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    done = spikeduel("predict", model(finished[0]), tmp_path / "text.png", picture, "--json")
    assert done.exit_code == 2
    assert [row["file"] for row in json.loads(done.stdout)] == [str(picture)]
    assert one_line(done).startswith("error:")
    assert "text.png" in one_line(done)


def test_a_broken_model_or_no_readable_image(desk, finished, picture):
    broken = desk / "m.safetensors"
    broken.write_bytes(model(finished[0]).read_bytes()[:-50])
    assert "m.safetensors" in refused(desk, "predict", broken, picture)
    (desk / "text.png").write_text("not an image")
    line = refused(desk, "predict", model(finished[0]), "text.png")
    assert "text.png: cannot be read as an image" in line
    assert "nowhere.png" in refused(desk, "predict", model(finished[0]), "nowhere.png")


ONE_LABEL = """
import gc, sys
sys.argv = ["spikeduel", "predict", "fashion-mnist-vgg-lif", sys.argv[1]]
from spikeduel.cli import main
try:
    main()
finally:
    unneeded = {"spikeduel.auditing.examining", "spikeduel.evaluation.measures"}
    loaded = {"numba", "matplotlib", "sklearn", "scipy.stats", *unneeded}
    print(loaded & set(sys.modules), gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


def test_one_image_is_labelled_without_what_it_does_not_need(tmp_path):
    (image,) = write_pictures(tmp_path, 1)
    command = [sys.executable, "-c", ONE_LABEL, str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set() True True"


def test_the_table_of_classes_ends_with_the_average_and_the_accuracy():
    scores = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3}
    per_class = [ClassScores(name="a", **scores, support=6)]
    scores |= {"per_class": per_class, "confusion": [[6]]}
    test = structs.replace(scored(2 / 3), n=6, **scores)
    assert [list(row.values()) for row in class_rows(test)] == [
        ["a", "50.00", "25.00", "33.33", "6"],
        ["macro average", "50.00", "25.00", "33.33", "6"],
        ["accuracy", "", "", "66.67", ""],
    ]
