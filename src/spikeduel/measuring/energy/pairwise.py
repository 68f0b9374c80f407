"""Compare a spiking network with another by every accounting, from stored counts alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace

from spikeduel.counting.operations import STEPS, Arrays, Layer, Operations, arrays, between, mean
from spikeduel.measuring.energy import accounting, relu_twin, scaled
from spikeduel.measuring.energy.accounting import Accounting
from spikeduel.measuring.energy.formulas import Expression
from spikeduel.results.costs import (
    AXES,
    AccountedPair,
    AccountingResult,
    Axis,
    EnergyAccountings,
    Range,
    Side,
    Threshold,
)
from spikeduel.results.means import control_results, finished
from spikeduel.results.run import Results
from spikeduel.system.errors import InputError

MOST_STEPS = 128
"""Limit of time steps within which a change of the answer is looked for."""
HIGHEST_RATE = 1.0
"""Limit of spikes per neuron and step within which a change is looked for."""
LOWEST_RATE = 1e-5
_TRIED, _ZOOMS = 200, 4
"""Values of an axis that are tried, even in their logarithm, and the number of refinements between
two of them.
"""
_SIDES: dict[int, Side | None] = {-1: "spiking", 0: None, 1: "other"}
_UNITS: dict[Axis, str] = {"rate": "spikes per neuron and step", "steps": "time steps"}


@dataclass(frozen=True)
class Counted:
    """A network as formulas see it. A spiking one is known at any spike rate and number of steps,
    since amounts are linear in both.
    """

    operations: Sequence[Operations]

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        rates = [trial.totals.spikes_per_neuron_and_step for trial in self.operations]
        return float(np.mean([rate or 0.0 for rate in rates]))

    @property
    def steps(self) -> int:
        """Time steps."""
        return self.operations[0].num_steps

    def amounts(
        self, layers: Callable[[Operations], list[Layer]] = lambda trial: trial.layers
    ) -> Arrays:
        """Return the amounts, means over trials."""
        return mean([arrays(layers(trial)) for trial in self.operations])


class Pair:
    """A spiking network and another one: the amounts of both, at any spike rate and number of
    steps.
    """

    def __init__(self, spiking: Counted, other: Counted) -> None:
        self.rate, self.steps = spiking.rate, spiking.steps
        self.spiking, self.other = spiking.amounts(), other.amounts()
        # Amounts are linear in the rate and in the number of steps, so that two points tell them
        # all.
        self._silent = spiking.amounts(lambda operations: scaled(operations, 0.0, self.steps))
        self._longer = spiking.amounts(lambda operations: scaled(operations, 1.0, 2 * self.steps))

    def moved(self, axis: Axis, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return the spiking network's amounts with `axis` at each of `values` `[V, 1]`, `[V,
        layers]`, and its steps.
        """
        steps = values if axis == "steps" else np.full_like(values, self.steps)
        if axis == "rate":
            amounts = between(self._silent, self.spiking, values / self.rate)
        elif axis == "steps":
            amounts = between(self.spiking, self._longer, values / self.steps - 1)
        else:
            amounts = dict(self.spiking)
        return {**amounts, STEPS: steps}


def compare_by(pair: Pair, definition: Accounting) -> AccountingResult:
    """Compare a pair by one accounting, and find where its answer would change."""
    here = {**pair.spiking, STEPS: np.full((1, 1), float(pair.steps))}
    finding = partial(AccountingResult, accounting=definition.name)
    spiking, other = _weighed(pair, definition, here)
    for network, amounts, formula, named in (
        ("spiking network", spiking, definition.spiking, here),
        ("other network", other, definition.other, {**pair.other, STEPS: here[STEPS]}),
    ):
        if not np.isfinite(amounts).all() or amounts.min() < 0:
            failures = (
                formula.failure({**named, **constants}) for constants in definition.corners()
            )
            why = next(filter(None, failures), "gives no amount of at least 0")
            return finding(reason=f"its formula {why} for the {network}")
    if not spiking.any() or not other.all():
        return finding(reason="it finds nothing to count in one of the networks")
    cheaper = int(_cheaper(spiking, other)[0])
    return finding(
        spiking=_bounds(spiking),
        other=_bounds(other),
        ratio=_bounds(spiking / other),
        cheaper=_SIDES[cheaper],
        thresholds=[
            threshold for axis in AXES if (threshold := _threshold(pair, definition, axis, cheaper))
        ],
    )


def compare_pair(
    pair: Pair,
    definitions: Sequence[Accounting],
    spiking: str,
    other: str,
    control: str | None = None,
) -> AccountedPair:
    """Compare a pair by all accountings; `spiking`, `other` and `control` are names."""
    by_accounting = [compare_by(pair, definition) for definition in definitions]
    return AccountedPair(
        spiking=spiking,
        other=other,
        control=control,
        num_steps=pair.steps,
        rate=pair.rate,
        by_accounting=by_accounting,
    )


def all_accountings(more: Sequence[Accounting] = ()) -> list[Accounting]:
    """Return `more` accountings, then those that come with spikeduel; a name once.

    Raises `InputError` for two different accountings of one name.
    """
    by_name: dict[str, Accounting] = {}
    for definition in more:
        if by_name.setdefault(definition.name, definition).entry != definition.entry:
            raise InputError(
                f"two accountings are called {definition.name}: rename one of the files."
            )
    return [
        *by_name.values(),
        *(accounting.read(name) for name in accounting.NAMES if name not in by_name),
    ]


def compare_run(results: Results, more: Sequence[Accounting] = ()) -> EnergyAccountings | None:
    """Compare all spiking networks of a run with all others, by `all_accountings`; None without
    such a pair.
    """
    applied, trials = all_accountings(more), finished(results)
    counted = {
        name: [trial.operations for trial in trials_of_one if trial.operations]
        for name, trials_of_one in trials.items()
    }
    networks = {name: Counted(operations) for name, operations in counted.items() if operations}
    pairs = []
    for name in networks:
        if not trials[name][0].spiking:
            continue
        for other in networks:
            if not trials[other][0].spiking:
                pairs.append(
                    compare_pair(Pair(networks[name], networks[other]), applied, name, other)
                )
        for control in trials[name][0].controls:
            of_control = control_results(trials[name], control)
            operations = [
                trials_of_one.operations
                for trials_of_one in of_control
                if trials_of_one.operations and not trials_of_one.spikes
            ]
            if operations:
                pairs.append(
                    compare_pair(
                        Pair(networks[name], Counted(operations)),
                        applied,
                        name,
                        of_control[0].title,
                        control,
                    )
                )
    return (
        EnergyAccountings(definitions=[definition.entry for definition in applied], pairs=pairs)
        if pairs
        else None
    )


def against_twin(operations: Operations, more: Sequence[Accounting] = ()) -> AccountedPair:
    """Compare a spiking network with its ReLU twin, which follows from its shape and skips no
    zeros.
    """
    twin = replace(operations, layers=relu_twin(operations), num_steps=1)
    return compare_pair(
        Pair(Counted([operations]), Counted([twin])),
        all_accountings(more),
        "this network",
        "its ReLU twin",
    )


def _weighed(
    pair: Pair,
    definition: Accounting,
    spiking: Mapping[str, np.ndarray],
    changed: Mapping[str, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the energies of both networks, `[V, corners]` each: at V points, and all ends of the
    constants' ranges.
    """
    other = {**pair.other, STEPS: spiking[STEPS]}
    corners = [{**constants, **(changed or {})} for constants in definition.corners()]
    points = len(spiking[STEPS])

    def total(formula: Expression, values: Mapping[str, Any]) -> np.ndarray:
        return np.broadcast_to(formula.value(values), (points, values["acs"].shape[-1])).sum(-1)

    columns = [
        (
            total(definition.spiking, {**spiking, **constants}),
            total(definition.other, {**other, **constants}),
        )
        for constants in corners
    ]
    one, two = (
        definition.factor * np.stack(totals, axis=1) for totals in zip(*columns, strict=True)
    )
    return one, two


def _cheaper(spiking: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return −1 at each point where the spiking network takes less at all corners, 1 where it takes
    more, else 0.
    """
    return np.where((spiking < other).all(1), -1, np.where((spiking > other).all(1), 1, 0))


def _bounds(values: np.ndarray) -> Range:
    return Range(low=float(values.min()), high=float(values.max()))


def _threshold(pair: Pair, definition: Accounting, axis: Axis, cheaper: int) -> Threshold | None:
    """Return the nearest change along an axis, by the ratio of values; None without one within its
    limits.
    """
    limits = _limits(pair, definition, axis)
    if limits is None:
        return None
    now, least, most, unit = limits

    def sides_at(values: np.ndarray) -> np.ndarray:
        column = values[:, None]
        changed = {
            name: column for name, constant in definition.constants.items() if constant.axis == axis
        }
        return _cheaper(*_weighed(pair, definition, pair.moved(axis, column), changed))

    changes = []
    for end in (least, most):
        whole = axis in ("steps", "bits")
        values = (
            np.arange(now, end, np.sign(end - now)) if whole else np.geomspace(now, end, _TRIED)
        )
        values = np.append(values, end) if whole else values
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


def _limits(
    pair: Pair, definition: Accounting, axis: Axis
) -> tuple[float, float, float, str] | None:
    """Return the present value of an axis, its limits and its unit; None where the axis has no
    effect.
    """
    if axis == "rate":
        now = pair.rate
        return (
            (now, min(LOWEST_RATE, now), max(HIGHEST_RATE, now), _UNITS[axis]) if now > 0 else None
        )
    if axis == "steps":
        return (float(pair.steps), 1.0, float(max(MOST_STEPS, pair.steps)), _UNITS[axis])
    for constant in definition.constants.values():
        if constant.axis == axis and constant.value and constant.least and constant.most:
            return constant.value, constant.least, constant.most, constant.unit
    return None
