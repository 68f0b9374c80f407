"""The command `verify`."""

from pathlib import Path
from typing import Annotated

import typer

import spikeduel as sd
from spikeduel.cli.inputs import CommandInput, command, option, wrapped
from spikeduel.system.errors import InputError


@command(
    options=("as_json", "quiet"),
    examples=(
        "spikeduel verify runs/my-images-strong-85",
        "spikeduel verify run.zip",
        "spikeduel verify run.zip --rerun 2",
    ),
)
def verify(
    inputs: CommandInput,
    path: Annotated[
        Path,
        option("RUN | FILE.zip", "The run, zip file of a run, or study to verify."),
    ],
    rerun: Annotated[
        int, option("--rerun N", "Also train N of the run's trials again, and compare.", min=0)
    ] = 0,
) -> None:
    """Recompute all that follows from predictions, split, counts and settings, and say what
    differs.

    Every score, interval, test, energy and sentence of results.json is computed again, without
    training and without torch, and so are the tables and texts in a run's zip file. Every file is
    compared with its hash. Predictions, labels and measured values (times, memory, counts of
    operations, calibration, the audit) are taken on trust, and report.html is checked by its hash
    only. With --rerun, labels, images and split are compared with the data set, and N trials, drawn
    at random, are trained again: on the same processor with the same versions every prediction must
    be the same, elsewhere nearly every one.
    """
    from spikeduel.features.verification import verification_sentences as verified
    from spikeduel.features.verification.verification_results import TrainedAgain
    from spikeduel.features.verification.verifying import unpacked, verify

    verifications, again = verify(path), list[TrainedAgain]()
    if rerun:
        from spikeduel.features.verification.retraining import train_again

        with unpacked(path) as run:
            if not (run / "experiment.toml").is_file():
                raise InputError(f"{path}: --rerun takes a run or its zip file.")
            if own_code := sd.read_experiment(run).own_code:
                raise InputError(
                    f"{path}: trains code of its own ({', '.join(own_code)}), which --rerun does "
                    f"not run. Unzip a file; `spikeduel compare --experiment FOLDER --store NEW` "
                    f"trains all of it again, if the code is there."
                )
            of_data, again = train_again(run, rerun, inputs.progress())
            verifications.append(of_data)
    if not inputs.printed_json({"verified": verifications, "trained_again": again}):
        for text in verified.lines(verifications, again):
            typer.echo(wrapped(text))
    if not verified.hold(verifications, again):
        raise typer.Exit(1)


commands = (verify,)
