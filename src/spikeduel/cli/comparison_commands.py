"""Commands compare and report."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

import spikeduel as sd
from spikeduel.cli.inputs import (
    DATA,
    EVERYTHING,
    LISTED,
    OUTPUT,
    CommandInput,
    command,
    option,
    options_with,
    print_json,
)
from spikeduel.features import providing

WORKERS = ("jobs", *options_with("workers"), "threads")
EXPERIMENT = (
    *("dataset", "contenders", "recipe", "epochs", "minutes", "experiment_file"),
    *("own_code", "limit", "group_by", "device"),
)
RESULTS = ("out", "store", "as_json", "quiet", "verbose")
OF_RUNS = options_with("progress")
STRICT = option(
    "--strict", "Train nothing and exit with 1 if the audit finds an invalidating problem.", DATA
)
RUN = option("RUN", "A run's folder.")


@command(
    options=(
        *EXPERIMENT,
        "seeds",
        *LISTED,
        *options_with("before_training"),
        "strict",
        *WORKERS,
        *RESULTS,
        *OF_RUNS,
    ),
    works_on=EVERYTHING,
    examples=(
        "spikeduel compare",
        "spikeduel compare my_images/ --seeds 6 --jobs 2",
        "spikeduel compare fashion-mnist --contender vgg-lif --contender torchvision:resnet18",
        "spikeduel compare fashion-mnist --contender vgg-lif --beta 0.9 (trains one network)",
    ),
)
def compare(
    inputs: CommandInput,
    strict: Annotated[bool, STRICT] = False,
    replace: Annotated[
        bool,
        option("--replace", "Replace a different run in the folder --out.", OUTPUT),
    ] = False,
) -> None:
    """Train a spiking network and a CNN under the same rules, and report which is better.

    Prints a table and a conclusion, and writes a report with figures, the results as JSON and the
    trained models. What was trained before is not trained again: the same command after an
    interruption continues where it stopped.
    """
    from spikeduel.cli import printing as printing

    experiment, out, file = inputs.experiment(), inputs.out, inputs.experiment_file
    found_by = None
    for feature, before_training in providing("before_training").items():
        experiment, search = before_training(inputs.options[feature], experiment, inputs)
        found_by = search or found_by
    if file is not None:
        folder = file if file.is_dir() else file.parent
        is_run = (folder / "results.json").is_file()
        if out is None and is_run and experiment == sd.read_experiment(folder):
            out = folder  # the same run again

    with inputs.workers() as workers:
        comparison = sd.compare(
            experiment,
            out,
            inputs.store,
            inputs.progress(),
            strict,
            found_by,
            workers,
            None if inputs.as_json else partial(printing.print_comparison, verbose=inputs.verbose),
            inputs.settings,
            replace,
        )
    if inputs.as_json:
        print_json(comparison.document())
    else:
        typer.echo(f"report: {comparison.out / 'report.html'}")
    if comparison.failed:
        raise typer.Exit(3)


@command(
    options=("quiet", "own_code"),
    when_stopped="The page is the old one.",
)
def report(
    inputs: CommandInput,
    run: Annotated[Path, RUN],
    out: Annotated[
        Path | None,
        option(
            "--out FILE.html",
            "The page. (Default: report.html in the run)",
        ),
    ] = None,
    energy_table: Annotated[
        list[str] | None,
        option(
            "--energy-table NAME|FILE.toml",
            "Energy per operation: 45nm-fp32, 45nm-fp16, 45nm-int8, 45nm-int8-sums8, or a "
            "table of your own (see docs/counting.md); repeatable.",
        ),
    ] = None,
    accounting: Annotated[
        list[str] | None,
        option(
            "--accounting FILE.toml",
            "A way of counting energy of your own, beside the published ones (see "
            "docs/counting.md#accountings-of-your-own); repeatable.",
        ),
    ] = None,
    figures: Annotated[
        bool,
        option(
            "--figures",
            "Also write each chart as PNG and SVG into figures/ of the run.",
        ),
    ] = False,
) -> None:
    """Write a run's report again, without training anything."""
    from spikeduel import energy
    from spikeduel.energy import accounting as accountings
    from spikeduel.reporting import report_again

    prices = energy.Prices(
        tables=tuple(map(energy.read, energy_table or ())),
        accountings=tuple(map(accountings.read, accounting or ())),
    )
    arguments = (run, out, inputs.progress(), inputs.own_code or (), prices)
    typer.echo(report_again(*arguments, figures=figures))
