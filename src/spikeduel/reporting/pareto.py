"""Accuracy against cost: every contender by its accuracy, energy and time, and the map of where
spiking pays.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.counting.operations import Operations
from spikeduel.measuring import energy
from spikeduel.reporting import anytime, style
from spikeduel.reporting.labels import label_points
from spikeduel.results.costs import MEMORIES, Range
from spikeduel.results.rankings import control_results, joules_of, mean, mean_range
from spikeduel.results.run import Results
from spikeduel.results.words.costs import MEMORY_TITLES
from spikeduel.results.words.verdict import titled

KINDS: dict[str, dict[str, Any]] = {
    "spiking": {"marker": "o", "s": 40},
    "without spikes": {"marker": "s", "s": 40},
    "early exit": {"marker": "*", "s": 100},
    "ReLU twin": {"marker": "^", "s": 34, "facecolors": "white", "linewidths": 1.3},
    "quantised twin": {"marker": "D", "s": 26, "facecolors": "white", "linewidths": 1.3},
}
"""What a point is, and how it is marked."""
CONTROLS = {"relu_twin": "ReLU twin", "quantised_twin": "quantised twin"}
"""Those of `KINDS` that are controls, by their names in `Trial.controls`."""
_TIME = "one answer, from input to label (measured on this machine)"
_BAR = 0.3
"""How faint the bar is that goes to where nothing is skipped."""
MOST_STEPS = 128
_FINE = 8
"""Points of a line from one power of two to the next."""
LOWEST_RATE = 1e-4
HIGHEST_RATE = 10.0
_LOOKS = (
    (style.OTHER_COLOURS[0], "-"),
    (style.OTHER_COLOURS[1], (0, (5, 2))),
    (style.OTHER_COLOURS[2], (0, (1.5, 1.5))),
    (style.OTHER_COLOURS[3], (0, (5, 1.5, 1, 1.5))),
)


@dataclass(frozen=True)
class Point:
    """A network in the plot: accuracy as a mean over seeds with its standard deviation; None where
    not known.

    `kind` is a name in `KINDS`; `label` is written beside it. `joules` go from zeros skipped to
    nothing skipped.
    """

    contender: str
    kind: str
    label: str
    colour: str
    accuracy: float
    deviation: float
    joules: Range | None
    seconds: float | None = None

    @property
    def row(self) -> style.Row:
        """What it says."""
        low, high = (self.joules.low, self.joules.high) if self.joules else (None, None)
        return {
            "contender": self.contender,
            "network": self.kind,
            "accuracy, %": 100 * self.accuracy,
            "standard deviation, points": 100 * self.deviation or None,
            "energy, J": low,
            "energy at most, J": high if high != low else None,
            "time, s": self.seconds,
        }


def points(results: Results, table: energy.Table) -> list[Point]:
    """Each contender, its early exit and its trained twins; energy by `table`."""
    shown = []
    for name, colour in style.contender_colours(results.trials).items():
        trials = results.of(name)
        if not trials:
            continue
        kind = "spiking" if trials[0].spiking else "without spikes"
        over_seeds = _over_seeds([trial.test.accuracy for trial in trials if trial.test])
        joules = mean_range([joules_of(trial, table.name) for trial in trials])
        milliseconds = anytime.one_image_ms(trials)
        shown.append(
            Point(
                name, kind, name, colour, *over_seeds, joules, milliseconds and milliseconds / 1e3
            )
        )
        exits = anytime.exits_of(trials)
        if len(exits) == len(trials) and any(leaving.threshold is not None for leaving in exits):
            over_time = [anytime.joules_over_time(trial, table) for trial in trials]
            left = zip(over_time, exits, strict=True)
            early = mean(
                [
                    energy.mean_at(spent, leaving.exit_steps) if spent else None
                    for spent, leaving in left
                ]
            )
            joules = _exactly(early) if early is not None else None
            stream = anytime.stream_ms(trials)
            seconds = energy.mean_at(stream, exits[0].exit_steps) / 1e3 if stream else None
            over_seeds = _over_seeds([leaving.accuracy for leaving in exits])
            shown.append(
                Point(name, "early exit", "early exit", colour, *over_seeds, joules, seconds)
            )
        for control, kind in CONTROLS.items():
            if twins := control_results(trials, control):
                over_seeds = _over_seeds([twin.accuracy for twin in twins])
                joules = mean_range([joules_of(twin, table.name) for twin in twins])
                shown.append(Point(name, kind, titled(twins[0]), colour, *over_seeds, joules))
    return shown


def _exactly(amount: float) -> Range:
    return Range(low=amount, high=amount)


def _over_seeds(accuracies: Sequence[float]) -> tuple[float, float]:
    """Their mean, and their standard deviation: 0 of a single one."""
    return float(np.mean(accuracies)), statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0


def front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """The Pareto front by rising cost: the indices to which no other is at least as accurate for at
    most as much.
    """
    best, kept = -np.inf, []
    for index in sorted(range(len(costs)), key=lambda index: (costs[index], -accuracies[index])):
        if accuracies[index] > best:
            best = accuracies[index]
            kept.append(index)
    return kept


def pareto(results: Results, table: energy.Table) -> Figure | None:
    """Accuracy against energy as estimated by `table`, and against the measured time of one image.

    None where neither is known. A bar goes from zeros skipped by all to nothing skipped. Early exit
    takes its images step by step, as a stream, which takes longer a step than all steps in one
    call. Both axes of cost are logarithmic. A line joins the Pareto `front`; bars are a standard
    deviation over seeds on either side. A panel shows those whose cost is known.
    """
    known = points(results, table)
    panels = [
        (
            "energy",
            anytime.energy_label(table),
            [(point, point.joules) for point in known if point.joules],
            "J",
        ),
        (
            "time",
            _TIME,
            [(point, _exactly(point.seconds)) for point in known if point.seconds],
            "s",
        ),
    ]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return None
    handles = [
        style.key(
            kind,
            marker=look["marker"],
            linestyle="none",
            markersize=9 if look["marker"] == "*" else 5.5,
            markerfacecolor=look.get("facecolors", style.QUIET),
        )
        for kind, look in KINDS.items()
        if kind in {point.kind for point in known}
    ]
    if panels[0][0] == "energy":
        handles.append(style.key("to nothing skipped", linewidth=2.5, alpha=_BAR))
    handles.append(style.key("Pareto front", linewidth=1.0, linestyle=style.DASHED))
    return _drawn(panels, 3.6, handles)


def at_a_glance(results: Results) -> Figure | None:
    """Accuracy against cost by the numbers of the answer's table: energy with memory, or where that
    is not known the time of an answer. None where neither is.
    """
    found, colours = results.answer, style.contender_colours(results.trials)
    costs, x, unit = (
        found.lead("energy").values,
        "energy of one answer, with memory (estimate)",
        "J",
    )
    if not costs:
        costs, x, unit = found.lead("answer").values, _TIME, "s"
    shown = []
    for name, spent in costs.items():
        trials = results.of(name)
        kind = "spiking" if trials[0].spiking else "without spikes"
        over_seeds = _over_seeds([trial.test.accuracy for trial in trials if trial.test])
        energy_or_time = (
            {"joules": spent} if unit == "J" else {"joules": None, "seconds": spent.low}
        )
        shown.append((Point(name, kind, name, colours[name], *over_seeds, **energy_or_time), spent))
    return _drawn([("", x, shown, unit)], 3.0) if shown else None


def _drawn(
    panels: Sequence[tuple[str, str, list[tuple[Point, Range]], str]],
    height: float,
    handles: Sequence[Any] = (),
) -> Figure:
    """A figure of `panels`: (title, title of the axis, points and what they cost, unit)."""
    figure, all_axes = style.new_panels(len(panels), height, sharey=True)
    if handles:
        style.legend(figure, list(handles), len(handles))
    for axes, (title, x, shown, unit) in zip(all_axes, panels, strict=True):
        style.quiet(axes, title, x=x, y="accuracy on the test set", grid=True)
        _draw(axes, shown)
        style.cost_axis(axes, unit)
    style.accuracy_axis(all_axes[0])
    # Only when all is drawn does everything stay where it is.
    for axes, (_, _, shown, _) in zip(all_axes, panels, strict=True):
        label_points(
            axes,
            [(spent.low, point.accuracy) for point, spent in shown],
            [style.shortened(point.label, 34) for point, _ in shown],
        )
    return figure


def _draw(axes: Axes, shown: Sequence[tuple[Point, Range]]) -> None:
    best = [
        shown[k]
        for k in front([spent.low for _, spent in shown], [point.accuracy for point, _ in shown])
    ]
    axes.plot(
        [spent.low for _, spent in best],
        [point.accuracy for point, _ in best],
        color=style.QUIET,
        linewidth=1.0,
        linestyle=style.DASHED,
        zorder=1,
    )
    itself = {
        p.contender: (spent.low, p.accuracy)
        for p, spent in shown
        if p.kind in ("spiking", "without spikes")
    }
    for point, spent in shown:
        if point.deviation:
            low, high = point.accuracy - point.deviation, point.accuracy + point.deviation
            axes.plot(
                [spent.low, spent.low], [low, high], color=point.colour, linewidth=1.0, zorder=2
            )
        if point.contender in itself:
            ends = zip(itself[point.contender], (spent.low, point.accuracy), strict=True)
            axes.plot(*ends, color=point.colour, linewidth=0.7, alpha=0.45, zorder=1)
        look = {"facecolors": point.colour, "linewidths": 0, **KINDS[point.kind]}
        if spent.high > spent.low:
            axes.plot(
                [spent.low, spent.high],
                [point.accuracy] * 2,
                color=point.colour,
                linewidth=2.5,
                alpha=_BAR,
                zorder=1,
            )
        style.told(
            axes.scatter(spent.low, point.accuracy, edgecolors=point.colour, zorder=3, **look),
            [point.row],
        )
    axes.set_xscale("log")
    axes.margins(x=0.16, y=0.12)


def _in_words(rate: float) -> str | float:
    """A break-even rate for a table, where any rate is low enough, or none is, in a word."""
    return "any" if rate == np.inf else "never" if rate <= 0 else rate


def break_even(
    operations: Operations, name: str, colour: str, trained: Operations | None = None
) -> Figure:
    """A panel for each memory model: the spike rate at which network `name` costs as much as its
    ReLU twin, by steps T.

    The twin is the `trained` one, or computed from the network's shape alone, without a zero among
    its hidden activations. Synapses, hoisted, each layer of both in its cheapest way. Below a line
    the network is cheaper by that table; the dot is where it is.
    """
    tables = [table for table in map(energy.read, energy.NAMES) if not table.chip]
    twin, there = trained.layers if trained else energy.relu_twin(operations), operations.num_steps
    steps = np.geomspace(1, MOST_STEPS, 1 + _FINE * (MOST_STEPS.bit_length() - 1))
    figure, panels = style.new_panels(len(MEMORIES), 2.5, abreast=3, sharey=True)
    rate = operations.totals.spikes_per_neuron_and_step or 0.0
    for axes, memory in zip(panels, MEMORIES, strict=True):
        style.quiet(axes, MEMORY_TITLES[memory], x="time steps T", y="spikes per neuron and step")
        signs = set()
        for place, table in enumerate(tables):
            rates = [
                energy.break_even_rate(operations, twin, table, t, memory) for t in (there, *steps)
            ]
            signs |= (
                {"pays" if rates[0] == np.inf else "may pay" if rates[0] > 0 else "never"}
                if rates[0]
                else set()
            )
            # Where silence itself takes as much, the border falls below everything; where no rate
            # does, it lies above.
            known = [np.nan if rate is None else rate for rate in rates[1:]]
            border = np.clip(known, LOWEST_RATE / 10, HIGHEST_RATE)
            line, dashes = _LOOKS[place % len(_LOOKS)]
            label = style.shortened(table.title, 44)
            (drawn,) = axes.plot(
                steps, border, color=line, linestyle=dashes, linewidth=1.6, label=label
            )
            style.told(
                drawn,
                [
                    {
                        "line": table.title,
                        "counted": MEMORY_TITLES[memory],
                        "time steps": round(steps[k]),
                        "break-even rate": _in_words(known[k]),
                    }
                    if k % _FINE == 0
                    else None
                    for k in range(len(steps))
                ],
            )
        axes.axhspan(1, 3, color=style.FAINT, alpha=0.6, linewidth=0)
        axes.text(
            0.97,
            1.2,
            "more than one a step",
            fontsize=7,
            color=style.QUIET,
            ha="right",
            va="bottom",
            transform=axes.get_yaxis_transform(),
        )
        (dot,) = axes.plot(
            [there],
            [rate],
            "o",
            color=colour,
            markersize=7,
            markeredgecolor="white",
            markeredgewidth=1,
            zorder=5,
            clip_on=False,
            label=f"{style.shortened(name, 26)} as trained",
        )
        style.told(
            dot,
            [
                {
                    "line": f"{name} as trained",
                    "time steps": there,
                    "spikes per neuron and step": rate,
                }
            ],
        )
        if signs in ({"pays"}, {"never"}):
            how = "cheaper\nat any rate" if signs == {"pays"} else "dearer\neven without a spike"
            axes.text(
                0.96,
                0.12,
                f"at T = {there}, {how}",
                transform=axes.transAxes,
                ha="right",
                color=style.QUIET,
                fontsize=style.SMALL,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )
        axes.set_yscale("log")
        axes.set_xlim(1, MOST_STEPS)
        axes.set_ylim(LOWEST_RATE, 3)
        style.steps_axis(axes, MOST_STEPS)
        axes.grid(color=style.FAINT, linewidth=0.6)
    handles, _ = panels[0].get_legend_handles_labels()
    style.legend(figure, handles, 3, "outside lower center")
    says = f"Below and left of a line, {style.shortened(name, 24)} takes less than its ReLU twin, each at its cheapest"
    figure.suptitle(
        fill(says, style.canvas().line), fontsize=style.MEDIUM, color=style.INK, x=0.01, ha="left"
    )
    return figure
