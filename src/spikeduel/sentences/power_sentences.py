"""Power of a run, and a plan's forecast, in sentences."""

from spikeduel.results.power import Case, Forecast
from spikeduel.results.run import Results
from spikeduel.statistics import BETWEEN, MAX_SEEDS, MIN_SEEDS, WITHIN
from spikeduel.system.numbers import duration
from spikeduel.system.sentences import counted, listed

MAX_COLUMNS = 4
_SOURCES = {
    "given": "The standard deviation (SD) over seeds is the one given.",
    "store": (
        "The standard deviation over seeds, and how often predictions differ, are those of this "
        "comparison's seeds "
        "in the store."
    ),
    "assumed": (
        "The standard deviation (SD) over seeds is assumed, as it was measured on Fashion-MNIST. "
        "To measure your own, train two or three seeds first (spikeduel compare … --seeds 3): this "
        "command finds them in the store."
    ),
}
_REMEDY = "it takes more test images, or trainings that vary less."


def of_pairs(results: Results) -> str:
    """Return the smallest chance of a pair to show a lead of one point; "" for one seed."""
    known = [(pair, pair.power) for pair in results.comparison.pairs if pair.power]
    if not known:
        return ""
    pair, power = min(known, key=lambda of_pair: of_pair[1].probability)
    variability = power.variability
    deviations = [
        f"{100 * deviation:.2f}" for deviation in (variability.seeds_a, variability.seeds_b)
    ]
    lead, number = _points(power.lead), power.seeds_needed
    needed = f"{number} seeds would find it in 80 %."
    if number is None:
        needed = f"More than {MAX_SEEDS} seeds would be needed to find it in 80 %: {_REMEDY}"
    return (
        f"Power: a true lead of {lead} would be found with {counted(pair.seeds, 'seed')} in "
        f"{100 * power.probability:.0f} % of cases for {pair.a} and {pair.b}"
        f"{', less than for any other pair' if len(known) > 1 else ''} (accuracy varies by "
        f"{listed(deviations)} points over seeds). {needed}"
    )


def _points(lead: float) -> str:
    return "one point" if lead == 0.01 else f"{100 * lead:g} points"


def rows(plan: Forecast) -> list[dict[str, str]]:
    """Return a row for each number of seeds: chance, and training time."""
    shown = sorted(plan.cases, key=lambda case: (case.deviation or 0, sum(case.probabilities)))
    return [
        {
            "seeds": str(seeds),
            **{
                _title(case): f"{100 * case.probabilities[place]:.0f} %"
                for case in shown[:MAX_COLUMNS]
            },
            "training": "in the store" if seeds <= plan.trained else duration(plan.seconds(seeds)),
        }
        for place, seeds in enumerate(plan.seeds)
    ]


def _title(case: Case) -> str:
    if case.a is not None and case.b is not None:
        return f"{case.a}, {case.b}"
    return f"SD {100 * (case.deviation or 0):.2f} points"


def sentences(plan: Forecast) -> list[str]:
    """Return the forecast, its basis, and its limits."""
    several, needed = "", plan.seeds_needed
    if plan.comparisons > 1:
        several = f" of {plan.comparisons} comparisons, after Holm at worst"
    found = f"Not even {MAX_SEEDS} seeds find it in 80 % of cases{several}: {_REMEDY}"
    if needed is not None:
        found = (
            f"{needed} seeds find it in 80 % of cases{several}, and train for about "
            f"{duration(plan.seconds(needed))}."
        )
    texts = [
        f"The chance that a true lead of {_points(plan.lead)} is found, on {plan.test_images:,} "
        f"test images, by seeds:",
        found,
        _SOURCES[plan.source],
    ]
    in_groups = any(case.variability.effective_groups is not None for case in plan.cases)
    if plan.source != "store":
        seen = listed([f"{100 * case.variability.seeds_a:.2f}" for case in plan.cases])
        texts.append(
            f"Assumed as well: trainings of two contenders disagree on {100 * BETWEEN:.1f} % of "
            f"the test images, two of one on {100 * WITHIN:.1f} %. With that, accuracy on so many "
            f"images varies by {seen} points over seeds."
        )
        if in_groups:
            texts.append(
                "The test images come in groups. How alike those of a group are is not known "
                "before a run, and makes these chances smaller."
            )
    if in_groups and not any(any(case.probabilities) for case in plan.cases):
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
        for time in plan.times
    ]
    folds = f", in each of {plan.folds} folds" if plan.folds else ""
    texts.append(f"Time is of training alone: {'; '.join(times)}{folds}.")
    return [*texts, f"Fewer than {MIN_SEEDS} seeds make nobody better."]
