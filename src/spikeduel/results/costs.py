"""Types of costs of an answer: operations counted, and energy estimated from them."""

from typing import Annotated, Literal

from msgspec import Meta

from spikeduel.counting.operations import Operations, Way
from spikeduel.system.typed import Frozen


class Range(Frozen):
    """An amount that is not known exactly, from `low` to `high`."""

    low: float
    high: float

    def below(self, other: "Range") -> bool:
        """Return True if the whole range lies below `other`."""
        return self.high < other.low


class Counted(Frozen):
    """Operations of a network, or the `reason` why nothing was counted."""

    operations: Operations | None
    reason: str | None = None


Memory = Literal["compute", "on_chip", "off_chip"]
"""Arithmetic alone | with memory, all on the chip | with weights off the chip."""
MEMORIES: tuple[Memory, ...] = ("compute", "on_chip", "off_chip")


class Joules(Frozen):
    """Joules per image; None: not known.

    `range`: from the cheapest to the dearest `Flow` of each layer; without memory, from zeros
    skipped to none. `effective`: all layers by events. `dense`: the usual flow, where only spikes
    skip.
    """

    dense: float | None
    effective: float | None
    range: Range | None = None


class WayJoules(Frozen):
    """Joules per image in the two ways of `Ways`."""

    per_step: Joules
    hoisted: Joules


class TableEnergy(Frozen):
    """Energy by one table, for each memory model it covers; `unknown` names layers it has no energy
    for.
    """

    title: str
    source: str
    compute: WayJoules | None
    on_chip: WayJoules | None
    off_chip: WayJoules | None
    unknown: list[str]

    def of(self, memory: Memory = "compute", way: Way = "hoisted") -> Joules:
        """Return the joules per image of a memory model and way of counting."""
        ways = getattr(self, memory)
        return getattr(ways, way) if ways else Joules(dense=None, effective=None)

    @property
    def is_chip(self) -> bool:
        """Return True if the table is of a whole chip, without energy of arithmetic alone."""
        return self.compute is None


class Energy(Frozen):
    """Estimated energy of one image by several tables; the first leads."""

    tables: Annotated[dict[str, TableEnergy], Meta(min_length=1)]
    estimate: bool = True
    unit: str = "joules per image"

    @property
    def leading(self) -> TableEnergy:
        """Return the energy by the first table."""
        return next(iter(self.tables.values()))
