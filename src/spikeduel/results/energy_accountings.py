"""Energy accountings: published ways of counting, the cheaper network by each, and where that
changes.
"""

from typing import Literal

from spikeduel.results.costs import Range
from spikeduel.system.typed import Frozen, Positive

Side = Literal["spiking", "other"]
Axis = Literal["rate", "steps", "bits", "memory"]
"""Spikes per neuron and step | time steps | bits of a number | memory."""
AXES: tuple[Axis, ...] = ("rate", "steps", "bits", "memory")
Read = Literal["source", "implementation", "quotation"]
"""Where the numbers were read: the source | a public program that follows it | a quotation."""


class Constant(Range):
    """A number of an accounting, with a unit and its place in the source."""

    unit: str
    where: str


class Accounting(Frozen):
    """A way of counting: formulas over a layer's amounts, summed over layers, in a `unit`; what it
    leaves out.
    """

    name: str
    label: str
    title: str
    source: str
    where: str
    read: Read
    unit: str
    spiking: str
    other: str
    leaves_out: str
    constants: dict[str, Constant] = {}


class Threshold(Frozen):
    """The smallest change that flips the result: from `now` to `value`; None: open."""

    axis: Axis
    value: float
    now: float
    becomes: Side | None
    unit: str


class AccountingResult(Frozen):
    """Result of one accounting for a pair; `cheaper` is None where ranges overlap, or for a
    `reason`.

    `ratio`: the spiking network's amount over the other's; `thresholds`: the nearest change along
    each axis.
    """

    accounting: str
    spiking: Range | None = None
    other: Range | None = None
    ratio: Range | None = None
    cheaper: Side | None = None
    thresholds: list[Threshold] = []
    reason: str | None = None

    def threshold(self, axis: Axis) -> Threshold | None:
        """Return the change along this axis."""
        return next((threshold for threshold in self.thresholds if threshold.axis == axis), None)


class AccountedPair(Frozen):
    """A spiking contender against another one, or its own `control`; `rate`: spikes per neuron and
    step.
    """

    spiking: str
    other: str
    num_steps: Positive
    rate: float
    by_accounting: list[AccountingResult]
    control: str | None = None

    def found(self, cheaper: Side | None) -> list[AccountingResult]:
        """Return the accountings with this result and a number."""
        return [
            result for result in self.by_accounting if result.cheaper == cheaper and result.ratio
        ]

    @property
    def judged(self) -> int:
        """The number of accountings with a number."""
        return sum(result.ratio is not None for result in self.by_accounting)


class EnergyAccountings(Frozen):
    """All accountings, and every spiking contender against every other network."""

    definitions: list[Accounting]
    pairs: list[AccountedPair]

    def accounting(self, name: str) -> Accounting:
        """Return the definition of this name."""
        return next(definition for definition in self.definitions if definition.name == name)
