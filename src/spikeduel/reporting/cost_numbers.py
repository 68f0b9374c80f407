"""Counts and energies of a run's trials, and how they are written: three digits and a unit."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from spikeduel.measuring.energy import joules
from spikeduel.reporting import style

ALMOST = 0.9995
"""What is as much of a unit as this is written as one of it, not as a thousand of the smaller."""


def by_contender(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The finished trials of each contender, in the order of results.json."""
    names = style.contender_colours(results["trials"])
    return {name: [t for t in results["trials"] if t["contender"] == name and t["status"] == "done"] for name in names}


def mean(items: Sequence[Any], value: Callable[[Any], float | None]) -> float | None:
    """The mean of `value` over `items` where it is known; None where it is not for any."""
    values = [found for item in items if (found := value(item)) is not None]
    return statistics.fmean(values) if values else None


def mean_in_words(items: Sequence[Any], value: Callable[[Any], float | None], form: Callable[[float], str]) -> str:
    """`mean`, written by `form`; "" where it is not known."""
    found = mean(items, value)
    return "" if found is None else form(found)


def headline(trial: dict[str, Any]) -> float | None:
    """Joules of an answer, arithmetic of synapses alone, the first layer counted once."""
    return joules_of(trial, _first(trial), "compute", "cached", "dense")


def as_written(trial: dict[str, Any]) -> float | None:
    """`headline` with the first layer counted at every step."""
    return joules_of(trial, _first(trial), "compute", "as_written", "dense")


def with_memory(trial: dict[str, Any]) -> float | None:
    """`headline` with neurons, and with memory on the chip."""
    return joules_of(trial, _first(trial), "on_chip", "cached", "dense", "with_neurons")


def joules_of(
    trial: dict[str, Any], table: str, memory: str, counting: str, macs: str, scope: str = "synapses"
) -> float | None:
    """Joules of an answer of a trial, or of a control of one; see `energy.estimate`. None where it is not known."""
    tables = (trial.get("energy") or {}).get("tables") or {}
    return joules(tables[table], memory, scope, counting, macs) if table in tables else None


def _first(trial: dict[str, Any]) -> str:
    """The name of the table that leads."""
    return next(iter((trial.get("energy") or {}).get("tables") or [""]))


def table_title(results: dict[str, Any]) -> str:
    """What the table that leads is called."""
    known = [trial["energy"]["tables"] for trial in results["trials"] if trial.get("energy")]
    return next(iter(known[0].values()))["title"] if known else ""


def amount(number: float) -> str:
    """A count in three digits: 12.3 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= ALMOST * size:
            return f"{_three_digits(number / size)}{unit}"
    return _three_digits(number)


def energy_in_words(value: float) -> str:
    """Joules in three digits: 12.3 µJ."""
    for size, unit in ((1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")):
        if value >= ALMOST * size:
            return f"{_three_digits(value / size)} {unit}"
    return f"{_three_digits(value / 1e-12)} pJ"


def per_cent(number: float) -> str:
    """A share with one digit."""
    return f"{100 * number:.1f} %"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 or number == 0 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"
