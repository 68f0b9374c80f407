"""What loggers are told of a run, and when: curves as it trains; then settings, results and
figures.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spikeduel.reporting.loggers import Logger, Scalars, Value, made
from spikeduel.results.comparison import Comparison
from spikeduel.results.rankings import with_memory
from spikeduel.results.trials import ControlResult, Trial
from spikeduel.system.errors import visible
from spikeduel.system.progress import Item, Progress
from spikeduel.trials.store import Store, TrialRecord


class Logged(Progress):
    """Somebody's progress, of which those of `LOGGERS` that `names` lists are told, too.

    One that fails is told nothing more, and that is said; what trains does not notice. Raises
    `InputError` for an unknown name, `MissingExtra` for one whose package is not installed.
    """

    def __init__(self, inner: Progress, names: Iterable[str] = ()) -> None:
        self.inner = inner
        self._made = {name: made(name) for name in dict.fromkeys(names)}
        self._told: dict[str, Logger] = {}
        self._logged: dict[str, int] = {}

    def begins(self, folder: Path) -> None:
        """A run that goes to `folder` begins."""
        self._told, self._logged = dict(self._made), {}
        self._tell("begins", folder)

    def ends(self, comparison: Comparison, store: Store) -> None:
        """The run has ended; `store` has its trials."""
        for title, named, entry in _entries(comparison.results.trials):
            record = store.record(entry.key) if entry.key else None
            if record is not None:
                # Of a trial that another duel trained, nothing was told here.
                self._log(title, record.curve)
            self._tell("result", title, _settings(named, record), _results(entry))
        figures = sorted((comparison.out / "figures").glob("*.png"))
        self._tell("ends", comparison.out, figures)

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterable[Item]:
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

    def curve(self, title: str, epochs: Sequence[Scalars]) -> None:
        """See `Progress.curve`."""
        self.inner.curve(title, epochs)
        self._log(title, epochs)

    def _log(self, title: str, epochs: Sequence[Scalars]) -> None:
        """Logs those of `epochs` that are not logged yet."""
        known = self._logged.get(title, 0)
        if len(epochs) > known:
            self._tell("epochs", title, dict(enumerate(epochs[known:], known + 1)))
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
            except (
                Exception
            ) as error:  # a full disk, a server that is away: whatever it is, training goes on
                del self._told[name]
                reason = textwrap.shorten(
                    visible(str(error).partition("\n")[0]), 160, placeholder=" …"
                )
                self.say(
                    f"--logger {name} failed ({type(error).__name__}: {reason}). This run is "
                    f"logged there no further; "
                    "nothing else is lost. The same command logs all of it again, and trains "
                    "nothing again."
                )


def _entries(
    trials: Sequence[Trial],
) -> Iterator[tuple[str, dict[str, Value | None], Trial | ControlResult]]:
    """Each trial, and each control of it: the title by which progress knows it, and what it is."""
    for each in trials:
        named: dict[str, Value | None] = {
            "contender": each.contender,
            "seed": each.seed,
            "fold": each.fold,
        }
        yield each.title, {**named, "control": None}, each
        for control in each.controls.values():
            yield (
                f"control, {control.title}: {each.title}",
                {**named, "control": control.title},
                control,
            )


def _settings(named: Mapping[str, Value | None], record: TrialRecord | None) -> dict[str, Value]:
    """What a trial is, with all that its numbers depend on beside its data, by the names of
    settings; without what is unset. A control that trained nothing has no `record`.
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
    """What it got, as far as that was measured: none of the names of `SCALARS`, or it would be a
    point of a curve.
    """
    if isinstance(entry, ControlResult):
        found: dict[str, float | None] = {
            "test_accuracy": entry.accuracy,
            "best_val_accuracy": entry.val_accuracy,
        }
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
