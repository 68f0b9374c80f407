"""Networks built from their cards."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import Parameter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.engine.networks import libraries
from spikeduel.engine.networks.architectures import ARCHITECTURES
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.foreign import ExternalNetwork
from spikeduel.engine.neurons import NEURONS
from spikeduel.system import registry
from spikeduel.system.errors import unknown, visible


def build(card: ModelCard) -> nn.Module:
    """Return a fresh network.

    A user's code with other required arguments than `BUILT_WITH` gets the first three by position.
    Raises `InputError`.
    """
    architecture = architecture_of(card.contender)
    binning, num_steps = card.preprocessing.binning, card.num_steps
    if num_steps is None and card.foreign is not None:
        num_steps = card.foreign.num_steps
    where = {
        "image_shape": card.input_shape,
        "num_classes": len(card.classes),
        "num_steps": num_steps,
        "num_frames": binning.num_frames if binning else 1,
    }
    settings = dict(card.network)
    if (neuron := settings.pop("neuron", None)) is not None:
        of_neuron = {name: settings.pop(name) for name in NEURON_SETTINGS if name in settings}
        settings["neuron"] = partial(registry.resolve("neuron", neuron, NEURONS), **of_neuron)
    if (named := architecture.arguments) is None:
        module = architecture.build(*list(where.values())[:3], **settings)
    else:
        for name in settings:
            if name not in named and name not in BUILT_WITH:
                raise unknown(f"setting of {card.contender}", visible(name), named)
        taken = {name: value for name, value in {**where, **settings}.items() if name in named}
        module = architecture.build(**taken)
    return module if card.foreign is None else ExternalNetwork(module, card.foreign, card.kind)


def started(card: ModelCard) -> nn.Module:
    """Return a network with the card's pretrained weights."""
    module = build(card)
    if isinstance(module, libraries.LibraryNetwork):
        module.start()
    return module


@dataclass(frozen=True)
class Architecture:
    """A function that builds a network, and the `arguments` that it names; None if it requires
    others than `BUILT_WITH`.
    """

    build: Callable[..., nn.Module]
    arguments: Collection[str] | None


def architecture_of(contender: str) -> Architecture:
    """Return the architecture of a contender. Raises `InputError`."""
    if registry.library_of(contender):
        build = libraries.architecture(contender)
    else:
        build = registry.resolve("contender", contender, ARCHITECTURES)
    return Architecture(build, _names_taken(build))


SHAPE_SETTINGS = ("hidden", "width", "pooling", "dropout")
BUILT_WITH = ("image_shape", "num_classes", "num_steps", "num_frames", "neuron", *SHAPE_SETTINGS)
"""Arguments of architectures."""


def _names_taken(build: Callable[..., Any]) -> Collection[str] | None:
    """Return the arguments that an architecture names; None if it requires others."""
    if (parameters := _parameters(build)) is None:
        return None
    kinds = {p.kind for p in parameters.values()}
    needed = {
        p.name for p in parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD
    }
    if (
        Parameter.VAR_POSITIONAL in kinds
        or Parameter.POSITIONAL_ONLY in kinds
        or not needed <= set(BUILT_WITH)
    ):
        return None
    return BUILT_WITH if Parameter.VAR_KEYWORD in kinds else list(parameters)


def outlined(card: ModelCard) -> nn.Module:
    """Return the network of `card` on the meta device; in memory if it decides by values."""
    if card.foreign is None:
        try:
            with torch.device("meta"):
                return build(card)
        except Exception:
            if card.contender in ARCHITECTURES:
                raise
    with torch.random.fork_rng():
        return build(card)


NEURON_SETTINGS = (
    "beta",
    "threshold",
    "reset_mechanism",
    "surrogate",
    "surrogate_alpha",
    "adaptation_decay",
    "adaptation_gain",
    "activation_bits",
)


def neuron_settings(neuron: str) -> tuple[str, ...]:
    """Return the `NEURON_SETTINGS` that this neuron takes. Raises `InputError`."""
    taken = _parameters(registry.resolve("neuron", neuron, NEURONS)) or ()
    return tuple(name for name in NEURON_SETTINGS if name in taken)


def _parameters(build: Callable[..., Any]) -> Mapping[str, Parameter] | None:
    """Return the parameters that `build` takes; None for code without a signature."""
    try:
        return inspect.signature(build).parameters
    except (TypeError, ValueError):
        return None


def num_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


MAX_IMAGES = 1024
MIN_SHARE = 1e-2
"""Directions with less than this share of the largest variance, mostly noise, are scaled as if they
had it.
"""


def to_whiten(module: nn.Module, image_shape: Sequence[int]) -> nn.Conv2d | None:
    """Return the first convolution, if it sees patches of images of this shape."""
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d)), None)
    sees_patches = (
        first is not None
        and first.in_channels == image_shape[0]
        and first.groups == 1
        and all(size >= edge for size, edge in zip(image_shape[1:], first.kernel_size, strict=True))
    )
    return first if sees_patches else None


@torch.no_grad()
def whiten(module: nn.Module, images: Tensor) -> None:
    """Set the first convolution's filters to principal directions of patches of `images` uint8 `[N,
    C, H, W]`, with both signs, scaled to one variance; without such patches, to nothing new.

    After Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU".
    """
    if (first := to_whiten(module, images.shape[1:])) is None:
        return
    kernel_size = first.kernel_size
    pixels = images[:MAX_IMAGES].cpu().float() / 255  # some devices find no eigenvectors
    patches = F.unfold(pixels, kernel_size, stride=kernel_size).movedim(1, 2).flatten(0, 1)
    values, directions = torch.linalg.eigh(torch.cov(patches.T))
    if not values[-1] > 0:  # NaN for a single patch
        return
    scales = values.clamp(min=MIN_SHARE * float(values[-1])).rsqrt()
    filters = (directions * scales).T.flip(0)  # the widest first
    both = torch.stack([filters, -filters], 1).flatten(0, 1)[: len(first.weight)]
    # Scale as when fresh: batch norm takes scale away, weight decay does not.
    both *= first.weight.norm().cpu() / len(first.weight) ** 0.5 / both.norm(dim=1).mean()
    first.weight[: len(both)] = both.view(-1, *first.weight.shape[1:])
