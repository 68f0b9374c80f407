"""Networks made from their cards, and what an architecture or a neuron wants to be told."""

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from inspect import Parameter
from typing import Any

import torch
from torch import nn

from spikeduel.networks import libraries
from spikeduel.networks.architectures import ARCHITECTURES
from spikeduel.networks.cards import ModelCard
from spikeduel.networks.foreign import Foreign
from spikeduel.spiking.neurons import NEURONS
from spikeduel.system import registry
from spikeduel.system.errors import unknown, visible


def build(card: ModelCard) -> nn.Module:
    """A fresh network as `card` describes it, its weights drawn from torch's generator. Raises
    `InputError`.

    The architecture is called with those of `BUILT_WITH` that it names; one's own class or function
    that must have others, with the first three in this order, and the rest by name.
    """
    architecture = architecture_of(card.contender)
    num_steps = (
        card.foreign.num_steps if card.num_steps is None and card.foreign else card.num_steps
    )
    binning = card.preprocessing.binning
    where = {
        "image_shape": card.input_shape,
        "num_classes": len(card.classes),
        "num_steps": num_steps,
    }
    where["num_frames"] = binning.num_frames if binning else 1
    settings = {name: value for name, value in card.network.items() if name != "neuron"}
    if (neuron := card.network.get("neuron")) is not None:
        of_neuron = {name: settings.pop(name) for name in NEURON_SETTINGS if name in settings}
        settings["neuron"] = partial(registry.resolve("neuron", neuron, NEURONS), **of_neuron)
    named = names_taken(architecture)
    if named is None:
        module = architecture(*list(where.values())[:3], **settings)
    else:
        if mistakes := [name for name in settings if name not in named and name not in BUILT_WITH]:
            raise unknown(f"setting of {card.contender}", visible(mistakes[0]), named)
        module = architecture(
            **{name: value for name, value in {**where, **settings}.items() if name in named}
        )
    return module if card.foreign is None else Foreign(module, card.foreign, card.family)


def started(card: ModelCard) -> nn.Module:
    """The network as its training starts: as `build` makes it, with the pretrained weights that its
    card names.
    """
    module = build(card)
    if isinstance(module, libraries.LibraryNetwork):
        module.start()
    return module


def architecture_of(contender: str) -> Callable[..., nn.Module]:
    """What builds a contender: spikeduel's own, a library's, or the user's. Raises `InputError` for
    an unknown name.
    """
    if registry.library_of(contender):
        return libraries.architecture(contender)
    built: Callable[..., nn.Module] = registry.resolve("contender", contender, ARCHITECTURES)
    return built


SHAPE_SETTINGS = ("hidden", "width", "pooling", "dropout")
"""The settings that go to the architecture."""
BUILT_WITH = ("image_shape", "num_classes", "num_steps", "num_frames", "neuron", *SHAPE_SETTINGS)
"""What an architecture may name, to be told."""


def names_taken(build: Callable[..., Any]) -> Collection[str] | None:
    """What an architecture wants by name; None where one's own must have more than `BUILT_WITH`, or
    says nothing.
    """
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
    """The network of `card` without memory, only to see that it can be built, and what it is.

    Foreign ones decide by values while they are built, and so do some of one's own: they get
    memory. Raises whatever building them raises.
    """
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
"""The settings that go to the neuron, not to the architecture."""


def neuron_settings(neuron: str) -> tuple[str, ...]:
    """Those of `NEURON_SETTINGS` that the neuron of this name takes. Raises `InputError`."""
    taken = _parameters(registry.resolve("neuron", neuron, NEURONS)) or ()
    return tuple(name for name in NEURON_SETTINGS if name in taken)


def _parameters(build: Callable[..., Any]) -> Mapping[str, Parameter] | None:
    try:
        return inspect.signature(build).parameters
    except (TypeError, ValueError):  # something of the user's that says nothing about itself
        return None


def num_parameters(module: nn.Module) -> int:
    """The number of trainable numbers."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
