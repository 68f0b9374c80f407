"""A tuning as plain text."""

from collections.abc import Mapping
from typing import Any

from spikeduel.results.words.tables import render
from spikeduel.results.words.tuning import in_words


def of_trials(record: Mapping[str, Any]) -> str:
    """Every trial of every contender; a star marks the chosen ones."""
    rows = []
    for each in record["contenders"]:
        for entry in each["trials"]:
            validation = entry["validation"]
            rows.append({
                "contender": each["contender"],
                "trial": str(entry["number"] + 1),
                "validation %": f"{100 * validation['accuracy']:.2f}" if validation else "failed",
                "chosen": "*" if entry["number"] == each["best"] else "",
                "epochs": str(entry["epochs"]),
                "seconds": f"{entry['training_seconds']:.1f}",
                "settings": in_words(entry["settings"]),
            })  # fmt: skip
    return render(rows)


def of_expected_best(record: Mapping[str, Any]) -> str:
    """The expected best validation accuracy of 1, 2, 4, … and of all trials, ± its standard deviation, in per cent."""
    num_trials = record["num_trials"]
    shown = sorted({2**power for power in range(num_trials.bit_length())} | {num_trials})
    rows = []
    for each in record["contenders"]:
        points = {point["trials"]: point for point in each["expected_best"]}
        cells = {
            f"of {n}": f"{100 * points[n]['mean']:.2f} ± {100 * points[n]['standard_deviation']:.2f}" for n in shown
        }
        rows.append({"expected best of so many trials, %": each["contender"], **cells})
    return render(rows)
