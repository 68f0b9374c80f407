"""What each of PyTorch's operators does to what is known of its inputs, and what it costs.

A rule is a function `(call) -> Tag | list[Tag]`: the tags of the operator's outputs. `RULES` has them by the operator's
name without overload; an in-place operator (`add_`) has the rule of the other (`add`).
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor

from spikeduel.measuring.counting import tags
from spikeduel.measuring.counting.layout import LAYOUT
from spikeduel.measuring.counting.linear import LINEAR
from spikeduel.measuring.counting.tags import SPIKES, Call, Tag


def _out(call: Call) -> Tag:
    """The first data input's tag, in the shape of the output."""
    x, tag = call.first
    return tags.elementwise(tag, x.shape, call.out.shape)


def _costs(name: str, each: float = 1) -> Callable[[Call], Tag]:
    """A rule for what makes numbers of numbers: `each` of `name` for every element of the output."""

    def rule(call: Call) -> Tag:
        call.count(name, each * call.out.numel())
        return tags.real(_out(call))

    return rule


def _activation(call: Call) -> Tag:
    """Comparisons, which cost nothing here. Spikes stay what they are."""
    tag = _out(call)
    return tags.altered(tag) if tag.kind == SPIKES else tags.real(tag)


def _ordering(call: Call) -> Tag:
    """Comparisons, which cost nothing here; of spikes too, numbers are left."""
    return tags.real(_out(call))


def _comparison(call: Call) -> Tag:
    """Zeros and ones, whatever was compared: events."""
    return replace(tags.altered(_out(call)), kind=SPIKES, unit=1.0, producer=None, bits=None)


def _add(call: Call) -> Tag:
    tag = call.merged(call.out.shape)
    data = call.data
    if len(data) == 1:
        other = next((a for a in call.args if isinstance(a, Tensor) and a is not data[0][0]), None)
        if other is None and _scalar(call.args) == 0:
            return tags.altered(tag)
        if other is not None and tag.producer is not None and other.numel() == call.out.shape[-1]:
            # What torch does in place of addmm where an input is not contiguous.
            call.count("bias_additions", call.out.numel(), tag.producer)
            call.books.row_named(tag.producer).parameters["bias"] = other.numel()
            return tags.real(replace(tag, producer=None))
    elif {one.kind for _, one in data} == {SPIKES} and len({one.unit for _, one in data}) == 1:
        # Both layers' events go on as they are.
        return tags.altered(tag)
    call.count("additions", call.out.numel())
    return tags.real(tag)


def _subtract(call: Call) -> Tag:
    call.count("additions", call.out.numel())
    return tags.real(call.merged(call.out.shape))


def _multiply(call: Call, inverse: bool = False) -> Tag:
    tag = call.merged(call.out.shape)
    scale = _scalar(call.args)
    if tag.kind == SPIKES and len(call.data) == 1 and scale is not None and scale > 0:
        # Larger or smaller spikes, which the next weights can make up for.
        return replace(tags.altered(tag), unit=tag.unit / scale if inverse else tag.unit * scale)
    call.count("multiplications", call.out.numel())
    return tags.real(tag)


def _divide(call: Call) -> Tag:
    return _multiply(call, inverse=True)


def _scalar(args: tuple[Any, ...]) -> float | None:
    """The number by which a tensor is multiplied or to which it is added, where there is one."""
    numbers = [a for a in args[:2] if isinstance(a, (int, float)) and not isinstance(a, bool)]
    return float(numbers[0]) if numbers else None


def _select_by(call: Call) -> Tag:
    """`where`, `masked_fill`: one tensor's values or another's."""
    chosen = [(x, tag) for x, tag in call.data if x is not call.args[0] or call.name == "masked_fill"]
    if not chosen:
        return _comparison(call)
    alike = len({(tag.kind, tag.unit) for _, tag in chosen}) == 1
    tag = call.merged(call.out.shape)
    return replace(tags.altered(tag), kind=chosen[0][1].kind, unit=chosen[0][1].unit) if alike else tags.real(tag)


def _sum(call: Call) -> Tag:
    x, tag = call.first
    shorter = _reduced(call, tag, _axes(call, x))
    if tag.kind == SPIKES:
        return tags.altered(shorter)
    call.count("additions", x.numel() - call.out.numel())
    return tags.real(shorter)


def _mean(call: Call) -> Tag:
    x, tag = call.first
    axes = _axes(call, x)
    size = math.prod(x.shape[axis] for axis in axes)
    return _averaged(call, _reduced(call, tag, axes), size, x.numel() - call.out.numel())


def _largest(call: Call) -> Tag | list[Tag]:
    x, tag = call.first
    return [tags.altered(_reduced(call, tag, _axes(call, x))) for _ in call.outs]


def _axes(call: Call, x: Tensor) -> list[int]:
    given = call.args[1] if len(call.args) > 1 and call.args[1] is not None else []
    return [axis % x.dim() for axis in tags.as_list(given)] or list(range(x.dim()))


def _reduced(call: Call, tag: Tag, axes: list[int]) -> Tag:
    if call.out.dim() == call.first[0].dim():
        return tags.without_time(tag) if tag.time_dim in axes else tag
    return tags.removed(tag, axes)


def _averaged(call: Call, tag: Tag, size: float, additions: int) -> Tag:
    """Of spikes: each is still one event, of a smaller size. Of numbers: a sum, and one multiplication."""
    if tag.kind == SPIKES:
        return replace(tags.altered(tag), unit=tag.unit / size)
    call.count("additions", additions)
    call.count("multiplications", call.out.numel())
    return tags.real(tag)


def _average_pool(call: Call) -> Tag:
    tag = call.first[1]
    kernel = tags.as_list(call.args[1])
    padded = len(call.args) > 3 and any(call.args[3])
    uneven = padded and len(call.args) > 5 and not call.args[5]
    rounded_up = len(call.args) > 4 and bool(call.args[4])
    size = call.args[6] if len(call.args) > 6 and call.args[6] else math.prod(kernel)
    return _pooled(call, tag, size, uneven or rounded_up, call.out.numel() * (math.prod(kernel) - 1))


def _adaptive_average_pool(call: Call) -> Tag:
    x, tag = call.first
    if x.shape == call.out.shape:
        return tag
    sides = list(zip(x.shape[-2:], call.out.shape[-2:], strict=True))
    uneven = any(before % after for before, after in sides)
    size = math.prod(before / after for before, after in sides)
    return _pooled(call, tag, size, uneven, max(x.numel() - call.out.numel(), 0))


def _pooled(call: Call, tag: Tag, size: float, uneven: bool, additions: int) -> Tag:
    if uneven and tag.kind == SPIKES:
        call.note("Its windows differ in size, so that its averages of spikes count as numbers.")
        call.count("additions", additions)
        call.count("multiplications", call.out.numel())
        return tags.real(tag)
    return _averaged(call, tag, size, additions)


def _max_pool(call: Call) -> list[Tag]:
    return [replace(tags.altered(_out(call)), producer=None) for _ in call.outs]


def _batch_norm(call: Call) -> Tag:
    """Free directly behind a linear operation, whose weights it is folded into; else a MAC an element."""
    tag = _out(call)
    if tag.producer is not None:
        call.row("arithmetic").folded_into = tag.producer
    else:
        call.count("multiplications", call.out.numel())
    return replace(tags.real(tag), producer=tag.producer)


RULES: dict[str, Callable[[Call], Tag | list[Tag]]] = {
    **LAYOUT,
    **LINEAR,
    "add": _add,
    "sub": _subtract,
    "rsub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "where": _select_by,
    "masked_fill": _select_by,
    "sum": _sum,
    "mean": _mean,
    **dict.fromkeys(("amax", "amin", "max", "min"), _largest),
    "upsample_bilinear2d": _costs("multiplications", 4),
    "avg_pool1d": _average_pool,
    "avg_pool2d": _average_pool,
    "avg_pool3d": _average_pool,
    "_adaptive_avg_pool2d": _adaptive_average_pool,
    "max_pool2d_with_indices": _max_pool,
    "max_pool3d_with_indices": _max_pool,
    "adaptive_max_pool2d": _max_pool,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "cudnn_batch_norm": _batch_norm,
    "native_layer_norm": _costs("multiplications", 2),
    "native_group_norm": _costs("multiplications", 2),
    "relu": _activation,
    "abs": _activation,
    **dict.fromkeys(("threshold", "hardtanh", "clamp", "clamp_min", "clamp_max", "minimum", "maximum", "round", "floor",
                     "ceil", "sort", "topk", "argmax", "argmin", "argsort", "neg", "sign"), _ordering),
    "cumsum": _costs("additions"),
    **dict.fromkeys(("leaky_relu", "_prelu_kernel", "hardswish", "hardsigmoid", "pow", "square",
                     "linalg_vector_norm"), _costs("multiplications")),
    **dict.fromkeys(("sigmoid", "tanh", "gelu", "silu", "mish", "elu", "softplus", "exp", "log", "_softmax",
                     "_safe_softmax", "_log_softmax", "sqrt", "rsqrt", "sin", "cos", "erf", "reciprocal",
                     "log_sigmoid_forward"), _costs("functions")),
    **dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or", "logical_not", "bitwise_and",
                     "bitwise_or", "bitwise_not", "heaviside", "isnan", "bernoulli"), _comparison),
}  # fmt: skip

SILENT = frozenset(
    ("_local_scalar_dense", "is_same_size", "equal", "sym_size", "zeros_like", "ones_like", "empty_like", "full_like",
     "new_zeros", "new_ones", "new_empty", "new_full", "rand_like", "randn_like", "new_empty_strided")
)  # fmt: skip
"""What gives no part of an answer: questions about a tensor, and new ones of its shape."""
