"""The command `play`."""

from pathlib import Path
from typing import Annotated

import typer

from spikeduel.cli.inputs import CommandInput, command, option


@command(
    options=("own_code", "quiet"),
    examples=(
        "spikeduel play",
        "spikeduel play runs/…/models/vgg-lif-seed0.safetensors fashion-mnist-vgg-relu",
    ),
    when_stopped="Nothing was changed.",
)
def play(
    inputs: CommandInput,
    models: Annotated[
        list[Path] | None,
        option(
            "MODEL…",
            "One to four model files or names of networks that come with the package, of "
            "the same classes. (Default: fashion-mnist-vgg-lif fashion-mnist-vgg-relu)",
        ),
    ] = None,
    port: Annotated[
        int,
        option(
            "--port N",
            "Where on 127.0.0.1 the page is; 0 for any that is free.",
            min=0,
            max=65535,
        ),
    ] = 8470,
    no_browser: Annotated[
        bool,
        option(
            "--no-browser",
            "Print the page's address only.",
        ),
    ] = False,
) -> None:
    """Open a page where a sample, an image of yours or a drawing is answered by several models side
    by side.

    It shows spikes, membranes and probabilities step by step, and what other time steps, thresholds
    or corrupted images change. Images stay on this machine: the page can be reached from it alone,
    and nothing is kept. Ctrl-C ends it. Needs: pip install 'spikeduel[play]'
    """
    from spikeduel.features.inspection import playing

    named = models or [Path("fashion-mnist-vgg-lif"), Path("fashion-mnist-vgg-relu")]
    opened = [inputs.opened(path) for path in named]

    def ready(address: str) -> None:
        typer.echo(f"{address}\nThis machine alone can open it. Ctrl-C ends it.")

    playing.play(opened, port, ready, not no_browser, inputs.progress())
    typer.echo("\nstopped.")
