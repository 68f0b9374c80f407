"""How many synapses each input of a linear operation has: what one event, or one number that is not zero, costs."""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from spikeduel.measuring.counting.tags import Tag


def convolution(x: Tensor, weight: Tensor, out: Tensor, arguments: tuple[Any, ...]) -> Tensor:
    """float64 `[C, …]`: the synapses of each input place, exact at borders, for strides, groups and dilation.

    `arguments` are those of `aten.convolution` from the stride on. It is the gradient of the sum of the outputs of a
    convolution whose weights are ones.
    """
    settings = tuple(tuple(given) if isinstance(given, (list, tuple)) else given for given in arguments)
    return _convolution(tuple(x.shape[1:]), tuple(weight.shape), tuple(out.shape[1:]), settings)


@lru_cache(maxsize=128)
def _convolution(
    image: tuple[int, ...], weight: tuple[int, ...], out: tuple[int, ...], settings: tuple[Any, ...]
) -> Tensor:
    zeros, ones, incoming = torch.zeros(1, *image), torch.ones(weight), torch.ones(1, *out)
    given = (x.double() for x in (incoming, zeros, ones))
    return torch.ops.aten.convolution_backward(*given, None, *settings, [True, False, False])[0][0]


def dense_convolution(x: Tensor, weight: Tensor, out: Tensor, transposed: bool) -> int:
    """Multiplications with every weight at every place, padding included, as they are usually counted."""
    if transposed:
        return x.numel() * math.prod(weight.shape[1:])
    return out.numel() * math.prod(weight.shape[1:])


def per_step(x: Tensor, tag: Tag, fan_out: Tensor | float, events: bool) -> tuple[Tensor, Tensor]:
    """float64 `[steps]` each: how many events (or non-zero numbers) `x` holds, and their number times the fan-out.

    `x` is `[steps·B, …]` or `[steps, B, …]`, `fan_out` one number or that of each place `[…]` of `x[0]`. Sums that
    could pass 2²⁴ are taken in float64, since float32 counts no further.
    """
    if isinstance(fan_out, Tensor) and fan_out.numel():
        places = _over_batch(x, tag, events)
        return places.flatten(1).sum(1), (places * fan_out).flatten(1).sum(1)
    key = "events" if events else "non-zero"
    if key not in tag.sums:
        tag.sums[key] = _sums(x, tag, events)
    found = tag.sums[key]
    return found, found * float(fan_out)


def _sums(x: Tensor, tag: Tag, events: bool) -> Tensor:
    counted = _counted(_steps(x, tag), tag, events)
    if counted.dim() > 2:
        counted = counted.sum(tuple(range(2, counted.dim())), dtype=torch.float32)
    return counted.sum(1, dtype=torch.float64).cpu()


def _over_batch(x: Tensor, tag: Tag, events: bool) -> Tensor:
    """float64 `[steps, …]`: the sum over images at each place of `x[0]`."""
    return _counted(_steps(x, tag), tag, events).sum(1, dtype=torch.float32).double().cpu()


def _counted(x: Tensor, tag: Tag, events: bool) -> Tensor:
    if not events:
        return x != 0
    # A mean of spikes that was rounded (bfloat16) is still a whole number of events.
    return x if tag.unit == 1 else (x.float() / tag.unit).round()


def _steps(x: Tensor, tag: Tag) -> Tensor:
    """`x` as `[steps, images, …]`; as `[1, 1]` where it is a single number."""
    if x.dim() == 0:
        return x.reshape(1, 1)
    x = x.movedim(tag.time_dim, 0)
    return x.unflatten(0, (tag.steps, x.shape[0] // tag.steps))
