"""Types of costs per inference: operations, energies by table, published accountings."""

from typing import Annotated, Literal, get_args

from msgspec import Meta

from spikeduel.engine.counting.operations import Operations, Way
from spikeduel.system.typed import Frozen, Positive


class Range(Frozen):
    """An uncertain amount."""

    low: float
    high: float

    def below(self, other: "Range") -> bool:
        """Return True if the range lies wholly below `other`."""
        return self.high < other.low


class Counted(Frozen):
    """Operations of a network, or the `reason` for none."""

    operations: Operations | None
    reason: str | None = None


Memory = Literal["compute", "on_chip", "off_chip"]
"""Arithmetic alone | with memory, all on the chip | with weights off the chip."""
MEMORIES: tuple[Memory, ...] = ("compute", "on_chip", "off_chip")


class Joules(Frozen):
    """Joules per image; None: unknown.

    `range`: from the cheapest to the most expensive `Flow` of each layer; without memory, from
    zeros skipped to nothing skipped. `dense`: only spikes skip.
    """

    dense: float | None
    range: Range | None = None


class WayJoules(Frozen):
    """Joules per image in the two ways of `Ways`."""

    per_step: Joules
    hoisted: Joules


class TableEnergy(Frozen):
    """Energy by one table, for each memory model it covers."""

    title: str
    source: str
    compute: WayJoules | None
    on_chip: WayJoules | None
    off_chip: WayJoules | None

    def of(self, memory: Memory = "compute", way: Way = "hoisted") -> Joules:
        ways = getattr(self, memory)
        return getattr(ways, way) if ways else Joules(dense=None)


class Energy(Frozen):
    """Estimated energy per image; the first table leads."""

    tables: Annotated[dict[str, TableEnergy], Meta(min_length=1)]
    estimate: bool = True
    unit: str = "joules per image"

    @property
    def leading(self) -> TableEnergy:
        return next(iter(self.tables.values()))


Text = Annotated[str, Meta(min_length=1, max_length=2000)]
Label = Annotated[str, Meta(min_length=1, max_length=24)]
Kind = Literal["spiking", "other"]
Axis = Literal["rate", "steps", "bits", "memory"]
"""Spikes per neuron and step | time steps | bits of a number | memory."""
AXES: tuple[Axis, ...] = ("rate", "steps", "bits", "memory")
Read = Literal["source", "implementation", "quotation"]
"""Place of reading: the source | a public program that follows it | a quotation."""


Group = Literal["memory", "arithmetic", "chip", "device", "operations", "measured", "size"]
"""Energy with memory of both networks | of arithmetic alone | by prices of a named chip |
by a model fitted to measurements of a device | operations or bits, without a price | measured |
bytes of weights.
"""
GROUPS: tuple[Group, ...] = get_args(Group)


class Constant(Frozen, forbid_unknown_fields=True):
    """A number of an accounting, or a range `[low, high]`, with its place in the source.

    `axis` marks bits, or a size or price of memory, varied from `least` to `most` to find a change
    of the result.
    """

    value: float | tuple[float, float]
    where: Text
    unit: str = ""
    axis: Literal["bits", "memory"] | None = None
    least: float | None = None
    most: float | None = None

    def __post_init__(self) -> None:
        ends = self.ends
        if len(ends) == 2 and not ends[0] < ends[1]:
            raise ValueError("value: the low end must be below the high one")
        if self.axis and (len(ends) == 2 or self.least is None or self.most is None):
            raise ValueError("an axis needs one value, least and most")
        if self.axis and not 0 < (self.least or 0) <= ends[0] <= (self.most or 0):
            raise ValueError("an axis needs 0 < least <= value <= most")

    @property
    def ends(self) -> list[float]:
        """The value, or both ends of the range."""
        return [self.value] if isinstance(self.value, float) else [*self.value]


class Accounting(Frozen, forbid_unknown_fields=True):
    """A way of counting: formulas over a layer's amounts, summed over layers.

    `other`: the formula of networks without spikes; None: as `spiking`. Of a `unit` of pJ, results
    are in joules.
    """

    label: Label
    group: Group
    title: Text
    source: Text
    where: Text
    read: Read
    unit: Literal["pJ", "operations", "bit operations", "synaptic events"]
    leaves_out: Text
    spiking: Text
    other: Text | None = None
    constants: dict[str, Constant] = {}
    name: str = ""

    def formula(self, kind: Kind) -> str:
        return (self.other if kind == "other" else None) or self.spiking


class Threshold(Frozen):
    """The smallest change that flips the result: from `now` to `value`; None: open."""

    axis: Axis
    value: float
    now: float
    becomes: Kind | None
    unit: str


class AccountingResult(Frozen):
    """Result of one accounting for a pair; `cheaper` is None if ranges overlap, or for a `reason`.

    `ratio`: the spiking network's amount over the other's; `thresholds`: nearest changes by axis.
    """

    accounting: str
    group: Group
    spiking: Range | None = None
    other: Range | None = None
    ratio: Range | None = None
    cheaper: Kind | None = None
    thresholds: list[Threshold] = []
    reason: str | None = None


class AccountedPair(Frozen):
    """A spiking contender against another, or its own `variant`; `rate`: spikes per neuron and
    step.
    """

    spiking: str
    other: str
    num_steps: Positive
    rate: float
    by_accounting: list[AccountingResult]
    variant: str | None = None

    @property
    def by_group(self) -> dict[Group, list[str | None]]:
        """Return the network that each accounting of a group calls cheaper, None if ranges
        overlap.
        """
        names = {"spiking": self.spiking, "other": self.other, None: None}
        cheaper = {
            group: [
                names[result.cheaper]
                for result in self.by_accounting
                if result.ratio and result.group == group
            ]
            for group in GROUPS
        }
        return {group: by_accounting for group, by_accounting in cheaper.items() if by_accounting}


class EnergyAccountings(Frozen):
    """All accountings, and the pairs of a spiking and another network."""

    definitions: list[Accounting]
    pairs: list[AccountedPair]

    def accounting(self, name: str) -> Accounting:
        return next(definition for definition in self.definitions if definition.name == name)
