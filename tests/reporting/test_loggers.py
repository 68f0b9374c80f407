"""What the real programs read back of a run."""

import csv
import gc
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from spikeduel.comparing import compare
from spikeduel.reporting.logged import Logged
from spikeduel.reporting.loggers import LOGGERS, SCALARS, Logger
from spikeduel.results.rankings import with_memory
from spikeduel.settings.recipes import baseline
from spikeduel.system.errors import InputError, MissingExtra
from spikeduel.system.progress import Progress
from spikeduel.trials import runs, training
from telling import Telling

mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
accumulating = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="TensorBoard is not installed"
)

# Those programs', of their own libraries.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SMALL = baseline(
    "digits",
    contenders=("dense-snn", "small-cnn"),
    hidden=8,
    num_steps=2,
    epochs=2,
    patience=None,
    limit=100,
    batch_size=20,
    controls=True,
    device="cpu",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where MLflow keeps what it is told, and runs lie."""
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
    return compare(SMALL, home / "run", home / "store", loggers=list(LOGGERS))


def curves(run):
    """The epochs of each training by its title: of trials as results.json has them, of controls as
    the store does.
    """
    found = {
        each.title: list(zip(each.history, each.epoch_seconds, strict=True))
        for each in run.results.trials
    }
    (spiking,) = (each for each in run.results.trials if each.controls)
    for control in spiking.controls.values():
        if control.key:
            record = json.loads((run.out.parent / "store" / control.key / "trial.json").read_text())
            rows = zip(record["history"], record["epoch_seconds"], strict=True)
            found[f"control, {control.title}: {spiking.title}"] = list(rows)
    return {
        title: [
            {
                name: epoch[name] if isinstance(epoch, dict) else getattr(epoch, name)
                for name in SCALARS[:-1]
            }
            | {"epoch_seconds": seconds}
            for epoch, seconds in rows
        ]
        for title, rows in found.items()
    }


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_epoch(run):
    expected = curves(run)
    assert {len(epochs) for epochs in expected.values()} == {2}
    assert len(expected) == 5  # of three controls that are trained
    found = {title: [] for title in expected}
    for row in table(run.out / "logs" / "epochs.csv"):
        title, number = row.pop("trial"), int(row.pop("epoch"))
        found[title].append({name: float(value) for name, value in row.items()})
        assert len(found[title]) == number
    assert found == expected


def test_a_row_for_each_trial_and_control(run):
    rows = {row["trial"]: row for row in table(run.out / "logs" / "trials.csv")}
    for each in run.results.trials:
        row = rows.pop(each.title)
        assert float(row["test_accuracy"]) == each.test.accuracy
        assert float(row["best_val_accuracy"]) == each.validation.accuracy
        assert float(row["latency_ms"]) == each.latency.one_image.median_ms
        assert float(row["energy_joules_high"]) == with_memory(each).high
        assert float(row["train_seconds"]) == pytest.approx(sum(each.epoch_seconds))
        assert (row["contender"], row["batch_size"], row["hidden"]) == (each.contender, "20", "8")
        assert (row["beta"] != "", row["num_steps"]) == (each.spiking, "2" if each.spiking else "")
        for control in each.controls.values():
            row = rows.pop(f"control, {control.title}: {each.title}")
            assert float(row["test_accuracy"]) == control.accuracy
            assert (row["control"], row["contender"]) == (control.title, "dense-snn")
    assert not rows


def test_tensorboard_reads_curves_settings_results_and_figures(run):
    folder = run.out / "logs" / "tensorboard"
    read = {}
    for each in folder.iterdir():
        read[each.name] = accumulating.EventAccumulator(str(each), size_guidance={"images": 0})
        read[each.name].Reload()
    for title, epochs in curves(run).items():
        its = read[title.replace(", ", "-").replace(": ", "-").replace(" ", "-")]
        for name in SCALARS:
            found = [(point.step, point.value) for point in its.Scalars(f"epoch/{name}")]
            assert [step for step, _ in found] == [1, 2]
            assert [value for _, value in found] == pytest.approx(
                [epoch[name] for epoch in epochs], rel=1e-6
            )
    spiking = read["dense-snn-seed-0"]
    accuracy = run.results.of("dense-snn")[0].test.accuracy
    assert spiking.Scalars("result/test_accuracy")[0].value == pytest.approx(accuracy)
    (begun,) = (
        content
        for tag, content in spiking.SummaryMetadata(
            "_hparams_/session_start_info"
        ).plugin_data.ListFields()
        if tag.name == "content"
    )
    assert b"learning_rate" in begun
    figures = read["figures"]
    assert {name.removeprefix("figures/") for name in figures.Tags()["images"]} == {
        path.stem for path in (run.out / "figures").glob("*.png")
    }
    with Image.open(run.out / "figures" / "pareto.png") as picture:
        (image,) = figures.Images("figures/pareto")
        shown = Image.open(io.BytesIO(image.encoded_image_string))
        assert np.array_equal(np.asarray(shown), np.asarray(picture.convert("RGB")))


def test_mlflow_has_a_run_with_one_below_it_for_each_trial(run, client):
    experiment = client.get_experiment_by_name("spikeduel")
    (whole,) = client.search_runs([experiment.experiment_id], "tags.`spikeduel.folder` != ''")
    assert (whole.info.run_name, whole.info.status) == ("run", "FINISHED")
    below = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{whole.info.run_id}'"
    )
    by_title = {each.info.run_name: each for each in below}
    assert {each.info.status for each in below} == {"FINISHED"}
    for title, epochs in curves(run).items():
        for name in SCALARS:
            history = client.get_metric_history(by_title[title].info.run_id, name)
            found = {point.step: point.value for point in history}
            assert found == {number + 1: epoch[name] for number, epoch in enumerate(epochs)}
    spiking = by_title["dense-snn, seed 0"].data
    assert spiking.metrics["test_accuracy"] == run.results.of("dense-snn")[0].test.accuracy
    assert (spiking.params["contender"], spiking.params["batch_size"]) == ("dense-snn", "20")
    kept = {each.path for each in client.list_artifacts(whole.info.run_id)}
    assert kept == {"figures", "report.html", "results.json"}
    drawn = {f"figures/{path.name}" for path in (run.out / "figures").glob("*.png")}
    assert {each.path for each in client.list_artifacts(whole.info.run_id, "figures")} == drawn


class Failing(Logger):
    """Raises at the first epoch, as a full disk does."""

    def epochs(self, trial, epochs):
        raise OSError("No space left on device")

    def ends(self, folder, figures):
        raise AssertionError("it was told more")


def test_what_is_found_in_the_store_is_logged_whole_whoever_else_fails(
    run, home, unreported, monkeypatch
):
    monkeypatch.setitem(LOGGERS, "failing", Failing)
    told, again = Telling(), home / "again"
    found = compare(SMALL, again, home / "store", told, loggers=["failing", "csv", "tensorboard"])
    assert not found.failed
    assert told.trained == 0
    (failed,) = (line for line in told.said if "--logger" in line)
    assert failed.startswith("--logger failing failed (OSError: No space left on device)")
    for name in ("epochs.csv", "trials.csv"):
        assert (again / "logs" / name).read_text() == (run.out / "logs" / name).read_text()
    # Once more into the same folder: as before, and nothing twice.
    before = sorted(path.parent.name for path in (again / "logs").rglob("*tfevents*"))
    compare(SMALL, again, home / "store", loggers=["csv", "tensorboard"])
    assert sorted(path.parent.name for path in (again / "logs").rglob("*tfevents*")) == before
    assert (again / "logs" / "epochs.csv").read_text() == (
        run.out / "logs" / "epochs.csv"
    ).read_text()


def test_an_interrupted_run_goes_on_and_logs_all_epochs(tmp_path, client, unreported, monkeypatch):
    one = baseline(
        "digits",
        contenders=("small-cnn",),
        hidden=8,
        epochs=3,
        patience=None,
        limit=100,
        device="cpu",
    )
    written = training.write_checkpoint

    def stops(path, state):
        written(path, state)
        if len(state["training"]["history"]) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "write_checkpoint", stops)
        with pytest.raises(KeyboardInterrupt):
            compare(one, tmp_path / "run", tmp_path / "store", loggers=["csv", "mlflow"])
    gc.collect()
    experiment = client.get_experiment_by_name("spikeduel").experiment_id
    folder = f"tags.`spikeduel.folder` = '{tmp_path / 'run'}'"
    assert [each.info.status for each in client.search_runs([experiment], folder)] == ["KILLED"]
    # Only logs are there, and what trained goes on into the same folder.
    assert [path.name for path in (tmp_path / "run").iterdir()] == [runs.LOGS]
    told = Telling()
    compare(one, tmp_path / "run", tmp_path / "store", told, loggers=["csv"])
    assert told.trained == 1
    assert [row["epoch"] for row in table(tmp_path / "run" / "logs" / "epochs.csv")] == [
        "1",
        "2",
        "3",
    ]


def test_a_server_that_is_away_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    told = Telling()
    logged = Logged(told, ["mlflow"])
    logged.begins(tmp_path)
    logged.curve("a, seed 0", [dict.fromkeys(SCALARS, 0.5)])
    assert [line.partition(":")[0] for line in told.said] == [
        "--logger mlflow failed (MlflowException"
    ]


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")]
)
def test_a_package_that_is_missing_is_said_before_anything_runs(
    name, module, monkeypatch, tmp_path
):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'spikeduel\[{name}\]'"):
        compare(SMALL, tmp_path / "run", tmp_path / "store", loggers=[name])
    assert not (tmp_path / "run").exists()


def test_an_unknown_logger_is_refused():
    with pytest.raises(InputError, match="unknown logger 'tensorbord': did you mean 'tensorboard'"):
        Logged(Progress(), ["tensorbord"])


def test_a_long_error_is_cut_at_a_word(monkeypatch, tmp_path):
    class Long(Logger):
        def begins(self, folder):
            raise OSError("retries exceeded " * 20)

    monkeypatch.setitem(LOGGERS, "long", Long)
    told = Telling()
    Logged(told, ["long"]).begins(tmp_path)
    reason = told.said[0].partition("OSError: ")[2].partition(")")[0]
    assert set(reason.split()) == {"retries", "exceeded", "…"}


def test_whoever_shows_progress_is_still_told():
    told = Telling()
    logged = Logged(told, ["csv"])
    assert list(logged.track([1, 2], "items")) == [1, 2]
    logged.say("said")
    logged.detail("a detail")
    logged.epoch("a", [0.5], 2)
    with logged.trials({"a": 1.0}):
        logged.finished("a", "done")
    assert told.lines == ["said", "a detail", "  a: done"]
    assert told.epochs == [("a", [0.5], 2)]


def test_long_curves_go_to_mlflow_in_few_requests(client, tmp_path):
    logged = Logged(Progress(), ["mlflow"])
    logged.begins(tmp_path / "long")
    curve = [dict.fromkeys(SCALARS, float(number)) for number in range(1, 411)]
    logged.curve("a, seed 0", curve[:400])
    logged.curve("a, seed 0", curve)
    (found,) = client.search_runs(
        [client.get_experiment_by_name("spikeduel").experiment_id],
        "tags.`mlflow.runName` = 'a, seed 0'",
    )
    history = client.get_metric_history(found.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in history] == [
        (number, number) for number in range(1, 411)
    ]
