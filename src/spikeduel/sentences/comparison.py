"""A finished comparison."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs

from spikeduel.auditing import audit_sentences as audit
from spikeduel.experiment.settings import Experiment, as_written, read_experiment
from spikeduel.results.findings import caveat, is_leak
from spikeduel.results.predictions import RUNS_LIE, remedied
from spikeduel.results.run import SCHEMA, Results
from spikeduel.sentences.columns import (
    CONTENDER,
    contender_columns,
    contender_rows,
    render,
    score_columns,
    spread_note,
    text_rows,
    to_latex,
)
from spikeduel.sentences.recommendation_sentences import LEGEND, headline, rows
from spikeduel.sentences.verdict import verdict
from spikeduel.system import typed
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.notebook import page
from spikeduel.system.numbers import with_noun
from spikeduel.system.sentences import listed


@dataclass(frozen=True)
class Comparison:
    """Outcome of `compare`. `print` shows the recommendation.

    Parameters
    ----------
    experiment : Experiment
        What was compared.
    results : Results
        Content of results.json.
    out : Path
        Folder of the run.

    Examples
    --------
    >>> import spikeduel as sd
    >>> comparison = sd.load_run("runs/digits")
    >>> comparison.results.contenders
    ['vgg-lif', 'vgg-relu', 'resnet-silu']
    """

    experiment: Experiment
    results: Results
    out: Path

    def __repr__(self) -> str:
        contenders, name = listed(self.results.contenders), self.results.dataset.name
        title = f"<Comparison of {contenders} on {name}, in {self.out}>"
        return f"{visible(title)}\n{visible(self.headline())}"

    def _repr_html_(self) -> str:
        """Return the recommendation and its table as HTML."""
        table = rows(self.results)
        parts = (table, LEGEND if len(table) > 1 else "")
        return page(
            self.headline(), *parts, *self.leaks(), f"Full report: {self.out / 'report.html'}"
        )

    @property
    def failed(self) -> bool:
        """True if a trial or measure failed."""
        return any(
            trial.status == "failed" or trial.failed_measures for trial in self.results.trials
        )

    def table(self) -> str:
        """Return scores and seconds of a training as text, mean ± standard deviation."""
        rows = text_rows(contender_columns(self.results), contender_rows(self.results))
        note = spread_note(self.results.trials)
        return f"{render(rows)}\n{note}" if note else render(rows)

    def headline(self) -> str:
        """Return the recommendation in one or two sentences."""
        return self.with_noun(headline(self.results))

    def verdict(self) -> str:
        """Return the conclusion in sentences."""
        return self.with_noun(verdict(self.results))

    def caveats(self) -> list[str]:
        """Return a sentence for each caveat."""
        noun = self.results.dataset.noun
        return [caveat(finding, noun) for finding in self.results.comparison.caveats]

    def with_noun(self, text: str) -> str:
        """Return `text` with the noun of this comparison's data."""
        return with_noun(text, self.results.dataset.noun)

    def leaks(self) -> list[str]:
        """Return the caveats that test images leak into training."""
        both = zip(self.results.comparison.caveats, self.caveats(), strict=True)
        return [text for finding, text in both if is_leak(finding)]

    def summaries(self) -> dict[str, str]:
        """Return the conclusions of features in sentences, by feature."""
        concluded = self.results.features.items()
        return {name: text for name, entry in concluded if (text := getattr(entry, "text", ""))}

    def document(self) -> dict[str, Any]:
        """Return results.json with its sentences."""
        content = typed.plain(self.worded())
        content["experiment"] = typed.plain(as_written(self.results.experiment))
        if content["dataset"]["audit"]:
            del content["dataset"]["audit"]["details"]
        return content

    def worded(self) -> Results:
        """Return the results with every `text` filled in."""
        conclusions = self.results.comparison
        caveat_texts = [
            structs.replace(finding, text=text)
            for finding, text in zip(conclusions.caveats, self.caveats(), strict=True)
        ]
        conclusions = structs.replace(
            conclusions,
            caveats=caveat_texts,
            recommendation=structs.replace(conclusions.recommendation, text=self.headline()),
        )
        dataset = self.results.dataset
        if dataset.audit:
            dataset = structs.replace(dataset, audit=audit.worded(dataset.audit))
        return structs.replace(self.results, dataset=dataset, comparison=conclusions)

    def best(self, name: str) -> Path:
        """Return the model file of contender or kind `name` that is best on validation. Raises
        `InputError`.
        """
        names = {part for trial in self.results.trials for part in (trial.contender, trial.kind)}
        if name not in names:
            raise unknown("contender", name, names)
        done = {
            trial.model: trial.validation.accuracy
            for trial in self.results.trials
            if name in (trial.contender, trial.kind)
            and trial.model
            and trial.validation
            and trial.status == "done"
        }
        if done:
            return self.out / max(done, key=done.__getitem__)
        raise InputError(f"no trial of {name} was finished, so there is no model of it.")

    def to_latex(self) -> str:
        """Return the scores in per cent as a LaTeX table (booktabs)."""
        rows = contender_rows(self.results)
        columns = [CONTENDER, *score_columns(self.results)]
        return to_latex(columns, rows, spread_note(self.results.trials))


RUNS_DEPTH = 3
"""Levels of folders: what several runs were made for, its folder of runs, the run."""


def runs_in(folder: Path, file: str = "results.json") -> list[Path]:
    """Return the folders with `file`, at most `RUNS_DEPTH` levels below `folder`."""
    depths = range(1, RUNS_DEPTH + 1)
    return sorted(path.parent for depth in depths for path in folder.glob(f"{depth * '*/'}{file}"))


def load_run(run: Path | str) -> Comparison:
    """Read the comparison of a run.

    Parameters
    ----------
    run : Path or str
        Folder of the run.

    Returns
    -------
    Comparison
        Its results.

    Raises
    ------
    InputError
        If the folder has no complete run.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.load_run("runs/digits").results.dataset.name
    'digits'
    """
    run = Path(run)
    path = run / "results.json"
    if not path.is_file():
        there = "no run here (no results.json)" if run.is_dir() else "no run here (no such folder)"
        raise InputError(f"{run}: {there}. {RUNS_LIE}")
    with remedied(run):
        content = typed.read_json(path, dict)
        version = content.get("schema")
        if version != SCHEMA:
            raise InputError(
                f"{path}: results of schema {version}, and this version reads {SCHEMA}."
                if version
                else f"{path}: not results of spikeduel."
            )
        try:
            results = typed.converted(content, Results)
        except InputError as error:
            raise InputError(f"{path}: damaged, or not results of spikeduel: {error}") from None
    return Comparison(read_experiment(run / "experiment.toml"), results, run)
