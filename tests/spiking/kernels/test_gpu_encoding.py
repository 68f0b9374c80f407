"""Rate encoding in Triton against the reference, to the last bit."""

import math

import numpy as np
import pytest
import torch

from spikeduel.spiking.kernels import gpu, reference
from triton_device import DEVICE, compiled

SHAPES = [(1, 1), (3, 1, 5, 7), (2, 513), (2, 3, 16, 16)]


@pytest.fixture(autouse=True)
def dirty_buffers(monkeypatch):
    """What a kernel fails to write shows: neither 0 nor 1 in any type."""

    def dirty(shape, dtype, device):
        size = math.prod(shape) * dtype.itemsize
        return torch.full((size,), 0x7F, dtype=torch.uint8).view(dtype).view(shape).to(device)

    monkeypatch.setattr(gpu, "empty", dirty)


def draw(shape, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    images.flat[: min(2, images.size)] = (0, 255)[: min(2, images.size)]
    return torch.from_numpy(images), generator.integers(0, 2**64, shape[0], dtype=np.uint64)


def encode(images, *settings):
    return gpu.rate_spikes(images.to(DEVICE), *settings).cpu()


@pytest.mark.parametrize("dtype", gpu.WRITTEN_DTYPES, ids=str)
@pytest.mark.parametrize("num_steps", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_reference(shape, num_steps, dtype):
    images, keys = draw(shape)
    spikes = encode(images, keys, num_steps, dtype)
    assert spikes.dtype == dtype
    assert torch.equal(spikes, reference.rate_spikes(images, keys, num_steps).to(dtype))


@pytest.mark.parametrize("dtype", gpu.WRITTEN_DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (3, 0)], ids=str)
def test_nothing_to_draw(shape, dtype):
    images, keys = draw(shape)
    assert encode(images, keys, 5, dtype).shape == (5, *shape)


def test_inputs_that_are_not_contiguous_or_read_only():
    images, keys = draw((6, 8, 10))
    keys.setflags(write=False)
    view = images[::2].transpose(1, 2)
    spikes = encode(view, keys[::2], 3)
    assert torch.equal(spikes.bool(), reference.rate_spikes(view.contiguous(), keys[::2], 3))


@pytest.mark.parametrize("pointer", ["*bf16", "*u8"])
def test_compiles_to_ten_rounds_of_32_bits(tmp_path, pointer):
    types = {"images": "*u8", "keys": "*i64", "spikes": pointer}
    types |= dict.fromkeys(("num_images", "num_pixels", "num_tiles"), "i32")
    stages = compiled(tmp_path, gpu.__name__, "_rate_rows", types, {"BLOCK": 128}, num_warps=4)
    assert stages["ttgir"].count("tt.mulhiui") == 20
    assert "tensor<128xi32" in stages["ttgir"]
