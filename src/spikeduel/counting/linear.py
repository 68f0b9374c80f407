"""Linear operations: additions for spikes, multiplications for numbers.

An event, or a number that is not zero, costs its fan-out: the synapses of that input.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from spikeduel.counting.ledger import REAL, SPIKES, Call, Row, Tag
from spikeduel.system.hardware import widest


def convolution(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Count a convolution; a rule of `operators.RULES`."""
    x, weight, bias, *arguments = call.args
    if call.ledger.tag(weight).is_data:
        raise call.ledger.unknown(
            "uses a convolution with weights that are computed from the input"
        )
    tag = call.ledger.tag(x)
    tag = tag.without_time() if tag.time_dim else tag
    # A filter's places beyond the border are no input, for spikes and numbers alike.
    fan_out = fan_out_of(x, weight, call.out, arguments)
    # A network without time may take frame after frame, a pass each.
    return _layer(
        call, x, tag, tag, weight, bias, fan_out, x.shape[0] * int(fan_out.sum()), passes=x.shape[0]
    )


def product(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Count a product `[…, N, K]` times `[…, K, M]`; a rule of `operators.RULES`."""
    bias, a, b = (
        call.args[:3] if call.name in ("addmm", "baddbmm", "addmv") else (None, *call.args[:2])
    )
    left, right = call.ledger.tag(a), call.ledger.tag(b)
    columns, rows = float(b.shape[-1] if b.dim() > 1 else 1), float(a.shape[-2])
    dense = call.out.numel() * a.shape[-1]
    after = left.elementwise(a.shape, call.out.shape)
    if left.is_data and right.is_data:
        row = call.ledger.row("synapses")
        row.notes["A product of activations: no weights."] = None
        if left.kind == SPIKES:
            _count(call, row, a, left, columns, dense)
        elif right.kind == SPIKES:
            _count(call, row, b, right, rows, dense)
        else:
            pairs = torch.matmul((a != 0).float(), (b != 0).float()).sum(dtype=widest(a.device))
            _count(call, row, a, left, columns, dense, float(pairs))
        return replace(after.real(), encoded=False)
    if left.is_data:
        return _layer(call, a, left, after, b, bias, columns, dense)
    if right.is_data:
        return _layer(call, b, right, right.without_time(), a, bias, rows, dense)
    # Only the added tensor depends on the input.
    call.count("additions", call.out.numel())
    return replace(tag, kind=REAL, unit=1.0)


def _layer(
    call: Call,
    x: Tensor,
    tag: Tag,
    after: Tag,
    weight: Tensor,
    bias: Tensor | None,
    fan: Tensor | float,
    dense: int,
    passes: int | None = None,
) -> Tag:
    """Count `x` through `weight`; `after` is the tag of `x` in the shape of the output."""
    label = call.ledger.tag(weight).label
    row = call.ledger.row("synapses", label)
    row.parameters[label or "weight"] = weight.numel()
    if bias is not None and not call.ledger.tag(bias).is_data:
        row.parameters[f"{(label or 'weight').rpartition('.')[0]}.bias"] = bias.numel()
    _count(call, row, x, tag, fan, dense, passes=passes)
    if bias is not None:
        row.add("bias_additions", call.out.numel(), after, call.fresh)
    return replace(after.real(), producer=row.name, encoded=False)


def _count(
    call: Call,
    row: Row,
    x: Tensor,
    tag: Tag,
    fan: Tensor | float,
    dense: float,
    effective: float | None = None,
    passes: int | None = None,
) -> None:
    """Count `x`, each entry with a `fan` of synapses.

    `effective` multiplications have no zero, if the fan-out does not tell. Weights are used in
    `passes`, by default once a time step and image.
    """
    events, reached = sums_by_step(x, tag, fan)
    row.sums["dense_executed"] += dense
    if tag.kind == SPIKES:
        row.add_steps("events", tag.first_step, events * tag.copies)
        row.add_steps("acs", tag.first_step, reached * tag.copies)
        dense = effective = 0.0
    passes = passes or tag.steps * call.ledger.num_images
    row.inputs_are.add(tag.kind)
    row.encoded |= tag.encoded
    # Several events can reach an element after average pooling, or can be counted in it.
    several = tag.kind == SPIKES and (tag.averaged > 1 or tag.bits is not None)
    bits = round(tag.averaged).bit_length() + (tag.bits or 1) - 1
    row.input_bits = bits if several else tag.bits
    row.add("dense", dense, tag, call.fresh)
    row.add("effective", float(reached.sum()) if effective is None else effective, tag, call.fresh)
    row.add("passes", passes, tag, call.fresh)
    row.sums["executed"] += passes
    row.sums["inputs"] += x.numel()
    row.sums["outputs"] += call.out.numel()
    row.sums["non_zero"] += float(torch.count_nonzero(x)) if several else float(events.sum())


def fan_out_of(x: Tensor, weight: Tensor, out: Tensor, arguments: Sequence[Any]) -> Tensor:
    """Return float64 `[C, …]`: the synapses of each input place, exact at borders.

    `arguments` are those of `aten.convolution` from the stride on. The result is the gradient of
    the sum of a convolution's outputs with all weights 1.
    """
    settings = tuple(
        tuple(value) if isinstance(value, list | tuple) else value for value in arguments
    )
    return _fan_out(tuple(x.shape[1:]), tuple(weight.shape), tuple(out.shape[1:]), settings)


@lru_cache(maxsize=128)
def _fan_out(
    image: tuple[int, ...], weight: tuple[int, ...], out: tuple[int, ...], settings: Sequence[Any]
) -> Tensor:
    incoming, zeros, ones = (
        x.double() for x in (torch.ones(1, *out), torch.zeros(1, *image), torch.ones(weight))
    )
    return torch.ops.aten.convolution_backward(
        incoming, zeros, ones, None, *settings, [True, False, False]
    )[0][0]


def sums_by_step(x: Tensor, tag: Tag, fan_out: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return float64 `[steps]` twice: the number of events, and that times the fan-out.

    `x` is `[steps·B, …]` or `[steps, B, …]`; for numbers, those that are not zero are counted.
    `fan_out` is one number, or `[…]` as `x[0]`. Sums that could pass 2²⁴ are taken in float64:
    float32 counts no further.
    """
    x = x.movedim(tag.time_dim, 0) if x.dim() else x.reshape(1)
    x = x.unflatten(0, (tag.steps, x.shape[0] // tag.steps))
    if tag.kind != SPIKES:
        x = x != 0
    elif tag.unit != 1:
        # A mean of spikes that was rounded (bfloat16) is still a whole number of events.
        x = (x.float() / tag.unit).round()
    if isinstance(fan_out, Tensor):
        places = x.sum(1, dtype=torch.float32).cpu().double()
        return places.flatten(1).sum(1), (places * fan_out).flatten(1).sum(1)
    x = x.sum(tuple(range(2, x.dim())), dtype=torch.float32) if x.dim() > 2 else x
    sums = x.cpu().sum(1, dtype=torch.float64)
    return sums, sums * fan_out
