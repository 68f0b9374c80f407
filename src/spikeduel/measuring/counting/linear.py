"""Linear operations: additions where spikes come in, multiplications where numbers do.

What one event costs, or one number that is not zero, is the fan-out of its input: how many synapses that has.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from spikeduel.measuring.counting import tags
from spikeduel.measuring.counting.rows import Row
from spikeduel.measuring.counting.tags import REAL, SPIKES, Call, Tag


def _convolution(call: Call) -> Tag:
    x, weight, bias, *arguments = call.args
    tag = call.books.tag(x)
    if call.books.tag(weight).is_data:
        raise tags.CannotCount("a convolution with weights that are computed from the input")
    if tag.time_dim:
        tag = tags.without_time(tag)
    places = fan_out_of(x, weight, call.out, tuple(arguments))
    dense = dense_convolution(x, weight, call.out, bool(arguments[3]))
    row = _row(call, weight, bias)
    _count(call, row, (x, tag), places, dense)
    return _result(call, row, tag, bias)


def _product(call: Call) -> Tag:
    """`mm`, `addmm`, `bmm`, `baddbmm`, `mv`, `linear`: `[…, N, K]` times `[…, K, M]`."""
    name = call.name
    bias, (a, b) = (call.args[0], call.args[1:3]) if name in ("addmm", "baddbmm", "addmv") else (None, call.args[:2])
    if name == "linear":
        b = b.t()
        bias = call.args[2] if len(call.args) > 2 else None
    kinds = [call.books.tag(x) for x in call.args if isinstance(x, Tensor)]
    left, right = call.books.tag(a), call.books.tag(call.args[1] if name == "linear" else b)
    num_columns = b.shape[-1] if b.dim() > 1 else 1
    num_rows = a.shape[-2]
    dense = call.out.numel() * a.shape[-1]
    if left.is_data and right.is_data:
        return _of_activations(call, (a, left), (b, right), (num_rows, num_columns), dense)
    if not (left.is_data or right.is_data):
        # Only what is added depends on the input.
        call.count("additions", call.out.numel())
        return replace(kinds[0], kind=REAL, unit=1.0, sums={})
    x, tag, weight = (a, left, b) if left.is_data else (b, right, a)
    if name == "linear":
        weight = call.args[1]
    row = _row(call, weight, bias)
    _count(call, row, (x, tag), float(num_columns if left.is_data else num_rows), dense)
    after = tags.elementwise(tag, x.shape, call.out.shape) if left.is_data else tags.without_time(tag)
    return _result(call, row, after, bias)


def _of_activations(
    call: Call, left: tuple[Tensor, Tag], right: tuple[Tensor, Tag], used: tuple[int, int], dense: int
) -> Tag:
    """Attention: both operands depend on the input. Where one holds spikes, these decide what is added."""
    (a, of_a), (b, of_b) = left, right
    row = call.row("synapses")
    row.note("A product of activations: no weights.")
    if SPIKES in (of_a.kind, of_b.kind):
        by_left = of_a.kind == SPIKES
        _count(call, row, left if by_left else right, float(used[1] if by_left else used[0]), dense)
    else:
        pairs = torch.matmul((a != 0).float(), (b != 0).float()).sum(dtype=torch.float64)
        row.sums["dense_executed"] += dense
        _pass(call, row, left, dense, float(pairs), float((a != 0).sum()))
    return _result(call, row, tags.elementwise(of_a, a.shape, call.out.shape), None, by_weights=False)


def _row(call: Call, weight: Tensor, bias: Tensor | None) -> Row:
    label = call.books.tag(weight).label
    row = call.row("synapses", label)
    row.parameters[label or "weight"] = weight.numel()
    if bias is not None and not call.books.tag(bias).is_data:
        row.parameters[f"{(label or 'weight').rpartition('.')[0]}.bias"] = bias.numel()
    return row


def _count(call: Call, row: Row, given: tuple[Tensor, Tag], fan: Tensor | float, dense: int) -> None:
    x, tag = given
    if tag.kind == SPIKES:
        events, acs = sums_by_step(x, tag, fan, events=True)
        row.add_steps("events", tag.first_step, events * tag.copies)
        row.add_steps("acs", tag.first_step, acs * tag.copies)
        row.sums["dense_executed"] += dense
        _pass(call, row, given, 0, 0.0, float(events.sum()))
    else:
        non_zero, macs = sums_by_step(x, tag, fan, events=False)
        row.sums["dense_executed"] += dense
        _pass(call, row, given, dense, float(macs.sum()), float(non_zero.sum()))


def _pass(call: Call, row: Row, given: tuple[Tensor, Tag], dense: float, effective: float, non_zero: float) -> None:
    x, tag = given
    share = call.share(tag)
    row.inputs_are.add(tag.kind)
    row.encoded |= tag.encoded
    row.input_bits = tag.bits
    row.add("dense", dense, tag.copies, share)
    row.add("effective", effective, tag.copies, share)
    row.add("passes", tag.steps * call.books.num_images, tag.copies, share)
    row.sums["executed"] += tag.steps * call.books.num_images
    row.sums["inputs"] += x.numel()
    row.sums["outputs"] += call.out.numel()
    row.sums["elements"] += x.numel()
    # Several events can reach an element after average pooling.
    row.sums["non_zero"] += min(non_zero, x.numel())


def _result(call: Call, row: Row, tag: Tag, bias: Tensor | None, by_weights: bool = True) -> Tag:
    if bias is not None:
        row.add("bias_additions", call.out.numel(), tag.copies, call.share(tag))
    return replace(tags.real(tag), producer=row.name if by_weights else None, encoded=False)


def fan_out_of(x: Tensor, weight: Tensor, out: Tensor, arguments: tuple[Any, ...]) -> Tensor:
    """float64 `[C, …]`: the synapses of each input place, exact at borders, for strides, groups and dilation.

    `arguments` are those of `aten.convolution` from the stride on. It is the gradient of the sum of the outputs of a
    convolution whose weights are ones.
    """
    settings = tuple(tuple(given) if isinstance(given, (list, tuple)) else given for given in arguments)
    return _fan_out(tuple(x.shape[1:]), tuple(weight.shape), tuple(out.shape[1:]), settings)


@lru_cache(maxsize=128)
def _fan_out(
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


def sums_by_step(x: Tensor, tag: Tag, fan_out: Tensor | float, events: bool) -> tuple[Tensor, Tensor]:
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
    sums = tag.sums[key]
    return sums, sums * float(fan_out)


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


LINEAR: dict[str, Callable[[Call], Tag | list[Tag]]] = {
    "convolution": _convolution,
    "_convolution": _convolution,
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "linear"), _product),
}
"""Rules as in `operators.RULES`."""
