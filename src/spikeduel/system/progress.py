"""Progress of long work: nothing for programs, one view and lines for people."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Group

Item = TypeVar("Item")
BARS = "▁▂▃▄▅▆▇█"


class Progress:
    """Shows nothing; the base of what shows something."""

    def track(self, items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
        """`items`, unchanged, shown as a bar while they are taken."""
        return items

    def say(self, text: str) -> None:
        """One line of news."""

    def detail(self, text: str) -> None:
        """One line for who wants every one (`--verbose`)."""

    @contextmanager
    def trials(self, seconds: Mapping[str, float | None]) -> Iterator[None]:
        """Within, trials are trained: those of these titles, for so many seconds each (None: not known)."""
        yield

    def epoch(self, title: str, accuracies: Sequence[float], num_epochs: int) -> None:
        """A trial has trained another epoch: validation accuracy after each so far, of `num_epochs` at most."""

    def curve(self, title: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """All that is known of each epoch so far of a trial that trains, or was found: numbers by their names."""

    def finished(self, title: str, text: str) -> None:
        """A trial is finished; `text` says how that went, empty where it was there before."""


class TerminalProgress(Progress):
    """Lines that stay, on standard error or output through rich; below them what goes on, which vanishes when done.

    Where the stream is no terminal, only the lines are written. With `verbose`, the details are, too.
    """

    def __init__(self, stderr: bool = False, verbose: bool = False) -> None:
        from rich import progress as rich
        from rich.console import Console

        self.console, self.verbose = Console(stderr=stderr, highlight=False), verbose
        columns = [rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()]
        columns += [rich.TimeElapsedColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn()]
        self._bars = rich.Progress(*columns)
        self._depth = 0
        self._left: dict[str, float | None] = {}
        self._number = 0
        self._now, self._since = "", 0.0
        self._accuracies: Sequence[float] = ()

    def track(self, items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
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
    def trials(self, seconds: Mapping[str, float | None]) -> Iterator[None]:
        """See `Progress.trials`."""
        self._left, self._number = dict(seconds), len(seconds)
        with self._shown():
            try:
                yield
            finally:
                self._left, self._number, self._now = {}, 0, ""

    def epoch(self, title: str, accuracies: Sequence[float], num_epochs: int) -> None:
        """See `Progress.epoch`."""
        if title != self._now:
            self._now, self._since = title, time.monotonic()
        self._accuracies = accuracies

    def finished(self, title: str, text: str) -> None:
        """See `Progress.finished`."""
        curve = f"  {sparkline(self._accuracies)}" if self.console.is_terminal and title == self._now else ""
        if text:
            self.say(f"  {title}: {text}{curve}")
        self._left.pop(title, None)
        self._now = ""

    @contextmanager
    def _shown(self) -> Iterator[None]:
        """Within, the view is on the terminal; a view within another one is part of it."""
        if self._depth or not self.console.is_terminal:
            yield
            return
        from rich.live import Live

        self._depth = 1
        try:
            with Live(get_renderable=self._view, console=self.console, transient=True, refresh_per_second=5):
                yield
        finally:
            self._depth = 0

    def _view(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        lines = []
        if self._now:
            lines.append(
                f"  {self._now}  {sparkline(self._accuracies)}  {100 * self._accuracies[-1]:.1f} % on validation"
            )
        if self._number:
            lines.append(f"  {self._number - len(self._left)} of {self._number} trials trained{self._time_left()}")
        return Group(*map(Text, lines), self._bars)

    def _time_left(self) -> str:
        """Of those that are left, the running one counted from its first epoch on."""
        if not self._left or None in self._left.values():
            return ""
        seconds = sum(each or 0.0 for each in self._left.values())
        if self._now in self._left:
            seconds -= min(time.monotonic() - self._since, self._left[self._now] or 0.0)
        return f", about {max(1, round(seconds / 60))} min left" if seconds >= 90 else f", about {seconds:.0f} s left"


def sparkline(values: Sequence[float], most: int = 24) -> str:
    """`values` as a line of bars from the lowest to the highest, the last `most` of them: "▁▅▇█"."""
    shown = list(values)[-most:]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    if low == high:
        return BARS[-1] * len(shown)
    return "".join(BARS[round((len(BARS) - 1) * (value - low) / (high - low))] for value in shown)
