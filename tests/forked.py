"""Processes forked from this one: a new one would load torch again, which takes seconds."""

import importlib
import os
import runpy
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator

import pytest

LOADED = (
    *("torch._dynamo", "scipy.stats", "sklearn.datasets", "sklearn.neighbors"),
    *("matplotlib.figure", "spikeduel.comparing", "spikeduel.reporting", "spikeduel.cli"),
)
"""Modules that take seconds to load: once here, rather than in each fork."""


class Forked:
    """`function` in a process of its own; iteration yields the lines that it prints."""

    def __init__(self, function: Callable[[], object]):
        if not hasattr(os, "fork"):
            pytest.skip("needs fork")
        for name in LOADED:
            importlib.import_module(name)
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Python warns of the thread by which pytest-xdist listens.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            code = 1
            try:
                code = _run(function, writing)
            finally:  # whatever happens, the fork must not go on as pytest
                os._exit(code)
        os.close(writing)
        self._reported = os.fdopen(reading, encoding="utf-8")

    def __iter__(self) -> Iterator[str]:
        return (line.rstrip("\n") for line in self._reported)

    def ended(self) -> tuple[int, list[str]]:
        """Wait for the end; return the exit code and the lines that are left."""
        lines = list(self)
        self._reported.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), lines


def _run(function: Callable[[], object], writing: int) -> int:
    try:
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, encoding="utf-8")
        function()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
    return 0


def run_program(path: object, *arguments: object) -> None:
    """Run a Python file as a program in a fork; fails unless it ends well."""

    def program() -> None:
        sys.argv = [str(path), *map(str, arguments)]
        runpy.run_path(str(path), run_name="__main__")

    code, lines = Forked(program).ended()
    assert code == 0, "\n".join(lines)
