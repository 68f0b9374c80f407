"""Converted networks over their time steps, beside the networks that they were made of."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spikeduel.reporting import estimates, style

DASHES = (0, (4, 2))
_SHOWN_BELOW_SOURCE = 0.4
"""Accuracies further below the worst source leave the picture: the first steps would take all of its height."""


def contenders(results: dict[str, Any]) -> dict[str, str]:
    """Each converted contender of `results`, the content of results.json, and its source."""
    converted = {
        trial["contender"]: trial["converted_from"]
        for trial in results["trials"]
        if trial.get("converted_from") and trial["test"] and (trial.get("anytime") or {}).get("num_steps")
    }
    tested = {trial["contender"] for trial in results["trials"] if trial["test"]}
    return {name: source for name, source in converted.items() if source in tested}


def accuracy_over_steps(results: dict[str, Any]) -> Figure:
    """Accuracy on the test images after t steps of each converted network (solid), and of its source (dashed).

    Means over seeds, with a band of a standard deviation. `results` has converted networks that were followed over time
    (`contenders`).
    """
    colours = style.contender_colours(results["trials"])
    figure = style.new_figure(3.2, 0.8 * style.WIDTH)
    axes = style.quiet(figure.subplots(), "", x="time steps", y="accuracy on the test images", grid=True)
    lowest, longest = 1.0, 1
    for name, source in contenders(results).items():
        trials = [t for t in results["trials"] if t["contender"] == name and t["test"]]
        at = np.array([trial["anytime"]["accuracies"] for trial in trials])
        steps = np.arange(1, at.shape[1] + 1)
        axes.plot(steps, at.mean(0), color=colours[name], linewidth=1.6, marker="o", markersize=3, label=name)
        if len(at) > 1:
            low, high = at.mean(0) - at.std(0, ddof=1), at.mean(0) + at.std(0, ddof=1)
            axes.fill_between(steps, low, high, color=colours[name], alpha=0.18, linewidth=0)
        reached = [t["test"]["accuracy"] for t in results["trials"] if t["contender"] == source and t["test"]]
        axes.axhline(np.mean(reached), color=colours[source], linewidth=1.2, linestyle=DASHES, label=source)
        lowest, longest = min(lowest, float(np.mean(reached))), max(longest, len(steps))
    axes.set_xscale("log", base=2)
    powers = 2 ** np.arange(int(np.log2(longest)) + 1)
    axes.set_xticks(powers, [str(step) for step in powers])
    axes.minorticks_off()
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, lowest - _SHOWN_BELOW_SOURCE), top)
    estimates.accuracy_axis(axes)
    axes.legend(loc="lower right", frameon=False, fontsize=style.SMALL)
    return figure


def explained(results: dict[str, Any]) -> str:
    """What the figure shows, in words."""
    steps = next(t["num_steps"] for t in results["trials"] if t["contender"] in contenders(results))
    return (
        "Solid: the converted network, asked after each of its time steps. Dashed: the ReLU network that it was made "
        f"of. It was converted for {steps} steps; one that is converted for fewer rounds better in these than this one "
        "does on its way."
    )
