"""The commands and their help; the work is done elsewhere."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikeduel.errors import InputError, Interrupted, SpikeduelError, unknown

if TYPE_CHECKING:
    from spikeduel.progress import Progress
    from spikeduel.settings import Experiment

app = typer.Typer(
    name="spikeduel",
    help="""Should I use a spiking neural network or a CNN for my images?

    [bold]spikeduel compare[/bold] trains both on a small data set that comes with the package, in under a minute, and
    writes a report. [bold]spikeduel compare my_images/[/bold] does the same on your own folder of images, one
    sub-folder a class.""",
    epilog="Data sets, runs and models stay on this machine. Start with: spikeduel compare",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Look at and prepare data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

DATASET_HELP = "A name from `spikeduel data list`, or a folder of images with one sub-folder a class."

DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        metavar="PATH",
        help="Files you already have: idx files (gzipped or not) of an MNIST-like set, or SOCOFing's folder or zip.",
        rich_help_panel="Data",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option("--image-size", metavar="N", help="Side of the prepared images.", rich_help_panel="Data"),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="default|published",
        help="`published` redoes the study's random split over files, leakage included.",
        rich_help_panel="Data",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        help="Use only N images for training and validation; the test set stays whole.",
        rich_help_panel="Data",
    ),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="direct|rate|latency",
        help="How a spiking contender sees an image: the same grey values at every step (direct), random spikes "
        "(rate), or one spike a pixel, the earlier the brighter (latency). [dim]Recipe baseline: rate[/dim]",
        rich_help_panel="Duel",
    ),
]
NumSteps = Annotated[
    int | None,
    typer.Option("--num-steps", metavar="T", help="Time steps of a spiking contender.", rich_help_panel="Duel"),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", metavar="N", help="Train every contender with seeds 0 to N−1.", rich_help_panel="Duel"),
]
Epochs = Annotated[int | None, typer.Option("--epochs", metavar="N", help="At most N epochs.", rich_help_panel="Duel")]
Recipe = Annotated[
    str,
    typer.Option("--recipe", metavar="NAME", help="The named experiment to start from.", rich_help_panel="Duel"),
]
ExperimentFile = Annotated[
    Path | None,
    typer.Option(
        "--experiment",
        metavar="FILE.toml",
        help="Start from the settings of an earlier run instead of a recipe; every run writes its experiment.toml.",
        rich_help_panel="Duel",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="key=value",
        help="Any setting, such as learning_rate=1e-3 or reset_mechanism=zero; repeatable. See `spikeduel settings`.",
        rich_help_panel="Duel",
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.", rich_help_panel="Machine"),
]
Precision = Annotated[
    str | None,
    typer.Option("--precision", metavar="auto|32|bf16", help="Of matrix products.", rich_help_panel="Machine"),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="The run's folder: report.html, results.json, models/, figures/. [dim]Default: runs/<data set>-…[/dim]",
        rich_help_panel="Output",
    ),
]
StoreDir = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help="Where trained trials are kept and found again. [dim]Default: $SPIKEDUEL_STORE, or runs/store[/dim]",
        rich_help_panel="Output",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document and nothing else on standard output.",
        rich_help_panel="Output",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.", rich_help_panel="Output")]
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .safetensors file from a run's models/ folder.")]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help=DATASET_HELP)]
OptionalDataset = Annotated[
    str | None,
    typer.Argument(metavar="[DATASET]", help=DATASET_HELP + " Left out: the embedded fashion-mnist-mini."),
]


@app.command(epilog="Examples: spikeduel compare · spikeduel compare fashion-mnist --encoding direct --seeds 6")
def compare(
    dataset: OptionalDataset = None,
    recipe: Recipe = "baseline",
    contender: Annotated[
        list[str] | None,
        typer.Option(
            "--contender",
            metavar="NAME",
            help="Which networks to compare: an architecture's name or module:function; repeatable. "
            "[dim]Default: dense-snn and small-cnn[/dim]",
            rich_help_panel="Duel",
        ),
    ] = None,
    encoding: Encoding = None,
    num_steps: NumSteps = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    experiment: ExperimentFile = None,
    set_: Set = None,
    limit: Limit = None,
    split: Split = None,
    data_dir: DataDir = None,
    image_size: ImageSize = None,
    device: Device = None,
    precision: Precision = None,
    out: Out = None,
    store: StoreDir = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a spiking network and a CNN under the same rules, and report which is better.

    Prints a table and a conclusion, and writes a report with figures, the results as JSON and the trained models. What
    was trained before is not trained again: the same command after an interruption goes on where it stopped.
    """
    given = {**_given(locals()), "contenders": tuple(contender) if contender else None}
    with _for_people():
        _compare(_experiment(dataset, recipe, experiment, given, set_), out, store, as_json, quiet)


@app.command(epilog="Example: spikeduel train fashion-mnist --contender dense-snn --encoding direct")
def train(
    dataset: Dataset,
    contender: Annotated[
        list[str],
        typer.Option("--contender", metavar="NAME", help="An architecture's name, or module:function."),
    ],
    recipe: Recipe = "baseline",
    encoding: Encoding = None,
    num_steps: NumSteps = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    experiment: ExperimentFile = None,
    set_: Set = None,
    limit: Limit = None,
    split: Split = None,
    data_dir: DataDir = None,
    image_size: ImageSize = None,
    device: Device = None,
    precision: Precision = None,
    out: Out = None,
    store: StoreDir = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train one network (or several) and keep the model; `compare` without the duel."""
    given = {**_given(locals()), "contenders": tuple(contender)}
    with _for_people():
        _compare(_experiment(dataset, recipe, experiment, given, set_), out, store, as_json, quiet)


@app.command(epilog="Example: spikeduel evaluate runs/…/models/dense-snn-seed0.safetensors fashion-mnist")
def evaluate(
    model: ModelFile,
    dataset: Dataset,
    part: Annotated[
        str,
        typer.Option(
            "--part",
            metavar="test|all",
            help="`all` also uses images that are set aside for training: for a folder the model has never seen.",
        ),
    ] = "test",
    split: Split = None,
    data_dir: DataDir = None,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained model on a data set: accuracy, precision, recall, F1, by class."""
    given = _given(locals())
    with _for_people():
        from spikeduel import analysis, evaluating

        progress = _progress(quiet, as_json)
        test = evaluating.evaluate(model, _experiment(dataset, "baseline", None, given, set_), part, progress)
        if as_json:
            _print_json(test)
            return
        typer.echo(f"{model.name} on {test['n']:,} images of {dataset}\n")
        typer.echo(analysis.render(analysis.class_rows(test)))


@app.command(epilog="Example: spikeduel predict runs/…/models/small-cnn-seed0.safetensors shoe.jpg shirt.png")
def predict(
    model: ModelFile,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files, or folders of them.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Label image files with a trained model.

    The files are cropped, scaled and turned to grey as the model was trained, and may have any size and format.
    """
    with _for_people():
        from spikeduel import evaluating

        found, unreadable = evaluating.predict_files(model, images, _progress(quiet, as_json))
        if as_json:
            _print_json(found)
        else:
            width = max((len(row["file"]) for row in found), default=0)
            for row in found:
                typer.echo(f"{row['file']:<{width}}  {row['label']}  {row['probability']:.1%}")
        if unreadable:
            raise InputError(f"{unreadable[0]} ({len(unreadable)} of {len(unreadable) + len(found)} files not read)")


@app.command(epilog="Example: spikeduel inspect runs/…/models/dense-snn-seed0.safetensors shoe.jpg --out shoe/")
def inspect(
    model: ModelFile,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="One image file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the figures go.")] = Path("inspect"),
) -> None:
    """Show what happens inside a model for one image: its input, membranes, spikes and answer, as figures."""
    with _for_people():
        from spikeduel import evaluating
        from spikeduel.report import inspect as draw

        loaded, prepared = evaluating.open_pair(model, image)
        for path in draw(loaded, prepared, out):
            typer.echo(path)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, as `spikeduel runs` lists it.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="[dim]Default: report.html in the run[/dim]"),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Write a run's report and figures again, without training anything."""
    with _for_people():
        from spikeduel import analysis
        from spikeduel.report import report as write

        typer.echo(write(analysis.read_comparison(run), out, _progress(quiet, False)))


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where runs lie.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List the runs at hand, newest first, with their accuracies and where their models are."""
    with _for_people():
        from spikeduel import analysis

        found = analysis.list_runs(folder)
        if as_json:
            _print_json(found)
        elif not found:
            typer.echo(f"no runs in {folder}/. Make one: spikeduel compare")
        else:
            typer.echo(analysis.render(analysis.run_rows(found)))


@app.command()
def settings() -> None:
    """List every setting that --set takes, with its default and meaning."""
    from dataclasses import fields

    from spikeduel.analysis import render
    from spikeduel.settings import Experiment

    typer.echo(
        render(
            [
                {"setting": f.name, "default": _shown(f.default), "meaning": f.metadata["help"]}
                for f in fields(Experiment)
            ]
        )
    )


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """List the known data sets, and which of them are prepared on this machine."""
    with _for_people():
        from spikeduel import analysis, data

        rows = data.listing()
        if as_json:
            _print_json(rows)
        else:
            typer.echo(analysis.render([{key: str(value) for key, value in row.items()} for row in rows]))
            typer.echo("\nYour own: any folder of images with one sub-folder a class.")


@data_app.command("prepare")
def data_prepare(
    dataset: Dataset,
    data_dir: DataDir = None,
    image_size: ImageSize = None,
    set_: Set = None,
    quiet: Quiet = False,
) -> None:
    """Download and decode a data set now, so that later commands start at once."""
    given = _given(locals())
    with _for_people():
        from spikeduel import data

        experiment = _experiment(dataset, "baseline", None, given, set_)
        prepared = data.load(experiment, _progress(quiet, False).track)
        channels, height, width = prepared.image_shape
        typer.echo(
            f"{prepared.name}: {len(prepared):,} images of {height}×{width}, {channels} channel"
            f"{'s' if channels > 1 else ''}, {len(prepared.classes)} classes, ready."
        )


def main() -> None:
    """The program."""
    app()


@contextmanager
def _for_people() -> Iterator[None]:
    """Errors meant for people become one line on standard error and an exit code."""
    try:
        yield
    except SpikeduelError as error:
        typer.secho(f"error: {' '.join(str(error).split())}", fg="red", err=True)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        typer.secho(
            "\nstopped. Finished epochs are saved: the same command goes on from there.",
            fg="yellow",
            err=True,
        )
        raise typer.Exit(Interrupted.exit_code) from None


_OPTIONS = (
    "encoding",
    "num_steps",
    "seeds",
    "epochs",
    "limit",
    "split",
    "data_dir",
    "image_size",
    "device",
    "precision",
)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values.get(name) for name in _OPTIONS}


def _experiment(
    dataset: str | None, recipe: str, file: Path | None, given: dict[str, Any], assignments: list[str] | None
) -> "Experiment":
    from spikeduel.recipes import RECIPES
    from spikeduel.settings import read_experiment, with_settings

    if file is not None:
        experiment = read_experiment(file)
        experiment = replace(experiment, dataset=dataset) if dataset else experiment
    elif recipe in RECIPES:
        experiment = RECIPES[recipe](dataset) if dataset else RECIPES[recipe]()
    else:
        raise unknown("recipe", recipe, RECIPES)
    pairs = {}
    for text in assignments or ():
        name, separator, value = text.partition("=")
        if not separator:
            raise InputError(f"--set {text}: write it as name=value.")
        pairs[name.strip()] = value.strip()
    changes = {name: value for name, value in given.items() if value is not None}
    return with_settings(replace(experiment, **changes), pairs)


def _progress(quiet: bool, as_json: bool) -> "Progress":
    from spikeduel.progress import Progress, TerminalProgress

    return Progress() if quiet else TerminalProgress(stderr=as_json)


def _compare(experiment: "Experiment", out: Path | None, store: Path | None, as_json: bool, quiet: bool) -> None:
    from spikeduel.comparing import compare

    comparison = compare(experiment, out, store, _progress(quiet, as_json))
    if as_json:
        _print_json(comparison.results)
    else:
        typer.echo(f"\n{comparison.table()}\n\n{comparison.results['comparison']['verdict']}\n")
        for caveat in comparison.results["comparison"]["caveats"]:
            typer.echo(f"  · {caveat}")
        typer.echo(f"\nreport: {comparison.out / 'report.html'}\nmodels: {comparison.out / 'models'}/")
    if comparison.failed:
        raise typer.Exit(3)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    return ",".join(value) if isinstance(value, tuple) else str(value)
