"""The command `study`."""

from pathlib import Path
from typing import Annotated

import typer

from spikeduel.cli.comparison_commands import OF_RUNS, RESULTS, STRICT, WORKERS
from spikeduel.cli.inputs import (
    OUTPUT,
    CommandInput,
    command,
    option,
    print_bullets,
    print_json,
    wrapped,
)


@command(
    options=("strict", *WORKERS, *RESULTS, *OF_RUNS, "own_code"),
    examples=(
        "spikeduel study study.toml --dry-run",
        "spikeduel study study.toml --jobs 8",
    ),
)
def study(
    inputs: CommandInput,
    file: Annotated[
        Path,
        option(
            "FILE.toml",
            "The study.",
        ),
    ],
    dry_run: Annotated[
        bool,
        option(
            "--dry-run",
            "Train nothing: say how many trials there are, how long they take, and how many data "
            "sets they ask for.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        option(
            "--out DIR",
            "The study's folder: study.html, study.json, and the duels' runs. (Default: "
            "runs/study-NAME)",
            OUTPUT,
        ),
    ] = None,
    strict: Annotated[bool, STRICT] = False,
) -> None:
    """Run every duel of a grid (data sets, contenders, any setting), and say what holds over all
    data sets.

    FILE.toml has the values of the [grid], the [settings] that all duels share, and what to
    [[exclude]]. For example:

    ```toml
    name = "encodings"
    [grid]
    dataset = ["digits", "my_images/"]
    encoding = ["direct", "rate"]
    [settings]
    contenders = ["vgg-lif", "vgg-relu"]
    ```

    Every name is checked and all data are looked at before anything is trained. What the store has
    is not trained again: the same command continues where it stopped. Writes a report above the
    duels, and one for each.
    """
    from spikeduel.features.study import study_files, study_plan, study_sentences, studying
    from spikeduel.sentences.columns import render

    planned = study_files.read_study(file)
    inputs.require_trusted(planned.own_code, file)
    with inputs.workers() as workers:
        if dry_run:
            progress = inputs.progress(on_stderr=True)
            outlook = studying.plan(planned, inputs.store, progress, workers, strict)
            if not inputs.printed_json(outlook):
                typer.echo(f"\n{render(study_plan.rows(outlook), gap=2)}\n")
                print_bullets(study_plan.sentences(outlook))
            return
        results, page = studying.study(
            planned,
            out,
            store=inputs.store,
            progress=inputs.progress(),
            workers=workers,
            strict=strict,
        )
    if inputs.as_json:
        print_json(results)
    else:
        for leak in study_sentences.leaks(results):
            typer.secho(wrapped(f"Do not trust all of these scores. {leak}"), fg="red")
        verdict, *rest = study_sentences.sentences(results)
        typer.echo(f"\n{wrapped(verdict)}\n")
        print_bullets(rest)
        typer.echo(f"\nreport: {page}")
    if any(duel.failed for duel in results.duels):
        raise typer.Exit(3)


commands = (study,)
