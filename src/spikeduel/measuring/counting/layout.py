"""Operators that move, repeat, cut or join: what they give is what they were given."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from spikeduel.measuring.counting import tags
from spikeduel.measuring.counting.tags import REAL, Call, Tag


def _same(call: Call) -> Tag:
    x, tag = call.first
    return tags.elementwise(tag, x.shape, call.out.shape)


def _copied_into(call: Call) -> Tag:
    """`copy_`: what it is, is what was copied."""
    source = call.args[1]
    known = [tag for x, tag in call.data if x is source]
    if not known:
        return Tag(tags.WEIGHT)
    return tags.altered(tags.elementwise(known[0], source.shape, call.out.shape))


def _view(call: Call) -> Tag:
    x, tag = call.first
    return tags.viewed(tag, x.shape, call.out.shape)


def _permute(call: Call) -> Tag:
    x, tag = call.first
    return tags.permuted(tag, [axis % x.dim() for axis in call.args[1]])


def _transpose(call: Call) -> Tag:
    x, tag = call.first
    if x.dim() < 2:
        return tag
    order = list(range(x.dim()))
    a, b = (axis % x.dim() for axis in (call.args[1:3] if call.name == "transpose" else (0, 1)))
    order[a], order[b] = order[b], order[a]
    return tags.permuted(tag, order)


def _unsqueeze(call: Call) -> Tag:
    return tags.inserted(call.first[1], call.args[1] % call.out.dim())


def _squeeze(call: Call) -> Tag:
    x, tag = call.first
    given = call.args[1] if len(call.args) > 1 else list(range(x.dim()))
    axes = [axis % x.dim() for axis in tags.as_list(given)] if x.dim() else []
    return tags.removed(tag, [axis for axis in axes if x.shape[axis] == 1]) if tag.steps > 1 else tag


def _expand(call: Call) -> Tag:
    """Repeated along a new leading axis: time, where it has as many steps as there are."""
    x, tag = call.first
    shape = call.out.shape
    grown = len(shape) > x.dim() or (x.dim() > 0 and x.shape[0] == 1 and shape[0] > 1)
    of_time = grown and tag.steps == 1 and shape[0] in (call.books.num_steps, tag.copies)
    if of_time and list(shape[1:]) == list(x.shape[x.dim() - len(shape) + 1 :]):
        return tags.spread(tag, shape[0])
    return tags.altered(tags.elementwise(tag, x.shape, shape))


def _repeat(call: Call) -> Tag:
    x, tag = call.first
    times = list(call.args[1])
    if tag.steps == 1 and times[0] == call.books.num_steps and all(n == 1 for n in times[1:]):
        # [B, …], T times after one another, is [T·B, …].
        return tags.spread(tag, times[0])
    return tags.altered(tags.elementwise(tag, x.shape, call.out.shape))


def _select(call: Call) -> Tag:
    x, tag = call.first
    axis, index = call.args[1] % x.dim(), call.args[2] % x.shape[call.args[1] % x.dim()]
    if axis == tag.time_dim and x.shape[axis] == tag.steps:
        one = tags.cut(tag, axis, x.shape[axis], index, index + 1)
        return tags.altered(replace(one, time_dim=0, steps=1))
    return tags.altered(tags.removed(tag, [axis]))


def _slice(call: Call) -> Tag:
    x, tag = call.first
    axis = (call.args[1] if len(call.args) > 1 else 0) % x.dim()
    length = x.shape[axis]
    start, stop, step = (*call.args[2:5], *(None, None, None))[:3]
    chosen = range(length)[slice(start, stop, step)]
    if len(chosen) == length:
        return tag
    if step not in (None, 1) and axis == tag.time_dim:
        return tags.altered(tags.without_time(tag))
    return tags.altered(tags.cut(tag, axis, length, chosen.start, chosen.stop))


def _split(call: Call) -> list[Tag]:
    x, tag = call.first
    name_of_axis = 1 if call.name == "unbind" else 2
    axis = (call.args[name_of_axis] if len(call.args) > name_of_axis else 0) % x.dim()
    parts, start = [], 0
    for out in call.outs:
        size = 1 if call.name == "unbind" else out.shape[axis]
        one = tags.cut(tag, axis, x.shape[axis], start, start + size)
        if call.name == "unbind":
            one = replace(one, time_dim=0, steps=1) if axis == tag.time_dim else tags.removed(one, [axis])
        parts.append(tags.altered(one))
        start += size
    return parts


def _chosen(call: Call) -> Tag:
    """Elements picked by index: steps stay apart where the leading axis is as long as before."""
    x, tag = call.first
    whole = tag.time_dim == 0 and call.out.dim() and x.shape[0] == call.out.shape[0]
    return tags.altered(tag if whole else tags.without_time(tag))


def _joined(call: Call) -> Tag:
    """`cat` and `stack`: one kind where all parts are alike, else numbers."""
    parts, axis = call.args[0], call.args[1] if len(call.args) > 1 else 0
    axis %= call.out.dim()
    known = [call.books.tag(part) for part in parts if isinstance(part, Tensor) and part.numel()]
    data = [tag for tag in known if tag.is_data]
    alike = len({(tag.kind, tag.unit) for tag in data}) == 1
    first = data[0] if alike else replace(data[0], kind=REAL, unit=1.0)
    bits = {tag.bits for tag in data}
    first = replace(tags.altered(first), producer=None, bits=bits.pop() if len(bits) == 1 else None)
    if len({(tag.steps, tag.time_dim, tag.first_step) for tag in data}) == 1 and first.steps > 1:
        moved = tags.inserted(first, axis) if call.name == "stack" else first
        return moved if axis != moved.time_dim else tags.without_time(moved)
    in_order = [tag.first_step for tag in data] == list(range(first.first_step, first.first_step + len(data)))
    if in_order and len(data) == len(parts) > 1 and axis == 0 and {tag.steps for tag in data} == {1}:
        return replace(first, steps=len(data), time_dim=0, same=1)
    return replace(tags.without_time(first), first_step=max(tag.last_step for tag in data))


LAYOUT: dict[str, Callable[[Call], Tag | list[Tag]]] = {
    **dict.fromkeys(("alias", "detach", "clone", "contiguous", "_to_copy", "lift_fresh", "flip", "roll",
                                "to", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad2d",
                                "upsample_nearest2d", "upsample_nearest1d", "im2col", "pixel_shuffle",
                                "pixel_unshuffle", "channel_shuffle", "resolve_conj"), _same),
    "copy": _copied_into,
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), _view),
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "expand": _expand,
    "repeat": _repeat,
    "select": _select,
    "slice": _slice,
    "unbind": _split,
    "split": _split,
    "split_with_sizes": _split,
    **dict.fromkeys(("index", "index_select", "gather", "unfold", "as_strided", "repeat_interleave",
                                  "diagonal", "index_put", "scatter"), _chosen),
    "cat": _joined,
    "stack": _joined,
}  # fmt: skip

VIEWS = frozenset(
    ("alias", "detach", "view", "_reshape_alias", "permute", "transpose", "t", "unsqueeze", "squeeze", "expand",
     "select", "slice", "unbind", "split", "split_with_sizes", "unfold", "as_strided", "diagonal")
)  # fmt: skip
"""What shares memory with what it came from: writing into the one changes the other."""
