"""Model files: safetensors, whose opening runs no code."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, get_args

import safetensors
import torch
from msgspec import Meta
from safetensors.torch import load_file, save
from torch import Tensor, nn

from spikeduel.networks import shipped
from spikeduel.networks.building import build, outlined
from spikeduel.networks.cards import ModelCard
from spikeduel.networks.foreign import family_of
from spikeduel.networks.models import Model
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.spiking.encoders import encoder_of
from spikeduel.system import files, registry, typed
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.registry import Precision
from spikeduel.system.typed import Frozen

FORMAT = 1
"""Version of the metadata in a model file."""
MOST_HEADER_BYTES = 8 << 20
"""Larger headers are refused: a few bytes can claim any size, which would be read into memory."""


def save_model(path: Path, model: Model) -> None:
    """Write weights and card to a safetensors file, atomically."""
    metadata = {"spikeduel": json.dumps({"format": FORMAT, **typed.plain(model.card)})}
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.module.state_dict().items()
    }
    # Written by Python, whose errors name what is wrong with the disk.
    with files.atomic_path(Path(path)) as temporary:
        temporary.write_bytes(save(weights, metadata))


def load_model(
    path: Path | str,
    device: str | torch.device = "cpu",
    own_code: Collection[str] = (),
    precision: str = "32",
) -> Model:
    """Return the model in a file, or one that comes with spikeduel (`shipped.names`).

    Opening a file runs no code but spikeduel's. For a user's architecture, neuron, surrogate or
    encoder, `own_code` lists the `module:attribute` names that may be imported. Reports and exports
    are about float32; with `precision` "bf16", faster on some hardware, a few labels in a thousand
    differ. Raises `InputError`.
    """
    path = shipped.located(Path(path))
    how = next((known for known in get_args(Precision) if known == precision), None)
    if how is None:
        raise unknown("precision", precision, get_args(Precision))
    if files.is_folder(path):
        raise InputError(
            f"{path}: a folder; a run's models are the .safetensors files in its models/."
        )
    if not files.is_file(path):
        raise InputError(
            f"{path}: no such model file. `spikeduel runs` lists the runs, and each has its "
            f"models in its folder models/; `spikeduel models` lists those that come with the "
            f"package.{shipped.hint(path)}"
        )
    try:
        _require_reasonable_header(path)
        with safetensors.safe_open(path, "pt") as file:
            card = _card((file.metadata() or {}).get("spikeduel"))
            shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        _require_fitting(card, shapes, own_code)
        weights = load_file(path)
        with torch.random.fork_rng():
            module = build(card).to(device)
        _require_usable(module, weights, card)
        module.load_state_dict(weights)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: not a model file of spikeduel, or a damaged one ({error})."
        ) from None
    # Wrong settings raise where they are used: in torch, or in the user's code.
    except Exception as error:
        raise InputError(
            f"{path}: no model can be built from it ({type(error).__name__}: {error})."
        ) from None
    return Model(module.eval(), card, how, path)


def _require_reasonable_header(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    # The first eight bytes are the header's size.
    if (size := int.from_bytes(start, "little")) > MOST_HEADER_BYTES:
        raise InputError(
            f"not a model file of spikeduel, or a damaged one: it claims a header of {size:,} "
            "bytes. Opening it could run code: give the .safetensors file from a run's models/."
        )


def _require_fitting(
    card: ModelCard, shapes: dict[str, list[int]], own_code: Collection[str]
) -> None:
    """Check the card against the shapes of the weights, without memory or foreign code."""
    for name in (
        card.contender,
        card.network.get("neuron"),
        card.network.get("surrogate"),
        card.encoding,
    ):
        if name is not None and registry.is_own_code(name) and name not in own_code:
            raise InputError(
                f"this model needs the code {visible(name)}, which is not spikeduel's. If you "
                f"trust it, add --own-code {visible(name)} (in Python: own_code=[…])."
            )
    module = outlined(card)
    if family_of(module) != card.family:
        raise InputError(
            f"its card says {card.family}, and {card.contender} is of family {family_of(module)}."
        )
    if shapes != {name: list(value.shape) for name, value in module.state_dict().items()}:
        raise InputError(f"its weights do not fit {card.contender}. Was it written by other code?")


def _require_usable(module: nn.Module, weights: dict[str, Tensor], card: ModelCard) -> None:
    trained = dict(module.named_parameters())
    for name, built in module.state_dict().items():
        stored = weights[name]
        if stored.dtype != built.dtype:
            dtype, wanted = (str(tensor.dtype).removeprefix("torch.") for tensor in (stored, built))
            raise InputError(f"its weights {name} are {dtype}, and {card.contender} has {wanted}.")
        # Untrained entries, such as a mask, may be infinite.
        if not bool(stored.isfinite().all() if name in trained else ~stored.isnan().any()):
            raise InputError(
                f"its weights {name} are not all numbers (NaN or infinite): train it again."
            )


class _Network(Frozen):
    neuron: str | None = None
    surrogate: str | None = None


class _TrainedOn(Frozen):
    fingerprint: str
    split: str
    split_seed: Annotated[int, Meta(ge=0)]
    limit: Annotated[int, Meta(ge=0)] | None


class _Dicts(Frozen):
    """Dicts of a card, checked."""

    network: _Network
    trained_on: _TrainedOn | None


def _card(text: str | None) -> ModelCard:
    if text is None:
        raise InputError(
            "not a model file of spikeduel: its weights are there, but nothing says what they are."
        )
    try:
        content = typed.parse_json(text, dict[str, Any])
        if content.get("format") != FORMAT:
            raise InputError(
                "written by another version of spikeduel: train it again, or use that version."
            )
        typed.converted({**content, "trained_on": content.get("trained_on") or None}, _Dicts)
        card = typed.converted(content, ModelCard)
        how = Preprocessing.from_dict(content["preprocessing"])  # refuses impossible preprocessing
        if card.foreign is not None and not registry.is_own_code(card.contender):
            raise InputError(
                f"it calls {visible(card.contender)} foreign, which is spikeduel's own."
            )
        if card.image_shape != (how.channels, how.height, how.width):
            raise InputError(
                f"it takes images {list(card.image_shape)}, and its preprocessing makes others."
            )
        if len(card.classes) < 2 or len(set(card.classes)) < len(card.classes):
            raise InputError("it names fewer than two classes, or one twice.")
        if (card.encoding is None, card.num_steps is None) != ((card.family != "snn"),) * 2:
            raise InputError(
                "a spiking network has an encoding and a number of steps, and no other has."
            )
        if card.encoding is not None and ":" not in card.encoding and how.binning is None:
            encoder_of(card.encoding)
    except InputError as error:
        raise InputError(f"what it says about itself is wrong: {error}") from None
    return card
