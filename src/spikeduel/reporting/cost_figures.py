"""Charts of an answer's cost: accuracy by energy, time and steps, and where spiking pays."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np

from spikeduel import energy
from spikeduel.analysis.answer import ACCOUNTING_OF
from spikeduel.energy import accounting
from spikeduel.energy.rescaling import relu_twin
from spikeduel.engine.counting.operations import Operations
from spikeduel.reporting import charts
from spikeduel.reporting.charts import (
    ACCURACY,
    DASHES,
    INK,
    OTHER_COLOURS,
    QUIET,
    SPIKING_COLOURS,
    Axis,
    Chart,
    Key,
    Look,
    Marks,
    Name,
    Panel,
    Row,
    Rule,
)
from spikeduel.results.accuracy import pooled
from spikeduel.results.cost_results import MEMORIES, AccountedPair, EnergyAccountings, Memory, Range
from spikeduel.results.means import (
    TWINS,
    control_results,
    joules_of,
    mean_range,
    one_image_ms,
    stream_ms,
)
from spikeduel.results.pareto import front
from spikeduel.results.run import Results
from spikeduel.results.significance import Measure
from spikeduel.results.trials import EarlyExit, Trial
from spikeduel.sentences.cost_sentences import (
    FAMILY_TITLES,
    MEMORY_TITLES,
    in_order,
)
from spikeduel.sentences.verdict import titled

KINDS = {
    "spiking": Look(size=6.5),
    "without spikes": Look(shape="square", size=6.5),
    "early exit": Look(shape="star", size=10),
    "ReLU twin": Look(shape="triangle", size=6, width=1.3, filled=False),
    "quantised twin": Look(shape="diamond", size=5, width=1.3, filled=False),
}
POWERS = tuple(2**power for power in range(8))
"""Numbers of time steps on a break-even line."""
LOWEST_RATE, HIGHEST_RATE = 1e-4, accounting.MAX_RATE
WIDEST_RATIO = 1e3
"""A ratio further from 1 is drawn at the edge."""
SHOWN_BELOW_BEST = 25.0
"""Points below the best accuracy that a panel shows; first steps lie far below."""
_STEPS, _DEVIATION = "time steps", "standard deviation, points"
_TIME = Axis("time, s", "time of an answer (measured)", "log")
TEST_ACCURACY: dict[Measure, str] = {
    "accuracy": "test accuracy, %",
    "balanced_accuracy": "balanced accuracy, %",
}
RANGE = Look(width=2.5, opacity=0.3)
_FRONT = Look(shape="none", width=1.0, dashes=DASHES)
_BORDERS = ((), (5.0, 2.0), (1.5, 1.5), (5.0, 1.5, 1.0, 1.5))


def _energy(memory: Memory) -> Axis:
    return Axis("energy, J", f"energy, {MEMORY_TITLES[memory]} (estimate)", "log")


def joules_over_time(trial: Trial, table: energy.Table) -> list[Range] | None:
    """Return joules per image up to each step, `[T]`; None if unknown."""
    return energy.over_time(trial.operations, table) if trial.operations else None


def _exits(trials: Sequence[Trial]) -> list[EarlyExit]:
    exits = [trial.anytime.early_exit for trial in trials if trial.anytime]
    known = [leaving for leaving in exits if leaving]
    return known if len(known) == len(trials) else []


def _row(
    name: str,
    network: str,
    accuracies: Sequence[float],
    joules: Range | None = None,
    seconds: float | None = None,
) -> Row:
    high = joules.high if joules and joules.high != joules.low else None
    return {
        "contender": name,
        "network": network,
        ACCURACY: 100 * fmean(accuracies),
        _DEVIATION: 100 * stdev(accuracies) if len(set(accuracies)) > 1 else None,
        "energy, J": joules.low if joules else None,
        "energy at most, J": high,
        "time, s": seconds,
    }


def _contender(
    trials: Sequence[Trial],
    joules: Range | None,
    seconds: float | None,
    measure: Measure = "accuracy",
) -> Row:
    kind = "spiking" if trials[0].spiking else "without spikes"
    accuracies = [getattr(trial.test, measure) for trial in trials if trial.test]
    return _row(trials[0].contender, kind, accuracies, joules, seconds)


def points(results: Results, table: energy.Table) -> list[Row]:
    """Return a row for each contender, early exit and trained twin; energies go from the cheapest
    to the dearest way to compute.
    """
    shown, memory = [], table.leading_memory
    for name in results.contenders:
        if not (trials := results.of(name)):
            continue
        whole, stream = one_image_ms(trials), stream_ms(trials)
        joules = mean_range([joules_of(trial, table.name, memory) for trial in trials])
        shown.append(_contender(trials, joules, whole and whole / 1e3))
        exits = _exits(trials)
        if any(leaving.threshold is not None for leaving in exits):
            early = mean_range(
                [
                    energy.mean_range_at(by_step, leaving.exit_steps) if by_step else None
                    for leaving, by_step in zip(
                        exits, (joules_over_time(trial, table) for trial in trials), strict=True
                    )
                ]
            )
            seconds = energy.mean_at(stream, exits[0].exit_steps) / 1e3 if stream else None
            accuracies = [leaving.accuracy for leaving in exits]
            shown.append(_row(name, "early exit", accuracies, early, seconds))
        for control in TWINS:
            if twins := control_results(trials, control):
                joules = mean_range([joules_of(twin, table.name, memory) for twin in twins])
                accuracies = [twin.accuracy for twin in twins]
                shown.append(_row(name, titled(twins[0]), accuracies, joules))
    return shown


def pareto(results: Results, table: energy.Table) -> Chart | None:
    """Return accuracy against an image's estimated energy and measured time; None if both are
    unknown.

    A bar goes to the dearest way to compute; vertical lines are a standard deviation. Early exit is
    timed as a stream.
    """
    known, colours = points(results, table), charts.contender_colours(results.trials)
    shown = [
        panel
        for axis, title in ((_energy(table.leading_memory), "Energy"), (_TIME, "Time"))
        if (panel := _panel(known, axis, colours, title)).marks
    ]
    there = {_kind(row) for row in known}
    keys = [Key(kind, "points", look) for kind, look in KINDS.items() if kind in there]
    keys += [Key("to the dearest way", "line", RANGE), Key("Pareto front", "line", _FRONT)]
    return Chart("pareto", shown, keys) if shown else None


def at_a_glance(results: Results) -> Chart | None:
    """Return accuracy against an answer's energy with memory, else time; None if both are
    unknown.
    """
    energies, times = (results.answer.lead(quantity).values for quantity in ("energy", "answer"))
    axis = _energy("on_chip") if energies else _TIME
    if energies and results.experiment.answer_for in ACCOUNTING_OF:
        axis = replace(axis, title="energy on Loihi, or on a GPU or a CPU (estimate)")
    shown = [
        _contender(trials, energies.get(name), None if energies else spent.low, results.measure)
        for name, spent in (energies or times).items()
        if (trials := results.of(name))  # a contender whose scores failed has costs alone
    ]
    colours = charts.contender_colours(results.trials)
    y = TEST_ACCURACY[results.measure]
    return Chart("answer", [_panel(shown, axis, colours, y=y)]) if shown else None


def _kind(row: Row) -> str:
    return str(row["network"]).partition(" (")[0]


def _panel(
    rows: Sequence[Row],
    x: Axis,
    colours: dict[str, str],
    title: str = "",
    y: str = "test accuracy, %",
) -> Panel:
    known = [row for row in rows if row[x.column] is not None]
    places = [(float(row[x.column] or 0), float(row[ACCURACY] or 0)) for row in known]
    best = [known[index] for index in front(*zip(*places, strict=True))] if known else []
    marks = [Marks("line", best, _FRONT, told=False)] if known else []
    itself = {row["contender"]: row for row in reversed(known)}
    for row in known:
        name, kind = str(row["contender"]), _kind(row)
        look = replace(KINDS[kind], colour=colours[name])
        if row is not itself[name]:
            joint = Look(look.colour, "none", width=0.7, opacity=0.45)
            marks.append(Marks("line", [itself[name], row], joint, told=False))
        if deviation := float(row[_DEVIATION] or 0):
            middle, thin = float(row[ACCURACY] or 0), Look(look.colour, width=1.0)
            ends = {**row, "low": middle - deviation, "high": middle + deviation}
            marks.append(Marks("intervals", [ends], thin, ("low", "high"), told=False))
        if x.column == "energy, J" and row["energy at most, J"]:
            bar = replace(RANGE, colour=look.colour)
            marks.append(Marks("spans", [row], bar, (x.column, "energy at most, J"), told=False))
        label = name if kind in ("spiking", "without spikes") else str(row["network"])
        marks.append(Marks("points", [row], look, label=label))
    accuracy = Axis(ACCURACY, y, least=charts.LEAST_RANGE)
    return Panel(x, accuracy, marks, title, height=2.6)


def num_steps(trial: Trial) -> int:
    """Return the number of steps with an accuracy."""
    return (trial.anytime.num_steps or 0) if trial.anytime else 0


def followed(results: Results) -> dict[str, list[Trial]]:
    """Return tested trials with an accuracy after each step, by contender, over as many steps as
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


def over_time(results: Results, table: energy.Table) -> Chart:
    """Return accuracy by time steps, energy and received events, and the time until an answer.

    A star lets images leave early. Dotted lines and squares have no time steps.
    """
    by_steps, colours = followed(results), charts.contender_colours(results.trials)
    longest = max(num_steps(trials[0]) for trials in by_steps.values())
    steps = Axis(_STEPS, ticks="whole")
    if longest > POWERS[4]:
        steps = Axis(_STEPS, scale="powers of two", high=1.1 * longest)
    axes = (
        (steps, "Accuracy by time steps"),
        (_energy(table.leading_memory), "Accuracy by energy"),
        (Axis("recording, ms", low=0), "Accuracy by milliseconds"),
        (Axis("events", low=0), "Accuracy by events"),
    )
    marks: dict[str, list[Marks]] = {axis.column: [] for axis, _ in axes}
    rules, times, waits = list[Rule](), list[Marks](), list[Rule]()
    for name, colour in colours.items():
        trials = results.of(name)
        if not trials:
            continue
        whole, square = one_image_ms(trials), Look(colour, "square", 5)
        dotted = Look(colour, width=1.1, dashes=(1.5, 1.5))
        told: Row = {"contender": name, "time, ms": whole, "answered": "in one call"}
        if name in by_steps:
            for column, spent in _spent(by_steps[name], table).items():
                marks[column] += _accuracy(by_steps[name], column, spent, colour)
            if stream := stream_ms(trials):
                by_step = {_STEPS: range(1, len(stream) + 1), "time, ms": stream}
                rows = charts.rows_of(by_step, {"contender": name})
                times.append(Marks("line", rows, Look(colour, "none")))
            if whole:
                row = {**told, _STEPS: num_steps(by_steps[name][0])}
                times.append(Marks("points", [row], Look(colour, size=5)))
            continue
        right = 100 * pooled([trial.test for trial in trials if trial.test])
        at: Row = {"contender": name, ACCURACY: right}
        rules.append(Rule(right, "y", look=dotted, row=at))
        memory = table.leading_memory
        if joules := mean_range([joules_of(trial, table.name, memory) for trial in trials]):
            marks["energy, J"].append(Marks("points", [{**at, "energy, J": joules.low}], square))
        if whole:
            waits.append(Rule(whole, "y", look=dotted, row=told))
    accuracy = Axis(ACCURACY, "test accuracy, %", least=charts.LEAST_RANGE, most=SHOWN_BELOW_BEST)
    panels = [
        Panel(axis, accuracy, marks[axis.column], title, () if axis.scale == "log" else rules)
        for axis, title in axes
    ]
    panels.append(Panel(steps, Axis("time, ms", low=0), times, "Time until the answer", waits))
    keys = [
        Key(name, "line", Look(colour, dashes=() if name in by_steps else (1.5, 1.5)))
        for name, colour in colours.items()
    ]
    keys.append(Key("leaving early", "points", Look(shape="star", size=9)))
    keys.append(Key("all steps in one call", "points", Look(size=5)))
    shown = [panel for panel in panels if panel.marks]
    return Chart("anytime", shown, keys, abreast=3 if len(shown) == 3 else 2)


def _spent(trials: Sequence[Trial], table: energy.Table) -> dict[str, list[list[float]]]:
    """Return the cost of t steps, by column `[trials][T]`, as far as all trials know it."""
    received = [trial.anytime.received for trial in trials if trial.anytime]
    known: dict[str, list[Any]] = {
        _STEPS: [list(range(1, num_steps(trial) + 1)) for trial in trials],
        "energy, J": [
            [joules.low for joules in joules_over_time(trial, table) or ()] for trial in trials
        ],
        "recording, ms": [amounts and amounts.milliseconds for amounts in received],
        "events": [amounts and amounts.events for amounts in received],
    }
    return {
        column: [values for values in spent if values]
        for column, spent in known.items()
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
    if any(leaving.threshold is not None for leaving in exits):
        star: Row = {
            **row,
            "leaving": "early, threshold chosen on validation",
            column: fmean(map(energy.mean_at, spent, [leaving.exit_steps for leaving in exits])),
            ACCURACY: 100 * fmean(leaving.accuracy for leaving in exits),
        }
        marks.append(Marks("points", [star], Look(colour, "star", 10)))
    return marks


def break_even(
    operations: Operations, name: str, colour: str, trained: Operations | None = None
) -> Chart:
    """Return the spike rate at which network `name` costs as much as its ReLU twin, by time steps.

    A panel for each memory model, a line for each energy table: below it the network (the dot) is
    cheaper. The twin is `trained`, else computed from the shape.
    """
    tables = [energy.read(name) for name in energy.NAMES]
    twin = trained or relu_twin(operations)
    column = "spikes per neuron and step"
    rate = operations.totals.spikes_per_neuron_and_step or 0.0
    itself: Row = {"table": f"{name} as trained", _STEPS: operations.num_steps, column: rate}
    looks = [Look(charts.OTHER_COLOURS[k % 4], dashes=_BORDERS[k % 4]) for k in range(len(tables))]
    panels = []
    for memory in MEMORIES:
        marks = []
        for table, look in zip(tables, looks, strict=True):
            rates = [
                energy.break_even_rate(operations, twin, table, steps, memory) for steps in POWERS
            ]
            if np.isnan(rates).any():
                continue
            columns = {
                _STEPS: POWERS,
                column: np.maximum(rates, LOWEST_RATE / 10),
                "break-even rate": [
                    {0.0: "never", HIGHEST_RATE: "any"}.get(rate, rate) for rate in rates
                ],
            }
            rows = charts.rows_of(columns, {"table": table.title, "counted": MEMORY_TITLES[memory]})
            marks.append(Marks("line", rows, Look(look.colour, size=2, dashes=look.dashes)))
        marks.append(Marks("points", [itself], Look(colour, size=7)))
        x = Axis(_STEPS, scale="powers of two", low=1, high=POWERS[-1])
        y = Axis(column, scale="log", low=LOWEST_RATE, high=HIGHEST_RATE)
        panels.append(Panel(x, y, marks, MEMORY_TITLES[memory]))
    keys = [
        Key(charts.shortened(table.title, 44), "line", look)
        for table, look in zip(tables, looks, strict=True)
    ]
    keys.append(Key(f"{charts.shortened(name, 26)} as trained", "points", Look(colour, size=7)))
    return Chart(f"break-even-{charts.file_name(name)}", panels, keys, abreast=3)


def energy_accountings(
    accounted: AccountedPair, accountings: EnergyAccountings, colours: dict[str, str]
) -> Chart:
    """Return the ratio of two networks' energies by accounting, in the cheaper one's colour; a
    panel a family.
    """
    known = [(result, result.ratio) for result in in_order(accounted) if result.ratio]
    sides = {
        "spiking": (accounted.spiking, colours.get(accounted.spiking, SPIKING_COLOURS[0])),
        "other": (accounted.other, colours.get(accounted.other, OTHER_COLOURS[0])),
        None: ("", QUIET),
    }
    low = max(min([0.5, *(ratio.low for _, ratio in known)]), 1 / WIDEST_RATIO)
    high = min(max([2.0, *(ratio.high for _, ratio in known)]), WIDEST_RATIO)
    start, end = (f"{accounted.spiking} / {accounted.other} {side}" for side in ("from", "to"))
    title = f"{charts.shortened(accounted.spiking, 16)} / {charts.shortened(accounted.other, 16)}"
    x = Axis(start, title, "log", "ratios", low / 1.5, high * 1.5)
    rule, panels = Rule(1.0, look=Look(INK, width=0.9)), []
    for family in accounted.by_family:
        marks, names = [], []
        for place, (result, ratio) in enumerate(one for one in known if one[0].family == family):
            cheaper, colour = sides[result.cheaper]
            label = accountings.accounting(result.accounting).label
            row: Row = {
                "accounting": label,
                "family": family,
                start: ratio.low,
                end: ratio.high,
                "conclusion": f"{cheaper} cheaper" if cheaper else "open",
            }
            names.append(Name(label, charts.shortened(cheaper) or "open", colour))
            marks.append(Marks("spans", [row], Look(colour, width=4.5), (start, end), place))
            if ratio.low == ratio.high:
                seen: Row = {start: min(max(ratio.low, low), high)}
                marks.append(Marks("points", [seen], Look(colour), place=place, told=False))
        heading = FAMILY_TITLES[family].capitalize()
        panels.append(Panel(x, Axis(""), marks, heading, [rule], names))
    pair = charts.file_name(f"{accounted.spiking}-{accounted.other}")
    return Chart(f"accountings-{pair}", panels, abreast=1)
