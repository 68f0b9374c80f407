"""`import_model`: a file to a model, by what the file is."""

import math
from pathlib import Path

import torch

from spikeduel import data
from spikeduel.data import Prepared, Preprocessing
from spikeduel.exchange.importing import nir_graphs, state_dicts
from spikeduel.exchange.importing.imported import ImportedNetwork
from spikeduel.networks import models
from spikeduel.networks.models import Model, ModelCard
from spikeduel.settings import Experiment
from spikeduel.spiking.encoders import ENCODERS
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


def import_model(
    path: Path | str,
    experiment: Experiment | None = None,
    *,
    encoding: str | None = None,
    num_steps: int | None = None,
    dt: float | None = None,
    progress: Progress | None = None,
) -> Model:
    """The network in a NIR file, or the study's as snnTorch saves its state_dict, as a model. No code of it is run.

    `experiment` names the data set that it was trained on, for class names and preprocessing; without it, what
    spikeduel wrote into a NIR file counts, else classes are numbered and images grey and square. `encoding` (direct)
    and `num_steps` (25) are what the file says, if it does. `dt`: see `nir_graphs.read`. Raises `InputError`.
    """
    path = Path(path)
    content = files.read_bytes(path, nir_graphs.MOST_BYTES)
    try:
        if content.startswith(HDF5):
            network = nir_graphs.read(content, dt)
        elif content.startswith(ZIP):
            network = state_dicts.read(content)
        else:
            raise InputError(
                "neither a NIR graph (HDF5) nor a state_dict that torch.save wrote. spikeduel's own models "
                "(.safetensors) need no import, and ONNX files cannot be imported."
            )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    progress = progress or Progress()
    prepared = data.load(experiment, progress.track, say=progress.say) if experiment is not None else None
    try:
        return _model(network, prepared, path.stem, encoding, num_steps)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _model(
    network: ImportedNetwork, prepared: Prepared | None, name: str, encoding: str | None, num_steps: int | None
) -> Model:
    about = network.about
    preprocessing, classes = _preprocessing(network, prepared)
    card = ModelCard(
        contender="sequential",
        family="snn",
        image_shape=(preprocessing.channels, preprocessing.height, preprocessing.width),
        classes=classes,
        preprocessing=preprocessing,
        network={"layers": network.layers},
        # A name that a file gives must not be enough to run code of that name.
        encoding=encoding or (about.encoding if about.encoding in ENCODERS else "direct"),
        num_steps=num_steps or about.num_steps or 25,
        dataset=prepared.name if prepared is not None else about.dataset or name,
    )
    with torch.random.fork_rng():
        module = models.build(card)
    weights = {
        f"chain.{index}.{key}": torch.from_numpy(array)
        for index, arrays in network.weights.items()
        for key, array in arrays.items()
    }
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"its weights do not fit its layers ({' '.join(str(error).split())[:200]}).") from None
    return Model(module.eval(), card)


def _preprocessing(network: ImportedNetwork, prepared: Prepared | None) -> tuple[Preprocessing, tuple[str, ...]]:
    if prepared is not None:
        preprocessing, classes = prepared.preprocessing, prepared.classes
    else:
        stored = network.about.preprocessing
        preprocessing = _assumed(network.input_shape) if stored is None else Preprocessing.from_dict(stored)
        classes = network.about.classes or tuple(map(str, range(network.num_classes)))
    if len(classes) != network.num_classes:
        raise InputError(f"it has {network.num_classes} outputs, and there are {len(classes)} classes.")
    return preprocessing, classes


def _assumed(shape: tuple[int, ...] | None) -> Preprocessing:
    sides = tuple(side for side in shape or () if side > 0)
    if len(sides) == 3 and sides[0] in (1, 3):
        return Preprocessing(*sides)
    if len(sides) == 2:
        return Preprocessing(1, *sides)
    side = math.isqrt(sides[0]) if len(sides) == 1 else 0
    if not side or side * side != sides[0]:
        raise InputError(
            f"its input {list(sides)} does not determine the size of the images: name the data set that it was trained "
            "on with --dataset."
        )
    return Preprocessing(1, side, side)
