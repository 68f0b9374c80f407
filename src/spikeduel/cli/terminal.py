"""How commands speak: errors as one line, progress, JSON, wrapped text."""

import json
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from spikeduel.system import typed
from spikeduel.system.errors import Interrupted, SpikeduelError, visible

if TYPE_CHECKING:
    from spikeduel.system.progress import Progress


EPOCHS_ARE_SAVED = "Finished epochs are saved: the same command goes on from there."


@contextmanager
def for_people(when_stopped: str = EPOCHS_ARE_SAVED) -> Iterator[None]:
    """Errors meant for people become one line on standard error and an exit code.

    `when_stopped` says after Ctrl-C what is kept. A second Ctrl-C does not wait for what the first has to put away.
    """
    try:
        with _stopped_at_once_by_a_second_ctrl_c():
            yield
    except SpikeduelError as error:
        typer.secho(f"error: {visible(' '.join(str(error).split()))}", fg="red", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.secho(f"\nstopped. {when_stopped}", fg="yellow", err=True)
        raise typer.Exit(Interrupted.exit_code) from None


@contextmanager
def _stopped_at_once_by_a_second_ctrl_c() -> Iterator[None]:
    # Only the main thread may set handlers; and who had Ctrl-C ignored, as nohup does, wants it so.
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield
        return

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def progress_for(quiet: bool, as_json: bool) -> "Progress":
    """Bars and lines; on standard error where standard output is for JSON."""
    from spikeduel.system.progress import Progress, TerminalProgress

    return Progress() if quiet else TerminalProgress(stderr=as_json)


def wrapped(text: str, bullet: str = "") -> str:
    """`text` in lines that fit the terminal, the first after `bullet`."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    return textwrap.fill(
        visible(" ".join(text.split())),
        width,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
    )


def print_json(value: Any) -> None:
    """One JSON document on standard output: dicts and lists, or structs (`system.typed`)."""

    sys.stdout.write(json.dumps(typed.plain(value), indent=2, allow_nan=False) + "\n")
