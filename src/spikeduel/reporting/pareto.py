"""Who is right more often for less: every contender by its accuracy, its energy and its time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from spikeduel.measuring import energy
from spikeduel.reporting import estimates, style
from spikeduel.reporting.estimates import Estimate
from spikeduel.reporting.labelling import label_points

MARKERS = {
    "spiking": "o", "without spikes": "s", "early exit": "*", "ReLU twin": "^", "quantised twin": "D",
}  # fmt: skip
"""What a point is."""
CONTENDERS = ("spiking", "without spikes")
DASHES = (0, (4, 2))
_TWINS = {"relu_twin": "ReLU twin", "quantised_twin": "quantised twin"}
_SIZES = {"*": 100, "^": 34, "D": 26}


@dataclass(frozen=True)
class Point:
    """A network in the plot: accuracy as a mean over seeds with its standard deviation; None where not known.

    `kind` is one of `MARKERS`; `label` what is written beside it.
    """

    contender: str
    kind: str
    label: str
    colour: str
    accuracy: float
    deviation: float
    joules: float | None
    seconds: float | None


def points(results: dict[str, Any], estimate: Estimate | None = None) -> list[Point]:
    """Each contender, its early exit and its trained twins, from the content of results.json."""
    estimate = estimate or Estimate()
    colours = style.contender_colours(results["trials"])
    found = []
    for name, trials in estimates.finished(results).items():
        spiking = trials[0]["family"] == "snn"
        found.append(
            _point(
                name,
                "spiking" if spiking else "without spikes",
                name,
                colours[name],
                [trial["test"]["accuracy"] for trial in trials],
                [estimate.joules(trial) for trial in trials],
                estimates.one_image_ms(trials),
            )
        )
        found += _early_exit(name, colours[name], trials, estimate) + _twins(name, colours[name], trials, estimate)
    return found


def _point(
    contender: str,
    kind: str,
    label: str,
    colour: str,
    accuracies: Sequence[float],
    joules: Sequence[float | None],
    milliseconds: float | None,
) -> Point:
    return Point(
        contender,
        kind,
        label,
        colour,
        float(np.mean(accuracies)),
        estimates.deviation(accuracies),
        estimates.mean(joules),
        None if milliseconds is None else milliseconds / 1e3,
    )


def _early_exit(name: str, colour: str, trials: Sequence[dict[str, Any]], estimate: Estimate) -> list[Point]:
    exits = [(trial.get("anytime") or {}).get("early_exit") for trial in trials]
    if not all(exits) or all(each["threshold"] is None for each in exits if each):
        return []
    over_time = [estimate.over_time(trial) for trial in trials]
    joules = [
        energy.mean_at(spent, each["exit_steps"]) if spent and each else None
        for spent, each in zip(over_time, exits, strict=True)
    ]
    stream = estimates.stream_ms(trials)
    milliseconds = energy.mean_at(stream, exits[0]["exit_steps"]) if stream and exits[0] else None
    accuracies = [each["accuracy"] for each in exits if each]
    return [_point(name, "early exit", "early exit", colour, accuracies, joules, milliseconds)]


def _twins(name: str, colour: str, trials: Sequence[dict[str, Any]], estimate: Estimate) -> list[Point]:
    found = []
    for control, kind in _TWINS.items():
        of_trials = [(trial.get("controls") or {}).get(control) for trial in trials]
        known = [each for each in of_trials if each]
        if known and len(known) == len(of_trials):
            accuracies = [each["accuracy"] for each in known]
            joules = [estimate.joules(each) for each in known]
            bits = f" ({known[0]['bits']} bit)" if known[0].get("bits") else ""
            found.append(_point(name, kind, f"{kind}{bits}", colour, accuracies, joules, None))
    return found


def front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """The indices of those that nobody beats: no other is at least as accurate for at most as much, by rising cost."""
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -accuracies[index]))
    best, kept = -np.inf, []
    for index in order:
        if accuracies[index] > best:
            best = accuracies[index]
            kept.append(index)
    return kept


def pareto(results: dict[str, Any], estimate: Estimate | None = None) -> Figure | None:
    """Accuracy against estimated energy, and against the measured time of one image; None where neither is known.

    Early exit takes its images step by step, as a stream, which takes longer a step than all steps in one call.
    Both axes of cost are logarithmic. A line leads along those that nobody beats (`front`); bars are a standard
    deviation over seeds on either side. A panel shows those whose cost is known.
    """
    known = points(results, estimate)
    panels: list[tuple[str, str, Callable[[Point], float | None], str]] = [
        ("energy", f"energy per image ({(estimate or Estimate()).words})", lambda point: point.joules, "J"),
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
    found = [(point, cost(point)) for point in known]
    return [(point, spent) for point, spent in found if spent]


def _draw(axes: Axes, shown: Sequence[tuple[Point, float]], unit: str) -> None:
    best = front([spent for _, spent in shown], [point.accuracy for point, _ in shown])
    axes.plot(
        [shown[k][1] for k in best], [shown[k][0].accuracy for k in best], color=style.QUIET, linewidth=1.0,
        linestyle=DASHES, zorder=1,
    )  # fmt: skip
    itself = {point.contender: (spent, point.accuracy) for point, spent in shown if point.kind in CONTENDERS}
    for point, spent in shown:
        if point.deviation:
            low, high = point.accuracy - point.deviation, point.accuracy + point.deviation
            axes.plot([spent, spent], [low, high], color=point.colour, linewidth=1.0, zorder=2)
        if point.contender in itself:
            ends = zip(itself[point.contender], (spent, point.accuracy), strict=True)
            axes.plot(*ends, color=point.colour, linewidth=0.7, alpha=0.45, zorder=1)
        marker, hollow = MARKERS[point.kind], point.kind in _TWINS.values()
        axes.scatter(
            spent, point.accuracy, marker=marker, s=_SIZES.get(marker, 40), zorder=3, linewidths=1.3 if hollow else 0,
            facecolors="white" if hollow else point.colour, edgecolors=point.colour,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.16, y=0.12)
    estimates.cost_axis(axes, unit)


def _legend(figure: Figure, known: Sequence[Point]) -> None:
    kinds = {point.kind for point in known}
    handles = [
        Line2D([], [], color=style.QUIET, marker=marker, linestyle="none", markersize=9 if marker == "*" else 5.5,
               markerfacecolor="white" if kind in _TWINS.values() else style.QUIET, label=kind)
        for kind, marker in MARKERS.items() if kind in kinds
    ]  # fmt: skip
    handles.append(
        Line2D([], [], color=style.QUIET, linewidth=1.0, linestyle=DASHES, label="nobody is better for less")
    )
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=style.SMALL,
        labelcolor=style.INK,
    )  # fmt: skip
