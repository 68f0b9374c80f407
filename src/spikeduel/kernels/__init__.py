"""Spiking dynamics and rate encoding: the readable reference, and faster kernels that agree with it.

`lif` and `rate_spikes` pick the fastest that fits. Numba is imported when a CPU kernel is first called.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeduel.constant import Constant
from spikeduel.errors import InputError, unknown
from spikeduel.kernels import reference
from spikeduel.kernels.reference import RESET_MECHANISMS
from spikeduel.surrogates import resolve_alpha

__all__ = ["RESET_MECHANISMS", "choose_lif", "lif", "rate_spikes"]

LIFScan = Callable[..., tuple[Tensor, Tensor]]


def lif(
    current: Tensor | Constant,
    beta: Tensor | float,
    threshold: Tensor | float,
    reset_mechanism: str = "subtract",
    surrogate: str = "atan",
    alpha: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Leaky integrate-and-fire neurons over `current` `[T, …]`, from rest: `(spk, mem)` `[T, …]`.

    The equations are `reference.lif_step`'s. Membranes are float32 (float64 for a float64 current); `alpha`
    defaults to the surrogate's customary width. Raises `InputError` for an unknown name, or no steps.
    """
    if reset_mechanism not in RESET_MECHANISMS:
        raise unknown("reset_mechanism", reset_mechanism, RESET_MECHANISMS)
    if current.shape[0] < 1:
        raise InputError(f"a neuron needs at least one time step; its input has shape {list(current.shape)}.")
    scan = choose_lif(current, beta, threshold, surrogate)
    return scan(
        _at_least_float32(current),
        beta,
        threshold,
        reset_mechanism,
        surrogate,
        resolve_alpha(surrogate, alpha),
    )


def choose_lif(current: Tensor | Constant, beta: Tensor | float, threshold: Tensor | float, surrogate: str) -> LIFScan:
    """What `lif` calls: the fused scan on the CPU, for plain numbers and a surrogate that it knows."""
    value = current.value if isinstance(current, Constant) else current
    numbers = isinstance(beta, int | float) and isinstance(threshold, int | float)
    if value.device.type == "cpu" and value.dtype != torch.float64 and numbers:
        from spikeduel.kernels import cpu

        if surrogate in cpu.SURROGATE_KERNELS:
            return cpu.lif_scan
    return _reference_lif


def rate_spikes(images: Tensor, keys: np.ndarray, num_steps: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bernoulli spikes `[T, B, …]` in `dtype` for `images` uint8 `[B, …]` and `keys` uint64 `[B]`.

    A pixel p fires with probability p/255, drawn as `reference.rate_spikes` says. Raises `InputError` unless
    the images are uint8 and have a key each.
    """
    if images.dtype != torch.uint8:
        raise InputError(f"rate encoding takes uint8 images, not {images.dtype}: their pixels are rates of 255.")
    if np.shape(keys) != (len(images),):
        raise InputError(f"rate encoding needs a key for each of {len(images)} images, not {np.shape(keys)}.")
    if images.device.type != "cpu":
        return reference.rate_spikes(images, keys, num_steps).to(dtype)
    from spikeduel.kernels import cpu_encoding

    written = dtype if dtype in cpu_encoding.WRITTEN_DTYPES else torch.bool
    return cpu_encoding.rate_spikes(images, keys, num_steps, written).to(dtype)


def _reference_lif(current: Tensor | Constant, *settings: Any) -> tuple[Tensor, Tensor]:
    return reference.lif_scan(current.expand() if isinstance(current, Constant) else current, *settings)


def _at_least_float32(current: Tensor | Constant) -> Tensor | Constant:
    if isinstance(current, Constant):
        return Constant(_widened(current.value), current.num_steps)
    return _widened(current)


def _widened(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
