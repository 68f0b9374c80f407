"""The commands and their help; the work is done elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikeduel.cli import options
from spikeduel.cli.terminal import for_people, print_json, progress_for, wrapped
from spikeduel.system import __version__
from spikeduel.system.errors import InputError
from spikeduel.system.visible import visible

if TYPE_CHECKING:
    from spikeduel.data.auditing import Audit
    from spikeduel.settings import Experiment
    from spikeduel.trials.tuning import Tuning

app = typer.Typer(
    name="spikeduel",
    help="""Should I use a spiking neural network or a CNN for my images?

    **spikeduel compare** trains both on a small data set that comes with the package, in under a minute, and
    writes a report. **spikeduel compare my_images/** does the same on your own folder of images, one
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


@app.command(epilog="Examples: spikeduel compare · spikeduel compare fashion-mnist --encoding direct --seeds 6")
def compare(
    dataset: options.OptionalDataset = None,
    recipe: options.Recipe = None,
    contender: options.Contenders = None,
    family: options.Family = None,
    encoding: options.Encoding = None,
    num_steps: options.NumSteps = None,
    seeds: options.Seeds = None,
    epochs: options.Epochs = None,
    controls: options.Controls = None,
    convert: options.Convert = None,
    robustness: options.Robustness = None,
    experiment: options.ExperimentFile = None,
    set_: options.Set = None,
    tune: options.Tune = None,
    ranges: options.Ranges = None,
    limit: options.Limit = None,
    split: options.Split = None,
    folds: options.Folds = None,
    data_dir: options.DataDir = None,
    group_by: options.GroupBy = None,
    image_size: options.ImageSize = None,
    strict: options.Strict = False,
    device: options.Device = None,
    precision: options.Precision = None,
    out: options.Out = None,
    store: options.StoreDir = None,
    own_code: options.ExperimentsOwnCode = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a spiking network and a CNN under the same rules, and report which is better.

    Prints a table and a conclusion, and writes a report with figures, the results as JSON and the trained models. What
    was trained before is not trained again: the same command after an interruption goes on where it stopped.
    """
    given = {**options.given_options(locals()), "contenders": tuple(contender) if contender else None}
    with for_people():
        start = options.experiment_from(dataset, recipe, experiment, given, set_, own_code or ())
        if tune is None:
            from spikeduel.trials.tuning import read_tuning

            if ranges is not None:
                raise InputError("--ranges says what --tune draws: give --tune N as well.")
            tuned = read_tuning(experiment.with_name("tuning.json"), start) if experiment else None
        else:
            tuned = _tune(start, tune, ranges, out, store, as_json, quiet)
        _compare(tuned.experiment if tuned else start, out, store, as_json, quiet, strict, tuned)


@app.command(epilog="Example: spikeduel tune fashion-mnist --encoding direct --trials 20 --out tuned/")
def tune(
    dataset: options.OptionalDataset = None,
    trials: options.Trials = 10,
    ranges: options.Ranges = None,
    recipe: options.Recipe = None,
    contender: options.Contenders = None,
    family: options.Family = None,
    encoding: options.Encoding = None,
    num_steps: options.NumSteps = None,
    epochs: options.Epochs = None,
    experiment: options.ExperimentFile = None,
    set_: options.Set = None,
    limit: options.Limit = None,
    split: options.Split = None,
    data_dir: options.DataDir = None,
    group_by: options.GroupBy = None,
    image_size: options.ImageSize = None,
    device: options.Device = None,
    precision: options.Precision = None,
    out: options.TuningOut = None,
    store: options.StoreDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    own_code: options.OwnCode = None,
) -> None:
    """Find each contender's best learning rate and spiking settings, with equally many trials for each.

    Trials are judged on validation images; the test set is not touched. Prints every trial and what fewer of them
    would have found, and writes an experiment.toml for `spikeduel compare --experiment`. What was trained before is
    not trained again.
    """
    given = {**options.given_options(locals()), "contenders": tuple(contender) if contender else None}
    with for_people():
        from spikeduel.comparing import write_tuning
        from spikeduel.results.words.tuning import tuning_limits

        start = options.experiment_from(dataset, recipe, experiment, given, set_, own_code or ())
        tuned = _tune(start, trials, ranges, out, store, as_json, quiet)
        folder = write_tuning(tuned, out)
        if as_json:
            print_json(tuned.record)
            return
        typer.echo(f"\n{tuned.table()}\n")
        for sentence in tuning_limits(tuned.record):
            typer.echo(wrapped(sentence, "  · "))
        typer.echo(f"\nreport: {folder / 'tuning.html'}")
        typer.echo(f"compare them at their best: spikeduel compare --experiment {folder / 'experiment.toml'}")


@app.command(epilog="Example: spikeduel train fashion-mnist --contender dense-snn --encoding direct")
def train(
    dataset: options.Dataset,
    contender: Annotated[
        list[str],
        typer.Option("--contender", metavar="NAME", help="An architecture's name, or module:function."),
    ],
    family: options.Family = None,
    recipe: options.Recipe = None,
    encoding: options.Encoding = None,
    num_steps: options.NumSteps = None,
    seeds: options.Seeds = None,
    epochs: options.Epochs = None,
    experiment: options.ExperimentFile = None,
    set_: options.Set = None,
    limit: options.Limit = None,
    split: options.Split = None,
    folds: options.Folds = None,
    data_dir: options.DataDir = None,
    group_by: options.GroupBy = None,
    image_size: options.ImageSize = None,
    device: options.Device = None,
    precision: options.Precision = None,
    out: options.Out = None,
    store: options.StoreDir = None,
    own_code: options.ExperimentsOwnCode = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train one network (or several) and keep the model; `compare` without the duel."""
    given = {**options.given_options(locals()), "contenders": tuple(contender)}
    with for_people():
        chosen = options.experiment_from(dataset, recipe, experiment, given, set_, own_code or ())
        _compare(chosen, out, store, as_json, quiet)


@app.command(epilog="Example: spikeduel evaluate runs/…/models/dense-snn-seed0.safetensors fashion-mnist")
def evaluate(
    model: options.ModelFile,
    dataset: options.Dataset,
    part: Annotated[
        str,
        typer.Option(
            "--part",
            metavar="test|all",
            help="`all`: every image, for data that the model has never seen.",
        ),
    ] = "test",
    split: options.Split = None,
    data_dir: options.DataDir = None,
    robustness: options.Robustness = None,
    set_: options.Set = None,
    store: options.StoreDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    own_code: options.OwnCode = None,
) -> None:
    """Measure a trained model on a data set: accuracy, precision, recall, F1, by class.

    The store notes how often a data set's test images were asked, since whoever chooses by their scores reports luck.
    """
    given = options.given_options(locals())
    with for_people("Nothing was measured."):
        from spikeduel.networks.model_files import load_model
        from spikeduel.results.words import tables as text_tables
        from spikeduel.trials import evaluating

        experiment = options.experiment_from(dataset, None, None, given, set_)
        loaded = load_model(model, own_code=own_code or ())
        test = evaluating.evaluate(loaded, experiment, part, progress_for(quiet, as_json), store)
        if as_json:
            print_json(test)
            return
        typer.echo(f"{model} on {test['n']:,} images of {dataset}\n")
        typer.echo(text_tables.render(text_tables.class_rows(test)))
        if test["robustness"]:
            typer.echo(f"\n{text_tables.render(text_tables.robustness_rows(test['robustness']))}")


@app.command(epilog="Example: spikeduel predict runs/…/models/small-cnn-seed0.safetensors shoe.jpg shirt.png")
def predict(
    model: options.ModelFile,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE…", help="Image files, or folders of them.")],
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    own_code: options.OwnCode = None,
) -> None:
    """Label image files with a trained model.

    The files are cropped, scaled and turned to grey or colour as the model was trained. They may have any size up to
    80 million pixels, and be JPEG, PNG, BMP, GIF, WebP, TIFF, PGM or PPM; of several frames the first counts.
    Probabilities of the study's spiking network are a softmax of spike counts: they rank, and say little about
    how sure it is.
    """
    with for_people("Nothing was changed."):
        from spikeduel.networks.model_files import load_model
        from spikeduel.trials import evaluating

        loaded = load_model(model, own_code=own_code or ())
        found, unreadable = evaluating.predict_files(loaded, images, progress_for(quiet, as_json))
        if as_json:
            print_json(found)
        else:
            width = max((len(visible(row["file"])) for row in found), default=0)
            for row in found:
                typer.echo(f"{visible(row['file']):<{width}}  {visible(row['label'])}  {row['probability']:.1%}")
        for line in unreadable:
            typer.secho(f"error: {visible(line)}", fg="red", err=True)
        if unreadable:
            raise typer.Exit(InputError.exit_code)


@app.command(epilog="Example: spikeduel inspect runs/…/models/dense-snn-seed0.safetensors shoe.jpg --out shoe/")
def inspect(
    model: options.ModelFile,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="One image file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the figures go. (Default: inspect/MODEL-IMAGE)"),
    ] = None,
    own_code: options.OwnCode = None,
) -> None:
    """Show what happens inside a model for one image: its input, membranes, spikes and answer, as figures."""
    with for_people("The figures drawn so far are kept."):
        from spikeduel.networks.model_files import load_model
        from spikeduel.reporting import inspect as draw
        from spikeduel.trials import evaluating

        loaded = load_model(model, own_code=own_code or ())
        folder = out or Path("inspect") / f"{model.stem}-{image.stem}"
        for path in draw(loaded, evaluating.open_for(loaded, image), folder):
            typer.echo(path)


@app.command(epilog="Example: spikeduel export runs/…/models/dense-snn-seed0.safetensors --to onnx --out snn.onnx")
def export(
    model: options.ModelFile,
    out: options.ExportFile,
    to: options.ExportTo = "onnx",
    weights: options.Weights = "float32",
    images: options.CheckedImages = 1000,
    dataset: options.CheckedDataset = None,
    data_dir: options.DataDir = None,
    set_: options.Set = None,
    store: options.StoreDir = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    own_code: options.OwnCode = None,
) -> None:
    """Write a model for another program, checked on test images before it is called done.

    The file is run, and must give the model's label on 99.9 % of the images and its scores within 0.0001 wherever no
    spike differs; else it is not written, and the exit code is 1. Both sides compute in float32. The outcome goes to
    FILE.check.json. Needs: pip install 'spikeduel[export]'
    """
    given = options.given_options(locals())
    with for_people("No file was written."):
        from spikeduel.exchange import exporting
        from spikeduel.networks.model_files import load_model

        loaded = load_model(model, own_code=own_code or ())
        experiment = options.experiment_from(dataset or exporting.trained_on(loaded), None, None, given, set_)
        progress = progress_for(quiet, as_json)
        found = exporting.export(
            loaded, out, to, weights=weights, experiment=experiment, num_images=images, progress=progress, store=store
        )
        if as_json:
            print_json(found)
        else:
            typer.echo("\n".join(wrapped(line) for line in exporting.lines(found)))
            typer.echo(f"\nfile: {out}\ncheck: {out}.check.json")


@app.command("import", epilog="Example: spikeduel import net.nir --dataset fashion-mnist --out net.safetensors")
def import_(
    file: options.ImportedFile,
    out: options.ImportOut,
    dataset: options.ImportedDataset = None,
    encoding: options.ImportEncoding = None,
    num_steps: options.ImportSteps = None,
    dt: options.StepSeconds = None,
    data_dir: options.DataDir = None,
    set_: options.Set = None,
    quiet: options.Quiet = False,
) -> None:
    """Make a model file of a network from elsewhere: for predict, evaluate, inspect and export.

    A NIR graph of layers one after the other, or the study's network as snnTorch saves it:
    torch.save(net.state_dict()). Neither opening nor using it runs code of the file.
    """
    given = options.given_options(locals())
    with for_people("No file was written."):
        from spikeduel.exchange import importing
        from spikeduel.networks.model_files import save_model

        experiment = options.experiment_from(dataset, None, None, given, set_) if dataset else None
        progress = progress_for(quiet, False)
        found = importing.import_model(
            file, experiment, encoding=encoding, num_steps=num_steps, dt=dt, progress=progress
        )
        save_model(out, found)
        card = found.card
        typer.echo(
            f"{out}: {len(card.network['layers'])} layers, {len(card.classes)} classes, images {list(card.image_shape)}"
            f", {card.encoding} encoding, {card.num_steps} steps"
        )


@app.command(epilog="Examples: spikeduel audit my_images/ --out audit/ · spikeduel audit fashion-mnist --json")
def audit(
    dataset: options.Dataset,
    near: options.Near = None,
    experiment: options.ExperimentFile = None,
    set_: options.Set = None,
    limit: options.Limit = None,
    split: options.Split = None,
    data_dir: options.DataDir = None,
    group_by: options.GroupBy = None,
    image_size: options.ImageSize = None,
    out: options.AuditOut = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check whether a result on this data can be trusted: leaks, duplicates, labels, broken files.

    Looks for exact and near duplicates within and across the sides of the split, equal images with different labels,
    groups that the split cuts, unreadable files, formats that give the class away; and asks what an untrained nearest
    neighbour scores, with and without relatives in training. Exits with 1 where it finds what would invalidate a
    result.
    """
    given = options.given_options(locals())
    with for_people(when_stopped="Nothing is kept."):
        from spikeduel.data import auditing

        chosen = options.experiment_from(dataset, None, experiment, given, set_)
        found, prepared = auditing.audited(chosen, progress=progress_for(quiet, as_json))
        if out is not None:
            from spikeduel.reporting import audit_page

            page = audit_page(found, prepared, out)
        if as_json:
            print_json(found.results)
        else:
            typer.echo(_audit_text(found))
            if out is not None:
                typer.echo(f"\nreport: {page}")
        if not found.ok:
            raise typer.Exit(1)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, as `spikeduel runs` lists it.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="(Default: report.html in the run)"),
    ] = None,
    energy_table: options.EnergyTables = None,
    quiet: options.Quiet = False,
    own_code: options.OwnCode = None,
) -> None:
    """Write a run's report and figures again, without training anything."""
    with for_people("The figures drawn so far are kept; the page is the old one."):
        from spikeduel.measuring import energy
        from spikeduel.reporting import report_again

        tables = [energy.read(table) for table in energy_table or ()]
        typer.echo(report_again(run, out, progress_for(quiet, False), own_code or (), tables))


@app.command(epilog="Examples: spikeduel test runs/… · spikeduel test runs/A --a small-cnn --against runs/B")
def test(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, as `spikeduel runs` lists it.")],
    a: options.FirstName = None,
    b: options.SecondName = None,
    against: options.Against = None,
    margin: options.Margin = None,
    as_json: options.Json = False,
) -> None:
    """Test whether one contender is better than another, from the predictions that runs keep.

    Two contenders of one run, or of two runs on the same test images. Prints the difference in accuracy with its
    interval, the p-value, and what may be concluded. It is one comparison: choosing it among many after seeing the
    results makes its p-value too small.
    """
    with for_people():
        from spikeduel.results import predictions

        a, b = predictions.names(run, a, b, against)
        found = predictions.compare_runs(run, a, b, against, margin)
        if as_json:
            print_json({"a": a, "b": b, "measure": "accuracy", **found.to_dict()})
        else:
            shown = (a, b) if a != b else (f"{a} of {run}", f"{b} of {against}")
            typer.echo(wrapped(found.words(*shown, num_folds=predictions.num_folds(run))))


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where runs lie.")] = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """List the runs at hand, newest first, with their accuracies and where their models are."""
    with for_people():
        from spikeduel.results import comparison
        from spikeduel.results.words import tables as text_tables

        found = comparison.list_runs(folder)
        if as_json:
            print_json(found)
        elif not found:
            typer.echo(f"no runs in {folder}/. Make one: spikeduel compare")
        else:
            typer.echo(text_tables.render(text_tables.run_rows(found)))


@app.command(epilog="Examples: spikeduel bench --quick · spikeduel bench --only snn-28-rate --out speed.json")
def bench(
    quick: options.QuickBench = False,
    only: options.Workloads = None,
    rounds: options.Rounds = None,
    threads: options.Threads = None,
    scaling: options.Scaling = None,
    out: options.OutFile = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how fast a training step is on this machine: spikeduel, snnTorch, SpikingJelly and plain PyTorch.

    Each runs in a process of its own, and they take turns. The last column sets the time against what the machine
    could do at best. Without --quick it takes half an hour, most of it compiling peers. The peers come with:
    pip install 'spikeduel[bench]'
    """
    kept = f"What was measured so far is in {out}." if out else "Nothing is kept: --out FILE.json keeps what is done."
    with for_people(when_stopped=kept):
        from spikeduel.measuring import bench as benchmark

        plan = benchmark.plan(only or (), quick, rounds, threads, scaling)
        document = benchmark.run(plan, progress_for(quiet, as_json=True), out)
        if as_json:
            print_json(document)
        else:
            typer.echo(f"{benchmark.table(document)}\n")
            for note in benchmark.notes(document):
                typer.echo(wrapped(note, "  · "))
            if out:
                typer.echo(f"\nmeasurements: {out}")
        if benchmark.failed(document):
            raise typer.Exit(3)


@app.command()
def settings() -> None:
    """List every setting that --set takes, with its default and meaning."""
    from dataclasses import fields

    from spikeduel.results.words.tables import render
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
def data_list(as_json: options.Json = False) -> None:
    """List the known data sets, and which of them are prepared on this machine."""
    with for_people():
        from spikeduel import data
        from spikeduel.results.words import tables as text_tables

        rows = data.listing()
        if as_json:
            print_json(rows)
        else:
            typer.echo(text_tables.render([{key: str(value) for key, value in row.items()} for row in rows]))
            typer.echo("\nYour own: any folder of images with one sub-folder a class.")


@data_app.command("prepare")
def data_prepare(
    dataset: options.Dataset,
    data_dir: options.DataDir = None,
    image_size: options.ImageSize = None,
    set_: options.Set = None,
    quiet: options.Quiet = False,
) -> None:
    """Download and decode a data set now, so that later commands start at once."""
    given = options.given_options(locals())
    with for_people("Sets that were prepared and files that were downloaded whole are kept."):
        from spikeduel import data

        experiment = options.experiment_from(dataset, None, None, given, set_)
        progress = progress_for(quiet, False)
        prepared = data.load(experiment, progress.track, say=progress.say)
        channels, height, width = prepared.image_shape
        typer.echo(
            f"{prepared.name}: {len(prepared):,} images of {height}×{width}, {channels} channel"
            f"{'s' if channels > 1 else ''}, {len(prepared.classes)} classes, ready."
        )


def main() -> None:
    """The program."""
    app(prog_name="spikeduel")


def _tune(
    start: "Experiment",
    num_trials: int,
    ranges: Path | None,
    out: Path | None,
    store: Path | None,
    as_json: bool,
    quiet: bool,
) -> "Tuning":
    from spikeduel.comparing import require_runs_folder, tune
    from spikeduel.trials.tuning import read_ranges

    # Before the trials, which may take hours.
    require_runs_folder(out)
    return tune(start, num_trials, read_ranges(ranges) if ranges else None, store, progress_for(quiet, as_json))


def _compare(
    experiment: "Experiment",
    out: Path | None,
    store: Path | None,
    as_json: bool,
    quiet: bool,
    strict: bool = False,
    tuned: "Tuning | None" = None,
) -> None:
    from spikeduel.comparing import compare
    from spikeduel.reporting import conditions, costs
    from spikeduel.results.words.tables import render

    comparison = compare(experiment, out, store, progress_for(quiet, as_json), strict, tuned)
    if as_json:
        print_json(comparison.results)
    else:
        typer.echo(f"\n{comparison.table()}\n\n{wrapped(comparison.results['comparison']['verdict'])}\n")
        if rows := costs.table_rows(comparison.results):
            typer.echo(f"{render(rows)}\n{wrapped(costs.LEGEND)}\n\n{wrapped(costs.words(comparison.results) or '')}\n")
        if robustness := conditions.words(comparison.results):
            typer.echo(f"{wrapped(robustness)}\n")
        for caveat in comparison.results["comparison"]["caveats"]:
            typer.echo(wrapped(caveat, "  · "))
        for found in comparison.results["comparison"].get("controls") or ():
            typer.echo(f"\n{wrapped(found['text'])}")
        typer.echo(f"\nreport: {comparison.out / 'report.html'}\nmodels: {comparison.out / 'models'}/")
    if comparison.failed:
        raise typer.Exit(3)


def _audit_text(found: "Audit") -> str:
    from spikeduel.data import auditing
    from spikeduel.results.words import tables as text_tables

    parts = [text_tables.render(auditing.rows(found.results))]
    for title, texts in (("Problems, which invalidate a result", found.problems), ("Worth knowing", found.notes)):
        if texts:
            parts.append("\n".join([title, *(wrapped(text, "  · ") for text in texts)]))
    if found.ok:
        parts.append("Nothing was found that would invalidate a result.")
    parts.append(wrapped(auditing.PIXELS_ARE_NOT_ALL))
    return "\n\n".join(parts)


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    return ",".join(value) if isinstance(value, tuple) else str(value)
