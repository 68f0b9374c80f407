"""One operator at work: what it was given, what it made, and where to count it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from torch import Tensor

from spikeduel.measuring.counting import tags
from spikeduel.measuring.counting.rows import Row
from spikeduel.measuring.counting.tags import Tag


class Books(Protocol):
    """Where rows are kept: the counter."""

    num_images: int
    num_steps: int | None

    def row(self, kind: str, label: str | None = None) -> Row:
        """The row of the module that is running, or of the one whose parameter is called `label`."""

    def row_named(self, name: str, type_name: str = "", kind: str = "synapses") -> Row:
        """The row of this name."""

    def give(self, x: Tensor, tag: Tag) -> None:
        """From now on `tag` is known of `x`, which holds something new."""

    def tag(self, x: Tensor) -> Tag:
        """What is known of `x`."""


@dataclass
class Call:
    """`fresh`: the same operator was not yet applied to the same values in this pass."""

    books: Books
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

    def row(self, kind: str, label: str | None = None) -> Row:
        """See `Books.row`."""
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
        found = [tags.elementwise(tag, x.shape, shape) for x, tag in self.data]
        longest = max(found, key=lambda tag: tag.steps)
        if any(tag.steps > 1 and (tag.steps, tag.time_dim) != (longest.steps, longest.time_dim) for tag in found):
            longest = tags.without_time(longest)
        return replace(
            found[0],
            first_step=max(tag.first_step for tag in found) if longest.steps == 1 else longest.first_step,
            steps=longest.steps,
            time_dim=longest.time_dim,
            same=min((tag.same for tag in found if tag.steps == longest.steps), default=1),
            copies=max(tag.copies for tag in found),
            producer=found[0].producer if len(found) == 1 else None,
        )
