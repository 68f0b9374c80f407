"""Rules for PyTorch's operators: what is known of the outputs, and what they cost.

A rule is a function `(call, x, tag) -> Tag | list[Tag]` of the first input that depends on the
network's, and its tag; it returns the tags of the outputs. An in-place operator (`add_`) has the
rule of `add`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from torch import Tensor

from spikeduel.counting.ledger import REAL, SPIKES, WEIGHT, Call, Tag
from spikeduel.counting.linear import convolution, product

# ---- Operators that move, repeat, cut or join values


def _same(call: Call, x: Tensor, tag: Tag) -> Tag:
    return tag.elementwise(x.shape, call.out.shape)


def _constant(call: Call, x: Tensor, tag: Tag) -> Tag:
    return Tag(WEIGHT)


def _copied_into(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Return the tag of the source of `copy_`."""
    source = call.args[1]
    return call.ledger.tag(source).elementwise(source.shape, call.out.shape)


def _view(call: Call, x: Tensor, tag: Tag) -> Tag:
    return tag.viewed(x.shape, call.out.shape)


def _permute(call: Call, x: Tensor, tag: Tag) -> Tag:
    return replace(tag, time_dim=[axis % x.dim() for axis in call.args[1]].index(tag.time_dim))


def _transpose(call: Call, x: Tensor, tag: Tag) -> Tag:
    if x.dim() < 2:
        return tag
    a, b = (axis % x.dim() for axis in (call.args[1:3] if call.name == "transpose" else (0, 1)))
    return replace(tag, time_dim={a: b, b: a}.get(tag.time_dim, tag.time_dim))


def _unsqueeze(call: Call, x: Tensor, tag: Tag) -> Tag:
    return tag.inserted(call.args[1] % call.out.dim())


def _squeeze(call: Call, x: Tensor, tag: Tag) -> Tag:
    return (
        tag.removed([axis for axis in _axes(call, x) if x.shape[axis] == 1])
        if tag.steps > 1
        else tag
    )


def _expand(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Take a new leading axis for time if it is as long as there are steps."""
    shape = call.out.shape
    grown = len(shape) > x.dim() or (x.dim() > 0 and x.shape[0] == 1 and shape[0] > 1)
    of_time = grown and tag.steps == 1 and shape[0] in (call.ledger.num_steps, tag.copies)
    if of_time and list(shape[1:]) == list(x.shape[x.dim() - len(shape) + 1 :]):
        return tag.spread(shape[0])
    return tag.elementwise(x.shape, shape)


def _repeat(call: Call, x: Tensor, tag: Tag) -> Tag:
    first, *others = call.args[1]
    if tag.steps == 1 and first == call.ledger.num_steps and set(others) <= {1}:
        # [B, …] repeated T times is [T·B, …].
        return tag.spread(first)
    return tag.elementwise(x.shape, call.out.shape)


def _select(call: Call, x: Tensor, tag: Tag) -> Tag:
    axis = call.args[1] % x.dim()
    return tag.taken(axis, x.shape[axis], call.args[2] % x.shape[axis])


def _unbind(call: Call, x: Tensor, tag: Tag) -> list[Tag]:
    axis = (call.args[1] if len(call.args) > 1 else 0) % x.dim()
    return [tag.taken(axis, x.shape[axis], index) for index in range(x.shape[axis])]


def _slice(call: Call, x: Tensor, tag: Tag) -> Tag:
    axis = (call.args[1] if len(call.args) > 1 else 0) % x.dim()
    length = x.shape[axis]
    chosen = range(length)[slice(*[*call.args[2:5], None, None, None][:3])]
    if len(chosen) == length:
        return tag
    if chosen.step > 1 and axis == tag.time_dim:
        return tag.without_time()
    return tag.cut(axis, length, chosen.start, chosen.stop)


def _split(call: Call, x: Tensor, tag: Tag) -> list[Tag]:
    axis = (call.args[2] if len(call.args) > 2 else 0) % x.dim()
    stops = accumulate(out.shape[axis] for out in call.outs)
    return [
        tag.cut(axis, x.shape[axis], stop - out.shape[axis], stop)
        for out, stop in zip(call.outs, stops, strict=True)
    ]


def _chosen(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Keep steps apart if elements are picked along other axes than the leading one."""
    whole = tag.time_dim == 0 and call.out.dim() and x.shape[0] == call.out.shape[0]
    return tag if whole else tag.without_time()


def _joined(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Return the tag of `cat` and `stack`: numbers, unless all parts are of one kind."""
    parts, axis = call.args[0], (call.args[1] if len(call.args) > 1 else 0) % call.out.dim()
    tags = [tag for part in parts if part.numel() and (tag := call.ledger.tag(part)).is_data]
    bits = {tag.bits for tag in tags}
    first = replace(
        tags[0], producer=None, pooled=None, bits=bits.pop() if len(bits) == 1 else None
    )
    if not _alike(tags):
        first = replace(first, kind=REAL, unit=1.0)
    if first.steps > 1 and len({(tag.steps, tag.time_dim, tag.first_step) for tag in tags}) == 1:
        moved = first.inserted(axis) if call.name == "stack" else first
        return moved if axis != moved.time_dim else moved.without_time()
    in_order = all(
        tag.steps == 1 and tag.first_step == step for step, tag in enumerate(tags, first.first_step)
    )
    if in_order and len(tags) == len(parts) > 1 and axis == 0:
        return replace(first, steps=len(tags), time_dim=0, same=1)
    return replace(first.without_time(), first_step=max(tag.last_step for tag in tags))


def _alike(tags: Iterable[Tag]) -> bool:
    return len({(tag.kind, tag.unit) for tag in tags}) == 1


# ---- Operators that compute


def _makes(
    kind: str = REAL, costs: str | None = None, per_element: float = 1
) -> Callable[[Call, Tensor, Tag], Tag]:
    """Make a rule for numbers, or for zeros and ones (`SPIKES`), at a cost per element."""

    def rule(call: Call, x: Tensor, tag: Tag) -> Tag:
        if costs:
            call.count(costs, per_element * call.out.numel())
        return replace(call.merged.real(), kind=kind)

    return rule


def _activation(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Keep spikes; comparisons cost nothing here."""
    return call.merged if tag.kind == SPIKES else call.merged.real()


def _add(call: Call, x: Tensor, tag: Tag) -> Tag:
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
    call.count("multiplications", call.out.numel())
    return merged.real()


def _scalar(args: Sequence[Any]) -> float | None:
    """Return the number among the first two arguments, if there is one."""
    return next(
        (float(a) for a in args[:2] if isinstance(a, int | float) and not isinstance(a, bool)), None
    )


def _select_by(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Return the tag of `where` and `masked_fill`: values of one tensor or another."""
    chosen = [
        tag for data, tag in call.data if data is not call.args[0] or call.name == "masked_fill"
    ]
    if not chosen:
        return replace(call.merged.real(), kind=SPIKES)
    if not _alike(chosen):
        return call.merged.real()
    return replace(call.merged, kind=chosen[0].kind, unit=chosen[0].unit)


def _axes(call: Call, x: Tensor) -> list[int]:
    """Return the axes in an operator's second argument; all, if it names none."""
    second = call.args[1] if len(call.args) > 1 and call.args[1] is not None else []
    axes = second if isinstance(second, list | tuple) else [second]
    return [axis % x.dim() for axis in axes] if axes and x.dim() else list(range(x.dim()))


def _reduced(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Return the tag after a reduction along the named axes."""
    axes = _axes(call, x)
    if call.out.dim() == x.dim():
        return tag.without_time() if tag.time_dim in axes else tag
    return tag.removed(axes)


def _largest(call: Call, x: Tensor, tag: Tag) -> list[Tag]:
    return [_reduced(call, x, tag)] * len(call.outs)


def _sum(call: Call, x: Tensor, tag: Tag) -> Tag:
    shorter = _reduced(call, x, tag)
    if tag.kind == SPIKES:
        return shorter
    call.count("additions", x.numel() - call.out.numel())
    return shorter.real()


def _mean(call: Call, x: Tensor, tag: Tag) -> Tag:
    size = math.prod(x.shape[axis] for axis in _axes(call, x))
    return _averaged(call, _reduced(call, x, tag), size, x.numel() - call.out.numel())


def _averaged(call: Call, tag: Tag, size: float | None, additions: int) -> Tag:
    """Average spikes to smaller events, and numbers at the cost of a sum and a multiplication.

    `size` is the number of averaged elements, None if it differs between places.
    """
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
    sides = list(zip(x.shape[-2:], call.out.shape[-2:], strict=True))
    size = (
        None
        if any(before % after for before, after in sides)
        else math.prod(a / b for a, b in sides)
    )
    return _averaged(call, tag, size, max(x.numel() - call.out.numel(), 0))


def _max_pool(call: Call, x: Tensor, tag: Tag) -> list[Tag]:
    return [replace(call.merged, producer=None, pooled=call.merged.producer)] * len(call.outs)


FOLDED_BIAS = "folded bias"
"""Name of the bias that a linear operation has once a batch norm is folded into it."""


def _batch_norm(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Fold a batch norm into the linear operation before it; elsewhere it costs a MAC per element.

    It is also folded through max-pooling if no scale is negative: the highest stays the highest.
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


RULES: dict[str, Callable[[Call, Tensor, Tag], Tag | list[Tag]]] = {
    **dict.fromkeys(
        (
            "alias",
            "detach",
            "clone",
            "contiguous",
            "_to_copy",
            "lift_fresh",
            "flip",
            "roll",
            "to",
            "constant_pad_nd",
            "reflection_pad1d",
            "reflection_pad2d",
            "replication_pad2d",
            "upsample_nearest2d",
            "upsample_nearest1d",
            "im2col",
            "pixel_shuffle",
            "pixel_unshuffle",
            "channel_shuffle",
            "resolve_conj",
        ),
        _same,
    ),
    **dict.fromkeys(("zero", "fill"), _constant),
    "copy": _copied_into,
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), _view),
    "permute": _permute,
    **dict.fromkeys(("transpose", "t"), _transpose),
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "expand": _expand,
    "repeat": _repeat,
    "select": _select,
    "slice": _slice,
    "unbind": _unbind,
    **dict.fromkeys(("split", "split_with_sizes", "unsafe_split"), _split),
    **dict.fromkeys(
        (
            "index",
            "index_select",
            "gather",
            "unfold",
            "as_strided",
            "repeat_interleave",
            "diagonal",
            "index_put",
            "scatter",
        ),
        _chosen,
    ),
    **dict.fromkeys(("cat", "stack"), _joined),
    **dict.fromkeys(("convolution", "_convolution"), convolution),
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "mv", "addmv"), product),
    "add": _add,
    **dict.fromkeys(("sub", "rsub", "cumsum"), _makes(costs="additions")),
    **dict.fromkeys(("mul", "div"), _multiply),
    **dict.fromkeys(("where", "masked_fill"), _select_by),
    "sum": _sum,
    "mean": _mean,
    **dict.fromkeys(("amax", "amin", "max", "min"), _largest),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _average_pool),
    "_adaptive_avg_pool2d": _adaptive_average_pool,
    **dict.fromkeys(
        ("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d"), _max_pool
    ),
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"),
        _batch_norm,
    ),
    **dict.fromkeys(("relu", "abs"), _activation),
    **dict.fromkeys(
        (
            "threshold",
            "hardtanh",
            "clamp",
            "clamp_min",
            "clamp_max",
            "minimum",
            "maximum",
            "round",
            "floor",
            "ceil",
            "sort",
            "topk",
            "argmax",
            "argmin",
            "argsort",
            "neg",
            "sign",
        ),
        _makes(),
    ),
    "upsample_bilinear2d": _makes(costs="multiplications", per_element=4),
    **dict.fromkeys(
        ("native_layer_norm", "native_group_norm"), _makes(costs="multiplications", per_element=2)
    ),
    **dict.fromkeys(
        (
            "leaky_relu",
            "_prelu_kernel",
            "hardswish",
            "hardsigmoid",
            "pow",
            "square",
            "linalg_vector_norm",
        ),
        _makes(costs="multiplications"),
    ),
    **dict.fromkeys(
        (
            "sigmoid",
            "tanh",
            "gelu",
            "silu",
            "mish",
            "elu",
            "softplus",
            "exp",
            "log",
            "_softmax",
            "_safe_softmax",
            "_log_softmax",
            "sqrt",
            "rsqrt",
            "sin",
            "cos",
            "erf",
            "reciprocal",
            "log_sigmoid_forward",
        ),
        _makes(costs="functions"),
    ),
    **dict.fromkeys(
        (
            "gt",
            "ge",
            "lt",
            "le",
            "eq",
            "ne",
            "logical_and",
            "logical_or",
            "logical_not",
            "bitwise_and",
            "bitwise_or",
            "bitwise_not",
            "heaviside",
            "isnan",
            "bernoulli",
        ),
        _makes(SPIKES),
    ),
}

SILENT = frozenset(
    (
        "_local_scalar_dense",
        "is_same_size",
        "equal",
        "sym_size",
        "zeros_like",
        "ones_like",
        "empty_like",
        "full_like",
        "new_zeros",
        "new_ones",
        "new_empty",
        "new_full",
        "rand_like",
        "randn_like",
        "new_empty_strided",
    )
)
"""Operators that are no part of an answer: questions about a tensor, new tensors of its shape."""

VIEWS = frozenset(
    (
        "alias",
        "detach",
        "view",
        "_reshape_alias",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
        "expand",
        "select",
        "slice",
        "unbind",
        "split",
        "split_with_sizes",
        "unfold",
        "as_strided",
        "diagonal",
    )
)
"""Operators whose output shares memory with the input."""
