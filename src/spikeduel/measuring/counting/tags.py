"""What the counter knows of a tensor and of an operator at work, and what becomes of the time axis of a tensor."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from spikeduel.measuring.counting.rows import Kind, Row
from spikeduel.spiking import ConstantInput
from spikeduel.system.errors import InputError

if TYPE_CHECKING:
    from spikeduel.measuring.counting.counter import Counter

WEIGHT, IMAGE, REAL, SPIKES = "weight", "image", "real", "spikes"
"""What does not depend on the input | the analogue input | what was computed | events."""


class NotCounted(InputError):
    """A network does something whose cost is not known; the text says what, and how to declare it."""


class CannotCount(Exception):
    """What a rule has met that it does not know; its text completes "uses …"."""


@dataclass(frozen=True)
class Tag:
    """`value` numbers what a tensor holds: the same operator on the same values gives the same number.

    An event has the size `unit` (average pooling over k×k spikes: 1/k²), so that tensor/unit counts events. Along
    `time_dim` lie `steps` time steps from `first_step` on, as the outer part of that axis ([T·B, …] or [T, B, …]); all
    of them are alike in groups of `same`. `copies`: for how many passes this one stands (`ConstantInput`). `producer`
    is the row of the linear operation that this comes directly from, `label` the name of the parameter that it is,
    `bits` how many bits an activation has where that was trained; `encoded` marks what still is the network's input;
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
    """`tag` of something whose time steps are mixed: it is there at the last of them."""
    if tag.steps == 1:
        return replace(tag, time_dim=0, same=1)
    return replace(tag, first_step=tag.last_step, steps=1, time_dim=0, same=1)


def altered(tag: Tag) -> Tag:
    """`tag` of something with other elements than before: what was summed up is worth nothing."""
    return replace(tag, sums={}, label=None)


def real(tag: Tag) -> Tag:
    """`tag` of numbers that were computed."""
    return replace(altered(tag), kind=REAL, unit=1.0, producer=None, bits=None)


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


def as_list(value: Any) -> list[Any]:
    """A list, tuple or single value as a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def flat(value: Any) -> list[Any]:
    """What lists, tuples and dicts hold, at any depth."""
    if isinstance(value, (list, tuple)):
        return [entry for part in value for entry in flat(part)]
    if isinstance(value, dict):
        return [entry for part in value.values() for entry in flat(part)]
    if isinstance(value, ConstantInput):
        return [value.value]
    return [value]


@dataclass
class Call:
    """One operator at work: what it was given and what it made.

    `data` are the inputs that depend on the network's; `fresh`: it is the first time in this pass that the operator is
    applied to these values.
    """

    books: "Counter"
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outs: list[Tensor]
    data: list[tuple[Tensor, Tag]]
    fresh: bool

    @property
    def out(self) -> Tensor:
        """Its first output."""
        return self.outs[0]

    @property
    def first(self) -> tuple[Tensor, Tag]:
        """The first input that depends on the network's."""
        return self.data[0]

    def row(self, kind: Kind, label: str | None = None) -> Row:
        """See `Counter.row`."""
        return self.books.row(kind, label)

    def share(self, tag: Tag) -> float:
        """How much of this work is new."""
        return self.fresh / tag.same

    def count(self, name: str, amount: float, producer: str | None = None) -> None:
        """Adds arithmetic to the module that is running, or to the synapses called `producer`."""
        row = self.books.row_named(producer) if producer is not None else self.row("arithmetic")
        tag = self.first[1]
        row.add(name, amount, tag.copies, self.share(tag))

    def note(self, text: str) -> None:
        """A remark in the row of the module that is running."""
        self.row("arithmetic").note(text)

    def merged(self, shape: Sequence[int]) -> Tag:
        """The tag of an output of this `shape` that comes from all data inputs, but for its kind: the first one's.

        Time steps stay apart where all that have some agree on them.
        """
        moved = [elementwise(tag, x.shape, shape) for x, tag in self.data]
        longest = max(moved, key=lambda tag: tag.steps)
        if any(tag.steps > 1 and (tag.steps, tag.time_dim) != (longest.steps, longest.time_dim) for tag in moved):
            longest = without_time(longest)
        return replace(
            moved[0],
            first_step=max(tag.first_step for tag in moved) if longest.steps == 1 else longest.first_step,
            steps=longest.steps,
            time_dim=longest.time_dim,
            same=min((tag.same for tag in moved if tag.steps == longest.steps), default=1),
            copies=max(tag.copies for tag in moved),
            producer=moved[0].producer if len(moved) == 1 else None,
        )
