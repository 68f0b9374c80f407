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
    """Return a row for each number of seeds: chance, and training time."""
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
        f"The chance that a true lead of {lead_in_points(forecast.difference)} is found, on "
        f"{forecast.test_images:,} test images, by seeds:",
        verdict,
        _SOURCES[forecast.source],
    ]
    in_groups = any(case.variability.effective_groups is not None for case in forecast.cases)
    if forecast.source != "store":
        deviations = listed([f"{100 * case.variability.seeds_a:.2f}" for case in forecast.cases])
        texts.append(
            f"Assumed as well: trainings of two contenders disagree on {100 * BETWEEN:.1f} % of "
            f"the test images, two of one on {100 * WITHIN:.1f} %. With that, accuracy on so many "
            f"images varies by {deviations} points over seeds."
        )
        if in_groups:
            texts.append(
                "The test images come in groups. How alike those of a group are is not known "
                "before a run, and makes these chances smaller."
            )
    if in_groups and not any(any(case.probabilities) for case in forecast.cases):
        texts.append(
            "The groups of test images are too few for anybody to be called better: --folds 5 "
            "tests them all."
        )
    times = [
        f"{time.contender} {time.epoch_seconds:.2g} s an epoch, "
        + (
            f"{time.epochs:.3g} epochs (as in the store)"
            if time.from_store
            else f"at most {time.epochs:.3g} epochs (some steps timed)"
        )
        for time in forecast.times
    ]
    folds = f", in each of {forecast.folds} folds" if forecast.folds else ""
    texts.append(f"Time is of training alone: {'; '.join(times)}{folds}.")
    return [*texts, f"Fewer than {MIN_SEEDS} seeds make nobody better."]
