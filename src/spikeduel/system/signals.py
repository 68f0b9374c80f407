"""Signals that end the program: Ctrl-C (SIGINT), and SIGTERM, which Slurm, `docker stop` and
`timeout` send.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any


class Stopped(KeyboardInterrupt):
    """The user pressed Ctrl-C, or SIGTERM asks this process to end; finished epochs are saved."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        """By the signal of this `number`."""
        self.exit_code = 128 + number


@contextmanager
def heard() -> Iterator[None]:
    """Within, both raise `Stopped`, and any `KeyboardInterrupt` becomes one. A second Ctrl-C does
    not wait for what the first has to put away.

    Processes that torchrun has started are ended by its SIGTERM at once, and only the first of them
    hears Ctrl-C: one process speaks for all.
    """

    last = int(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        nonlocal last
        last = number
        # A second SIGTERM says nothing new: `timeout` sends one to the process, and one to its
        # group.
        for each in before:
            signal.signal(
                each, signal.SIG_IGN if each == number == signal.SIGTERM else signal.SIG_DFL
            )
        raise Stopped(number)

    handlers: dict[int, Any] = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if "TORCHELASTIC_RUN_ID" in os.environ:
        handlers = {signal.SIGINT: stop if os.environ.get("RANK") == "0" else signal.SIG_DFL}
    # Only the main thread may set handlers; and who had a signal ignored, as nohup does, wants it
    # so.
    usual: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    before = {
        number: usual[number] for number in handlers if signal.getsignal(number) is usual[number]
    }
    if threading.current_thread() is not threading.main_thread():
        before.clear()
    for number in before:
        signal.signal(number, handlers[number])
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt:
        # Some libraries, such as Ray, raise their own in its place.
        raise Stopped(last) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def hidden_from_children() -> Iterator[None]:
    """Processes that are started within never hear Ctrl-C, not even while they load. This one hears
    it afterwards. On Windows nothing changes.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It lets signals through again when it has been started.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def kept() -> Iterator[None]:
    """After it SIGTERM is handled as before, whatever a library has set within."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
