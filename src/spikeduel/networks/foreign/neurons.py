"""Layers of neurons of all libraries: whether they spike, the cost of a step, their reset.

Classes are known by name, so that no library is imported.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from spikeduel.spiking.neurons import Neuron, ReLU
from spikeduel.system.errors import unknown
from spikeduel.system.registry import FAMILIES, Family


@dataclass(frozen=True)
class NeuronCost:
    """Cost of a neuron's time step.

    `leaks` are multiplications, `states` the numbers kept, `resets` additions per spike, `adds`
    numbers added to the state. With `multi_step`, one call takes the whole sequence `[T, B, …]`.
    Without `spikes`, the neuron integrates and never fires. `unit` is the value of a spike.
    """

    leaks: int
    states: int = 1
    resets: int = 1
    adds: int = 1
    multi_step: bool = False
    spikes: bool = True
    unit: float = 1.0


@dataclass(frozen=True)
class Known:
    """Knowledge of a class of layers of neurons.

    Without `spikes` they only integrate. `cost` is None if unknown, or if the layer is counted
    `by_operators` like any other.
    """

    cost: Callable[[Any], NeuronCost] | None = None
    spikes: bool = True
    by_operators: bool = False


def known(module: nn.Module) -> Known | None:
    """Return the entry of `KNOWN` for the nearest class of `module`; None for other layers."""
    names = ((kind.__module__.partition(".")[0], kind.__name__) for kind in type(module).__mro__)
    return next((KNOWN[name] for name in names if name in KNOWN), None)


def spiking_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of spiking neurons in `module`, by name.

    Layers within such a layer, ReLU in the place of neurons, and layers that only integrate are
    left out.
    """
    layers: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        inside = any(name.startswith(f"{outer}.") or outer == "" for outer in layers)
        own, there = isinstance(layer, Neuron) and not isinstance(layer, ReLU), known(layer)
        if not inside and (own or (there is not None and there.spikes)):
            layers[name] = layer
    return layers


def family_of(module: nn.Module) -> Family:
    """Return the declared family, else "snn" with spiking layers, "cnn" with convolutions, or
    "ann".

    Raises `InputError` for an unknown declared family.
    """
    family = getattr(module, "family", None)
    if family is None:
        if spiking_layers(module):
            return "snn"
        return "cnn" if any(isinstance(layer, _ConvNd) for layer in module.modules()) else "ann"
    if family not in FAMILIES:
        raise unknown(f"family of {type(module).__name__}", str(family), FAMILIES)
    return family


def is_own(module: nn.Module) -> bool:
    """Return True if the module was made for spikeduel: it declares a family or a readout."""
    return hasattr(module, "family") or hasattr(module, "readout")


def reset(module: nn.Module) -> None:
    """Reset the neurons of this network: snnTorch's, SpikingJelly's, and by its method `reset`.

    snnTorch's `utils.reset` would reset all networks of the process.
    """
    for layer in module.modules():
        if _is_of(layer, "snntorch") and hasattr(layer, "reset_mem"):
            layer.reset_mem()  # type: ignore[operator]
        elif _is_of(layer, "spikingjelly") and hasattr(layer, "reset"):
            layer.reset()  # type: ignore[operator]
    reset_of_network = getattr(module, "reset", None)
    if callable(reset_of_network) and not _is_of(module, "spikingjelly"):
        reset_of_network()


def _is_of(module: nn.Module, library: str) -> bool:
    """Return True if the class of `module` descends from a class of `library`."""
    return any(kind.__module__.partition(".")[0] == library for kind in type(module).__mro__)


def _leaks(*decays: Any) -> int:
    """Return the multiplications for these decays: none for 1 (no leak) or 0 (no memory)."""
    values = [torch.as_tensor(decay) for decay in decays]
    return sum(not bool((value == 0).all() or (value == 1).all()) for value in values)


def _ours(module: Any) -> NeuronCost:
    fires, adaptive = module.threshold != math.inf, hasattr(module, "adaptation_decay")
    return NeuronCost(
        leaks=_leaks(module.beta, *([module.adaptation_decay] if adaptive else [])),
        states=1 + adaptive,
        resets=int(fires and module.reset_mechanism == "subtract") + adaptive,
        multi_step=True,
        spikes=fires,
    )


def _snntorch(leaks: Callable[[Any], int], states: int = 1) -> Known:
    def cost(module: Any) -> NeuronCost:
        resets = int(getattr(module, "reset_mechanism", "subtract") == "subtract")
        unit = torch.as_tensor(getattr(module, "graded_spikes_factor", 1.0)).detach().flatten()[0]
        return NeuronCost(leaks(module), states, resets, adds=states, unit=float(unit))

    return Known(cost)


def _spikingjelly(leaks: int, spikes: bool = True) -> Known:
    def cost(module: Any) -> NeuronCost:
        # v_reset sets the membrane, a write that every step has; None subtracts.
        resets = int(spikes and getattr(module, "v_reset", None) is None)
        return NeuronCost(
            leaks, resets=resets, multi_step=getattr(module, "step_mode", "m") == "m", spikes=spikes
        )

    return Known(cost, spikes)


def _norse(leaks: int, states: int, multi_step: bool = False, spikes: bool = True) -> Known:
    def cost(module: Any) -> NeuronCost:
        subtracts = "subtract" in repr(getattr(getattr(module, "p", None), "reset_method", ""))
        return NeuronCost(leaks, states, int(spikes and subtracts), states, multi_step, spikes)

    return Known(cost, spikes)


_UNKNOWN_STEP, _BY_OPERATORS = Known(), Known(by_operators=True)

KNOWN: dict[tuple[str, str], Known] = {
    ("spikeduel", "LIF"): Known(_ours),
    # A place of the pooled map keeps the counts of its neurons: four for a stride of 2.
    ("spikeduel", "PooledCounts"): Known(
        lambda module: NeuronCost(
            0, math.prod(module.stride), resets=0, adds=math.prod(module.stride), multi_step=True
        )
    ),
    ("snntorch", "Leaky"): _snntorch(lambda module: _leaks(module.beta)),
    ("snntorch", "Lapicque"): _snntorch(lambda module: 1),
    ("snntorch", "Synaptic"): _snntorch(lambda module: _leaks(module.alpha, module.beta), 2),
    ("snntorch", "Alpha"): _snntorch(lambda module: 2 + _leaks(module.beta), 3),
    ("snntorch", "SpikingNeuron"): _UNKNOWN_STEP,
    **{("snntorch", name): _BY_OPERATORS for name in ("LeakyParallel", "LeakyKernel")},
    **{("spikingjelly", name): _spikingjelly(0) for name in ("IFNode", "SimpleIFNode")},
    **{
        ("spikingjelly", name): _spikingjelly(1)
        for name in ("LIFNode", "SimpleLIFNode", "ParametricLIFNode")
    },
    ("spikingjelly", "NonSpikingIFNode"): _spikingjelly(0, spikes=False),
    ("spikingjelly", "NonSpikingLIFNode"): _spikingjelly(1, spikes=False),
    ("spikingjelly", "NonSpikingBaseNode"): Known(spikes=False),
    **{("spikingjelly", name): _UNKNOWN_STEP for name in ("BaseNode", "SimpleBaseNode")},
    **{
        ("spikingjelly", name): _BY_OPERATORS
        for name in (
            "ILCBaseNode",
            "ActivationAwareIFNode",
            "PSN",
            "MaskedPSN",
            "SlidingPSN",
            "DSRIFNode",
            "DSRLIFNode",
        )
    },
    ("norse", "LIFCell"): _norse(2, 2),
    ("norse", "LIF"): _norse(2, 2, multi_step=True),
    ("norse", "LIFBoxCell"): _norse(1, 1),
    ("norse", "IAFCell"): _norse(0, 1),
    ("norse", "IAF"): _norse(0, 1, multi_step=True),
    ("norse", "LICell"): _norse(2, 2, spikes=False),
    ("norse", "LI"): _norse(2, 2, multi_step=True, spikes=False),
    ("norse", "LIBoxCell"): _norse(1, 1, spikes=False),
    **{
        ("norse", name): _UNKNOWN_STEP
        for name in ("SNN", "SNNCell", "SNNRecurrent", "SNNRecurrentCell")
    },
}
"""Classes by library and name; the nearest base class counts."""
