"""Looking inside a model while it answers for one image."""

from pathlib import Path

import numpy as np

from spikeduel.networks.models import Model
from spikeduel.reporting import gallery, style
from spikeduel.system.errors import InputError, unknown


def inspect(model: Model, image: np.ndarray, out: Path | str, truth: str | None = None) -> list[Path]:
    """Writes the figures for one image into the folder `out`, and returns their paths.

    `image` is prepared: uint8 `[C, H, W]`; `truth` is its class name, where known. Of a spiking model: its input, the
    animation and the raster of its encoding where that is rate encoding, one neuron over 100 steps, the answer; of any
    other: its input and the answer.
    Raises `InputError` for an unknown class, an image of another shape, or a folder that cannot be written to.
    """
    folder = Path(out)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != tuple(model.card.image_shape):
        raise InputError(
            f"{model.card.contender} takes a prepared image, uint8 {list(model.card.image_shape)}; got {image.dtype} "
            f"{list(image.shape)}. Use model.card.preprocessing(picture)."
        )
    if truth is not None and truth not in model.card.classes:
        raise unknown("class", truth, model.card.classes)
    label = None if truth is None else model.card.classes.index(truth)

    figure = style.new_figure(3.2, 3.0)
    height, width = image.shape[1:]
    style.show_image(figure.subplots(), image, f"what the network gets: {width}×{height}")
    paths = [style.save(figure, folder / "input.png")]
    if model.card.encoding == "rate":
        paths += gallery.rate_figures(image, folder)
    if model.card.encoding is not None:
        paths += [shown.path for shown in gallery.of_neuron(model, image, folder)]
    paths.append(gallery.of_answer(model, image, label, folder / "answer.png").path)
    return paths
