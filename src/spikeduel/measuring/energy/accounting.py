"""Accountings, published ways of counting energy: a formula, its numbers, and their sources."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from spikeduel.counting.operations import MEANINGS
from spikeduel.measuring.energy.formulas import FUNCTIONS, LONGEST, Expression, parse
from spikeduel.measuring.energy.tables import named_or_file
from spikeduel.results import costs
from spikeduel.system.errors import InputError, naming, unknown, visible
from spikeduel.system.typed import Frozen, converted, parse_toml

NAMES = (
    "syops",
    "first-layer-once",
    "fp16",
    "int8",
    "memory",
    "lemaire",
    "dampfhoffer",
    "yan",
    "yan-dram",
    "bit-budget",
    "bit-budget-spikes",
    "operations",
    "analogue-chip",
    "digital-chips",
    "loihi-gpu",
    "spinnaker-gpu",
)
"""The accountings that come with spikeduel, each in a file of this name."""
MOST_RANGES = 6
"""Limit of constants with a range in one file: each doubles the computation."""
UNITS = {"pJ": 1e-12, "operations": 1.0, "bit operations": 1.0, "synaptic events": 1.0}
"""Units that a formula may have, and the factor that makes joules of those that are energies."""

Text = Annotated[str, Meta(min_length=1, max_length=LONGEST)]
Label = Annotated[str, Meta(min_length=1, max_length=24)]


class Constant(Frozen, forbid_unknown_fields=True):
    """A `value`, or a range from `low` to `high`, in a `unit`, and `where` it stands in the source.

    `axis` marks bits, or a size or price of memory, varied from `least` to `most` to find a change
    of the answer.
    """

    where: Text
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    axis: Literal["bits", "memory"] | None = None
    least: float | None = None
    most: float | None = None

    @property
    def ends(self) -> tuple[float, ...]:
        """The value, or both ends of the range."""
        return (self.value,) if self.value is not None else (self.low or 0.0, self.high or 0.0)

    def __post_init__(self) -> None:
        one, two = self.value is not None, self.low is not None and self.high is not None
        if one == two or (self.low is None) != (self.high is None):
            raise ValueError("give a value, or low and high")
        if two and not (self.low or 0.0) < (self.high or 0.0):
            raise ValueError("low must be below high")
        if self.axis and (self.value is None or self.least is None or self.most is None):
            raise ValueError("an axis needs a value, least and most")
        if self.axis and not 0 < (self.least or 0) <= (self.value or 0) <= (self.most or 0):
            raise ValueError("an axis needs 0 < least <= value <= most")


class Formula(Frozen, forbid_unknown_fields=True):
    """Amounts of a layer in a spiking and in any other network; the same if only one is given."""

    spiking: Text
    other: Text | None = None


class _File(Frozen, forbid_unknown_fields=True):
    label: Label
    title: Text
    source: Text
    where: Text
    read: costs.Read
    unit: str
    leaves_out: Text
    formula: Formula
    constants: dict[str, Constant] = field(default_factory=dict)


class Accounting(Frozen):
    """An accounting: `entry` describes it, expressions compute it from a layer's amounts."""

    entry: costs.Accounting
    spiking: Expression
    other: Expression
    constants: dict[str, Constant]

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def factor(self) -> float:
        """The factor from the expressions' unit to the unit of `entry`."""
        return 1e-12 if self.entry.unit == "J" else 1.0

    def corners(self) -> Iterator[dict[str, float]]:
        """Yield the constants at every combination of the ends of their ranges."""
        for values in itertools.product(*(constant.ends for constant in self.constants.values())):
            yield dict(zip(self.constants, values, strict=True))


def read(name: str | Path) -> Accounting:
    """Return the accounting `name` (of `NAMES`, or a TOML file). Raises `InputError`."""
    return named_or_file(
        name,
        NAMES,
        "accountings",
        "accounting",
        "docs/energy-tables.md#accountings-of-your-own",
        _accounting,
    )


def _accounting(name: str, content: bytes) -> Accounting:
    file = converted(parse_toml(content, dict), _File)
    if file.unit not in UNITS:
        raise unknown("unit", visible(file.unit)[:60], UNITS)
    taken = {*MEANINGS, *FUNCTIONS}
    for constant in file.constants:
        if not constant.isidentifier() or constant in taken:
            raise InputError(
                f"constants: {visible(constant)[:60]!r} is no name, or that of an amount or a "
                "function; call it something else."
            )
    if sum(constant.value is None for constant in file.constants.values()) > MOST_RANGES:
        raise InputError(f"constants: at most {MOST_RANGES} may have a range.")
    known = {*MEANINGS, *file.constants}
    with naming("formula.spiking"):
        spiking = parse(file.formula.spiking, known)
    with naming("formula.other"):
        other = parse(file.formula.other or file.formula.spiking, known)
    if unused := sorted(file.constants.keys() - spiking.names - other.names):
        raise InputError(f"constants: no formula uses {unused[0]!r}; remove it, or use it.")
    texts = ("label", "title", "source", "where", "leaves_out")
    entry = costs.Accounting(
        name=visible(name),
        **{field: visible(getattr(file, field)) for field in texts},
        read=file.read,
        unit="J" if UNITS[file.unit] != 1.0 else file.unit,
        spiking=visible(spiking.text),
        other=visible(other.text),
        constants={
            name: costs.Constant(
                low=constant.ends[0],
                high=constant.ends[-1],
                unit=visible(constant.unit),
                where=visible(constant.where),
            )
            for name, constant in file.constants.items()
        },
    )
    return Accounting(entry=entry, spiking=spiking, other=other, constants=file.constants)
