"""The court: every spiking contender against every other network, by every accounting, from stored
counts alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace

from spikeduel.counting.operations import Layer, Operations
from spikeduel.measuring.energy import accounting, relu_twin, scaled
from spikeduel.measuring.energy.accounting import Accounting
from spikeduel.measuring.energy.amounts import STEPS, Arrays, arrays, between, mean
from spikeduel.measuring.energy.expressions import Expression
from spikeduel.results.costs import Range
from spikeduel.results.court import AXES, Axis, Case, Court, Flip, Ruling, Side
from spikeduel.results.rankings import control_results, finished
from spikeduel.results.run import Results
from spikeduel.system.errors import InputError

MOST_STEPS = 128
"""Time steps up to which an answer may change."""
HIGHEST_RATE = 1.0
"""Spikes per neuron and step up to which it may."""
LOWEST_RATE = 1e-5
_TRIED, _ZOOMS = 200, 4
"""Values of an axis that are tried, evenly by their logarithm; and how often anew between the two
where it changes.
"""
_SIDES: dict[int, Side | None] = {-1: "spiking", 0: None, 1: "other"}
_UNITS: dict[Axis, str] = {"rate": "spikes per neuron and step", "steps": "time steps"}


@dataclass(frozen=True)
class Counted:
    """A network as formulas see it; a spiking one at any spike rate and number of steps. Amounts
    are linear in both.
    """

    operations: Sequence[Operations]

    @property
    def rate(self) -> float:
        """Spikes per neuron and step."""
        rates = [each.totals.spikes_per_neuron_and_step for each in self.operations]
        return float(np.mean([rate or 0.0 for rate in rates]))

    @property
    def steps(self) -> int:
        """Its time steps."""
        return self.operations[0].num_steps

    def amounts(
        self, layers: Callable[[Operations], list[Layer]] = lambda each: each.layers
    ) -> Arrays:
        """Its amounts: means over its trials."""
        return mean([arrays(layers(each)) for each in self.operations])


class Pair:
    """A spiking network against another: what formulas ask for, at any spike rate and number of
    steps.
    """

    def __init__(self, spiking: Counted, other: Counted) -> None:
        self.rate, self.steps = spiking.rate, spiking.steps
        self.spiking, self.other = spiking.amounts(), other.amounts()
        # Amounts are linear in the rate and in the number of steps, so that two points tell them
        # all.
        self._silent = spiking.amounts(lambda each: scaled(each, 0.0, self.steps))
        self._longer = spiking.amounts(lambda each: scaled(each, 1.0, 2 * self.steps))

    def moved(self, axis: Axis, values: np.ndarray) -> dict[str, np.ndarray]:
        """The spiking network's amounts where `axis` is at each of `values` `[V, 1]`, `[V,
        layers]`; and its steps.
        """
        steps = values if axis == "steps" else np.full_like(values, self.steps)
        if axis == "rate":
            found = between(self._silent, self.spiking, values / self.rate)
        elif axis == "steps":
            found = between(self.spiking, self._longer, values / self.steps - 1)
        else:
            found = dict(self.spiking)
        return {**found, STEPS: steps}


def judge(pair: Pair, law: Accounting) -> Ruling:
    """What one accounting finds of a pair, and where it would find otherwise."""
    here = {**pair.spiking, STEPS: np.full((1, 1), float(pair.steps))}
    finding = partial(Ruling, accounting=law.name, own=law.own)
    spiking, other = _weighed(pair, law, here)
    for network, amounts, formula, given in (
        ("spiking network", spiking, law.spiking, here),
        ("other network", other, law.other, {**pair.other, STEPS: here[STEPS]}),
    ):
        if not np.isfinite(amounts).all() or amounts.min() < 0:
            failures = (formula.failure({**given, **constants}) for constants in law.corners())
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
        flips=[flip for axis in AXES if (flip := _flip(pair, law, axis, cheaper))],
    )


def hear(
    pair: Pair, laws: Sequence[Accounting], spiking: str, other: str, control: str | None = None
) -> Case:
    """A pair before all accountings, by the names of its networks."""
    rulings = [judge(pair, law) for law in laws]
    return Case(
        spiking=spiking,
        other=other,
        control=control,
        num_steps=pair.steps,
        rate=pair.rate,
        rulings=rulings,
    )


def laws(more: Sequence[Accounting] = ()) -> list[Accounting]:
    """`more` accountings first, then those that come with spikeduel; a name once.

    Raises `InputError` where two that differ have one name.
    """
    given: dict[str, Accounting] = {}
    for law in more:
        if given.setdefault(law.name, law).entry != law.entry:
            raise InputError(f"two accountings are called {law.name}: rename one of the files.")
    return [
        *given.values(),
        *(accounting.read(name) for name in accounting.NAMES if name not in given),
    ]


def hold(results: Results, more: Sequence[Accounting] = ()) -> Court | None:
    """The court over a run, by `laws`; None where no spiking network and another were counted."""
    applied, trials = laws(more), finished(results)
    counted = {
        name: [trial.operations for trial in each if trial.operations]
        for name, each in trials.items()
    }
    networks = {name: Counted(operations) for name, operations in counted.items() if operations}
    cases = []
    for name in networks:
        if not trials[name][0].spiking:
            continue
        for other in networks:
            if not trials[other][0].spiking:
                cases.append(hear(Pair(networks[name], networks[other]), applied, name, other))
        for control in trials[name][0].controls:
            found = control_results(trials[name], control)
            operations = [each.operations for each in found if each.operations and not each.spikes]
            if operations:
                cases.append(
                    hear(
                        Pair(networks[name], Counted(operations)),
                        applied,
                        name,
                        found[0].title,
                        control,
                    )
                )
    return Court(accountings=[law.entry for law in applied], cases=cases) if cases else None


def against_twin(operations: Operations, more: Sequence[Accounting] = ()) -> Case:
    """A spiking network against its ReLU twin, which is known from its shape: without zeros that
    could be skipped.
    """
    twin = replace(operations, layers=relu_twin(operations), num_steps=1)
    return hear(
        Pair(Counted([operations]), Counted([twin])), laws(more), "this network", "its ReLU twin"
    )


def _weighed(
    pair: Pair,
    law: Accounting,
    spiking: Mapping[str, np.ndarray],
    changed: Mapping[str, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """What both networks take, `[V, corners]` each: at V points, and at all ends of the ranges of
    the constants.
    """
    other = {**pair.other, STEPS: spiking[STEPS]}
    corners = [{**constants, **(changed or {})} for constants in law.corners()]
    points = len(spiking[STEPS])

    def total(formula: Expression, given: Mapping[str, Any]) -> np.ndarray:
        return np.broadcast_to(formula.value(given), (points, given["acs"].shape[-1])).sum(-1)

    columns = [
        (total(law.spiking, {**spiking, **constants}), total(law.other, {**other, **constants}))
        for constants in corners
    ]
    one, two = (law.factor * np.stack(each, axis=1) for each in zip(*columns, strict=True))
    return one, two


def _cheaper(spiking: np.ndarray, other: np.ndarray) -> np.ndarray:
    """At each point: −1 where the spiking network takes less at all corners, 1 where more, 0 where
    they differ.
    """
    return np.where((spiking < other).all(1), -1, np.where((spiking > other).all(1), 1, 0))


def _bounds(values: np.ndarray) -> Range:
    return Range(low=float(values.min()), high=float(values.max()))


def _flip(pair: Pair, law: Accounting, axis: Axis, cheaper: int) -> Flip | None:
    """The nearest change along an axis, by the ratio of values; None where there is none within its
    limits.
    """
    limits = _limits(pair, law, axis)
    if limits is None:
        return None
    now, least, most, unit = limits

    def found(values: np.ndarray) -> np.ndarray:
        column = values[:, None]
        changed = {name: column for name, each in law.constants.items() if each.axis == axis}
        return _cheaper(*_weighed(pair, law, pair.moved(axis, column), changed))

    changes = []
    for end in (least, most):
        whole = axis in ("steps", "bits")
        values = (
            np.arange(now, end, np.sign(end - now)) if whole else np.geomspace(now, end, _TRIED)
        )
        values = np.append(values, end) if whole else values
        for _ in range(1 if whole else _ZOOMS):
            sides = found(values)
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
    return Flip(axis=axis, value=at, now=now, becomes=_SIDES[becomes], unit=unit)


def _limits(pair: Pair, law: Accounting, axis: Axis) -> tuple[float, float, float, str] | None:
    """Where an axis is now, from where to where it may go, and its unit; None where it has no
    effect.
    """
    if axis == "rate":
        now = pair.rate
        return (
            (now, min(LOWEST_RATE, now), max(HIGHEST_RATE, now), _UNITS[axis]) if now > 0 else None
        )
    if axis == "steps":
        return (float(pair.steps), 1.0, float(max(MOST_STEPS, pair.steps)), _UNITS[axis])
    for each in law.constants.values():
        if each.axis == axis and each.value and each.least and each.most:
            return each.value, each.least, each.most, each.unit
    return None
