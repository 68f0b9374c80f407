"""Accountings, published ways of counting energy: a formula, its numbers and their sources, in a
TOML file each; and networks compared by them, from stored counts.

Formulas are small arithmetic expressions, read without running the text.
"""

import ast
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import CodeType
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta, field
from msgspec.structs import replace

from spikeduel.counting.operations import AMOUNTS, MEANINGS, STEPS, Layer, Operations
from spikeduel.energy import named_or_file, relu_twin, scaled
from spikeduel.results.costs import (
    AXES,
    AccountedPair,
    Accounting,
    AccountingResult,
    Axis,
    Constant,
    EnergyAccountings,
    Family,
    Range,
    Read,
    Side,
    Threshold,
)
from spikeduel.results.means import control_results, finished
from spikeduel.results.run import Results
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
WEIGHT_BITS = "weight_bits"
"""Constant in whose place layers have the bits that their weights were trained in, if few."""
MOST_RANGES = 6
"""Limit of a file's constants with a range: each doubles the computation."""
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
MOST_STEPS = 128
"""Limit of time steps in the search for a change of the answer."""
LOWEST_RATE, HIGHEST_RATE = 1e-5, 1.0
"""Limits of spikes per neuron and step in the search."""
_TRIED, _ZOOMS = 200, 4
"""Values of an axis that are tried, even in their logarithm, and refinements between two of them.
"""
_SIDES: dict[int, Side | None] = {-1: "spiking", 0: None, 1: "other"}
Amounts = dict[str, np.ndarray]
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
    family: Family
    title: Text
    source: Text
    where: Text
    read: Read
    unit: str
    leaves_out: Text
    formula: _Formula
    constants: dict[str, _Constant] = field(default_factory=dict)


def read(name: str | Path) -> Accounting:
    """Return an accounting of `NAMES` or a TOML file. Raises `InputError`."""
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
        family=file.family,
        label=visible(file.label),
        title=visible(file.title),
        source=visible(file.source),
        where=visible(file.where),
        leaves_out=visible(file.leaves_out),
        read=file.read,
        unit=UNITS[file.unit],
        spiking=_line(file.formula.spiking),
        other=_line(file.formula.other or file.formula.spiking),
        constants={
            name: Constant(
                low=(constant.low or 0.0) if constant.value is None else constant.value,
                high=(constant.high or 0.0) if constant.value is None else constant.value,
                unit=visible(constant.unit),
                where=visible(constant.where),
                axis=constant.axis,
                least=constant.least,
                most=constant.most,
            )
            for name, constant in file.constants.items()
        },
    )
    used = [names for expression in expressions(definition) for names in expression.names]
    if unused := sorted(file.constants.keys() - used):
        raise InputError(f"constants: no formula uses {unused[0]!r}; remove it, or use it.")
    return definition


def _line(text: str) -> str:
    # One line, so that the formula that is shown is the one that is computed.
    return visible(" ".join(text.split()))


class CountedPair:
    """Amounts of a spiking network and another, means over trials; the spiking ones are linear in
    spike rate and number of steps.
    """

    def __init__(self, spiking: Sequence[Operations], other: Sequence[Operations]) -> None:
        rates = [trial.totals.spikes_per_neuron_and_step or 0.0 for trial in spiking]
        self.rate, self.steps = float(np.mean(rates)), spiking[0].num_steps
        self.spiking = _amounts([trial.layers for trial in spiking])
        self.other = _amounts([trial.layers for trial in other])
        self._silent = _amounts([scaled(trial, 0.0, self.steps) for trial in spiking])
        self._longer = _amounts([scaled(trial, 1.0, 2 * self.steps) for trial in spiking])

    def moved(self, axis: Axis | None, values: np.ndarray) -> Amounts:
        """Return the spiking network's amounts with `axis` at `values` `[V, 1]`, `[V, layers]`, and
        its steps.
        """
        amounts, steps = self.spiking, np.full_like(values, self.steps)
        if axis == "rate":
            amounts = _between(self._silent, self.spiking, values / self.rate)
        elif axis == "steps":
            amounts, steps = _between(self.spiking, self._longer, values / self.steps - 1), values
        return {**amounts, STEPS: steps}


def _amounts(layers_of_trials: Sequence[Sequence[Layer]]) -> Amounts:
    """Return means over a network's trials, `[layers]`; trials of other layers than the first's are
    left out.
    """
    alike = [layers for layers in layers_of_trials if len(layers) == len(layers_of_trials[0])]
    return {
        name: np.mean([[read(layer) or 0 for layer in layers] for layers in alike], 0)
        for name, (read, _) in AMOUNTS.items()
    }


def _between(start: Amounts, end: Amounts, shares: np.ndarray) -> Amounts:
    """Return the amounts `[V, layers]` at `shares` `[V, 1]` of the way from `start` to `end`."""
    return {name: start[name] + shares * (end[name] - start[name]) for name in start}


def compare_by(pair: CountedPair, definition: Accounting) -> AccountingResult:
    """Compare a pair by one accounting, and find where its answer would change."""
    result = partial(AccountingResult, accounting=definition.name, family=definition.family)
    spiking, other = _weighed(pair, definition, pair.moved(None, np.zeros((1, 1))))
    for network, amounts in (("spiking", spiking), ("other", other)):
        if not _are_amounts(amounts):
            return result(
                reason=f"its formula gives no amount of at least 0 for the {network} network"
            )
    if not spiking.any() or not other.all():
        return result(reason="it finds nothing to count in one of the networks")
    cheaper = int(_cheaper(spiking, other)[0])
    thresholds = [_threshold(pair, definition, axis, cheaper) for axis in AXES]
    return result(
        spiking=bounds(spiking),
        other=bounds(other),
        ratio=bounds(spiking / other),
        cheaper=_SIDES[cheaper],
        thresholds=[threshold for threshold in thresholds if threshold],
    )


def all_accountings(more: Sequence[Accounting] = ()) -> list[Accounting]:
    """Return `more` accountings, then spikeduel's; a name once.

    Raises `InputError` for two different ones of one name.
    """
    by_name: dict[str, Accounting] = {}
    for definition in more:
        if by_name.setdefault(definition.name, definition) != definition:
            raise InputError(
                f"two accountings are called {definition.name}: rename one of the files."
            )
    named = [read(name) for name in NAMES if name not in by_name]
    return [*by_name.values(), *named]


def compare_run(results: Results, more: Sequence[Accounting] = ()) -> EnergyAccountings | None:
    """Compare all spiking networks of a run with all others; None without a pair. Contenders at
    chance are left out.
    """
    definitions, trials = all_accountings(more), finished(results)
    networks = {
        name: operations
        for name, operations in _counted(results).items()
        if name not in results.unlearned
    }
    spiking = {name: trials[name][0].spiking for name in networks}
    pairs = []
    for name in (name for name in networks if spiking[name]):
        for other in (other for other in networks if not spiking[other]):
            pairs.append(_compared(networks[name], networks[other], definitions, name, other))
        for control, about in trials[name][0].controls.items():
            if about.member:
                continue
            twins = control_results(trials[name], control)
            counted = [twin.operations for twin in twins if twin.operations and not twin.spikes]
            if counted:
                title = twins[0].title
                pairs.append(_compared(networks[name], counted, definitions, name, title, control))
    return EnergyAccountings(definitions=definitions, pairs=pairs) if pairs else None


def _counted(results: Results) -> dict[str, list[Operations]]:
    """Return the operations of the counted trials of each contender that has one."""
    return {
        name: operations
        for name, trials in finished(results).items()
        if (operations := [trial.operations for trial in trials if trial.operations])
    }


def amounts(results: Results, name: str, more: Sequence[Accounting] = ()) -> dict[str, Range]:
    """Return the amount of each counted contender by the accounting `name`."""
    definition = next(known for known in all_accountings(more) if known.name == name)
    of_contenders = {}
    for contender, operations in _counted(results).items():
        side: Side = "spiking" if results.of(contender, tested=False)[0].spiking else "other"
        values = weighed(operations, definition, side, operations[0].num_steps)
        if _are_amounts(values):
            of_contenders[contender] = bounds(values)
    return of_contenders


def against_twin(operations: Operations, more: Sequence[Accounting] = ()) -> AccountedPair:
    """Compare a spiking network with its ReLU twin, which skips no zeros."""
    twin = replace(operations, layers=relu_twin(operations), num_steps=1)
    definitions = all_accountings(more)
    return _compared([operations], [twin], definitions, "this network", "its ReLU twin")


def _compared(
    spiking_trials: Sequence[Operations],
    other_trials: Sequence[Operations],
    definitions: Sequence[Accounting],
    spiking: str,
    other: str,
    control: str | None = None,
) -> AccountedPair:
    pair = CountedPair(spiking_trials, other_trials)
    return AccountedPair(
        spiking=spiking,
        other=other,
        control=control,
        num_steps=pair.steps,
        rate=pair.rate,
        by_accounting=[compare_by(pair, definition) for definition in definitions],
    )


def _weighed(
    pair: CountedPair,
    definition: Accounting,
    spiking: Amounts,
    changed: Mapping[str, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the energies of both networks, `[V, corners]` each: at every combination of the ends
    of constants' ranges, but for those `changed`.
    """
    networks = spiking, {**pair.other, STEPS: spiking[STEPS]}
    ours, others = (
        _summed(formula, definition, amounts, changed)
        for formula, amounts in zip(expressions(definition), networks, strict=True)
    )
    return ours, others


def _summed(
    formula: Expression,
    definition: Accounting,
    amounts: Amounts,
    changed: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Return the energy `[V, corners]` of a network."""
    ends = [sorted({constant.low, constant.high}) for constant in definition.constants.values()]
    corners: list[dict[str, Any]] = [
        {**dict(zip(definition.constants, values, strict=True)), **(changed or {})}
        for values in itertools.product(*ends)
    ]
    trained = amounts["trained_bits"]
    for corner in corners:
        if WEIGHT_BITS in corner and trained.any():
            corner[WEIGHT_BITS] = np.where(trained > 0, trained, corner[WEIGHT_BITS])
    shape = (len(amounts[STEPS]), amounts["acs"].shape[-1])
    values = [formula.value({**amounts, **constants}) for constants in corners]
    by_corner = [np.broadcast_to(value, shape).sum(-1) for value in values]
    return (1e-12 if definition.unit == "J" else 1.0) * np.stack(by_corner, axis=1)


def weighed(
    trials: Sequence[Operations], definition: Accounting, side: Side, num_steps: int
) -> np.ndarray:
    """Return the amount of a network, mean over its trials, at every combination of the ends of
    constants' ranges: `[corners]`. `num_steps` are those of the spiking network.
    """
    amounts = {
        **_amounts([trial.layers for trial in trials]),
        STEPS: np.full((1, 1), float(num_steps)),
    }
    spiking, other = expressions(definition)
    return _summed(spiking if side == "spiking" else other, definition, amounts)[0]


def even_rates(
    spiking: Operations, other: Operations, definition: Accounting
) -> tuple[float, float]:
    """Return the least and most spikes per neuron and step at which both networks take the same, by
    the ends of constants' ranges: 0 where the spiking one takes more at any rate, 1 where it takes
    less at any; NaN for a formula that gives no amounts.
    """
    pair = CountedPair([spiking], [other])
    rates = np.geomspace(LOWEST_RATE, HIGHEST_RATE, _TRIED)
    ours, others = _weighed(pair, definition, pair.moved("rate", rates[:, None]))
    if not (np.isfinite(ours).all() and np.isfinite(others).all() and others.all()):
        return math.nan, math.nan
    more, even = ours > others, []
    for corner in range(more.shape[1]):
        at = int(np.argmax(more[:, corner]))
        if not at:
            even.append(0.0 if more[0, corner] else HIGHEST_RATE)
            continue
        before, after = (ours - others)[at - 1 : at + 1, corner]
        share = before / (before - after)
        even.append(float(rates[at - 1] + share * (rates[at] - rates[at - 1])))
    return min(even), max(even)


def _cheaper(spiking: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return −1 where the spiking network takes less at all corners, 1 where more, else 0."""
    return np.where((spiking < other).all(1), -1, np.where((spiking > other).all(1), 1, 0))


def _are_amounts(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and values.min() >= 0)


def bounds(values: np.ndarray) -> Range:
    return Range(low=float(values.min()), high=float(values.max()))


def _threshold(
    pair: CountedPair, definition: Accounting, axis: Axis, cheaper: int
) -> Threshold | None:
    """Return the nearest value of `axis` at which the answer changes, or None."""
    varied = {name: one for name, one in definition.constants.items() if one.axis == axis}
    limits = {
        "rate": (pair.rate, LOWEST_RATE, HIGHEST_RATE, "spikes per neuron and step"),
        "steps": (float(pair.steps), 1.0, MOST_STEPS, "time steps"),
    }
    for constant in [*varied.values()][:1]:
        limits[axis] = constant.low, constant.least or 0.0, constant.most or 0.0, constant.unit
    now, least, most, unit = limits.get(axis, (0.0, 0.0, 0.0, ""))
    if now == 0:
        return None

    def sides_at(values: np.ndarray) -> np.ndarray:
        column = values[:, None]
        changed = dict.fromkeys(varied, column)
        return _cheaper(*_weighed(pair, definition, pair.moved(axis, column), changed))

    changes, whole = [], axis in ("steps", "bits")
    for end in {min(least, now), max(most, now)} - {now}:
        values = np.geomspace(now, end, _TRIED)
        if whole:
            values = np.append(np.arange(now, end, np.sign(end - now)), end)
        for _ in range(1 if whole else _ZOOMS):
            sides = sides_at(values)
            if (sides == cheaper).all():
                break
            first = int(np.argmax(sides != cheaper))
            at, becomes = float(values[first]), int(sides[first])
            values = np.geomspace(values[max(first - 1, 0)], at, _TRIED)
        else:
            changes.append((abs(math.log(at / now)), at, becomes))
    if not changes:
        return None
    _, at, becomes = min(changes)
    return Threshold(axis=axis, value=at, now=now, becomes=_SIDES[becomes], unit=unit)
