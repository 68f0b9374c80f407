"""Energy accountings: published ways of counting, the cheaper network by each, and where the answer
changes.
"""

from typing import Literal

from spikeduel.results.costs import Range
from spikeduel.system.typed import Frozen, Positive

Side = Literal["spiking", "other"]
Axis = Literal["rate", "steps", "bits", "memory"]
"""Spikes per neuron and step | time steps | bits of a number | memory, in the unit of the
accounting.
"""
AXES: tuple[Axis, ...] = ("rate", "steps", "bits", "memory")
Read = Literal["source", "implementation", "quotation"]
"""Place of reading the numbers: the source itself | a public program that follows it | a quotation.
"""


class Constant(Range):
    """A number of an accounting, with a unit and its place in the source."""

    unit: str
    where: str


class Accounting(Frozen):
    """A way of counting. `unit` is that of its amounts, `where` the place in the source,
    `leaves_out` its omissions.

    The formulas are those of a layer's amounts; a network's are summed over its layers.
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
    """The smallest change that flips the result, all else equal: from `now` to `value`, where it
    `becomes` another; None: open.
    """

    axis: Axis
    value: float
    now: float
    becomes: Side | None
    unit: str


class AccountingResult(Frozen):
    """The result of one accounting for a pair.

    `own` marks a user's accounting. `cheaper` is None where the ranges overlap, or where there is
    no number: then `reason` says why. `ratio` is the spiking network's amount over the other's.
    `thresholds` has the nearest change along each axis, within its limits.
    """

    accounting: str
    spiking: Range | None = None
    other: Range | None = None
    ratio: Range | None = None
    cheaper: Side | None = None
    thresholds: list[Threshold] = []
    reason: str | None = None
    own: bool = False

    def threshold(self, axis: Axis) -> Threshold | None:
        """Return the change along this axis."""
        return next((threshold for threshold in self.thresholds if threshold.axis == axis), None)


class AccountedPair(Frozen):
    """A spiking contender against another contender, or against a `control` of its own (a name in
    the trial).

    `rate` is the spikes per neuron and step.
    """

    spiking: str
    other: str
    num_steps: Positive
    rate: float
    by_accounting: list[AccountingResult]
    control: str | None = None

    def found(self, cheaper: Side | None) -> list[AccountingResult]:
        """Return the accountings with this result; accountings without a number are left out."""
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
