"""What tuning tried and found: a section of report.html and of tuning.html."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from spikeduel.reporting import style
from spikeduel.reporting.gallery import Shown
from spikeduel.results.words.tuning import in_words, tuning_limits


def section(tuning: Mapping[str, Any] | None, folder: Path) -> dict[str, Any] | None:
    """What the section shows; its figure goes into `folder`. None where nothing was tuned."""
    if tuning is None:
        return None
    colours = style.contender_colours(tuning["contenders"])
    return {
        "num_trials": tuning["num_trials"],
        "epochs": tuning["experiment"]["epochs"],
        "contenders": [_contender(each, colours[each["contender"]]) for each in tuning["contenders"]],
        "ranges": [(name, _range(each)) for name, each in tuning["ranges"].items() if _is_tuned(name, tuning)],
        "limits": tuning_limits(tuning),
        "figure": Shown(
            style.save(tuning_trials(tuning), folder / "tuning.png"),
            "validation accuracy of every tuning trial, and the expected best against the number of trials",
            "Left: every trial in its order; the first has the settings given, and a ring marks the chosen one. Right: "
            "the best accuracy to expect of so many trials, had the draws come in another order, with a band of one "
            "standard deviation. A curve that is flat at its end has little to gain from more trials.",
        ),
    }


def _contender(entry: Mapping[str, Any], colour: str) -> dict[str, Any]:
    trials = entry["trials"]
    best = None if entry["best"] is None else trials[entry["best"]]
    return {
        "name": entry["contender"],
        "colour": colour,
        "first": _accuracy(trials[0]),
        "best": _accuracy(best) if best else "failed",
        "expected": _expected(entry["expected_best"][-1]),
        "seconds": f"{sum(each['training_seconds'] for each in trials):,.0f}",
        "chosen": in_words(best["settings"]) if best else "none",
        "trials": [
            {
                "number": each["number"] + 1,
                "settings": in_words(each["settings"]),
                "accuracy": _accuracy(each),
                "epochs": each["epochs"],
                "chosen": each is best,
                "error": each["error"],
            }
            for each in trials
        ],
    }


def _accuracy(trial: Mapping[str, Any]) -> str:
    return f"{100 * trial['validation']['accuracy']:.2f}" if trial["validation"] else "failed"


def _expected(point: Mapping[str, Any]) -> str:
    return f"{100 * point['mean']:.2f} ± {100 * point['standard_deviation']:.2f}"


def _is_tuned(name: str, tuning: Mapping[str, Any]) -> bool:
    return any(name in each["tuned"] for each in tuning["contenders"])


def _range(given: Mapping[str, Any]) -> str:
    if given["choices"]:
        return f"one of {', '.join(f'{choice:g}' for choice in given['choices'])}"
    return f"{given['low']:g} to {given['high']:g}{', evenly in its logarithm' if given['log'] else ''}"


def tuning_trials(tuning: Mapping[str, Any]) -> Figure:
    """Left, the validation accuracy of every trial, a ring around the chosen; right, the expected best of so many."""
    colours = style.contender_colours(tuning["contenders"])
    figure = style.new_figure(3.4)
    left, right = figure.subplots(1, 2, sharey=True)
    style.quiet(left, "every trial", x="trial", y="validation accuracy", grid=True)
    style.quiet(right, "expected best", x="number of trials", grid=True)
    for place, each in enumerate(tuning["contenders"]):
        colour = colours[each["contender"]]
        # Beside one another: equal accuracies would hide one another.
        aside = 0.16 * (place - (len(colours) - 1) / 2)
        done = [trial for trial in each["trials"] if trial["validation"]]
        positions = [trial["number"] + 1 + aside for trial in done]
        accuracies = [trial["validation"]["accuracy"] for trial in done]
        left.scatter(positions, accuracies, s=22, color=colour, linewidths=0, zorder=3)
        for trial, position, accuracy in zip(done, positions, accuracies, strict=True):
            if trial["number"] == each["best"]:
                left.scatter(
                    [position], [accuracy], s=90, facecolors="none", edgecolors=colour, linewidths=1.4, zorder=4
                )
        curve = each["expected_best"]
        numbers = [point["trials"] for point in curve]
        low, high = ([point[side] for point in curve] for side in ("low", "high"))
        right.fill_between(numbers, low, high, color=colour, alpha=0.16, linewidth=0)
        right.plot(numbers, [point["mean"] for point in curve], color=colour, linewidth=2.0, marker=".")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.yaxis.set_major_formatter(lambda value, place: f"{100 * value:.4g} %")
    right.tick_params(labelleft=True)
    handles = [Line2D([], [], color=colour, linewidth=2.2, marker="o", label=name) for name, colour in colours.items()]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=min(len(handles), 5), frameon=False,
        fontsize=style.SMALL, labelcolor=style.INK,
    )  # fmt: skip
    return figure
