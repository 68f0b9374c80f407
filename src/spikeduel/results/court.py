"""Which network is cheaper by each of several published ways of counting energy, and where the
answer changes.
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
"""Where its numbers were read: in the source itself | in a public program that follows it | where
others quote it.
"""


class Constant(Range):
    """A number of an accounting, its unit, and where in the source it stands."""

    unit: str
    where: str


class Accounting(Frozen):
    """A way of counting. `unit` is that of its amounts, `where` the place in the source,
    `leaves_out` what it omits.

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


class Flip(Frozen):
    """Where the answer changes, all else as it is: from `now` to `value`, where it `becomes`
    another; None: open.
    """

    axis: Axis
    value: float
    now: float
    becomes: Side | None
    unit: str


class Ruling(Frozen):
    """What one accounting finds.

    `own`: it is the user's, and not one of those that come with spikeduel. `cheaper` is None where
    its range does not tell, or where it has no number: then `reason` says why. `ratio` is the
    spiking network's amount over the other's. `flips` has the nearest change along each axis that
    has one within its limits.
    """

    accounting: str
    spiking: Range | None = None
    other: Range | None = None
    ratio: Range | None = None
    cheaper: Side | None = None
    flips: list[Flip] = []
    reason: str | None = None
    own: bool = False

    def flip(self, axis: Axis) -> Flip | None:
        """The change along this axis."""
        return next((flip for flip in self.flips if flip.axis == axis), None)


class Case(Frozen):
    """A spiking contender against another contender, or against a `control` of its own (by its name
    in the trial).

    `rate` is its spikes per neuron and step.
    """

    spiking: str
    other: str
    num_steps: Positive
    rate: float
    rulings: list[Ruling]
    control: str | None = None

    def found(self, cheaper: Side | None) -> list[Ruling]:
        """The rulings that find so; those without a number are left out."""
        return [ruling for ruling in self.rulings if ruling.cheaper == cheaper and ruling.ratio]

    @property
    def judged(self) -> int:
        """How many accountings have a number."""
        return sum(ruling.ratio is not None for ruling in self.rulings)


class Court(Frozen):
    """All accountings, and every spiking contender against every other network."""

    accountings: list[Accounting]
    cases: list[Case]

    def accounting(self, name: str) -> Accounting:
        """The one of this name."""
        return next(each for each in self.accountings if each.name == name)
