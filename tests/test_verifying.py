"""Verification: what nobody touched holds, and every edit is named at its place, with the hashes put
right, too, where it follows from other files.
"""

import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from typer.testing import CliRunner

from factories import example, small_experiment
from spikeduel import comparing, energy
from spikeduel.analysis import hashes
from spikeduel.analysis.conclusions import concluded
from spikeduel.auditing.audit_results import AuditedImage, LabelCheck, SuspectLabel
from spikeduel.cli import app
from spikeduel.comparing import compare, train_again
from spikeduel.features.kit import checklist, kit_files as kit
from spikeduel.features.kit.kit_writing import write_kit
from spikeduel.reporting import report_again
from spikeduel.results import predictions
from spikeduel.results.findings import with_id
from spikeduel.results.significance import Reservation
from spikeduel.results.trials import INT8
from spikeduel.results.verification import TrainedAgain
from spikeduel.sentences import verified
from spikeduel.sentences.comparison import load_run
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.training import run_folder
from spikeduel.verifying import Check, verify

pytestmark = pytest.mark.usefixtures("known_data")

EXPERIMENT = small_experiment(limit=300, seeds=2)
PAGE = "report.html"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with its page and controls, which no test changes."""
    folder = tmp_path_factory.mktemp("verified")
    experiment = replace(EXPERIMENT, controls=True, int8=True, encoding="direct")
    return compare(experiment, folder / "run", folder / "store").out


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def discrepancies(place):
    return [found for verification in verify(place) for found in verification.discrepancies]


def put_hashes_right(run):
    """Write the hashes of the files as they are now, as a forger would."""
    hashes.write(run)


def edit(run, file, old, new):
    text = (run / file).read_text()
    assert old in text
    (run / file).write_text(text.replace(old, new, 1))


def edit_results(run, change):
    content = json.loads((run / "results.json").read_text())
    change(content)
    (run / "results.json").write_text(json.dumps(content))


def test_what_nobody_touched_holds(whole):
    (verification,) = verify(whole)
    assert verification.holds
    assert verification.checked.keys() == {
        *("experiment.toml", "predictions.json", "results.json"),
        "sha256sums.txt",
    }
    assert verification.checked["results.json"] > 1000


def set_at(*path, by):
    def change(content):
        for part in path[:-1]:
            content = content[part]
        content[path[-1]] = by(content[path[-1]])

    return change


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (set_at("comparison", "pairs", 0, "p_value", by=lambda p: p / 2), "pairs[0].p_value"),
        (set_at("comparison", "verdict", by=str.upper), "comparison.verdict"),
        (set_at("comparison", "answer", "text", by=lambda t: t + "!"), "comparison.answer.text"),
        (
            set_at("features", "ablations", "text", by=lambda t: t + "!"),
            "features.ablations.text",
        ),
        (set_at("comparison", "caveats", by=lambda c: c[1:]), "comparison.caveats"),
        (set_at("trials", 0, "test", "f1", by=lambda f: f / 2), "trials[0].test.f1"),
        (set_at("trials", 0, "test", "confusion", 0, 0, by=lambda n: n + 1), "confusion[0][0]"),
        (set_at("trials", 1, "validation", "accuracy", by=lambda a: a / 2), "validation"),
        (
            set_at("trials", 0, "controls", "relu_twin", "accuracy", by=lambda a: a / 2),
            "trials[0].controls.relu_twin.accuracy",
        ),
        (
            set_at("energy_accountings", "pairs", 0, "rate", by=lambda rate: 2 * rate),
            "energy_accountings.pairs[0].rate",
        ),
        (set_at("dataset", "counts", "test", by=lambda n: n + 1), "dataset.counts.test"),
        (set_at("trials", by=lambda trials: trials[:-1]), "trials"),
        (lambda content: content.update(more=1), "more"),
    ],
)
def test_an_edit_of_the_results_is_named_whatever_the_hashes_say(run, change, place):
    edit_results(run, change)
    put_hashes_right(run)
    assert any(place in found.place for found in discrepancies(run))


def test_a_run_from_before_a_setting_holds(run):
    def older(content):
        del content["experiment"]["whitening"], content["features"]["ablations"]["without_time"]

    edit_results(run, older)
    put_hashes_right(run)
    assert discrepancies(run) == []


def test_what_was_measured_is_held_by_its_hash_alone(run):
    edit_results(run, set_at("environment", "cpu", by=str.upper))
    assert {found.file for found in discrepancies(run)} == {hashes.FILE}
    put_hashes_right(run)
    assert discrepancies(run) == []


def test_another_answer_changes_scores(run):
    content = json.loads((run / "predictions.json").read_text())
    predicted = content["trials"][0]["predicted"]
    predicted[7] = (predicted[7] + 1) % 10
    (run / "predictions.json").write_text(json.dumps(content))
    put_hashes_right(run)
    assert any("trials[0].test.confusion" in found.place for found in discrepancies(run))


def test_another_side_of_an_image_changes_the_split(run):
    lines = (run / "split.csv").read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if ",test," in line)
    lines[at] = lines[at].replace(",test,", ",train,")
    (run / "split.csv").write_text("\n".join(lines) + "\n")
    put_hashes_right(run)
    places = {found.place for found in discrepancies(run)}
    assert places >= {"images", "dataset.counts.test", "dataset.counts.train"}


def copies_between_sides(run, image_of, split):
    """Give a training image the hash of a `split` image, as a forger of a leak would."""
    rows = [line.split(",") for line in (run / "split.csv").read_text().splitlines()]
    at = next(n for n, row in enumerate(rows) if row[1] == "train")
    rows[at][-1] = image_of(next(row for row in rows if row[1] == split))
    (run / "split.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    put_hashes_right(run)
    return {found.place: (found.stored, found.computed) for found in discrepancies(run)}


def test_a_training_image_that_is_a_test_image_is_a_copy_that_the_audit_does_not_know(run):
    exact = "dataset.audit.exact_duplicates"
    assert copies_between_sides(run, lambda row: row[-1], "test") == {
        f"{exact}.across": (0, 1),
        f"{exact}.test_in_training": (0, 1),
    }


def test_a_training_image_that_is_a_validation_image_is_a_copy_too(run):
    exact = "dataset.audit.exact_duplicates"
    assert copies_between_sides(run, lambda row: row[-1], "val") == {f"{exact}.across": (0, 1)}


def test_equal_pixels_of_different_files_are_copies_for_the_audit_alone(run):
    def known(content):
        stated = content["dataset"]["audit"]["exact_duplicates"]
        stated |= {"across": 3, "test_in_training": 1}

    edit_results(run, known)
    put_hashes_right(run)
    assert discrepancies(run) == []


def test_another_setting_is_not_that_of_the_results(run):
    edit(run, "experiment.toml", "seeds = 2", "seeds = 3")
    put_hashes_right(run)
    (found,) = discrepancies(run)
    assert (found.file, found.place, found.stored, found.computed) == (
        "experiment.toml",
        "seeds",
        3,
        2,
    )


def test_the_page_is_compared_with_its_hash_alone(run):
    edit(run, PAGE, load_run(run).headline().split(":")[0], "Take both")
    assert [(found.file, found.place) for found in discrepancies(run)] == [(hashes.FILE, PAGE)]
    put_hashes_right(run)
    assert discrepancies(run) == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_lead_in_whole_numbers_after_longer_training_is_withheld(whole, times):
    results, kept = load_run(whole).results, predictions.read(whole)
    ahead, behind = results.contenders
    wrong = [(label + 1) % len(kept.classes) for label in kept.labels]
    told = {ahead: kept.labels, behind: wrong}
    answers = [
        structs.replace(answer, predicted=told[answer.contender])
        if answer.control == INT8
        else answer
        for answer in kept.trials
        if answer.seed == 0
    ]
    trials = [
        structs.replace(entry, epochs=entry.epochs * (times if entry.contender == ahead else 1))
        for entry in results.trials
        if entry.seed == 0
    ]
    changed = structs.replace(results, trials=trials)
    found = concluded(changed, structs.replace(kept, trials=answers)).features["int8"]
    (pair,) = found.pairs
    withheld = times > 1
    assert pair.ordered(ahead).difference == 1
    assert pair.conclusion.better is not withheld
    assert (pair.reservation is Reservation.LONGER_TRAINING) is withheld


def test_a_run_of_one_contender_holds(tmp_path):
    alone = replace(EXPERIMENT, contenders=("small-cnn",), num_steps=25, seeds=1, epochs=1)
    run = compare(alone, tmp_path / "run", tmp_path / "store").out
    assert discrepancies(run) == []


def test_a_page_with_other_prices_has_its_hash(run, tmp_path):
    dear = structs.replace(energy.read("45nm-int8"), name="mine", title="my chip")
    dear = structs.replace(dear, picojoules=energy.Arithmetic(multiply=1e4, add=1e4))
    page = report_again(run, prices=energy.Prices(tables=(dear,))).read_text()
    assert "my chip" in page
    assert discrepancies(run) == []
    (verification,) = verify(write_kit(run, tmp_path / "kit.zip"))
    assert verification.holds
    report_again(run, tmp_path / "other.html")
    assert "my chip" in (run / PAGE).read_text()
    assert discrepancies(run) == []


def test_a_page_drawn_again_leaves_the_other_hashes_as_they_are(run):
    edit_results(run, set_at("environment", "cpu", by=str.upper))
    (run / PAGE).write_text("another page")
    hashes.renew_page(run)
    assert [(found.file, found.place) for found in discrepancies(run)] == [
        (hashes.FILE, "results.json")
    ]


def test_a_run_whose_page_has_no_hash_yet_is_written_anew(run):
    for age, name in enumerate(["results.json", PAGE, hashes.FILE]):
        os.utime(run / name, (age, age))
    assert run_folder.is_written(load_run(run))
    os.utime(run / hashes.FILE, (0, 0))
    assert not run_folder.is_written(load_run(run))


def test_files_come_and_go(run):
    (run / "models" / "new.safetensors").write_bytes(b"other weights")
    (run / "labels.csv").unlink()
    new, gone = sorted(discrepancies(run), key=lambda found: found.missing)
    assert (new.file, new.place, new.stored) == (hashes.FILE, "models/new.safetensors", None)
    assert (gone.file, gone.missing) == ("labels.csv", True)
    assert verified.differing(gone) == "labels.csv is missing."


def test_discrepancies_come_in_the_order_of_the_file():
    check, names = Check(), [f"{name}{k}" for k in range(5) for name in "zab"]
    check.compare("file", dict.fromkeys(names, 1), dict.fromkeys([*reversed(names), "more"], 2))
    assert [found.place for found in check.discrepancies] == [*names, "more"]


@pytest.mark.parametrize("file", ["predictions.json", "split.csv"])
def test_the_remedy_for_a_missing_file_is_that_of_a_run_or_of_a_kit(run, tmp_path, file):
    written = write_kit(run, tmp_path / "kit.zip")
    (run / file).unlink()
    with pytest.raises(InputError, match=rf"{file}.*`spikeduel compare --experiment \S*run/exp"):
        verify(run)
    with zipfile.ZipFile(written) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != file}
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match=rf"kit\.zip.*{file}.*`spikeduel report RUN --kit") as told:
        verify(written)
    assert "spikeduel compare" not in str(told.value)


@pytest.mark.parametrize("file", ["results.json", "predictions.json", "split.csv", hashes.FILE])
def test_a_missing_or_broken_file_is_named(run, file):
    (run / file).write_bytes((run / file).read_bytes()[:40])
    with pytest.raises(InputError, match=file.replace(".", "\\.")):
        verify(run)
    (run / file).unlink()
    with pytest.raises(InputError, match=file.replace(".", "\\.")):
        verify(run)


def test_folds_and_groups_are_verified_too(tmp_path, monkeypatch):
    monkeypatch.setattr(comparing, "report", lambda *_, **__: None)
    for person in range(12):
        for finger in range(5):
            path = tmp_path / "hands" / str(finger % 2) / f"person{person:02d}_{finger}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            random = np.random.default_rng([person, finger])
            pixels = random.integers(0, 120 + 120 * (finger % 2), (8, 8), np.uint8)
            Image.fromarray(pixels).save(path)
    experiment = replace(EXPERIMENT, dataset=str(tmp_path / "hands"), limit=None, epochs=1)
    experiment = replace(experiment, folds=3, group_by=r"person(\d+)")
    run = compare(experiment, tmp_path / "run", tmp_path / "store").out
    (verification,) = verify(run)
    assert verification.discrepancies == []
    assert PAGE not in verification.checked
    edit(run, "split.csv", ",test,0,", ",test,0,another ")
    put_hashes_right(run)
    assert any(found.place.startswith("groups[") for found in discrepancies(run))


def test_a_kit_holds_all_that_is_promised_and_no_models(whole, tmp_path):
    written = write_kit(whole, tmp_path / "kit.zip")
    (verification,) = verify(written)
    assert verification.holds
    with zipfile.ZipFile(written) as archive:
        names = archive.namelist()
        lines = archive.read("checklist.md").decode().splitlines()
        tasks = [line for line in lines if line.startswith("- [")]
        readme = archive.read("README.md").decode()
        scores = archive.read("tables/scores.csv").decode()
    for name in ("README.md", "split.csv", "tables/scores.tex", "energy/45nm-fp32.toml"):
        assert name in names
    assert not any(name.startswith("models/") for name in names)
    for contender in load_run(whole).results.contenders:
        assert contender in scores
    assert [line[2:] for line in readme.splitlines() if line.startswith("- ")] == (
        load_run(whole).caveats()
    )
    done = [checklist.is_done(task) for task in checklist.checklist(load_run(whole).results)]
    assert [line.startswith("- [x]") for line in tasks] == done
    # The same run makes the same kit.
    assert write_kit(whole, tmp_path / "again" / "kit.zip").read_bytes() == written.read_bytes()


def test_tables_of_a_kit_say_for_how_many_tests_intervals_were_corrected(whole):
    results, tables = load_run(whole).results, dict(kit.made(load_run(whole)))
    numbers = {"tables/pairs.csv": len(results.comparison.pairs)}
    for number, controlled in enumerate(results.features["ablations"].contenders, 1):
        name = f"tables/ablations-{number}.csv"
        numbers[name] = sum(row.found is not None for row in controlled.rows)
    assert len(set(numbers.values())) > 1
    for name, number in numbers.items():
        rows = [*csv.DictReader(tables[name].decode().splitlines())]
        assert {row["tests corrected for"] for row in rows} == {str(number)}
        assert {row["95 % interval"] for row in rows} != {""}


def test_tables_of_a_kit_hold_numbers_that_a_spreadsheet_reads(whole):
    comparison = load_run(whole)
    tables = {
        name: [*csv.DictReader(content.decode().splitlines())]
        for name, content in kit.made(comparison)
        if name.endswith(".csv")
    }
    (pair,) = tables["tables/pairs.csv"]
    led = comparison.results.comparison.pairs[0].led
    assert pair["pair"] == f"{led.a} - {led.b}"
    shares = (led.difference, *led.ci95)
    assert [float(pair[title]) for title in ("points", "95 % interval", "95 % interval to")] == [
        pytest.approx(100 * share, abs=0.005) for share in shares
    ]
    precise = comparison.results.features["int8"].rows
    for row, told in zip(precise, tables["tables/int8-1.csv"], strict=True):
        assert told["contender"] == row.contender
        assert (int(told["flash, bytes"]), int(told["RAM, bytes"])) == (row.flash, row.ram)
    for row in tables["tables/scores.csv"]:
        trials = comparison.results.of(row["contender"])
        accuracies = [trial.test.accuracy for trial in trials]
        spread = 100 * statistics.stdev(accuracies)
        assert float(row["accuracy % ±"]) == pytest.approx(spread, abs=0.005)
        assert int(row["parameters"]) == trials[0].parameters


@pytest.mark.parametrize("name", ["README.md", "checklist.md", "tables/scores.csv"])
def test_what_a_reviewer_reads_first_follows_from_the_results(whole, tmp_path, name):
    with zipfile.ZipFile(write_kit(whole, tmp_path / "kit.zip")) as archive:
        archive.extractall(tmp_path / "kit")
    path = tmp_path / "kit" / name
    edit(tmp_path / "kit", hashes.FILE, files.checksum(path), "0" * 64)
    path.write_text(path.read_text() + "measured on a chip\n")
    edit(tmp_path / "kit", hashes.FILE, "0" * 64, files.checksum(path))
    assert [found.file for found in discrepancies(tmp_path / "kit")] == [name]
    path.unlink()
    assert [found.file for found in discrepancies(tmp_path / "kit") if found.missing] == [name]


def test_a_run_that_does_not_hold_makes_no_kit(run, tmp_path):
    edit_results(run, set_at("comparison", "verdict", by=str.upper))
    with pytest.raises(InputError, match="does not hold"):
        write_kit(run, tmp_path / "kit.zip")


def test_an_archive_that_is_cut_short_is_named(whole, tmp_path):
    written = write_kit(whole, tmp_path / "kit.zip")
    written.write_bytes(written.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"kit\.zip: not a whole zip file"):
        verify(written)


def test_a_checklist_says_what_was_not_done(whole):
    tasks = {task.id: task for task in checklist.checklist(load_run(whole).results)}
    done = {id for id, task in tasks.items() if checklist.is_done(task)}
    assert tasks["seeds_tried"].values == {"done": True, "seeds": 2, "failed": 0}
    assert done >= {"selected_on_validation", "copies_sought", "quantised_control", "first_layer"}
    assert done.isdisjoint({"tuning_of_each_side", "order_in_time", "on_hardware", "groups_apart"})


@pytest.mark.parametrize(
    ("caveat", "line"),
    [
        ("longer_training", "equal_training"),
        ("epoch_limit", "trained_to_convergence"),
        ("busy_machine", "machine_idle"),
        ("busy_budget", "machine_idle"),
    ],
)
def test_a_caveat_of_the_run_leaves_its_line_open(whole, caveat, line):
    results = load_run(whole).results

    def is_done(*caveats):
        conclusions = structs.replace(results.comparison, caveats=[*map(example, caveats)])
        tasks = checklist.checklist(structs.replace(results, comparison=conclusions))
        (task,) = with_id(tasks, line)
        return checklist.is_done(task)

    assert (is_done("untuned"), is_done("untuned", caveat)) == (True, False)


def test_doubtful_labels_bound_how_much_right_ones_would_change(whole):
    results = load_run(whole).results

    def doubted(audited=None, trained=None, sides=()):
        suspects = [
            SuspectLabel(
                image=AuditedImage(index=0, side=side, label="1", file=None),
                suggested="7",
                given_probability=0.1,
                suggested_probability=0.9,
            )
            for side in sides
        ]
        audit = structs.replace(results.dataset.audit, labels=audited)
        dataset = structs.replace(
            results.dataset, audit=audit, labels=trained, suspect_labels=suspects
        )
        tasks = checklist.checklist(structs.replace(results, dataset=dataset))
        return with_id(tasks, "labels_doubted")[0].values

    num_test = results.dataset.counts.test
    by_neighbours = LabelCheck(examined=900, agreement=0.9, suspects=num_test + 1)
    by_networks = LabelCheck(examined=400, agreement=0.9, suspects=6)
    assert doubted()["done"] is False
    assert doubted(by_neighbours)["share"] == 1
    # A listed label of validation cannot change a score; two of the six are not listed.
    assert doubted(by_neighbours, by_networks, ["test", "val", "test", "test"]) == {
        **{"done": True, "suspects": 6, "examined": 400},
        **{"most": 5, "share": 5 / num_test},
    }


def test_trained_again_every_prediction_is_the_same(whole, run):
    of_data, again = train_again(whole, 2)
    assert of_data.holds
    assert of_data.checked.keys() == {"predictions.json", "results.json", "split.csv"}
    assert [(trained.same, trained.alike, trained.holds) for trained in again] == [(True,) * 3] * 2
    content = json.loads((run / "predictions.json").read_text())
    for answers in content["trials"]:
        answers["predicted"][0] = (answers["predicted"][0] + 1) % 10
    (run / "predictions.json").write_text(json.dumps(content))
    _, (trained,) = train_again(run, 1)
    assert (trained.same, trained.holds) == (False, False)


@pytest.mark.parametrize(
    ("alike", "accuracy", "equal", "holds"),
    [
        (False, 0.89, 0.9, True),
        (False, 0.86, 0.9, False),
        (False, 0.89, 0.8, False),
        (True, 0.89, 0.99, False),
        (True, 0.9, 1.0, True),
        (True, 0.89, 1.0, False),
    ],
)
def test_elsewhere_accuracy_and_predictions_are_nearly_the_same(alike, accuracy, equal, holds):
    trained = TrainedAgain(
        trial="net, seed 0",
        stored=0.9,
        accuracy=accuracy,
        equal=equal,
        same=equal == 1,
        alike=alike,
        noise=0.03,
    )
    assert trained.holds is holds
    assert verified.hold([], [trained]) is holds
    assert [*verified.lines([], [trained])][-1] == (verified.HOLDS if holds else verified.DIFFERS)


def test_the_command_needs_no_torch_and_says_what_differs(run):
    forbidding = (
        "import sys\n"
        "class Nothing:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] in ('torch', 'numba', 'sklearn', 'matplotlib', 'jinja2'):\n"
        "            raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "from spikeduel.cli import main\n"
        "main()\n"
    )

    def verified_by_command(*more):
        command = [sys.executable, "-c", forbidding, "verify", str(run), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    ended = verified_by_command()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "HOLDS" in ended.stdout
    ended = verified_by_command("--rerun", "1")
    assert ended.returncode == 2
    assert "pip install 'spikeduel[train]'" in ended.stderr
    edit_results(run, set_at("comparison", "verdict", by=str.upper))
    ended = verified_by_command("--json")
    assert ended.returncode == 1
    (verification,) = json.loads(ended.stdout)["verified"]
    assert "comparison.verdict" in [found["place"] for found in verification["discrepancies"]]


def test_a_kit_is_trained_again_as_its_run_is(tmp_path, whole):
    written = write_kit(whole, tmp_path / "kit.zip")
    ended = CliRunner().invoke(app, ["verify", str(written), "--rerun", "1", "--json"])
    assert ended.exit_code == 0, ended.output
    (trained,) = json.loads(ended.stdout)["trained_again"]
    assert trained["same"]


def test_what_is_no_run_is_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr("spikeduel.verifying.verify", lambda _: [])
    ended = CliRunner().invoke(app, ["verify", str(tmp_path), "--rerun", "1"])
    assert ended.exit_code == 2
    assert "--rerun takes a run or its kit" in ended.output
