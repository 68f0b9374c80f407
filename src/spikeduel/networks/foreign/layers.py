"""Layers of neurons of whichever library: which of a network's layers spike, and how they are put at rest."""

from torch import nn

from spikeduel.spiking.neurons import Neuron, ReLU

_SPIKING = {
    "snntorch": ("SpikingNeuron", "LeakyParallel", "LeakyKernel"),
    "spikingjelly": (
        "BaseNode", "SimpleBaseNode", "ILCBaseNode", "ActivationAwareIFNode", "PSN", "MaskedPSN", "SlidingPSN",
        "DSRIFNode", "DSRLIFNode",
    ),
    "norse": ("SNNCell", "SNNRecurrentCell", "SNN", "SNNRecurrent"),
}  # fmt: skip
"""Library to the classes that its spiking layers descend from. Known by their names, so that none is imported."""

_INTEGRATORS = {"norse": ("LICell", "LI", "LIBoxCell"), "spikingjelly": ("NonSpikingBaseNode",)}
"""What integrates and never spikes, though some of it descends from the same classes."""


def spiking_layers(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of neurons in `module` that spike, by name: spikeduel's, snnTorch's, SpikingJelly's, Norse's.

    Layers within such a layer are left out. ReLU in the place of neurons is none, nor is what only integrates.
    """
    found: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        inside = any(name.startswith(f"{outer}.") or outer == "" for outer in found)
        if not inside and _spikes(layer):
            found[name] = layer
    return found


def family_of(module: nn.Module) -> str:
    """ "snn" or "cnn": what the network says of itself, else whether it has layers that spike."""
    return getattr(module, "family", None) or ("snn" if spiking_layers(module) else "cnn")


def is_own(module: nn.Module) -> bool:
    """Whether it is made for spikeduel: says its family or its readout."""
    return hasattr(module, "family") or hasattr(module, "readout")


def reset(module: nn.Module) -> None:
    """Puts the neurons of this network at rest, and of no other: snnTorch's and SpikingJelly's, and its own `reset()`.

    (snnTorch's `utils.reset` does it to every network of the process.)
    """
    for layer in module.modules():
        if descends(layer, "snntorch") and hasattr(layer, "reset_mem"):
            layer.reset_mem()  # type: ignore[operator]
        elif descends(layer, "spikingjelly") and hasattr(layer, "reset"):
            layer.reset()  # type: ignore[operator]
    own = getattr(module, "reset", None)
    if callable(own) and not descends(module, "spikingjelly"):
        own()


def _spikes(layer: nn.Module) -> bool:
    if isinstance(layer, Neuron):
        return not isinstance(layer, ReLU)
    if any(descends(layer, library, names) for library, names in _INTEGRATORS.items()):
        return False
    return any(descends(layer, library, names) for library, names in _SPIKING.items())


def descends(layer: nn.Module, library: str, names: tuple[str, ...] | None = None) -> bool:
    """Whether the class of `layer` descends from something of `library`, or from one of its classes `names`."""
    return any(
        kind.__module__.partition(".")[0] == library and (names is None or kind.__name__ in names)
        for kind in type(layer).__mro__
    )
