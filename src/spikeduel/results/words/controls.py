"""What the controls of a spiking contender showed: differences, and the conclusion in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikeduel.results import significance
from spikeduel.results.significance.reservations import reserved

Quality = Mapping[str, Any]


def conclude(
    contender: str,
    num_steps: int,
    own: Sequence[Quality | None],
    controls: Mapping[str, Sequence[Quality | None]],
    reasons: Mapping[str, str],
    groups: np.ndarray | None = None,
    margin: float = significance.MARGIN,
) -> dict[str, Any]:
    """An element of results.json's `comparison.controls`: `contender`, `num_steps`, `accuracy`, `rows`, `text`.

    `own` and each of `controls` hold what `measuring.classification` found, a dict a seed, in the same order. A
    row is a
    pair as in `comparison.pairs`, with `a` the contender and `b` the control; `reason` says why there is none. `groups`
    `[N]` and `margin` are those of `significance.difference`.
    """
    rows = [_row(contender, name, own, found, reasons.get(name), groups, margin) for name, found in controls.items()]
    accuracies = [quality["accuracy"] for quality in own if quality]
    return {
        "contender": contender,
        "num_steps": num_steps,
        "seeds": len(accuracies),
        "accuracy": float(np.mean(accuracies)),
        "rows": rows,
        "text": _in_words(contender, num_steps, {row["b"]: row for row in rows}),
    }


def _row(
    contender: str,
    control: str,
    own: Sequence[Quality | None],
    found: Sequence[Quality | None],
    reason: str | None,
    groups: np.ndarray | None,
    margin: float,
) -> dict[str, Any]:
    both = [(one, other) for one, other in zip(own, found, strict=True) if one and other]
    row: dict[str, Any] = {
        "a": contender, "b": control, "measure": "accuracy", "accuracy": None, "bits": None, "difference": None,
        "spread": None, "ci95": None, "conclusion": None, "seeds": len(both), "n": 0, "reason": reason,
    }  # fmt: skip
    if both:
        right_own, right_control = right([one for one, _ in both]), right([other for _, other in both])
        row |= {"accuracy": float(right_control.mean()), "bits": both[0][1].get("bits")}
        row |= significance.difference(right_own, right_control, groups, margin).to_dict()
        if len(both) > 1:
            row["spread"] = float((right_own.mean(1) - right_control.mean(1)).std(ddof=1))
    return row


def right(qualities: Sequence[Quality]) -> np.ndarray:
    """bool `[seeds, images]`: which answers are right."""
    return np.array([np.equal(quality["truth"], quality["predicted"]) for quality in qualities])


def _in_words(contender: str, num_steps: int, rows: Mapping[str, dict[str, Any]]) -> str:
    seeds = max(row["seeds"] for row in rows.values())
    over = f"means of {seeds} seeds" if seeds > 1 else "one seed"
    told = [
        f"What spiking buys {contender}, by accuracy ({over}; in brackets {contender} − control in points, with 95 % "
        "intervals):"
    ]
    steps = f"{num_steps} steps" if num_steps > 1 else "1 step"
    if (row := rows["relu_twin"])["seeds"]:
        told.append(f"its ReLU twin, the same network in one pass without spikes, is {_than_it(row)}.")
    if (row := rows["quantised_twin"])["seeds"]:
        told.append(
            f"With activations of {_counted(row['bits'], 'bit')}, as many as tell a neuron's spike counts of 0 to "
            f"{num_steps} apart, the ReLU twin is {_than_it(row)}."
        )
    if (row := rows["one_step"])["seeds"] and num_steps > 1:
        told.append(f"Trained with a single time step instead of {num_steps}, it is {_than_it(row)}.")
    if (row := rows["shuffled"])["seeds"] and num_steps > 1:
        told.append(_of_timing(row, rows["one_step"]))
    if (row := rows["nearest_neighbour"])["seeds"]:
        told.append(f"An untrained nearest neighbour on all pixels is right on {row['accuracy']:.2%}: {_than_it(row)}.")
    for reason in dict.fromkeys(filter(None, map(reserved, rows.values()))):
        told.append(f"Where it says “in these trainings”, {reason}.")
    if left_out := [row["reason"] for row in rows.values() if row["reason"]]:
        told.append(f"Left out, since {' '.join(dict.fromkeys(left_out))}")
    if rows["relu_twin"]["seeds"]:
        told.append(_summary(contender, steps, rows))
    return " ".join(told)


def _of_timing(row: dict[str, Any], one_step: dict[str, Any]) -> str:
    if row["conclusion"] == "a_better":
        needless = one_step["seeds"] and one_step["conclusion"] != "a_better"
        without = " It uses it, yet trained with a single step, which has none, it does no worse." if needless else ""
        return f"Its spikes' timing carries something: shuffled in time, it is {_than_it(row)}.{without}"
    if row["conclusion"] == "b_better":
        return f"Its spikes' timing carries nothing that helps: shuffled in time, it is {_than_it(row)}."
    if row["conclusion"] == "equivalent":
        return f"The timing of its spikes carries nothing that counts {_amount(row)}."
    if reserved(row):
        return f"Shuffled in time, it is {_than_it(row)}."
    return f"Whether the timing of its spikes carries anything is not shown {_amount(row)}."


def _summary(contender: str, steps: str, rows: Mapping[str, dict[str, Any]]) -> str:
    twins = [rows[name]["conclusion"] for name in ("relu_twin", "quantised_twin") if rows[name]["seeds"]]
    if all(conclusion == "a_better" for conclusion in twins):
        said = f"spiking over {steps} buys {contender} accuracy that its twins do not have"
    elif "b_better" in twins:
        said = f"spiking over {steps} buys {contender} no accuracy, it costs some"
    else:
        said = f"it is not shown that spiking over {steps} buys {contender} accuracy"
    one_seed = "; another training could end otherwise" if rows["relu_twin"]["seeds"] == 1 else ""
    return f"So {said}, here and at these settings{one_seed}. Accuracy does not show what it may save in energy."


def _than_it(row: dict[str, Any]) -> str:
    """How good the control is beside its contender; the numbers are the contender's lead, as in the table."""
    behind = "worse" if row["difference"] > 0 else "better"
    known = {
        "equivalent": "as good",
        "inconclusive": "neither better nor worse that one could tell",
        "a_better": "worse",
        "b_better": "better",
    }[row["conclusion"]]
    if reserved(row):
        known = f"{behind} in these trainings"
    return f"{known} {_amount(row)}"


def _amount(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    return f"({_signed(row['difference'])}, {_signed(low)} to {_signed(high)})"


def _signed(share: float) -> str:
    text = f"{100 * share:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else text.replace("-", "−")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number > 1 else ''}"
