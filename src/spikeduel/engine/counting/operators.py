"""Rules by which PyTorch's operators are counted; a further operator is a row of `RULES`.

A rule `(call, x, tag) -> Tag | list[Tag]` gets the first input that depends on the network's, and
its tag; `add_` has that of `add`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from spikeduel.engine.counting.ledger import REAL, SPIKES, WEIGHT, Call, Row, Tag
from spikeduel.system.hardware import widest


def _same(call: Call, x: Tensor, tag: Tag) -> Tag:
    return tag.elementwise(x.shape, call.out.shape)


def _constant(call: Call, x: Tensor, tag: Tag) -> Tag:
    return Tag(WEIGHT)


def _copied_into(call: Call, x: Tensor, tag: Tag) -> Tag:
    source = call.args[1]
    return call.ledger.tag(source).elementwise(source.shape, call.out.shape)


def _view(call: Call, x: Tensor, tag: Tag) -> Tag:
    return tag.viewed(x.shape, call.out.shape)


def _moved(call: Call, x: Tensor, tag: Tag) -> list[Tag]:
    """Follow time steps through an operator that moves entries, by moving their numbers."""
    if tag.steps == 1:
        return [tag] * len(call.outs)
    axis, shape = tag.time_dim, call.shape
    steps = torch.arange(tag.steps).repeat_interleave(shape[axis] // tag.steps)
    steps = steps.view(-1, *[1] * (len(shape) - axis - 1)).expand(shape)
    moved = call.operator(steps, *call.args[1:])
    return [_with_steps(tag, part) for part in (moved if isinstance(moved, list) else [moved])]


def _with_steps(tag: Tag, steps: Tensor) -> Tag:
    """Return the tag of a tensor whose entries belong to `steps`, which vary along one axis."""
    sizes = zip(steps.shape, steps.stride(), strict=True)
    axis = next((axis for axis, (size, stride) in enumerate(sizes) if size > 1 and stride), 0)
    along = steps.movedim(axis, 0).flatten(1)[:, 0] if steps.dim() > 1 else steps.view(-1)
    distinct = along.unique_consecutive()
    runs = (distinct[0] + torch.arange(len(distinct))).repeat_interleave(
        len(along) // len(distinct)
    )
    if not torch.equal(along, runs):
        return tag.without_time()
    return replace(
        tag,
        first_step=tag.first_step + int(distinct[0]),
        steps=len(distinct),
        time_dim=axis if len(distinct) > 1 else 0,
        same=tag.same if len(distinct) == tag.steps else 1,
    )


def _expand(call: Call, x: Tensor, tag: Tag) -> Tag:
    shape = call.out.shape
    grown = len(shape) > x.dim() or (x.dim() > 0 and x.shape[0] == 1 and shape[0] > 1)
    of_time = grown and tag.steps == 1 and shape[0] in (call.ledger.num_steps, tag.copies)
    if of_time and list(shape[1:]) == list(x.shape[x.dim() - len(shape) + 1 :]):
        return tag.repeated(shape[0])
    return tag.elementwise(x.shape, shape)


def _repeat(call: Call, x: Tensor, tag: Tag) -> Tag:
    first, *others = call.args[1]
    if tag.steps == 1 and first == call.ledger.num_steps and set(others) <= {1}:
        # [B, …] repeated T times is [T·B, …].
        return tag.repeated(first)
    return tag.elementwise(x.shape, call.out.shape)


def _chosen(call: Call, x: Tensor, tag: Tag) -> Tag:
    whole = tag.time_dim == 0 and call.out.dim() and x.shape[0] == call.out.shape[0]
    return tag if whole else tag.without_time()


def _joined(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Return the tag of joined tensors: a sequence if they are single steps in order."""
    parts, axis = call.args[0], (call.args[1] if len(call.args) > 1 else 0) % call.out.dim()
    tags = [tag for part in parts if part.numel() and (tag := call.ledger.tag(part)).is_data]
    bits = {tag.bits for tag in tags}
    first = replace(
        tags[0], producer=None, pooled=None, bits=bits.pop() if len(bits) == 1 else None
    )
    if not _alike(tags):
        first = replace(first, kind=REAL, unit=1.0)
    if first.steps > 1 and len({(tag.steps, tag.time_dim, tag.first_step) for tag in tags}) == 1:
        time_dim = first.time_dim + (call.name == "stack" and axis <= first.time_dim)
        return replace(first, time_dim=time_dim) if axis != time_dim else first.without_time()
    in_order = all(
        tag.steps == 1 and tag.first_step == step for step, tag in enumerate(tags, first.first_step)
    )
    if in_order and len(tags) == len(parts) > 1 and axis == 0:
        return replace(first, steps=len(tags), time_dim=0, same=1)
    return replace(first.without_time(), first_step=max(tag.last_step for tag in tags))


def _alike(tags: Iterable[Tag]) -> bool:
    return len({(tag.kind, tag.unit) for tag in tags}) == 1


def _makes(
    kind: str = REAL, costs: str | None = None, per_element: float = 1
) -> Callable[[Call, Tensor, Tag], Tag]:
    def rule(call: Call, x: Tensor, tag: Tag) -> Tag:
        if costs:
            call.count(costs, per_element * call.out.numel())
        return replace(call.merged.real(), kind=kind)

    return rule


def _activation(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Keep spikes; comparisons cost nothing here."""
    return call.merged if tag.kind == SPIKES else call.merged.real()


def _add(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Count additions; spikes added to spikes stay spikes."""
    merged = call.merged
    if len(call.data) == 1:
        other = next((a for a in call.args if isinstance(a, Tensor) and a is not x), None)
        if other is None and _scalar(call.args) == 0:
            return merged
        if (
            other is not None
            and merged.producer is not None
            and other.numel() == call.out.shape[-1]
        ):
            # torch's way of addmm for an input that is not contiguous
            call.count("bias_additions", call.out.numel(), merged.producer)
            call.ledger.row_named(merged.producer).parameters["bias"] = other.numel()
            return merged.real()
    elif tag.kind == SPIKES and _alike(tag for _, tag in call.data):
        # The events of both layers go on.
        return merged
    call.count("additions", call.out.numel())
    return merged.real()


def _multiply(call: Call, x: Tensor, tag: Tag) -> Tag:
    merged, scale = call.merged, _scalar(call.args)
    if tag.kind == SPIKES and len(call.data) == 1 and scale is not None and scale > 0:
        # Larger or smaller spikes: the next weights could make up for it.
        return replace(
            merged, unit=merged.unit / scale if call.name == "div" else merged.unit * scale
        )
    if call.name == "mul" and [tag.kind for _, tag in call.data] == [SPIKES, SPIKES]:
        for (mask, one), (_, other) in (call.data, call.data[::-1]):
            if bool((mask <= one.unit).all()):
                # A factor of at most one spike selects spikes of the other.
                unit = one.unit * other.unit
                return replace(merged, unit=unit, averaged=other.averaged, bits=other.bits)
    call.count("multiplications", call.out.numel())
    return merged.real()


def _scalar(args: Sequence[Any]) -> float | None:
    return next(
        (float(a) for a in args[:2] if isinstance(a, int | float) and not isinstance(a, bool)), None
    )


def _select_by(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Return the tag of `where` and `masked_fill`."""
    chosen = [
        tag for data, tag in call.data if data is not call.args[0] or call.name == "masked_fill"
    ]
    if not chosen:
        return replace(call.merged.real(), kind=SPIKES)
    if not _alike(chosen):
        return call.merged.real()
    return replace(call.merged, kind=chosen[0].kind, unit=chosen[0].unit)


def _axes(call: Call, x: Tensor) -> list[int]:
    second = call.args[1] if len(call.args) > 1 and call.args[1] is not None else []
    axes = second if isinstance(second, list | tuple) else [second]
    return [axis % x.dim() for axis in axes] if axes and x.dim() else list(range(x.dim()))


def _reduced(call: Call, x: Tensor, tag: Tag) -> Tag:
    axes = _axes(call, x)
    if call.out.dim() == x.dim():
        return tag.without_time() if tag.time_dim in axes else tag
    return tag.removed(axes)


def _largest(call: Call, x: Tensor, tag: Tag) -> list[Tag]:
    return [_reduced(call, x, tag)] * len(call.outs)


def _sum(call: Call, x: Tensor, tag: Tag) -> Tag:
    reduced = _reduced(call, x, tag)
    # A sum of spikes stays spikes: the layer that takes them adds every one.
    if tag.kind == SPIKES:
        return reduced
    call.count("additions", x.numel() - call.out.numel())
    return reduced.real()


def _mean(call: Call, x: Tensor, tag: Tag) -> Tag:
    size = math.prod(x.shape[axis] for axis in _axes(call, x))
    return _averaged(call, _reduced(call, x, tag), size, x.numel() - call.out.numel())


def _averaged(call: Call, tag: Tag, size: float | None, additions: int) -> Tag:
    """Average spikes to smaller events; `size` is None if it differs between places."""
    if tag.kind == SPIKES and size is not None:
        return replace(tag, unit=tag.unit / size, averaged=tag.averaged * size)
    if tag.kind == SPIKES:
        note = "Its windows differ in size, so that its averages of spikes count as numbers."
        call.ledger.row("arithmetic").notes[note] = None
    call.count("additions", additions)
    call.count("multiplications", call.out.numel())
    return tag.real()


def _average_pool(call: Call, x: Tensor, tag: Tag) -> Tag:
    defaults: list[Any] = [[], [0], False, True, None]
    _, padding, rounded_up, with_padding, divisor = [
        *call.args[2:],
        *defaults[len(call.args) - 2 :],
    ]
    number = math.prod(call.args[1] if isinstance(call.args[1], list | tuple) else [call.args[1]])
    size = None if rounded_up or (any(padding) and not with_padding) else divisor or number
    return _averaged(call, tag, size, call.out.numel() * (number - 1))


def _adaptive_average_pool(call: Call, x: Tensor, tag: Tag) -> Tag:
    if x.shape == call.out.shape:
        return tag
    lengths = list(zip(x.shape[-2:], call.out.shape[-2:], strict=True))
    size = (
        None
        if any(before % after for before, after in lengths)
        else math.prod(a / b for a, b in lengths)
    )
    return _averaged(call, tag, size, max(x.numel() - call.out.numel(), 0))


def _max_pool(call: Call, x: Tensor, tag: Tag) -> list[Tag]:
    return [replace(call.merged, producer=None, pooled=call.merged.producer)] * len(call.outs)


FOLDED_BIAS = "folded bias"
"""Bias of a linear operation with a batch norm folded into it."""


def _batch_norm(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Fold a batch norm into a linear operation, also through max-pooling without negative scales;
    elsewhere it costs a MAC per element.
    """
    producer, scale = call.merged.producer, call.args[1]
    if call.merged.pooled and (scale is None or bool((scale >= 0).all())):
        producer = call.merged.pooled
    if producer is not None:
        call.ledger.row("arithmetic").folded_into = producer
        linear = call.ledger.row_named(producer)
        if not any(name.endswith("bias") for name in linear.parameters):
            linear.parameters[FOLDED_BIAS] = x.shape[1]
        if FOLDED_BIAS in linear.parameters:
            call.count("bias_additions", call.out.numel(), producer)
    else:
        call.count("multiplications", call.out.numel())
    return replace(call.merged.real(), producer=call.merged.producer)


def convolution(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Count a convolution as a layer of synapses."""
    x, weight, bias, *arguments = call.args
    if call.ledger.tag(weight).is_data:
        raise call.ledger.unknown(
            "uses a convolution with weights that are computed from the input"
        )
    tag = call.ledger.tag(x)
    tag = tag.without_time() if tag.time_dim else tag
    # Places beyond the border are no input, for spikes and numbers alike.
    fan_out = fan_out_of(x, weight, call.out, arguments)
    row = call.ledger.row("synapses", call.ledger.tag(weight).label)
    row.depthwise = arguments[-1] > 1 and weight.shape[1] == 1
    # A network without time may take frame after frame, a pass each.
    return _layer(
        call, x, tag, tag, weight, bias, fan_out, x.shape[0] * int(fan_out.sum()), passes=x.shape[0]
    )


def product(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Count a matrix product: a linear layer, or a product of activations."""
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
    """Count `x` times a weight, with its bias, in the weight's row; return the output's tag."""
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
    """Count `x`, each entry with a `fan` of synapses; weights are used in `passes`, by default once
    a step and image.
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
    # Average pooling or counts bring several events to an element.
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
    """Return float64 `[C, …]`, the synapses of each input place: a convolution's gradient for
    weights of 1.
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
    """Return float64 `[steps]` twice: the number of events (or of nonzero numbers), and that times
    `fan_out`, a number or `[…]` as `x[0]`.

    `tag` says along which dimension of `x` time lies, how many steps it holds, and whether `x`
    holds spikes, of which size. float32 counts no further than 2²⁴.
    """
    x = x.movedim(tag.time_dim, 0) if x.dim() else x.reshape(1)
    x = x.unflatten(0, (tag.steps, x.shape[0] // tag.steps))
    if tag.kind != SPIKES:
        x = x != 0
    elif tag.unit != 1:
        # A mean of spikes rounded to bfloat16 is still an integer number of events.
        x = (x.float() / tag.unit).round()
    if isinstance(fan_out, Tensor):
        places = x.sum(1, dtype=torch.float32).cpu().double()
        return places.flatten(1).sum(1), (places * fan_out).flatten(1).sum(1)
    x = x.sum(tuple(range(2, x.dim())), dtype=torch.float32) if x.dim() > 2 else x
    sums = x.cpu().sum(1, dtype=torch.float64)
    return sums, sums * fan_out


_RULES: dict[Callable[..., Tag | list[Tag]], str] = {
    _same: "alias detach clone contiguous _to_copy lift_fresh flip roll to constant_pad_nd "
    "reflection_pad1d reflection_pad2d replication_pad2d upsample_nearest2d upsample_nearest1d "
    "im2col pixel_shuffle pixel_unshuffle channel_shuffle resolve_conj",
    _constant: "zero fill",
    _copied_into: "copy",
    _view: "view _unsafe_view reshape _reshape_alias",
    _expand: "expand",
    _repeat: "repeat",
    _moved: "permute transpose t unsqueeze squeeze select slice unbind split split_with_sizes "
    "unsafe_split",
    _chosen: "index index_select gather unfold as_strided repeat_interleave diagonal index_put "
    "scatter",
    _joined: "cat stack",
    convolution: "convolution _convolution",
    product: "mm addmm bmm baddbmm mv addmv",
    _add: "add",
    _makes(costs="additions"): "sub rsub cumsum",
    _multiply: "mul div",
    _select_by: "where masked_fill",
    _sum: "sum",
    _mean: "mean",
    _largest: "amax amin max min",
    _average_pool: "avg_pool1d avg_pool2d avg_pool3d",
    _adaptive_average_pool: "_adaptive_avg_pool2d",
    _max_pool: "max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d",
    _batch_norm: "native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm",
    _activation: "relu abs",
    _makes(): "threshold hardtanh clamp clamp_min clamp_max minimum maximum round floor ceil sort "
    "topk argmax argmin argsort neg sign",
    _makes(costs="multiplications", per_element=4): "upsample_bilinear2d",
    _makes(costs="multiplications", per_element=2): "native_layer_norm native_group_norm",
    _makes(costs="multiplications"): "leaky_relu _prelu_kernel hardswish hardsigmoid pow square "
    "linalg_vector_norm",
    _makes(costs="functions"): "sigmoid tanh gelu silu mish elu softplus exp log _softmax "
    "_safe_softmax _log_softmax sqrt rsqrt sin cos erf reciprocal log_sigmoid_forward",
    _makes(SPIKES): "gt ge lt le eq ne logical_and logical_or logical_not bitwise_and bitwise_or "
    "bitwise_not heaviside isnan bernoulli",
}
RULES = {name: rule for rule, names in _RULES.items() for name in names.split()}
"""Rule of each operator."""

_SILENT = (
    "_local_scalar_dense is_same_size equal sym_size zeros_like ones_like empty_like full_like "
    "new_zeros new_ones new_empty new_full rand_like randn_like new_empty_strided"
)
SILENT = frozenset(_SILENT.split())
"""Operators that are no part of the output: questions about a tensor, new tensors of its shape."""
_VIEWS = (
    "alias detach view _reshape_alias permute transpose t unsqueeze squeeze expand select slice "
    "unbind split split_with_sizes unfold as_strided diagonal"
)
VIEWS = frozenset(_VIEWS.split())
"""Operators whose output shares memory with the input."""
