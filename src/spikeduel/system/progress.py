"""Progress of long work: nothing for programs, one view and lines for people."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

Item = TypeVar("Item")
BARS = "▁▂▃▄▅▆▇█"
MOST_SHOWN = 16
"""Trials that train at the same time and have a line each."""


class Progress:
    """Shows nothing; the base of what shows something."""

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterable[Item]:
        """`items`, unchanged, shown as a bar while they are taken."""
        return items

    def say(self, text: str) -> None:
        """One line of news."""

    def detail(self, text: str) -> None:
        """One line for who wants every one (`--verbose`)."""

    @contextmanager
    def trials(self, seconds: Mapping[str, float | None], at_once: int = 1) -> Iterator[None]:
        """Within, trials are trained: those of these titles, for so many seconds each (None: not
        known), so many of them at once.
        """
        yield

    def epoch(self, title: str, accuracies: Sequence[float], num_epochs: int) -> None:
        """A trial has trained another epoch: validation accuracy after each so far, of `num_epochs`
        at most.
        """

    def curve(self, title: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """All that is known of each epoch so far of a trial that trains, or was found: numbers by
        their names.
        """

    def finished(self, title: str, text: str) -> None:
        """A trial is finished; `text` says how that went, empty where it was there before."""


class Labelled(Progress):
    """Somebody's progress, each line begun with a label."""

    def __init__(self, inner: Progress, label: str) -> None:
        self.inner, self.label = inner, label

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterable[Item]:
        """See `Progress.track`."""
        return self.inner.track(items, f"  {self.label}: {description.strip()}", total)

    def say(self, text: str) -> None:
        """See `Progress.say`."""
        self.inner.say(f"  {self.label}: {text.strip().removeprefix(f'{self.label}: ')}")

    def detail(self, text: str) -> None:
        """See `Progress.detail`."""
        self.inner.detail(f"  {self.label}: {text.strip()}")

    def epoch(self, title: str, accuracies: Sequence[float], num_epochs: int) -> None:
        """See `Progress.epoch`."""
        self.inner.epoch(f"{self.label}: {title}", accuracies, num_epochs)

    def curve(self, title: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """See `Progress.curve`."""
        self.inner.curve(f"{self.label}: {title}", epochs)

    def finished(self, title: str, text: str) -> None:
        """See `Progress.finished`."""
        self.inner.finished(f"{self.label}: {title}", text)


class Once(Progress):
    """Somebody's progress, to whom nothing is said twice."""

    def __init__(self, inner: Progress) -> None:
        self.inner = inner
        self._said: set[str] = set()

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterable[Item]:
        """See `Progress.track`."""
        return self.inner.track(items, description, total)

    def say(self, text: str) -> None:
        """See `Progress.say`."""
        if text not in self._said:
            self._said.add(text)
            self.inner.say(text)

    def detail(self, text: str) -> None:
        """See `Progress.detail`."""
        self.inner.detail(text)


class Relayed(Progress):
    """What is told here is told elsewhere: `send` is given the name of a method of `Progress` and
    its arguments.
    """

    def __init__(self, send: Callable[[str, tuple[Any, ...]], None]) -> None:
        self.send = send

    def say(self, text: str) -> None:
        """See `Progress.say`."""
        self.send("say", (text,))

    def detail(self, text: str) -> None:
        """See `Progress.detail`."""
        self.send("detail", (text,))

    def epoch(self, title: str, accuracies: Sequence[float], num_epochs: int) -> None:
        """See `Progress.epoch`."""
        self.send("epoch", (title, list(accuracies), num_epochs))

    def curve(self, title: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """See `Progress.curve`."""
        self.send("curve", (title, [dict(epoch) for epoch in epochs]))

    def finished(self, title: str, text: str) -> None:
        """See `Progress.finished`."""
        self.send("finished", (title, text))


@dataclass(frozen=True)
class _Running:
    """A trial that trains: since when, its validation accuracies so far, and at most how many
    epochs.
    """

    since: float
    accuracies: Sequence[float]
    num_epochs: int


class TerminalProgress(Progress):
    """Lines that stay, on standard error or output through rich; below them what goes on, which
    vanishes when done.

    Where the stream is no terminal, only the lines are written. With `verbose`, the details are,
    too.
    """

    def __init__(self, stderr: bool = False, verbose: bool = False) -> None:
        from rich import progress as rich
        from rich.console import Console

        self.console, self.verbose = Console(stderr=stderr, highlight=False), verbose
        columns = [
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
        ]
        columns += [rich.TimeElapsedColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn()]
        self._bars = rich.Progress(*columns)
        self._depth = 0
        self._left: dict[str, float | None] = {}
        self._number, self._at_once = 0, 1
        self._running: dict[str, _Running] = {}

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterator[Item]:
        """See `Progress.track`."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        with self._shown():
            task = self._bars.add_task(description, total=total)
            try:
                for item in items:
                    yield item
                    self._bars.advance(task)
            finally:
                self._bars.remove_task(task)

    def say(self, text: str) -> None:
        """See `Progress.say`."""
        self.console.print(text, markup=False, soft_wrap=not self.console.is_terminal)

    def detail(self, text: str) -> None:
        """See `Progress.detail`."""
        if self.verbose:
            self.say(text)

    @contextmanager
    def trials(self, seconds: Mapping[str, float | None], at_once: int = 1) -> Iterator[None]:
        """See `Progress.trials`."""
        self._left, self._number, self._at_once = dict(seconds), len(seconds), at_once
        with self._shown():
            try:
                yield
            finally:
                self._left, self._number, self._running = {}, 0, {}

    def epoch(self, title: str, accuracies: Sequence[float], num_epochs: int) -> None:
        """See `Progress.epoch`."""
        since = self._running[title].since if title in self._running else time.monotonic()
        self._running[title] = _Running(since, accuracies, num_epochs)

    def finished(self, title: str, text: str) -> None:
        """See `Progress.finished`."""
        ran = self._running.pop(title, None)
        curve = f"  {sparkline(ran.accuracies)}" if self.console.is_terminal and ran else ""
        if text:
            self.say(f"  {title}: {text}{curve}")
        self._left.pop(title, None)

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """Within, the view is on the terminal; a view within another one is part of it."""
        if self._depth or not self.console.is_terminal:
            yield
            return
        from rich.live import Live

        self._depth = 1
        try:
            with Live(
                get_renderable=self._view,
                console=self.console,
                transient=True,
                refresh_per_second=5,
            ):
                yield
        finally:
            self._depth = 0

    def _view(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        lines = []
        if self._number:
            trained = f"{self._number - len(self._left):,} of {self._number:,} trials trained"
            lines.append(Text(f"  {trained}{self._time_left()}"))
        return Group(self._curves(), *lines, self._bars)

    def _curves(self) -> "Table":
        """A line for each trial that trains now: its epochs, and its validation accuracy after
        them.
        """
        from rich.table import Table

        table = Table.grid(padding=(0, 2, 0, 0))
        for title, ran in list(self._running.items())[:MOST_SHOWN]:
            epochs = f"epoch {len(ran.accuracies)}/{ran.num_epochs}"
            accuracy = f"{100 * ran.accuracies[-1]:.1f} % on validation"
            table.add_row(f"  {title}", epochs, sparkline(ran.accuracies), accuracy)
        if (more := len(self._running) - MOST_SHOWN) > 0:
            table.add_row(f"  and {more} more")
        return table

    def _time_left(self) -> str:
        """Of those that are left, the running ones counted from their first epochs on: no less than
        the longest.
        """
        if not self._left or None in self._left.values():
            return ""
        left = {title: each or 0.0 for title, each in self._left.items()}
        for title, ran in list(self._running.items()):
            left[title] = max(0.0, left.get(title, 0.0) - (time.monotonic() - ran.since))
        seconds = max(sum(left.values()) / self._at_once, *left.values())
        return (
            f", about {max(1, round(seconds / 60))} min left"
            if seconds >= 90
            else f", about {seconds:.0f} s left"
        )


def sparkline(values: Sequence[float], most: int = 24) -> str:
    """`values` as a line of bars from the lowest to the highest, the last `most` of them:
    "▁▅▇█".
    """
    shown = list(values)[-most:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    if low == high:
        return BARS[-1] * len(shown)
    return "".join(BARS[round((len(BARS) - 1) * (value - low) / (high - low))] for value in shown)
