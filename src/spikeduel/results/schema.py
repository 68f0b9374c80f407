"""What results.json, a trial's record, its measures and a prepared set's manifest hold: shapes (see `shapes.py`).

Only what is read without asking whether it is there has to be there. Whoever reads a new key adds it here, with "?"
where older files lack it, so that a damaged or foreign file is a clear error in place of a traceback.
"""

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from spikeduel.system.errors import InputError
from spikeduel.system.shapes import Maybe, amount, count, is_number, require, share


def numbers(value: Any) -> bool:
    """an object of numbers"""
    return isinstance(value, dict) and all(number is None or is_number(number) for number in value.values())


def positive(value: Any) -> bool:
    """a whole number above 0"""
    return count(value) and value > 0


def all_ranges(value: Any) -> bool:
    """an object of ranges, each of choices or from low to high"""
    return isinstance(value, dict) and all(isinstance(each, dict) and _is_range(each) for each in value.values())


def _is_range(each: dict[str, Any]) -> bool:
    if choices := each.get("choices"):
        return isinstance(choices, list) and all(map(is_number, choices))
    return is_number(each.get("low")) and is_number(each.get("high")) and isinstance(each.get("log"), bool)


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
    "throughput?": Maybe({f"{size}?": Maybe({"images_per_second": amount}) for size in (1, 32, 256)}),
    "start_up?": Maybe({"total_seconds": amount}),
    "peak_memory_bytes?": Maybe({"first_answer": Maybe(count)}),
    "joules_per_image?": Maybe(amount),
    "joules_source?": Maybe(str),
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
    "latency?": Maybe(_LATENCY),
    "anytime?": Maybe(_ANYTIME),
    "operations?": Maybe(OPERATIONS),
    "not_counted?": Maybe(str),
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
    "margin?": Maybe(amount),
    "groups?": Maybe(count),
    "p_value_raw?": Maybe(share),
    "p_permutation?": Maybe(share),
}
TUNING = {
    "schema": count,
    "dataset": {"fingerprint": str, "test": str},
    "experiment": {"epochs": Maybe(count)},
    "num_trials": positive,
    "ranges": all_ranges,
    "contenders": [
        {
            "contender": str,
            "family": {"snn", "cnn"},
            "tuned": [str],
            "trials": [
                {
                    "number": count,
                    "settings": numbers,
                    "status": {"done", "failed"},
                    "error": Maybe(str),
                    "epochs": count,
                    "training_seconds": amount,
                    "validation": Maybe({"accuracy": share}),
                }
            ],
            "best": Maybe(count),
            "expected_best": [
                {"trials": count, "mean": float, "standard_deviation": amount, "low": float, "high": float}
            ],
            "gain_of_last_doubling": float,
        }
    ],
    "per_contender": Maybe({}),
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
        "folds?": Maybe([{"train": count, "val": count, "test": count}]),
        "group_sizes?": Maybe({"largest": count, "median": amount}),
        "groups_tested?": Maybe(count),
        "shared_groups?": Maybe(share),
        "notes?": [str],
        "audit?": Maybe({}),
    },
    "experiment": {
        "encoding": str,
        "seeds": count,
        "epochs": Maybe(count),
        "learning_rate": amount,
        "batch_size": count,
        "patience": Maybe(count),
        "min_delta": amount,
        "neuron": str,
        "reset_mechanism": str,
    },
    "tuning?": Maybe(TUNING),
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
    "classification": {**_TEST, "truth": [count], "predicted": [count]},
    "encoding_spread": _DRAWS,
    "anytime": _ANYTIME,
    "latency": _LATENCY,
    "operations": {"layers": Maybe([_LAYER]), "totals": Maybe(_TOTALS), "reason": Maybe(str)},
}


def require_results(results: Any) -> None:
    """Raises `InputError` naming the place in results.json that cannot be used."""
    require(results, _RESULTS)
    if not results["trials"]:
        raise InputError("trials is empty.")
    for index, pair in enumerate((results["comparison"] or {}).get("pairs") or ()):
        if pair.get("p_value") is not None and None in (pair.get("margin"), pair.get("test")):
            raise InputError(f"comparison.pairs[{index}] has a p-value, and no margin or no test.")
    if results.get("tuning"):
        require_tuning(results["tuning"], "tuning")
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


def require_tuning(tuning: Any, where: str = "") -> None:
    """Raises `InputError` naming the place in tuning.json that cannot be used."""
    require(tuning, TUNING, where)
    for each in tuning["contenders"]:
        numbers = [entry["number"] for entry in each["trials"]]
        if numbers != list(range(tuning["num_trials"])) or len(each["expected_best"]) != tuning["num_trials"]:
            raise InputError(f"{where or 'it'} has not {tuning['num_trials']} trials of {each['contender']} in order.")
        best = each["best"]
        if best is not None and (best >= len(numbers) or each["trials"][best]["validation"] is None):
            raise InputError(f"{where or 'it'} has no such best trial of {each['contender']}.")
