"""Accountings, published ways of counting energy: a formula, its numbers and their sources, in a
TOML file each.

Formulas are small arithmetic expressions, read without running the text.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, field

from spikeduel.counting.operations import MEANINGS
from spikeduel.measuring.energy import named_or_file
from spikeduel.results.costs import Accounting, Constant, Read
from spikeduel.system.errors import InputError, naming, unknown, visible
from spikeduel.system.typed import Frozen, parse_toml

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
"""Accountings in the package, each in a file of this name."""
MOST_RANGES = 6
"""Limit of constants with a range in one file: each doubles the computation."""
UNITS = {"pJ": "J", "operations": "operations"} | {
    unit: unit for unit in ("bit operations", "synaptic events")
}
"""Units of formulas, and those of their results; 1e12 pJ are 1 J."""
FUNCTIONS: dict[str, tuple[Any, int]] = {
    "max": (np.maximum, 2),
    "min": (np.minimum, 2),
    "ceil": (np.ceil, 1),
    "log2": (np.log2, 1),
}
"""Functions in formulas, with their numbers of arguments."""
LONGEST = 2000
"""Limit of a formula, in characters."""
_ALLOWED = (
    "a formula has numbers, names, + - * / and parentheses, and max, min (of two), ceil and log2"
)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UAdd, ast.USub)

Text = Annotated[str, Meta(min_length=1, max_length=LONGEST)]
Label = Annotated[str, Meta(min_length=1, max_length=24)]


@dataclass(frozen=True)
class Expression:
    """A checked formula over `names`."""

    names: frozenset[str]
    code: CodeType

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the value for numbers or arrays by name; NaN or infinite where there is none."""
        functions = {name: function for name, (function, _) in FUNCTIONS.items()}
        try:
            with np.errstate(all="ignore"):
                # `parse` let only arithmetic, names and FUNCTIONS through.
                return eval(self.code, {"__builtins__": {}}, {**functions, **values})
        except ArithmeticError:
            return np.nan


@cache
def parse(text: str, known: frozenset[str]) -> Expression:
    """Return `text` as a formula over the names `known`. Raises `InputError`."""
    if len(text) > LONGEST:
        raise InputError(f"longer than {LONGEST} characters.")
    try:
        tree = ast.parse(text, mode="eval")
        asked = frozenset(_checked(tree.body, known))
        return Expression(asked, compile(tree, "<formula>", "eval"))
    except InputError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"{' '.join(text.split())[:80]!r} is not a formula: {_ALLOWED}.") from None


def _checked(node: ast.expr, known: frozenset[str]) -> list[str]:
    """Return the names in `node`, whose numbers become floats."""
    match node:
        case ast.Constant(value=int() | float() as number) if (
            not isinstance(number, bool) and abs(number) <= 1e300
        ):
            node.value = float(number)
            return []
        case ast.Name(id=name) if name in known:
            return [name]
        case ast.Name(id=name):
            raise unknown(
                "name in a formula", name[:60], known, f"All names: {', '.join(sorted(known))}."
            )
        case ast.UnaryOp(op=operator, operand=inner) if isinstance(operator, _OPERATORS):
            return _checked(inner, known)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _OPERATORS):
            return _checked(left, known) + _checked(right, known)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if (
            len(arguments) == FUNCTIONS.get(name, (None, -1))[1]
        ):
            return [asked for argument in arguments for asked in _checked(argument, known)]
    raise InputError(f"{ast.unparse(node)[:80]!r} cannot stand in a formula: {_ALLOWED}.")


class _Constant(Frozen, forbid_unknown_fields=True):
    """A `value`, or a range from `low` to `high`."""

    where: Text
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    axis: Literal["bits", "memory"] | None = None
    least: float | None = None
    most: float | None = None

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


class _Formula(Frozen, forbid_unknown_fields=True):
    spiking: Text
    other: Text | None = None


class _File(Frozen, forbid_unknown_fields=True):
    label: Label
    title: Text
    source: Text
    where: Text
    read: Read
    unit: str
    leaves_out: Text
    formula: _Formula
    constants: dict[str, _Constant] = field(default_factory=dict)


def read(name: str | Path) -> Accounting:
    """Return the accounting `name` (of `NAMES`, or a TOML file). Raises `InputError`."""
    form = "docs/energy-tables.md#accountings-of-your-own"
    return named_or_file(name, NAMES, "accountings", "accounting", form, _accounting)


def expressions(definition: Accounting) -> tuple[Expression, Expression]:
    """Return the formulas of the spiking and the other network. Raises `InputError`."""
    known = frozenset({*MEANINGS, *definition.constants})
    with naming("formula.spiking"):
        spiking = parse(definition.spiking, known)
    with naming("formula.other"):
        return spiking, parse(definition.other, known)


def _accounting(name: str, content: bytes) -> Accounting:
    file = parse_toml(content, _File)
    if file.unit not in UNITS:
        raise unknown("unit", visible(file.unit)[:60], UNITS)
    for constant in file.constants:
        if not constant.isidentifier() or constant in {*MEANINGS, *FUNCTIONS}:
            raise InputError(
                f"constants: {visible(constant)[:60]!r} is no name, or that of an amount or a "
                "function; call it something else."
            )
    if sum(constant.value is None for constant in file.constants.values()) > MOST_RANGES:
        raise InputError(f"constants: at most {MOST_RANGES} may have a range.")
    definition = Accounting(
        name=visible(name),
        label=visible(file.label),
        title=visible(file.title),
        source=visible(file.source),
        where=visible(file.where),
        leaves_out=visible(file.leaves_out),
        read=file.read,
        unit=UNITS[file.unit],
        spiking=_line(file.formula.spiking),
        other=_line(file.formula.other or file.formula.spiking),
        constants={name: _stored(constant) for name, constant in file.constants.items()},
    )
    used = [names for expression in expressions(definition) for names in expression.names]
    if unused := sorted(file.constants.keys() - used):
        raise InputError(f"constants: no formula uses {unused[0]!r}; remove it, or use it.")
    return definition


def _line(text: str) -> str:
    # One line, so that the formula that is shown is the one that is computed.
    return visible(" ".join(text.split()))


def _stored(constant: _Constant) -> Constant:
    one = constant.value
    return Constant(
        low=(constant.low or 0.0) if one is None else one,
        high=(constant.high or 0.0) if one is None else one,
        unit=visible(constant.unit),
        where=visible(constant.where),
        axis=constant.axis,
        least=constant.least,
        most=constant.most,
    )
