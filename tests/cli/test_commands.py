import atexit
import json
import math
import os
import re
import runpy
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import typer.main
from PIL import Image

from forked import Forked
from made_commands import (
    FAST,
    OF_A_CNN,
    ONE_EPOCH,
    QUICKEST,
    document,
    printed,
    refused,
    spikeduel,
)
from spikeduel.cli import app
from spikeduel.cli.inputs import RESUMABLE, CommandInput, for_people
from spikeduel.experiment.settings import Experiment
from spikeduel.sentences.comparison import load_run
from spikeduel.system import __version__
from synthetic_files import write_pictures

pytestmark = pytest.mark.usefixtures("known_data")

# ---- help


def every_command(group, path=()):
    """Yield the words and the object of each command of the program."""
    for name, below in group.commands.items():
        if hasattr(below, "commands"):
            yield from every_command(below, (*path, name))
        else:
            yield (*path, name), below


COMMANDS = dict(every_command(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words):
    parameters = COMMANDS[words].params
    text = printed(*words, "--help")
    for parameter in parameters:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert parameter.opts[0] in text
            assert parameter.help.strip().endswith((".", ")")), parameter.opts


def test_the_help_of_compare_is_short():
    options = [
        parameter
        for parameter in COMMANDS["compare",].params
        if parameter.param_type_name == "option" and not parameter.hidden
    ]
    assert len(options) <= 26


def test_the_help_names_every_command():
    text = printed("--help")
    assert all(re.search(rf"\b{words[0]} ", text) for words in COMMANDS)
    assert spikeduel().stdout.strip() == text.strip()
    assert printed("-h") == text
    assert printed("report", "-h") == printed("report", "--help")


def test_the_version():
    assert printed("--version") == f"spikeduel {__version__}\n"


# ---- what it is for


def test_compare_prints_one_json_document_and_nothing_else(finished):
    run, done = finished
    assert (done.exit_code, done.stdout[0]) == (0, "{")
    results = json.loads(done.stdout)
    assert results == json.loads((run / "results.json").read_text())
    assert "epoch 1/2" in done.stderr
    assert [trial["status"] for trial in results["trials"]] == ["done", "done"]
    assert results["experiment"]["hidden"] == 32


def test_compare_prints_table_verdict_caveats_and_where_things_are(desk, unreported):
    done = spikeduel("compare", "digits", *QUICKEST, "--verbose")
    assert (done.exit_code, done.stderr) == (0, "")
    (run,) = [path for path in (desk / "runs").iterdir() if path.name != "store"]
    results = json.loads((run / "results.json").read_text())
    output = " ".join(done.stdout.split())
    assert f"{100 * results['trials'][0]['test']['accuracy']:.2f}" in output
    caveats = [caveat["text"] for caveat in results["comparison"]["caveats"]]
    for sentence in (load_run(run).verdict(), *caveats):
        assert " ".join(sentence.split()) in output
    assert f"report: {Path('runs') / run.name / 'report.html'}" in output
    assert "epoch 1/1" in output


def test_without_epochs_the_training_time_is_printed_and_the_same_command_trains_once(
    desk, unreported, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("spikeduel.training.timing.seconds_of_an_epoch", lambda *given: 3.0)
    monkeypatch.setattr(
        "spikeduel.training.auto_settings.MAX_EPOCHS_RATIO", math.inf
    )  # as if it were so
    arguments = ["compare", "digits", "--contender", "vgg-lif", "--contender", "vgg-relu"]
    arguments += ["--minutes", "0.1", "--limit", 150, "--width", "3", "--num-steps", 2]
    arguments += ["--device", "cpu", "--out", "run"]
    done = spikeduel(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    output = " ".join(done.stdout.split())
    assert "vgg-lif against vgg-relu, 1 seed" in output
    assert "vgg-relu 1 epoch (0.1 min a seed)" in output
    assert "It is done at" in output
    lines = [math.ceil(max(1, len(line)) / 80) for line in done.stdout.splitlines()]
    assert 15 <= sum(lines) <= 29
    results = json.loads((desk / "run" / "results.json").read_text())
    assert results["budget"]["epochs"] == {"vgg-lif": 1, "vgg-relu": 1}
    assert [trial["epochs"] for trial in results["trials"]] == [1, 1]
    again = spikeduel(*arguments, "--verbose")
    assert "Nothing to train: 2 trials in the store" in again.stdout
    assert "It is done at" not in again.stdout
    assert len(again.stdout.splitlines()) > 60
    line = refused(desk, *arguments, "--epochs", 3)
    assert "both epochs (3) and minutes (0.1)" in line


def test_a_single_contender_is_trained_and_stored(desk, unreported):
    arguments = ["--contender", "small-cnn", *OF_A_CNN, *ONE_EPOCH, "-q", "--store", "kept"]
    done = spikeduel("compare", "digits", *arguments, "--out", "run")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "epoch 1/1" not in done.stdout
    assert " ".join(load_run("run").headline().split()) in " ".join(done.stdout.split())
    assert [path.name for path in (desk / "run" / "models").iterdir()] == [
        "small-cnn-seed0.safetensors"
    ]
    assert sorted(path.name for path in desk.iterdir()) == ["kept", "run"]


def test_report_is_written_again(finished, desk, unpainted):
    run, _ = finished
    results = (run / "results.json").read_bytes()
    assert printed("report", run, "--out", "page.html").strip().endswith("page.html")
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
    printed("report", run, "--energy-table", "mine.toml", "--energy-table", "45nm-int8")
    for trial in shown[0].trials:
        tables, totals = trial.energy.tables, trial.operations.totals
        assert list(tables) == ["mine", "45nm-int8", "45nm-fp32", "45nm-fp16", "45nm-int8-sums8"]
        expected = 1e-12 * (2 * totals.macs.dense.hoisted + totals.acs.total)
        assert tables["mine"].of().dense == pytest.approx(expected)
    assert "did you mean '45nm-fp32'" in refused(desk, "report", run, "--energy-table", "45nm-fp33")


def test_settings_lists_every_setting():
    listed = set(re.findall(r"^ *(\w+)", printed("settings"), re.M))
    assert set(Experiment.__dataclass_fields__) <= listed


def test_data_list_and_prepare():
    names = {row["name"] for row in document("data", "list")}
    assert {"digits", "fashion-mnist", "socofing"} <= names
    assert "emnist-digits" in printed("data", "list")
    line = "digits: 1,797 images of 8×8, 1 channel, 10 classes, ready."
    assert line in printed("data", "prepare", "digits")


def test_a_folder_whose_files_belong_together(desk, random, unreported):
    """Ten people, whose pictures a split by class alone would put on several sides."""
    for name, level in (("dark", 0), ("light", 200)):
        (desk / "pictures" / name).mkdir(parents=True)
        for number in range(40):
            pixels = random.integers(level, level + 50, (10, 10), dtype=np.uint8)
            Image.fromarray(pixels).save(
                desk / "pictures" / name / f"person{number % 10}_{number}.png"
            )
    arguments = ["pictures", *FAST, "--epochs", 1, "--group-by", r"person(\d+)_"]
    first = document("compare", *arguments, "--out", "run")
    dataset = first["dataset"]
    assert (dataset["split"], dataset["groups"], dataset["shared_groups"]) == ("grouped", 10, 0)
    assert dataset["classes"] == ["dark", "light"]
    assert dataset["counts"] == {"train": 64, "val": 8, "test": 8}
    rows = [line.split(",") for line in (desk / "run" / "split.csv").read_text().splitlines()[1:]]
    splits = {(re.search(r"person(\d+)", path)[1], split) for path, split, *_ in rows}
    assert len(splits) == 10
    # The same people in a table, and the same trials: nothing is trained, whichever way they are
    # told.
    table = "".join(f"{path},{re.search(r'person(.)', path)[1]}\n" for path, *_ in rows)
    (desk / "people.csv").write_text(f"path,group\n{table}")
    again = document("compare", *arguments[:-1], "people.csv", "--out", "again")
    assert again["trials"] == first["trials"]
    assert f'group_by = "{desk / "people.csv"}"' in (desk / "again" / "experiment.toml").read_text()
    assert "pictures" in [row["name"] for row in document("data", "list")]
    assert "one group" in refused(desk, "compare", "pictures", "--group-by", r"(person)\d")


def test_a_failed_trial_has_its_own_exit_code(desk, unreported):
    done = spikeduel("compare", "digits", *QUICKEST, "--learning-rate", 1e36, "--out", "run")
    assert done.exit_code == 3
    assert "loss or weights became NaN" in done.stdout
    assert "Traceback" not in done.output
    assert " ".join(load_run("run").headline().split()) in " ".join(done.stdout.split())


# ---- Ctrl-C


def test_a_real_ctrl_c(desk):
    arguments = ["compare", "digits", "--contender", "small-cnn", *OF_A_CNN, "--limit", "200"]
    arguments += ["--epochs", "5000", "--patience", "5000", "--verbose"]
    process = Forked(lambda: app(arguments))
    assert any("epoch 2/5000" in line for line in process)
    os.kill(process.pid, signal.SIGINT)
    code, lines = process.ended()
    assert code == 130
    assert "Traceback" not in "".join(lines)
    assert lines[-1] == f"stopped. {RESUMABLE}"
    assert list(desk.glob("runs/store/*/checkpoint.pt"))


# ---- bad input


REFUSED = (
    "digits --data-dir x",
    "digits --image-size 9",
    "digits --beta high",
    "digits --contender small-cnn --contender small-cnn",
    "digits --group-by (a)",
    "socofing --group-by (a)",
    "digits --device gpu",
    "digits --precision 16",
    "fashion-mnist-mini --folds 3",
    "--experiment nowhere.toml",
)


def test_bad_names_and_values(desk, golden):
    """What is checked later in the same way is tested where it is checked."""
    golden({text: refused(desk, "compare", *text.split()) for text in REFUSED})
    for option, value, problem in (
        ("--for", "fast", "unknown --for 'fast': choose from accuracy"),
        ("--device", "xpu:7", "no Intel GPU here"),
    ):
        assert problem in refused(desk, "compare", "digits", option, value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("beta = [", "not TOML"), ("bta = 0.5", "did you mean 'beta'?")],
)
def test_a_broken_experiment_file(content, problem, desk):
    (desk / "e.toml").write_text(content)
    line = refused(desk, "compare", "--experiment", "e.toml")
    assert "e.toml" in line
    assert problem in line


def test_report_of_what_is_no_run(desk):
    assert "nowhere: no run here (no such folder)" in refused(desk, "report", "nowhere")
    assert "no run here" in refused(desk, "report", ".")
    (desk / "run").mkdir()
    (desk / "run" / "results.json").write_text("{")
    assert "run/results.json: not JSON" in refused(desk, "report", "run")


def test_the_program_itself_says_one_line(desk, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "argv", ["spikeduel", "compare", "fashion-mnits", "--json"])
    cleaned = []
    monkeypatch.setattr(atexit, "_run_exitfuncs", lambda: cleaned.append(True))
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("spikeduel", run_name="__main__")
    output = capsys.readouterr()
    assert (ended.value.code, output.out, output.err.count("\n")) == (2, "", 1)
    assert cleaned
    assert output.err.startswith("error: unknown data set 'fashion-mnits'")
    assert list(desk.iterdir()) == []


# ---- audit


@pytest.fixture
def pets(tmp_path):
    """A folder of two classes with train/ and test/, and nothing wrong with it."""
    for seed, name in enumerate(("train/cat", "train/dog", "test/cat", "test/dog")):
        write_pictures(tmp_path / "pets" / name, 20 if "train" in name else 12, seed)
    return tmp_path / "pets"


def test_audit_of_clean_data(pets):
    audit = document("audit", pets)
    assert audit["ok"]
    assert audit["problems"] == audit["unreadable"] == []
    assert {name: sum(counts.values()) for name, counts in audit["class_splits"].items()} == {
        "cat": 32,
        "dog": 32,
    }


def test_audit_finds_and_shows_a_copy_between_train_and_test(pets, desk):
    shutil.copy(pets / "train" / "cat" / "003.png", pets / "test" / "cat" / "copy.png")
    done = spikeduel("audit", pets, "--out", "audit")
    assert done.exit_code == 1
    printed_text = " ".join(done.output.split())
    assert "has an exact copy in training" in printed_text
    assert "Remove the copies" in printed_text
    assert "copy.png" in (desk / "audit" / "audit.html").read_text()
    assert not json.loads((desk / "audit" / "audit.json").read_text())["ok"]


def test_compare_says_what_the_audit_found_and_goes_on_unless_strict(pets, desk, unpainted):
    shutil.copy(pets / "train" / "cat" / "003.png", pets / "test" / "dog" / "copy.png")
    strict = spikeduel("compare", pets, *QUICKEST[:-2], "--strict")
    assert strict.exit_code == 1
    assert "error: the audit found what would invalidate a result: 1 test image" in strict.output
    assert not list(desk.glob("runs/*/results.json"))
    printed_text = printed("compare", pets, *QUICKEST[:-2], "--out", "run", "--verbose")
    assert "PROBLEM with the data: 1 test image" in printed_text
    # Before the table, and not once more among the caveats.
    assert printed_text.index("Do not trust the following scores.") < printed_text.index(
        "precision"
    )
    assert "· Data audit: 1 test image" not in printed_text
    results = json.loads((desk / "run" / "results.json").read_text())
    assert results["dataset"]["audit"]["exact_duplicates"]["conflicting"] == 1
    caveats = [caveat["id"] for caveat in results["comparison"]["caveats"]]
    assert "conflicting_labels" in caveats
    assert "copy.png" in (desk / "run" / "report.html").read_text()


# ---- around a run


def tidying():
    with for_people():
        try:
            print("works")
            time.sleep(600)
        finally:
            print("tidies")
            time.sleep(600)


def test_a_second_ctrl_c_ends_at_once():
    process = Forked(tidying)
    for word in ("works", "tidies"):
        assert next(iter(process)) == word
        os.kill(process.pid, signal.SIGINT)
    assert process.ended() == (-signal.SIGINT, [])


@pytest.mark.parametrize("as_json", [True, False])
def test_what_workers_print_is_no_part_of_a_json_document(as_json, capsys):
    with CommandInput(settings={}, as_json=as_json).workers():
        print("raylet")
    assert (capsys.readouterr().out == "") == as_json
