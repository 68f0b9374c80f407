"""Signals that end the program: Ctrl-C (SIGINT), and SIGTERM (Slurm, `docker stop`, `timeout`)."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, by `number`; finished epochs are saved."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.exit_code = 128 + number


@contextmanager
def heard() -> Iterator[None]:
    """Raise `Stopped` on both signals, and for any `KeyboardInterrupt`.

    A second Ctrl-C ends the process at once.
    """
    last = int(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        nonlocal last
        last = number
        # A second signal ends the process at once, except a second SIGTERM: `timeout` sends it
        # twice, to the process and to its group.
        for watched in before:
            comes_twice = watched == number == signal.SIGTERM
            signal.signal(watched, signal.SIG_IGN if comes_twice else signal.SIG_DFL)
        raise Stopped(number)

    usual: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    # Ignored signals (nohup) stay ignored. Only the main thread may set handlers.
    before = {
        number: usual[number] for number in usual if signal.getsignal(number) is usual[number]
    }
    if threading.current_thread() is not threading.main_thread():
        before.clear()
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt:
        # Some libraries replace `Stopped`.
        raise Stopped(last) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hidden_from_children() -> Iterator[None]:
    """Start processes that never hear Ctrl-C, not even while loading (not on Windows)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # The tracker unblocks signals when it starts.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
