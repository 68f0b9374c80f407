"""The command `kit`."""

from pathlib import Path
from typing import Annotated

import typer

from spikeduel.cli.inputs import CommandInput, command, option


@command(
    options=("quiet", "own_code"),
    examples=("spikeduel kit runs/my-images-strong-85 kit.zip",),
    when_stopped="No kit was written.",
)
def kit(
    inputs: CommandInput,
    run: Annotated[Path, option("RUN", "A run's folder.")],
    file: Annotated[Path, option("FILE.zip", "The file to write.")],
) -> None:
    """Write all that a reviewer needs into one file: settings, split, predictions, tables, figures
    and prices of energy, for `verify`.

    The report stays as it is if its figures are drawn (`spikeduel report RUN --figures`); else it
    is written again, with figures.
    """
    from spikeduel.features.kit.kit_files import write_kit
    from spikeduel.reporting import report_again

    if not any(run.glob("figures/*.svg")):
        report_again(run, None, inputs.progress(), inputs.own_code or (), figures=True)
    typer.echo(write_kit(run, file))


commands = (kit,)
