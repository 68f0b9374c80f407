"""A run in the programs in which people keep theirs: curves as it trains; then settings, results and figures.

A logger that fails costs a run nothing but the rest of its log: see `Logged`.
"""

import csv
import io
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeduel.reporting.style import file_name
from spikeduel.results.comparison import Comparison
from spikeduel.results.rankings import with_memory
from spikeduel.results.trials import ControlResult, Trial
from spikeduel.system import __version__, files
from spikeduel.system.errors import MissingExtra, unknown, visible
from spikeduel.system.progress import Item, Progress
from spikeduel.trials.runs import LOGS
from spikeduel.trials.store import Store, TrialRecord

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SCALARS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "epoch_seconds")
"""What is logged of each epoch."""
Value = str | float | int | bool


class Logger:
    """Somewhere a run is logged; what one leaves out is not logged there. It may raise anything.

    Raises `MissingExtra` where it is made without what it needs.
    """

    def begins(self, folder: Path) -> None:
        """A run begins that goes to `folder`; what was logged of an earlier one there is of no use any more."""

    def epoch(self, trial: str, number: int, scalars: Mapping[str, float]) -> None:
        """What a trial had after an epoch, the first being 1: those of `SCALARS` that are known."""

    def trained(self, trial: str) -> None:
        """No more epochs of a trial follow."""

    def result(self, trial: str, settings: Mapping[str, Value], results: Mapping[str, float]) -> None:
        """What a trial, or a control, was and got; no results where it failed."""

    def ends(self, folder: Path, figures: Sequence[Path]) -> None:
        """The run has ended, all that belongs to it lies in `folder`, its figures (PNG) among them."""


class Table(Logger):
    """Two tables in the run's folder: logs/epochs.csv, a row as soon as an epoch is over, and logs/trials.csv."""

    def begins(self, folder: Path) -> None:
        """See `Logger.begins`."""
        self._folder, self._trials = folder / LOGS, list[dict[str, Value]]()
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "trials.csv").unlink(missing_ok=True)
        files.write_text(self._folder / "epochs.csv", _row("trial", "epoch", *SCALARS))

    def epoch(self, trial: str, number: int, scalars: Mapping[str, float]) -> None:
        """See `Logger.epoch`."""
        with (self._folder / "epochs.csv").open("a", encoding="utf-8", newline="") as file:
            file.write(_row(trial, number, *(scalars.get(name, "") for name in SCALARS)))

    def result(self, trial: str, settings: Mapping[str, Value], results: Mapping[str, float]) -> None:
        """See `Logger.result`."""
        self._trials.append({"trial": trial, **settings, **results})

    def ends(self, folder: Path, figures: Sequence[Path]) -> None:
        """See `Logger.ends`."""
        names = list(dict.fromkeys(name for each in self._trials for name in each))
        rows = [_row(*names), *(_row(*(each.get(name, "") for name in names)) for each in self._trials)]
        files.write_text(self._folder / "trials.csv", "".join(rows))


def _row(*values: Value) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(values)
    return written.getvalue()


class TensorBoard(Logger):
    """Event files in the run's folder, below logs/tensorboard, a folder a trial. Tags are in groups, as it shows them:
    epoch/, result/ and figures/.
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

    def epoch(self, trial: str, number: int, scalars: Mapping[str, float]) -> None:
        """See `Logger.epoch`."""
        writer = self._writer(trial)
        for name, value in scalars.items():
            writer.add_scalar(f"epoch/{name}", value, number)
        writer.flush()

    def trained(self, trial: str) -> None:
        """See `Logger.trained`."""
        if trial in self._writers:
            self._writers.pop(trial).close()

    def result(self, trial: str, settings: Mapping[str, Value], results: Mapping[str, float]) -> None:
        """See `Logger.result`."""
        writer, found = self._writer(trial), {f"result/{name}": value for name, value in results.items()}
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
                    writer.add_image(f"figures/{path.stem}", np.asarray(picture.convert("RGB")), dataformats="HWC")

    def _writer(self, trial: str) -> "SummaryWriter":
        if trial not in self._writers:
            self._writers[trial] = self._make(str(self._folder / file_name(trial)))
        return self._writers[trial]


class MLflow(Logger):
    """A run of MLflow, and one below it for each trial, where its environment variables say: MLFLOW_TRACKING_URI,
    MLFLOW_EXPERIMENT_NAME (spikeduel) and those by which one is let in.
    """

    def __init__(self) -> None:
        # A server that is away would be asked for four minutes. And MLflow tells its makers of each use.
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

    def epoch(self, trial: str, number: int, scalars: Mapping[str, float]) -> None:
        """See `Logger.epoch`."""
        self._client.log_batch(self._run_of(trial), self._metrics(scalars, number))

    def result(self, trial: str, settings: Mapping[str, Value], results: Mapping[str, float]) -> None:
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

    def _metrics(self, values: Mapping[str, float], step: int) -> list[Any]:
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


LOGGERS: dict[str, Callable[[], Logger]] = {"tensorboard": TensorBoard, "mlflow": MLflow, "csv": Table}


class Logged(Progress):
    """Somebody's progress, of which those of `LOGGERS` that `names` lists are told, too.

    One that fails is told nothing more, and that is said; what trains does not notice. Raises `InputError` for an
    unknown name, `MissingExtra` for one whose package is not installed.
    """

    def __init__(self, inner: Progress, names: Iterable[str] = ()) -> None:
        self.inner = inner
        self._made = {name: _made(name) for name in dict.fromkeys(names)}
        self._told: dict[str, Logger] = {}
        self._logged: dict[str, int] = {}

    def begins(self, folder: Path) -> None:
        """A run that goes to `folder` begins."""
        self._told, self._logged = dict(self._made), {}
        self._tell("begins", folder)

    def ends(self, comparison: Comparison, store: Store) -> None:
        """The run has ended; `store` has its trials."""
        for title, named, entry in _entries(comparison.results.trials):
            settings = _settings(named, store.record(entry.key) if entry.key else None)
            self._tell("result", title, settings, _results(entry))
        figures = sorted((comparison.out / "figures").glob("*.png"))
        self._tell("ends", comparison.out, figures)

    def track(self, items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
        """See `Progress.track`."""
        return self.inner.track(items, description, total)

    def say(self, text: str) -> None:
        """See `Progress.say`."""
        self.inner.say(text)

    def detail(self, text: str) -> None:
        """See `Progress.detail`."""
        self.inner.detail(text)

    @contextmanager
    def trials(self, seconds: Mapping[str, float | None], at_once: int = 1) -> Iterator[None]:
        """See `Progress.trials`."""
        with self.inner.trials(seconds, at_once):
            yield

    def epoch(self, title: str, accuracies: Sequence[float], num_epochs: int) -> None:
        """See `Progress.epoch`."""
        self.inner.epoch(title, accuracies, num_epochs)

    def curve(self, title: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """See `Progress.curve`."""
        self.inner.curve(title, epochs)
        for number in range(self._logged.get(title, 0), len(epochs)):
            self._tell("epoch", title, number + 1, epochs[number])
        self._logged[title] = len(epochs)

    def finished(self, title: str, text: str) -> None:
        """See `Progress.finished`."""
        self.inner.finished(title, text)
        self._tell("trained", title)

    def _tell(self, event: str, *given: Any) -> None:
        """Calls the method `event` of all that have not failed."""
        for name, logger in list(self._told.items()):
            try:
                getattr(logger, event)(*given)
            except Exception as error:  # a full disk, a server that is away: whatever it is, training goes on
                del self._told[name]
                reason = visible(str(error).partition("\n")[0])[:160]
                self.say(
                    f"--logger {name} failed ({type(error).__name__}: {reason}). This run is logged there no further; "
                    "nothing else is lost. The same command logs all of it again, and trains nothing again."
                )


def _made(name: str) -> Logger:
    if name not in LOGGERS:
        raise unknown("logger", name, LOGGERS)
    return LOGGERS[name]()


def _entries(trials: Sequence[Trial]) -> Iterator[tuple[str, dict[str, Value | None], Trial | ControlResult]]:
    """Each trial, and each control of it: the title by which progress knows it, and what it is."""
    for each in trials:
        named: dict[str, Value | None] = {"contender": each.contender, "seed": each.seed, "fold": each.fold}
        yield each.title, {**named, "control": None}, each
        for control in each.controls.values():
            yield f"control, {control.title}: {each.title}", {**named, "control": control.title}, control


def _settings(named: Mapping[str, Value | None], record: TrialRecord | None) -> dict[str, Value]:
    """What a trial is, with all that its numbers depend on beside its data, by the names of settings; without what is
    unset. A control that trained nothing has no `record`.
    """
    found: dict[str, Any] = dict(named)
    if record is not None:
        own = record.settings
        names = ("family", "encoding", "num_steps", "precision", "device")
        found |= {**{name: own.get(name) for name in names}, "parameters": record.parameters}
        found |= {**own.get("network", {}), **own.get("training", {})}
    return {name: _plain(value) for name, value in found.items() if value is not None}


def _plain(value: Any) -> Value:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, Value) else str(value)


def _results(entry: Trial | ControlResult) -> dict[str, float]:
    """What it got, as far as that was measured: none of the names of `SCALARS`, or it would be a point of a curve."""
    if isinstance(entry, ControlResult):
        found: dict[str, float | None] = {"test_accuracy": entry.accuracy, "best_val_accuracy": entry.val_accuracy}
    else:
        score, test, latency = entry.validation, entry.test, entry.latency
        one = latency.one_image if latency else None
        found = {
            "test_accuracy": test.accuracy if test else None,
            "test_loss": test.loss if test else None,
            "best_val_accuracy": score.accuracy if score else None,
            "latency_ms": one.median_ms if one else None,
        }
    joules = with_memory(entry)
    found |= {"energy_joules_low": joules.low, "energy_joules_high": joules.high} if joules else {}
    found["train_seconds"] = sum(entry.epoch_seconds) if entry.epoch_seconds else None
    return {name: value for name, value in found.items() if value is not None}
