"""Write a trained model for other programs, and read a network of another program."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikeduel import data
from spikeduel.data import catalogue
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.prepared import Prepared
from spikeduel.data.splits import evenly
from spikeduel.engine.networks.models import Model
from spikeduel.experiment import effects
from spikeduel.experiment.settings import Experiment
from spikeduel.exporters import exporting
from spikeduel.exporters.exporting import ExportCheck
from spikeduel.inputs.preprocessing import MAX_FRAMES
from spikeduel.system.errors import InputError, needing_extra
from spikeduel.system.progress import Progress
from spikeduel.training.model_data import (
    images_at,
    split_for,
    test_images,
    trained_on,
)
from spikeduel.training.store import Place

NUM_EXPORTED = 1000


def training_images(
    model: Model, experiment: Experiment | None, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Return `NUM_EXAMPLES` training images, or all of fewer, evenly spread: uint8 `[N, C, H, W]`,
    int64 `[N]`. Raises `InputError`.
    """
    prepared, split = split_for(model.card, experiment or trained_on(model), progress)
    return images_at(prepared, evenly(split.train, exporting.NUM_EXAMPLES))


def export(
    model: Model,
    path: Path | str,
    to: str = "onnx",
    *,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    examples: tuple[np.ndarray, np.ndarray] | None = None,
    experiment: Experiment | None = None,
    num_images: int = NUM_EXPORTED,
    progress: Progress | None = None,
    store: Place = None,
) -> ExportCheck:
    """Write a model in the format of other programs, and check the file on test images.

    In float32, every program that reads the file must give 99.9 % of the labels, scores within 1e-4
    where no spike flipped, and at most 0.1 % other spikes. The outcome goes to `path`.check.json.

    Parameters
    ----------
    model : Model
        Model to export.
    path : Path or str
        File to write, or a folder for "c".
    to : {"onnx", "nir", "c"}
        Format.
    images, labels : ndarray, optional
        Test images, uint8 `[N, C, H, W]`, and their labels `[N]`. Default: `num_images` of the test
        part of the training data.
    examples : tuple of ndarray, optional
        Training images and labels, from which "c" takes the ranges of int8 numbers. Default: those
        of the training data.
    experiment : Experiment, optional
        Where to find the data. Default: the card's `trained_on`.
    num_images : int
        Number of test images.
    progress : Progress, optional
        Where to show progress.
    store : Store, Path or str, optional
        Where trained networks are kept.

    Returns
    -------
    ExportCheck
        Agreement of each program.

    Raises
    ------
    InputError
        If the format cannot express the model.
    ExportDisagrees
        If the check fails. Then nothing is written.

    Examples
    --------
    >>> import numpy as np
    >>> import spikeduel as sd
    >>> images, labels = np.zeros((4, 1, 28, 28), np.uint8), np.zeros(4, int)
    >>> model = sd.load_model("mnist-vgg-lif")
    >>> sd.export(model, "model.onnx", images=images, labels=labels).n
    4
    """
    progress = progress or Progress()

    def labelled_images() -> tuple[np.ndarray, np.ndarray, str]:
        if images is None or labels is None:
            return test_images(model, experiment, num_images, progress, store)
        return images, labels, model.card.dataset

    if (images is None) != (labels is None):
        raise InputError("images and labels go together: give both, or neither.")
    return exporting.export(
        model,
        Path(path),
        labelled_images,
        to,
        progress,
        examples=lambda: examples or training_images(model, experiment, progress),
    )


def import_model(
    path: Path | str,
    experiment: Experiment | None = None,
    *,
    encoding: str | None = None,
    num_steps: int | None = None,
    dt: float | None = None,
    progress: Progress | None = None,
) -> Model:
    """Read a network from a NIR file as a model. No code of the file runs.

    Parameters
    ----------
    path : Path or str
        NIR file.
    experiment : Experiment, optional
        Training data, for class names and preprocessing. Default: those in the file, or numbered
        classes and grey square images.
    encoding : str, optional
        Encoding, unless the file names one. Default: direct.
    num_steps : int, optional
        Number of time steps, unless the file names it. Default: 25; for recordings, as many as the
        longest one has.
    dt : float, optional
        Seconds per time step, unless the file names it. Default: 1e-4.
    progress : Progress, optional
        Where to show progress.

    Returns
    -------
    Model
        The network as a model.

    Raises
    ------
    InputError
        If the file is no network that spikeduel can run.

    Examples
    --------
    >>> import spikeduel as sd
    >>> model = sd.import_model("lava.nir", num_steps=16)  # doctest: +SKIP
    """
    progress = progress or Progress()
    with needing_extra(("h5py", "nir"), "export"):
        from spikeduel.exporters import nir

    def trained_on() -> nir.TrainedOn:
        assert experiment is not None
        names = effects.chosen(experiment) | ({"encoding"} if encoding else set())
        if num_steps is None and "num_steps" not in names:
            prepared = data.load(replace(experiment, bin_ms=None), progress.track, say=progress.say)
            prepared = _with_all_frames(prepared, experiment)
        else:
            frames = replace(experiment, num_steps=num_steps or experiment.num_steps)
            prepared = data.load(frames, progress.track, say=progress.say)
        needs = "images" if prepared.preprocessing.binning else "recordings"
        effects.refuse(effects.idle(names, {needs: f"{prepared.name} has other data"}))
        return nir.TrainedOn(prepared.name, prepared.classes, prepared.preprocessing)

    data_of = None if experiment is None else trained_on
    return nir.import_model(Path(path), data_of, encoding, num_steps, dt)


def _with_all_frames(prepared: Prepared, experiment: Experiment) -> Prepared:
    """Bin recordings into as many frames of `bin_ms` as the longest one has; other sets stay.

    Raises `InputError` for more than `MAX_FRAMES`.
    """
    images = prepared.images
    if not isinstance(images, Recordings) or experiment.bin_ms is None:
        return prepared
    num_frames = math.ceil(images.longest / max(1, round(1000 * experiment.bin_ms)))
    if num_frames > MAX_FRAMES:
        raise InputError(
            f"bin_ms: the longest recording lasts {images.longest / 1000:,.0f} ms, which are "
            f"{num_frames:,} frames of {experiment.bin_ms:g} ms, and at most {MAX_FRAMES:,} are "
            f"possible. Take longer frames, or say how many (--num-steps)."
        )
    return catalogue.binned(prepared, replace(experiment, num_steps=num_frames), None)
