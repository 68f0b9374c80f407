"""The program: its commands in the order of its help."""

from typing import Annotated

import typer

from spikeduel.cli import data_sets, duels, models, options, showing
from spikeduel.cli.given import Given, command
from spikeduel.cli.terminal import for_people, print_json, progress_for, wrapped
from spikeduel.system import __version__

app = typer.Typer(
    name="spikeduel",
    help="""Should I use a spiking neural network or a CNN for my images?

    **spikeduel compare** trains both on a small data set that comes with the package, in under a minute on two
    idle cores, and writes a report. **spikeduel compare my_images/** does the same on your own folder of images, one
    sub-folder a class.""",
    epilog="Data sets, runs and models stay on this machine. Start with: spikeduel compare",
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
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
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


@command(
    *("as_json", "quiet"),
    epilog="Examples: spikeduel bench --quick · spikeduel bench --only snn-28-rate --out speed.json",
)
def bench(
    given: Given,
    quick: options.QuickBench = False,
    only: options.Workloads = None,
    rounds: options.Rounds = None,
    threads: options.Threads = None,
    scaling: options.Scaling = None,
    out: options.BenchOut = None,
) -> None:
    """Measure how fast a training step is on this machine: spikeduel, snnTorch, SpikingJelly and plain PyTorch.

    Each runs in a process of its own, and they take turns. The last column compares the time with the machine's
    limit. Without --quick it takes half an hour, most of it compiling peers. The peers come with:
    pip install 'spikeduel[bench]'
    """
    kept = f"What was measured so far is in {out}." if out else "Nothing is kept: --out FILE.json keeps what is done."
    with for_people(when_stopped=kept):
        from spikeduel.measuring import bench as benchmark

        plan = benchmark.plan(only or (), quick, rounds, threads, scaling)
        document = benchmark.run(plan, progress_for(given.quiet, as_json=True), out)
        if given.as_json:
            print_json(document)
        else:
            typer.echo(f"{benchmark.table(document)}\n")
            for note in benchmark.notes(document):
                typer.echo(wrapped(note, "  · "))
            if out:
                typer.echo(f"\nmeasurements: {out}")
        if benchmark.failed(document):
            raise typer.Exit(3)


@command()
def settings(given: Given) -> None:
    """List every setting that --set takes, with its default, meaning and values."""
    showing.settings()


@command()
def schema(given: Given) -> None:
    """Print the JSON Schema of results.json (draft 2020-12), for tools that read or check it."""
    from spikeduel.results.run import json_schema

    print_json(json_schema())


for each in (
    *(duels.compare, duels.tune, duels.train),
    *(models.evaluate, models.predict, models.inspect, models.export, models.import_),
    *(data_sets.audit, duels.report, duels.test, duels.runs, bench, settings, schema),
):
    each.add_to(app)
for each in (data_sets.data_list, data_sets.data_prepare):
    each.add_to(data_app)


def main() -> None:
    """The program."""
    app(prog_name="spikeduel")
