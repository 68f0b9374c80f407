"""Compare a spiking network with another by every accounting, from stored counts alone."""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
from msgspec.structs import replace

from spikeduel.counting.operations import AMOUNTS, STEPS, Layer, Operations
from spikeduel.measuring.energy import accounting, relu_twin, scaled
from spikeduel.results.costs import (
    AXES,
    AccountedPair,
    Accounting,
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
"""Limit of time steps in the search for a change of the answer."""
LOWEST_RATE, HIGHEST_RATE = 1e-5, 1.0
"""Limits of spikes per neuron and step in the search."""
_TRIED, _ZOOMS = 200, 4
"""Values of an axis that are tried, even in their logarithm, and refinements between two of them.
"""
_SIDES: dict[int, Side | None] = {-1: "spiking", 0: None, 1: "other"}
Amounts = dict[str, np.ndarray]


class Pair:
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
        name: np.mean([[attrgetter(path)(layer) or 0 for layer in layers] for layers in alike], 0)
        for name, (path, _) in AMOUNTS.items()
    }


def _between(start: Amounts, end: Amounts, shares: np.ndarray) -> Amounts:
    """Return the amounts `[V, layers]` at `shares` `[V, 1]` of the way from `start` to `end`."""
    return {name: start[name] + shares * (end[name] - start[name]) for name in start}


def compare_by(pair: Pair, definition: Accounting) -> AccountingResult:
    """Compare a pair by one accounting, and find where its answer would change."""
    result = partial(AccountingResult, accounting=definition.name)
    spiking, other = _weighed(pair, definition, pair.moved(None, np.zeros((1, 1))))
    for network, amounts in (("spiking", spiking), ("other", other)):
        if not np.isfinite(amounts).all() or amounts.min() < 0:
            return result(
                reason=f"its formula gives no amount of at least 0 for the {network} network"
            )
    if not spiking.any() or not other.all():
        return result(reason="it finds nothing to count in one of the networks")
    cheaper = int(_cheaper(spiking, other)[0])
    thresholds = [_threshold(pair, definition, axis, cheaper) for axis in AXES]
    return result(
        spiking=_bounds(spiking),
        other=_bounds(other),
        ratio=_bounds(spiking / other),
        cheaper=_SIDES[cheaper],
        thresholds=[threshold for threshold in thresholds if threshold],
    )


def all_accountings(more: Sequence[Accounting] = ()) -> list[Accounting]:
    """Return `more` accountings, then spikeduel's; a name once.

    Raises `InputError` for two different accountings of one name.
    """
    by_name: dict[str, Accounting] = {}
    for definition in more:
        if by_name.setdefault(definition.name, definition) != definition:
            raise InputError(
                f"two accountings are called {definition.name}: rename one of the files."
            )
    named = [accounting.read(name) for name in accounting.NAMES if name not in by_name]
    return [*by_name.values(), *named]


def compare_run(results: Results, more: Sequence[Accounting] = ()) -> EnergyAccountings | None:
    """Compare all spiking networks of a run with all others; None without a pair."""
    definitions, trials = all_accountings(more), finished(results)
    networks = {
        name: operations
        for name, of_contender in trials.items()
        if (operations := [trial.operations for trial in of_contender if trial.operations])
    }
    spiking = {name: trials[name][0].spiking for name in networks}
    pairs = []
    for name in (name for name in networks if spiking[name]):
        for other in (other for other in networks if not spiking[other]):
            pairs.append(_compared(networks[name], networks[other], definitions, name, other))
        for control in trials[name][0].controls:
            twins = control_results(trials[name], control)
            counted = [twin.operations for twin in twins if twin.operations and not twin.spikes]
            if counted:
                title = twins[0].title
                pairs.append(_compared(networks[name], counted, definitions, name, title, control))
    return EnergyAccountings(definitions=definitions, pairs=pairs) if pairs else None


def against_twin(operations: Operations, more: Sequence[Accounting] = ()) -> AccountedPair:
    """Compare a spiking network with its ReLU twin, which skips no zeros."""
    twin = replace(operations, layers=relu_twin(operations), num_steps=1)
    names = ("this network", "its ReLU twin")
    return _compared([operations], [twin], all_accountings(more), *names)


def _compared(
    spiking_trials: Sequence[Operations],
    other_trials: Sequence[Operations],
    definitions: Sequence[Accounting],
    spiking: str,
    other: str,
    control: str | None = None,
) -> AccountedPair:
    pair = Pair(spiking_trials, other_trials)
    return AccountedPair(
        spiking=spiking,
        other=other,
        control=control,
        num_steps=pair.steps,
        rate=pair.rate,
        by_accounting=[compare_by(pair, definition) for definition in definitions],
    )


def _weighed(
    pair: Pair,
    definition: Accounting,
    spiking: Amounts,
    changed: Mapping[str, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the energies of both networks, `[V, corners]` each: at every combination of the ends
    of constants' ranges, but for those `changed`.
    """
    ends = [sorted({constant.low, constant.high}) for constant in definition.constants.values()]
    corners: list[dict[str, Any]] = [
        {**dict(zip(definition.constants, values, strict=True)), **(changed or {})}
        for values in itertools.product(*ends)
    ]
    unit = 1e-12 if definition.unit == "J" else 1.0
    sums, networks = [], (spiking, {**pair.other, STEPS: spiking[STEPS]})
    for formula, amounts in zip(accounting.expressions(definition), networks, strict=True):
        shape = (len(spiking[STEPS]), amounts["acs"].shape[-1])
        values = [formula.value({**amounts, **constants}) for constants in corners]
        by_corner = [np.broadcast_to(value, shape).sum(-1) for value in values]
        sums.append(unit * np.stack(by_corner, axis=1))
    return sums[0], sums[1]


def _cheaper(spiking: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return −1 where the spiking network takes less at all corners, 1 where more, else 0."""
    return np.where((spiking < other).all(1), -1, np.where((spiking > other).all(1), 1, 0))


def _bounds(values: np.ndarray) -> Range:
    return Range(low=float(values.min()), high=float(values.max()))


def _threshold(pair: Pair, definition: Accounting, axis: Axis, cheaper: int) -> Threshold | None:
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
    for end in (min(least, now), max(most, now)):
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
