"""Fixtures and options that need the engine at most, for `conftest.py` and copies without the rest."""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background of a shell, or by nohup: tests of Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Numba, BLAS and torch share two cores with the other test processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    """Cache, store and runs go to the test's own folder."""
    monkeypatch.setenv("SPIKEDUEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPIKEDUEL_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def generator():
    """A seeded torch generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(name="random")
def numpy_generator():
    """A seeded numpy generator."""
    return np.random.default_rng(0)
