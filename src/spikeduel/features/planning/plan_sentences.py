"""A plan's forecast in sentences."""

from spikeduel.features.planning.forecasting import Case, Forecast
from spikeduel.sentences.verdict import MORE_POWER, lead_in_points
from spikeduel.statistics import BETWEEN, MAX_SEEDS, MIN_SEEDS, WITHIN
from spikeduel.system.numbers import duration
from spikeduel.system.sentences import listed

MAX_COLUMNS = 4
_SOURCES = {
    "given": "The standard deviation (SD) over seeds is the one given.",
    "store": (
        "The standard deviation over seeds, and how often predictions differ, are those of this "
        "comparison's seeds in the store."
    ),
    "assumed": (
        "The standard deviation (SD) over seeds is assumed, as it was measured on Fashion-MNIST. "
        "To measure your own, train two or three seeds first (spikeduel compare … --seeds 3): this "
        "command finds them in the store."
    ),
}


def rows(forecast: Forecast) -> list[dict[str, str]]:
    """Return a row for each number of seeds: power, and training time."""
    cases = sorted(forecast.cases, key=lambda case: (case.deviation or 0, sum(case.probabilities)))
    return [
        {
            "seeds": str(seeds),
            **{
                _title(case): f"{100 * case.probabilities[number]:.0f} %"
                for case in cases[:MAX_COLUMNS]
            },
            "training": (
                "in the store" if seeds <= forecast.trained else duration(forecast.seconds(seeds))
            ),
        }
        for number, seeds in enumerate(forecast.seeds)
    ]


def _title(case: Case) -> str:
    if case.a is not None and case.b is not None:
        return f"{case.a}, {case.b}"
    return f"SD {100 * (case.deviation or 0):.2f} points"


def sentences(forecast: Forecast) -> list[str]:
    """Return the forecast, its basis, and its limits."""
    several, needed = "", forecast.seeds_needed
    if forecast.comparisons > 1:
        several = f" of {forecast.comparisons} comparisons, after Holm at worst"
    verdict = f"Not even {MAX_SEEDS} seeds find it in 80 % of cases{several}: {MORE_POWER}"
    if needed is not None:
        verdict = (
            f"{needed} seeds find it in 80 % of cases{several}, and train for about "
            f"{duration(forecast.seconds(needed))}."
        )
    texts = [
        f"Power: the probability of finding a true difference of "
        f"{lead_in_points(forecast.difference)} on {forecast.test_images:,} test images, by number "
        f"of seeds:",
        verdict,
        _SOURCES[forecast.source],
    ]
    in_groups = any(case.variability.effective_groups is not None for case in forecast.cases)
    if forecast.source != "store":
        deviations = listed([f"{100 * case.variability.seeds_a:.2f}" for case in forecast.cases])
        texts.append(
            f"Assumed as well: training runs of two contenders disagree on {100 * BETWEEN:.1f} % "
            f"of the test images, two runs of one contender on {100 * WITHIN:.1f} %. Then accuracy "
            f"on these images varies by {deviations} points over seeds."
        )
        if in_groups:
            texts.append(
                "The test images come in groups. Images of a group are alike, to a degree that is "
                "not known before a run. This lowers the probabilities."
            )
    if in_groups and not any(any(case.probabilities) for case in forecast.cases):
        texts.append(
            "The test images have too few groups for any contender to be called better: --folds 5 "
            "tests all groups."
        )
    times = [
        f"{time.contender} {time.epoch_seconds:.2g} s per epoch, "
        + (
            f"{_epochs(time.epochs)} (as in the store)"
            if time.from_store
            else f"at most {_epochs(time.epochs)} (some steps timed)"
        )
        for time in forecast.times
    ]
    folds = f", in each of {forecast.folds} folds" if forecast.folds else ""
    texts.append(f"Times are of training alone: {'; '.join(times)}{folds}.")
    return [*texts, f"With fewer than {MIN_SEEDS} seeds, no contender can be called better."]


def _epochs(mean: float) -> str:
    """Return a mean number of epochs: "1 epoch", "13.5 epochs"."""
    number = f"{mean:.3g}"
    return f"{number} epoch{'' if number == '1' else 's'}"
