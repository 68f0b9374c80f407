"""Results as commands print them."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spikeduel.cli.given import shown
from spikeduel.cli.terminal import wrapped
from spikeduel.settings import Experiment
from spikeduel.settings.fields import described, setting_of

if TYPE_CHECKING:
    from spikeduel.results.audit import Audit
    from spikeduel.results.comparison import Comparison
    from spikeduel.trials.evaluating import Evaluation
    from spikeduel.trials.tuning import Tuning


def comparison(found: "Comparison") -> None:
    """Table, conclusion, costs, caveats and controls of a run, and where its files are."""
    from spikeduel.results.words import costs, report
    from spikeduel.results.words.tables import render

    typer.echo(f"\n{found.table()}\n\n{wrapped(found.verdict())}\n")
    if rows := costs.table_rows(found.results):
        typer.echo(f"{render(rows)}\n{wrapped(costs.LEGEND)}\n\n{wrapped(costs.words(found.results) or '')}\n")
    if robustness := report.robustness(found.results):
        typer.echo(f"{wrapped(robustness)}\n")
    for caveat in found.caveats():
        typer.echo(wrapped(caveat, "  · "))
    for text in found.controls():
        typer.echo(f"\n{wrapped(text)}")
    typer.echo(f"\nreport: {found.out / 'report.html'}\nmodels: {found.out / 'models'}/")


def tuning(tuned: "Tuning", folder: Path) -> None:
    """Every trial, what fewer would have found, and how to compare the best."""
    from spikeduel.results.concluding import tuning_limits
    from spikeduel.results.words.caveats import sentence

    typer.echo(f"\n{tuned.table()}\n")
    for caveat in tuning_limits(tuned.record):
        typer.echo(wrapped(sentence(caveat), "  · "))
    typer.echo(f"\nreport: {folder / 'tuning.html'}")
    typer.echo(f"compare them at their best: spikeduel compare --experiment {folder / 'experiment.toml'}")


def evaluation(test: "Evaluation", model: Path, dataset: str) -> None:
    """The scores of a model, by class, and on corrupted images."""
    from spikeduel.results.words import tables as text_tables

    typer.echo(f"{model} on {test.n:,} images of {dataset}\n")
    typer.echo(text_tables.render(text_tables.class_rows(test)))
    if test.robustness:
        typer.echo(f"\n{text_tables.render(text_tables.robustness_rows(test.robustness))}")


def audit(found: "Audit", page: Path | None) -> None:
    """What the audit of the data found."""
    from spikeduel.results.words import audit as words
    from spikeduel.results.words.tables import render

    parts = [render(words.rows(found))]
    for title, texts in (("Problems, which invalidate a result", found.problems), ("Worth knowing", found.notes)):
        if texts:
            parts.append("\n".join([title, *(wrapped(text, "  · ") for text in texts)]))
    if found.ok:
        parts.append("Nothing was found that would invalidate a result.")
    parts.append(wrapped(words.PIXELS_ARE_NOT_ALL))
    if page is not None:
        parts.append(f"report: {page}")
    typer.echo("\n\n".join(parts))


def runs(found: list[dict[str, Any]], folder: Path) -> None:
    """The runs in a folder, with accuracies and models."""
    from spikeduel.results.words import tables as text_tables

    if found:
        typer.echo(text_tables.render(text_tables.run_rows(found)))
    else:
        typer.echo(f"no runs in {folder}/. Make one: spikeduel compare")


def settings() -> None:
    """Every setting, with its default, its meaning and the values it takes."""
    from spikeduel.results.words.tables import render

    rows = []
    for each in fields(Experiment):
        values = described(each.type).partition(" of at most")[0]
        meaning = setting_of(each.type).meaning
        rows.append({"setting": each.name, "default": shown(each.default), "meaning": meaning, "values": values})
    typer.echo(render(rows))


def data_sets(rows: list[dict[str, Any]]) -> None:
    """The known data sets."""
    from spikeduel.results.words import tables as text_tables

    typer.echo(text_tables.render([{key: str(value) for key, value in row.items()} for row in rows]))
    typer.echo("\nYour own: any folder of images with one sub-folder a class.")
