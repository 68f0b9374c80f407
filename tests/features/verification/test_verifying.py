"""Verification: what nobody touched holds, and every edit is named at its place, with the hashes put
right, too, where it follows from other files.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from typer.testing import CliRunner

from factories import discrepancies, existing, small_experiment
from spikeduel import comparing, energy
from spikeduel.analysis import hashes
from spikeduel.analysis.conclusions import concluded
from spikeduel.cli import app
from spikeduel.comparing import compare
from spikeduel.features import FEATURES
from spikeduel.features.verification import verification_sentences as verified
from spikeduel.features.verification.retraining import train_again
from spikeduel.features.verification.verification_results import TrainedAgain
from spikeduel.features.verification.verifying import Check, verify
from spikeduel.reporting import report_again
from spikeduel.results import predictions
from spikeduel.results.significance import Reservation
from spikeduel.results.trials import INT8
from spikeduel.sentences.comparison import load_run
from spikeduel.system.errors import InputError
from spikeduel.training import run_folder

pytestmark = pytest.mark.usefixtures("known_data")

EXPERIMENT = small_experiment(limit=300, seeds=2)
PAGE = "report.html"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with its page and variants, which no test changes."""
    folder = tmp_path_factory.mktemp("verified")
    experiment = replace(EXPERIMENT, **existing(ablations=True, int8=True), encoding="direct")
    return compare(experiment, folder / "run", folder / "store").out


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


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
        (
            set_at("comparison", "recommendation", "text", by=str.upper),
            "comparison.recommendation.text",
        ),
        (
            set_at("comparison", "recommendation", "text", by=lambda t: t + "!"),
            "comparison.recommendation.text",
        ),
        (set_at("comparison", "caveats", by=lambda c: c[1:]), "comparison.caveats"),
        (set_at("trials", 0, "test", "f1", by=lambda f: f / 2), "trials[0].test.f1"),
        (set_at("trials", 0, "test", "confusion", 0, 0, by=lambda n: n + 1), "confusion[0][0]"),
        (set_at("trials", 1, "validation", "accuracy", by=lambda a: a / 2), "validation"),
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
    hashes.write(run)
    assert any(place in found.place for found in discrepancies(run))


def test_a_run_from_before_a_setting_holds(run):
    def older(content):
        del content["experiment"]["whitening"]
        content["features"].get("ablations", {}).pop("without_time", None)

    edit_results(run, older)
    hashes.write(run)
    assert discrepancies(run) == []


def test_measured_values_are_checked_by_their_hash_alone(run):
    edit_results(run, set_at("environment", "cpu", by=str.upper))
    assert {found.file for found in discrepancies(run)} == {hashes.FILE}
    hashes.write(run)
    assert discrepancies(run) == []


def test_an_integer_beyond_floats_is_compared(run):
    edit_results(run, lambda content: content["environment"].update(platform=10**400))
    hashes.write(run)
    assert discrepancies(run) == []


def test_another_prediction_changes_scores(run):
    content = json.loads((run / "predictions.json").read_text())
    predicted = content["trials"][0]["predicted"]
    predicted[7] = (predicted[7] + 1) % 10
    (run / "predictions.json").write_text(json.dumps(content))
    hashes.write(run)
    assert any("trials[0].test.confusion" in found.place for found in discrepancies(run))


def test_another_side_of_an_image_changes_the_split(run):
    lines = (run / "split.csv").read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if ",test," in line)
    lines[at] = lines[at].replace(",test,", ",train,")
    (run / "split.csv").write_text("\n".join(lines) + "\n")
    hashes.write(run)
    places = {found.place for found in discrepancies(run)}
    assert places >= {"images", "dataset.counts.test", "dataset.counts.train"}


def copies_between_splits(run, split):
    """Give a training image the hash of a `split` image, as a forger of a leak would."""
    rows = [line.split(",") for line in (run / "split.csv").read_text().splitlines()]
    at = next(n for n, row in enumerate(rows) if row[1] == "train")
    rows[at][-1] = next(row for row in rows if row[1] == split)[-1]
    (run / "split.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    hashes.write(run)
    return {found.place: (found.stored, found.computed) for found in discrepancies(run)}


@pytest.mark.parametrize(
    ("split", "copies"), [("test", ["across", "test_in_training"]), ("val", ["across"])]
)
def test_a_training_image_that_is_in_a_later_split_is_a_copy_that_the_audit_misses(
    run, split, copies
):
    places = {f"dataset.audit.exact_duplicates.{name}": (0, 1) for name in copies}
    assert copies_between_splits(run, split) == places


def test_equal_pixels_of_different_files_are_copies_for_the_audit_alone(run):
    def known(content):
        stated = content["dataset"]["audit"]["exact_duplicates"]
        stated |= {"across": 3, "test_in_training": 1}

    edit_results(run, known)
    hashes.write(run)
    assert discrepancies(run) == []


def test_another_setting_is_not_that_of_the_results(run):
    edit(run, "experiment.toml", "seeds = 2", "seeds = 3")
    hashes.write(run)
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
    hashes.write(run)
    assert discrepancies(run) == []


@pytest.mark.skipif("ablations" not in FEATURES, reason="no other feature has both")
@pytest.mark.parametrize(
    ("change", "place"),
    [
        (
            set_at("features", "ablations", "text", by=lambda t: t + "!"),
            "features.ablations.text",
        ),
        (
            set_at("trials", 0, "variants", "relu_twin", "accuracy", by=lambda a: a / 2),
            "trials[0].variants.relu_twin.accuracy",
        ),
    ],
)
def test_an_edit_of_the_results_of_a_feature_is_named(run, change, place):
    test_an_edit_of_the_results_is_named_whatever_the_hashes_say(run, change, place)


@pytest.mark.skipif("int8" not in FEATURES, reason="nothing else withholds a lead")
@pytest.mark.parametrize("times", [1, 2])
def test_a_difference_in_int8_after_longer_training_is_withheld(whole, times):
    results, stored = load_run(whole).results, predictions.read(whole)
    ahead, behind = results.contenders
    wrong = [(label + 1) % len(stored.classes) for label in stored.labels]
    by_contender = {ahead: stored.labels, behind: wrong}
    entries = [
        structs.replace(entry_of_seed, predicted=by_contender[entry_of_seed.contender])
        if entry_of_seed.variant == INT8
        else entry_of_seed
        for entry_of_seed in stored.trials
        if entry_of_seed.seed == 0
    ]
    trials = [
        structs.replace(entry, epochs=entry.epochs * (times if entry.contender == ahead else 1))
        for entry in results.trials
        if entry.seed == 0
    ]
    changed = structs.replace(results, trials=trials)
    found = concluded(changed, structs.replace(stored, trials=entries)).features["int8"]
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
def test_the_remedy_for_a_missing_file_of_a_run(run, file):
    (run / file).unlink()
    with pytest.raises(InputError, match=rf"{file}.*`spikeduel compare --experiment \S*run/exp"):
        verify(run)


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
    hashes.write(run)
    assert any(found.place.startswith("groups[") for found in discrepancies(run))


def test_trained_again_every_prediction_is_the_same(whole, run):
    of_data, again = train_again(whole, 2)
    assert of_data.holds
    assert of_data.checked.keys() == {"predictions.json", "results.json", "split.csv"}
    assert [(trained.same, trained.alike, trained.holds) for trained in again] == [(True,) * 3] * 2
    content = json.loads((run / "predictions.json").read_text())
    for entries in content["trials"]:
        entries["predicted"][0] = (entries["predicted"][0] + 1) % 10
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
    edit_results(run, set_at("comparison", "recommendation", "text", by=str.upper))
    ended = verified_by_command("--json")
    assert ended.returncode == 1
    (verification,) = json.loads(ended.stdout)["verified"]
    assert "comparison.recommendation.text" in [
        found["place"] for found in verification["discrepancies"]
    ]


def test_what_is_no_run_is_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr("spikeduel.features.verification.verifying.verify", lambda _: [])
    ended = CliRunner().invoke(app, ["verify", str(tmp_path), "--rerun", "1"])
    assert ended.exit_code == 2
    assert "--rerun takes a run or its zip file" in ended.output
