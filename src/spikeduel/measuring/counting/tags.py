"""What the counter knows of a tensor, and how its time axis fares when the tensor is laid out anew."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from spikeduel.spiking.constant_input import ConstantInput
from spikeduel.system.errors import InputError

WEIGHT, IMAGE, REAL, SPIKES = "weight", "image", "real", "spikes"
"""What does not depend on the input | the analogue input | what was computed | events."""


class NotCounted(InputError):
    """A network does something of which it is not known what it costs; the text says what, and how to declare it."""


class CannotCount(Exception):
    """What a rule has met that it does not know; its text completes "uses …"."""


@dataclass(frozen=True)
class Tag:
    """`value` numbers what a tensor holds: the same operator on the same values gives the same number.

    An event has the size `unit` (average pooling over k×k spikes: 1/k²), so that tensor/unit counts events. Along
    `time_dim` lie `steps` time steps from `first_step` on, as the outer part of that axis ([T·B, …] or [T, B, …]); all
    of them are alike in groups of `same`. `copies`: for how many passes this one stands (`ConstantInput`).
    `producer` is
    the row of the linear operation that this comes directly from, `label` the name of the parameter that it is, `bits`
    how many bits an activation has where that was trained; `encoded` is said of what still is the network's input;
    `sums` keeps what was summed up already.
    """

    kind: str
    value: int = 0
    unit: float = 1.0
    first_step: int = 0
    steps: int = 1
    time_dim: int = 0
    same: int = 1
    copies: int = 1
    producer: str | None = None
    label: str | None = None
    bits: int | None = None
    encoded: bool = False
    sums: dict[str, Tensor] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_data(self) -> bool:
        """Whether it depends on the network's input."""
        return self.kind != WEIGHT

    @property
    def last_step(self) -> int:
        """The last of its time steps."""
        return self.first_step + self.steps - 1


def without_time(tag: Tag) -> Tag:
    """`tag` of something whose time steps can no longer be told apart: it is there at the last of them."""
    if tag.steps == 1:
        return replace(tag, time_dim=0, same=1)
    return replace(tag, first_step=tag.last_step, steps=1, time_dim=0, same=1)


def altered(tag: Tag) -> Tag:
    """`tag` of something with other elements than before: what was summed up is worth nothing."""
    return replace(tag, sums={}, label=None)


def elementwise(tag: Tag, before: Sequence[int], after: Sequence[int]) -> Tag:
    """`tag` after an operator that broadcasts, or that leaves the leading axes as they are."""
    place = tag.time_dim + max(len(after) - len(before), 0)
    if before and place < len(after) and after[place] == before[tag.time_dim]:
        return replace(tag, time_dim=place)
    return without_time(tag)


def viewed(tag: Tag, before: Sequence[int], after: Sequence[int]) -> Tag:
    """`tag` after a view in row-major order: steps stay apart while whole leading rows belong to one of them."""
    if tag.time_dim == 0 and len(after) and after[0] % tag.steps == 0:
        return tag
    if tag.time_dim and tuple(before[: tag.time_dim + 1]) == tuple(after[: tag.time_dim + 1]):
        return tag
    return without_time(tag)


def permuted(tag: Tag, order: Sequence[int]) -> Tag:
    """`tag` after its axes came into another `order`, which lists the old axes."""
    return replace(tag, time_dim=list(order).index(tag.time_dim))


def inserted(tag: Tag, axis: int) -> Tag:
    """`tag` after an axis of length 1 was put at `axis`."""
    return replace(tag, time_dim=tag.time_dim + (axis <= tag.time_dim)) if tag.steps > 1 else tag


def removed(tag: Tag, axes: Sequence[int]) -> Tag:
    """`tag` after `axes` were summed up or taken out."""
    if tag.time_dim in axes:
        return without_time(tag)
    return replace(tag, time_dim=tag.time_dim - sum(axis < tag.time_dim for axis in axes))


def cut(tag: Tag, axis: int, length: int, start: int, stop: int) -> Tag:
    """`tag` of the part from `start` to `stop` of an `axis` of `length`."""
    if axis != tag.time_dim or tag.steps == 1:
        return tag
    if length != tag.steps:
        return without_time(tag)
    return replace(tag, first_step=tag.first_step + start, steps=max(stop - start, 1), same=1)


def spread(tag: Tag, num_steps: int) -> Tag:
    """`tag` of something repeated along a new leading axis of `num_steps` time steps."""
    return replace(tag, steps=num_steps, time_dim=0, same=num_steps, copies=1, sums={})


def flat(value: Any) -> list[Any]:
    """What lists, tuples and dicts hold, at any depth."""
    if isinstance(value, (list, tuple)):
        return [entry for part in value for entry in flat(part)]
    if isinstance(value, dict):
        return [entry for part in value.values() for entry in flat(part)]
    if isinstance(value, ConstantInput):
        return [value.value]
    return [value]
