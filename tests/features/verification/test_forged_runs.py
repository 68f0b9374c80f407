"""Forged runs: each edit is followed by new conclusions and right hashes, as a forger would
make them, and must be named by `verify`, or by `train_again` where only the data can tell.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from factories import differing, small_experiment
from made_pages import without_pages
from spikeduel.analysis import hashes
from spikeduel.analysis.conclusions import concluded
from spikeduel.comparing import compare
from spikeduel.features.verification import retraining
from spikeduel.features.verification.retraining import train_again
from spikeduel.features.verification.verifying import verify
from spikeduel.results import predictions
from spikeduel.sentences.comparison import load_run
from spikeduel.system import typed
from spikeduel.system.errors import InputError

pytestmark = pytest.mark.usefixtures("known_data")

EXPERIMENT = small_experiment(limit=300, seeds=2)
A, B = EXPERIMENT.contenders


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A run that no test changes."""
    folder = tmp_path_factory.mktemp("forged")
    with without_pages():
        return compare(EXPERIMENT, folder / "run", folder / "store").out


@pytest.fixture
def run(honest, tmp_path):
    return shutil.copytree(honest, tmp_path / "run")


def forge(run, file, change):
    """Change the content of a JSON file, conclude again, and put the hashes right."""
    content = json.loads((run / file).read_text())
    change(content)
    (run / file).write_text(json.dumps(content))
    comparison = load_run(run)
    results = concluded(comparison.results, predictions.read(run))
    document = replace(comparison, results=results).document()
    for entry in document["trials"]:
        if entry["anytime"] and file == predictions.FILE:
            entry["anytime"]["accuracies"][-1] = entry["test"]["accuracy"]
    typed.write_json(run / "results.json", document)
    hashes.write(run)


def with_half_wrong(content, contender, seeds=(0, 1)):
    """Give a contender a wrong prediction for every second image."""
    for entry in content["trials"]:
        if entry["contender"] == contender and entry["seed"] in seeds:
            entry["predicted"] = [
                (label + place % 2) % 10 for place, label in enumerate(content["labels"])
            ]


def test_forged_labels_hold_until_they_are_compared_with_the_data(run):
    def forged(content):
        content["labels"] = content["trials"][0]["predicted"]

    forge(run, "predictions.json", forged)
    assert load_run(run).results.trials[0].test.accuracy == 1
    assert differing(run) == set()
    of_data, (trained,) = train_again(run, 1)
    assert {found.place.partition("[")[0] for found in of_data.discrepancies} == {"labels"}
    assert (trained.same, trained.holds) == (True, trained.accuracy == trained.stored)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("predictions.json", '"indices": [', '"indices": [9'), ("split.csv", "\n", "\n9")],
)
def test_other_indices_or_names_of_images_differ_from_the_data(run, file, old, new):
    forge(run, "predictions.json", lambda content: None)
    text = (run / file).read_text()
    assert old in text
    (run / file).write_text(text.replace(old, new, 1))
    hashes.write(run)
    assert differing(run) == set()
    of_data, _ = train_again(run, 0)
    assert {found.file for found in of_data.discrepancies} == {file}


def test_a_trial_whose_key_was_changed_differs(run):
    def with_other_keys(content):
        for entry in content["trials"][1:]:
            entry["key"] = "0" * 16

    def with_other_predictions(content):
        with_half_wrong(content, A)
        for entry_of_seed in content["trials"]:
            if (entry_of_seed["contender"], entry_of_seed["seed"]) != (A, 0):
                entry_of_seed["trainings"] = ["0" * 16]

    forge(run, "results.json", with_other_keys)
    changed = {found for file, found in differing(run) if file == "predictions.json"}
    assert changed == {f"trials[{place}].trainings[0]" for place in (1, 2, 3)}
    forge(run, "predictions.json", with_other_predictions)
    assert differing(run) == set()
    of_data, again = train_again(run, 0)
    assert {found.place for found in of_data.discrepancies} == {
        f"trials.key.{title}" for title in (f"{A}, seed 1", f"{B}, seed 0", f"{B}, seed 1")
    }
    assert again == []


def test_a_run_of_which_no_key_is_right_is_an_error(run):
    def with_other_keys(content):
        for entry in content["trials"]:
            entry["key"] = "0" * 16

    forge(run, "results.json", with_other_keys)
    with pytest.raises(InputError, match="trains its trials in another way"):
        train_again(run, 1)


def test_another_processor_does_not_excuse_other_predictions(run):
    forge(run, "results.json", lambda content: content["environment"].update(cpu="another"))
    forge(run, "predictions.json", lambda content: with_half_wrong(content, A, seeds=[1]))
    assert differing(run) == set()
    of_data, again = train_again(run, 4)
    assert of_data.holds
    assert {trained.trial: trained.holds for trained in again} == {
        f"{name}, seed {seed}": (name, seed) != (A, 1) for name in (A, B) for seed in (0, 1)
    }
    assert not any(trained.alike for trained in again)
    assert max(trained.noise for trained in again) <= 0.03


def test_trials_are_drawn_anew_each_time(honest, monkeypatch):
    class Drawn(Exception):
        pass

    def sample(self, titles, number):
        raise Drawn(titles, number)

    monkeypatch.setattr(retraining.random.SystemRandom, "sample", sample)
    with pytest.raises(Drawn) as drawn:
        train_again(honest, 3)
    titles = [f"{name}, seed {seed}" for name in (A, B) for seed in (0, 1)]
    assert drawn.value.args == (sorted(titles), 3)


def test_a_model_that_the_results_name_is_missing(run):
    model = load_run(run).results.trials[0].model
    (run / model).unlink()
    hashes.write(run)
    assert differing(run) == {(model, "missing")}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("trials", 0, "parameters"), 123),
        (("trials", 0, "num_steps"), 1),
        (("trials", 0, "epochs"), 1),
        (("trials", 0, "operations", "totals", "acs", "total"), 1.0),
        (("trials", 0, "anytime", "accuracies", 3), 0.5),
        (("dataset", "audit", "counts", "test"), 9),
        (("dataset", "audit", "fingerprint"), "0"),
        (("dataset", "audit", "split"), "official"),
    ],
)
def test_a_value_that_follows_from_others_is_named(run, path, value):
    def forged(content):
        for key in path[:-1]:
            content = content[key]
        assert content[path[-1]] != value
        content[path[-1]] = value

    forge(run, "results.json", forged)
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]
    assert ("results.json", place) in differing(run)


def test_predictions_of_a_tested_trial_are_missing(run):
    forge(run, "predictions.json", lambda content: content["trials"].pop())
    assert ("predictions.json", "trials") in differing(run)


def test_the_settings_that_rules_chose_are_those_of_the_experiment(run):
    def chosen(content):
        content["rules"] = {"num_train": 240, "chosen": {"batch_size": 32, "dropout": 0.0}}

    forge(run, "results.json", chosen)
    assert ("results.json", "rules.chosen.batch_size") in differing(run)


def test_an_epoch_that_is_not_in_the_history_is_an_error(run):
    content = json.loads((run / "results.json").read_text())
    content["trials"][3]["best_epoch"] = 2
    (run / "results.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"results\.json.*best_epoch is not an epoch") as raised:
        verify(run)
    assert str(Path("run", "results.json")) in str(raised.value)


def test_half_of_a_character_in_a_text_is_no_crash(run):
    content = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(content | {"spikeduel": "\ud800"}))
    (verification,) = verify(run)
    assert verification.discrepancies
