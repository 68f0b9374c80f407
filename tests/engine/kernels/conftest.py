import pytest
import torch

from spikeduel.engine.kernels import cpu


@pytest.fixture
def buffers_full_of_nan(monkeypatch):
    """Values that a kernel of the CPU fails to write show."""

    def empty(shape, dtype=torch.float32):
        return torch.full(shape, torch.nan, dtype=dtype)

    monkeypatch.setattr(cpu, "empty", empty)
