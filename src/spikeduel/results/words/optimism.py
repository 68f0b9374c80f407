"""What the optimism meter found, in sentences and tables."""

import statistics
from collections.abc import Sequence

from spikeduel.results.optimism import LeadOptimism, OptimismMeter
from spikeduel.results.run import Results
from spikeduel.results.words.numbers import points, signed
from spikeduel.results.words.tables import Averaged, averaged, percent
from spikeduel.system.sentences import counted, listed

HABIT = "the best test accuracy over all epochs, as many papers do"


def sentences(results: Results) -> list[str]:
    """What the habit would have reported beside what is true; empty where that was not measured."""
    meter = results.comparison.optimism
    if meter is None:
        return []
    told = []
    for each in meter.contenders:
        scores = f"{percent(statistics.fmean(each.best))} instead of {percent(statistics.fmean(each.chosen))} %"
        over = (
            f"; {percent(min(each.gains))} to {percent(max(each.gains))} by seed"
            if len(each.seeds) > 1
            else ""
        )
        told.append(f"{points(statistics.fmean(each.gains))} to {each.contender} ({scores}{over})")
    found = [f"Reporting {HABIT}, would have added {listed(told)}."]
    return found + [_of_lead(lead) for lead in _of_winner(meter)]


def _of_winner(meter: OptimismMeter) -> Sequence[LeadOptimism]:
    """The leads of the contender with the highest accuracy, over each other one."""
    truly = {each.contender: statistics.fmean(each.chosen) for each in meter.contenders}
    winner = max(truly, key=truly.__getitem__)
    return [lead for lead in meter.leads if winner in (lead.a, lead.b)]


def _of_lead(lead: LeadOptimism) -> str:
    sign = -1 if lead.chosen < 0 else 1
    first, second = (lead.a, lead.b) if sign > 0 else (lead.b, lead.a)
    text = f"{first} leads {second} by {points(abs(lead.chosen))}; by the best epochs it would be"
    text += f" {signed(sign * lead.best_epoch)}"
    return text + (
        f", and {signed(sign * lead.best_seed)} between the best seeds." if lead.seeds > 1 else "."
    )


def contender_rows(meter: OptimismMeter) -> list[tuple[str, list[Averaged | None]]]:
    """By contender, in per cent and points: accuracy at the chosen epochs, at the best ones, what
    these add, and the best seed's; ± is the standard deviation over seeds.
    """
    return [
        (
            each.contender,
            [
                averaged(each.chosen),
                averaged(each.best),
                averaged(each.gains),
                averaged([max(each.best)]),
            ],
        )
        for each in meter.contenders
    ]


def lead_rows(meter: OptimismMeter) -> list[tuple[str, list[str]]]:
    """By pair, in points with signs: the lead at the chosen epochs, at the best ones, and between
    the best seeds.
    """
    return [
        (
            f"{each.a} − {each.b}",
            [signed(value) for value in (each.chosen, each.best_epoch, each.best_seed)],
        )
        for each in meter.leads
    ]


def how_measured(meter: OptimismMeter, folds: int = 0) -> str:
    """How the meter works, and over what its means are."""
    seeds = max(len(each.seeds) for each in meter.contenders)
    over = f"Means over {counted(seeds, 'seed')}" if seeds > 1 else "One seed"
    pooled = f", the {folds} folds of each pooled" if folds else ""
    pooled += (
        f"; ± is the standard deviation over these {seeds} means" if folds and seeds > 1 else ""
    )
    return (
        "Chosen: the epoch whose weights were kept, the last where the learning rate falls to 0, "
        "else the one with the "
        "best validation accuracy. Best: the epoch with the best test accuracy, which nobody can "
        "know without looking. "
        "Best seed: the highest of these. The test images were asked after every epoch and the "
        "answers opened when all "
        f"choices had been made. {over}{pooled}."
    )
