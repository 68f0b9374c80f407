"""Progress of long work: nothing for programs, bars and lines for people."""

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """Shows nothing; the base of what shows something."""

    def track(self, items: Iterable[Item], description: str, total: int | None = None) -> Iterable[Item]:
        """`items`, unchanged, shown as a bar while they are taken."""
        return items

    def say(self, text: str) -> None:
        """One line of news."""


class TerminalProgress(Progress):
    """Bars that vanish when done, and lines that stay, on standard error or output through rich.

    Where the stream is no terminal, the bars are left out.
    """

    def __init__(self, stderr: bool = False) -> None:
        from rich.console import Console

        self.console = Console(stderr=stderr, highlight=False)

    def track(self, items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
        """See `Progress.track`."""
        from rich import progress as rich

        columns = [rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn()]
        columns += [rich.TimeElapsedColumn(), rich.TextColumn("left"), rich.TimeRemainingColumn()]
        with rich.Progress(
            *columns, console=self.console, transient=True, disable=not self.console.is_terminal
        ) as bars:
            if total is None and isinstance(items, Sized):
                total = len(items)
            task = bars.add_task(description, total=total)
            for item in items:
                yield item
                bars.advance(task)

    def say(self, text: str) -> None:
        """See `Progress.say`."""
        self.console.print(text, markup=False, soft_wrap=True)
