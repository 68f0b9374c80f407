"""Controls, and the loss of recordings without time, in words."""

from collections.abc import Sequence

from spikeduel.results.columns import Column, percent
from spikeduel.results.controls import ControlledContender, ControlRow, TemporalLoss, claims
from spikeduel.results.run import Results
from spikeduel.results.significance import Difference
from spikeduel.results.uncertainty import ADVISED_SEEDS
from spikeduel.results.words.findings import sentence
from spikeduel.results.words.numbers import per_cent, points, signed
from spikeduel.results.words.verdict import adjusted_for, conclusion, interval, terms, titled

_LOST: dict[TemporalLoss, str] = {
    "everything": "everything is lost without time",
    "some": "{points} are lost without time",
    "nothing": "nothing is lost without time",
    "not shown": "it stays open whether anything is lost without time",
}


def table(contender: ControlledContender) -> list[Column[ControlRow]]:
    """Return the columns of controls."""
    return [
        Column("control", titled, is_text=True),
        Column("meaning", lambda row: row.meaning, is_text=True),
        Column("accuracy %", lambda row: row.accuracy, percent, unknown="–"),
        Column("points", lambda row: row.found and row.found.difference, signed, unknown="–"),
        Column("95 % interval", lambda row: row.found and interval(row.found), unknown="–"),
        Column("conclusion", lambda row: _concluded(row, contender.contender), is_text=True),
    ]


def _concluded(row: ControlRow, contender: str) -> str:
    if row.found is None:
        return row.reason or "not measured"
    if row.conclusive:
        return conclusion(row.found, contender, "the control", brief=True)
    by_seed = ", compared seed by seed" if row.found.paired else ""
    return f"takes {row.found.fewest_seeds} seeds{by_seed}"


def asked(contender: ControlledContender) -> str:
    """Return the controls' question, and the number of seeds."""
    seeds = max((row.found.seeds for row in contender.rows if row.found), default=0)
    over = f"mean over {seeds} seeds" if seeds > 1 else "one seed"
    what = "time and polarity add" if contender.of_recordings else "spiking adds"
    steps = f"T = {contender.num_steps}, " if contender.num_steps else ""
    return f"What {what} to {contender.contender} ({steps}{over})"


def what_it_means(contender: ControlledContender) -> str:
    """Return the left-out controls, and the joint conclusion."""
    shown, reasons = claims(contender), left_out([contender])
    texts = [*([f"Left out: {' '.join(reasons)}"] if reasons else []), *map(sentence, shown)]
    return " ".join([*texts, *["Accuracy does not show what energy it may save."] * bool(shown)])


def on_time(results: Results) -> str:
    """Return the loss of recordings without time; empty if not tried."""
    if (ablation := results.comparison.without_time) is None:
        return ""
    difference = ablation.found
    lost = _LOST[ablation.lost].format(points=points(difference.difference))
    best = f"{ablation.contender} ({per_cent(ablation.accuracy)})"
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
    few = f" These are single trainings; --seeds {ADVISED_SEEDS} shows what others would get."
    return text + few * (not ablation.conclusive)


def left_out(contenders: Sequence[ControlledContender]) -> list[str]:
    """Return the reasons of unmeasured controls, without repetitions."""
    rows = [row for contender in contenders for row in contender.rows]
    return list(dict.fromkeys(row.reason for row in rows if row.reason))


def how_controlled(contender: ControlledContender) -> str:
    """Return the tests of the controls; empty without a conclusion."""
    concluded: list[Difference] = [
        row.found for row in contender.rows if row.found and row.conclusive
    ]
    if not concluded:
        return ""
    tests = "; ".join(dict.fromkeys(difference.test for difference in concluded))
    return f"Test: {tests}.{adjusted_for(len(concluded), 'control')} {terms(concluded)}"
