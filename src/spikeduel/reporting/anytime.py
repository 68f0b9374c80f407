"""Accuracy, energy and time of a spiking network after every time step, early exit, and converted
networks.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.measuring import energy
from spikeduel.reporting import style
from spikeduel.results.anytime import EarlyExit
from spikeduel.results.rankings import joules_of, mean_range
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial

_SHOWN_BELOW_BEST = 0.25
"""Accuracies lower than this below the best one leave the panel: the first steps would take all of
its height.
"""
_SHOWN_BELOW_SOURCE = 0.4
"""The same below the worst network that another one was converted from."""


def followed(results: Results) -> dict[str, list[Trial]]:
    """The tested trials with an accuracy after each step, by contender; all over as many steps as
    the first.
    """
    by_contender = {
        name: [trial for trial in results.of(name) if num_steps(trial)]
        for name in results.contenders
    }
    return {
        name: [trial for trial in trials if num_steps(trial) == num_steps(trials[0])]
        for name, trials in by_contender.items()
        if trials
    }


def num_steps(trial: Trial) -> int:
    """Over how many steps its accuracy was followed; 0: it was not."""
    return (trial.anytime.num_steps or 0) if trial.anytime else 0


def exits_of(trials: Iterable[Trial]) -> list[EarlyExit]:
    """Early exit of those that have it."""
    return [
        trial.anytime.early_exit for trial in trials if trial.anytime and trial.anytime.early_exit
    ]


def energy_label(table: energy.Table) -> str:
    """The title of an axis of estimated energy."""
    return f"energy (estimate: {style.shortened(table.title, 34)}, zeros skipped)"


def joules_over_time(trial: Trial, table: energy.Table) -> list[float] | None:
    """Joules per image up to each step, `[T]`, zeros skipped; None where they are not known."""
    return energy.over_time(trial.operations, table) if trial.operations else None


def one_image_ms(trials: Iterable[Trial]) -> float | None:
    """The median milliseconds of one image's answer, of the trial that was timed."""
    timed = (trial.latency.one_image for trial in trials if trial.latency)
    return next((times.median_ms for times in timed if times), None)


def stream_ms(trials: Iterable[Trial]) -> list[float] | None:
    """Milliseconds until the scores after each step, `[T]`, of the trial that was timed."""
    timed = (trial.latency for trial in trials if trial.latency and trial.latency.one_image)
    return next((latency.stream_ms for latency in timed if latency.stream_ms), None)


def curves(results: Results, table: energy.Table) -> Figure:
    """Accuracy against steps and against energy, early exits, and time against steps; a colour a
    contender.

    Solid: every image is answered after t steps. Dashed: images leave early, for all thresholds; a
    star marks the threshold chosen on validation images. Squares: networks without time. Means over
    seeds, with a band of a standard deviation. Energy is estimated by `table`. Some trial of
    `results` was followed (`followed`).
    """
    over_time, colours = followed(results), style.contender_colours(results.trials)
    figure, (steps, joules, left, times) = style.new_panels(4, 2.6)
    style.quiet(
        steps, "accuracy by time steps", x="time steps", y="accuracy on the test set", grid=True
    )
    style.quiet(joules, "accuracy by energy", x=energy_label(table), grid=True)
    style.quiet(
        left,
        "early exit: share that has left",
        x="time steps",
        y="share of the test set",
        grid=True,
    )
    style.quiet(
        times, "time until the answer (measured)", x="time steps", y="ms for one answer", grid=True
    )
    for name, trials in over_time.items():
        colour, at_steps = colours[name], range(1, num_steps(trials[0]) + 1)
        accuracy_over(steps, [at_steps] * len(trials), trials, colour)
        spent = [each for trial in trials if (each := joules_over_time(trial, table))]
        if len(spent) == len(trials):
            accuracy_over(joules, spent, trials, colour, "energy, J")
        if exits := exits_of(trials):
            shares = np.mean(
                [np.cumsum(leave.exit_steps) / sum(leave.exit_steps) for leave in exits], axis=0
            )
            (line,) = left.plot(
                at_steps, shares, color=colour, linewidth=1.6, drawstyle="steps-post"
            )
            style.told(line, _by_step(name, {"have left, %": 100 * shares}))
        if stream := stream_ms(trials):
            (line,) = times.plot(np.arange(1, len(stream) + 1), stream, color=colour, linewidth=1.6)
            style.told(line, _by_step(name, {"time step by step, ms": stream}))
        if whole := one_image_ms(trials):
            dot = times.scatter(
                num_steps(trials[0]), whole, s=26, color=colour, zorder=3, linewidths=0
            )
            style.told(
                dot,
                [{"contender": name, "steps": num_steps(trials[0]), "time in one call, ms": whole}],
            )
    without_time = {n: trials for n in colours if n not in over_time and (trials := results.of(n))}
    for name, trials in without_time.items():
        spent_by_all = mean_range([joules_of(trial, table.name) for trial in trials])
        if spent_by_all is not None:
            accuracy = np.mean([trial.test.accuracy for trial in trials if trial.test])
            square = joules.scatter(
                spent_by_all.low,
                accuracy,
                marker="s",
                s=26,
                color=colours[name],
                zorder=3,
                linewidths=0,
            )
            found = {"accuracy, %": 100 * accuracy, "energy, J": spent_by_all.low}
            style.told(square, [{"contender": name, **found}])
        if milliseconds := one_image_ms(trials):
            line = times.axhline(milliseconds, color=colours[name], linewidth=1.1, linestyle=":")
            style.told(line, [{"contender": name, "time in one call, ms": milliseconds}])
    _finish(steps, joules, left, times, max(num_steps(trials[0]) for trials in over_time.values()))
    squares = {"marker": "s", "markersize": 5, "linestyle": ":"}
    handles = [
        style.key(name, colours[name], **({"linewidth": 2.2} if name in over_time else squares))
        for name in colours
        if name in over_time or name in without_time
    ]
    handles += [
        style.key("all after t steps", linewidth=1.6),
        style.key("leaving early", linewidth=1.1, linestyle=style.DASHED),
        style.key("threshold chosen on validation", marker="*", markersize=9, linestyle="none"),
        style.key("all steps in one call", marker="o", markersize=5, linestyle="none"),
    ]
    style.legend(figure, handles, columns=4)
    return figure


def _by_step(contender: str, values: Mapping[str, Iterable[Any]]) -> list[style.Row]:
    """A row for each step, of the values by their names."""
    steps = enumerate(zip(*values.values(), strict=True), 1)
    return [
        {"contender": contender, "steps": step, **dict(zip(values, at, strict=True))}
        for step, at in steps
    ]


def accuracy_over(
    axes: Axes,
    costs: Sequence[Sequence[float]],
    trials: Sequence[Trial],
    colour: str,
    title: str | None = None,
) -> None:
    """Accuracy against what t steps cost, `costs` `[trials][T]`, and the same for leaving early.

    `title` is that of costs other than steps, with their unit.
    """
    cost = np.mean(costs, axis=0)
    _line(axes, cost, trials, colour, title, markersize=2.4 if len(cost) > 8 else 3.4)
    exits = exits_of(trials)
    if len(exits) < len(trials):
        return
    leaving = list(zip(costs, exits, strict=True))
    axes.plot(*_mean_curve(leaving), color=colour, linewidth=1.1, linestyle=style.DASHED, alpha=0.9)
    chosen = [(energy.mean_at(cost, leave.exit_steps), leave.accuracy) for cost, leave in leaving]
    x, y = np.mean(chosen, axis=0)
    star = axes.scatter(
        x, y, marker="*", s=95, color=colour, edgecolors="white", linewidths=0.7, zorder=4
    )
    found = {"leaving": "early, threshold chosen on validation", "accuracy, %": 100 * y}
    style.told(star, [{"contender": trials[0].contender, **found, title or "mean steps": x}])


def _line(
    axes: Axes,
    cost: np.ndarray,
    trials: Sequence[Trial],
    colour: str,
    title: str | None = None,
    **look: Any,
) -> None:
    """Accuracy after each step: the mean over trials, with its band. `title` is that of a `cost`
    other than steps.
    """
    at = np.array([trial.anytime.accuracies for trial in trials if trial.anytime])
    (line,) = axes.plot(cost, at.mean(0), color=colour, linewidth=1.6, marker="o", **look)
    deviations = 100 * at.std(0, ddof=1) if len(at) > 1 else [None] * len(cost)
    found: dict[str, Iterable[Any]] = {
        "accuracy, %": 100 * at.mean(0),
        "standard deviation, points": deviations,
    }
    style.told(line, _by_step(trials[0].contender, found | ({title: cost} if title else {})))
    style.band(axes, cost, at, colour)


def _mean_curve(
    leaving: Sequence[tuple[Sequence[float], EarlyExit]],
) -> tuple[np.ndarray, np.ndarray]:
    """Cost and accuracy over all thresholds. Those of seeds differ: at equal costs, their
    accuracies are averaged.
    """
    seeds = []
    for cost, exits in leaving:
        spent = [energy.mean_at(cost, at.exit_steps) for at in exits.curve]
        order = np.argsort(spent, kind="stable")
        seeds.append((np.array(spent)[order], np.array([at.accuracy for at in exits.curve])[order]))
    common = np.linspace(
        max(spent[0] for spent, _ in seeds), min(spent[-1] for spent, _ in seeds), 200
    )
    return common, np.mean([np.interp(common, spent, right) for spent, right in seeds], axis=0)


def _finish(steps: Axes, joules: Axes, left: Axes, times: Axes, longest: int) -> None:
    highest = max(np.max(line.get_ydata()) for line in steps.lines)
    for axes in (steps, joules):
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, highest - _SHOWN_BELOW_BEST), high)
        style.accuracy_axis(axes)
    for axes in (steps, left, times):
        axes.set_xlim(1 - 0.03 * longest, 1.03 * longest)
        style.count_axis(axes.xaxis)
    left.set_ylim(0, 1.02)
    style.per_cent_axis(left.yaxis)
    times.set_ylim(bottom=0)
    for axes in (joules, times):
        if not axes.lines and not axes.collections:
            axes.text(
                0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color=style.QUIET
            )
            axes.set_xticks([])
            axes.set_yticks([])
    if joules.lines or joules.collections:
        style.cost_axis(joules, "J")


def sources(results: Results) -> dict[str, str]:
    """Each converted contender that was followed over time, and the contender that it was made
    of.
    """
    converted = {name: trials[-1].converted_from for name, trials in followed(results).items()}
    return {name: source for name, source in converted.items() if source and results.of(source)}


def conversion(results: Results) -> Figure:
    """Accuracy on the test images after t steps of each converted network (solid), and of its
    source (dashed).

    Means over seeds, with a band of a standard deviation. `results` has converted networks
    (`sources`).
    """
    colours = style.contender_colours(results.trials)
    figure = style.new_figure(3.2, 6.4)
    axes = style.quiet(
        figure.subplots(), "", x="time steps", y="accuracy on the test set", grid=True
    )
    lowest, longest = 1.0, 1
    for name, source in sources(results).items():
        trials = followed(results)[name]
        _line(
            axes,
            np.arange(1, num_steps(trials[0]) + 1),
            trials,
            colours[name],
            markersize=3,
            label=name,
        )
        reached = float(
            np.mean([trial.test.accuracy for trial in results.of(source) if trial.test])
        )
        line = axes.axhline(
            reached, color=colours[source], linewidth=1.2, linestyle=style.DASHED, label=source
        )
        style.told(line, [{"contender": source, "accuracy, %": 100 * reached}])
        lowest, longest = min(lowest, reached), max(longest, num_steps(trials[0]))
    style.steps_axis(axes, longest)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, lowest - _SHOWN_BELOW_SOURCE), top)
    style.accuracy_axis(axes)
    style.axes_legend(axes, "lower right")
    return figure
