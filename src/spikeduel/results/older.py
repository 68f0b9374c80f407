"""Results of earlier versions, brought to the present schema."""

import re
from typing import Any

from spikeduel.settings import RENAMED
from spikeduel.system.errors import InputError

CONTROLS = {
    "relu_twin": ("ReLU twin", "the same network with ReLU", False),
    "quantised_twin": ("quantised twin", "the ReLU twin with few activation levels", False),
    "one_step": ("one time step", "the same neurons with T = 1", True),
    "shuffled": ("shuffled in time", "the trained network, its spikes in random order", True),
    "nearest_neighbour": ("nearest neighbour", "the label of the nearest training image", False),
}
"""Controls of schema 1: title, meaning, whether it spikes."""


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a results.json of any schema as schema 2 has it. Raises `InputError` where it is damaged."""
    if content["schema"] != 1:
        return content
    try:
        return _from_1(content)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"schema 1 that cannot be read ({type(error).__name__}: {error}).") from None


def _from_1(content: dict[str, Any]) -> dict[str, Any]:
    experiment = {RENAMED.get(name, name): value for name, value in content["experiment"].items()}
    comparison = content.get("comparison") or {}
    pairs = [pair for pair in comparison.get("pairs") or [] if pair.get("seeds") and pair.get("ci95")]
    return {
        **content,
        "schema": 2,
        "experiment": experiment,
        "dataset": _dataset(content["dataset"]),
        "trials": [_trial(trial) for trial in content["trials"]],
        "comparison": {
            "pairs": [{**pair, "reservation": None} for pair in pairs],
            "controls": [_controlled(found) for found in comparison.get("controls") or []],
        },
    }


def _dataset(dataset: dict[str, Any]) -> dict[str, Any]:
    # What the audit found, and over how many portions, was kept in sentences alone.
    audit = dict(dataset.get("audit") or {})
    problems = [f"Data audit: {text}" for text in audit.get("problems") or []]
    if portions := re.search(r"over (\d+) equal", audit.get("near_definition") or ""):
        audit["near_portions"] = int(portions[1])
    return {**dataset, "audit": audit or None, "notes": [*problems, *(dataset.get("notes") or [])]}


def _trial(trial: dict[str, Any]) -> dict[str, Any]:
    test = trial["test"] and {**trial["test"], "encoding_spread": trial["test"].get("draws")}
    controls = dict(trial.get("controls") or {})
    reasons = controls.pop("reasons", {})
    changes = {
        "test": test,
        "weight_shapes": trial.get("weights"),
        "family": "ann" if trial["contender"] == "dense-relu" else trial["family"],
        "operations": _renamed(trial.get("operations")),
        "energy": _renamed(trial.get("energy")),
        "controls": {name: _control(name, found) for name, found in controls.items() if found},
        "controls_left_out": reasons,
    }
    optional = {name: trial.get(name) or {} for name in ("failed_measures",)}
    return {**trial, **optional, **changes}


def _control(name: str, found: dict[str, Any]) -> dict[str, Any]:
    costs = {key: _renamed(found.get(key)) for key in ("operations", "energy")}
    return {**found, **costs, **_described(name)}


def _described(name: str) -> dict[str, Any]:
    title, meaning, spikes = CONTROLS[name]
    return {"title": title, "meaning": meaning, "spikes": spikes}


def _controlled(found: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for row in found["rows"]:
        difference = {**row, "reservation": None} if row.get("conclusion") else None
        kept = {name: row.get(name) for name in ("accuracy", "bits", "spread", "reason")}
        rows.append({"control": row["b"], **_described(row["b"]), **kept, "found": difference})
    return {**found, "rows": rows}


def _renamed(value: Any) -> Any:
    """Counts and energies under their present names."""
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"as_written", "cached"}:
        return {"per_step": _renamed(value["as_written"]), "hoisted": _renamed(value["cached"])}
    if value.keys() == {"total", "per_step"}:
        return {"total": value["total"], "by_step": value["per_step"]}
    return {name: _renamed(each) for name, each in value.items()}
