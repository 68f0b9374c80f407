"""The commands `inspect` and `play`."""

from pathlib import Path
from typing import Annotated

import typer

from spikeduel.cli.inputs import CommandInput, command, option
from spikeduel.system.errors import InputError


@command(
    options=("given_files", "out", "raw", "own_code"),
    examples=(
        "spikeduel inspect fashion-mnist-vgg-lif fashion-mnist-vgg-relu shoe.jpg --out shoe/",
    ),
    when_stopped="No page was written.",
)
def inspect(
    inputs: CommandInput,
    given_files: Annotated[
        list[Path],
        option(
            "MODEL… IMAGE",
            "One or several .safetensors files from a run's models/ folder, or names of "
            "networks that come with the package (`spikeduel models`). All must know the "
            "same classes. Last, one image file, or a recording.",
        ),
    ],
    out: Annotated[
        Path | None,
        option(
            "--out DIR",
            "The folder for the page. (Default: inspect/MODEL-IMAGE)",
        ),
    ] = None,
) -> None:
    """Show what happens inside one model, or several side by side, for one image: inside.html.

    The page has a time slider: what the network sees, the spikes of its layers, membranes,
    evidence, spikes and energy so far; of a model that does not spike its activations; and for each
    which pixels spoke for its answer. A recording is shown frame by frame.
    """
    from spikeduel.data import prepared_picture
    from spikeduel.engine.networks.models import by_name
    from spikeduel.features.inspection import inside_page

    *models, image = given_files
    if not models:
        raise InputError(
            f"the image is missing, or the model: spikeduel inspect MODEL IMAGE. Only {image} was "
            f"given."
        )
    named = by_name([inputs.opened(path) for path in models])
    images = {
        name: prepared_picture(image, model.card.preprocessing) for name, model in named.items()
    }
    folder = out or Path("inspect") / f"{models[0].stem}-{image.stem}"
    typer.echo(inside_page.inspect(named, images, folder, calibrated=not inputs.raw))


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


commands = (inspect, play)
