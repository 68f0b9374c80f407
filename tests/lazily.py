"""Libraries that load when a test first uses them: every process that shares the tests collects all
files.
"""

import importlib
import importlib.util
from typing import Any

import pytest


class Lazily:
    """The module `name`; without its package, the tests of the file are skipped."""

    def __init__(self, name: str):
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            pytest.skip(f"{name} is not installed", allow_module_level=True)
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
