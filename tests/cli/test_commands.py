import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer.main
from PIL import Image
from typer.testing import CliRunner

from forked import Forked
from made_pages import unreported
from spikeduel.cli import app, duels
from spikeduel.cli.inputs import EPOCHS_ARE_SAVED, CommandInput
from spikeduel.results.comparison import load_run
from spikeduel.results.predictions import compare_runs
from spikeduel.results.words.verdict import difference_line
from spikeduel.settings import Experiment
from spikeduel.system import __version__
from spikeduel.trials import training
from spikeduel.trials.store import Store

pytestmark = pytest.mark.usefixtures("known_data")

FAST = ["--recipe", "baseline", "--num-steps", "4", "--device", "cpu"]
FAST += ["--hidden", "32", "--learning-rate", "5e-3"]
QUICKEST = [*FAST, "--epochs", "1", "--limit", "200"]


def spikeduel(*arguments, answer=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=answer)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """The user's current folder: empty, and the store where it is by default."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SPIKEDUEL_STORE")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run's folder, and what the command printed."""
    folder = tmp_path_factory.mktemp("finished")
    arguments = [
        "digits",
        *FAST,
        "--epochs",
        2,
        "--json",
        "--verbose",
        "--out",
        folder / "run",
        "--store",
        folder / "store",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikeduel.comparing.report", unreported)
        return folder / "run", spikeduel("compare", *arguments, "--json", "--verbose")


@pytest.fixture
def picture(tmp_path, random):
    path = tmp_path / "picture.png"
    Image.fromarray(random.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(path)
    return path


def model(run, contender="dense-snn"):
    return run / "models" / f"{contender}-seed0.safetensors"


# ---- help


def every_command(group=None, path=()):
    """Yield the words and the object of each command of the program."""
    group = group or typer.main.get_command(app)
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from every_command(found, (*path, name))
        else:
            yield (*path, name), found


COMMANDS = dict(every_command())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words):
    has_more = any(parameter.name == "help_all" for parameter in COMMANDS[words].params)
    done = spikeduel(*words, "--help-all" if has_more else "--help")
    assert done.exit_code == 0
    for parameter in COMMANDS[words].params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert parameter.opts[0] in done.stdout
            assert parameter.help.strip().endswith((".", ")")), parameter.opts
    assert spikeduel(*words, "--help").stdout == spikeduel(*words, "-h").stdout


def test_the_help_of_compare_is_short():
    options = [each for each in COMMANDS["compare",].params if each.param_type_name == "option"]
    named = [option for option in options if not option.hidden]
    assert len(named) - 1 <= 25  # --help-all is none of them
    lines = spikeduel("compare", "--help").stdout.splitlines()
    shown = [each for each in options if any(f"│ {each.opts[0]} " in line for line in lines)]
    assert len(shown) - 1 <= 10


def test_the_help_names_every_command():
    done = spikeduel("--help")
    assert done.exit_code == 0
    for words in COMMANDS:
        assert re.search(rf"\b{words[0]} ", done.stdout)
    assert spikeduel().stdout.strip() == done.stdout.strip()


def test_the_version():
    done = spikeduel("--version")
    assert (done.exit_code, done.stdout) == (0, f"spikeduel {__version__}\n")


# ---- what it is for


def test_compare_prints_one_json_document_and_nothing_else(finished):
    run, done = finished
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads((run / "results.json").read_text())
    assert done.stdout.startswith("{")
    assert "epoch 1/2" in done.stderr
    assert [trial["status"] for trial in json.loads(done.stdout)["trials"]] == ["done", "done"]
    assert json.loads(done.stdout)["experiment"]["hidden"] == 32


def test_compare_prints_table_verdict_caveats_and_where_things_are(desk, unpainted):
    done = spikeduel("compare", "digits", *QUICKEST, "--verbose")
    assert (done.exit_code, done.stderr) == (0, "")
    (run,) = [path for path in (desk / "runs").iterdir() if path.name != "store"]
    results = json.loads((run / "results.json").read_text())
    said = " ".join(done.stdout.split())
    assert f"{100 * results['trials'][0]['test']['accuracy']:.2f}" in said
    for sentence in (
        results["comparison"]["verdict"],
        *(each["text"] for each in results["comparison"]["caveats"]),
    ):
        assert " ".join(sentence.split()) in said
    assert f"report: {Path('runs') / run.name / 'report.html'}" in said
    assert "epoch 1/1" in said
    rerun = spikeduel("compare", "--experiment", run, "--json", "--verbose")
    assert rerun.stderr.count("found in the store, not trained again") == 2
    assert json.loads(rerun.stdout)["trials"] == results["trials"]
    # The same run again is the same run: its folder, and no other one.
    assert [path.name for path in (desk / "runs").iterdir() if path.name != "store"] == [run.name]


def test_without_epochs_it_is_said_how_long_it_trains_and_the_same_command_trains_once(
    desk, unreported, monkeypatch
):
    monkeypatch.setattr("spikeduel.trials.auto_settings.seconds_of_an_epoch", lambda *given: 1.0)
    arguments = [
        "compare",
        "digits",
        "--minutes",
        "0.1",
        "--limit",
        150,
        "--width",
        "3",
        "--num-steps",
        2,
    ]
    arguments += ["--device", "cpu", "--out", "run"]
    done = spikeduel(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    said = " ".join(done.stdout.split())
    assert "vgg-lif against vgg-relu against resnet-silu, 1 seed" in said
    assert "vgg-lif 2 epochs, vgg-relu 2 epochs and resnet-silu 2 epochs (0.1 min a seed)" in said
    assert "It is done at" in said
    results = json.loads((desk / "run" / "results.json").read_text())
    assert results["budget"]["epochs"] == {"vgg-lif": 2, "vgg-relu": 2, "resnet-silu": 2}
    assert [trial["epochs"] for trial in results["trials"]] == [2, 2, 2]
    again = spikeduel(*arguments)
    assert "Nothing to train: 3 trials in the store" in again.stdout
    assert "It is done at" not in again.stdout
    line = refused(desk, *arguments, "--epochs", 3)
    assert "both epochs (3) and minutes (0.1)" in line


def test_two_contenders_take_at_most_25_lines_of_80_columns(desk, unreported, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("spikeduel.trials.auto_settings.seconds_of_an_epoch", lambda *given: 1.0)
    arguments = [
        "--minutes",
        "0.1",
        "--limit",
        150,
        "--width",
        "3",
        "--num-steps",
        2,
        "--device",
        "cpu",
    ]
    done = spikeduel(
        "compare", "digits", "--contender", "vgg-lif", "--contender", "vgg-relu", *arguments
    )
    assert (done.exit_code, done.stderr) == (0, "")
    lines = [math.ceil(max(1, len(line)) / 80) for line in done.stdout.splitlines()]
    assert 15 <= sum(lines) <= 25
    longer = spikeduel(
        "compare", "--experiment", next(Path("runs").glob("digits-*")), "--verbose"
    ).stdout
    assert len(longer.splitlines()) > 60


def test_worse_images_for_those_who_ask(desk, unpainted):
    arguments = ["compare", "digits", "--contender", "dense-snn", *QUICKEST, "-q"]
    done = spikeduel(*arguments, "--robustness", "--out", "run", "--verbose")
    assert done.exit_code == 0
    assert "Accuracy on corrupted images" in done.stdout
    trial = json.loads((desk / "run" / "results.json").read_text())["trials"][0]
    assert 'data-name="robustness"' in (desk / "run" / "report.html").read_text()
    done = spikeduel("evaluate", model(desk / "run"), "digits", "--robustness", "--json", "-q")
    assert json.loads(done.stdout)["robustness"] == trial["robustness"]
    done = spikeduel("evaluate", model(desk / "run"), "digits", "--robustness", "-q")
    assert "blur" in done.stdout
    assert f"{100 * trial['robustness']['area']['blur']:.1f}" in done.stdout
    # The same trials, asked for less.
    spikeduel(*arguments, "--out", "less")
    assert json.loads((desk / "less" / "results.json").read_text())["trials"][0] == {
        **trial,
        "robustness": None,
    }


def test_a_single_contender_is_trained_and_kept(desk, unreported):
    done = spikeduel(
        "compare",
        "digits",
        "--contender",
        "small-cnn",
        *QUICKEST,
        "-q",
        "--out",
        "run",
        "--store",
        "kept",
    )
    assert (done.exit_code, done.stderr) == (0, "")
    assert "epoch 1/1" not in done.stdout
    assert " ".join(load_run("run").headline().split()) in " ".join(done.stdout.split())
    assert [path.name for path in (desk / "run" / "models").iterdir()] == [
        "small-cnn-seed0.safetensors"
    ]
    assert sorted(path.name for path in desk.iterdir()) == ["kept", "run"]


def test_evaluate(finished):
    run, _ = finished
    done = spikeduel("evaluate", model(run), "digits", "--json")
    assert done.exit_code == 0
    test = json.loads((run / "results.json").read_text())["trials"][0]["test"]
    # Which images lie near training images is the audit's to say.
    assert json.loads(done.stdout) == {**test, "robustness": None}
    done = spikeduel("evaluate", model(run), "digits")
    assert done.exit_code == 0
    assert "179 images" in done.stdout
    accuracy = next(line for line in done.stdout.splitlines() if line.split()[:1] == ["accuracy"])
    assert accuracy.split() == ["accuracy", f"{100 * test['accuracy']:.2f}"]
    assert len([line for line in done.stdout.splitlines() if re.match(r" ?\d ", line)]) == 10


def test_predict(finished, picture, monkeypatch):
    run, _ = finished
    done = spikeduel("predict", model(run), picture, picture, "--json")
    assert done.exit_code == 0
    first, second = json.loads(done.stdout)
    assert first == second
    assert set(first) == {
        "file",
        "label",
        "probability",
        "probabilities",
        "calibrated",
        "computed_in",
    }
    assert (first["calibrated"], first["computed_in"]) == (True, "32")
    assert first["file"] == str(picture)
    assert list(first["probabilities"]) == list("0123456789")
    assert first["probability"] == max(first["probabilities"].values())
    monkeypatch.setenv("COLUMNS", "400")
    done = spikeduel("predict", model(run), picture)
    assert done.stdout.split() == [str(picture), first["label"], f"{first['probability']:.1%}"]


def test_predict_tells_what_it_can_and_names_what_it_cannot_read(finished, picture, tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    done = spikeduel("predict", model(finished[0]), tmp_path / "text.png", picture, "--json")
    assert done.exit_code == 2
    assert [row["file"] for row in json.loads(done.stdout)] == [str(picture)]
    assert one_line(done).startswith("error:")
    assert "text.png" in one_line(done)


def test_a_misspelt_folder_is_no_known_set(desk):
    line = refused(desk, "compare", "mien")
    assert "unknown data set 'mien'" in line
    assert "A folder of images" in line


def test_inspect(finished, picture, desk):
    both = [model(finished[0], contender) for contender in ("dense-snn", "small-cnn")]
    done = spikeduel("inspect", *both, picture, "--out", "inside", "--formats", "svg,png")
    assert done.exit_code == 0
    paths = [desk / line for line in done.stdout.splitlines()]
    assert [path.name for path in paths] == ["inside.html", "inside.png", "inside.svg"]
    assert all(path.is_file() and path.parent.name == "inside" for path in paths)
    (desk / "again").mkdir()
    shutil.copy(both[1], desk / "again")
    spikeduel(
        "inspect",
        both[1],
        desk / "again" / both[1].name,
        picture,
        "--out",
        "twice",
        "--formats",
        "",
    )
    assert [json.dumps(str(each)) in (desk / "twice/inside.html").read_text() for each in both] == [
        False,
        True,
    ]
    assert "the image is missing" in refused(desk, "inspect", both[0])
    assert "unknown format 'jpeg'" in refused(
        desk, "inspect", both[0], picture, "--formats", "jpeg"
    )


def test_play_refuses_what_it_cannot_serve_before_it_serves(desk, finished):
    assert "nowhere.safetensors" in refused(desk, "play", "nowhere.safetensors")
    assert "play one each" in refused(desk, "play", model(finished[0]), "fashion-mnist-vgg-relu")


def test_a_plan_before_training_and_after_a_pilot(desk, unreported):
    planned = spikeduel("plan", "digits", *QUICKEST, "--difference", 20)
    assert planned.exit_code == 0
    said = " ".join(planned.stdout.split())
    assert "spread 0.30 spread 0.55 training" in said
    assert "a true lead of 20 points is found, on 179 test images" in said
    assert not (desk / "runs").exists()
    document = json.loads(spikeduel("plan", "digits", *QUICKEST, "--spread", 3, "--json").stdout)
    assert (document["source"], document["lead"], document["cases"][0]["spread"]) == (
        "given",
        0.01,
        0.03,
    )
    assert len(document["seeds"]) == len(document["cases"][0]["chances"])

    pilot = spikeduel(
        "compare", "digits", *QUICKEST, "--seeds", 2, "--out", "pilot", "--optimism", "--verbose"
    )
    assert pilot.exit_code == 0
    said = " ".join(pilot.stdout.split())
    assert "Power: a true lead of one point would be found with 2 seeds in 0 % of cases" in said
    assert "Test accuracy, %" in said
    found = json.loads(spikeduel("plan", "digits", *QUICKEST, "--optimism", "--json").stdout)
    assert (found["source"], found["trained"]) == ("store", 2)


def test_tune_then_compare(desk, unreported):
    (desk / "ranges.toml").write_text("[learning_rate]\nlow = 4e-3\nhigh = 2e-2\n")
    arguments = ["digits", *QUICKEST, "--ranges", "ranges.toml"]
    done = spikeduel("tune", *arguments, "--trials", 2, "--out", "tuned")
    assert done.exit_code == 0
    assert "trial 2 of 2: small-cnn, seed 0: 1 epoch" in done.stdout
    record = json.loads((desk / "tuned" / "tuning.json").read_text())
    said = " ".join(done.stdout.split())
    for each in record["contenders"]:
        for entry in each["trials"]:
            assert f"{100 * entry['validation']['accuracy']:.2f}" in said
    assert "spikeduel compare --experiment tuned/experiment.toml" in said
    assert not list((desk / "runs" / "store").glob("*/measures"))

    as_json = spikeduel("tune", *arguments, "--trials", 2, "--out", "tuned", "--json", "--verbose")
    assert json.loads(as_json.stdout)["contenders"] == record["contenders"]
    assert as_json.stderr.count("not trained again") == 4

    compared = spikeduel("compare", "--experiment", "tuned/experiment.toml", "--json", "--verbose")
    results = json.loads(compared.stdout)
    assert results["tuning"]["contenders"] == record["contenders"]
    assert compared.stderr.count("not trained again") == 2


def test_tuning_is_refused_before_it_begins_where_its_results_cannot_go(desk):
    (desk / "mine").mkdir()
    (desk / "mine" / "notes.txt").write_text("precious")
    assert "mine: holds other things than a run" in refused(
        desk, "tune", "digits", *QUICKEST, "--out", "mine"
    )


def test_a_model_goes_out_as_nir_and_comes_in_again(desk, unreported):
    network = ["--contender", "dense-lif", "--reset-mechanism", "zero", "--encoding", "direct"]
    done = spikeduel("compare", "digits", *network, *QUICKEST, "--out", "run")
    assert done.exit_code == 0, done.output
    model = desk / "run" / "models" / "dense-lif-seed0.safetensors"
    done = spikeduel("export", model, "--to", "nir", "--out", "a.nir", "--quiet")
    assert done.exit_code == 0, done.output
    words = " ".join(done.stdout.split())
    assert "snntorch 1" in words
    assert "the same label on 100.00 % of 179 test images" in words
    assert "check: a.nir.check.json" in words
    done = spikeduel("export", model, "--to", "nir", "--out", "b.nir", "--images", 20, "--json")
    assert json.loads(done.stdout)["n"] == 20
    done = spikeduel("import", "a.nir", "--out", "again.safetensors")
    assert done.exit_code == 0, done.output
    accuracies = [
        json.loads(spikeduel("evaluate", path, "digits", "--json", "--quiet").stdout)["accuracy"]
        for path in (model, "again.safetensors")
    ]
    own = json.loads(spikeduel("evaluate", model, "--json", "--quiet").stdout)
    assert accuracies[0] == accuracies[1] == own["accuracy"]
    done = spikeduel("export", model, "--to", "nir", "--out", "c.nir", "--weights", "int8")
    assert done.exit_code == 2
    assert "for the ONNX formats" in done.output
    assert not (desk / "c.nir").exists()
    assert "files, where nothing is now" in refused(
        desk, "export", model, "--out", "c.onnx", "--data-dir", "files"
    )


def test_report_is_written_again(finished, desk, unpainted):
    run, _ = finished
    results = (run / "results.json").read_bytes()
    done = spikeduel("report", run, "--out", "page.html")
    assert done.exit_code == 0
    assert done.stdout.strip().endswith("page.html")
    assert "dense-snn" in (desk / "page.html").read_text()
    assert (run / "results.json").read_bytes() == results


def test_energies_are_estimated_again_by_another_table(finished, desk, monkeypatch):
    run, _ = finished
    shown = []
    monkeypatch.setattr(
        "spikeduel.reporting.pages.report",
        lambda run, *_, **__: shown.append(run.results) or "page",
    )
    (desk / "mine.toml").write_text(
        'title = "mine"\nsource = "here"\n[bits]\nweight = 8\nactivation = 8\nmembrane = 8\naddress = 8\n'
        "[picojoules]\nmultiply = 1\nadd = 1\n"
    )
    done = spikeduel("report", run, "--energy-table", "mine.toml", "--energy-table", "45nm-int8")
    assert done.exit_code == 0, done.output
    for trial in shown[0].trials:
        tables, totals = trial.energy.tables, trial.operations.totals
        assert list(tables) == ["mine", "45nm-int8", "45nm-fp32", "45nm-fp16", "45nm-int8-sums8"]
        expected = 1e-12 * (2 * totals.macs.dense.hoisted + totals.acs.total)
        assert tables["mine"].of().dense == pytest.approx(expected)
    assert "did you mean '45nm-fp32'" in refused(desk, "report", run, "--energy-table", "45nm-fp33")


def test_a_run_is_tested_from_its_predictions(finished, desk):
    run, done = finished
    (pair,) = json.loads(done.stdout)["comparison"]["pairs"]
    found = json.loads(spikeduel("test", run, "--json").stdout)
    assert {name: found[name] for name in found if name in pair} == {
        name: pair[name] for name in found if name in pair
    }
    assert (found["a"], found["b"], found["p_value"]) == ("dense-snn", "small-cnn", pair["p_value"])
    said = " ".join(spikeduel("test", run, "--a", "small-cnn", "--margin", "90").stdout.split())
    wide = compare_runs(run, "small-cnn", "dense-snn", margin=0.9)
    assert said == " ".join(difference_line(wide, "small-cnn", "dense-snn").split())
    itself = " ".join(spikeduel("test", run, "--a", "small-cnn", "--against", run).stdout.split())
    assert itself.startswith(f"small-cnn of {run} − small-cnn of {run}: ")


def test_what_cannot_be_tested_is_named(finished, desk):
    run, _ = finished
    refused(desk, "test", "nowhere")
    line = one_line(spikeduel("test", "nowhere"))
    assert "nowhere: no such folder" in line
    assert "experiment.toml" not in line
    (desk / "empty").mkdir()
    assert "empty: has no predictions.json." in one_line(spikeduel("test", "empty"))
    assert "unknown contender 'smal-cnn': did you mean 'small-cnn'" in one_line(
        spikeduel("test", run, "--a", "smal-cnn")
    )


def test_runs(finished, desk):
    run, _ = finished
    done = spikeduel("runs", run.parent, "--json")
    (found,) = json.loads(done.stdout)
    assert found["run"] == str(run)
    assert set(found["accuracy"]) == {"dense-snn", "small-cnn"}
    assert all(Path(path).is_file() for path in found["models"])
    listed = spikeduel("runs", run.parent).stdout
    assert run.name in listed
    assert max(map(len, listed.splitlines())) <= 100
    done = spikeduel("runs")
    assert done.exit_code == 0
    assert done.stdout.startswith("no runs in runs/. Make one")
    assert json.loads(spikeduel("runs", "--json").stdout) == []


def test_two_runs_side_by_side(finished):
    run, _ = finished
    done = spikeduel("runs", run, run, "--json")
    found = json.loads(done.stdout)
    assert (found["settings"], found["why_not"]) == ({}, {})
    assert [found["differences"][name]["difference"] for name in found["differences"]] == [0, 0]
    told = spikeduel("runs", run, run).stdout
    assert "All settings are the same." in told
    assert "name two runs" in one_line(spikeduel("runs", "nowhere"))
    assert "nowhere: no run here" in one_line(spikeduel("runs", run, "nowhere"))


def test_clean_says_what_would_go_and_asks(desk):
    store = Store("runs/store")
    store.folder("a" * 16).mkdir(parents=True)
    store.checkpoint_path("a" * 16).write_bytes(bytes(2_000_000))
    assert "--yes" in one_line(spikeduel("clean", "--json"))
    assert "--runs names" in one_line(spikeduel("clean", "--runs", "nowhere"))
    for done in (spikeduel("clean", "--dry-run"), spikeduel("clean", answer="n")):
        assert re.search(r"not finished +1 +2\.0 MB", done.stdout)
        assert store.folder("a" * 16).exists()
    found = json.loads(spikeduel("clean", "--dry-run", "--json").stdout)
    assert [each["kind"] for each in found["removed"]] == ["unfinished"]
    with store.locked("b" * 16):
        pass
    done = spikeduel("clean", "--yes")
    assert "another process is using this store" in " ".join(done.stdout.split())
    assert store.folder("a" * 16).exists()
    del store
    done = spikeduel("clean", answer="y")
    assert done.exit_code == 0
    assert re.search(r"Freed 2(\.\d+)? MB", done.stdout)
    assert not Path("runs/store", "a" * 16).exists()
    assert "Nothing to remove" in spikeduel("clean").stdout


def test_settings_lists_every_setting():
    done = spikeduel("settings")
    assert done.exit_code == 0
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.split()}
    assert set(Experiment.__dataclass_fields__) <= listed


def test_data_list_and_prepare():
    done = spikeduel("data", "list", "--json")
    assert {"digits", "fashion-mnist", "socofing"} <= {
        row["name"] for row in json.loads(done.stdout)
    }
    assert "emnist-digits" in spikeduel("data", "list").stdout
    done = spikeduel("data", "prepare", "digits")
    assert done.exit_code == 0
    assert "digits: 1,797 images of 8×8, 1 channel, 10 classes, ready." in done.stdout


def test_a_folder_of_ones_own_images(desk, random, unreported):
    for name, level in (("dark", 0), ("light", 200)):
        (desk / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(level, level + 50, (14, 14), dtype=np.uint8)
            Image.fromarray(pixels).save(desk / "pictures" / name / f"{number}.png")
    done = spikeduel(
        "compare",
        "pictures",
        *FAST,
        "--epochs",
        3,
        "--out",
        "run",
        "--json",
        "--encoding",
        "direct",
    )
    assert done.exit_code == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["dataset"]["classes"] == ["dark", "light"]
    assert sum(results["dataset"]["counts"].values()) == 24
    assert "pictures" in [
        row["name"] for row in json.loads(spikeduel("data", "list", "--json").stdout)
    ]


def test_a_folder_whose_files_belong_together(desk, random, unreported):
    """Ten people, whose pictures a split by class alone would put on several sides."""
    for name, level in (("dark", 0), ("light", 200)):
        (desk / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            pixels = random.integers(level, level + 50, (10, 10), dtype=np.uint8)
            Image.fromarray(pixels).save(
                desk / "pictures" / name / f"person{number % 10}_{number}.png"
            )
    arguments = ["pictures", *FAST, "--epochs", 1, "--json", "--group-by", r"person(\d+)_"]
    done = spikeduel("compare", *arguments, "--out", "run")
    assert done.exit_code == 0, done.stderr
    dataset = json.loads(done.stdout)["dataset"]
    assert (dataset["split"], dataset["groups"], dataset["shared_groups"]) == ("grouped", 10, 0)
    assert dataset["counts"] == {"train": 64, "val": 8, "test": 8}
    rows = [line.split(",") for line in (desk / "run" / "split.csv").read_text().splitlines()[1:]]
    sides = {(re.search(r"person(\d+)", path)[1], side) for path, side, _ in rows}
    assert len(sides) == 10
    # The same people in a table, and the same trials: nothing is trained, whichever way they are
    # told.
    table = "".join(f"{path},{re.search(r'person(.)', path)[1]}\n" for path, *_ in rows)
    (desk / "people.csv").write_text(f"path,group\n{table}")
    again = spikeduel("compare", *arguments[:-1], "people.csv", "--out", "again")
    assert again.exit_code == 0, again.stderr
    keys = [[trial["key"] for trial in json.loads(each.stdout)["trials"]] for each in (done, again)]
    assert keys[0] == keys[1]
    assert f'group_by = "{desk / "people.csv"}"' in (desk / "again" / "experiment.toml").read_text()
    evaluated = spikeduel("evaluate", model(desk / "run", "small-cnn"), "pictures", "--json")
    assert json.loads(evaluated.stdout)["n"] == 8
    assert "one group" in refused(desk, "compare", "pictures", "--group-by", r"(person)\d")


def test_a_failed_trial_has_its_own_exit_code(desk, unreported):
    (desk / "own_fails.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    family = 'cnn'\n"
        "    def forward(self, x):\n"
        "        raise RuntimeError('no more')\n"
        "def build(image_shape, num_classes, num_steps, **settings):\n"
        "    return Net(64, num_classes)\n"
    )
    done = spikeduel(
        "compare", "digits", "--contender", "own_fails:build", "--contender", "small-cnn", *QUICKEST
    )
    sys.modules.pop("own_fails")
    assert done.exit_code == 3
    assert "RuntimeError: no more" in done.stdout
    assert "Traceback" not in done.output
    (run,) = [path for path in (desk / "runs").iterdir() if path.name != "store"]
    assert " ".join(load_run(run).headline().split()) in " ".join(done.stdout.split())


# ---- Ctrl-C


def test_interrupted_it_says_how_to_go_on_and_does(desk, monkeypatch, unreported):
    batches = training.training_batches

    def interrupted(images, labels, indices, batch_size, seed, epoch, part):
        for number, batch in enumerate(
            batches(images, labels, indices, batch_size, seed, epoch, part)
        ):
            if (epoch, number) == (1, 1):
                raise KeyboardInterrupt
            yield batch

    arguments = [
        "compare",
        "digits",
        "--contender",
        "small-cnn",
        *FAST,
        "--limit",
        400,
        "--epochs",
        3,
    ]
    uninterrupted = json.loads(spikeduel(*arguments, "--store", "other", "--json").stdout)
    with monkeypatch.context() as patched:
        patched.setattr(training, "training_batches", interrupted)
        done = spikeduel(*arguments)
    assert done.exit_code == 130
    assert "the same command goes on from there" in done.stderr
    assert "Traceback" not in done.output
    again = spikeduel(*arguments, "--json", "--verbose")
    assert again.exit_code == 0
    assert "goes on after epoch 1" in again.stderr
    assert "epoch 2/3" in again.stderr
    assert "epoch 1/3" not in again.stderr
    resumed = json.loads(again.stdout)
    assert resumed["trials"][0]["history"] == uninterrupted["trials"][0]["history"]
    assert resumed["trials"][0]["test"] == uninterrupted["trials"][0]["test"]


def test_a_real_ctrl_c(desk):
    arguments = ["compare", "digits", "--contender", "small-cnn", *FAST, "--limit", "200"]
    arguments += ["--epochs", "5000", "--patience", "5000", "--verbose"]
    process = Forked(lambda: app(arguments))
    assert any("epoch 2/5000" in line for line in process)
    os.kill(process.pid, signal.SIGINT)
    code, lines = process.ended()
    assert code == 130
    assert "Traceback" not in "".join(lines)
    assert lines[-1] == f"stopped. {EPOCHS_ARE_SAVED}"
    assert list(desk.glob("runs/store/*/checkpoint.pt"))


# ---- bad input


def one_line(done):
    assert "Traceback" not in done.output
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


def contents(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(desk, *arguments):
    """The one line that a command says before it ends with exit code 2, leaving the user's folder
    as it was.
    """
    before = contents(desk)
    done = spikeduel(*arguments)
    assert done.exit_code == 2, done.output
    line = one_line(done)
    assert line.startswith("error: ")
    assert done.stdout == ""
    assert contents(desk) == before
    return line


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["fashion-mnits"], "data set 'fashion-mnits': did you mean 'fashion-mnist'?"),
        (["./nowhere"], "./nowhere': no such folder"),
        (["digits", "--data-dir", "x"], "data_dir: digits is built in"),
        (["digits", "--image-size", "9"], "image_size: images of digits are 8×8"),
        (["mnist", "--data-dir", "nowhere"], "nowhere"),
        (["digits", "--beta", "high"], "beta must be a number from 0 to 1, not 'high'"),
        (["digits", "--beta", "2"], "beta must be a number from 0 to 1, not '2'"),
        (
            ["digits", "--learning-rate", "nan"],
            "learning_rate must be a number above 0, not 'nan'",
        ),
        (
            ["digits", "--epochs", "-1"],
            "epochs must be a whole number from 1 to 1,000,000 or unset, not '-1'",
        ),
        (["digits", "--seeds", "0"], "seeds must be a whole number from 1 to 10,000, not '0'"),
        (["digits", "--limit", "5"], "limit 5 is too small"),
        (["digits", "--encoding", "rats"], "encoding 'rats': did you mean 'rate'?"),
        (["digits", "--contender", "dens-snn"], "contender 'dens-snn': did you mean 'dense-snn'?"),
        (["digits", "--contender", "nowhere:build"], "no module 'nowhere'"),
        (["digits", "--contender", "small-cnn", "--contender", "small-cnn"], "named twice"),
        (["digits", "--recipe", "basline"], "recipe 'basline': did you mean 'baseline'?"),
        (["digits", "--neuron", "lfi"], "neuron 'lfi': did you mean 'lif'?"),
        (["digits", "--surrogate", "attan"], "surrogate 'attan': did you mean 'atan'?"),
        (["digits", "--reset-mechanism", "zro"], "reset_mechanism 'zro': did you mean 'zero'?"),
        (["digits", "--split", "publishd"], "split 'publishd': did you mean 'published'?"),
        (
            ["digits", "--folds", "1"],
            "folds must be a whole number of at least 2 or unset, not '1'",
        ),
        (
            ["digits", "--folds", "3", "--split", "published"],
            "folds: the published split is the study's one split",
        ),
        (
            ["fashion-mnist-mini", "--folds", "3"],
            "folds: fashion-mnist-mini has a test set of its own",
        ),
        (["digits", "--group-by", "(a)"], "group_by: digits brings its groups"),
        (["socofing", "--group-by", "(a)"], "group_by: socofing brings its groups"),
        (["digits", "--device", "gpu"], "device must be auto, cpu, cuda, cuda:N, mps or xpu"),
        (["digits", "--device", "xpu:7"], "no Intel GPU here"),
        (["digits", "--precision", "16"], "precision '16'"),
        (["digits", "--tune", "1"], "at least 2 trials"),
        (["--experiment", "nowhere.toml"], "nowhere.toml: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_names_and_values(arguments, problem, desk):
    assert problem in refused(desk, "compare", *arguments)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("beta = [", "not TOML"),
        ("bta = 0.5", "did you mean 'beta'?"),
        ("beta = 'high'", "beta must be a number"),
        ("\x00", "not TOML"),
        ("contenders = []", "contenders is empty"),
    ],
)
def test_a_broken_experiment_file(content, problem, desk):
    (desk / "e.toml").write_text(content)
    line = refused(desk, "compare", "--experiment", "e.toml")
    assert "e.toml" in line
    assert problem in line


@pytest.mark.parametrize("option", ["--out", "--store"])
def test_a_folder_that_cannot_be_written(option, desk):
    (desk / "file").write_text("in the way")
    line = refused(desk, "compare", "digits", *QUICKEST, option, "file/below")
    assert "cannot write to" in line
    assert "file/below" in line


def write_classes(folder, **counts):
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (12, 12), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg")
    return folder


def test_an_unreadable_image_is_named(desk):
    broken = write_classes(desk / "pictures", cat=5, dog=5) / "dog" / "3.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    assert f"dog/{broken.name}: cannot be read as an image" in refused(desk, "compare", "pictures")


@pytest.mark.parametrize("command", ["predict", "evaluate", "inspect"])
def test_a_broken_model_file(command, desk, finished, picture):
    path = desk / "m.safetensors"
    path.write_bytes(model(finished[0]).read_bytes()[:-50])
    line = refused(desk, command, path, "digits" if command == "evaluate" else picture)
    assert "m.safetensors" in line


def test_predict_and_inspect_without_a_readable_image(desk, finished):
    (desk / "text.png").write_text("not an image")
    (desk / "bare").mkdir()
    for command in ("predict", "inspect"):
        assert "text.png: cannot be read as an image" in refused(
            desk, command, model(finished[0]), "text.png"
        )
        assert "nowhere.png" in refused(desk, command, model(finished[0]), "nowhere.png")
    assert "bare: holds no images" in refused(desk, "predict", model(finished[0]), "bare")


def test_evaluate_on_other_data(desk, finished):
    assert "fashion-mnits" in refused(desk, "evaluate", model(finished[0]), "fashion-mnits")
    assert "part 'tset'" in refused(
        desk, "evaluate", model(finished[0]), "digits", "--part", "tset"
    )
    write_classes(desk / "pictures", cat=5, dog=5)
    line = refused(desk, "evaluate", model(finished[0]), "pictures")
    assert "knows the classes 0, 1" in line
    assert "cat, dog" in line


def test_report_of_what_is_no_run(desk, finished):
    assert "nowhere: no run here (no such folder)" in refused(desk, "report", "nowhere")
    assert "no run here" in refused(desk, "report", ".")
    shutil.copytree(finished[0], desk / "run")
    (desk / "run" / "results.json").write_text("{")
    assert "run/results.json: not a JSON file" in refused(desk, "report", "run")
    (desk / "run" / "results.json").write_text('{"schema": 1}')
    assert "run/results.json" in refused(desk, "report", "run")
    assert spikeduel("runs", ".").stdout.startswith("no runs in ./")


def test_the_program_itself_says_one_line(desk):
    done = subprocess.run(
        [sys.executable, "-m", "spikeduel", "compare", "fashion-mnits", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "40"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: unknown data set 'fashion-mnits'")
    assert done.stderr.count("\n") == 1
    assert list(desk.iterdir()) == []


# ---- audit


@pytest.fixture
def pets(tmp_path):
    """A folder of two classes with train/ and test/, and nothing wrong with it."""
    random = np.random.default_rng(0)
    for side, count in (("train", 20), ("test", 12)):
        for label in ("cat", "dog"):
            folder = tmp_path / "pets" / side / label
            folder.mkdir(parents=True)
            for k in range(count):
                pixels = np.kron(random.integers(0, 256, (5, 5)), np.ones((4, 4))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{k:02}.png")
    return tmp_path / "pets"


def test_audit_of_clean_data(pets):
    done = spikeduel("audit", pets, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["ok"]
    assert found["problems"] == found["unreadable"] == []
    keys = ("within", "across", "conflicting")
    assert [found["exact_duplicates"][key] for key in keys] == [0, 0, 0]
    assert found["near_duplicates"] == {"across": 0, "test_in_training": 0}
    assert found["groups_cut"] == 0
    assert {"accuracy", "accuracy_if_grouped", "chance", "siblings_in_train"} <= set(found["probe"])
    assert {name: sum(sides.values()) for name, sides in found["class_sides"].items()} == {
        "cat": 32,
        "dog": 32,
    }


def test_audit_finds_and_shows_a_copy_between_train_and_test(pets, desk):
    shutil.copy(pets / "train" / "cat" / "03.png", pets / "test" / "cat" / "copy.png")
    done = spikeduel("audit", pets, "--out", "audit")
    assert done.exit_code == 1
    assert "has an exact copy in training" in " ".join(done.output.split())
    assert "Remove the copies" in " ".join(done.output.split())
    assert "copy.png" in (desk / "audit" / "audit.html").read_text()
    assert not json.loads((desk / "audit" / "audit.json").read_text())["ok"]


def test_compare_says_what_the_audit_found_and_goes_on_unless_strict(pets, desk, unpainted):
    shutil.copy(pets / "train" / "cat" / "03.png", pets / "test" / "dog" / "copy.png")
    strict = spikeduel("compare", pets, *QUICKEST[:-2], "--strict")
    assert strict.exit_code == 1
    assert "error: the audit found what would invalidate a result: 1 test image" in strict.output
    assert not list(desk.glob("runs/*/results.json"))
    done = spikeduel("compare", pets, *QUICKEST[:-2], "--out", "run", "--verbose")
    assert done.exit_code == 0, done.output
    assert "PROBLEM with the data: 1 test image" in done.output
    # Before the table, and not once more among the caveats.
    assert done.stdout.index("Do not trust the following scores.") < done.stdout.index("precision")
    assert "· Data audit: 1 test image" not in done.stdout
    results = json.loads((desk / "run" / "results.json").read_text())
    assert results["dataset"]["audit"]["exact_duplicates"]["conflicting"] == 1
    caveats = [caveat["id"] for caveat in results["comparison"]["caveats"]]
    assert "conflicting_labels" in caveats
    page = (desk / "run" / "report.html").read_text()
    assert "copy.png" in page


# ---- around a run


TIDIES = """
import time
from spikeduel.cli.inputs import for_people
with for_people():
    try:
        print("works", flush=True)
        time.sleep(600)
    finally:
        print("tidies", flush=True)
        time.sleep(600)
"""


def test_a_second_ctrl_c_ends_at_once():
    process = subprocess.Popen(
        [sys.executable, "-c", TIDIES], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "works\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "tidies\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert stderr == ""


def test_loggers_are_told_of_a_run(desk):
    out = desk / "logged"
    result = spikeduel(
        "compare", "digits", *QUICKEST, "--contender", "dense-snn", "--out", out, "--logger", "csv"
    )
    assert result.exit_code == 0, result.output
    assert len((out / "logs" / "epochs.csv").read_text().splitlines()) == 2
    refused = spikeduel("compare", "digits", *QUICKEST, "--logger", "csv", "--logger", "wandb")
    assert refused.exit_code == 2
    assert "unknown logger 'wandb'" in refused.stderr


@pytest.mark.parametrize("as_json", [True, False])
def test_what_ray_prints_is_no_part_of_a_json_document(as_json, capsys):
    with duels._workers(CommandInput(settings={}, as_json=as_json)):
        print("raylet")
    assert (capsys.readouterr().out == "") == as_json
