"""spikeduel: should I use a spiking neural network or a CNN for my images?

Public names are those in `__init__.pyi` and those of features (`PUBLIC`). They are loaded when
first used: importing spikeduel costs next to nothing.
"""

import os
from importlib import import_module
from typing import Any

import lazy_loader

# Threads that wait for one another spin 30,000 times before they sleep, not 300,000: beside
# other work, spinning takes the core that the awaited thread needs (benchmarks/speed/busy.py).
# The number is read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

_of_core, _, _CORE = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    # Modules inside packages, which lazy_loader does not load.
    inner = {"kernels": "engine.kernels", "recipes": "experiment.recipes"}
    if name in inner:
        return import_module(f"spikeduel.{inner[name]}")
    if name == "__all__":
        return sorted([*_CORE, *_names_of_features()])
    if name not in _CORE and not name.startswith("_") and name in _names_of_features():
        (found,) = import_module("spikeduel.features").providing(name).values()
        return found
    return _of_core(name)


def __dir__() -> list[str]:
    names: list[str] = __getattr__("__all__")
    return names


def _names_of_features() -> list[str]:
    features = import_module("spikeduel.features")
    return [name for names in features.providing("PUBLIC").values() for name in names]
