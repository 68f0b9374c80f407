"""Commands on model files."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from spikeduel.cli import options, showing
from spikeduel.cli.given import Given, command
from spikeduel.cli.terminal import print_json, wrapped
from spikeduel.system.errors import InputError, visible

if TYPE_CHECKING:
    from spikeduel.networks.models import Model


@command(
    *("dataset", "split", "data_dir", "robustness", "assignments", "store", "as_json", "quiet", "own_code"),
    required=("dataset",),
    epilog="Example: spikeduel evaluate runs/…/models/dense-snn-seed0.safetensors fashion-mnist",
    when_stopped="Nothing was measured.",
)
def evaluate(
    given: Given,
    model: options.ModelFile,
    part: options.Part = "test",
    own_code: options.ModelsOwnCode = None,
) -> None:
    """Measure a trained model on a data set: accuracy, precision, recall, F1, by class.

    Each test evaluation is logged in the store; choosing models by test score inflates it.
    """
    from spikeduel.trials import evaluating

    experiment = given.experiment()
    test = evaluating.evaluate(_opened(model, own_code), experiment, part, given.progress(), given.store)
    if given.as_json:
        print_json(test)
    else:
        showing.evaluation(test, model, given.settings["dataset"])


@command(
    *("as_json", "quiet", "own_code"),
    epilog="Example: spikeduel predict runs/…/models/small-cnn-seed0.safetensors shoe.jpg shirt.png",
    when_stopped="Nothing was changed.",
)
def predict(
    given: Given, model: options.ModelFile, images: options.ImageFiles, own_code: options.ModelsOwnCode = None
) -> None:
    """Label image files with a trained model.

    The files are cropped, scaled and turned to grey or colour as in training. They may have any size up to
    80 million pixels, and be JPEG, PNG, BMP, GIF, WebP, TIFF, PGM or PPM; of several frames the first counts.
    Probabilities of the study's spiking network are a softmax of spike counts: they rank the classes, but are not
    calibrated.
    """
    from spikeduel.trials import evaluating

    rows, unreadable = evaluating.predict_files(_opened(model, own_code), images, given.progress())
    if given.as_json:
        print_json(rows)
    else:
        width = max((len(visible(row["file"])) for row in rows), default=0)
        for row in rows:
            typer.echo(f"{visible(row['file']):<{width}}  {visible(row['label'])}  {row['probability']:.1%}")
    for line in unreadable:
        typer.secho(f"error: {visible(line)}", fg="red", err=True)
    if unreadable:
        raise typer.Exit(InputError.exit_code)


@command(
    epilog="Example: spikeduel inspect runs/…/models/dense-snn-seed0.safetensors shoe.jpg --out shoe/",
    when_stopped="The figures drawn so far are kept.",
)
def inspect(
    given: Given,
    model: options.ModelFile,
    image: options.ImageFile,
    out: options.FiguresOut = None,
    own_code: options.ModelsOwnCode = None,
) -> None:
    """Show what happens inside a model for one image: its input, membranes, spikes and answer, as figures."""
    from spikeduel.reporting import inspect as draw
    from spikeduel.trials import evaluating

    loaded = _opened(model, own_code)
    folder = out or Path("inspect") / f"{model.stem}-{image.stem}"
    for path in draw(loaded, evaluating.open_for(loaded, image), folder):
        typer.echo(path)


@command(
    *("data_dir", "assignments", "store", "as_json", "quiet", "own_code"),
    epilog="Example: spikeduel export runs/…/models/dense-snn-seed0.safetensors --to onnx --out snn.onnx",
    when_stopped="No file was written.",
)
def export(
    given: Given,
    model: options.ModelFile,
    out: options.ExportFile,
    to: options.ExportTo = "onnx",
    weights: options.Weights = "float32",
    images: options.CheckedImages = 1000,
    dataset: options.CheckedDataset = None,
    own_code: options.ModelsOwnCode = None,
) -> None:
    """Write a model for another program, checked on test images before it is called done.

    The file is run, and must give the model's label on 99.9 % of the images and its scores within 0.0001 wherever no
    spike differs; else it is not written, and the exit code is 1. Both sides compute in float32. The outcome goes to
    FILE.check.json. Needs: pip install 'spikeduel[export]'
    """
    from spikeduel.exchange import exporting

    loaded = _opened(model, own_code)
    experiment = given.experiment(dataset or exporting.trained_on(loaded))
    progress = given.progress()
    check = exporting.export(
        loaded, out, to, weights=weights, experiment=experiment, num_images=images, progress=progress, store=given.store
    )
    if given.as_json:
        print_json(check)
    else:
        typer.echo("\n".join(wrapped(line) for line in exporting.lines(check)))
        typer.echo(f"\nfile: {out}\ncheck: {out}.check.json")


@command(
    *("data_dir", "assignments", "quiet"),
    name="import",
    epilog="Example: spikeduel import net.nir --dataset fashion-mnist --out net.safetensors",
    when_stopped="No file was written.",
)
def import_(
    given: Given,
    file: options.ImportedFile,
    out: options.ImportOut,
    dataset: options.ImportedDataset = None,
    encoding: options.ImportEncoding = None,
    num_steps: options.ImportSteps = None,
    dt: options.StepSeconds = None,
) -> None:
    """Make a model file of a network from elsewhere: for predict, evaluate, inspect and export.

    A NIR graph of layers one after the other, or the study's network as snnTorch saves it:
    torch.save(net.state_dict()). Neither opening nor using it runs code of the file.
    """
    from spikeduel.exchange import importing
    from spikeduel.networks.model_files import save_model

    experiment = given.experiment(dataset) if dataset else None
    model = importing.import_model(
        file, experiment, encoding=encoding, num_steps=num_steps, dt=dt, progress=given.progress()
    )
    save_model(out, model)
    card = model.card
    typer.echo(
        f"{out}: {len(card.network['layers'])} layers, {len(card.classes)} classes, images {list(card.image_shape)}"
        f", {card.encoding} encoding, {card.num_steps} steps"
    )


def _opened(model: Path, own_code: list[str] | None) -> "Model":
    from spikeduel.networks.model_files import load_model

    return load_model(model, own_code=own_code or ())
