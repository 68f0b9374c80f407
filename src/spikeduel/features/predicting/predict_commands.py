"""The commands `evaluate` and `predict`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from spikeduel.cli.inputs import OF_TESTS, CommandInput, command, option
from spikeduel.cli.model_commands import MODEL
from spikeduel.system.errors import InputError, visible
from spikeduel.system.sentences import counted


@command(
    options=("model", "dataset", "part", *OF_TESTS, "store", "as_json", "quiet", "own_code"),
    works_on=("splitting", "testing"),
    examples=(
        "spikeduel evaluate runs/…/models/dense-snn-seed0.safetensors",
        "spikeduel evaluate fashion-mnist-vgg-lif other_images/ --part all",
    ),
    when_stopped="Nothing was measured.",
)
def evaluate(
    inputs: CommandInput,
    model: Annotated[Path, MODEL],
    dataset: Annotated[
        str | None,
        option(
            "DATASET",
            "The data to measure it on. (Default: what it was trained on, found where its run had "
            "it)",
        ),
    ] = None,
    part: Annotated[
        str,
        option(
            "--part test|all",
            "`all`: every image, for data that the model has never seen. It is said "
            "how many of them it was trained on, for a model in its run's folder.",
        ),
    ] = "test",
) -> None:
    """Measure a trained model on a data set: accuracy, precision, recall, F1, by class.

    Each test evaluation is logged in the store; choosing models by test score inflates it.
    """
    from spikeduel.cli.printing import feature_tables
    from spikeduel.features.predicting.model_evaluation import class_rows, evaluate as evaluated
    from spikeduel.sentences.columns import render
    from spikeduel.training.model_data import require_the_same, trained_on

    loaded, progress = inputs.opened(model), inputs.progress()
    if dataset:
        experiment = inputs.experiment(dataset)
    else:
        experiment = trained_on(loaded, inputs.settings)
        require_the_same(loaded.card, experiment, progress)
    test = evaluated(loaded, experiment, part, progress, inputs.store)
    if not inputs.printed_json(test):
        in_bf16 = ", in bf16" if test.computed_in == "bf16" else ""
        what = "recordings" if loaded.card.preprocessing.binning else "images"
        typer.echo(f"{model} on {test.n:,} {what} of {visible(experiment.dataset)}{in_bf16}\n")
        typer.echo(render(class_rows(test)))
        for text in feature_tables(test.features):
            typer.echo(f"\n{text}")


@command(
    options=("model", "images", "raw", "as_json", "quiet", "own_code"),
    examples=(
        "spikeduel predict runs/…/models/small-cnn-seed0.safetensors shoe.jpg shirt.png",
        "camera | spikeduel predict vgg-lif-seed0.safetensors - --follow",
        "spikeduel predict fashion-mnist-vgg-lif shoe.jpg --exit-threshold 0.9",
    ),
    when_stopped="Nothing was changed.",
)
def predict(
    inputs: CommandInput,
    model: Annotated[Path, MODEL],
    images: Annotated[
        list[Path],
        option(
            "IMAGE…",
            'Image files or recordings, or folders of them. With --follow also "-": '
            'events on standard input, a line "t x y p" each, t in microseconds.',
        ),
    ],
    follow: Annotated[
        bool,
        option(
            "--follow",
            "Print a spiking network's prediction after every frame of a recording, or of events "
            "that come in. With --json, one document a line.",
        ),
    ] = False,
    exit_threshold: Annotated[
        float | None,
        option(
            "--exit-threshold P",
            "Early exit: a spiking network stops at the first time step at which its highest "
            "calibrated probability reaches P.",
            min=0,
            max=1,
        ),
    ] = None,
    fallback: Annotated[
        Path | None,
        option(
            "--fallback MODEL",
            "With --exit-threshold P: MODEL labels the images for which the highest calibrated "
            "probability of the first network, after all its steps, is below P.",
        ),
    ] = None,
) -> None:
    """Label image files, or recordings of an event camera, with a trained model.

    The files are cropped, scaled and turned to grey or colour as in training. They may have any
    size up to 80 million pixels, and be JPEG, PNG, BMP, GIF, WebP, TIFF, PPM, JPEG 2000, AVIF or
    PSD, and HEIC where pillow-heif is installed; of several frames the first counts. Recordings are
    cut into frames as in training, and have one of the formats of data sets. Probabilities are
    calibrated on validation images, where the model was
    trained here.
    """
    from spikeduel.features.predicting import labelling

    loaded, second = inputs.opened(model), inputs.opened(fallback) if fallback else None
    if second and exit_threshold is None:
        raise InputError("--fallback needs --exit-threshold P, below which that model predicts.")
    if follow and exit_threshold is not None:
        raise InputError("--exit-threshold does not go with --follow.")
    if exit_threshold is not None and second is None and loaded.card.num_steps is None:
        raise InputError(
            f"--exit-threshold: {model} has no time steps to stop at. --fallback MODEL names a "
            "network that predicts where it is not sure."
        )
    if follow:
        for path in images:
            for row in labelling.follow(loaded, path, calibrated=not inputs.raw):
                if inputs.as_json:
                    typer.echo(json.dumps(row))
                    continue
                seen = f"{row['milliseconds']:8.1f} ms {row['events']:9,} events"
                label = f"{visible(row['label'])}  {row['probability']:.1%}"
                typer.echo(f"{visible(row['file'])} {seen}  {label}")
        return
    rows, unreadable = labelling.predict_files(
        loaded, images, inputs.progress(), not inputs.raw, exit_threshold, second
    )
    if not inputs.printed_json(rows):
        width = max((len(visible(row["file"])) for row in rows), default=0)
        for row in rows:
            label = f"{visible(row['label'])}  {row['probability']:.1%}"
            early = f"  after {counted(row['num_steps'], 'step')}" if "num_steps" in row else ""
            typer.echo(
                f"{visible(row['file']):<{width}}  {label}{early}"
                + (f"  by {visible(row['predicted_by'])}" if "predicted_by" in row else "")
            )
    for line in unreadable:
        typer.secho(f"error: {visible(line)}", fg="red", err=True)
    if unreadable:
        raise typer.Exit(InputError.exit_code)


commands = (evaluate, predict)
