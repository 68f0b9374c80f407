"""Where runs are logged: the programs in which people keep theirs, and tables."""

import csv
import io
import logging
import os
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeduel.reporting.style import file_name
from spikeduel.system import __version__, files
from spikeduel.system.errors import MissingExtra, unknown
from spikeduel.trials.runs import LOGS

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SCALARS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "epoch_seconds")
"""What is logged of each epoch."""
MOST_METRICS = 1000
"""That MLflow takes at once."""
Value = str | float | int | bool
Scalars = Mapping[str, float]


class Logger:
    """Somewhere a run is logged; what one leaves out is not logged there. It may raise anything.

    Raises `MissingExtra` where it is made without what it needs.
    """

    def begins(self, folder: Path) -> None:
        """A run begins that goes to `folder`; what was logged of an earlier one there is of no use
        any more.
        """

    def epochs(self, trial: str, epochs: Mapping[int, Scalars]) -> None:
        """What a trial had after further epochs, by their numbers from 1 on: those of `SCALARS`
        that are known.
        """

    def trained(self, trial: str) -> None:
        """No more epochs of a trial follow."""

    def result(self, trial: str, settings: Mapping[str, Value], results: Scalars) -> None:
        """What a trial, or a control, was and got; no results where it failed."""

    def ends(self, folder: Path, figures: Sequence[Path]) -> None:
        """The run has ended, all that belongs to it lies in `folder`, its figures (PNG) among
        them.
        """


class Table(Logger):
    """Two tables in the run's folder: logs/epochs.csv, a row as soon as an epoch is over, and
    logs/trials.csv.
    """

    def begins(self, folder: Path) -> None:
        """See `Logger.begins`."""
        self._folder, self._trials = folder / LOGS, list[dict[str, Value]]()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "trials.csv").unlink(missing_ok=True)
        files.write_text(self._folder / "epochs.csv", _row("trial", "epoch", *SCALARS))

    def epochs(self, trial: str, epochs: Mapping[int, Scalars]) -> None:
        """See `Logger.epochs`."""
        with (self._folder / "epochs.csv").open("a", encoding="utf-8", newline="") as file:
            for number, scalars in epochs.items():
                file.write(_row(trial, number, *(scalars.get(name, "") for name in SCALARS)))

    def result(self, trial: str, settings: Mapping[str, Value], results: Scalars) -> None:
        """See `Logger.result`."""
        self._trials.append({"trial": trial, **settings, **results})

    def ends(self, folder: Path, figures: Sequence[Path]) -> None:
        """See `Logger.ends`."""
        names = list(dict.fromkeys(name for each in self._trials for name in each))
        rows = [
            _row(*names),
            *(_row(*(each.get(name, "") for name in names)) for each in self._trials),
        ]
        files.write_text(self._folder / "trials.csv", "".join(rows))


def _row(*values: Value) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(values)
    return written.getvalue()


class TensorBoard(Logger):
    """Event files in the run's folder, below logs/tensorboard, a folder a trial. Tags are in
    groups, as it shows them: epoch/, result/ and figures/.
    """

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
            from torch.utils.tensorboard.summary import hparams
        except ImportError:
            raise MissingExtra("tensorboard", "tensorboard") from None
        self._make, self._summarise = SummaryWriter, hparams
        self._writers: dict[str, SummaryWriter] = {}

    def begins(self, folder: Path) -> None:
        """See `Logger.begins`."""
        self._folder = folder / LOGS / "tensorboard"
        # Of two files with the same epochs it would draw both.
        with suppress(FileNotFoundError):
            files.remove(self._folder)

    def epochs(self, trial: str, epochs: Mapping[int, Scalars]) -> None:
        """See `Logger.epochs`."""
        writer = self._writer(trial)
        for number, scalars in epochs.items():
            for name, value in scalars.items():
                writer.add_scalar(f"epoch/{name}", value, number)
        writer.flush()

    def trained(self, trial: str) -> None:
        """See `Logger.trained`."""
        if trial in self._writers:
            self._writers.pop(trial).close()

    def result(self, trial: str, settings: Mapping[str, Value], results: Scalars) -> None:
        """See `Logger.result`."""
        writer, found = (
            self._writer(trial),
            {f"result/{name}": value for name, value in results.items()},
        )
        # `add_hparams` would open a file more.
        for each in self._summarise(dict(settings), found):
            writer._get_file_writer().add_summary(each)
        for name, value in found.items():
            writer.add_scalar(name, value)
        self.trained(trial)

    def ends(self, folder: Path, figures: Sequence[Path]) -> None:
        """See `Logger.ends`."""
        import numpy as np
        from PIL import Image

        with self._make(str(self._folder / "figures")) as writer:
            for path in figures:
                with Image.open(path) as picture:
                    writer.add_image(
                        f"figures/{path.stem}",
                        np.asarray(picture.convert("RGB")),
                        dataformats="HWC",
                    )

    def _writer(self, trial: str) -> "SummaryWriter":
        if trial not in self._writers:
            self._writers[trial] = self._make(str(self._folder / file_name(trial)))
        return self._writers[trial]


class MLflow(Logger):
    """A run of MLflow, and one below it for each trial, where its environment variables say:
    MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME (spikeduel) and those by which one is let in.
    """

    def __init__(self) -> None:
        # A server that is away would be asked for four minutes. And MLflow tells its makers of each
        # use.
        for name, value in (("HTTP_REQUEST_MAX_RETRIES", "1"), ("DISABLE_TELEMETRY", "true")):
            os.environ.setdefault(f"MLFLOW_{name}", value)
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
        except ImportError:
            raise MissingExtra("mlflow", "mlflow") from None
        self._connect, self._metric, self._param = MlflowClient, Metric, Param
        self._open: set[str] = set()

    def begins(self, folder: Path) -> None:
        """See `Logger.begins`. Other runs stay: MLflow keeps them all."""
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._client = client = self._connect()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "spikeduel")
        found = client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else client.create_experiment(name)
        self._runs: dict[str, str] = {}
        self._run = self._begun(folder.name, {"spikeduel.folder": str(folder.absolute())})
        # Whatever ends this process, or the training, leaves no run that seems to go on.
        weakref.finalize(self, _all_ended, client, self._open)

    def epochs(self, trial: str, epochs: Mapping[int, Scalars]) -> None:
        """See `Logger.epochs`."""
        metrics = [
            each for number, scalars in epochs.items() for each in self._metrics(scalars, number)
        ]
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._run_of(trial), metrics[start : start + MOST_METRICS])

    def result(self, trial: str, settings: Mapping[str, Value], results: Scalars) -> None:
        """See `Logger.result`."""
        run = self._run_of(trial)
        params = [self._param(name, str(value)) for name, value in settings.items()]
        self._client.log_batch(run, self._metrics(results, 0), params)
        self._end(run, "FINISHED" if results else "FAILED")

    def ends(self, folder: Path, figures: Sequence[Path]) -> None:
        """See `Logger.ends`."""
        for name in ("report.html", "results.json"):
            self._client.log_artifact(self._run, str(folder / name))
        for path in figures:
            self._client.log_artifact(self._run, str(path), "figures")
        self._end(self._run, "FINISHED")

    def _metrics(self, values: Scalars, step: int) -> list[Any]:
        now = int(1000 * time.time())
        return [self._metric(name, value, now, step) for name, value in values.items()]

    def _run_of(self, trial: str) -> str:
        if trial not in self._runs:
            self._runs[trial] = self._begun(trial, {"mlflow.parentRunId": self._run})
        return self._runs[trial]

    def _begun(self, name: str, tags: Mapping[str, str]) -> str:
        tags = {"mlflow.source.name": "spikeduel", "spikeduel": __version__, **tags}
        run: str = self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id
        self._open.add(run)
        return run

    def _end(self, run: str, status: str) -> None:
        self._client.set_terminated(run, status)
        self._open.discard(run)


def _all_ended(client: Any, runs: set[str]) -> None:
    with suppress(Exception):
        for run in runs:
            client.set_terminated(run, "KILLED")


LOGGERS: dict[str, Callable[[], Logger]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "csv": Table,
}


def made(name: str) -> Logger:
    """The logger of a name of `LOGGERS`. Raises `InputError`, and `MissingExtra` where its package
    is missing.
    """
    if name not in LOGGERS:
        raise unknown("logger", name, LOGGERS)
    return LOGGERS[name]()
