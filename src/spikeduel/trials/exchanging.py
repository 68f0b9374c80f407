"""Export and import of models, with the data that they were trained on."""

from pathlib import Path

import numpy as np

from spikeduel import data
from spikeduel.exchange import exporting, nir
from spikeduel.exchange.exporting import ExportCheck, LabelledImages
from spikeduel.exchange.nir import TrainedOn
from spikeduel.networks.models import Model
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import evaluating

NUM_IMAGES = 1000


def export(
    model: Model,
    path: Path | str,
    to: str = "onnx",
    *,
    weights: str = "float32",
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    experiment: Experiment | None = None,
    num_images: int = NUM_IMAGES,
    progress: Progress | None = None,
    store: Path | str | None = None,
) -> ExportCheck:
    """Write `model` to `path` in the format `to`, checked on test images.

    The outcome is kept in `path`.check.json. Prepared `images` (uint8 `[N, C, H, W]`) and `labels`
    may be given; otherwise `num_images` are taken of the test part that `evaluate` would take, of
    `experiment`'s data set (by default the one that the model was trained on: see
    `evaluating.trained_on`). Every program that reads the file must give the same label on at least
    99.9 %, scores within 1e-4 wherever no spike flipped, and other spikes in at most 0.1 %; both
    sides compute in float32. With `weights="int8"` the file is compared with the model whose
    weights were rounded likewise. Raises `InputError` where the format cannot express the model,
    `ExportDisagrees` where the check fails: then nothing is written.
    """
    progress = progress or Progress()

    def test_images() -> LabelledImages:
        if images is None or labels is None:
            return LabelledImages(
                *evaluating.test_images(model, experiment, num_images, progress, store)
            )
        return LabelledImages(images, labels, model.card.dataset)

    if (images is None) != (labels is None):
        raise InputError("images and labels go together: give both, or neither.")
    return exporting.export(model, Path(path), test_images, to, weights, progress)


def import_model(
    path: Path | str,
    experiment: Experiment | None = None,
    *,
    encoding: str | None = None,
    num_steps: int | None = None,
    dt: float | None = None,
    progress: Progress | None = None,
) -> Model:
    """Return the network in a NIR file as a model.

    No code of the file is run. `experiment` names the data set that the network was trained on, for
    class names and preprocessing; without it, what spikeduel wrote into a NIR file counts, else
    classes are numbered and images grey and square. `encoding` (direct) and `num_steps` (25) are
    what the file says, if it does. `dt` is the duration of a NIR file's time step in seconds (1e-4
    unless the file says otherwise). Raises `InputError`.
    """
    progress = progress or Progress()

    def trained_on() -> TrainedOn:
        assert experiment is not None
        prepared = data.load(experiment, progress.track, say=progress.say)
        return TrainedOn(prepared.name, prepared.classes, prepared.preprocessing)

    known = None if experiment is None else trained_on
    return nir.import_model(Path(path), known, encoding, num_steps, dt)
