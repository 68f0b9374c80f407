"""The program, with its commands on data sets and settings."""

import atexit
import os
import sys
import threading
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

import spikeduel as sd
from spikeduel.cli import (
    comparison_commands as duels,
    model_commands as models,
)
from spikeduel.cli.inputs import (
    OUTPUT,
    CommandInput,
    command,
    option,
    print_bullets,
    print_json,
    settings_rows,
    wrapped,
)
from spikeduel.experiment.fields import setting_of
from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.system import __version__

app = typer.Typer(
    name="spikeduel",
    help="""Should I use a spiking neural network or a CNN for my images?

    **spikeduel compare** trains both on a small data set that comes with the package, in a minute
    or two on two idle cores, and writes a report. **spikeduel compare my_images/** does the same on
    your own folder of images, one sub-folder a class.""",
    epilog="Data sets, runs and models stay on this machine. Start with: spikeduel compare",
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
DATASET = setting_of(Experiment.__dataclass_fields__["dataset"].type).help
data_app = typer.Typer(help="Look at and prepare data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spikeduel {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@command(
    options=("experiment_file", "limit", "group_by", "out", "as_json", "quiet"),
    works_on=("preparing", "splitting"),
    examples=(
        "spikeduel audit my_images/ --out audit/",
        "spikeduel audit fashion-mnist --json",
    ),
    when_stopped="Nothing is kept.",
)
def audit(
    inputs: CommandInput,
    dataset: Annotated[str, option("DATASET", DATASET)],
    out: Annotated[
        Path | None,
        option(
            "--out DIR",
            "Write audit.html with the pairs of pictures side by side, audit.json with the pairs' "
            "files, and groups.csv where recordings were cut from one another, to this folder.",
            OUTPUT,
        ),
    ] = None,
) -> None:
    """Check whether a result on this data can be trusted: leaks, duplicates, labels, broken files.

    Looks for exact, near-, geometric and photometric duplicates within and across the splits,
    labels that look wrong, groups that the split cuts, unreadable files, and formats that reveal
    the class; and measures the accuracy of an untrained nearest neighbour, with and without
    near-duplicates in training.
    Of recordings also: parts cut from one another, and whether length, event rate or hot pixels
    tell class or split. Exits with 1 if it finds what would invalidate a result.
    """
    from spikeduel.auditing import audit_sentences as words
    from spikeduel.data.audited import audited as audit
    from spikeduel.sentences.columns import render
    from spikeduel.system import files

    if out is not None:
        files.require_writable(out)
    audited, prepared = audit(inputs.experiment(dataset), progress=inputs.progress())
    page = None
    if out is not None:
        from spikeduel.reporting import audit_page

        page = audit_page(audited, prepared, out)
    if not inputs.printed_json(words.document(audited)):
        typer.echo(render(words.rows(audited)))
        if audited.statistics:
            typer.echo(f"\n{render(words.medians(audited.statistics))}")
        print_bullets(
            [*words.problems(audited), *words.examples(audited)],
            "\nProblems, which invalidate a result",
        )
        print_bullets(words.notes(audited), "\nWorth knowing")
        if text := words.all_clear(audited):
            typer.echo(f"\n{text}")
        typer.echo(f"\n{wrapped(words.not_all(audited))}")
        if page is not None:
            typer.echo(f"\nreport: {page}")
    if not audited.ok:
        raise typer.Exit(1)


@command(options=("as_json",), name="list")
def data_list(inputs: CommandInput) -> None:
    """List the known data sets, and which of them are prepared on this machine."""
    from spikeduel.sentences.columns import render

    rows = sd.data.listing()
    if inputs.printed_json(rows):
        return
    typer.echo(render([{key: str(value) for key, value in row.items()} for row in rows]))
    typer.echo("\nYour own: a folder with one sub-folder a class, or a CSV of file and label.")


@command(
    options=("quiet",),
    name="prepare",
    works_on=("preparing",),
    when_stopped="What was prepared and downloaded is kept; the same command goes on.",
)
def data_prepare(inputs: CommandInput, dataset: Annotated[str, option("DATASET", DATASET)]) -> None:
    """Download and decode a data set now, so that later commands start at once."""
    progress = inputs.progress()
    prepared = sd.data.load(inputs.experiment(dataset), progress.track, say=progress.say)
    channels, height, width = prepared.image_shape
    what = f"images of {height}×{width}, {channels} channel{'s' if channels > 1 else ''}"
    if prepared.preprocessing.binning:
        what = f"recordings of {height}×{width}"
    typer.echo(
        f"{prepared.name}: {len(prepared):,} {what}, {len(prepared.classes)} classes, ready."
    )


@command()
def settings(inputs: CommandInput) -> None:
    """List all settings with their defaults, meanings and values.

    --name value sets one, in every command on data or models.
    """
    for row in settings_rows():
        typer.echo(f"{row['setting']} = {row['default']}")
        typer.echo(wrapped(f"{row['meaning']} Values: {row['values']}.", "    "))


@command()
def schema(inputs: CommandInput) -> None:
    """Print the JSON Schema of results.json (draft 2020-12), for tools that read or check it."""
    from spikeduel.results.run import json_schema

    print_json(json_schema())


app.registered_commands += [
    duels.compare,
    models.models,
    *chain.from_iterable(providing("commands").values()),
    *(
        audit,
        duels.report,
        settings,
        schema,
    ),
]
data_app.registered_commands += [data_list, data_prepare]


def main() -> None:
    app(prog_name="spikeduel")


def program() -> None:
    """Run `main` and end the process: Python would take up to two seconds to free all that torch
    and Numba hold.
    """
    try:
        main()
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.main_thread():
                thread.join()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(end.code or 0)
