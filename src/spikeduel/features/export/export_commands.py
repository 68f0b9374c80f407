"""The commands `export` and `import`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

import spikeduel as sd
from spikeduel.cli.inputs import CommandInput, command, option, wrapped
from spikeduel.cli.model_commands import MODEL
from spikeduel.system import files
from spikeduel.system.errors import InputError


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
    from spikeduel.exporters import exporting
    from spikeduel.features.export import model_exchange
    from spikeduel.training.model_data import require_the_same, trained_on

    files.require_writable(out.parent)
    loaded, progress = inputs.opened(model), inputs.progress()
    experiment = inputs.experiment(dataset) if dataset else None
    if not dataset and inputs.settings:
        experiment = trained_on(loaded, inputs.settings)
        require_the_same(loaded.card, experiment, progress)
    check = model_exchange.export(
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
            typer.echo(f"try it: make -C {shlex.quote(str(out))} predictions")


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
    from spikeduel.features.export.model_exchange import import_model

    files.require_writable(out.parent)
    experiment = inputs.experiment(dataset) if dataset else None
    if experiment is None and inputs.settings:
        raise InputError(f"{next(iter(inputs.settings))}: takes the data: name them (--dataset).")
    model = import_model(
        file, experiment, encoding=encoding, num_steps=num_steps, dt=dt, progress=inputs.progress()
    )
    sd.save_model(out, model)
    card, binning = model.card, model.card.preprocessing.binning
    seen = f"images {list(card.image_shape)}, {card.encoding} encoding, {card.num_steps} steps"
    if binning:
        length = f"{binning.frame_us / 1000:g} ms" if binning.frame_us else "equal time"
        seen = f"recordings of {binning.sensor}, {binning.num_frames} frames of {length}"
    typer.echo(f"{out}: {len(card.network['layers'])} layers, {len(card.classes)} classes, {seen}")


commands = (export, import_)
