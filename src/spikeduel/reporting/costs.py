"""Charts of accuracy against energy and time, and of the spike rates at which spiking pays."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spikeduel.counting.operations import Operations
from spikeduel.measuring import energy
from spikeduel.reporting import anytime, charts
from spikeduel.reporting.charts import (
    DASHES,
    FAINT,
    Axis,
    Chart,
    Key,
    Look,
    Marks,
    Panel,
    Row,
    Rule,
)
from spikeduel.results.costs import MEMORIES, Range
from spikeduel.results.means import control_results, joules_of, mean, mean_range
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.words.costs import MEMORY_TITLES
from spikeduel.results.words.verdict import titled

KINDS = {
    "spiking": Look(size=6.5),
    "without spikes": Look(shape="square", size=6.5),
    "early exit": Look(shape="star", size=10),
    "ReLU twin": Look(shape="triangle", size=6, width=1.3, filled=False),
    "quantised twin": Look(shape="diamond", size=5, width=1.3, filled=False),
}
"""Marks of networks in a chart of costs."""
CONTROLS = {"relu_twin": "ReLU twin", "quantised_twin": "quantised twin"}
"""Kinds of networks that are controls, by their names in `Trial.controls`."""
MOST_STEPS = 128
LOWEST_RATE, HIGHEST_RATE = 1e-4, 3.0
_FINE = 3
"""Points of a break-even line from one power of two to the next."""
_ACCURACY = Axis("accuracy, %", "test accuracy, %", least=charts.LEAST_RANGE)
_RANGE = Look(width=2.5, opacity=0.3)
_FRONT = Look(shape="none", width=1.0, dashes=DASHES)
_BORDERS = ((), (5.0, 2.0), (1.5, 1.5), (5.0, 1.5, 1.0, 1.5))


@dataclass(frozen=True)
class Point:
    """A network by accuracy, the mean over seeds, and cost; None where a number is not known.

    `kind` is a name in `KINDS`; `joules` go from zeros skipped to nothing skipped.
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
    def row(self) -> Row:
        """Return the row of this network."""
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
    """Return each contender, its early exit and its trained twins, with energy by `table`."""
    shown = []
    for name, colour in charts.contender_colours(results.trials).items():
        trials = results.of(name)
        if not trials:
            continue
        milliseconds = anytime.one_image_ms(trials)
        joules = mean_range([joules_of(trial, table.name) for trial in trials])
        seconds = milliseconds and milliseconds / 1e3
        shown.append(_point(name, colour, trials, joules, seconds))
        exits = anytime.exits_of(trials)
        if len(exits) == len(trials) and any(leaving.threshold is not None for leaving in exits):
            over_time = [anytime.joules_over_time(trial, table) for trial in trials]
            spent = mean(
                [
                    energy.mean_at(joules_by_step, leaving.exit_steps) if joules_by_step else None
                    for joules_by_step, leaving in zip(over_time, exits, strict=True)
                ]
            )
            early = None if spent is None else Range(low=spent, high=spent)
            stream = anytime.stream_ms(trials)
            seconds = energy.mean_at(stream, exits[0].exit_steps) / 1e3 if stream else None
            scored = _over_seeds([leaving.accuracy for leaving in exits])
            shown.append(Point(name, "early exit", "early exit", colour, *scored, early, seconds))
        for control, kind in CONTROLS.items():
            if twins := control_results(trials, control):
                scored = _over_seeds([twin.accuracy for twin in twins])
                joules = mean_range([joules_of(twin, table.name) for twin in twins])
                shown.append(Point(name, kind, titled(twins[0]), colour, *scored, joules))
    return shown


def _point(
    name: str, colour: str, trials: Sequence[Trial], joules: Range | None, seconds: float | None
) -> Point:
    kind = "spiking" if trials[0].spiking else "without spikes"
    scored = _over_seeds([trial.test.accuracy for trial in trials if trial.test])
    return Point(name, kind, name, colour, *scored, joules, seconds)


def _over_seeds(accuracies: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation, 0 of a single accuracy."""
    return float(np.mean(accuracies)), statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0


def front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the Pareto front by rising cost: the indices of the points that no other point beats
    in accuracy for at most the same cost.
    """
    best, kept = -np.inf, []
    for index in sorted(range(len(costs)), key=lambda index: (costs[index], -accuracies[index])):
        if accuracies[index] > best:
            best = accuracies[index]
            kept.append(index)
    return kept


def pareto(results: Results, table: energy.Table) -> Chart | None:
    """Return accuracy against estimated energy and against the measured time of one image.

    None where neither is known. A bar goes from zeros skipped by all to nothing skipped; vertical
    lines are a standard deviation over seeds on either side. Early exit is timed as a stream, step
    by step.
    """
    known = points(results, table)
    panels = [
        _panel(known, Axis("energy, J", "energy of an answer (estimate)", "log"), "Energy"),
        _panel(known, Axis("time, s", "time of an answer (measured)", "log"), "Time"),
    ]
    shown = [panel for panel in panels if panel.marks]
    if not shown:
        return None
    kinds = [kind for kind in KINDS if kind in {point.kind for point in known}]
    keys = [Key(kind, "points", KINDS[kind]) for kind in kinds]
    if panels[0].marks:
        keys.append(Key("to nothing skipped", "line", _RANGE))
    return Chart("pareto", shown, [*keys, Key("Pareto front", "line", _FRONT)])


def at_a_glance(results: Results) -> Chart | None:
    """Return accuracy against the cost in the answer's table: energy with memory, or else time.

    None where neither is known.
    """
    answer, colours = results.answer, charts.contender_colours(results.trials)
    x = Axis("energy, J", "energy with memory (estimate)", "log")
    costs = answer.lead("energy").values
    if not costs:
        x = Axis("time, s", "time of an answer (measured)", "log")
        costs = answer.lead("answer").values
    shown = [
        _point(name, colours[name], results.of(name), spent, None)
        if x.column == "energy, J"
        else _point(name, colours[name], results.of(name), None, spent.low)
        for name, spent in costs.items()
        if results.of(name)  # a contender whose scores failed has costs alone
    ]
    return Chart("answer", [_panel(shown, x, "")]) if shown else None


def _panel(shown: Sequence[Point], x: Axis, title: str) -> Panel:
    """Return the points whose cost on axis `x` is known, and their Pareto front."""
    rows = [(point, point.row) for point in shown]
    known = [(point, row) for point, row in rows if row[x.column] is not None]
    costs = [float(row[x.column] or 0) for _, row in known]
    best = [known[index][1] for index in front(costs, [point.accuracy for point, _ in known])]
    marks = [Marks("line", best, _FRONT, told=False)] if known else []
    itself = {point.contender: row for point, row in known if point.label == point.contender}
    for point, row in known:
        extended: Row = {
            **row,
            "low": 100 * (point.accuracy - point.deviation),
            "high": 100 * (point.accuracy + point.deviation),
            "cost at most": row["energy at most, J"] if x.column == "energy, J" else None,
        }
        look = KINDS[point.kind]
        marked = Look(point.colour, look.shape, look.size, look.width, filled=look.filled)
        thin = Look(point.colour, "none", width=1.0)
        bar = Look(point.colour, width=_RANGE.width, opacity=_RANGE.opacity)
        to_itself = [itself.get(point.contender, row), row]
        marks += [
            Marks(
                "line", to_itself, Look(point.colour, "none", width=0.7, opacity=0.45), told=False
            ),
            Marks("intervals", [extended], thin, ("low", "high"), told=False),
            Marks("spans", [extended], bar, (x.column, "cost at most"), told=False),
            Marks("points", [row], marked, label=point.label),
        ]
    return Panel(x, _ACCURACY, marks, title, height=2.6)


def break_even(
    operations: Operations, name: str, colour: str, trained: Operations | None = None
) -> Chart:
    """Return the spike rate at which network `name` costs as much as its ReLU twin, by time steps.

    A panel for each memory model, a line for each energy table. The twin is the `trained` one, or
    computed from the network's shape without a zero among its hidden activations. Below a line the
    network is cheaper by that table; the dot is where the network is.
    """
    tables = [table for table in map(energy.read, energy.NAMES) if not table.chip]
    twin, there = trained.layers if trained else energy.relu_twin(operations), operations.num_steps
    steps = np.geomspace(1, MOST_STEPS, 1 + _FINE * (MOST_STEPS.bit_length() - 1))
    rate = operations.totals.spikes_per_neuron_and_step or 0.0
    column, borders = "spikes per neuron and step", range(len(tables))
    looks = [Look(charts.OTHER_COLOURS[k % 4], "none", dashes=_BORDERS[k % 4]) for k in borders]
    panels = []
    for memory in MEMORIES:
        marks, signs = [], set()
        for table, look in zip(tables, looks, strict=True):
            rates = [
                energy.break_even_rate(operations, twin, table, num_steps, memory)
                for num_steps in (there, *steps)
            ]
            if rates[0]:
                signs.add("pays" if rates[0] == np.inf else "may pay" if rates[0] > 0 else "never")
            rows: list[Row] = [
                {
                    "table": table.title,
                    "counted": MEMORY_TITLES[memory],
                    "time steps": round(num_steps, 2),
                    column: None if border is None else _within(border),
                    "break-even rate": border if border is None else _in_words(border),
                }
                for num_steps, border in zip(steps.tolist(), rates[1:], strict=True)
            ]
            # Rates are told at powers of two alone.
            marks.append(Marks("line", rows, look, told=False))
            told = [{key: row[key] for key in row if key != column} for row in rows[::_FINE]]
            at_powers = [row | {column: rows[_FINE * k][column]} for k, row in enumerate(told)]
            marks.append(Marks("points", at_powers, Look(look.colour, size=2)))
        itself: Row = {"table": f"{name} as trained", "time steps": there, column: rate}
        marks.append(Marks("points", [itself], Look(colour, size=7)))
        note = ""
        if signs in ({"pays"}, {"never"}):
            how = "cheaper at any rate" if signs == {"pays"} else "dearer without a spike"
            note = f"at T = {there}, {how}"
        panels.append(
            Panel(
                Axis("time steps", scale="powers of two", low=1, high=MOST_STEPS),
                Axis(column, scale="log", low=LOWEST_RATE, high=HIGHEST_RATE),
                marks,
                MEMORY_TITLES[memory],
                [Rule(1.0, "y", HIGHEST_RATE, Look(FAINT, opacity=0.6))],
                note=note,
            )
        )
    keys = [
        Key(charts.shortened(table.title, 44), "line", look)
        for table, look in zip(tables, looks, strict=True)
    ]
    trained_as = f"{charts.shortened(name, 26)} as trained"
    keys.append(Key(trained_as, "points", Look(colour, size=7)))
    return Chart(f"break-even-{charts.file_name(name)}", panels, keys, abreast=3)


def _within(border: float) -> float:
    """Return a rate that a panel shows: silence that costs as much lies below all rates."""
    return float(np.clip(border, LOWEST_RATE / 10, 10 * HIGHEST_RATE))


def _in_words(rate: float) -> str | float:
    return "any" if rate == np.inf else "never" if rate <= 0 else rate
