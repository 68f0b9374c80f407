"""What a spiking network answers before its last step, and what that saves: accuracy, energy and time by step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from spikeduel.measuring import energy
from spikeduel.reporting import estimates, style
from spikeduel.reporting.estimates import Estimate

DASHES = (0, (4, 2))
_SHOWN_BELOW_BEST = 0.25
"""Accuracies lower than this below the best one leave the panel: the first steps would take all of its height."""


def contenders(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The trials that were followed over time, by contender; those with other numbers of steps than the first left out.

    `results` is the content of results.json.
    """
    found = {}
    for name, trials in estimates.finished(results).items():
        followed = [trial for trial in trials if trial.get("anytime") and trial["anytime"]["num_steps"]]
        if followed:
            steps = followed[0]["anytime"]["num_steps"]
            found[name] = [trial for trial in followed if trial["anytime"]["num_steps"] == steps]
    return found


def curves(results: dict[str, Any], estimate: Estimate | None = None) -> Figure:
    """Accuracy against steps and against energy, who leaves when, and time against steps; a colour a contender.

    Solid: every image is answered after t steps. Dashed: images leave early, for all thresholds; a star marks the
    threshold chosen on validation images. Squares: networks without time. Means over seeds, with a band of a standard
    deviation. `results` is the content of results.json, in which some trial has been followed (`contenders`).
    """
    estimate = estimate or Estimate()
    followed, colours = contenders(results), style.contender_colours(results["trials"])
    figure = style.new_figure(5.6)
    (steps, joules), (left, times) = figure.subplots(2, 2)
    style.quiet(steps, "accuracy by time steps", x="time steps", y="accuracy on the test images", grid=True)
    style.quiet(joules, "accuracy by energy", x=f"energy per image ({estimate.words})", grid=True)
    style.quiet(left, "early exit: who has left", x="time steps", y="share of the test images", grid=True)
    style.quiet(times, "time until the answer (measured)", x="time steps", y="ms for one image", grid=True)
    for name, trials in followed.items():
        _accuracy_over(steps, [_steps(trial) for trial in trials], trials, colours[name])
        energies = [estimate.over_time(trial) for trial in trials]
        if all(energies):
            _accuracy_over(joules, [each for each in energies if each], trials, colours[name])
        _leaving(left, trials, colours[name])
        _streamed(times, trials, colours[name])
    _without_time(joules, times, results, followed, colours, estimate)
    _finish(steps, joules, left, times, max(trials[0]["anytime"]["num_steps"] for trials in followed.values()))
    _legend(figure, results, followed, colours)
    return figure


def _steps(trial: dict[str, Any]) -> list[float]:
    return list(range(1, trial["anytime"]["num_steps"] + 1))


def _accuracy_over(axes: Axes, costs: Sequence[Sequence[float]], trials: Sequence[dict[str, Any]], colour: str) -> None:
    """Accuracy against what t steps cost, `costs` `[trials][T]`, and the same for leaving early."""
    at = np.array([trial["anytime"]["accuracies"] for trial in trials])
    cost = np.mean(costs, axis=0)
    axes.plot(cost, at.mean(0), color=colour, linewidth=1.6, marker="o", markersize=2.4 if len(cost) > 8 else 3.4)
    if len(at) > 1:
        spread = at.std(0, ddof=1)
        axes.fill_between(cost, at.mean(0) - spread, at.mean(0) + spread, color=colour, alpha=0.18, linewidth=0)
    leaving = [(each, trial["anytime"]["early_exit"]) for each, trial in zip(costs, trials, strict=True)]
    if not all(exits for _, exits in leaving):
        return
    axes.plot(*_mean_curve(leaving), color=colour, linewidth=1.1, linestyle=DASHES, alpha=0.9)
    chosen = [(energy.mean_at(each, exits["exit_steps"]), exits["accuracy"]) for each, exits in leaving]
    mean = np.mean(chosen, axis=0)
    axes.scatter(mean[0], mean[1], marker="*", s=95, color=colour, edgecolors="white", linewidths=0.7, zorder=4)


def _mean_curve(leaving: Sequence[tuple[Sequence[float], dict[str, Any]]]) -> tuple[np.ndarray, np.ndarray]:
    """Cost and accuracy over all thresholds. Those of seeds differ: at equal costs, their accuracies are averaged."""
    seeds = []
    for cost, exits in leaving:
        spent = [energy.mean_at(cost, each["exit_steps"]) for each in exits["curve"]]
        order = np.argsort(spent, kind="stable")
        seeds.append((np.array(spent)[order], np.array([each["accuracy"] for each in exits["curve"]])[order]))
    common = np.linspace(max(spent[0] for spent, _ in seeds), min(spent[-1] for spent, _ in seeds), 200)
    return common, np.mean([np.interp(common, spent, right) for spent, right in seeds], axis=0)


def _leaving(axes: Axes, trials: Sequence[dict[str, Any]], colour: str) -> None:
    leaving = [trial["anytime"]["early_exit"] for trial in trials if trial["anytime"]["early_exit"]]
    if leaving:
        shares = np.mean([np.cumsum(exits["exit_steps"]) / sum(exits["exit_steps"]) for exits in leaving], axis=0)
        axes.plot(np.arange(1, len(shares) + 1), shares, color=colour, linewidth=1.6, drawstyle="steps-post")


def _streamed(axes: Axes, trials: Sequence[dict[str, Any]], colour: str) -> None:
    whole, stream = estimates.one_image_ms(trials), estimates.stream_ms(trials)
    if stream:
        axes.plot(np.arange(1, len(stream) + 1), stream, color=colour, linewidth=1.6)
    if whole:
        axes.scatter(trials[0]["anytime"]["num_steps"], whole, s=26, color=colour, zorder=3, linewidths=0)


def _without_time(
    joules: Axes,
    times: Axes,
    results: dict[str, Any],
    followed: dict[str, Any],
    colours: dict[str, str],
    estimate: Estimate,
) -> None:
    for name, trials in estimates.finished(results).items():
        if name in followed:
            continue
        spent = estimates.mean([estimate.joules(trial) for trial in trials])
        if spent is not None:
            accuracy = np.mean([trial["test"]["accuracy"] for trial in trials])
            joules.scatter(spent, accuracy, marker="s", s=26, color=colours[name], zorder=3, linewidths=0)
        if milliseconds := estimates.one_image_ms(trials):
            times.axhline(milliseconds, color=colours[name], linewidth=1.1, linestyle=":")


def _finish(steps: Axes, joules: Axes, left: Axes, times: Axes, longest: int) -> None:
    highest = max(np.max(line.get_ydata()) for line in steps.lines)
    for axes in (steps, joules):
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, highest - _SHOWN_BELOW_BEST), high)
        estimates.accuracy_axis(axes)
    for axes in (steps, left, times):
        axes.set_xlim(1 - 0.03 * longest, 1.03 * longest)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    left.set_ylim(0, 1.02)
    left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    times.set_ylim(bottom=0)
    for axes in (joules, times):
        if not axes.lines and not axes.collections:
            axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=style.QUIET)
            axes.set_xticks([])
            axes.set_yticks([])
    if joules.lines or joules.collections:
        estimates.cost_axis(joules, "J")


def _legend(figure: Figure, results: dict[str, Any], followed: dict[str, Any], colours: dict[str, str]) -> None:
    def line(label: str, colour: str = style.QUIET, **how: Any) -> Line2D:
        return Line2D([], [], color=colour, label=label, **how)

    handles = [
        line(style.shortened(name, 30), colours[name], linewidth=2.2)
        if name in followed
        else line(style.shortened(name, 30), colours[name], marker="s", markersize=5, linestyle=":")
        for name in estimates.finished(results)
    ]
    handles += [
        line("all after t steps", linewidth=1.6),
        line("leaving early", linewidth=1.1, linestyle=DASHES),
        line("threshold chosen on validation", marker="*", markersize=9, linestyle="none"),
        line("all steps in one call", marker="o", markersize=5, linestyle="none"),
    ]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=4, frameon=False, fontsize=style.SMALL,
        labelcolor=style.INK,
    )  # fmt: skip
