"""Progress of long work: nothing for programs, one view and lines for people."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from rich.console import Group

Item = TypeVar("Item")
Track = Callable[[Iterable[Any], str, int | None], Iterable[Any]]
"""Shows the progress of a long loop: (items, description, total) -> items; `Progress.track`."""
BARS = "▁▂▃▄▅▆▇█"
MOST_SHOWN = 16
"""Number of trials shown with a line each while they train."""


class Progress:
    """Show nothing. Subclasses override an event's method, or `event` for all."""

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterable[Item]:
        """Return `items`, shown as a bar while taken."""
        return items

    def say(self, text: str) -> None:
        """Show a line of news."""
        self.event("say", text)

    def detail(self, text: str) -> None:
        """Show a line with `--verbose`."""
        self.event("detail", text)

    @contextmanager
    def trials(self, seconds: Mapping[str, float | None], at_once: int = 1) -> Iterator[None]:
        """Show trials while they train, `at_once` at a time.

        `seconds`: expected training times by title, None if unknown.
        """
        yield

    def epoch(self, title: str, epochs: Sequence[Mapping[str, float]], num_epochs: int) -> None:
        """Show a finished epoch, of at most `num_epochs`.

        `epochs`: numbers by name ("val_accuracy") for each epoch so far.
        """
        self.event("epoch", title, epochs, num_epochs)

    def finished(self, title: str, text: str) -> None:
        """Show how a trial went; `text` is empty if it was found."""
        self.event("finished", title, text)

    def event(self, name: str, *arguments: Any) -> None:
        """Take an event: a method's name, and its arguments."""


class Relayed(Progress):
    """Send each event to `send`: a method's name, and its arguments."""

    def __init__(self, send: Callable[[str, tuple[Any, ...]], None]) -> None:
        self.send = send

    def event(self, name: str, *arguments: Any) -> None:
        self.send(name, arguments)


class Forwarding(Progress):
    """Forward everything to `inner`."""

    def __init__(self, inner: Progress) -> None:
        self.inner = inner

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterable[Item]:
        return self.inner.track(items, description, total)

    @contextmanager
    def trials(self, seconds: Mapping[str, float | None], at_once: int = 1) -> Iterator[None]:
        with self.inner.trials(seconds, at_once):
            yield

    def event(self, name: str, *arguments: Any) -> None:
        getattr(self.inner, name)(*arguments)


class Labelled(Forwarding):
    """Forward to `inner` with a label before lines and titles."""

    def __init__(self, inner: Progress, label: str) -> None:
        super().__init__(inner)
        self.label = label

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterable[Item]:
        return self.inner.track(items, f"  {self.label}: {description.strip()}", total)

    @contextmanager
    def trials(self, seconds: Mapping[str, float | None], at_once: int = 1) -> Iterator[None]:
        """Show nothing: the labeller shows all trials."""
        yield

    def event(self, name: str, *arguments: Any) -> None:
        text, *others = arguments
        labelled = f"{self.label}: {text.strip().removeprefix(f'{self.label}: ')}"
        indent = "  " if name in ("say", "detail") else ""
        super().event(name, indent + labelled, *others)


class Once(Forwarding):
    """Forward to `inner`, but no line twice."""

    def __init__(self, inner: Progress) -> None:
        super().__init__(inner)
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            super().say(text)


class _Running(NamedTuple):
    since: float
    accuracies: Sequence[float]
    num_epochs: int


class TerminalProgress(Progress):
    """Print lines, and below them bars that vanish when done.

    Without a terminal, lines only; `verbose` prints details, too.
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
        self.console.print(text, markup=False, soft_wrap=not self.console.is_terminal)

    def detail(self, text: str) -> None:
        if self.verbose:
            self.say(text)

    @contextmanager
    def trials(self, seconds: Mapping[str, float | None], at_once: int = 1) -> Iterator[None]:
        self._left, self._number, self._at_once = dict(seconds), len(seconds), at_once
        with self._shown():
            try:
                yield
            finally:
                self._left, self._number, self._running = {}, 0, {}

    def epoch(self, title: str, epochs: Sequence[Mapping[str, float]], num_epochs: int) -> None:
        since = self._running[title].since if title in self._running else time.monotonic()
        accuracies = [epoch["val_accuracy"] for epoch in epochs]
        self._running[title] = _Running(since, accuracies, num_epochs)

    def finished(self, title: str, text: str) -> None:
        ran = self._running.pop(title, None)
        curve = f"  {sparkline(ran.accuracies)}" if self.console.is_terminal and ran else ""
        if text:
            self.say(f"  {title}: {text}{curve}")
        self._left.pop(title, None)

    @contextmanager
    def _shown(self) -> Iterator[None]:
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
        from rich.table import Table

        table = Table.grid(padding=(0, 2, 0, 0))
        for title, ran in list(self._running.items())[:MOST_SHOWN]:
            epochs = f"epoch {len(ran.accuracies)}/{ran.num_epochs}"
            accuracy = f"{100 * ran.accuracies[-1]:.1f} % on validation"
            table.add_row(f"  {title}", epochs, sparkline(ran.accuracies), accuracy)
        if (more := len(self._running) - MOST_SHOWN) > 0:
            table.add_row(f"  and {more} more")
        if not self._number:
            return Group(table, self._bars)
        trained = f"{self._number - len(self._left):,} of {self._number:,} trials trained"
        return Group(table, f"  {trained}{self._time_left()}", self._bars)

    def _time_left(self) -> str:
        left = {title: seconds for title, seconds in self._left.items() if seconds is not None}
        if not left or len(left) < len(self._left):
            return ""
        for title, ran in list(self._running.items()):
            left[title] = max(0.0, left.get(title, 0.0) - (time.monotonic() - ran.since))
        seconds = max(sum(left.values()) / self._at_once, *left.values())
        amount = f"{round(seconds / 60)} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f", about {amount} left"


def sparkline(values: Sequence[float], most: int = 24) -> str:
    """Return the last `most` of `values` as bars, such as "▁▅▇█" for a rise."""
    shown = list(values)[-most:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    if low == high:
        return BARS[-1] * len(shown)
    return "".join(BARS[round((len(BARS) - 1) * (value - low) / (high - low))] for value in shown)
