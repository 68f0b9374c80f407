"""A finished comparison: read from a run's folder, asked, and written down."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from spikeduel.results.concluding import find_caveats, overturned_by
from spikeduel.results.older import upgraded
from spikeduel.results.run import SCHEMA, Conclusions, ControlRow, Results
from spikeduel.results.significance import reservation
from spikeduel.results.words import audit, caveats
from spikeduel.results.words.tables import SCORES, contender_rows, render, score, spread_note
from spikeduel.results.words.verdict import of_controls, verdict
from spikeduel.settings import Experiment, read_experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, MissingExtra, unknown

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: `results` is the content of results.json, `out` the run's folder."""

    experiment: Experiment
    results: Results
    out: Path

    @property
    def failed(self) -> bool:
        """Whether a trial, or a measure of one, failed."""
        return any(trial.status == "failed" or trial.failed_measures for trial in self.results.trials)

    def table(self) -> str:
        """The contenders as text: accuracy, precision, recall, F1, seconds an epoch; mean ± sd over all trials."""
        table, note = render(contender_rows(self.results)), spread_note(self.results.trials)
        return f"{table}\n{note}" if note else table

    def verdict(self) -> str:
        """The conclusion in sentences."""
        return verdict(self.results)

    def caveats(self) -> list[str]:
        """What a careful reader objects, a sentence each."""
        audited = self.results.dataset.audit
        return [caveats.sentence(caveat, audited) for caveat in self.results.comparison.caveats]

    def controls(self) -> list[str]:
        """What the controls showed, a text for each spiking contender."""
        return [" ".join(of_controls(each)) for each in self.results.comparison.controls]

    def document(self) -> dict[str, Any]:
        """results.json: the data, and the sentences made of it."""
        content = typed.plain(self.results)
        content["comparison"]["verdict"] = self.verdict()
        if self.results.dataset.audit:
            content["dataset"]["audit"] = audit.document(self.results.dataset.audit)
        for found, text in zip(content["comparison"]["caveats"], self.caveats(), strict=True):
            found["text"] = text
        for found, text in zip(content["comparison"]["controls"], self.controls(), strict=True):
            found["text"] = text
        return content

    def best(self, name: str) -> Path:
        """The model file of contender or family `name` with the best validation accuracy. Raises `InputError`."""
        trials = [t for t in self.results.trials if name in (t.contender, t.family)]
        done = {t.model: t.validation.accuracy for t in trials if t.model and t.validation and t.status == "done"}
        if done:
            return self.out / max(done, key=done.__getitem__)
        if trials:
            raise InputError(f"no trial of {name} was finished, so there is no model of it.")
        raise unknown("contender", name, {each for t in self.results.trials for each in (t.contender, t.family)})

    def trials_frame(self) -> "pandas.DataFrame":
        """A row for each trial: what was trained, and every number that was measured. Needs pandas."""
        rows = []
        for trial in self.results.trials:
            content = typed.plain(trial)
            for name in ("history", "epoch_seconds", "operations", "energy", "controls", "weight_shapes", "foreign"):
                del content[name]
            rows.append(content)
        return _pandas().json_normalize(rows, sep=".")

    def pairs_frame(self) -> "pandas.DataFrame":
        """A row for each pair of contenders: the difference, its intervals and what may be concluded. Needs pandas."""
        return _pandas().DataFrame([typed.plain(pair) for pair in self.results.comparison.pairs])

    def to_latex(self) -> str:
        """The contenders as a LaTeX table (booktabs): scores in per cent, mean ± standard deviation."""
        columns = ["model", *SCORES.values()]
        lines = [
            r"\begin{tabular}{l" + "r" * len(SCORES) + "}",
            r"\toprule",
            " & ".join([columns[0], *(rf"{title} (\%)" for title in columns[1:])]) + r" \\",
            r"\midrule",
        ]
        for name in self.results.contenders:
            cells = [str(score(self.results.of(name), each) or "failed").replace("±", r"$\pm$") for each in SCORES]
            lines.append(" & ".join([_escaped(name), *cells]) + r" \\")
        note = spread_note(self.results.trials).replace("±", r"$\pm$")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *([f"% {note}"] if note else [])])


def _escaped(text: str) -> str:
    return "".join(rf"\{c}" if c in "&%$#_{}" else c for c in text)


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError:
        raise MissingExtra("pandas", "pandas") from None
    return pandas


def load_run(run: Path | str) -> Comparison:
    """The comparison in a run's folder, also of earlier versions. Raises `InputError` where it is not one."""
    run = Path(run)
    path = run / "results.json"
    if not path.is_file():
        there = "no run here (no results.json)" if run.is_dir() else "no run here (no such folder)"
        raise InputError(f"{run}: {there}. `spikeduel runs` lists the runs at hand.")
    content = files.read_json(path)
    if not isinstance(content, dict) or content.get("schema") not in (1, SCHEMA):
        raise InputError(f"{path}: not results that this version of spikeduel reads (schema 1 or {SCHEMA}).")
    try:
        results = typed.converted(upgraded(content), Results)
    except InputError as error:
        raise InputError(f"{path}: damaged, or not results of spikeduel: {error}") from None
    if content["schema"] != SCHEMA:
        results = _concluded(results)
    return Comparison(read_experiment(run / "experiment.toml"), results, run)


def _concluded(results: Results) -> Results:
    """Results of an earlier version, which kept the sentences alone, with their conclusions as data."""
    pairs = [structs.replace(pair, reservation=reservation(pair)) for pair in results.comparison.pairs]
    found = Conclusions(
        pairs=pairs,
        controls=[structs.replace(each, rows=list(map(_reserved, each.rows))) for each in results.comparison.controls],
        caveats=find_caveats(results.experiment, results.dataset, results.trials, results.tuning),
        overturned_by=overturned_by(results.dataset, pairs, tuned=results.tuning is not None),
    )
    return structs.replace(results, comparison=found)


def _reserved(row: ControlRow) -> ControlRow:
    return structs.replace(row, found=row.found and structs.replace(row.found, reservation=reservation(row.found)))


def list_runs(folder: Path, say: Callable[[str], object] = lambda text: None) -> list[dict[str, Any]]:
    """The runs in `folder`, newest first: run, created, dataset, encoding, accuracies by contender, models.

    `say` hears of those that cannot be read.
    """
    found = []
    for path in Path(folder).glob("*/results.json"):
        try:
            results = load_run(path.parent).results
        except InputError as error:
            say(f"left out: {error}")
            continue
        accuracies: dict[str, list[float]] = {}
        for trial in results.trials:
            if trial.test:
                accuracies.setdefault(trial.contender, []).append(trial.test.accuracy)
        found.append(
            {
                "run": str(path.parent),
                "created": results.created,
                "dataset": results.dataset.name,
                "encoding": results.experiment.encoding,
                "seeds": results.experiment.seeds,
                "epochs": max(trial.epochs for trial in results.trials),
                "accuracy": accuracies,
                "models": [str(path.parent / trial.model) for trial in results.trials if trial.model],
            }
        )
    return sorted(found, key=lambda run: run["created"], reverse=True)
