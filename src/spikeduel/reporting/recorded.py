"""Figures of recordings of event cameras: what their time adds, and who is right how soon."""

import numpy as np
from matplotlib.figure import Figure

from spikeduel.reporting import anytime, style
from spikeduel.results.run import Results

_GROUP_HEIGHT, _ROW_HEIGHT = 0.16, 0.15
"""Inches between controls, and for each contender in one."""


def time_controls(results: Results) -> Figure:
    """For each control on recordings and each contender, the points of accuracy that it took or
    gave, with their 95 % interval; the margin is shaded.
    """
    controlled = [each for each in results.comparison.controls if each.of_recordings]
    colours = style.contender_colours(results.trials)
    titles = [row.title for row in controlled[0].rows]
    between = _GROUP_HEIGHT + (0.18 if style.canvas().narrow else 0)
    height = between + _ROW_HEIGHT * len(controlled)
    figure = style.new_figure(0.9 + height * len(titles))
    axes = style.quiet(figure.subplots(), x="change in accuracy, points")
    margin = style.margin_band(axes, 100 * results.experiment.equivalence_margin)
    for group, title in enumerate(titles):
        for place, each in enumerate(controlled):
            found = next((row.found for row in each.rows if row.title == title), None)
            if found is None:
                continue
            at, colour = group * height + _ROW_HEIGHT * place, colours[each.contender]
            high, low = (-100 * bound for bound in found.ci95)
            (line,) = axes.plot([low, high], [at, at], color=colour, linewidth=1.6, zorder=2)
            (dot,) = axes.plot(
                [-100 * found.difference], [at], "o", color=colour, markersize=5, zorder=3
            )
            for mark in (line, dot):
                style.told(
                    mark,
                    [
                        {
                            "contender": each.contender,
                            "control": title,
                            "change, points": -100 * found.difference,
                            "95 % interval from, points": low,
                            "95 % interval to, points": high,
                        }
                    ],
                )
    middle = 0.0 if style.canvas().narrow else _ROW_HEIGHT * (len(controlled) - 1) / 2
    style.name_rows(axes, [group * height + middle for group in range(len(titles))], titles)
    axes.set_ylim(len(titles) * height - between / 2, -between)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
    style.signed_axis(axes.xaxis)
    entries = style.keys(
        {each.contender: colours[each.contender] for each in controlled}, marker="o"
    )
    style.legend(figure, [*entries, margin])
    return figure


def while_it_happens(results: Results) -> Figure | None:
    """Accuracy against the milliseconds and the events of a recording that have come; None of
    images.

    Solid: every recording is answered after so many frames. Dashed, and the star: leaving early, as
    in `anytime.curves`. Squares: who needs all frames before the first answer.
    """
    over_time, colours = anytime.followed(results), style.contender_colours(results.trials)
    known = {
        name: [
            trial.anytime.received for trial in trials if trial.anytime and trial.anytime.received
        ]
        for name, trials in over_time.items()
    }
    known = {name: found for name, found in known.items() if found}
    if not known:
        return None
    figure, panels = style.new_panels(2, 2.8, sharey=True)
    for axes, unit, x in zip(
        panels, ("milliseconds", "events"), ("ms of the recording", "events"), strict=True
    ):
        style.quiet(axes, f"accuracy by {unit}", x=x, y="accuracy on the test set", grid=True)
        for name, found in known.items():
            costs = [getattr(each, unit) for each in found]
            anytime.accuracy_over(axes, costs, over_time[name], colours[name], unit)
        whole = np.mean([getattr(each, unit)[-1] for found in known.values() for each in found])
        late = [name for name in colours if name not in known and results.of(name)]
        for place, name in enumerate(late):
            accuracy = float(
                np.mean([trial.test.accuracy for trial in results.of(name) if trial.test])
            )
            # Beside one another: equal ones would hide one another.
            at = whole * (1 + 0.03 * place)
            square = axes.scatter(
                at, accuracy, marker="s", s=30, color=colours[name], linewidths=0, zorder=3
            )
            style.told(square, [{"contender": name, "accuracy, %": 100 * accuracy, unit: whole}])
        axes.set_xlim(left=0)
        style.accuracy_axis(axes)
    squares = {"marker": "s", "markersize": 5, "linestyle": "none"}
    handles = [
        style.key(name, colours[name], **({"linewidth": 2.2} if name in known else squares))
        for name in colours
    ]
    handles += [
        style.key("leaving early", linewidth=1.1, linestyle=style.DASHED),
        style.key("threshold chosen on validation", marker="*", markersize=9, linestyle="none"),
    ]
    style.legend(figure, handles, columns=4)
    return figure
