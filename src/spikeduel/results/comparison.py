"""A finished comparison: read from a run's folder, and asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikeduel.results.schema import require_results
from spikeduel.results.words.tables import render, spread_note, table_rows
from spikeduel.settings import Experiment, read_experiment
from spikeduel.system import files
from spikeduel.system.errors import InputError, unknown

SCHEMA = 1
"""Version of results.json. Keys are added freely; renaming or removing one raises this."""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. `results` is the content of results.json; `out` the run's folder."""

    experiment: Experiment
    results: dict[str, Any]
    out: Path

    @property
    def failed(self) -> bool:
        """Whether a trial, or a measure of one, failed."""
        return any(t["status"] == "failed" or t.get("failed_measures") for t in self.results["trials"])

    def table(self) -> str:
        """The study's table as text: accuracy, precision, recall, F1, seconds an epoch; mean ± sd over all trials."""
        table, note = render(table_rows(self.results["trials"])), spread_note(self.results["trials"])
        return f"{table}\n{note}" if note else table

    def best(self, name: str) -> Path:
        """The model file of contender or family `name` with the best validation accuracy. Raises `InputError`."""
        trials = [t for t in self.results["trials"] if t["status"] == "done" and name in (t["contender"], t["family"])]
        if not trials:
            known = {t[key] for t in self.results["trials"] for key in ("contender", "family")}
            if name in known:
                raise InputError(f"no trial of {name} was finished, so there is no model of it.")
            raise unknown("contender", name, known)
        best = max(trials, key=lambda t: t["validation"]["accuracy"])
        return self.out / best["model"]


def load_run(run: Path) -> Comparison:
    """The comparison in a run's folder. Raises `InputError` where it is not one."""
    run = Path(run)
    if not (run / "results.json").is_file():
        there = "no run here (no results.json)" if run.is_dir() else "no run here (no such folder)"
        raise InputError(f"{run}: {there}. `spikeduel runs` lists the runs at hand.")
    results = files.read_json(run / "results.json")
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        raise InputError(f"{run / 'results.json'}: not results of this version of spikeduel (schema {SCHEMA}).")
    try:
        require_results(results)
    except InputError as error:
        raise InputError(f"{run / 'results.json'}: damaged, or not results of spikeduel: {error}") from None
    return Comparison(read_experiment(run / "experiment.toml"), results, run)


def list_runs(folder: Path) -> list[dict[str, Any]]:
    """The runs in `folder`, newest first: run, created, dataset, encoding, accuracies by contender, models."""
    found = []
    for path in Path(folder).glob("*/results.json"):
        try:
            comparison = load_run(path.parent)
        except InputError:
            continue
        results = comparison.results
        accuracies: dict[str, list[float]] = {}
        for trial in results["trials"]:
            if trial["test"]:
                accuracies.setdefault(trial["contender"], []).append(trial["test"]["accuracy"])
        found.append(
            {
                "run": str(path.parent),
                "created": results["created"],
                "dataset": results["dataset"]["name"],
                "encoding": results["experiment"]["encoding"],
                "seeds": results["experiment"]["seeds"],
                "epochs": max((trial["epochs"] for trial in results["trials"]), default=0),
                "accuracy": accuracies,
                "models": [str(path.parent / trial["model"]) for trial in results["trials"] if trial["model"]],
            }
        )
    return sorted(found, key=lambda run: run["created"], reverse=True)
