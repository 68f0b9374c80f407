"""Random orders of each neuron's spikes over time."""

from functools import partial

import numpy as np
import torch
from numba import njit
from torch import Tensor

from spikeduel.system.parallel import COMPILED, run_chunks

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@njit(**COMPILED)
def _shuffle_images(steps, keys, start, stop):  # type: ignore[no-untyped-def]
    """Shuffle `steps` `[T, B, N]` over T in place: Knuth's algorithm P, with SplitMix64 (Steele,
    Lea, Flood 2014).
    """
    num_steps, _, num_neurons = steps.shape
    for image in range(start, stop):
        state = keys[image]
        for last in range(num_steps - 1, 0, -1):
            for neuron in range(num_neurons):
                state += _GOLDEN
                z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                z ^= z >> np.uint64(31)
                other = ((z >> np.uint64(32)) * np.uint64(last + 1)) >> np.uint64(32)
                remaining = steps[last, image, neuron]
                steps[last, image, neuron] = steps[other, image, neuron]
                steps[other, image, neuron] = remaining


def shuffled_spikes(spk: Tensor, keys: np.ndarray) -> Tensor:
    """Return `spk` `[T, B, …]`, float32 or bfloat16, each neuron's steps shuffled by `keys` uint64
    `[B]`.
    """
    # Neurons are independent: memory order (channels last) needs no rearranging.
    order = [0, 1, *sorted(range(2, spk.dim()), key=spk.stride, reverse=True)]
    rows = spk.detach().permute(order).cpu().clone(memory_format=torch.contiguous_format)
    # Numba knows no bfloat16.
    bits = rows.view(torch.int32 if spk.dtype == torch.float32 else torch.int16)
    kernel = partial(_shuffle_images, bits.flatten(2).numpy(), np.array(keys, np.uint64))
    run_chunks(kernel, spk.shape[1], work=rows.numel())
    return rows.permute([order.index(axis) for axis in range(spk.dim())]).to(spk.device)
