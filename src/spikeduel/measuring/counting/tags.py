"""What the counter knows of a tensor, and what becomes of its time axis."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

WEIGHT, IMAGE, REAL, SPIKES = "weight", "image", "real", "spikes"
"""What does not depend on the input | the analogue input | what was computed | events."""


@dataclass(frozen=True)
class Tag:
    """`value` numbers what a tensor holds: the same operator on the same values gives the same number.

    An event has the size `unit` (average pooling over k×k spikes: 1/k²), so that tensor/unit counts events. Along
    `time_dim` lie `steps` time steps from `first_step` on, as the outer part of that axis ([T·B, …] or [T, B, …]); all
    of them are alike in groups of `same`. `copies`: for how many passes this one stands (`ConstantInput`). `producer`
    is the row of the linear operation that this comes directly from, `label` the name of the parameter that it is,
    `bits` how many bits an activation has where that was trained; `encoded` marks what still is the network's input;
    `sums` keeps how much there is at each step, once that was summed up.
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
    sums: list[Tensor] = field(default_factory=list, compare=False, repr=False)

    @property
    def is_data(self) -> bool:
        """Whether it depends on the network's input."""
        return self.kind != WEIGHT

    @property
    def last_step(self) -> int:
        """The last of its time steps."""
        return self.first_step + self.steps - 1

    def altered(self) -> "Tag":
        """Of something with other elements than before: what was summed up is worth nothing."""
        return replace(self, sums=[], label=None)

    def real(self) -> "Tag":
        """Of numbers that were computed."""
        return replace(self.altered(), kind=REAL, unit=1.0, producer=None, bits=None)

    def without_time(self) -> "Tag":
        """Of something whose time steps are mixed: it is there at the last of them."""
        if self.steps == 1:
            return replace(self, time_dim=0, same=1)
        return replace(self, first_step=self.last_step, steps=1, time_dim=0, same=1, sums=[])

    def elementwise(self, before: Sequence[int], after: Sequence[int]) -> "Tag":
        """After an operator that broadcasts, or that leaves the leading axes as they are."""
        place = self.time_dim + max(len(after) - len(before), 0)
        if before and place < len(after) and after[place] == before[self.time_dim]:
            return replace(self, time_dim=place)
        return self.without_time()

    def viewed(self, before: Sequence[int], after: Sequence[int]) -> "Tag":
        """After a view in row-major order: steps stay apart while whole leading rows belong to one of them."""
        if self.time_dim == 0 and len(after) and after[0] % self.steps == 0:
            return self
        if self.time_dim and tuple(before[: self.time_dim + 1]) == tuple(after[: self.time_dim + 1]):
            return self
        return self.without_time()

    def inserted(self, axis: int) -> "Tag":
        """After an axis of length 1 was put at `axis`."""
        return replace(self, time_dim=self.time_dim + (axis <= self.time_dim)) if self.steps > 1 else self

    def removed(self, axes: Sequence[int]) -> "Tag":
        """After `axes` were summed up or taken out."""
        if self.time_dim in axes:
            return self.without_time()
        return replace(self, time_dim=self.time_dim - sum(axis < self.time_dim for axis in axes))

    def cut(self, axis: int, length: int, start: int, stop: int) -> "Tag":
        """Of the part from `start` to `stop` of an `axis` of `length`."""
        if axis != self.time_dim or self.steps == 1:
            return self
        if length != self.steps:
            return self.without_time()
        return replace(self, first_step=self.first_step + start, steps=max(stop - start, 1), same=1)

    def taken(self, axis: int, length: int, index: int) -> "Tag":
        """Of the place `index` of an `axis` of `length`, which is gone then."""
        one = self.cut(axis, length, index, index + 1)
        return replace(one, time_dim=0, steps=1, same=1) if axis == self.time_dim else one.removed([axis])

    def spread(self, num_steps: int) -> "Tag":
        """Of something repeated along a new leading axis of `num_steps` time steps."""
        return replace(self, steps=num_steps, time_dim=0, same=num_steps, copies=1, sums=[])
