"""Ranges of settings, in the code or in a user's TOML file, and random draws from them."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.settings import TUNABLE, Experiment
from spikeduel.system import typed
from spikeduel.system.errors import InputError, unknown

SEED = 0
"""Of the draws, and of every trial's training."""
DIGITS = 3
"""Significant digits of what is drawn, so that a table shows exactly what was trained."""
MOST_BYTES = 1 << 20
"""Larger files of ranges are refused."""


class Range(typed.Frozen, frozen=True, kw_only=False, forbid_unknown_fields=True):
    """Where a setting is drawn from: uniformly from `low` to `high` (of its logarithm with `log`), or of `choices`.

    Raises `InputError` unless it has either `low` < `high` or two or more different `choices`.
    """

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[int | float, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise InputError("needs either low and high (and perhaps log = true), or choices")
            if len(set(self.choices)) < max(2, len(self.choices)):
                raise InputError("choices must be two or more different values")
            return
        if self.low is None or self.high is None:
            raise InputError("needs either low and high (and perhaps log = true), or choices")
        if not self.low < self.high:
            raise InputError(f"low must be below high, not {self.low:g} and {self.high:g}")
        if self.log and not self.low > 0:
            raise InputError("with log = true, low must be greater than 0")


RANGES: dict[str, Range] = {
    "learning_rate": Range(1e-5, 1e-2, log=True),
    "threshold": Range(0.5, 2.0),
    "beta": Range(0.5, 0.99),
    "surrogate_alpha": Range(0.5, 50.0, log=True),
    "num_steps": Range(choices=(4, 8, 16, 25)),
}
"""What is tuned by default; `settings.TUNABLE` says whose setting it is. Every surrogate's usual width lies within."""


def read_ranges(path: Path) -> dict[str, Range]:
    """The ranges in a TOML file: a table for each setting, with `low`, `high` and perhaps `log`, or with `choices`.

    Only what the file names is tuned. Raises `InputError` naming file and setting.
    """
    content = typed.read_toml(Path(path), dict[str, Any], MOST_BYTES)
    if not content:
        raise InputError(f"{path}: names no setting to tune, such as [learning_rate] with low and high.")
    try:
        return {name: _range(name, given) for name, given in content.items()}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _range(name: str, given: Any) -> Range:
    if name not in TUNABLE:
        raise unknown("setting to tune", name, TUNABLE, "All others are common to all contenders.")
    if not isinstance(given, dict):
        raise InputError(f"{name} must be a table with low and high, or choices, not {given!r}.")
    try:
        found = typed.converted(given, Range)
    except InputError as error:
        raise InputError(f"[{name}]: {error}") from None
    if found.choices:
        return Range(choices=tuple(_allowed(name, value) for value in found.choices))
    return Range(_allowed(name, found.low), _allowed(name, found.high), found.log)


def _allowed(name: str, value: Any) -> Any:
    """`value` as the setting has it, whole or not; the setting's own limits decide whether it may."""
    return getattr(Experiment(**{name: value}), name)


def draw(ranges: Mapping[str, Range], number: int) -> dict[str, Any]:
    """The settings of trial `number`, one from each of `ranges`.

    They depend on the number and the ranges only. What any contender tunes is drawn before what only spiking ones
    do: in the same trial, contenders try the same learning rate.
    """
    # NumPy keeps the numbers of its old generator for good: a tuning in an old store is found again.
    seed = int(np.random.SeedSequence([SEED, number]).generate_state(1)[0])
    random = np.random.RandomState(seed)
    order = sorted(ranges, key=lambda name: (TUNABLE[name] != "any", name))
    drawn = {name: _drawn(ranges[name], random) for name in order}
    return {name: drawn[name] for name in ranges}


def _drawn(within: Range, random: np.random.RandomState) -> Any:
    low, high = within.low, within.high
    if low is None or high is None:
        return within.choices[random.uniform(size=len(within.choices)).argmax()]
    if isinstance(low, int) and isinstance(high, int):
        # Half a step more at both ends, so that these are as likely as the numbers between them.
        if within.log:
            number = round(math.exp(random.uniform(math.log(low - 0.5), math.log(high + 0.5))))
        else:
            number = math.floor(random.uniform(low - 0.5, high + 0.5) - low + 0.5) + low
        return min(max(number, low), high)
    value = math.exp(random.uniform(math.log(low), math.log(high))) if within.log else random.uniform(low, high)
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)
