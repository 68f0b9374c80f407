"""The command `models`, and the argument for a model of other commands."""

import typer

from spikeduel.cli.inputs import CommandInput, command, option, print_bullets

MODEL = option(
    "MODEL",
    "A .safetensors file from a run's models/ folder, or the name of a network that comes with the "
    "package (`spikeduel models`).",
)


@command(options=("as_json",), examples=("spikeduel models --json",))
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
