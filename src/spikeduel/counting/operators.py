"""What each of PyTorch's operators does to what is known of its inputs, and what it costs.

A rule is a function `(call, x, tag) -> Tag | list[Tag]`: `x` is the first input that depends on the
network's, and `tag` what is known of it; it returns the tags of the operator's outputs. `RULES` has
them by the operator's name without overload; an in-place operator (`add_`) has the rule of the
other (`add`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from torch import Tensor

from spikeduel.counting.books import REAL, SPIKES, WEIGHT, Call, Tag
from spikeduel.counting.linear import convolution, product

# ---- What moves, repeats, cuts or joins: what it gives is what it was given.


def _same(call: Call, x: Tensor, tag: Tag) -> Tag:
    return tag.elementwise(x.shape, call.out.shape)


def _constant(call: Call, x: Tensor, tag: Tag) -> Tag:
    return Tag(WEIGHT)


def _copied_into(call: Call, x: Tensor, tag: Tag) -> Tag:
    """`copy_`: what it is, is what was copied."""
    source = call.args[1]
    return call.books.tag(source).elementwise(source.shape, call.out.shape)


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
    """Repeated along a new leading axis: time, where it has as many steps as there are."""
    shape = call.out.shape
    grown = len(shape) > x.dim() or (x.dim() > 0 and x.shape[0] == 1 and shape[0] > 1)
    of_time = grown and tag.steps == 1 and shape[0] in (call.books.num_steps, tag.copies)
    if of_time and list(shape[1:]) == list(x.shape[x.dim() - len(shape) + 1 :]):
        return tag.spread(shape[0])
    return tag.elementwise(x.shape, shape)


def _repeat(call: Call, x: Tensor, tag: Tag) -> Tag:
    first, *others = call.args[1]
    if tag.steps == 1 and first == call.books.num_steps and set(others) <= {1}:
        # [B, …], T times after one another, is [T·B, …].
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
    """Elements picked by index: steps stay apart where the leading axis is as long as before."""
    whole = tag.time_dim == 0 and call.out.dim() and x.shape[0] == call.out.shape[0]
    return tag if whole else tag.without_time()


def _joined(call: Call, x: Tensor, tag: Tag) -> Tag:
    """`cat` and `stack`: one kind where all parts are alike, else numbers."""
    parts, axis = call.args[0], (call.args[1] if len(call.args) > 1 else 0) % call.out.dim()
    known = [call.books.tag(part) for part in parts if part.numel()]
    data = [each for each in known if each.is_data]
    alike = len({(each.kind, each.unit) for each in data}) == 1
    bits = {each.bits for each in data}
    first = replace(
        data[0], producer=None, pooled=None, bits=bits.pop() if len(bits) == 1 else None
    )
    first = first if alike else replace(first, kind=REAL, unit=1.0)
    if (
        len({(each.steps, each.time_dim, each.first_step) for each in data}) == 1
        and first.steps > 1
    ):
        moved = first.inserted(axis) if call.name == "stack" else first
        return moved if axis != moved.time_dim else moved.without_time()
    in_order = [each.first_step for each in data] == list(
        range(first.first_step, first.first_step + len(data))
    )
    if (
        in_order
        and len(data) == len(parts) > 1
        and axis == 0
        and {each.steps for each in data} == {1}
    ):
        return replace(first, steps=len(data), time_dim=0, same=1)
    return replace(first.without_time(), first_step=max(each.last_step for each in data))


# ---- What computes.


def _makes(
    kind: str = REAL, costs: str | None = None, each: float = 1
) -> Callable[[Call, Tensor, Tag], Tag]:
    """A rule for what makes numbers, of spikes too, or zeros and ones (events), at a cost of `each`
    an element.
    """

    def rule(call: Call, x: Tensor, tag: Tag) -> Tag:
        if costs:
            call.count(costs, each * call.out.numel())
        return replace(call.merged.real(), kind=kind)

    return rule


def _activation(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Comparisons, which cost nothing here. Spikes stay what they are."""
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
            # What torch does in place of addmm where an input is not contiguous.
            call.count("bias_additions", call.out.numel(), merged.producer)
            call.books.row_named(merged.producer).parameters["bias"] = other.numel()
            return merged.real()
    elif {each.kind for _, each in call.data} == {SPIKES} and len(
        {each.unit for _, each in call.data}
    ) == 1:
        # Both layers' events go on as they are.
        return merged
    call.count("additions", call.out.numel())
    return merged.real()


def _multiply(call: Call, x: Tensor, tag: Tag) -> Tag:
    merged, scale = call.merged, _scalar(call.args)
    if tag.kind == SPIKES and len(call.data) == 1 and scale is not None and scale > 0:
        # Larger or smaller spikes, which the next weights can make up for.
        return replace(
            merged, unit=merged.unit / scale if call.name == "div" else merged.unit * scale
        )
    call.count("multiplications", call.out.numel())
    return merged.real()


def _scalar(args: Sequence[Any]) -> float | None:
    """The number by which a tensor is multiplied or to which it is added, where there is one."""
    return next(
        (float(a) for a in args[:2] if isinstance(a, int | float) and not isinstance(a, bool)), None
    )


def _select_by(call: Call, x: Tensor, tag: Tag) -> Tag:
    """`where`, `masked_fill`: one tensor's values or another's."""
    chosen = [
        each for data, each in call.data if data is not call.args[0] or call.name == "masked_fill"
    ]
    if not chosen:
        return replace(call.merged.real(), kind=SPIKES)
    alike = len({(each.kind, each.unit) for each in chosen}) == 1
    return (
        replace(call.merged, kind=chosen[0].kind, unit=chosen[0].unit)
        if alike
        else call.merged.real()
    )


def _axes(call: Call, x: Tensor) -> list[int]:
    """The axes that an operator takes as its second argument; all, where it names none."""
    given = call.args[1] if len(call.args) > 1 and call.args[1] is not None else []
    axes = given if isinstance(given, list | tuple) else [given]
    return [axis % x.dim() for axis in axes] if axes and x.dim() else list(range(x.dim()))


def _reduced(call: Call, x: Tensor, tag: Tag) -> Tag:
    """What is left of the time axis after the axes that are named."""
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
    """Of spikes: each is still one event, of a smaller size. Of numbers: a sum, and one
    multiplication.

    `size` is how many are averaged; None where that is not the same everywhere.
    """
    if tag.kind == SPIKES and size is not None:
        return replace(tag, unit=tag.unit / size)
    if tag.kind == SPIKES:
        note = "Its windows differ in size, so that its averages of spikes count as numbers."
        call.books.row("arithmetic").notes[note] = None
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
"""A parameter that a linear operation has only once a batch norm was folded into it."""


def _batch_norm(call: Call, x: Tensor, tag: Tag) -> Tag:
    """Directly behind a linear operation it is folded into its weights and its bias; else a MAC an
    element.

    So it is behind max-pooling, if no scale is negative: the highest stays the highest.
    """
    producer, scale = call.merged.producer, call.args[1]
    if call.merged.pooled and (scale is None or bool((scale >= 0).all())):
        producer = call.merged.pooled
    if producer is not None:
        call.books.row("arithmetic").folded_into = producer
        linear = call.books.row_named(producer)
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
    "upsample_bilinear2d": _makes(costs="multiplications", each=4),
    **dict.fromkeys(
        ("native_layer_norm", "native_group_norm"), _makes(costs="multiplications", each=2)
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
"""What gives no part of an answer: questions about a tensor, and new ones of its shape."""

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
"""What shares memory with what it came from: writing into the one changes the other."""
