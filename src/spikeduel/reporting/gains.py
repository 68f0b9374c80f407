"""What spiking buys: each spiking contender beside its controls, as a figure and a table."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spikeduel.reporting import style, summary
from spikeduel.results.significance.reservations import BRIEF, reservation

CONTROLS = {
    "relu_twin": ("ReLU twin", "the same network with ReLU for its neurons: one pass, no spikes, no time"),
    "quantised_twin": ("quantised twin", "the ReLU twin, trained with activations as coarse as a count of spikes"),
    "one_step": ("one time step", "the same neurons, trained and used with T = 1: spikes without time"),
    "shuffled": ("shuffled in time", "the trained network, each neuron's spikes in random order, as many as before"),
    "nearest_neighbour": (
        "nearest neighbour",
        "the label of the training image whose pixels differ least, in full size (the audit's looks at small grey "
        "versions): nothing is trained",
    ),
}
"""A short name for each control, and what it is."""

_CONCLUSIONS = {
    "a_better": "{a} is better",
    "b_better": "the control is better",
    "equivalent": "equivalent",
    "inconclusive": "inconclusive",
}
PANELS_ABREAST = 2


def contenders(results: dict[str, Any]) -> list[dict[str, Any]]:
    """For each spiking contender with controls: name, colour, accuracy, text and the rows of its table."""
    colours = style.contender_colours(results["trials"])
    return [
        {
            "name": found["contender"],
            "colour": colours[found["contender"]],
            "accuracy": f"{100 * found['accuracy']:.2f}",
            "steps": found["num_steps"],
            "text": found["text"],
            "rows": [_row(row) for row in found["rows"]],
            "note": _note(found["rows"]),
        }
        for found in (results.get("comparison") or {}).get("controls") or []
    ]


def _row(row: dict[str, Any]) -> dict[str, str]:
    name, meaning = CONTROLS[row["b"]]
    bits = f" ({row['bits']} bit{'s' if row['bits'] > 1 else ''})" if row.get("bits") else ""
    interval = row.get("ci95")
    return {
        "name": f"{name}{bits}",
        "meaning": meaning,
        "reason": row.get("reason") or "not measured",
        "accuracy": "" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f}",
        "difference": "" if row["difference"] is None else _signed(row["difference"]),
        "interval": f"{_signed(interval[0])} to {_signed(interval[1])}" if interval else "",
        "conclusion": _concluded(row),
    }


def _concluded(row: dict[str, Any]) -> str:
    if not row.get("conclusion"):
        return ""
    reason = reservation(row)
    return _CONCLUSIONS[row["conclusion"]].format(**row) + (f": {BRIEF[reason]}" if reason else "")


def _note(rows: list[dict[str, Any]]) -> str:
    """By which test each row was concluded, and what its words mean."""
    tested = [row for row in rows if row.get("conclusion")]
    if not tested:
        return ""
    tests = "; ".join(dict.fromkeys(row["test"] for row in tested))
    return (
        f"Test: {tests}, each control apart. Better: p is at most 0.05. Equivalent: the 90 % interval lies inside "
        f"±{100 * tested[0]['margin']:g} points. Inconclusive: neither; a difference may or may not be there."
        + summary.reservations(tested)
    )


def _signed(share: float) -> str:
    text = f"{100 * share:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")


def accuracies(results: dict[str, Any]) -> Figure:
    """A panel for each spiking contender: its accuracy and that of each control, a dot a seed, a stroke their mean."""
    shown = contenders(results)
    columns = min(PANELS_ABREAST, len(shown))
    rows = -(-len(shown) // columns)
    figure = style.new_figure(0.3 + 2.3 * rows, style.WIDTH if columns > 1 else 0.72 * style.WIDTH)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for place, (axes, contender) in enumerate(zip(panels.flat, shown, strict=False)):
        _panel(axes, contender, results, named=place % columns == 0)
    return figure


def _panel(axes: Axes, contender: dict[str, Any], results: dict[str, Any], named: bool) -> None:
    title = f"{style.shortened(contender['name'], 30)}, T = {contender['steps']}"
    style.quiet(axes, title, x="accuracy on the test images, %")
    trials = [t for t in results["trials"] if t["contender"] == contender["name"] and t.get("controls")]
    own = [100 * t["test"]["accuracy"] for t in trials]
    series = [own] + [
        [100 * t["controls"][name]["accuracy"] for t in trials if t["controls"].get(name)] for name in CONTROLS
    ]
    # Warm: it spikes. Cool: it does not.
    cool, warm = style.OTHER_COLOURS[0], contender["colour"]
    colours = [warm, cool, cool, warm, warm, cool]
    axes.axvline(np.mean(own), color=warm, linewidth=0.9, linestyle=(0, (4, 2)), alpha=0.7, zorder=1)
    for place, (values, colour) in enumerate(zip(series, colours, strict=True)):
        if values:
            axes.scatter(values, [place] * len(values), s=16, color=colour, alpha=0.45, linewidths=0, zorder=2)
            axes.vlines(np.mean(values), place - 0.28, place + 0.28, color=colour, linewidth=2.4, zorder=3)
        else:
            axes.text(
                0.02, place, "not to be had", transform=axes.get_yaxis_transform(), fontsize=style.SMALL,
                color=style.QUIET, va="center",
            )  # fmt: skip
    axes.set_yticks(range(len(series)), ["itself", *(name for name, _ in CONTROLS.values())] if named else [])
    axes.tick_params(axis="y", length=0, labelcolor=style.INK)
    axes.set_ylim(len(series) - 0.5, -0.5)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.08)
