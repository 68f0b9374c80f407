"""The engine of energy: amounts of layers, formulas over them, and break-even rates of spikes.

A published accounting is a TOML file with its formula, numbers and sources; an energy table
(`energy.Table`) is one with other amounts.

Formulas are small arithmetic expressions, which are checked before they are evaluated.
"""

import ast
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, cached_property, partial
from importlib import resources
from pathlib import Path
from types import CodeType, MappingProxyType
from typing import Any, TypeVar, get_args

import numpy as np
from msgspec.structs import asdict, replace

from spikeduel.energy.rescaling import relu_twin, scaled
from spikeduel.engine.counting.operations import AMOUNTS, MEANINGS, STEPS, Layer, Operations
from spikeduel.features import providing
from spikeduel.results.cost_results import (
    AXES,
    GROUPS,
    AccountedPair,
    Accounting,
    AccountingResult,
    Axis,
    EnergyAccountings,
    Kind,
    Range,
    Threshold,
)
from spikeduel.results.means import counted_trials, finished, variant_results
from spikeduel.results.run import Results
from spikeduel.system import files
from spikeduel.system.errors import InputError, naming, unknown, visible
from spikeduel.system.typed import Frozen, parse_toml

FOLDER = resources.files("spikeduel.energy")
"""Folder of the package's energy tables, and in `accountings` of its accountings."""
NAMES = tuple(
    sorted(file.name.removesuffix(".toml") for file in (FOLDER / "accountings").iterdir())
)
"""Accountings in the package, each in a file of this name."""
MAX_FILE_BYTES = 1_000_000
"""Limit of a user's file."""
WEIGHT_BITS = "weight_bits"
"""Default bit width of weights; layers trained with quantised weights use theirs."""
MAX_RANGES = 6
"""Limit of a file's constants with a range: each doubles the computation."""
FUNCTIONS = {"max": np.maximum, "min": np.minimum, "ceil": np.ceil, "log2": np.log2}
"""Functions in formulas."""
MAX_STEPS = 128
"""Limit of time steps in the search for a change of the result."""
MIN_RATE, MAX_RATE = 1e-5, 1.0
"""Limits of spikes per neuron and step in the search."""
_TRIED, _ZOOMS = 200, 4
"""Values of an axis that are tried, equally spaced in their logarithm, and the number of times that
the search is repeated between two of them.
"""
_SPLITS: dict[int, Kind | None] = {-1: "spiking", 0: None, 1: "other"}
Amounts = dict[str, np.ndarray]
AmountsOfLayer = Callable[[Layer], Mapping[Any, float]]
_NODES = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.UnaryOp, ast.BinOp, ast.Call),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UAdd, ast.USub),
)
"""All that a formula may consist of: no attribute, item or statement can be reached by these."""

Parsed = TypeVar("Parsed")
Document = TypeVar("Document", bound=Frozen)


@cache
def parse(text: str, allowed: frozenset[str]) -> CodeType:
    """Return the code of a formula over the names `allowed`. Raises `InputError`."""
    try:
        tree = ast.parse(text, mode="eval")
        nodes = [*ast.walk(tree)]
        if not all(isinstance(node, _NODES) for node in nodes):
            raise TypeError
        for node in nodes:
            if isinstance(node, ast.Constant):
                node.value = float(node.value)  # type: ignore[arg-type]
        code = compile(tree, "<formula>", "eval")
        names = set(code.co_names) - FUNCTIONS.keys()
        # A function without its arguments, or a number that is called, fails here.
        float(evaluate(code, dict.fromkeys(names, 1.0)))
    except (SyntaxError, ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        raise InputError(
            f"{' '.join(text.split())[:80]!r} is not a formula: a formula has numbers, names, "
            "+ - * / and parentheses, and max, min (of two), ceil and log2."
        ) from None
    if undefined := sorted(names - allowed):
        listed = f"All names: {', '.join(sorted(allowed))}."
        raise unknown("name in a formula", undefined[0][:60], allowed, listed)
    return code


def evaluate(code: CodeType, values: Mapping[str, Any]) -> Any:
    """Return the value of a formula for numbers or arrays by name; NaN or infinite where there is
    none.
    """
    try:
        with np.errstate(all="ignore"):
            # `parse` let only arithmetic, names and FUNCTIONS through.
            return eval(code, {"__builtins__": {}, **FUNCTIONS}, values)
    except ArithmeticError:
        return np.nan


def named_or_file(
    name: str | Path,
    names: Sequence[str],
    folder: str,
    what: str,
    form: str,
    parsed: Callable[[str, bytes], Parsed],
) -> Parsed:
    """Return the parsed TOML file of this name in `folder` of the package, or a user's.

    Errors name `what` it is and the place that describes its `form`. Raises `InputError`.
    """
    text = str(name)
    if text in names:
        file = FOLDER.joinpath(folder, f"{text}.toml")
        return parsed(text, file.read_bytes())
    path = Path(name)
    if not text.endswith(".toml") and not path.is_file():
        raise unknown(what, text, names, "Or give a TOML file.")
    content = files.read_bytes(path, MAX_FILE_BYTES)
    try:
        return parsed(path.stem, content)
    except InputError as error:
        raise InputError(f"{path}: not an {what}: {error} (Its form: {form}.)") from None


def read(name: str | Path) -> Accounting:
    """Return an accounting of `NAMES` or a TOML file. Raises `InputError`."""
    form = "docs/counting.md#accountings-of-your-own"
    return named_or_file(name, NAMES, "accountings", "accounting", form, _accounting)


def _accounting(name: str, content: bytes) -> Accounting:
    definition = _in_lines(replace(parse_toml(content, Accounting), name=name))
    constants = {name: _in_lines(constant) for name, constant in definition.constants.items()}
    if taken := sorted(constants.keys() & {*MEANINGS, *FUNCTIONS}):
        raise InputError(
            f"constants: {taken[0]!r} is the name of an amount or a function; call it something "
            "else."
        )
    if sum(len(constant.ends) > 1 for constant in constants.values()) > MAX_RANGES:
        raise InputError(f"constants: at most {MAX_RANGES} may have a range.")
    used, allowed = set[str](), frozenset({*MEANINGS, *constants})
    for kind in get_args(Kind):
        with naming(kind):
            used.update(parse(definition.formula(kind), allowed).co_names)
    if unused := sorted(constants.keys() - used):
        raise InputError(f"constants: no formula uses {unused[0]!r}; remove it, or use it.")
    return replace(definition, constants=constants)


def _in_lines(document: Document) -> Document:
    """Return `document` with each text in one visible line: the formula that is shown is the one
    that is computed.
    """
    texts = {name: text for name, text in asdict(document).items() if isinstance(text, str)}
    return replace(document, **{name: visible(" ".join(texts[name].split())) for name in texts})


def amounts_of(layer: Layer) -> dict[str, float]:
    """Return the amounts of a layer that formulas may name, by name."""
    return {name: value(layer) or 0.0 for name, (value, _) in AMOUNTS.items()}


def mean_amounts(
    trials: Sequence[Sequence[Layer]], of_layer: AmountsOfLayer = amounts_of
) -> Amounts:
    """Return means over the trials of a network, `[layers]`; trials with another number of layers
    than the first are left out.
    """
    by_trial = [[of_layer(layer) for layer in layers] for layers in trials]
    alike = [layers for layers in by_trial if len(layers) == len(by_trial[0])]
    return {
        name: np.mean([[layer[name] for layer in layers] for layers in alike], 0)
        for name in alike[0][0]
    }


class CountedPair:
    """Amounts of a spiking network and another, means over trials; the spiking ones are linear in
    spike rate and number of steps.
    """

    def __init__(
        self,
        spiking: Sequence[Operations],
        other: Sequence[Operations],
        of_layer: AmountsOfLayer = amounts_of,
    ) -> None:
        rates = [trial.totals.spikes_per_neuron_and_step or 0.0 for trial in spiking]
        self.rate, self.steps = float(np.mean(rates)), spiking[0].num_steps
        self.trials, self.of_layer = spiking, of_layer
        self.spiking = mean_amounts([trial.layers for trial in spiking], of_layer)
        self.other = mean_amounts([trial.layers for trial in other], of_layer)

    def _scaled(self, rate: float, times: int) -> Amounts:
        layers = [scaled(trial, rate, times * self.steps).layers for trial in self.trials]
        return mean_amounts(layers, self.of_layer)

    @cached_property
    def _silent(self) -> Amounts:
        return self._scaled(0.0, 1)

    @cached_property
    def _longer(self) -> Amounts:
        return self._scaled(1.0, 2)

    def amounts_at(self, axis: Axis | None, values: np.ndarray) -> Amounts:
        """Return the spiking network's amounts with `axis` at `values` `[V, 1]`, `[V, layers]`, and
        its steps.
        """
        amounts, steps = self.spiking, np.full_like(values, self.steps)
        if axis == "rate":
            amounts = _between(self._silent, self.spiking, values / self.rate)
        elif axis == "steps":
            amounts, steps = _between(self.spiking, self._longer, values / self.steps - 1), values
        return {**amounts, STEPS: steps}

    def energies(
        self,
        definition: Accounting,
        axis: Axis | None = None,
        values: Sequence[float] | np.ndarray = (0.0,),
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the energies of both networks, `[V, corners]` each, with `axis` at `values`."""
        column = np.array(values)[:, None]
        spiking = self.amounts_at(axis, column)
        varied = {
            name: column
            for name, constant in definition.constants.items()
            if axis and constant.axis == axis
        }
        other = {**self.other, STEPS: spiking[STEPS]}
        return (
            energy_of(definition, "spiking", spiking, varied),
            energy_of(definition, "other", other, varied),
        )


def _between(start: Amounts, end: Amounts, shares: np.ndarray) -> Amounts:
    """Return the amounts `[V, layers]` at `shares` `[V, 1]` of the way from `start` to `end`."""
    return {name: start[name] + shares * (end[name] - start[name]) for name in start}


def compare_by(pair: CountedPair, definition: Accounting) -> AccountingResult:
    """Compare a pair by one accounting, and find where its result would change."""
    result = partial(AccountingResult, accounting=definition.name, group=definition.group)
    spiking, other = pair.energies(definition)
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
        cheaper=_SPLITS[cheaper],
        thresholds=[threshold for threshold in thresholds if threshold],
    )


def all_accountings(more: Sequence[Accounting] = ()) -> list[Accounting]:
    """Return `more` accountings, then spikeduel's and those of features by group; a name once.

    Raises `InputError` for two different ones of one name.
    """
    by_name: dict[str, Accounting] = {}
    for definition in more:
        if by_name.setdefault(definition.name, definition) != definition:
            raise InputError(
                f"two accountings are called {definition.name}: rename one of the files."
            )
    added = [one for definitions in providing("accountings").values() for one in definitions()]
    named = [read(name) for name in NAMES if name not in by_name]
    named += [definition for definition in added if definition.name not in by_name]
    named.sort(key=lambda definition: GROUPS.index(definition.group))
    return [*by_name.values(), *named]


def compare_run(results: Results, more: Sequence[Accounting] = ()) -> EnergyAccountings | None:
    """Compare all spiking networks of a run with all others; None without a pair. Contenders at
    chance are left out.
    """
    definitions, trials = all_accountings(more), finished(results)
    networks = {
        name: operations
        for name, operations in counted_trials(results).items()
        if name not in results.unlearned
    }
    spiking = {name: trials[name][0].spiking for name in networks}
    pairs = []
    for name in (name for name in networks if spiking[name]):
        for other in (other for other in networks if not spiking[other]):
            pairs.append(_compared(networks[name], networks[other], definitions, name, other))
        for variant, about in trials[name][0].variants.items():
            if about.compressed:
                continue
            twins = variant_results(trials[name], variant)
            counted = [twin.operations for twin in twins if twin.operations and not twin.spikes]
            if counted:
                title = twins[0].title
                pairs.append(_compared(networks[name], counted, definitions, name, title, variant))
    return EnergyAccountings(definitions=definitions, pairs=pairs) if pairs else None


def against_twin(operations: Operations, more: Sequence[Accounting] = ()) -> AccountedPair:
    """Compare a spiking network with its ReLU twin, which skips no zeros."""
    definitions, twin = all_accountings(more), relu_twin(operations)
    return _compared([operations], [twin], definitions, "this network", "its ReLU twin")


def _compared(
    spiking_trials: Sequence[Operations],
    other_trials: Sequence[Operations],
    definitions: Sequence[Accounting],
    spiking: str,
    other: str,
    variant: str | None = None,
) -> AccountedPair:
    pair = CountedPair(spiking_trials, other_trials)
    return AccountedPair(
        spiking=spiking,
        other=other,
        variant=variant,
        num_steps=pair.steps,
        rate=pair.rate,
        by_accounting=[compare_by(pair, definition) for definition in definitions],
    )


def energy_of(
    definition: Accounting,
    kind: Kind,
    amounts: Amounts,
    varied: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> np.ndarray:
    """Return the energy `[V, corners]` of a network: at every combination of the ends of constants'
    ranges, but for those `varied`.
    """
    ends = [constant.ends for constant in definition.constants.values()]
    corners: list[dict[str, Any]] = [
        {**dict(zip(definition.constants, values, strict=True)), **varied}
        for values in itertools.product(*ends)
    ]
    for corner in corners:
        if WEIGHT_BITS in corner and (trained := amounts["trained_bits"]).any():
            corner[WEIGHT_BITS] = np.where(trained > 0, trained, corner[WEIGHT_BITS])
    shape = np.broadcast_shapes((1, 1), *(values.shape for values in amounts.values()))
    formula = parse(definition.formula(kind), frozenset({*amounts, *definition.constants}))
    values = [evaluate(formula, {**amounts, **constants}) for constants in corners]
    by_corner = [np.broadcast_to(value, shape).sum(-1) for value in values]
    return (1e-12 if definition.unit == "pJ" else 1.0) * np.stack(by_corner, axis=1)


def weighed(
    trials: Sequence[Operations], definition: Accounting, kind: Kind, num_steps: int
) -> np.ndarray:
    """Return the amount of a network, mean over its trials, at every combination of the ends of
    constants' ranges: `[corners]`. `num_steps` are those of the spiking network.
    """
    amounts = mean_amounts([trial.layers for trial in trials])
    return energy_of(definition, kind, {**amounts, STEPS: np.full((1, 1), float(num_steps))})[0]


def break_even_rates(pair: CountedPair, definition: Accounting) -> tuple[float, float]:
    """Return the least and most spikes per neuron and step at which both networks take the same, by
    the ends of constants' ranges: 0 where the spiking one takes more at any rate, 1 where it takes
    less at any; NaN for a formula that gives no amounts.
    """
    ours, others = pair.energies(definition, "rate", (MIN_RATE, MAX_RATE))
    if not (np.isfinite(ours).all() and np.isfinite(others).all() and others.all()):
        return math.nan, math.nan
    least, most = (
        _first(pair, definition, "rate", kinds, MIN_RATE, MAX_RATE) or (MAX_RATE, 1)
        for kinds in ((0, 1), (1,))
    )
    return least[0] * (least[0] > MIN_RATE), most[0] * (most[0] > MIN_RATE)


def _cheaper(spiking: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return −1 where the spiking network takes less at all corners, 1 where more, else 0."""
    return np.where((spiking < other).all(1), -1, np.where((spiking > other).all(1), 1, 0))


def _are_amounts(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and values.min() >= 0)


def bounds(values: np.ndarray) -> Range:
    return Range(low=float(values.min()), high=float(values.max()))


def _first(
    pair: CountedPair,
    definition: Accounting,
    axis: Axis,
    kinds: Collection[int],
    start: float,
    end: float,
) -> tuple[float, int] | None:
    """Return the first value of `axis` from `start` to `end` at which `_cheaper` gives one of
    `kinds`, and which; None without one.
    """
    values, whole = np.geomspace(start, end, _TRIED), axis in ("steps", "bits")
    if whole:
        values = np.append(np.arange(start, end, np.sign(end - start)), end)
    for _ in range(1 if whole else _ZOOMS):
        cheaper = _cheaper(*pair.energies(definition, axis, values))
        is_reached = np.equal.outer(cheaper, [*kinds]).any(1)
        if not is_reached.any():
            return None
        index = int(np.argmax(is_reached))
        reached = float(values[index]), int(cheaper[index])
        values = np.geomspace(values[max(index - 1, 0)], values[index], _TRIED)
    return reached


def _threshold(
    pair: CountedPair, definition: Accounting, axis: Axis, cheaper: int
) -> Threshold | None:
    """Return the nearest value of `axis` at which the result changes, or None."""
    limits = {
        "rate": (pair.rate, MIN_RATE, MAX_RATE, "spikes per neuron and step"),
        "steps": (float(pair.steps), 1.0, MAX_STEPS, "time steps"),
    }
    for constant in definition.constants.values():
        if constant.axis:
            limit = constant.ends[0], constant.least or 0.0, constant.most or 0.0, constant.unit
            limits.setdefault(constant.axis, limit)
    now, least, most, unit = limits.get(axis, (0.0, 0.0, 0.0, ""))
    if now == 0:
        return None
    others = _SPLITS.keys() - {cheaper}
    changes = [
        change
        for end in {min(least, now), max(most, now)} - {now}
        if (change := _first(pair, definition, axis, others, now, end))
    ]
    if not changes:
        return None
    value, becomes = min(changes, key=lambda change: (abs(math.log(change[0] / now)), *change))
    return Threshold(axis=axis, value=value, now=now, becomes=_SPLITS[becomes], unit=unit)
