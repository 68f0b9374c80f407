"""Tables and sentences of ablations, which claim no more than the trials can bear."""

from typing import Any

from spikeduel.features.ablations.ablation_results import (
    AblatedContender,
    AblationRow,
    Conclusion,
    TemporalLoss,
)
from spikeduel.results.findings import sentence
from spikeduel.results.run import Results
from spikeduel.sentences.columns import Column, holm_column, hundredths, interval, signed
from spikeduel.sentences.verdict import conclusion as concluded, titled
from spikeduel.statistics import MIN_PAIRED_SEEDS
from spikeduel.system.numbers import named, per_cent, points


def summary(results: Results, conclusion: Conclusion) -> str:
    """Return what time, spikes and their order add, in sentences."""
    claims = [sentence(claim) for contender in conclusion.contenders for claim in contender.claims]
    return " ".join(filter(None, dict.fromkeys([on_time(results, conclusion), *claims])))


def tables(conclusion: Conclusion) -> dict[str, Any]:
    """Return the table of each contender's ablations, by title."""
    return {
        asked(contender): (
            [
                *(column for column in ablation_columns(contender) if column.title != "meaning"),
                holm_column([row.comparison for row in contender.rows]),
            ],
            contender.rows,
        )
        for contender in conclusion.contenders
    }


_LOST: dict[TemporalLoss, str] = {
    "everything": "everything is lost without time",
    "some": "{points} are lost without time",
    "nothing": "nothing is lost without time",
    "not shown": "it stays open whether anything is lost without time",
}


def asked(contender: AblatedContender) -> str:
    """Return the ablations' question, and the number of seeds."""
    seeds = max((row.comparison.seeds for row in contender.rows if row.comparison), default=0)
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    what = "time and polarity add" if contender.of_recordings else "spiking adds"
    steps = f"T = {contender.num_steps}, " if contender.num_steps else ""
    return f"What {what} to {contender.contender} ({steps}{over})"


def what_it_means(contender: AblatedContender) -> str:
    """Return the left-out ablations, and the joint conclusion."""
    reasons = list(dict.fromkeys(row.reason for row in contender.rows if row.reason))
    texts = [f"Left out: {' '.join(reasons)}"] if reasons else []
    texts += map(sentence, contender.claims)
    if contender.claims:
        texts.append("Accuracy does not show what energy it may save.")
    return " ".join(texts)


def on_time(results: Results, conclusion: Conclusion) -> str:
    """Return the loss of recordings without time; empty if not tried."""
    if (ablation := conclusion.without_time) is None:
        return ""
    difference = ablation.comparison
    lost = _LOST[ablation.lost].format(points=points(difference.difference))
    if not ablation.comparison.enough_seeds:
        lost = f"in these trainings {lost}"
    label = "" if difference.measure == "accuracy" else f" {named(difference.measure)}"
    best = f"{ablation.contender} ({per_cent(ablation.accuracy)}{label})"
    if ablation.without == ablation.contender and not ablation.trained_without:
        return f"On {results.dataset.name} {lost}: the best on validation, {best}, sees none."
    how = "trained on frames that each hold all events"
    if not ablation.trained_without:
        how = "which sees no time"
    low, high = difference.ci95
    text = (
        f"On {results.dataset.name} {lost}: {best} beside {ablation.without} "
        f"({per_cent(ablation.accuracy_without)}), {how}: {signed(-difference.difference)} points, "
        f"95 % interval {signed(-high)} to {signed(-low)}. Both are the best on validation images."
    )
    if ablation.comparison.enough_seeds:
        return text
    few = f"{difference.seeds} trainings of each" if difference.seeds > 1 else "single trainings"
    return f"{text} These are {few}; --seeds {MIN_PAIRED_SEEDS} shows what others would get."


def ablation_columns(contender: AblatedContender) -> list[Column[AblationRow]]:
    return [
        Column("ablation", titled, is_text=True),
        Column("meaning", lambda row: row.meaning, is_text=True),
        Column("accuracy %", lambda row: row.accuracy, hundredths, unknown="–"),
        Column(
            "points",
            lambda row: row.comparison and row.comparison.difference,
            signed,
            unknown="–",
        ),
        Column("95 % interval", lambda row: row.comparison, interval, unknown="–"),
        Column("conclusion", lambda row: _concluded(row, contender.contender), is_text=True),
    ]


def _concluded(row: AblationRow, contender: str) -> str:
    if row.comparison is None:
        return row.reason or "not measured"
    if row.conclusive:
        return concluded(row.comparison, contender, "the ablation", brief=True)
    by_seed = ", compared seed by seed" if row.comparison.paired else ""
    return f"takes {row.comparison.fewest_seeds} seeds{by_seed}"
