"""Find the data that a model was trained on, then export or import it by `exchange`."""

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
    """Write `model` to `path` and check it on test images; the outcome goes to `path`.check.json.

    The check takes the given `images` (uint8 `[N, C, H, W]`) and `labels`, else `num_images` of the
    test part (`evaluating.trained_on` unless `experiment` is given). In float32, every reading
    program must give 99.9 % of the labels, scores within 1e-4 where no spike flipped, and at most
    0.1 % other spikes. `weights="int8"` is compared with rounded weights. Raises `InputError` if
    the format cannot express the model, `ExportDisagrees` if the check fails; then nothing is
    written.
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
    """Return the network in a NIR file as a model; no code of the file is run.

    `experiment` names the training data, for class names and preprocessing (default: the file's
    record, else numbered classes and grey square images). `encoding` (direct), `num_steps` (25) and
    `dt` (1e-4 seconds) apply unless the file says otherwise. Raises `InputError`.
    """
    progress = progress or Progress()

    def trained_on() -> TrainedOn:
        assert experiment is not None
        prepared = data.load(experiment, progress.track, say=progress.say)
        return TrainedOn(prepared.name, prepared.classes, prepared.preprocessing)

    known = None if experiment is None else trained_on
    return nir.import_model(Path(path), known, encoding, num_steps, dt)
