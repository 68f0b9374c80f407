"""Where settings are drawn from, and the drawing: declared as data, in the code or in a user's TOML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.settings import TUNABLE, Experiment
from spikeduel.system.errors import InputError, MissingExtra, unknown

SEED = 0
"""Of the draws, and of every trial's training."""
DIGITS = 3
"""Significant digits of what is drawn, so that a table shows exactly what was trained."""


@dataclass(frozen=True)
class Range:
    """Where a setting is drawn from: uniformly from `low` to `high` (of its logarithm with `log`), or of `choices`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[float, ...] = ()


RANGES: dict[str, Range] = {
    "learning_rate": Range(1e-5, 1e-2, log=True),
    "threshold": Range(0.5, 2.0),
    "beta": Range(0.5, 0.99),
    "surrogate_alpha": Range(0.5, 50.0, log=True),
    "num_steps": Range(choices=(4, 8, 16, 25)),
}
"""What is tuned where nobody says otherwise; `settings.TUNABLE` says whose setting it is. Every surrogate's customary
width lies within."""


def read_ranges(path: Path) -> dict[str, Range]:
    """The ranges in a TOML file: a table for each setting, with `low`, `high` and perhaps `log`, or with `choices`.

    Only what the file names is tuned. Raises `InputError` naming file and setting.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a TOML file ({error}).") from None
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
    known = [f.name for f in fields(Range)]
    for key in given:
        if key not in known:
            raise unknown(f"word in [{name}]", key, known)
    values = [value for key in ("low", "high") if (value := given.get(key)) is not None]
    choices = given.get("choices", [])
    if not isinstance(choices, list) or not isinstance(given.get("log", False), bool):
        raise InputError(f"{name}: choices must be a list of numbers, log true or false.")
    if bool(choices) == bool(values) or (values and len(values) != 2) or (choices and "log" in given):
        raise InputError(f"{name} needs either low and high (and perhaps log = true), or choices.")
    # The setting's own rules say what is a value at all.
    checked = [getattr(Experiment(**{name: value}), name) for value in values or choices]
    if choices:
        if len(set(checked)) < 2 or len(set(checked)) < len(checked):
            raise InputError(f"{name}: choices must be two or more different values.")
        return Range(choices=tuple(checked))
    low, high = checked
    if not low < high:
        raise InputError(f"{name}: low must be below high, not {low:g} and {high:g}.")
    if given.get("log") and not low > 0:
        raise InputError(f"{name}: with log = true, low must be greater than 0.")
    return Range(low, high, given.get("log", False))


def require_optuna() -> None:
    """Raises `MissingExtra` where optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("optuna", "tune") from None


def draw(ranges: Mapping[str, Range], number: int) -> dict[str, Any]:
    """The settings of trial `number`, one from each of `ranges`.

    They depend on the number and the ranges only. What any contender tunes is drawn before what only spiking ones
    do: in the same trial, contenders try the same learning rate.
    """
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        seed = int(np.random.SeedSequence([SEED, number]).generate_state(1)[0])
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
        order = sorted(ranges, key=lambda name: (TUNABLE[name] != "any", name))
        drawn = study.ask({name: _distribution(ranges[name]) for name in order}).params
    finally:
        optuna.logging.set_verbosity(before)
    return {name: _rounded(drawn[name], ranges[name]) for name in ranges}


def _distribution(of: Range) -> Any:
    from optuna import distributions

    if of.low is None or of.high is None:
        return distributions.CategoricalDistribution(of.choices)
    if isinstance(of.low, int) and isinstance(of.high, int):
        return distributions.IntDistribution(of.low, of.high, log=of.log)
    return distributions.FloatDistribution(of.low, of.high, log=of.log)


def _rounded(value: Any, within: Range) -> Any:
    if not isinstance(value, float) or within.low is None or within.high is None:
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), within.low), within.high)
