"""A finished comparison: read from a run's folder, also one of an earlier version, asked, and
written down.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from spikeduel.results.answer import Answer, answer
from spikeduel.results.causes import claims, without_unlearned
from spikeduel.results.caveats import is_leak
from spikeduel.results.concluding import find_caveats, overturned_by
from spikeduel.results.controlled import ControlRow
from spikeduel.results.predictions import remedied
from spikeduel.results.run import SCHEMA, Conclusions, Results
from spikeduel.results.significance import reservation
from spikeduel.results.words import audit, caveats, notebook
from spikeduel.results.words.answer import LEGEND, headline, rows
from spikeduel.results.words.controls import of_controls, on_time
from spikeduel.results.words.nouns import said_of
from spikeduel.results.words.tables import SCORES, contender_rows, render, score, spread_note
from spikeduel.results.words.verdict import verdict
from spikeduel.settings import Experiment
from spikeduel.settings.reading import RENAMED, of_earlier, read_experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, MissingExtra, unknown, visible
from spikeduel.system.sentences import listed

if TYPE_CHECKING:
    import pandas

DUELS = "duels"
"""The folder of the runs of a study's duels, in that of the study."""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: `results` is the content of results.json, `out` the run's folder."""

    experiment: Experiment
    results: Results
    out: Path

    def __repr__(self) -> str:
        contenders, name = listed(self.results.contenders), self.results.dataset.name
        return f"{visible(f'<Comparison of {contenders} on {name}, in {self.out}>')}\n{visible(self.headline())}"

    def _repr_html_(self) -> str:
        """What notebooks show: the answer, its table, and a chart."""
        table = rows(self.results)
        parts = (table, LEGEND if len(table) > 1 else "", notebook.chart(self.results))
        return notebook.page(
            self.headline(), *parts, *self.leaks(), f"Full report: {self.out / 'report.html'}"
        )

    @property
    def failed(self) -> bool:
        """Whether a trial, or a measure of one, failed."""
        return any(
            trial.status == "failed" or trial.failed_measures for trial in self.results.trials
        )

    def table(self) -> str:
        """The contenders as text: accuracy, precision, recall, F1, seconds an epoch; mean ± sd over
        all trials.
        """
        table, note = render(contender_rows(self.results)), spread_note(self.results.trials)
        return f"{table}\n{note}" if note else table

    def answer(self) -> Answer:
        """Whom to take, who leads in what and how surely, and what would settle it."""
        return answer(self.results)

    def headline(self) -> str:
        """The answer in one or two sentences."""
        return self.said(headline(self.results))

    def verdict(self) -> str:
        """The conclusion in sentences."""
        return self.said(verdict(self.results))

    def caveats(self) -> list[str]:
        """What a careful reader objects, a sentence each."""
        audited = self.results.dataset.audit
        return [
            self.said(caveats.sentence(caveat, audited))
            for caveat in self.results.comparison.caveats
        ]

    def said(self, text: str) -> str:
        """`text` on images, said of what this comparison is about."""
        return said_of(text, self.results.dataset.noun)

    def leaks(self) -> list[str]:
        """Those of the caveats that have to be read before any score: test images that leak into
        training.
        """
        both = zip(self.results.comparison.caveats, self.caveats(), strict=True)
        return [text for caveat, text in both if is_leak(caveat)]

    def controls(self) -> list[str]:
        """What the controls showed, a text for each spiking contender."""
        return [
            " ".join(of_controls(self.results, each)) for each in self.results.comparison.controls
        ]

    def document(self) -> dict[str, Any]:
        """results.json: the data, and the sentences made of it."""
        content = typed.plain(self.results)
        content["comparison"]["verdict"] = self.verdict()
        content["comparison"]["answer"] = {"text": self.headline(), **typed.plain(self.answer())}
        if self.results.dataset.audit:
            content["dataset"]["audit"] = audit.document(self.results.dataset.audit)
        for name, texts in (("caveats", self.caveats()), ("controls", self.controls())):
            for found, text in zip(content["comparison"][name], texts, strict=True):
                found["text"] = text
        if found := content["comparison"]["without_time"]:
            found["text"] = on_time(self.results)
        for found, each in zip(
            content["comparison"]["controls"], self.results.comparison.controls, strict=True
        ):
            found["claims"] = claims(each)
        return content

    def best(self, name: str) -> Path:
        """The model file of contender or family `name` with the best validation accuracy. Raises
        `InputError`.
        """
        trials = [t for t in self.results.trials if name in (t.contender, t.family)]
        done = {
            t.model: t.validation.accuracy
            for t in trials
            if t.model and t.validation and t.status == "done"
        }
        if done:
            return self.out / max(done, key=done.__getitem__)
        if trials:
            raise InputError(f"no trial of {name} was finished, so there is no model of it.")
        raise unknown(
            "contender",
            name,
            {each for t in self.results.trials for each in (t.contender, t.family)},
        )

    def trials_frame(self) -> "pandas.DataFrame":
        """A row for each trial: what was trained, and every number that was measured. Needs
        pandas.
        """
        no_column = (
            "history",
            "epoch_seconds",
            "operations",
            "energy",
            "controls",
            "weight_shapes",
            "foreign",
        )
        trials = [typed.plain(trial) for trial in self.results.trials]
        rows = [
            {name: value for name, value in trial.items() if name not in no_column}
            for trial in trials
        ]
        frame = _pandas().json_normalize(rows, sep=".")
        # What only some trials have stands in columns of its own, and beside them as an empty one.
        return frame.drop(columns={name.rpartition(".")[0] for name in frame} & set(frame))

    def pairs_frame(self) -> "pandas.DataFrame":
        """A row for each pair of contenders: the difference, its intervals and what may be
        concluded. Needs pandas.
        """
        return _pandas().DataFrame([typed.plain(pair) for pair in self.results.comparison.pairs])

    def to_latex(self) -> str:
        """The contenders as a LaTeX table (booktabs): scores in per cent, mean ± standard
        deviation.
        """
        rows = [["model", *(rf"{title} (\%)" for title in SCORES.values())]]
        for name in self.results.contenders:
            escaped = "".join(rf"\{c}" if c in "&%$#_{}" else c for c in name)
            rows.append(
                [escaped, *(str(score(self.results.of(name), each) or "failed") for each in SCORES)]
            )
        header, *body = (" & ".join(row) + r" \\" for row in rows)
        start, end = r"\begin{tabular}{l" + "r" * len(SCORES) + "}", r"\end{tabular}"
        note = spread_note(self.results.trials)
        lines = [
            start,
            r"\toprule",
            header,
            r"\midrule",
            *body,
            r"\bottomrule",
            end,
            *([f"% {note}"] if note else []),
        ]
        return "\n".join(lines).replace("±", r"$\pm$")


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError:
        raise MissingExtra("pandas", "pandas") from None
    return pandas


def runs_in(folder: Path, file: str = "results.json") -> list[Path]:
    """The folders that have this file of a run: those in `folder`, and those of the duels of a
    study there.
    """
    places = ("*", f"{DUELS}/*", f"*/{DUELS}/*")
    return sorted(path.parent for place in places for path in folder.glob(f"{place}/{file}"))


def load_run(run: Path | str) -> Comparison:
    """The comparison in a run's folder, also of earlier versions. Raises `InputError` where it is
    not one.
    """
    run = Path(run)
    path = run / "results.json"
    if not path.is_file():
        there = "no run here (no results.json)" if run.is_dir() else "no run here (no such folder)"
        raise InputError(f"{run}: {there}. `spikeduel runs` lists the runs at hand.")
    with remedied(run):
        content = files.read_json(path)
        if not isinstance(content, dict) or content.get("schema") not in (1, SCHEMA):
            raise InputError(
                f"{path}: not results that this version of spikeduel reads (schema 1 or {SCHEMA})."
            )
        try:
            if isinstance(given := content.get("experiment"), dict):
                content["experiment"] = of_earlier(given)
            results = (
                typed.converted(content, Results)
                if content["schema"] == SCHEMA
                else _of_schema_1(content)
            )
        except InputError as error:
            raise InputError(f"{path}: damaged, or not results of spikeduel: {error}") from None
    return Comparison(read_experiment(run / "experiment.toml"), results, run)


# ---- results of schema 1, which had other names, and kept conclusions as sentences alone

OLD_CONTROLS = {
    name: {"title": title, "meaning": meaning, "spikes": spikes}
    for name, title, meaning, spikes in (
        ("relu_twin", "ReLU twin", "the same network with ReLU", False),
        ("quantised_twin", "quantised twin", "the ReLU twin with few activation levels", False),
        ("one_step", "one time step", "the same neurons with T = 1", True),
        ("shuffled", "shuffled in time", "the trained network, its spikes in random order", True),
        (
            "nearest_neighbour",
            "nearest neighbour",
            "the label of the nearest training image",
            False,
        ),
    )
}


def _of_schema_1(content: dict[str, Any]) -> Results:
    """Results of schema 1, with their conclusions as data. Raises `InputError` where they are
    damaged.
    """
    try:
        content = _upgraded(content)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"schema 1 that cannot be read ({type(error).__name__}: {error})."
        ) from None
    results = typed.converted(content, Results)
    pairs = [
        structs.replace(pair, reservation=reservation(pair)) for pair in results.comparison.pairs
    ]
    found = Conclusions(
        pairs=pairs,
        controls=[
            without_unlearned(
                structs.replace(each, rows=list(map(_reserved, each.rows))), results.trials
            )
            for each in results.comparison.controls
        ],
        caveats=find_caveats(results.experiment, results.dataset, results.trials, results.tuning),
        overturned_by=overturned_by(results.dataset, pairs, tuned=results.tuning is not None),
    )
    return structs.replace(results, comparison=found)


def _reserved(row: ControlRow) -> ControlRow:
    return structs.replace(
        row, found=row.found and structs.replace(row.found, reservation=reservation(row.found))
    )


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a results.json of schema 1 as schema 2 has it, conclusions left out."""
    content = _renamed(content)
    dataset, comparison = content["dataset"], content.get("comparison") or {}
    # What the audit found, and over how many portions, was kept in sentences alone.
    audit = dict(dataset.get("audit") or {})
    problems = [f"Data audit: {text}" for text in audit.get("problems") or []]
    if portions := re.search(r"over (\d+) equal", audit.get("near_definition") or ""):
        audit["near_portions"] = int(portions[1])
    pairs, controls = comparison.get("pairs") or [], comparison.get("controls") or []
    return {
        **content,
        "schema": 2,
        "experiment": {
            RENAMED.get(name, name): value for name, value in content["experiment"].items()
        },
        "dataset": {
            **dataset,
            "audit": audit or None,
            "notes": [*problems, *(dataset.get("notes") or [])],
        },
        "trials": [_trial(trial) for trial in content["trials"]],
        "comparison": {
            "pairs": [
                {**pair, "reservation": None}
                for pair in pairs
                if pair.get("seeds") and pair.get("ci95")
            ],
            "controls": [
                {**found, "rows": [_row(row) for row in found["rows"]]} for found in controls
            ],
        },
    }


def _trial(trial: dict[str, Any]) -> dict[str, Any]:
    controls = dict(trial.get("controls") or {})
    reasons = controls.pop("reasons", {})
    return {
        **trial,
        "test": trial["test"] and {**trial["test"], "encoding_spread": trial["test"].get("draws")},
        "weight_shapes": trial.get("weights"),
        "family": "ann" if trial["contender"] == "dense-relu" else trial["family"],
        "failed_measures": trial.get("failed_measures") or {},
        "controls": {
            name: {**found, **OLD_CONTROLS[name]} for name, found in controls.items() if found
        },
        "controls_left_out": reasons,
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    found = {**row, "reservation": None} if row.get("conclusion") else None
    kept = {name: row.get(name) for name in ("accuracy", "bits", "spread", "reason")}
    return {"control": row["b"], **OLD_CONTROLS[row["b"]], **kept, "found": found}


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
