"""Fused rate encoding against the reference, to the last bit."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from spikeduel.engine.kernels import cpu, reference

SHAPES = [(1, 1), (3, 1, 5, 7), (2, 513), (2, 1025), (3, 1, 31, 33), (2, 2048)]
CASES = [
    *((shape, 1 + 2 * (i % 2), torch.float32) for i, shape in enumerate(SHAPES)),
    *(((3, 1, 5, 7), 3, dtype) for dtype in cpu.WRITTEN_DTYPES if dtype != torch.float32),
]


@pytest.fixture
def encode(monkeypatch):
    """A kernel that shows what it fails to write: neither 0 nor 1 in any type."""

    def dirty(shape, dtype=torch.float32):
        size = math.prod(shape) * dtype.itemsize
        return torch.full((size,), 0x7F, dtype=torch.uint8).view(dtype).view(shape)

    monkeypatch.setattr(cpu, "empty", dirty)
    return cpu.rate_spikes


def draw(shape, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    images.flat[: min(2, images.size)] = (0, 255)[: min(2, images.size)]
    return torch.from_numpy(images), generator.integers(0, 2**64, shape[0], dtype=np.uint64)


@pytest.mark.parametrize(("shape", "num_steps", "dtype"), CASES, ids=str)
def test_equals_the_reference(encode, shape, num_steps, dtype):
    images, keys = draw(shape)
    spikes = encode(images, keys, num_steps, dtype)
    assert spikes.dtype == dtype
    assert torch.equal(spikes, reference.rate_spikes(images, keys, num_steps).to(dtype))


@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (3, 0)], ids=str)
def test_nothing_to_draw(encode, shape):
    assert encode(*draw(shape), 5).shape == (5, *shape)


def test_inputs_that_are_not_contiguous_or_read_only(encode):
    images, keys = draw((6, 8, 10))
    keys.setflags(write=False)
    view = images[::2].transpose(1, 2)
    spikes = encode(view, keys[::2], 3)
    assert torch.equal(spikes.bool(), reference.rate_spikes(view.contiguous(), keys[::2], 3))


def test_spikes_depend_on_neither_threads_nor_batching(monkeypatch):
    images, keys = draw((9, 4000))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = cpu.rate_spikes(images, keys, 4, torch.bool)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    with ThreadPoolExecutor(3) as callers:
        for spikes in callers.map(lambda _: cpu.rate_spikes(images, keys, 4, torch.bool), range(3)):
            assert torch.equal(spikes, alone)
    assert torch.equal(cpu.rate_spikes(images[4:6], keys[4:6], 2, torch.bool), alone[:2, 4:6])
