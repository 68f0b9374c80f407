"""Progress of long work: nothing for programs, one view and lines for people."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import ref

from spikeduel.system.errors import visible

if TYPE_CHECKING:
    from rich.progress import TaskID

Item = TypeVar("Item")
Track = Callable[[Iterable[Any], str, int | None], Iterable[Any]]
"""Shows a loop's progress: (items, description, total) -> items; `Progress.track`."""
SILENCE = 30.0
"""Seconds without a line after which one says what is being done, where there is no terminal."""


class Progress:
    """Progress of long work. This class shows nothing.

    Subclasses override the method of an event, or `event` for all.

    Examples
    --------
    >>> class Lines(Progress):
    ...     def event(self, name, *arguments):
    ...         print(name, *arguments)
    >>> Lines().say("training")
    say training
    """

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
    def trials(self, titles: Collection[str]) -> Iterator[None]:
        """Show trials of these `titles` while they train."""
        yield

    def epoch(self, title: str, epochs: Sequence[Mapping[str, float]], num_epochs: int) -> None:
        """Show a finished epoch, of at most `num_epochs`.

        `epochs`: numbers by name ("val_accuracy") for each epoch so far.
        """
        self.event("epoch", title, epochs, num_epochs)

    def finished(self, title: str, text: str) -> None:
        """Show how a trial went; "" if it was found."""
        self.event("finished", title, text)

    def event(self, name: str, *arguments: Any) -> None:
        """Take an event: a method's name, and its arguments."""

    def of_run(self, folder: Path, label: str = "") -> "Progress":
        """Return the progress of the run in `folder`, with `label` before lines and titles."""
        return Labelled(self, label) if label else self

    def ends(self, comparison: Any, store: Any) -> None:
        """Take a finished run as `Comparison`, and the `Store` with its trials."""


class Relayed(Progress):
    """Send each event to `send`."""

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
    def trials(self, titles: Collection[str]) -> Iterator[None]:
        with self.inner.trials(titles):
            yield

    def event(self, name: str, *arguments: Any) -> None:
        getattr(self.inner, name)(*arguments)

    def ends(self, comparison: Any, store: Any) -> None:
        self.inner.ends(comparison, store)


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
    def trials(self, titles: Collection[str]) -> Iterator[None]:
        """Show nothing: the labeller shows all trials."""
        yield

    def event(self, name: str, *arguments: Any) -> None:
        text, *others = arguments
        labelled = f"{self.label}: {text.strip().removeprefix(f'{self.label}: ')}"
        indent = "  " if name in ("say", "detail") else ""
        super().event(name, indent + labelled, *others)


class TerminalProgress(Progress):
    """Progress in a terminal: lines, and below them bars that vanish when done.

    Without a terminal there are lines only, at least every `SILENCE` seconds.

    Parameters
    ----------
    stderr : bool
        Whether to print to standard error.
    verbose : bool
        Whether to print details.
    clock : callable
        Function that returns seconds.

    Examples
    --------
    >>> TerminalProgress().say("training")
    training
    """

    def __init__(
        self,
        stderr: bool = False,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich import progress as rich
        from rich.console import Console

        self.console, self.verbose = Console(stderr=stderr, highlight=False), verbose
        self._bars = rich.Progress(
            rich.TextColumn("{task.description}", markup=False),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TimeElapsedColumn(),
            "left",
            rich.TimeRemainingColumn(),
            console=self.console,
            transient=True,
            get_time=clock,
        )
        self._clock, self._reported = clock, clock()
        if not self.console.is_terminal:
            threading.Thread(target=_beats, args=(ref(self),), daemon=True).start()
        self._awaited: dict[str, TaskID] = {}
        self._training: dict[str, TaskID] = {}

    @contextmanager
    def _bar(self, description: str, total: int | None, visible: bool = True) -> "Iterator[TaskID]":
        outermost = self.console.is_terminal and not self._bars.live.is_started
        if outermost:
            self._bars.start()
        bar = self._bars.add_task(description, total=total, visible=visible)
        try:
            yield bar
        finally:
            self._bars.remove_task(bar)
            if outermost:
                self._bars.stop()

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterator[Item]:
        if total is None and isinstance(items, Sized):
            total = len(items)
        with self._bar(description, total) as bar:
            for item in items:
                yield item
                self._bars.advance(bar)

    def say(self, text: str) -> None:
        self._reported = self._clock()
        self.console.print(visible(text), markup=False, soft_wrap=not self.console.is_terminal)

    def detail(self, text: str) -> None:
        if self.verbose:
            self.say(text)

    @contextmanager
    def trials(self, titles: Collection[str]) -> Iterator[None]:
        with self._bar("  trials trained", len(titles), visible=bool(titles)) as bar:
            self._awaited = dict.fromkeys(titles, bar)
            try:
                yield
            finally:
                for title in list(self._training):
                    self._bars.remove_task(self._training.pop(title))
                self._awaited = {}

    def beat(self) -> None:
        """After `SILENCE` seconds without a line, say what is being done."""
        if self._clock() - self._reported < SILENCE:
            return
        parts = [
            f"{bar.description.strip()}: {bar.completed:,.0f} of {bar.total:,.0f}"
            + (" epochs" if bar.id in self._training.values() else "")
            for bar in self._bars.tasks
            # A training's steps are within its epochs.
            if bar.visible and bar.total and bar.description.strip() not in self._training
        ]
        self.say(f"  {'; '.join(parts) or 'still at work'}")

    def epoch(self, title: str, epochs: Sequence[Mapping[str, float]], num_epochs: int) -> None:
        if title not in self._training:
            self._training[title] = self._bars.add_task(title, total=num_epochs)
        self._bars.update(
            self._training[title],
            completed=len(epochs),
            description=f"  {title}  {100 * epochs[-1]['val_accuracy']:.1f} % accuracy",
        )

    def finished(self, title: str, text: str) -> None:
        if text:
            self.say(f"  {title}: {text}")
        if title in self._training:
            self._bars.remove_task(self._training.pop(title))
        if title in self._awaited:
            self._bars.advance(self._awaited.pop(title))


def _beats(progress: "ref[TerminalProgress]") -> None:
    while (living := progress()) is not None:
        living.beat()
        del living
        time.sleep(1)
