"""What results.json, a trial's record, its measures and a prepared set's manifest hold: shapes (see `shapes.py`).

Only what is read without asking whether it is there has to be there. Whoever reads a new key adds it here, with "?"
where older files lack it, so that a damaged or foreign file is a clear error in place of a traceback.
"""

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from spikeduel.errors import InputError
from spikeduel.shapes import Maybe, amount, count, is_number, require, share


def numbers(value: Any) -> bool:
    """an object of numbers"""
    return isinstance(value, dict) and all(number is None or is_number(number) for number in value.values())


def positive(value: Any) -> bool:
    """a whole number of at least 1"""
    return count(value) and value > 0


def inner_path(value: Any) -> bool:
    """a path within the run's folder"""
    if not isinstance(value, str) or not value.isprintable():
        return False
    return not any(path.is_absolute() or path.drive or ".." in path.parts for path in _both_kinds(value))


def _both_kinds(text: str) -> tuple[PurePosixPath, PureWindowsPath]:
    return PurePosixPath(text), PureWindowsPath(text)


_BOTH = {"as_written": amount, "cached": amount}
_OVER_TIME = {"total": amount, "per_step": [amount]}
_LAYER = {
    "name": str,
    "kind": {"synapses", "neurons", "arithmetic", "declared"},
    "input": Maybe(str),
    "input_bits": Maybe(count),
    "input_encoded": bool,
    "passes": _BOTH,
    **dict.fromkeys(("inputs", "outputs", "weights", "biases", "macs_a_pass"), amount),
    "macs": {"dense": _BOTH, "effective": _BOTH},
    "acs": _OVER_TIME,
    "events": _OVER_TIME,
    **dict.fromkeys(("bias_additions", "additions", "multiplications", "functions"), _BOTH),
    "neurons": Maybe(amount),
    "spikes": Maybe(_OVER_TIME),
    **dict.fromkeys(
        ("state_variables", "leaks", "integrations", "resets", "membrane_reads", "membrane_writes"), amount
    ),
}
_TOTALS = {
    "macs": {"dense": _BOTH, "effective": _BOTH},
    "acs": _OVER_TIME,
    "spikes_per_neuron_and_step": Maybe(amount),
}
OPERATIONS = {"num_steps": positive, "layers": [_LAYER], "totals": _TOTALS}
_SCORES = {"accuracy": share, "precision": share, "recall": share, "f1": share}
_TEST = {
    "n": count,
    **_SCORES,
    "per_class": [{"class": str, "precision": share, "recall": share, "f1": share, "support": count}],
    "confusion": [[count]],
    "tie_share?": Maybe(share),
}
_DRAWS = {"accuracies?": Maybe([share]), "standard_deviation?": Maybe(amount)}
_LEAVING = {"threshold": Maybe(share), "mean_steps": amount, "accuracy": share, "exit_steps": [count]}
_ANYTIME = {
    "num_steps": Maybe(count),
    "accuracies": Maybe([share]),
    "early_exit": Maybe({**_LEAVING, "curve": [_LEAVING]}),
}
_LATENCY = {
    "machine": {},
    "one_image": Maybe({"median_ms": amount, "p95_ms": Maybe(amount)}),
    "stream_ms": Maybe([amount]),
}
_TRIAL = {
    "contender": str,
    "family": {"snn", "cnn"},
    "seed": count,
    "encoding": Maybe(str),
    "num_steps": Maybe(count),
    "precision?": Maybe(str),
    "foreign?": Maybe({"way": str}),
    "converted_from?": Maybe(str),
    "parameters": Maybe(count),
    "status": {"done", "failed"},
    "error": Maybe(str),
    "epochs": count,
    "best_epoch": Maybe(count),
    "stopped": Maybe(str),
    "epoch_seconds": [amount],
    "history": [numbers],
    "validation": Maybe({"accuracy": share}),
    "test": Maybe({**_TEST, "draws?": Maybe(_DRAWS)}),
    "operations?": Maybe(OPERATIONS),
    "not_counted?": Maybe(str),
    "latency?": Maybe(_LATENCY),
    "anytime?": Maybe(_ANYTIME),
    "model": Maybe(inner_path),
}
_PAIR = {
    "a": str,
    "b": str,
    "measure": str,
    "difference": Maybe(float),
    "n": count,
    "seeds": count,
    "ci95?": Maybe((float, float)),
    "p_value?": Maybe(share),
    "test?": Maybe(str),
    "conclusion?": Maybe({"a_better", "b_better", "equivalent", "inconclusive"}),
}
_RESULTS = {
    "spikeduel": str,
    "created": str,
    "environment": Maybe({}),
    "dataset": {
        "name": str,
        "fingerprint": str,
        "classes": [str],
        "counts": {"train": count, "val": count, "test": count},
        "image_shape?": Maybe((count, count, count)),
        "split": str,
        "groups": Maybe(count),
        "shared_groups?": Maybe(share),
        "notes?": [str],
        "audit?": Maybe({}),
    },
    "experiment": {
        "encoding": str,
        "seeds": count,
        "epochs": count,
        "learning_rate": amount,
        "batch_size": count,
        "patience": count,
        "min_delta": amount,
        "neuron": str,
        "reset_mechanism": str,
    },
    "trials": [_TRIAL],
    "comparison": Maybe({"pairs?": [_PAIR], "verdict?": Maybe(str), "caveats?": [str]}),
}
TRIAL_RECORD = {
    "key": str,
    "settings": {},
    "parameters": count,
    "status": {"done", "failed"},
    "error": Maybe(str),
    "best_epoch": Maybe(count),
    "stopped": Maybe(str),
    "epoch_seconds": [amount],
    "history": [{"val_accuracy": share, "val_loss": float}],
    "environment": {},
}
MANIFEST = {
    "name": str,
    "count": count,
    "image_shape": (count, count, count),
    "classes": [str],
    "arrays": [{"images", "labels", "groups", "official"}],
    "preprocessing": {},
    "fingerprint": str,
    "notes": [str],
    "source": str,
    "sources": [str],
    "sources_state": str,
    "created": str,
}
MEASURES = {
    "quality": {**_TEST, "truth": [count], "predicted": [count]},
    "draws": _DRAWS,
    "operations": {"layers": Maybe([_LAYER]), "totals": Maybe(_TOTALS), "reason": Maybe(str)},
    "anytime": _ANYTIME,
    "latency": _LATENCY,
}


def require_results(results: Any) -> None:
    """Raises `InputError` naming the place in results.json that cannot be used."""
    require(results, _RESULTS)
    if not results["trials"]:
        raise InputError("trials is empty.")
    num_classes = len(results["dataset"]["classes"])
    for index, trial in enumerate(results["trials"]):
        if trial["status"] == "done" and (trial["model"] is None or trial["validation"] is None):
            raise InputError(f"trials[{index}] is done, and has no model or no validation.")
        if trial.get("anytime") and not _over_all_steps(trial):
            raise InputError(f"trials[{index}] says different numbers of time steps in anytime, operations or latency.")
        if trial["test"] is not None:
            sides = [len(trial["test"][name]) for name in ("per_class", "confusion")]
            if {*sides, *map(len, trial["test"]["confusion"])} != {num_classes}:
                raise InputError(f"trials[{index}].test has other classes than the {num_classes} of the data set.")


def _over_all_steps(trial: dict[str, Any]) -> bool:
    """Whether all that goes over time has as many steps as `anytime` says, and somebody leaves at one of them."""
    anytime, latency, operations = (trial.get(name) or {} for name in ("anytime", "latency", "operations"))
    leaving = [anytime["early_exit"], *anytime["early_exit"]["curve"]] if anytime["early_exit"] else []
    lengths: set[Any] = {len(anytime["accuracies"] or []), *(len(each["exit_steps"]) for each in leaving)}
    lengths |= {len(latency["stream_ms"])} if latency.get("stream_ms") else set()
    lengths |= {operations.get("num_steps")} if operations else set()
    return lengths == {anytime["num_steps"]} and all(any(each["exit_steps"]) for each in leaving)
