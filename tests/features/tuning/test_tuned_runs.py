import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from factories import small_experiment, small_twins
from made_commands import QUICKEST, refused, spikeduel
from spikeduel.comparing import compare
from spikeduel.experiment.settings import read_experiment
from spikeduel.features.tuning.tuning import (
    TRAINING_SEED,
    announcement,
    read_tuning,
    tune,
    write_tuning,
)
from spikeduel.features.tuning.tuning_results import Range, TuningRecord
from spikeduel.results.findings import finding
from spikeduel.system import typed
from spikeduel.system.errors import InputError
from spikeduel.training import timing
from spikeduel.training.run_folder import default_name
from spikeduel.training.store import Store
from telling import Telling

pytestmark = pytest.mark.usefixtures("known_data")
SECONDS = {"vgg-lif": 3.0, "vgg-relu": 1.0}


@pytest.fixture
def timed(monkeypatch, machine):
    """An epoch takes `SECONDS`; gives the contenders whose epochs were timed."""
    asked = []

    def seconds_of_an_epoch(trial, prepared):
        asked.append(trial.card.contender)
        return SECONDS[trial.card.contender]

    monkeypatch.setattr(timing, "seconds_of_an_epoch", seconds_of_an_epoch)
    return asked


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A tuning of the duel's experiment, its folder and its store."""
    folder = tmp_path_factory.mktemp("tuned")
    ranges = {"learning_rate": Range(4e-3, 2e-2), "num_steps": Range(choices=(2, 3))}
    experiment = small_experiment(epochs=1, limit=200)
    tuning = tune(experiment, 3, ranges, folder / "store")
    return tuning, write_tuning(tuning, folder / "out"), folder / "store"


def test_a_tunings_folder_leads_to_the_comparison(tuned):
    tuning, folder, _ = tuned
    name = default_name(tuning.experiment, tuning.record.dataset.fingerprint)
    assert write_tuning(tuning) == Path("runs") / f"{name}-tuning"
    names = {path.name for path in folder.iterdir()}
    assert names == {"experiment.toml", "tuning.json"}
    assert read_experiment(folder / "experiment.toml") == tuning.experiment
    assert typed.read_json(folder / "tuning.json", TuningRecord) == tuning.record


def test_the_chosen_trials_are_compared_and_the_tuning_is_reported(tuned, tmp_path, unpainted):
    tuning, _, store = tuned
    progress = Telling()
    run = compare(tuning.experiment, tmp_path / "out", store, progress, found_by=tuning)
    # What was chosen was lucky, too: the compared trainings have other seeds.
    assert (progress.trained, progress.found) == (2, 0)
    assert run.results.features["tuning"] == tuning.record
    best = [contender.trials[contender.best] for contender in tuning.record.contenders]
    assert not {trial.key for trial in run.results.trials} & {trial.key for trial in best}
    assert finding("tuned", num_trials=3, most_epochs=1) in run.results.comparison.caveats
    assert '<section id="tuning"' in (tmp_path / "out" / "report.html").read_text()
    # The run's folder leads to the same again.
    written = read_experiment(tmp_path / "out" / "experiment.toml")
    again = read_tuning(tmp_path / "out", written)
    rerun = compare(again.experiment, tmp_path / "out", store, found_by=again)
    assert rerun.results.features["tuning"] == again.record == tuning.record


def test_without_its_record_tuning_is_not_claimed(tuned, tmp_path, unreported):
    tuning, _, store = tuned
    results = compare(tuning.experiment, tmp_path / "out", store).results
    assert "tuning" not in results.features
    caveat = finding("own_settings", settings=tuning.experiment.per_contender)
    assert caveat in results.comparison.caveats


def test_tuned_with_epochs_by_the_minutes_it_is_compared_with_the_same(timed, unreported):
    experiment = small_twins(limit=100, minutes=0.1)
    tuned = tune(experiment, 2, {"learning_rate": Range(0.01, 0.02)}, "s")
    assert tuned.experiment.own_settings.keys() == {"vgg-lif", "vgg-relu"}
    epochs = {"vgg-lif": 1, "vgg-relu": 3}
    for contender in tuned.record.contenders:
        assert {trial.epochs for trial in contender.trials} == {epochs[contender.contender]}
    results = compare(tuned.experiment, "run", "s", found_by=tuned).results
    assert {trial.contender: trial.epochs for trial in results.trials} == epochs
    assert results.features["tuning"] == tuned.record
    assert timed == ["vgg-lif", "vgg-relu"]


def test_an_impossible_tuning_is_refused_before_anything_is_timed(timed):
    with pytest.raises(InputError, match="at least 2 trials"):
        tune(small_twins(limit=100), 1, None, "s")
    assert timed == []
    assert not Store("s").root.exists()


@pytest.mark.parametrize(
    ("times", "expected"),
    [((3.0, 1.0), "at most 20 min. It is done by "), ((), "at most 100 epochs each.")],
    ids=["timed", "unknown"],
)
def test_the_announcement_has_the_longest_time(times, expected):
    planned = SimpleNamespace(
        contenders=("vgg-lif", "vgg-relu"),
        trials=[SimpleNamespace(experiment=SimpleNamespace(num_epochs=100))],
        times=times,
        seconds_by_contender={"vgg-lif": 299.0, "vgg-relu": 1.0},
    )
    start = f"Tuning: 4 trials of each of 2 contenders, {expected}"
    assert announcement(planned, 4).startswith(start)


# ---- the commands


def test_tune_then_compare(desk, unreported):
    (desk / "ranges.toml").write_text("[learning_rate]\nlow = 4e-3\nhigh = 2e-2\n")
    arguments = ["tune", "digits", *QUICKEST, "--ranges", "ranges.toml", "--trials", 2]
    output = " ".join(spikeduel(*arguments, "--out", "tuned").stdout.split())
    assert f"trial 2 of 2: small-cnn, seed {TRAINING_SEED}: 1 epoch" in output
    tuned = json.loads((desk / "tuned" / "tuning.json").read_text())["contenders"]
    for trial in (trial for contender in tuned for trial in contender["trials"]):
        assert f"{100 * trial['validation']['accuracy']:.2f}" in output
    assert "spikeduel compare --experiment tuned/experiment.toml" in output
    assert not list((desk / "runs" / "store").glob("*/measures"))

    compared = spikeduel("compare", "--experiment", "tuned/experiment.toml", "--json", "--verbose")
    assert json.loads(compared.stdout)["features"]["tuning"]["contenders"] == tuned
    # Chosen for their luck, too: the compared trainings have other seeds.
    assert compared.stderr.count("not trained again") == 0


def test_tuning_is_refused_before_it_begins_where_its_results_cannot_go(desk):
    (desk / "mine").mkdir()
    (desk / "mine" / "notes.txt").write_text("precious")
    line = refused(desk, "tune", "digits", *QUICKEST, "--out", "mine")
    assert "mine: holds other things than a run" in line
