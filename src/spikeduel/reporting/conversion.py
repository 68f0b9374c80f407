"""Converted networks over their time steps, beside the networks that they were made of."""

import numpy as np
from matplotlib.figure import Figure

from spikeduel.reporting import anytime, estimates, style
from spikeduel.results.run import Results

_SHOWN_BELOW_SOURCE = 0.4
"""Accuracies further below the worst source leave the picture: the first steps would take all of its height."""


def sources(results: Results) -> dict[str, str]:
    """Each converted contender that was followed over time, and the contender that it was made of."""
    converted = {
        name: trial.converted_from
        for name, trials in anytime.followed(results).items()
        for trial in trials
        if trial.converted_from
    }
    return {name: source for name, source in converted.items() if results.of(source)}


def accuracy_over_steps(results: Results) -> Figure:
    """Accuracy on the test images after t steps of each converted network (solid), and of its source (dashed).

    Means over seeds, with a band of a standard deviation. `results` has converted networks (`sources`).
    """
    colours = style.contender_colours(results.trials)
    figure = style.new_figure(3.2, 0.8 * style.WIDTH)
    axes = style.quiet(figure.subplots(), "", x="time steps", y="accuracy on the test images", grid=True)
    lowest, longest = 1.0, 1
    for name, source in sources(results).items():
        at = anytime.accuracies_over_time(anytime.followed(results)[name])
        steps = np.arange(1, at.shape[1] + 1)
        axes.plot(steps, at.mean(0), color=colours[name], linewidth=1.6, marker="o", markersize=3, label=name)
        style.band(axes, steps, at, colours[name])
        reached = float(np.mean([trial.test.accuracy for trial in results.of(source) if trial.test]))
        axes.axhline(reached, color=colours[source], linewidth=1.2, linestyle=style.DASHED, label=source)
        lowest, longest = min(lowest, reached), max(longest, len(steps))
    axes.set_xscale("log", base=2)
    powers = 2 ** np.arange(int(np.log2(longest)) + 1)
    axes.set_xticks(powers, [str(step) for step in powers])
    axes.minorticks_off()
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, lowest - _SHOWN_BELOW_SOURCE), top)
    estimates.accuracy_axis(axes)
    style.axes_legend(axes, "lower right")
    return figure
