"""The command `plan`."""

from typing import Annotated

import typer

from spikeduel.cli.comparison_commands import EXPERIMENT
from spikeduel.cli.inputs import DUEL, CommandInput, command, option, wrapped


@command(
    options=(*EXPERIMENT, "store", "as_json", "quiet"),
    works_on=("preparing", "splitting", "framing", "training"),
    examples=("spikeduel plan my_images/", "spikeduel plan fashion-mnist --difference 0.5"),
    when_stopped="Nothing was trained.",
)
def plan(
    inputs: CommandInput,
    difference: Annotated[
        float,
        option(
            "--difference POINTS",
            "The true difference in accuracy that is to be found.",
            DUEL,
        ),
    ] = 1.0,
    deviation: Annotated[
        float | None,
        option(
            "--deviation POINTS",
            "The standard deviation of accuracy over seeds, on an unlimited test set.",
            DUEL,
        ),
    ] = None,
) -> None:
    """Say before training how many seeds a difference takes to be found, and how long they will
    train.

    Trains nothing. How much accuracy varies over seeds is taken from --deviation, else from seeds
    of the same comparison in the store, else a range is assumed that was measured on Fashion-MNIST.
    """
    from spikeduel.features.planning import forecasting, plan_sentences
    from spikeduel.sentences.columns import render

    share = None if deviation is None else deviation / 100
    progress = inputs.progress(on_stderr=True)
    outlook = forecasting.forecast(
        inputs.experiment(),
        difference=difference / 100,
        deviation=share,
        store=inputs.store,
        progress=progress,
        given=inputs.settings,
    )
    if inputs.printed_json(outlook):
        return
    title, *rest = plan_sentences.sentences(outlook)
    typer.echo(f"{wrapped(title)}\n\n{render(plan_sentences.rows(outlook))}\n")
    for text in rest:
        typer.echo(wrapped(text))


commands = (plan,)
