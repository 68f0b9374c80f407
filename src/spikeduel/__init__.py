"""spikeduel: should I use a spiking neural network or a CNN for my images?

Public names, listed in `__init__.pyi`, are loaded when first used: importing spikeduel costs next
to nothing.
"""

import os
from importlib import import_module
from typing import Any

import lazy_loader

# Threads that wait for one another spin 30,000 times before they sleep, not 300,000: beside
# other work, spinning takes the core that the awaited thread needs (benchmarks/speed/busy.py).
# The number is read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "30000")

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    # Modules inside packages, which lazy_loader does not load.
    inner = {"kernels": "engine.kernels", "recipes": "experiment.recipes"}
    return import_module(f"spikeduel.{inner[name]}") if name in inner else _public(name)
