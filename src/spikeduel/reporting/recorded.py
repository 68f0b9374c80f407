"""Figures of recordings of event cameras: what their time adds, and who is right how soon."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from spikeduel.reporting import anytime, style
from spikeduel.results.run import Results

_GROUP_HEIGHT, _ROW_HEIGHT = 0.16, 0.15
"""Inches between controls, and for each contender in one."""


def time_controls(results: Results) -> Figure:
    """For each control on recordings and each contender, the points of accuracy that it took or gave, with their 95 %
    interval; the margin is shaded.
    """
    controlled = [each for each in results.comparison.controls if each.of_recordings]
    colours = style.contender_colours(results.trials)
    titles = [row.title for row in controlled[0].rows]
    height = _GROUP_HEIGHT + _ROW_HEIGHT * len(controlled)
    figure = style.new_figure(0.9 + height * len(titles))
    axes = style.quiet(figure.subplots(), x="change in accuracy, points")
    margin = 100 * results.experiment.equivalence_margin
    axes.axvspan(-margin, margin, color=style.FAINT, alpha=0.6, linewidth=0, zorder=0)
    axes.axvline(0, color=style.QUIET, linewidth=0.8, zorder=1)
    for group, title in enumerate(titles):
        for place, each in enumerate(controlled):
            found = next((row.found for row in each.rows if row.title == title), None)
            if found is None:
                continue
            at, colour = group * height + _ROW_HEIGHT * place, colours[each.contender]
            axes.plot([-100 * bound for bound in found.ci95], [at, at], color=colour, linewidth=1.6, zorder=2)
            axes.plot([-100 * found.difference], [at], "o", color=colour, markersize=5, zorder=3)
    middle = _ROW_HEIGHT * (len(controlled) - 1) / 2
    axes.set_yticks([group * height + middle for group in range(len(titles))], titles, color=style.INK)
    axes.set_ylim(len(titles) * height - _GROUP_HEIGHT / 2, -_GROUP_HEIGHT)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:+.4g}".replace("-", "−") if value else "0")
    style.legend(figure, style.keys({each.contender: colours[each.contender] for each in controlled}, marker="o"))
    return figure


def while_it_happens(results: Results) -> Iterator[tuple[str, Figure]]:
    """Accuracy against the milliseconds and the events of a recording that have come, by name; none of images.

    Solid: every recording is answered after so many frames. Dashed, and the star: leaving early, as in
    `anytime.curves`. Squares: who needs all frames before the first answer.
    """
    over_time, colours = anytime.followed(results), style.contender_colours(results.trials)
    known = {
        name: [trial.anytime.received for trial in trials if trial.anytime and trial.anytime.received]
        for name, trials in over_time.items()
    }
    known = {name: found for name, found in known.items() if found}
    if not known:
        return
    figure = style.new_figure(3.2)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, unit, x in zip(panels, ("milliseconds", "events"), ("ms of the recording", "events"), strict=True):
        style.quiet(axes, f"accuracy by {unit}", x=x, y="accuracy on the test set", grid=True)
        for name, found in known.items():
            costs = [getattr(each, unit) for each in found]
            anytime.accuracy_over(axes, costs, over_time[name], colours[name])
        whole = np.mean([getattr(each, unit)[-1] for found in known.values() for each in found])
        late = [name for name in colours if name not in known and results.of(name)]
        for place, name in enumerate(late):
            accuracy = np.mean([trial.test.accuracy for trial in results.of(name) if trial.test])
            # Beside one another: equal ones would hide one another.
            at = whole * (1 + 0.03 * place)
            axes.scatter(at, accuracy, marker="s", s=30, color=colours[name], linewidths=0, zorder=3)
        axes.set_xlim(left=0)
        style.accuracy_axis(axes)
    panels[1].set_ylabel("")
    squares = {"marker": "s", "markersize": 5, "linestyle": "none"}
    handles = [style.key(name, colours[name], **({"linewidth": 2.2} if name in known else squares)) for name in colours]
    handles += [
        style.key("leaving early", linewidth=1.1, linestyle=style.DASHED),
        style.key("threshold chosen on validation", marker="*", markersize=9, linestyle="none"),
    ]
    style.legend(figure, handles, columns=4)
    yield "recorded", figure
