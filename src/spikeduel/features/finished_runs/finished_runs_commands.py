"""The commands `runs` and `test`."""

from pathlib import Path
from typing import Annotated

import typer

import spikeduel as sd
from spikeduel.cli.comparison_commands import RUN
from spikeduel.cli.inputs import CommandInput, command, option, print_bullets, wrapped
from spikeduel.results.predictions import RUNS
from spikeduel.system import typed
from spikeduel.system.errors import InputError


@command(
    options=("as_json",),
    examples=("spikeduel runs", "spikeduel runs runs/my-images-strong-85 runs/my-images-strong-3f"),
)
def runs(
    inputs: CommandInput,
    places: Annotated[
        list[Path] | None,
        option("[FOLDER | RUN OTHER]", "A folder of runs (default: runs), or two to compare."),
    ] = None,
) -> None:
    """List the runs at hand, newest first, with the settings that set them apart; or compare two.

    Of two runs it says in which settings they differ, what each contender got, and, where both were
    tested on the same images, what may be concluded.
    """
    from spikeduel.features.finished_runs import run_diff
    from spikeduel.sentences import recommendation_sentences
    from spikeduel.sentences.columns import render

    folder, *others = places or [RUNS]
    if len(others) == 1:
        compared = run_diff.compare(folder, *others)
        if inputs.printed_json(compared):
            return
        for letter, run in zip("AB", (folder, *others), strict=True):
            table = render(recommendation_sentences.rows(sd.load_run(run).results), gap=2)
            typer.echo(f"{letter}: {run}\n\n{table}\n")
        differing = run_diff.setting_rows(compared)
        typer.echo(f"{render(differing) if differing else 'All settings are the same.'}\n")
        print_bullets(run_diff.sentences(compared))
        return
    if others or (places and not folder.is_dir()):
        raise InputError("name two runs to compare, or a folder of runs, or nothing.")
    rows = run_diff.list_runs(folder, lambda text: typer.echo(text, err=True))
    if inputs.printed_json(rows):
        return
    if rows:
        table, note = run_diff.table(rows)
        typer.echo(f"In {folder}/\n\n{table}" + (f"\n\n{wrapped(note)}" if note else ""))
    else:
        typer.echo(f"no runs in {folder}/. Make one: spikeduel compare")


@command(
    options=("as_json",),
    examples=(
        "spikeduel test runs/…",
        "spikeduel test runs/A --a small-cnn --against runs/B",
    ),
)
def test(
    inputs: CommandInput,
    run: Annotated[Path, RUN],
    a: Annotated[
        str | None,
        option(
            "--a NAME",
            "A contender of the run; may be omitted if the run has two contenders.",
        ),
    ] = None,
    b: Annotated[
        str | None,
        option(
            "--b NAME",
            "The contender to compare it with; may be omitted likewise.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        option(
            "--against OTHER_RUN",
            "Take the second contender from this run, on the same test images.",
        ),
    ] = None,
    margin: Annotated[
        float | None,
        option(
            "--margin POINTS",
            "Differences in accuracy within ± so many percentage points count as "
            "equivalent. (Default: 0.5 points, or a quarter of the better one's errors if that "
            "is less)",
            min=0,
            max=100,
        ),
    ] = None,
) -> None:
    """Test whether one contender is better than another, from the predictions that runs keep.

    Two contenders of one run, or of two runs on the same test images. Prints the difference in
    accuracy with its interval, the p-value, and what may be concluded. It is one comparison:
    choosing it among many after seeing the results makes its p-value too small.
    """
    from spikeduel.features.finished_runs import run_comparison
    from spikeduel.sentences.verdict import difference_line

    share = None if margin is None else margin / 100
    a, b = run_comparison.names(run, a, b, against)
    difference = run_comparison.compare_runs(run, a, b, against, share)
    if not inputs.printed_json({"a": a, "b": b, "measure": "accuracy", **typed.plain(difference)}):
        names = (a, b) if a != b else (f"{a} of {run}", f"{b} of {against}")
        folds = sd.read_experiment(run).folds
        typer.echo(wrapped(difference_line(difference, *names, num_folds=folds)))


commands = (runs, test)
