"""What tuning tried and found: a section of report.html and of tuning.html."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeduel.reporting import style
from spikeduel.reporting.style import Shown
from spikeduel.results import concluding
from spikeduel.results.run import DrawnFrom, TunedContender, TuningRecord
from spikeduel.results.words import caveats


@dataclass(frozen=True)
class Section:
    """What the page shows: the record, its contenders' colours, and what the tuning leaves open, in sentences."""

    record: TuningRecord
    colours: dict[str, str]
    ranges: list[tuple[str, str]]
    limits: list[str]
    shown: Shown


def section(record: TuningRecord | None, folder: Path) -> Section | None:
    """The section; its figure goes into `folder`. None where nothing was tuned."""
    if record is None:
        return None
    tuned = {name for each in record.contenders for name in each.tuned}
    return Section(
        record=record,
        colours=style.contender_colours(record.contenders),
        ranges=[(name, _range(drawn)) for name, drawn in record.ranges.items() if name in tuned],
        limits=[caveats.sentence(each) for each in concluding.tuning_limits(record)],
        shown=Shown(
            style.save(tuning_trials(record), folder / "tuning.png"),
            "validation accuracy of every tuning trial, and the expected best against the number of trials",
            "Left: every trial in order; the first has the given settings, a ring marks the chosen one. Right: the "
            "best accuracy to expect of so many trials, over all orders of the draws, with a band of one standard "
            "deviation. "
            "A curve that is flat at its end has little to gain from more trials.",
        ),
    )


def _range(drawn: DrawnFrom) -> str:
    if drawn.choices:
        return f"one of {', '.join(f'{choice:g}' for choice in drawn.choices)}"
    return f"{drawn.low:g} to {drawn.high:g}{', log-uniform' if drawn.log else ''}"


def tuning_trials(record: TuningRecord) -> Figure:
    """Left, the validation accuracy of every trial, a ring around the chosen; right, the expected best of so many."""
    colours = style.contender_colours(record.contenders)
    figure = style.new_figure(3.4)
    left, right = figure.subplots(1, 2, sharey=True)
    style.quiet(left, "every trial", x="trial", y="validation accuracy", grid=True)
    style.quiet(right, "expected best", x="number of trials", grid=True)
    for place, each in enumerate(record.contenders):
        # Beside one another: equal accuracies would hide one another.
        aside = 0.16 * (place - (len(colours) - 1) / 2)
        _trials(left, each, aside, colours[each.contender])
        _expected_best(right, each, colours[each.contender])
    for axes in (left, right):
        style.count_axis(axes.xaxis)
        style.per_cent_axis(axes.yaxis, exact=True)
    right.tick_params(labelleft=True)
    style.legend(figure, style.keys(colours, marker="o"))
    return figure


def _trials(axes: Axes, tuned: TunedContender, aside: float, colour: str) -> None:
    done = [(t.number, t.number + 1 + aside, t.validation.accuracy) for t in tuned.trials if t.validation]
    axes.scatter([x for _, x, _ in done], [y for _, _, y in done], s=22, color=colour, linewidths=0, zorder=3)
    for number, x, y in done:
        if number == tuned.best:
            axes.scatter([x], [y], s=90, facecolors="none", edgecolors=colour, linewidths=1.4, zorder=4)


def _expected_best(axes: Axes, tuned: TunedContender, colour: str) -> None:
    curve = tuned.expected_best
    numbers = [point.trials for point in curve]
    low, high = [point.low for point in curve], [point.high for point in curve]
    axes.fill_between(numbers, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(numbers, [point.mean for point in curve], color=colour, linewidth=2.0, marker=".")
