"""Fixtures that every part of the tests may use. Nothing here or below touches the network or the user's cache."""

import os
import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background of a shell, or by nohup: tests of Ctrl-C would wait for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Numba, BLAS and torch share two cores with the other test processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

if not torch.cuda.is_available():
    # The kernels for CUDA run on the CPU, in Triton's interpreter, where Triton is installed.
    os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    """Cache, store and runs go to the test's own folder."""
    monkeypatch.setenv("SPIKEDUEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SPIKEDUEL_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _untimed(monkeypatch):
    """Comparisons take made-up times; `tests/measuring/test_latency.py` starts real processes."""
    from made_times import untimed

    monkeypatch.setattr("spikeduel.measuring.latency.latency", untimed)


@pytest.fixture
def unreported(monkeypatch):
    """Comparisons write an empty page: figures take seconds, and other tests look at them."""
    from spikeduel import comparing
    from spikeduel.system import files

    monkeypatch.setattr(
        comparing, "report", lambda comparison, **_: files.write_text(comparison.out / "report.html", "a page")
    )


@pytest.fixture
def generator():
    """A seeded torch generator."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def random():
    """A seeded numpy generator."""
    return np.random.default_rng(0)


@pytest.fixture
def small():
    """An experiment that is real but takes a second: scikit-learn's digits, narrow networks, few steps."""
    from spikeduel.settings.recipes import baseline

    return baseline(dataset="digits", hidden=32, num_steps=4, epochs=2, batch_size=64, learning_rate=5e-3, device="cpu")
