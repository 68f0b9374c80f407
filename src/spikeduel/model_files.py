"""Trained networks on disk: safetensors files, whose opening runs no code."""

import json
from collections.abc import Collection
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file

from spikeduel import files
from spikeduel.data.prepared import Preprocessing
from spikeduel.errors import InputError
from spikeduel.hardware import has_bf16
from spikeduel.models import Model, ModelCard, build

FORMAT = 1
"""Version of the metadata in a model file."""


def save_model(path: Path, model: Model) -> None:
    """Writes weights and card to a safetensors file, atomically."""
    metadata = {"spikeduel": json.dumps({"format": FORMAT, **asdict(model.card)})}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.module.state_dict().items()}
    with files.atomic_path(Path(path)) as temporary:
        save_file(weights, temporary, metadata)


def load_model(path: Path | str, device: str | torch.device = "cpu", own_code: Collection[str] = ()) -> Model:
    """The model in a file that spikeduel wrote. Raises `InputError`.

    Opening a file runs no code but spikeduel's own. A model of one's own architecture, neuron or encoder needs that
    code: `own_code` lists the `module:attribute` names that may be imported for it. A model trained in bfloat16
    computes in float32 where `device` has no hardware for it.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: a folder; a run's models are the .safetensors files in its models/.")
    if not path.is_file():
        raise InputError(f"{path}: no such model file. `spikeduel runs` lists the models at hand.")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        card = _card(json.loads(metadata["spikeduel"]))
        _require_known(card, own_code)
        weights = load_file(path, device=str(device))
    except (safetensors.SafetensorError, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from None
        raise InputError(f"{path}: not a model file of spikeduel, or a damaged one ({error}).") from None
    try:
        # Without memory first, so that a card cannot ask for more than its file holds.
        with torch.device("meta"):
            shapes = {name: value.shape for name, value in build(card).state_dict().items()}
        if shapes != {name: value.shape for name, value in weights.items()}:
            raise InputError(f"its weights do not fit {card.contender}. Was it written by other code?")
        with torch.random.fork_rng():
            module = build(card).to(device)
        module.load_state_dict(weights)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (RuntimeError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: {card.contender} cannot be built from it ({error}).") from None
    model = Model(module.eval(), card)
    if not has_bf16(model.device.type):
        model.precision = "32"
    return model


def _require_known(card: ModelCard, own_code: Collection[str]) -> None:
    for name in (card.contender, card.network.get("neuron"), card.encoding):
        if name is not None and ":" in name and name not in own_code:
            raise InputError(
                f"this model needs the code {name}, which is not spikeduel's. If you trust it, add --own-code {name} "
                "(in Python: own_code=[…])."
            )


def _card(content: dict[str, Any]) -> ModelCard:
    if content.pop("format") != FORMAT:
        raise InputError("written by another version of spikeduel: train it again, or use that version.")
    content["preprocessing"] = Preprocessing.from_dict(content["preprocessing"])
    content["image_shape"] = tuple(_whole(number) for number in content["image_shape"])
    content["classes"] = tuple(str(name) for name in content["classes"])
    content["num_steps"] = content["num_steps"] and _whole(content["num_steps"])
    if len(content["image_shape"]) != 3 or len(content["classes"]) < 2:
        raise InputError("its card names no image shape (C, H, W), or fewer than two classes.")
    return ModelCard(**{f.name: content[f.name] for f in fields(ModelCard) if f.name in content})


def _whole(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InputError(f"its card says {number!r} where a whole number above 0 belongs.")
    return number
