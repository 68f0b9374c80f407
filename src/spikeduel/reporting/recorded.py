"""Figures of recordings of event cameras: what their time adds."""

from matplotlib.figure import Figure

from spikeduel.reporting import style
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
