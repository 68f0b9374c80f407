"""Power of a run, and the forecast of a plan, in sentences."""

from collections.abc import Sequence

from spikeduel.results.power import BETWEEN, WITHIN, Case, Forecast, Power, Variability
from spikeduel.results.run import Results
from spikeduel.results.uncertainty import FEWEST_SEEDS, MOST_SEEDS
from spikeduel.results.words.numbers import duration
from spikeduel.system.sentences import counted, listed

MOST_COLUMNS = 4
_SOURCES = {
    "given": "The spread over seeds is the one given.",
    "store": (
        "The spread over seeds, and how often answers differ, are those of this comparison's seeds "
        "in the store."
    ),
    "assumed": (
        "The spread over seeds is assumed, as it was measured on Fashion-MNIST. Two or three "
        "seeds first (spikeduel compare … --seeds 3) show your own: this command finds them in "
        "the store."
    ),
}


def of_pairs(results: Results) -> str:
    """Return the chance that a lead of one point would have been found, for all pairs of a run; ""
    for one seed.
    """
    known = [(pair, pair.power) for pair in results.comparison.pairs if pair.power]
    if not known:
        return ""
    lead = _points(known[0][1].lead)
    told = [
        f"{_chance(power)} for {pair.a} and {pair.b} ({_spreads([power.variability])})"
        for pair, power in known
    ]
    if len(known) > 1 and len(chances := {_chance(power) for _, power in known}) == 1:
        told = [
            f"{chances.pop()} for each of {len(known)} pairs "
            f"({_spreads([power.variability for _, power in known])})"
        ]
    pair, hardest = min(known, key=lambda of_pair: of_pair[1].chance)
    return (
        f"Power: a true lead of {lead} would be found with {counted(pair.seeds, 'seed')} in "
        f"{listed(told)}. {_needed(hardest.seeds_needed, lead, len(known) > 1)}"
    )


def _chance(power: Power) -> str:
    return f"{100 * power.chance:.0f} % of cases"


def _spreads(variabilities: Sequence[Variability]) -> str:
    of_all = [
        f"{100 * spread:.2f}"
        for variability in variabilities
        for spread in (variability.seeds_a, variability.seeds_b)
    ]
    said = (
        " and ".join(of_all)
        if len(variabilities) == 1
        else f"{min(of_all, key=float)} to {max(of_all, key=float)}"
    )
    return f"accuracy varies by {said} points over seeds"


def _points(lead: float) -> str:
    return "one point" if lead == 0.01 else f"{100 * lead:g} points"


_REMEDY = ": it takes more test images, or trainings that vary less."


def _needed(seeds: int | None, lead: str, several: bool) -> str:
    of_all = " of every pair" if several else ""
    if seeds is None:
        return (
            f"More than {MOST_SEEDS} seeds would be needed to find {lead} in 80 %{of_all}{_REMEDY}"
        )
    return f"{seeds} seeds would find it in 80 %{of_all}."


def rows(plan: Forecast) -> list[dict[str, str]]:
    """Return a row for each number of seeds: the chance to find the lead, and the training time."""
    shown = sorted(plan.cases, key=lambda case: (case.spread or 0, sum(case.chances)))[
        :MOST_COLUMNS
    ]
    return [
        {
            "seeds": str(seeds),
            **{_title(case): f"{100 * case.chances[place]:.0f} %" for case in shown},
            "training": "in the store" if seeds <= plan.trained else duration(plan.seconds(seeds)),
        }
        for place, seeds in enumerate(plan.seeds)
    ]


def _title(case: Case) -> str:
    if case.a is not None and case.b is not None:
        return f"{case.a}, {case.b}"
    return f"spread {100 * (case.spread or 0):.2f}"


def sentences(plan: Forecast) -> list[str]:
    """Return the forecast, what it rests on, and what it leaves out."""
    lead = _points(plan.lead)
    texts = [
        f"The chance that a true lead of {lead} is found, on {plan.test_images:,} test images, by "
        f"seeds:"
    ]
    several = (
        f" of {plan.comparisons} comparisons, after Holm at worst" if plan.comparisons > 1 else ""
    )
    needed = [case.seeds_needed for case in plan.cases]
    if None in needed:
        text = f"Not even {MOST_SEEDS} seeds find it in 80 % of cases{several}{_REMEDY}"
    else:
        low, high = min(filter(None, needed)), max(filter(None, needed))
        how_many = f"{high} seeds" if low == high else f"{low} to {high} seeds"
        last = duration(plan.seconds(high))
        text = f"{how_many} find it in 80 % of cases{several}; {high} will train for about {last}."
    texts += [text, _SOURCES[plan.source], *_assumed(plan)]
    if any(
        case.variability.effective_groups is not None for case in plan.cases
    ) and plan.source in (
        "given",
        "assumed",
    ):
        texts.append(
            "The test images come in groups. How alike those of a group are is not known before a "
            "run, and makes these chances smaller."
        )
    if any(
        case.variability.effective_groups is not None and not any(case.chances)
        for case in plan.cases
    ):
        texts.append(
            "The groups of test images are too few for anybody to be called better: --folds 5 "
            "tests them all."
        )
    return [*texts, _of_times(plan), f"Fewer than {FEWEST_SEEDS} seeds make nobody better."]


def _assumed(plan: Forecast) -> Sequence[str]:
    if plan.source not in ("given", "assumed"):
        return []
    seen = listed([f"{100 * case.variability.seeds_a:.2f}" for case in plan.cases])
    return [
        f"Assumed as well: trainings of two contenders disagree on {100 * BETWEEN:.1f} % of the "
        f"test images, two of one on {100 * WITHIN:.1f} %. With that, accuracy on so many images "
        f"varies by {seen} points over seeds."
    ]


def _of_times(plan: Forecast) -> str:
    told = []
    for time in plan.times:
        most, how = ("", "as in the store") if time.from_store else ("at most ", "some steps timed")
        told.append(
            f"{time.contender} {time.epoch_seconds:.2g} s an epoch, {most}{time.epochs:.3g} epochs "
            f"({how})"
        )
    folds = f", in each of {plan.folds} folds" if plan.folds else ""
    return f"Time is of training alone: {'; '.join(told)}{folds}."
