"""Charts of the cost of a prediction: accuracy by energy and time, and energies by accounting."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from spikeduel import energy
from spikeduel.experiment.targets import DEVICES
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
from spikeduel.results.cost_results import AccountedPair, EnergyAccountings, Memory, Range
from spikeduel.results.means import (
    TWINS,
    joules_of,
    mean_range,
    one_image_ms,
    variant_results,
)
from spikeduel.results.pareto import front
from spikeduel.results.run import Results
from spikeduel.results.significance import Measure
from spikeduel.results.trials import Trial
from spikeduel.sentences.cost_sentences import (
    GROUP_TITLES,
    MEMORY_TITLES,
    in_order,
)
from spikeduel.sentences.verdict import titled

_CONTENDERS = {"spiking": Look(size=6.5), "without spikes": Look(shape="square", size=6.5)}
_LOOKS = {
    **_CONTENDERS,
    "ReLU twin": Look(shape="triangle", size=6, width=1.3, filled=False),
    "quantised twin": Look(shape="diamond", size=5, width=1.3, filled=False),
}
MAX_RATIO = 1e3
"""A ratio further from 1 is drawn at the edge."""
SHOWN_BELOW_BEST = 25.0
"""Points below the best accuracy that a panel shows; first steps lie far below."""
STEPS, _DEVIATION = "time steps", "standard deviation, points"
_TIME = Axis("time, s", "inference time (measured)", "log")
TEST_ACCURACY: dict[Measure, str] = {
    "accuracy": "test accuracy, %",
    "balanced_accuracy": "balanced accuracy, %",
}
RANGE = Look(width=2.5, opacity=0.3)
_FRONT = Look(shape="none", width=1.0, dashes=DASHES)


def energy_axis(memory: Memory) -> Axis:
    """Return the axis of estimated energy with these parts of memory."""
    return Axis("energy, J", f"energy, {MEMORY_TITLES[memory]} (estimate)", "log")


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
    """Return a row for each contender and its trained twins; energies go from the cheapest to the
    most expensive way to compute.
    """
    rows, memory = [], table.leading_memory
    for name in results.contenders:
        if not (trials := results.of(name)):
            continue
        whole = one_image_ms(trials)
        joules = mean_range([joules_of(trial, table.name, memory) for trial in trials])
        rows.append(_contender(trials, joules, whole and whole / 1e3))
        for variant in TWINS:
            if twins := variant_results(trials, variant):
                joules = mean_range([joules_of(twin, table.name, memory) for twin in twins])
                accuracies = [twin.accuracy for twin in twins]
                rows.append(_row(name, titled(twins[0]), accuracies, joules))
    return rows


def pareto(results: Results, table: energy.Table) -> Chart | None:
    """Return accuracy against an image's estimated energy and measured time; None if both are
    unknown.

    A bar goes to the most expensive way to compute; vertical lines are a standard deviation.
    """
    rows, colours = points(results, table), charts.contender_colours(results.trials)
    panels = [
        panel
        for axis, title in ((energy_axis(table.leading_memory), "Energy"), (_TIME, "Time"))
        if (panel := _panel(rows, axis, colours, title)).marks
    ]
    there = {_kind(row) for row in rows}
    keys = [Key(kind, "points", look) for kind, look in _LOOKS.items() if kind in there]
    keys += [Key("to the most expensive way", "line", RANGE), Key("Pareto front", "line", _FRONT)]
    return Chart("pareto", panels, keys) if panels else None


def at_a_glance(results: Results) -> Chart | None:
    """Return accuracy against the energy per inference with memory, else time; None if both are
    unknown.
    """
    energies, times = (
        results.recommendation.quantity(quantity).values for quantity in ("energy", "latency")
    )
    axis = energy_axis("on_chip") if energies else _TIME
    if energies and (device := DEVICES.get(results.experiment.target)):
        axis = replace(axis, title=f"energy on {device.title} (estimate)")
    rows = [
        _contender(trials, energies.get(name), None if energies else spent.low, results.measure)
        for name, spent in (energies or times).items()
        if (trials := results.of(name))  # a contender whose scores failed has costs alone
    ]
    colours = charts.contender_colours(results.trials)
    y = TEST_ACCURACY[results.measure]
    return Chart("at-a-glance", [_panel(rows, axis, colours, y=y)]) if rows else None


def _kind(row: Row) -> str:
    return str(row["network"]).partition(" (")[0]


def _panel(
    all_rows: Sequence[Row],
    x: Axis,
    colours: dict[str, str],
    title: str = "",
    y: str = "test accuracy, %",
) -> Panel:
    rows = [row for row in all_rows if row[x.column] is not None]
    places = [(float(row[x.column] or 0), float(row[ACCURACY] or 0)) for row in rows]
    best = [rows[index] for index in front(*zip(*places, strict=True))] if rows else []
    marks = [Marks("line", best, _FRONT, listed=False)] if rows else []
    itself = {row["contender"]: row for row in reversed(rows)}
    for row in rows:
        name, kind = str(row["contender"]), _kind(row)
        look = replace(_LOOKS[kind], colour=colours[name])
        if row is not itself[name]:
            joint = Look(look.colour, "none", width=0.7, opacity=0.45)
            marks.append(Marks("line", [itself[name], row], joint, listed=False))
        if deviation := float(row[_DEVIATION] or 0):
            middle, thin = float(row[ACCURACY] or 0), Look(look.colour, width=1.0)
            ends = {**row, "low": middle - deviation, "high": middle + deviation}
            marks.append(Marks("intervals", [ends], thin, ("low", "high"), listed=False))
        if x.column == "energy, J" and row["energy at most, J"]:
            bar = replace(RANGE, colour=look.colour)
            marks.append(Marks("spans", [row], bar, (x.column, "energy at most, J"), listed=False))
        label = name if kind in _CONTENDERS else str(row["network"])
        marks.append(Marks("points", [row], look, label=label))
    accuracy = Axis(ACCURACY, y, least=charts.MIN_RANGE)
    return Panel(x, accuracy, marks, title, height=2.6)


def energy_accountings(
    accounted: AccountedPair, accountings: EnergyAccountings, colours: dict[str, str]
) -> Chart:
    """Return the ratio of two networks' energies by accounting, in the cheaper one's colour; a
    panel a group.
    """
    ratios = [(result, result.ratio) for result in in_order(accounted) if result.ratio]
    kinds = {
        "spiking": (accounted.spiking, colours.get(accounted.spiking, SPIKING_COLOURS[0])),
        "other": (accounted.other, colours.get(accounted.other, OTHER_COLOURS[0])),
        None: ("", QUIET),
    }
    low = max(min([0.5, *(ratio.low for _, ratio in ratios)]), 1 / MAX_RATIO)
    high = min(max([2.0, *(ratio.high for _, ratio in ratios)]), MAX_RATIO)
    start, end = (f"{accounted.spiking} / {accounted.other} {bound}" for bound in ("from", "to"))
    title = f"{charts.shortened(accounted.spiking, 16)} / {charts.shortened(accounted.other, 16)}"
    x = Axis(start, title, "log", "ratios", low / 1.5, high * 1.5)
    rule, panels = Rule(1.0, look=Look(INK, width=0.9)), []
    for group in accounted.by_group:
        marks, names = [], []
        for number, (result, ratio) in enumerate(item for item in ratios if item[0].group == group):
            cheaper, colour = kinds[result.cheaper]
            label = accountings.accounting(result.accounting).label
            row: Row = {
                "accounting": label,
                "group": group,
                start: ratio.low,
                end: ratio.high,
                "conclusion": f"{cheaper} cheaper" if cheaper else "open",
            }
            names.append(Name(label, charts.shortened(cheaper) or "open", colour))
            marks.append(Marks("spans", [row], Look(colour, width=4.5), (start, end), number))
            if ratio.low == ratio.high:
                seen: Row = {start: min(max(ratio.low, low), high)}
                marks.append(Marks("points", [seen], Look(colour), place=number, listed=False))
        heading = GROUP_TITLES[group].capitalize()
        panels.append(Panel(x, Axis(""), marks, heading, [rule], names))
    pair = charts.file_name(f"{accounted.spiking}-{accounted.other}")
    return Chart(f"accountings-{pair}", panels, abreast=1)
