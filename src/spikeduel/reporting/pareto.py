"""Accuracy against cost: every contender by its accuracy, its energy and its time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.measuring import energy
from spikeduel.reporting import estimates, style
from spikeduel.reporting.labelling import label_points
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.words.costs import control_results, control_title, joules_of, mean


@dataclass(frozen=True)
class Kind:
    """What a point is, and how it is marked."""

    title: str
    marker: str
    size: int = 40
    hollow: bool = False


KINDS = {
    "spiking": Kind("spiking", "o"),
    "without_spikes": Kind("without spikes", "s"),
    "early_exit": Kind("early exit", "*", size=100),
    "relu_twin": Kind("ReLU twin", "^", size=34, hollow=True),
    "quantised_twin": Kind("quantised twin", "D", size=26, hollow=True),
}
CONTROLS = ("relu_twin", "quantised_twin")
"""Those of `KINDS` that are controls, by their names in `Trial.controls`."""


@dataclass(frozen=True)
class Point:
    """A network in the plot: accuracy as a mean over seeds with its standard deviation; None where not known.

    `kind` is a name in `KINDS`; `label` is written beside it.
    """

    contender: str
    kind: str
    label: str
    colour: str
    accuracy: float
    deviation: float
    joules: float | None
    seconds: float | None


def points(results: Results, table: energy.Table) -> list[Point]:
    """Each contender, its early exit and its trained twins; energy by `table`."""
    colours = style.contender_colours(results.trials)
    shown = []
    for name, trials in estimates.tested(results).items():

        def point(
            kind: str,
            label: str,
            accuracies: Sequence[float],
            joules: Sequence[float | None],
            milliseconds: float | None,
            name: str = name,
        ) -> Point:
            spread = estimates.deviation(accuracies)
            seconds = None if milliseconds is None else milliseconds / 1e3
            return Point(name, kind, label, colours[name], float(np.mean(accuracies)), spread, mean(joules), seconds)

        accuracies = [trial.test.accuracy for trial in trials if trial.test]
        joules = [joules_of(trial, table.name) for trial in trials]
        kind = "spiking" if trials[0].spiking else "without_spikes"
        shown.append(point(kind, name, accuracies, joules, estimates.one_image_ms(trials)))
        if leaving := early_exits(trials, table):
            shown.append(point("early_exit", "early exit", *leaving))
        for control in CONTROLS:
            if twins := control_results(trials, control):
                accuracies = [twin.accuracy for twin in twins]
                joules = [joules_of(twin, table.name) for twin in twins]
                shown.append(point(control, control_title(twins[0]), accuracies, joules, None))
    return shown


def early_exits(
    trials: Sequence[Trial], table: energy.Table
) -> tuple[list[float], list[float | None], float | None] | None:
    """Accuracies and joules of each trial with early exit, and milliseconds; None unless all may leave early."""
    exits = [trial.anytime.early_exit for trial in trials if trial.anytime and trial.anytime.early_exit]
    if len(exits) < len(trials) or all(leaving.threshold is None for leaving in exits):
        return None
    spent = [estimates.joules_over_time(trial, table) for trial in trials]
    joules = [
        energy.mean_at(over_time, leaving.exit_steps) if over_time else None
        for over_time, leaving in zip(spent, exits, strict=True)
    ]
    stream = estimates.stream_ms(trials)
    milliseconds = energy.mean_at(stream, exits[0].exit_steps) if stream else None
    return [leaving.accuracy for leaving in exits], joules, milliseconds


def front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """The Pareto front by rising cost: the indices to which no other is at least as accurate for at most as much."""
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -accuracies[index]))
    best, kept = -np.inf, []
    for index in order:
        if accuracies[index] > best:
            best = accuracies[index]
            kept.append(index)
    return kept


def pareto(results: Results, table: energy.Table) -> Figure | None:
    """Accuracy against energy as estimated by `table`, and against the measured time of one image.

    None where neither is known. Early exit takes its images step by step, as a stream, which takes longer a step than
    all steps in one call. Both axes of cost are logarithmic. A line joins the Pareto `front`; bars are a standard
    deviation over seeds on either side. A panel shows those whose cost is known.
    """
    known = points(results, table)
    panels: list[tuple[str, str, Callable[[Point], float | None], str]] = [
        ("energy", estimates.energy_label(table), lambda point: point.joules, "J"),
        ("time", "one image, from pixels to label (measured on this machine)", lambda point: point.seconds, "s"),
    ]
    shown = [panel for panel in panels if any(panel[2](point) for point in known)]
    if not shown:
        return None
    figure = style.new_figure(4.0, style.WIDTH if len(shown) > 1 else 0.62 * style.WIDTH)
    _legend(figure, known)
    all_axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, (title, x, cost, unit) in zip(all_axes, shown, strict=True):
        style.quiet(axes, title, x=x, y="accuracy on the test images" if axes is all_axes[0] else "", grid=True)
        _draw(axes, _costs(known, cost), unit)
    estimates.accuracy_axis(all_axes[0])
    # Only when all is drawn does everything stay where it is.
    for axes, (_, _, cost, _) in zip(all_axes, shown, strict=True):
        in_panel = _costs(known, cost)
        label_points(
            axes,
            [(spent, point.accuracy) for point, spent in in_panel],
            [style.shortened(point.label, 34) for point, _ in in_panel],
            [point.colour for point, _ in in_panel],
        )
    return figure


def _costs(known: Sequence[Point], cost: Callable[[Point], float | None]) -> list[tuple[Point, float]]:
    return [(point, spent) for point in known if (spent := cost(point))]


def _draw(axes: Axes, shown: Sequence[tuple[Point, float]], unit: str) -> None:
    best = front([spent for _, spent in shown], [point.accuracy for point, _ in shown])
    axes.plot(
        [shown[k][1] for k in best], [shown[k][0].accuracy for k in best], color=style.QUIET, linewidth=1.0,
        linestyle=style.DASHED, zorder=1,
    )  # fmt: skip
    itself = {p.contender: (spent, p.accuracy) for p, spent in shown if p.kind in ("spiking", "without_spikes")}
    for point, spent in shown:
        if point.deviation:
            low, high = point.accuracy - point.deviation, point.accuracy + point.deviation
            axes.plot([spent, spent], [low, high], color=point.colour, linewidth=1.0, zorder=2)
        if point.contender in itself:
            ends = zip(itself[point.contender], (spent, point.accuracy), strict=True)
            axes.plot(*ends, color=point.colour, linewidth=0.7, alpha=0.45, zorder=1)
        kind = KINDS[point.kind]
        axes.scatter(
            spent, point.accuracy, marker=kind.marker, s=kind.size, zorder=3, linewidths=1.3 if kind.hollow else 0,
            facecolors="white" if kind.hollow else point.colour, edgecolors=point.colour,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.16, y=0.12)
    estimates.cost_axis(axes, unit)


def _legend(figure: Figure, known: Sequence[Point]) -> None:
    there = {point.kind for point in known}
    handles = [
        style.key(kind.title, marker=kind.marker, linestyle="none", markersize=9 if kind.marker == "*" else 5.5,
                  markerfacecolor="white" if kind.hollow else style.QUIET)
        for name, kind in KINDS.items() if name in there
    ]  # fmt: skip
    handles.append(style.key("Pareto front", linewidth=1.0, linestyle=style.DASHED))
    style.legend(figure, handles, len(handles))
