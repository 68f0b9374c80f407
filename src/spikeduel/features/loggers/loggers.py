"""Log a run as it trains, then settings and results."""

import csv
import logging
import os
import re
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from spikeduel.results.means import joules_of, one_image_ms
from spikeduel.results.trials import Trial
from spikeduel.sentences.comparison import Comparison
from spikeduel.system import files, typed
from spikeduel.system.errors import MissingExtra, unknown, visible
from spikeduel.system.progress import Forwarding, Progress
from spikeduel.training.run_folder import LOGS
from spikeduel.training.store import Store
from spikeduel.training.training import curve

SCALARS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "epoch_seconds")
EPOCHS_A_REQUEST = 200
"""MLflow takes 1,000 metrics in one request."""
Values = Mapping[str, Any]


class CsvLogger:
    """logs/epochs.csv in a run's `folder`: a row for each epoch of each trial."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOGS / "epochs.csv"
        files.write_text(self.path, ",".join(("trial", "epoch", *SCALARS)) + "\n")

    def epochs(self, trial: str, epochs: Mapping[int, Values]) -> None:
        with self.path.open("a", encoding="utf-8", newline="") as file:
            rows = [(trial, k, *map(values.get, SCALARS)) for k, values in epochs.items()]
            csv.writer(file, lineterminator="\n").writerows(rows)

    def result(self, trial: str, settings: Values, results: Values) -> None:
        """Log a finished trial."""

    def end(self) -> None:
        """Finish the logs of the run."""


class TensorBoardLogger(CsvLogger):
    """Event files in logs/tensorboard, a folder for each trial."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.writers = folder / LOGS / "tensorboard", dict[str, Any]()
        with suppress(FileNotFoundError):
            files.remove(self.folder)  # TensorBoard would draw the epochs of both runs

    def epochs(self, trial: str, epochs: Mapping[int, Values]) -> None:
        for number, values in epochs.items():
            for name, value in values.items():
                self._writer(trial).add_scalar(f"epoch/{name}", value, number)
        self._writer(trial).flush()

    def result(self, trial: str, settings: Values, results: Values) -> None:
        named = {f"result/{name}": value for name, value in results.items()}
        self._writer(trial).add_hparams(settings, named, run_name=".")

    def end(self) -> None:
        for writer in self.writers.values():
            writer.close()

    def _writer(self, trial: str) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if trial not in self.writers:
            self.writers[trial] = SummaryWriter(str(self.folder / re.sub(r"[^\w.]+", "-", trial)))
        return self.writers[trial]


class MLflowLogger(CsvLogger):
    """A run of MLflow and a child run for each trial; MLflow's environment variables say where."""

    def __init__(self, folder: Path) -> None:
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self.client, self.folder, self.runs = MlflowClient(), folder, dict[str, str]()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "spikeduel")
        if experiment := self.client.get_experiment_by_name(name):
            self.experiment = experiment.experiment_id
        else:
            self.experiment = self.client.create_experiment(name)
        self.tags = {"spikeduel.folder": str(folder.absolute())}
        self.tags = {"mlflow.parentRunId": self._run(folder.name)}

    def epochs(self, trial: str, epochs: Mapping[int, Values]) -> None:
        from mlflow.entities import Metric

        now, numbers = int(1000 * time.time()), list(epochs)
        for start in range(0, len(numbers), EPOCHS_A_REQUEST):
            metrics = [
                Metric(name, value, now, number)
                for number in numbers[start : start + EPOCHS_A_REQUEST]
                for name, value in epochs[number].items()
            ]
            self.client.log_batch(self._run(trial), metrics)

    def result(self, trial: str, settings: Values, results: Values) -> None:
        for name, value in settings.items():
            self.client.log_param(self._run(trial), name, value)
        self.epochs(trial, {0: results})

    def end(self) -> None:
        for name in ("report.html", "results.json"):
            self.client.log_artifact(self._run(self.folder.name), str(self.folder / name))
        for run in self.runs.values():
            self.client.set_terminated(run)

    def _run(self, name: str) -> str:
        if name not in self.runs:
            run = self.client.create_run(self.experiment, tags=self.tags, run_name=name)
            self.runs[name] = run.info.run_id
        return self.runs[name]


LOGGERS = {
    "csv": (CsvLogger, "csv"),
    "tensorboard": (TensorBoardLogger, "torch.utils.tensorboard"),
    "mlflow": (MLflowLogger, "mlflow"),
}
"""Loggers by name, with the module that they need."""


class Logged(Forwarding):
    """Progress that also logs every run.

    Parameters
    ----------
    inner : Progress
        Where to show progress, too.
    names : iterable of {"tensorboard", "mlflow", "csv"}
        Loggers.

    Raises
    ------
    InputError
        For an unknown name.
    MissingExtra
        If a logger is not installed.

    Examples
    --------
    >>> import spikeduel as sd
    >>> progress = sd.Logged(sd.Progress(), ["csv"])  # doctest: +SKIP
    """

    def __init__(self, inner: Progress, names: Iterable[str]) -> None:
        super().__init__(inner)
        self._names = list(names)
        # MLflow asks an absent server for four minutes by default.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for name in self._names:
            if name not in LOGGERS:
                raise unknown("logger", name, LOGGERS)
            try:
                import_module(LOGGERS[name][1])
            except ImportError:
                raise MissingExtra(name, name) from None

    def of_run(self, folder: Path, label: str = "") -> "RunLogs":
        return RunLogs(self.inner.of_run(folder, label), self._names, folder)


class RunLogs(Forwarding):
    """Forward the progress of one run, and log it; a logger that fails receives nothing more."""

    def __init__(self, inner: Progress, names: Iterable[str], folder: Path) -> None:
        super().__init__(inner)
        self._loggers, self._logged = dict[str, Any](), dict[str, int]()
        for name in names:
            with self._costs_nothing_else(name):
                self._loggers[name] = LOGGERS[name][0](folder)

    def ends(self, comparison: Comparison, store: Store) -> None:
        super().ends(comparison, store)
        for trial in comparison.results.trials:
            settings: dict[str, Any] = {"contender": trial.contender, "seed": trial.seed}
            if trial.key and (record := store.record(trial.key)):
                history = typed.plain(record.history)  # if another duel trained it
                self._log_curve(trial.title, curve(history, record.epoch_seconds))
                settings |= record.settings.get("network", {})
                settings |= record.settings.get("training", {})
            plain = {
                name: value if isinstance(value, str | float | int) else str(value)
                for name, value in settings.items()
                if value is not None
            }
            self._log("result", trial.title, plain, _results(trial))
        self._log("end")

    def epoch(self, title: str, epochs: Sequence[Values], num_epochs: int) -> None:
        super().epoch(title, epochs, num_epochs)
        self._log_curve(title, epochs)

    def _log_curve(self, title: str, epochs: Sequence[Values]) -> None:
        num_logged = self._logged.get(title, 0)
        if len(epochs) > num_logged:
            self._logged[title] = len(epochs)
            self._log("epochs", title, dict(enumerate(epochs[num_logged:], num_logged + 1)))

    def _log(self, method: str, *arguments: Any) -> None:
        for name, logger in list(self._loggers.items()):
            with self._costs_nothing_else(name):
                getattr(logger, method)(*arguments)

    @contextmanager
    def _costs_nothing_else(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a full disk, a server that is away
            self._loggers.pop(name, None)
            line = visible(str(error).partition("\n")[0])
            reason = textwrap.shorten(line, 160, placeholder=" …")
            self.say(
                f"--logger {name} failed ({type(error).__name__}: {reason}) and logs no more of "
                "this run; nothing else is lost. The same command logs all of it again, and "
                "trains nothing again."
            )


def _results(trial: Trial) -> Values:
    """Return a trial's measures; no name is one of `SCALARS`."""
    energy = joules_of(trial, memory="on_chip")
    results: dict[str, float | None] = {
        "latency_ms": one_image_ms([trial]),
        "energy_joules_low": energy.low if energy else None,
        "energy_joules_high": energy.high if energy else None,
    }
    if trial.test and trial.validation:
        results |= {"test_accuracy": trial.test.accuracy, "test_loss": trial.test.loss}
        results["best_val_accuracy"] = trial.validation.accuracy
    return {name: value for name, value in results.items() if value is not None}
