"""Spikes in another order: what a control does to them, on the CPU."""

from functools import partial

import numpy as np
import torch
from numba import njit
from torch import Tensor

from spikeduel.spiking.kernels.threads import is_code_kept, run_chunks

_HIGH = np.uint64(32)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@njit(nogil=True, cache=is_code_kept())
def _permute_images(steps, keys, start, stop):  # type: ignore[no-untyped-def]
    """Permutes images `start` to `stop` of `steps` `[T, B, N]` over T, in place: Knuth's algorithm P.

    The random numbers are SplitMix64's (Steele, Lea, Flood 2014), started from an image's key.
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
                other = ((z >> _HIGH) * np.uint64(last + 1)) >> _HIGH
                kept = steps[last, image, neuron]
                steps[last, image, neuron] = steps[other, image, neuron]
                steps[other, image, neuron] = kept


def permuted_over_time(spk: Tensor, keys: np.ndarray) -> Tensor:
    """`spk` `[T, B, …]` with the steps of each neuron and image in a random order of its own, each equally likely.

    `keys` uint64 `[B]`, one an image, decide which, whatever else is in the batch.
    """
    # Neurons are independent: in the order in which they lie in memory (channels last), nothing is rearranged.
    order = [0, 1, *sorted(range(2, spk.dim()), key=spk.stride, reverse=True)]
    rows = spk.detach().permute(order).cpu().clone(memory_format=torch.contiguous_format)
    # The values are only moved: their bits will do, also where NumPy knows no such type.
    steps = rows.view(_BITS[rows.element_size()]).flatten(2).numpy()
    kernel = partial(_permute_images, steps, np.array(keys, np.uint64))
    run_chunks(kernel, spk.shape[1], work=rows.numel())
    return rows.permute([order.index(axis) for axis in range(spk.dim())]).to(spk.device)
