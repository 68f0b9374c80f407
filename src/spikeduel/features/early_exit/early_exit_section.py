"""Section of the report on predictions after each time step."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from spikeduel.features.early_exit.exit_charts import followed, over_time
from spikeduel.reporting.sections import Page, Section
from spikeduel.results.findings import Finding, finding, sentence
from spikeduel.results.means import by_contender
from spikeduel.results.run import Results
from spikeduel.results.trials import EarlyExit, Trial

DEFINITIONS = {
    "early exit": (
        "An image leaves once the network is sure enough, by a threshold chosen on validation "
        "images. Its time is that of a stream, step after step."
    )
}


def section(page: Page, conclusion: None) -> Section | None:
    """Return the chart over time, and what early exits promise; None without time steps."""
    if not followed(page.results):
        return None
    return Section(
        heading="Predictions at any time",
        after="costs",
        charts=[over_time(page.results, page.table)],
        content={"promises": promises(page.results)},
        definitions=DEFINITIONS,
    )


def promises(results: Results) -> list[str]:
    """Return what early exits promise, for each contender with more than one time step."""
    contenders = by_contender(
        results, lambda trial: trial.anytime.early_exit if trial.anytime else None
    )
    return [
        sentence(found)
        for name, exits in contenders.items()
        if len(exits[0].curve) > 1
        for found in (promise(name, exits), slower(name, results.of(name)))
        if found
    ]


def slower(name: str, trials: Sequence[Trial]) -> Finding | None:
    """Return that early exits save no time here: step after step takes longer on average than all
    steps at once. None if they do, or if times are missing.
    """
    for trial in trials:
        latency, exits = trial.latency, trial.anytime and trial.anytime.early_exit
        if latency and latency.stream_ms and latency.one_image and exits and exits.threshold:
            shares = np.array(exits.exit_steps) / sum(exits.exit_steps)
            exit_ms, all_ms = float(shares @ latency.stream_ms), latency.one_image.median_ms
            if exit_ms >= all_ms:
                return finding("exit_is_slower", name=name, exit_ms=exit_ms, all_ms=all_ms)
            return None
    return None


def promise(name: str, exits: Sequence[EarlyExit]) -> Finding:
    """Return what validation images show of the early exits of a contender's trainings."""
    last, images = exits[-1], min(chosen.validation.n for chosen in exits)
    most_points = 100 * last.tolerance
    without = sum(chosen.threshold is None for chosen in exits)
    if images < (fewest := last.validation.fewest or 0):
        return finding(
            "too_few_for_exits", name=name, images=images, most_points=most_points, fewest=fewest
        )
    if without == len(exits):
        return finding("no_exit_shown", name=name, most_points=most_points)
    return finding(
        "images_exit",
        name=name,
        mean_steps=fmean(chosen.mean_steps for chosen in exits),
        steps=len(last.exit_steps),
        some_without=without > 0,
        without=without,
        trainings=len(exits),
        most_points=most_points,
        images=images,
        confidence=last.confidence or 0.0,
    )
