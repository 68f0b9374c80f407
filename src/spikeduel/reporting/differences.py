"""How contenders differ: a line for each pair."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from spikeduel.reporting import style
from spikeduel.results.significance.reservations import BRIEF, reservation

ROW = 0.3
"""Inches a pair."""
_COLOURS = {"a_better": style.INK, "b_better": style.INK, "equivalent": style.RIGHT, "inconclusive": style.QUIET}
_NARROW = {**BRIEF, "few_groups": "too few groups", "comparisons": "not after adjusting", "exact_test": "inconclusive"}
_WORDS = {"equivalent": "equivalent", "inconclusive": "inconclusive"}


def forest(pairs: Sequence[dict[str, Any]]) -> Figure:
    """A forest plot of results.json's `pairs` that have intervals: points, 95 % and 90 % intervals, the margin shaded.

    Each row says at its right what was concluded.
    """
    figure = style.new_figure(0.75 + ROW * len(pairs))
    axes = style.quiet(figure.subplots(), x="difference in accuracy, first − second, in points")
    margin = 100 * pairs[0]["margin"]
    axes.axvspan(-margin, margin, color=style.FAINT, alpha=0.6, linewidth=0, zorder=0)
    axes.axvline(0, color=style.QUIET, linewidth=0.8, zorder=1)
    for row, pair in enumerate(pairs):
        colour = _COLOURS[pair["conclusion"]]
        for interval, width in (("ci95", 1.2), ("ci90", 3.4)):
            low, high = (100 * bound for bound in pair[interval])
            axes.plot([low, high], [row, row], color=colour, linewidth=width, solid_capstyle="butt", zorder=2)
        axes.plot([100 * pair["difference"]], [row], "o", color=colour, markersize=6, zorder=3)
        axes.annotate(
            _concluded(pair), (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=style.SMALL,
            color=colour,
        )  # fmt: skip
    names = [f"{style.shortened(pair['a'], 24)} − {style.shortened(pair['b'], 24)}" for pair in pairs]
    axes.set_yticks(range(len(pairs)), names, fontsize=style.SMALL, color=style.INK)
    axes.set_ylim(len(pairs) - 0.4, -0.6)
    farthest = 1.08 * max(margin, *(100 * abs(bound) for pair in pairs for bound in pair["ci95"]))
    axes.set_xlim(-farthest, farthest)
    axes.xaxis.set_major_formatter(lambda value, place: f"{value:+.4g}".replace("-", "−") if value else "0")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure


def _concluded(pair: dict[str, Any]) -> str:
    if reason := reservation(pair):
        return _NARROW[reason]
    if pair["conclusion"] in _WORDS:
        return _WORDS[pair["conclusion"]]
    better = style.shortened(pair["a"] if pair["conclusion"] == "a_better" else pair["b"], 24)
    return f"{better} better" + (" (by less than counts)" if pair["negligible"] else "")
