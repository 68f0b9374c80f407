"""Accuracy, energy and time of a spiking network after every time step, and early exit."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.measuring import energy
from spikeduel.reporting import estimates, style
from spikeduel.results.run import Results
from spikeduel.results.trials import EarlyExit, Trial
from spikeduel.results.words.costs import joules_of, mean

_SHOWN_BELOW_BEST = 0.25
"""Accuracies lower than this below the best one leave the panel: the first steps would take all of its height."""


def followed(results: Results) -> dict[str, list[Trial]]:
    """The tested trials with an accuracy after each step, by contender; all over as many steps as the first."""
    by_contender = {}
    for name, trials in estimates.tested(results).items():
        known = [trial for trial in trials if num_steps(trial)]
        if known:
            by_contender[name] = [trial for trial in known if num_steps(trial) == num_steps(known[0])]
    return by_contender


def num_steps(trial: Trial) -> int:
    """Over how many steps its accuracy was followed; 0: it was not."""
    return (trial.anytime.num_steps or 0) if trial.anytime else 0


def accuracies_over_time(trials: Sequence[Trial]) -> np.ndarray:
    """Accuracy of each trial after each step, `[trials, T]`."""
    return np.array([trial.anytime.accuracies for trial in trials if trial.anytime])


def curves(results: Results, table: energy.Table) -> Figure:
    """Accuracy against steps and against energy, early exits, and time against steps; a colour a contender.

    Solid: every image is answered after t steps. Dashed: images leave early, for all thresholds; a star marks the
    threshold chosen on validation images. Squares: networks without time. Means over seeds, with a band of a standard
    deviation. Energy is estimated by `table`. Some trial of `results` was followed (`followed`).
    """
    over_time, colours = followed(results), style.contender_colours(results.trials)
    figure = style.new_figure(5.6)
    (steps, joules), (left, times) = figure.subplots(2, 2)
    style.quiet(steps, "accuracy by time steps", x="time steps", y="accuracy on the test images", grid=True)
    style.quiet(joules, "accuracy by energy", x=estimates.energy_label(table), grid=True)
    style.quiet(left, "early exit: share that has left", x="time steps", y="share of the test images", grid=True)
    style.quiet(times, "time until the answer (measured)", x="time steps", y="ms for one image", grid=True)
    for name, trials in over_time.items():
        _accuracy_over(steps, [list(range(1, num_steps(trial) + 1)) for trial in trials], trials, colours[name])
        spent = [estimates.joules_over_time(trial, table) for trial in trials]
        known = [each for each in spent if each]
        if len(known) == len(trials):
            _accuracy_over(joules, known, trials, colours[name])
        _leaving(left, trials, colours[name])
        _streamed(times, trials, colours[name])
    for name, trials in estimates.tested(results).items():
        if name not in over_time:
            _without_time(joules, times, trials, colours[name], table)
    _finish(steps, joules, left, times, max(num_steps(trials[0]) for trials in over_time.values()))
    _legend(figure, {name: name in over_time for name in estimates.tested(results)}, colours)
    return figure


def _exits(trials: Sequence[Trial]) -> list[EarlyExit]:
    return [trial.anytime.early_exit for trial in trials if trial.anytime and trial.anytime.early_exit]


def _accuracy_over(axes: Axes, costs: Sequence[Sequence[float]], trials: Sequence[Trial], colour: str) -> None:
    """Accuracy against what t steps cost, `costs` `[trials][T]`, and the same for leaving early."""
    at = accuracies_over_time(trials)
    cost = np.mean(costs, axis=0)
    axes.plot(cost, at.mean(0), color=colour, linewidth=1.6, marker="o", markersize=2.4 if len(cost) > 8 else 3.4)
    style.band(axes, cost, at, colour)
    exits = _exits(trials)
    if len(exits) < len(trials):
        return
    leaving = list(zip(costs, exits, strict=True))
    axes.plot(*_mean_curve(leaving), color=colour, linewidth=1.1, linestyle=style.DASHED, alpha=0.9)
    chosen = [(energy.mean_at(cost, leave.exit_steps), leave.accuracy) for cost, leave in leaving]
    x, y = np.mean(chosen, axis=0)
    axes.scatter(x, y, marker="*", s=95, color=colour, edgecolors="white", linewidths=0.7, zorder=4)


def _mean_curve(leaving: Sequence[tuple[Sequence[float], EarlyExit]]) -> tuple[np.ndarray, np.ndarray]:
    """Cost and accuracy over all thresholds. Those of seeds differ: at equal costs, their accuracies are averaged."""
    seeds = []
    for cost, exits in leaving:
        spent = [energy.mean_at(cost, at.exit_steps) for at in exits.curve]
        order = np.argsort(spent, kind="stable")
        seeds.append((np.array(spent)[order], np.array([at.accuracy for at in exits.curve])[order]))
    common = np.linspace(max(spent[0] for spent, _ in seeds), min(spent[-1] for spent, _ in seeds), 200)
    return common, np.mean([np.interp(common, spent, right) for spent, right in seeds], axis=0)


def _leaving(axes: Axes, trials: Sequence[Trial], colour: str) -> None:
    if exits := _exits(trials):
        shares = np.mean([np.cumsum(leave.exit_steps) / sum(leave.exit_steps) for leave in exits], axis=0)
        axes.plot(np.arange(1, len(shares) + 1), shares, color=colour, linewidth=1.6, drawstyle="steps-post")


def _streamed(axes: Axes, trials: Sequence[Trial], colour: str) -> None:
    whole, stream = estimates.one_image_ms(trials), estimates.stream_ms(trials)
    if stream:
        axes.plot(np.arange(1, len(stream) + 1), stream, color=colour, linewidth=1.6)
    if whole:
        axes.scatter(num_steps(trials[0]), whole, s=26, color=colour, zorder=3, linewidths=0)


def _without_time(joules: Axes, times: Axes, trials: Sequence[Trial], colour: str, table: energy.Table) -> None:
    spent = mean([joules_of(trial, table.name) for trial in trials])
    if spent is not None:
        accuracy = np.mean([trial.test.accuracy for trial in trials if trial.test])
        joules.scatter(spent, accuracy, marker="s", s=26, color=colour, zorder=3, linewidths=0)
    if milliseconds := estimates.one_image_ms(trials):
        times.axhline(milliseconds, color=colour, linewidth=1.1, linestyle=":")


def _finish(steps: Axes, joules: Axes, left: Axes, times: Axes, longest: int) -> None:
    highest = max(np.max(line.get_ydata()) for line in steps.lines)
    for axes in (steps, joules):
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, highest - _SHOWN_BELOW_BEST), high)
        estimates.accuracy_axis(axes)
    for axes in (steps, left, times):
        axes.set_xlim(1 - 0.03 * longest, 1.03 * longest)
        style.count_axis(axes.xaxis)
    left.set_ylim(0, 1.02)
    style.per_cent_axis(left.yaxis)
    times.set_ylim(bottom=0)
    for axes in (joules, times):
        if not axes.lines and not axes.collections:
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=style.QUIET)
            axes.set_xticks([])
            axes.set_yticks([])
    if joules.lines or joules.collections:
        estimates.cost_axis(joules, "J")


def _legend(figure: Figure, over_time: Mapping[str, bool], colours: Mapping[str, str]) -> None:
    without_time: dict[str, Any] = {"marker": "s", "markersize": 5, "linestyle": ":"}
    handles = [
        style.key(name, colours[name], **({"linewidth": 2.2} if with_steps else without_time))
        for name, with_steps in over_time.items()
    ]
    handles += [
        style.key("all after t steps", linewidth=1.6),
        style.key("leaving early", linewidth=1.1, linestyle=style.DASHED),
        style.key("threshold chosen on validation", marker="*", markersize=9, linestyle="none"),
        style.key("all steps in one call", marker="o", markersize=5, linestyle="none"),
    ]
    style.legend(figure, handles, columns=4)
