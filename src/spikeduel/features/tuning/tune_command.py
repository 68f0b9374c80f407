"""The command `tune`."""

from pathlib import Path
from typing import Annotated

import typer

import spikeduel as sd
from spikeduel.cli.comparison_commands import EXPERIMENT, RESULTS, WORKERS
from spikeduel.cli.inputs import (
    DUEL,
    EVERYTHING,
    OUTPUT,
    CommandInput,
    command,
    option,
    print_bullets,
)


@command(
    options=(*EXPERIMENT, *WORKERS, *RESULTS),
    works_on=EVERYTHING,
    examples=("spikeduel tune fashion-mnist --trials 20 --out tuned/",),
)
def tune(
    inputs: CommandInput,
    trials: Annotated[
        int,
        option(
            "--trials N",
            "Trials of each contender, the first at the given settings.",
        ),
    ] = 10,
    ranges: Annotated[
        Path | None,
        option(
            "--ranges FILE.toml",
            "Settings to tune instead of learning_rate, threshold, beta and num_steps: a table "
            "for each, such as [learning_rate] with low, high and log = true.",
            DUEL,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "--out DIR",
            "Folder of experiment.toml and tuning.json. (Default: runs/DATASET-RECIPE-…-tuning)",
            OUTPUT,
        ),
    ] = None,
) -> None:
    """Find each contender's best learning rate and spiking settings, with equally many trials for
    each.

    Trials are judged on validation images; the test set is not touched. Prints every trial, and
    writes an experiment.toml for `spikeduel compare --experiment`. What was trained before is not
    trained again.
    """
    from spikeduel.features.tuning.tuning import write_tuning
    from spikeduel.features.tuning.tuning_results import limits
    from spikeduel.results.findings import sentence

    tuned = search_settings(inputs.experiment(), trials, ranges, inputs, out)
    folder = write_tuning(tuned, out)
    if inputs.printed_json(tuned.record):
        return
    typer.echo(f"\n{tuned.table()}\n")
    print_bullets([sentence(caveat) for caveat in limits(tuned.record)])
    typer.echo(
        f"\ncompare them at their best: spikeduel compare --experiment {folder / 'experiment.toml'}"
    )


def search_settings(
    start: sd.Experiment,
    num_trials: int,
    ranges: Path | None,
    inputs: CommandInput,
    out: Path | None,
) -> "sd.Tuning":
    """Tune from the settings of `start`, over the ranges of a file, as `inputs` say."""
    from spikeduel.training import run_folder

    run_folder.require_writable(out)  # before the trials, which may take hours
    asked = sd.read_ranges(ranges) if ranges else None
    with inputs.workers() as workers:
        return sd.tune(
            start,
            num_trials,
            ranges=asked,
            store=inputs.store,
            progress=inputs.progress(),
            workers=workers,
            given=inputs.settings,
        )


commands = (tune,)
