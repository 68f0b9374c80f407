"""Spiking dynamics and rate encoding: the readable reference, and faster kernels that agree with it.

`scan` and `rate_spikes` pick the fastest that fits. Numba and Triton are imported when a kernel of theirs is first
called.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeduel.spiking.constant_input import ConstantInput
from spikeduel.spiking.kernels import reference
from spikeduel.spiking.kernels.reference import RESET_MECHANISMS, SURROGATE_KERNELS, Dynamics
from spikeduel.system.errors import InputError, unknown

__all__ = ["RESET_MECHANISMS", "Dynamics", "is_fused", "rate_spikes", "scan", "unfused"]

# On AMD's cards 64 threads make a warp, and the Triton kernels count on 32.
_DEVICES = ("cpu", "meta", "cuda") if find_spec("triton") and torch.version.hip is None else ("cpu", "meta")
_FUSED: ContextVar[bool] = ContextVar("fused", default=True)


@contextmanager
def unfused() -> Iterator[None]:
    """Within, `scan` runs on the readable reference alone: step by step, in operations that any tool can trace."""
    token = _FUSED.set(False)
    try:
        yield
    finally:
        _FUSED.reset(token)


def scan(
    current: Tensor | ConstantInput,
    beta: Tensor | float,
    dynamics: Dynamics,
    state: Tensor | None = None,
    *,
    with_mem: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Neurons over time: `(spk, mem, last)` for `current` `[T, …]`, from `state` `[S, …]` (None: at rest).

    `spk` `[T, …]` has the type of `current`; `mem` `[T, …]` (`[0, …]` unless `with_mem`) and `last` `[S, …]`, the
    state after the last step, are float32 (float64 for a float64 current). S is 1, or 2 for adaptive neurons; the
    equations are `reference`'s. Raises `InputError` for an unknown name, or no steps.
    """
    if dynamics.reset_mechanism not in RESET_MECHANISMS:
        raise unknown("reset_mechanism", dynamics.reset_mechanism, RESET_MECHANISMS)
    num_steps = current.shape[0]
    if num_steps < 1:
        raise InputError(f"a neuron needs at least one time step; its input has shape {list(current.shape)}.")
    # Dynamo cannot trace a ContextVar.
    if (torch.compiler.is_dynamo_compiling() or _FUSED.get()) and is_fused(current, beta, dynamics):
        from spikeduel.spiking.kernels import operator

        rows = current.value.unsqueeze(0) if isinstance(current, ConstantInput) else current
        decay = beta if isinstance(beta, Tensor) else torch.full((), beta, device=rows.device)
        return operator.scan(rows, state, decay, dynamics, num_steps, with_mem)
    sequence = current.expand() if isinstance(current, ConstantInput) else current
    wide = sequence if sequence.dtype == torch.float64 else sequence.float()
    spk, mem, last = reference.scan(wide, beta, dynamics, state)
    return spk.to(sequence.dtype), mem if with_mem else mem[:0], last


def is_fused(current: Tensor | ConstantInput, beta: Tensor | float, dynamics: Dynamics) -> bool:
    """Whether `scan` has a fused kernel for this: one beta and threshold a layer, a surrogate that it knows."""
    value = current.value if isinstance(current, ConstantInput) else current
    one_beta = not isinstance(beta, Tensor) or (beta.dim() == 0 and beta.dtype == torch.float32)
    return (
        one_beta
        and isinstance(dynamics.threshold, int | float)
        and dynamics.surrogate in SURROGATE_KERNELS
        and value.dtype in (torch.float32, torch.bfloat16)
        and value.device.type in _DEVICES
    )


def rate_spikes(
    images: Tensor, keys: np.ndarray, num_steps: int, dtype: torch.dtype = torch.float32, first_step: int = 0
) -> Tensor:
    """Bernoulli spikes `[T, B, …]` in `dtype` for `images` uint8 `[B, …]` and `keys` uint64 `[B]`.

    A pixel p fires with probability p/255, drawn as `reference.rate_spikes` says, at the steps from `first_step` on.
    Raises `InputError` unless the images are uint8 and have a key each.
    """
    if images.dtype != torch.uint8:
        raise InputError(f"rate encoding takes uint8 images, not {images.dtype}: their pixels are rates of 255.")
    if np.shape(keys) != (len(images),):
        raise InputError(f"rate encoding needs a key for each of {len(images)} images, not {np.shape(keys)}.")
    encoding: Any
    if images.device.type == "cpu":
        from spikeduel.spiking.kernels import cpu as encoding
    elif images.device.type in _DEVICES:
        from spikeduel.spiking.kernels import gpu_encoding as encoding
    else:
        return reference.rate_spikes(images, keys, num_steps, first_step).to(dtype)
    written = dtype if dtype in encoding.WRITTEN_DTYPES else torch.bool
    return encoding.rate_spikes(images, keys, num_steps, written, first_step).to(dtype)
