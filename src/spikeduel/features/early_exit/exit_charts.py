"""Charts of early exits, and of accuracy and cost after each time step."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np

from spikeduel import energy
from spikeduel.reporting import charts
from spikeduel.reporting.charts import ACCURACY, Axis, Chart, Key, Look, Marks, Panel, Row, Rule
from spikeduel.reporting.cost_figures import (
    SHOWN_BELOW_BEST,
    STEPS,
    energy_axis,
)
from spikeduel.results.accuracy import pooled
from spikeduel.results.cost_results import Range
from spikeduel.results.means import by_contender, joules_of, mean_range
from spikeduel.results.run import Results
from spikeduel.results.trials import EarlyExit, Trial

MAX_LINEAR_STEPS = 16
"""Time steps above which their axis is logarithmic."""


def joules_over_time(trial: Trial, table: energy.Table) -> list[Range] | None:
    """Return joules per image up to each step, `[T]`; None if unknown."""
    return energy.over_time(trial.operations, table) if trial.operations else None


def _exits(trials: Sequence[Trial]) -> list[EarlyExit]:
    """Return the early exits of all `trials`; empty if one has none."""
    all_exits = [trial.anytime and trial.anytime.early_exit for trial in trials]
    exits = [chosen for chosen in all_exits if chosen]
    return exits if len(exits) == len(trials) else []


def num_steps(trial: Trial) -> int:
    """Return the number of steps with an accuracy."""
    return (trial.anytime.num_steps or 0) if trial.anytime else 0


def followed(results: Results) -> dict[str, list[Trial]]:
    """Return tested trials with an accuracy after each step, by contender, over as many steps as
    the first.
    """
    with_steps = by_contender(results, lambda trial: trial if num_steps(trial) else None)
    return {
        name: [trial for trial in trials if num_steps(trial) == num_steps(trials[0])]
        for name, trials in with_steps.items()
    }


def over_time(results: Results, table: energy.Table) -> Chart:
    """Return accuracy by time steps, energy and received events.

    A star lets images leave early. Dotted lines and squares have no time steps.
    """
    by_steps, colours = followed(results), charts.contender_colours(results.trials)
    longest = max(num_steps(trials[0]) for trials in by_steps.values())
    steps = Axis(STEPS, ticks="whole")
    if longest > MAX_LINEAR_STEPS:
        steps = Axis(STEPS, scale="powers of two", high=1.1 * longest)
    axes = (
        (steps, "Accuracy by time steps"),
        (energy_axis(table.leading_memory), "Accuracy by energy"),
        (Axis("recording, ms", low=0), "Accuracy by milliseconds"),
        (Axis("events", low=0), "Accuracy by events"),
    )
    marks: dict[str, list[Marks]] = {axis.column: [] for axis, _ in axes}
    rules, dotted = list[Rule](), (1.5, 1.5)
    for name, colour in colours.items():
        if name in by_steps:
            for column, spent in _spent(by_steps[name], table).items():
                marks[column] += _accuracy(by_steps[name], column, spent, colour)
        elif trials := results.of(name):
            accuracy = 100 * pooled([trial.test for trial in trials if trial.test])
            row: Row = {"contender": name, ACCURACY: accuracy}
            rules.append(Rule(accuracy, "y", look=Look(colour, width=1.1, dashes=dotted), row=row))
            memory = table.leading_memory
            if joules := mean_range([joules_of(trial, table.name, memory) for trial in trials]):
                square = Look(colour, "square", 5)
                marks["energy, J"].append(
                    Marks("points", [{**row, "energy, J": joules.low}], square)
                )
    y = Axis(ACCURACY, "test accuracy, %", least=charts.MIN_RANGE, most=SHOWN_BELOW_BEST)
    panels = [
        Panel(axis, y, marks[axis.column], title, () if axis.scale == "log" else rules)
        for axis, title in axes
        if marks[axis.column]
    ]
    keys = [
        Key(name, "line", Look(colour, dashes=() if name in by_steps else dotted))
        for name, colour in colours.items()
    ]
    keys.append(Key("leaving early", "points", Look(shape="star", size=9)))
    return Chart("anytime", panels, keys, abreast=2)


def _spent(trials: Sequence[Trial], table: energy.Table) -> dict[str, list[list[float]]]:
    """Return the cost of t steps, by column `[trials][T]`, as far as all trials know it."""
    received = [trial.anytime.received for trial in trials if trial.anytime]
    by_column: dict[str, list[Any]] = {
        STEPS: [list(range(1, num_steps(trial) + 1)) for trial in trials],
        "energy, J": [
            [joules.low for joules in joules_over_time(trial, table) or ()] for trial in trials
        ],
        "recording, ms": [amounts and amounts.milliseconds for amounts in received],
        "events": [amounts and amounts.events for amounts in received],
    }
    return {
        column: [values for values in spent if values]
        for column, spent in by_column.items()
        if all(spent)
    }


def _accuracy(
    trials: Sequence[Trial], column: str, spent: Sequence[Sequence[float]], colour: str
) -> list[Marks]:
    curves = 100 * np.array([trial.anytime.accuracies for trial in trials if trial.anytime])
    row: Row = {"contender": trials[0].contender}
    cost = np.mean(spent, axis=0).tolist()
    marks = charts.averaged(column, cost, ACCURACY, curves, Look(colour, size=2.5), row)
    exits = _exits(trials)
    if any(chosen.threshold is not None for chosen in exits):
        star: Row = {
            **row,
            "leaving": "early, threshold chosen on validation",
            column: fmean(
                float(np.average(costs, weights=chosen.exit_steps))
                for costs, chosen in zip(spent, exits, strict=True)
            ),
            ACCURACY: 100 * fmean(chosen.accuracy for chosen in exits),
        }
        marks.append(Marks("points", [star], Look(colour, "star", 10)))
    return marks
