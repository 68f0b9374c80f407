"""Accuracy, energy and time after every time step: early exit, conversion, recordings."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from spikeduel.measuring import energy
from spikeduel.reporting import charts
from spikeduel.reporting.charts import DASHES, Axis, Chart, Key, Look, Marks, Panel, Row, Rule
from spikeduel.results.means import joules_of, mean_range
from spikeduel.results.run import Results
from spikeduel.results.trials import EarlyExit, Trial

_SHOWN_BELOW_BEST = 25.0
"""Points below the best accuracy that a panel shows; the first steps lie far below."""
_SHOWN_BELOW_SOURCE = 40.0
"""Points below the worst source of a converted network that a panel shows."""
_ACCURACY, _STEPS = "accuracy, %", "time steps"
_LEAVING = Look(shape="none", width=1.1, dashes=DASHES)
_STAR, _SQUARE = Look(shape="star", size=9), Look(shape="square", size=5)


def followed(results: Results) -> dict[str, list[Trial]]:
    """Return tested trials with an accuracy after each step, by contender; only trials over as many
    steps as the contender's first.
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
    """Return the number of steps after which accuracy was measured, 0 for none."""
    return (trial.anytime.num_steps or 0) if trial.anytime else 0


def exits_of(trials: Iterable[Trial]) -> list[EarlyExit]:
    """Return the early exit of all trials that have one."""
    return [
        trial.anytime.early_exit for trial in trials if trial.anytime and trial.anytime.early_exit
    ]


def joules_over_time(trial: Trial, table: energy.Table) -> list[float] | None:
    """Return joules per image up to each step, `[T]`, zeros skipped; None where not known."""
    return energy.over_time(trial.operations, table) if trial.operations else None


def one_image_ms(trials: Iterable[Trial]) -> float | None:
    """Return the median milliseconds of one image's answer, of the trial that was timed."""
    timed = (trial.latency.one_image for trial in trials if trial.latency)
    return next((times.median_ms for times in timed if times), None)


def stream_ms(trials: Iterable[Trial]) -> list[float] | None:
    """Return milliseconds until the scores after each step, `[T]`, of the trial that was timed."""
    timed = (trial.latency for trial in trials if trial.latency and trial.latency.one_image)
    return next((latency.stream_ms for latency in timed if latency.stream_ms), None)


def curves(results: Results, table: energy.Table) -> Chart:
    """Return accuracy by steps and by energy, the share that has left early, and time by steps.

    Solid lines answer every image after t steps; dashed ones let images leave early, for all
    thresholds; a star is the threshold chosen on validation images. Squares have no time steps.
    Means over seeds, with a band of a standard deviation. `results` has a trial in `followed`.
    """
    over_time, colours = followed(results), charts.contender_colours(results.trials)
    steps, joules, left, times = list[Marks](), list[Marks](), list[Marks](), list[Marks]()
    rules = []
    for name, trials in over_time.items():
        colour, at_steps = colours[name], range(1, num_steps(trials[0]) + 1)
        steps += accuracy_over([at_steps] * len(trials), trials, colour, _STEPS)
        spent = [joules_over_time(trial, table) for trial in trials]
        known = [values for values in spent if values]
        if len(known) == len(trials):
            joules += accuracy_over(known, trials, colour, "energy, J")
        if exits := exits_of(trials):
            shares = [np.cumsum(leave.exit_steps) / sum(leave.exit_steps) for leave in exits]
            gone = {"have left, %": 100 * np.mean(shares, axis=0)}
            left.append(Marks("stairs", _by_step(name, gone), Look(colour)))
        if stream := stream_ms(trials):
            by_step = _by_step(name, {"time, ms": stream})
            times.append(Marks("line", by_step, Look(colour, "none")))
        if whole := one_image_ms(trials):
            row: Row = {
                "contender": name,
                _STEPS: num_steps(trials[0]),
                "time, ms": whole,
                "answered": "in one call",
            }
            times.append(Marks("points", [row], Look(colour, size=5)))
    without_time = {
        name: trials for name in colours if name not in over_time and (trials := results.of(name))
    }
    for name, trials in without_time.items():
        square = Look(colours[name], "square", 5)
        by_all = mean_range([joules_of(trial, table.name) for trial in trials])
        if by_all is not None:
            mean = float(np.mean([trial.test.accuracy for trial in trials if trial.test]))
            row = {"contender": name, _ACCURACY: 100 * mean, "energy, J": by_all.low}
            joules.append(Marks("points", [row], square))
        if milliseconds := one_image_ms(trials):
            look = Look(colours[name], width=1.1, dashes=(1.5, 1.5))
            told: Row = {"contender": name, "time, ms": milliseconds, "answered": "in one call"}
            rules.append(Rule(milliseconds, "y", look=look, row=told))
    by_steps, accuracy = Axis(_STEPS, ticks="whole"), accuracy_axis([*steps, *joules])
    panels = [
        Panel(by_steps, accuracy, steps, "Accuracy by time steps"),
        Panel(
            Axis("energy, J", "energy of an answer (estimate)", "log"),
            accuracy,
            joules,
            "Accuracy by energy",
        ),
        Panel(by_steps, Axis("have left, %", low=0, high=102), left, "Early exit"),
        Panel(by_steps, Axis("time, ms", low=0), times, "Time until the answer", rules),
    ]
    keys = [
        Key(name, "line", Look(colours[name]))
        if name in over_time
        else Key(name, "points", Look(colours[name], "square", 5))
        for name in colours
        if name in over_time or name in without_time
    ]
    keys += [
        Key("all after t steps", "line", Look()),
        *leaving_keys(),
        Key("all steps in one call", "points", Look(size=5)),
    ]
    return Chart("anytime", [panel for panel in panels if panel.marks], keys)


def leaving_keys() -> list[Key]:
    """Return the legend's entries of early exit."""
    return [
        Key("leaving early", "line", _LEAVING),
        Key("threshold chosen on validation", "points", _STAR),
    ]


def accuracy_axis(marks: Sequence[Marks]) -> Axis:
    """Return an axis of accuracy that leaves out what is far below the best."""
    values = [
        float(row[_ACCURACY])  # type: ignore[arg-type]
        for drawn in marks
        for row in drawn.rows
        if row.get(_ACCURACY) is not None
    ]
    low, high = min(values), max(values)
    missing = max(0.0, charts.LEAST_RANGE - (high - low)) / 2 + 0.03 * (high - low)
    bottom = max(low - missing, high - _SHOWN_BELOW_BEST)
    return Axis(_ACCURACY, "test accuracy, %", low=bottom, high=high + missing)


def _by_step(contender: str, values: Mapping[str, Iterable[float | None]]) -> list[Row]:
    """Return a row for each step with the values by their columns."""
    return [
        {"contender": contender, _STEPS: step, **dict(zip(values, at_step, strict=True))}
        for step, at_step in enumerate(zip(*values.values(), strict=True), 1)
    ]


def accuracy_over(
    costs: Sequence[Sequence[float]], trials: Sequence[Trial], colour: str, column: str
) -> list[Marks]:
    """Return accuracy against the `costs` `[trials][T]` of t steps, in `column`, and early exit."""
    cost = np.mean(costs, axis=0)
    marks = _accuracy_line(cost, trials, colour, column)
    exits = exits_of(trials)
    if len(exits) < len(trials):
        return marks
    leaving = list(zip(costs, exits, strict=True))
    spent, right = _mean_curve(leaving)
    curve = charts.line(column, spent, _ACCURACY, 100 * right)
    dashed = Look(colour, "none", width=1.1, dashes=DASHES, opacity=0.9)
    chosen = [(energy.mean_at(cost, leave.exit_steps), leave.accuracy) for cost, leave in leaving]
    x, y = np.mean(chosen, axis=0)
    star: Row = {
        "contender": trials[0].contender,
        "leaving": "early, threshold chosen on validation",
        _ACCURACY: 100 * y,
        column: x,
    }
    return [
        *marks,
        Marks("line", curve, dashed, told=False),
        Marks("points", [star], Look(colour, "star", 10)),
    ]


def _accuracy_line(
    cost: Sequence[float] | np.ndarray, trials: Sequence[Trial], colour: str, column: str
) -> list[Marks]:
    """Return the mean accuracy after each step over trials, with a band of a standard deviation."""
    at = 100 * np.array([trial.anytime.accuracies for trial in trials if trial.anytime])
    mean, deviation = at.mean(0), at.std(0, ddof=1) if len(at) > 1 else np.full(at.shape[1], np.nan)
    values = {_ACCURACY: mean, "standard deviation, points": deviation, column: cost}
    line = Marks("line", _by_step(trials[0].contender, values), Look(colour, size=2.5))
    if len(at) < 2:
        return [line]
    ends = zip(np.asarray(cost, dtype=float), mean - deviation, mean + deviation, strict=True)
    band: list[Row] = [{column: x, "low": low, "high": high} for x, low, high in ends]
    return [line, Marks("band", band, Look(colour), ("low", "high"), told=False)]


def _mean_curve(
    leaving: Sequence[tuple[Sequence[float], EarlyExit]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return cost and accuracy over all thresholds, averaged over seeds at equal costs."""
    seeds = []
    for cost, exits in leaving:
        spent = [energy.mean_at(cost, at.exit_steps) for at in exits.curve]
        order = np.argsort(spent, kind="stable")
        seeds.append((np.array(spent)[order], np.array([at.accuracy for at in exits.curve])[order]))
    common = np.linspace(
        max(spent[0] for spent, _ in seeds), min(spent[-1] for spent, _ in seeds), 100
    )
    return common, np.mean([np.interp(common, spent, right) for spent, right in seeds], axis=0)


def sources(results: Results) -> dict[str, str]:
    """Return the source of each converted contender that was followed over time."""
    converted = {name: trials[-1].converted_from for name, trials in followed(results).items()}
    return {name: source for name, source in converted.items() if source and results.of(source)}


def conversion(results: Results) -> Chart:
    """Return test accuracy after t steps of each converted network, and of its source (dashed).

    `results` has converted networks (`sources`).
    """
    colours, marks, rules = charts.contender_colours(results.trials), list[Marks](), list[Rule]()
    lowest, longest = 100.0, 1
    for name, source in sources(results).items():
        trials = followed(results)[name]
        longest = max(longest, num_steps(trials[0]))
        at_steps = np.arange(1, num_steps(trials[0]) + 1)
        marks += _accuracy_line(at_steps, trials, colours[name], _STEPS)
        reached = 100 * float(
            np.mean([trial.test.accuracy for trial in results.of(source) if trial.test])
        )
        look = Look(colours[source], width=1.2, dashes=DASHES)
        rules.append(Rule(reached, "y", look=look, row={"contender": source, _ACCURACY: reached}))
        lowest = min(lowest, reached)
    values = [row[_ACCURACY] for drawn in marks for row in drawn.rows if _ACCURACY in row]
    bottom = max(min(map(float, values)) - 1, lowest - _SHOWN_BELOW_SOURCE)  # type: ignore[arg-type]
    panel = Panel(
        Axis(_STEPS, scale="powers of two", high=longest * 1.1),
        Axis(_ACCURACY, "test accuracy, %", low=bottom),
        marks,
        rules=rules,
    )
    shown = dict.fromkeys([*sources(results), *sources(results).values()])
    return Chart("conversion", [panel], charts.contender_keys({n: colours[n] for n in shown}))


def while_it_happens(results: Results) -> Chart | None:
    """Return accuracy against the milliseconds and the events of a recording that have come.

    None for images. Squares are networks that need all frames before the first answer.
    """
    over_time, colours = followed(results), charts.contender_colours(results.trials)
    known = {
        name: received
        for name, trials in over_time.items()
        if (
            received := [
                trial.anytime.received
                for trial in trials
                if trial.anytime and trial.anytime.received
            ]
        )
    }
    if not known:
        return None
    panels = []
    for column, unit in (("recording, ms", "milliseconds"), ("events", "events")):
        marks = []
        for name, received in known.items():
            costs = [getattr(amounts, unit) for amounts in received]
            marks += accuracy_over(costs, over_time[name], colours[name], column)
        whole = np.mean([getattr(amounts, unit)[-1] for of in known.values() for amounts in of])
        late = [name for name in colours if name not in known and results.of(name)]
        for name in late:
            trials = results.of(name)
            accuracy = np.mean([trial.test.accuracy for trial in trials if trial.test])
            row: Row = {"contender": name, _ACCURACY: 100 * float(accuracy), column: float(whole)}
            marks.append(Marks("points", [row], Look(colours[name], "square", 6)))
        panels.append(
            Panel(Axis(column, low=0), accuracy_axis(marks), marks, f"Accuracy by {unit}")
        )
    keys = [
        Key(name, "line", Look(colours[name]))
        if name in known
        else Key(name, "points", Look(colours[name], "square", 5))
        for name in colours
    ]
    return Chart("recorded", panels, [*keys, *leaving_keys()])
