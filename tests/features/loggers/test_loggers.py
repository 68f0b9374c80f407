"""Read back by the real programs: the logs of a run."""

import csv
import sys

import pytest

from factories import small_experiment
from lazily import Lazily
from made_commands import printed, refused
from made_pages import without_pages
from spikeduel.comparing import compare
from spikeduel.features.loggers.loggers import LOGGERS, SCALARS, Logged
from spikeduel.system.errors import MissingExtra
from spikeduel.system.progress import Progress
from telling import Telling

mlflow = Lazily("mlflow")
accumulating = Lazily("tensorboard.backend.event_processing.event_accumulator")

# Warnings of these programs' own libraries.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SMALL = small_experiment(hidden=8, num_steps=2, patience=None, limit=100, batch_size=20)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of MLflow's database and of runs."""
    folder = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        # The folders of artifacts are below the one in which the database is made.
        patch.chdir(folder)
        mlflow.MlflowClient().search_experiments()
        yield folder


@pytest.fixture
def client(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}")
    monkeypatch.chdir(home)
    return mlflow.MlflowClient()


@pytest.fixture(scope="module")
def run(home, _common_cache):
    with without_pages():
        return compare(SMALL, home / "run", home / "store", Logged(Progress(), LOGGERS))


def curves(run):
    """Return the epochs of each trial by its title, as results.json has them."""
    return {
        trial.title: [
            {name: getattr(epoch, name) for name in SCALARS[:-1]} | {"epoch_seconds": seconds}
            for epoch, seconds in zip(trial.history, trial.epoch_seconds, strict=True)
        ]
        for trial in run.results.trials
    }


def test_csv_has_a_row_for_each_epoch(run):
    rows = {}
    lines = (run.out / "logs" / "epochs.csv").read_text(encoding="utf-8").splitlines()
    for row in csv.DictReader(lines):
        title, number = row.pop("trial"), int(row.pop("epoch"))
        rows.setdefault(title, []).append({name: float(value) for name, value in row.items()})
        assert len(rows[title]) == number
    assert rows == curves(run)


def test_tensorboard_reads_curves_settings_and_results(run):
    folders = (run.out / "logs" / "tensorboard").iterdir()
    readers = {
        folder.name: accumulating.EventAccumulator(str(folder)).Reload() for folder in folders
    }
    for title, epochs in curves(run).items():
        reader = readers[title.replace(", ", "-").replace(" ", "-")]
        for name in SCALARS:
            points = [(point.step, point.value) for point in reader.Scalars(f"epoch/{name}")]
            expected = [(number, epoch[name]) for number, epoch in enumerate(epochs, 1)]
            assert points == [(number, pytest.approx(value)) for number, value in expected]
    spiking = readers["dense-snn-seed-0"]
    accuracy = run.results.of("dense-snn")[0].test.accuracy
    assert spiking.Scalars("result/test_accuracy")[0].value == pytest.approx(accuracy)
    metadata = spiking.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert b"learning_rate" in metadata.content


def test_mlflow_has_a_run_and_a_child_run_for_each_trial(run, client):
    experiment = client.get_experiment_by_name("spikeduel").experiment_id
    (whole,) = client.search_runs([experiment], f"tags.`spikeduel.folder` = '{run.out}'")
    assert (whole.info.run_name, whole.info.status) == ("run", "FINISHED")
    parent = f"tags.`mlflow.parentRunId` = '{whole.info.run_id}'"
    children = {child.info.run_name: child for child in client.search_runs([experiment], parent)}
    for title, epochs in curves(run).items():
        assert children[title].info.status == "FINISHED"
        for name in SCALARS:
            history = client.get_metric_history(children[title].info.run_id, name)
            values = {point.step: point.value for point in history}
            assert values == {number: epoch[name] for number, epoch in enumerate(epochs, 1)}
    spiking = children["dense-snn, seed 0"].data
    assert spiking.metrics["test_accuracy"] == run.results.of("dense-snn")[0].test.accuracy
    assert (spiking.params["contender"], spiking.params["batch_size"]) == ("dense-snn", "20")
    artifacts = {artifact.path for artifact in client.list_artifacts(whole.info.run_id)}
    assert artifacts == {"report.html", "results.json"}


class Failing:
    """A logger that raises at the first epoch, as with a full disk."""

    def __init__(self, folder):
        pass

    def epochs(self, trial, epochs):
        raise OSError("No space left on device " * 20)

    def end(self):
        raise AssertionError("called after it failed")


def test_trials_of_the_store_are_logged_and_a_logger_that_fails_costs_nothing(
    run, home, unreported, monkeypatch
):
    monkeypatch.setitem(LOGGERS, "failing", (Failing, "csv"))
    progress, again = Telling(), home / "again"
    logged = Logged(progress, ["failing", "csv", "tensorboard"])
    for _ in range(2):  # the second time into the same folder
        comparison = compare(SMALL, again, home / "store", logged)
        assert not comparison.failed
        epochs = (again / "logs" / "epochs.csv").read_text()
        assert epochs == (run.out / "logs" / "epochs.csv").read_text()
    assert progress.trained == 0
    failures = [line for line in progress.messages if "--logger" in line]
    assert len(failures) == 2
    assert failures[0].startswith("--logger failing failed (OSError: No space left on device")
    assert len(failures[0]) < 500


def test_a_server_that_is_away_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    progress = Telling()
    logged = Logged(progress, ["mlflow"]).of_run(tmp_path)
    logged.epoch("a, seed 0", [dict.fromkeys(SCALARS, 0.5)], 2)
    (line,) = progress.messages
    assert line.startswith("--logger mlflow failed (MlflowException")


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")]
)
def test_a_missing_package_is_an_error_before_anything_runs(name, module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'spikeduel\[{name}\]'"):
        Logged(Progress(), [name])


def test_runs_of_a_study_are_logged_apart_and_without_their_labels(tmp_path):
    progress = Telling()
    logged = Logged(progress, ["csv"])
    for name in ("one", "two"):
        run = logged.of_run(tmp_path / name, label=name)
        run.epoch("a, seed 0", [dict.fromkeys(SCALARS, 0.5)], 1)
        text = (tmp_path / name / "logs" / "epochs.csv").read_text()
        assert text.splitlines()[1:] == ['"a, seed 0",1,0.5,0.5,0.5,0.5,0.5']
    assert [title for title, *_ in progress.epochs] == ["one: a, seed 0", "two: a, seed 0"]


def test_the_command_logs_and_refuses_an_unknown_logger_before_it_does_anything(desk, unreported):
    words = "compare digits --contender dense-relu --hidden 8 --epochs 1 --limit 100 -q --out run"
    line = refused(desk, *words.split(), "--logger", "tensorbord")
    assert "unknown logger 'tensorbord': did you mean 'tensorboard'" in line
    printed(*words.split(), "--logger", "csv")
    assert len((desk / "run" / "logs" / "epochs.csv").read_text().splitlines()) == 2


def test_long_curves_go_to_mlflow_in_few_requests(client, tmp_path):
    logged = Logged(Progress(), ["mlflow"]).of_run(tmp_path / "long")
    curve = [dict.fromkeys(SCALARS, float(number)) for number in range(1, 411)]
    logged.epoch("a, seed 0", curve[:400], 500)
    logged.epoch("a, seed 0", curve, 500)
    experiment = client.get_experiment_by_name("spikeduel").experiment_id
    (child,) = client.search_runs([experiment], "tags.`mlflow.runName` = 'a, seed 0'")
    history = client.get_metric_history(child.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history] == [
        (number, number) for number in range(1, 411)
    ]
