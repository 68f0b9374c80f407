"""Commands on model files."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

import spikeduel as sd
from spikeduel.cli.inputs import OF_TESTS, CommandInput, command, option, print_bullets, wrapped
from spikeduel.system import files
from spikeduel.system.errors import InputError, visible
from spikeduel.system.sentences import counted

MODEL = option(
    "MODEL",
    "A .safetensors file from a run's models/ folder, or the name of a network that comes with the "
    "package (`spikeduel models`).",
)


@command(options=("as_json",), examples=("spikeduel predict fashion-mnist-vgg-lif shoe.jpg",))
def models(inputs: CommandInput) -> None:
    """List the trained networks that come with the package: what they are, and how good.

    Their names can be given wherever a model is asked for. --json has the whole card of each.
    """
    from spikeduel.engine.networks import shipped
    from spikeduel.sentences.columns import SHIPPED, render, text_rows

    origins = shipped.origins()
    if inputs.printed_json(origins):
        return
    if not origins:
        typer.echo("No trained networks are in this installation.")
    else:
        typer.echo(render(text_rows(SHIPPED, origins)))
        print_bullets([f"{origin.name}: {origin.limits}" for origin in origins])


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
    from spikeduel import predicting as evaluating
    from spikeduel.cli.printing import feature_tables
    from spikeduel.sentences import columns

    loaded, progress = inputs.opened(model), inputs.progress()
    if dataset:
        experiment = inputs.experiment(dataset)
    else:
        experiment = evaluating.trained_on(loaded, inputs.settings)
        evaluating.require_the_same(loaded.card, experiment, progress)
    test = evaluating.evaluate(loaded, experiment, part, progress, inputs.store)
    if not inputs.printed_json(test):
        in_bf16 = ", in bf16" if test.computed_in == "bf16" else ""
        what = "recordings" if loaded.card.preprocessing.binning else "images"
        typer.echo(f"{model} on {test.n:,} {what} of {visible(experiment.dataset)}{in_bf16}\n")
        typer.echo(columns.render(columns.class_rows(test)))
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
            "Print a spiking network's answer after every frame of a recording, or of events "
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
    from spikeduel import predicting as evaluating

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
            for row in evaluating.follow(loaded, path, calibrated=not inputs.raw):
                if inputs.as_json:
                    typer.echo(json.dumps(row))
                    continue
                seen = f"{row['milliseconds']:8.1f} ms {row['events']:9,} events"
                label = f"{visible(row['label'])}  {row['probability']:.1%}"
                typer.echo(f"{visible(row['file'])} {seen}  {label}")
        return
    rows, unreadable = evaluating.predict_files(
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


@command(
    options=("model", "out", "to", "images", "dataset", "store", "as_json", "quiet", "own_code"),
    works_on=("splitting",),
    examples=(
        "spikeduel export runs/…/models/vgg-lif-seed0.safetensors --to onnx --out snn.onnx",
        "spikeduel export fashion-mnist-vgg-lif --to c --out snn-c --dataset fashion-mnist",
    ),
    when_stopped="No file was written.",
)
def export(
    inputs: CommandInput,
    model: Annotated[Path, MODEL],
    out: Annotated[
        Path,
        option(
            "--out FILE",
            "The file to write, for C the folder; FILE.check.json goes beside it.",
        ),
    ],
    to: Annotated[
        str,
        option(
            "--to onnx|onnx-step|nir|c",
            "onnx: all time steps in one graph; onnx-step: one step, with its state as "
            "input and output, for streams and small devices; nir: for neuromorphic tools, "
            "if NIR can express the network; c: a folder of C99 in int8, without "
            "dependencies, for microcontrollers.",
        ),
    ] = "onnx",
    images: Annotated[
        int,
        option("--images N", "Test images to check the file on; all if there are fewer.", min=1),
    ] = 1000,
    dataset: Annotated[
        str | None,
        option(
            "--dataset DATASET",
            "The data set whose test images the file is checked on. (Default: what the "
            "model was trained on, as its run's experiment.toml says where the model lies "
            "in a run)",
        ),
    ] = None,
) -> None:
    """Write a model for another program, checked on test images before it is called done.

    The file is run, and must give the model's label on 99.9 % of the images and its scores within
    0.0001 wherever no spike differs, both in float32; C must give every score of the same whole
    numbers in Python. Else it is not written, and the exit code is 1. The outcome goes to
    FILE.check.json. ONNX and NIR need: pip install 'spikeduel[export]'; C a compiler of C.
    """
    from spikeduel import predicting as evaluating
    from spikeduel.exporters import exporting

    files.require_writable(out.parent)
    loaded, progress = inputs.opened(model), inputs.progress()
    experiment = inputs.experiment(dataset) if dataset else None
    if not dataset and inputs.settings:
        experiment = evaluating.trained_on(loaded, inputs.settings)
        evaluating.require_the_same(loaded.card, experiment, progress)
    check = sd.export(
        loaded,
        out,
        to,
        experiment=experiment,
        num_images=images,
        progress=progress,
        store=inputs.store,
    )
    if not inputs.printed_json(check):
        typer.echo("\n".join(wrapped(line) for line in exporting.lines(check)))
        typer.echo(f"\nfile: {out}\ncheck: {out}.check.json")
        if check.format == "c":
            typer.echo(f"try it: make -C {shlex.quote(str(out))} answers")


@command(
    options=("bin_ms", "quiet"),
    name="import",
    works_on=("preparing", "framing"),
    examples=(
        "spikeduel import net.nir --dataset fashion-mnist --out net.safetensors",
        "spikeduel import net.nir --dataset recordings/ --bin-ms 1 --num-steps 300 "
        "--out net.safetensors",
    ),
    when_stopped="No file was written.",
)
def import_(
    inputs: CommandInput,
    file: Annotated[
        Path,
        option(
            "FILE",
            "A NIR graph.",
        ),
    ],
    out: Annotated[
        Path,
        option(
            "--out MODEL.safetensors",
            "The model file to write.",
        ),
    ],
    dataset: Annotated[
        str | None,
        option(
            "--dataset DATASET",
            "What the network was trained on: gives the classes' names and how images are "
            "prepared. (Default: what spikeduel wrote into the file; else classes are "
            "numbered, and images are grey and of the size of its input)",
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        option(
            "--encoding direct|rate|latency",
            "Encoding of an image. (Default: the one in the file, else direct)",
        ),
    ] = None,
    num_steps: Annotated[
        int | None,
        option(
            "--num-steps T",
            "Time steps of the network; of recordings the number of frames. (Default: the number "
            "in the file, else 25; with --bin-ms as many frames as the longest recording has, "
            "else 8)",
        ),
    ] = None,
    dt: Annotated[
        float | None,
        option(
            "--dt SECONDS",
            "Duration of a step. (Default: what the file says, else 0.0001)",
        ),
    ] = None,
) -> None:
    """Make a model file of a network from elsewhere: for the other commands on models.

    A NIR graph has layers one after the other. Neither opening nor using it runs code of the file.
    """
    files.require_writable(out.parent)
    experiment = inputs.experiment(dataset) if dataset else None
    if experiment is None and inputs.settings:
        raise InputError(f"{next(iter(inputs.settings))}: takes the data: name them (--dataset).")
    model = sd.import_model(
        file, experiment, encoding=encoding, num_steps=num_steps, dt=dt, progress=inputs.progress()
    )
    sd.save_model(out, model)
    card, binning = model.card, model.card.preprocessing.binning
    seen = f"images {list(card.image_shape)}, {card.encoding} encoding, {card.num_steps} steps"
    if binning:
        length = f"{binning.frame_us / 1000:g} ms" if binning.frame_us else "equal time"
        seen = f"recordings of {binning.sensor}, {binning.num_frames} frames of {length}"
    typer.echo(f"{out}: {len(card.network['layers'])} layers, {len(card.classes)} classes, {seen}")
