"""Compare contenders in int8 with themselves in float32, and with one another."""

import statistics
from typing import Any

from msgspec import structs

from spikeduel.analysis.conclusions import compare_pairs
from spikeduel.analysis.predicted import Predictions
from spikeduel.analysis.run_findings import RunContext
from spikeduel.results import significance
from spikeduel.results.predictions import PredictionsFile
from spikeduel.results.run import Pair, Results
from spikeduel.results.significance import Difference
from spikeduel.results.trials import INT8, Int8Result
from spikeduel.sentences.columns import Column, hundredths, signed, thousands
from spikeduel.sentences.verdict import difference_line
from spikeduel.system.numbers import named, per_cent
from spikeduel.system.typed import Frozen, Share


class IntegerRow(Int8Result, kw_only=True):
    """A contender in int8: its mean `accuracy`, and what was `lost`, float32 minus it."""

    contender: str
    accuracy: Share
    lost: Difference


class Conclusion(Frozen):
    """Contenders in int8, every two of them compared, and reasons of those `left_out`."""

    rows: list[IntegerRow]
    pairs: list[Pair]
    left_out: dict[str, str] = {}
    text: str = ""


def conclude(results: Results, predictions: PredictionsFile) -> Conclusion | None:
    """Compare the contenders in int8, with themselves in float32 and with one another, as equally
    trained as those of the run; None if not asked.
    """
    all_predictions, trials = Predictions(predictions), results.trials
    integers = all_predictions.of_variant(INT8)
    rows = []
    for name in dict.fromkeys(contender for contender, _ in integers.predicted):
        costs = [
            cost
            for trial in trials
            if trial.contender == name and INT8 in trial.variants
            if (cost := trial.variants[INT8].int8)
        ]
        seeds = integers.seeds(name)
        before, after = all_predictions.right(seeds, name), integers.right(seeds, name)
        tested = significance.tested(
            before, after, all_predictions.groups, None, True, all_predictions.classes
        )
        if costs:
            rows.append(
                IntegerRow(
                    contender=name,
                    accuracy=integers.accuracy(seeds, name),
                    lost=significance.adjusted([tested])[0],
                    flash=costs[0].flash,
                    ram=costs[0].ram,
                    operations=statistics.fmean(cost.operations for cost in costs),
                )
            )
    pairs = compare_pairs([row.contender for row in rows], integers)
    left_out = {
        trial.contender: trial.missing_variants[INT8].reason
        for trial in trials
        if INT8 in trial.missing_variants
    }
    if not rows and not left_out:
        return None
    run = RunContext(
        experiment=results.experiment,
        dataset=results.dataset,
        trials=trials,
        pairs=pairs,
        features=results.features,
        budget=results.budget,
    )
    conclusion = Conclusion(rows=rows, pairs=run.reserved(), left_out=left_out)
    return structs.replace(conclusion, text=summary(results, conclusion))


def summary(results: Results, conclusion: Conclusion) -> str:
    """Return accuracy, memory and operations of the networks in int8, and their differences."""
    num_folds, measure = len(results.dataset.folds or []), named(results.measure)
    return " ".join(
        [
            *(
                f"{row.contender} in int8: {measure} {per_cent(row.accuracy)} "
                f"({signed(-row.lost.difference)} points from float32), "
                f"{row.flash / 1e3:,.0f} kB of constants, {row.operations / 1e6:,.2f} million "
                "operations per image."
                for row in conclusion.rows
            ),
            *(
                f"In int8, {difference_line(pair, pair.a, pair.b, num_folds)}"
                for pair in conclusion.pairs
            ),
            *(f"{name} is left out: {reason}" for name, reason in conclusion.left_out.items()),
        ]
    )


def tables(conclusion: Conclusion) -> dict[str, Any]:
    """Return the table of contenders in int8, by title."""
    return {"The networks in int8": (COLUMNS, conclusion.rows)}


COLUMNS: list[Column[IntegerRow]] = [
    Column("contender", lambda row: row.contender, is_text=True),
    Column("accuracy %", lambda row: row.accuracy, hundredths),
    Column("points to float32", lambda row: -row.lost.difference, signed),
    Column("flash, bytes", lambda row: row.flash, thousands),
    Column("RAM, bytes", lambda row: row.ram, thousands),
    Column("operations per inference", lambda row: row.operations, thousands),
]
