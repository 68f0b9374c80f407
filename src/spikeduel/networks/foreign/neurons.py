"""Layers of neurons of whichever library: which spike, what a neuron does in a time step, how they are put at rest.

They are recognised by the names of their classes, so that no library is imported.
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
    """A neuron's step: multiplications of its leaks, numbers it keeps, and additions a spike for the reset.

    `adds` is how many numbers are added to its state; `multi_step` whether one call takes the whole sequence
    `[T, B, …]`; without `spikes`, it integrates and never fires; `unit` is the value of a spike.
    """

    leaks: int
    states: int = 1
    resets: int = 1
    adds: int = 1
    multi_step: bool = False
    spikes: bool = True
    unit: float = 1.0


CostOf = Callable[[nn.Module], NeuronCost]


@dataclass(frozen=True)
class Known:
    """A class that layers of neurons descend from.

    Without `spikes` they only integrate. `cost` says what a neuron does in a step; None where that is not known, or
    where the layer is counted `by_operators`, as any other.
    """

    cost: CostOf | None = None
    spikes: bool = True
    by_operators: bool = False


def cost_of(module: nn.Module) -> NeuronCost | None:
    """What a layer's neurons do in a step; None where `module` is no layer of neurons, or its step is not known."""
    return next((known.cost(module) for known in _known(module) if known.cost is not None), None)


def is_neuron(module: nn.Module) -> bool:
    """Whether `module` is a layer of neurons that is counted as one unit, its step known here or not."""
    return any(not known.by_operators for known in _known(module))


def activation_bits(module: nn.Module) -> int | None:
    """Of spikeduel's `ReLU` and `QuantisedReLU`, which stand for neurons and are activations: their bits, 0 for any."""
    return int(getattr(module, "activation_bits", 0)) if isinstance(module, ReLU) else None


def spiking_layers(module: nn.Module) -> dict[str, nn.Module]:
    """The layers of neurons in `module` that spike, by name: spikeduel's, snnTorch's, SpikingJelly's, Norse's.

    Layers within such a layer are left out. ReLU in the place of neurons is none, nor is what only integrates.
    """
    layers: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        inside = any(name.startswith(f"{outer}.") or outer == "" for outer in layers)
        if not inside and _spikes(layer):
            layers[name] = layer
    return layers


def family_of(module: nn.Module) -> Family:
    """What the network says of itself, else "snn" if it has layers that spike, "cnn" if it convolves, else "ann".

    Raises `InputError` where it says something else.
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
    """Whether it is made for spikeduel: says its family or its readout."""
    return hasattr(module, "family") or hasattr(module, "readout")


def reset(module: nn.Module) -> None:
    """Puts the neurons of this network at rest, and of no other: snnTorch's and SpikingJelly's, and its own `reset()`.

    (snnTorch's `utils.reset` does it to every network of the process.)
    """
    for layer in module.modules():
        if _is_of(layer, "snntorch") and hasattr(layer, "reset_mem"):
            layer.reset_mem()  # type: ignore[operator]
        elif _is_of(layer, "spikingjelly") and hasattr(layer, "reset"):
            layer.reset()  # type: ignore[operator]
    reset_of_network = getattr(module, "reset", None)
    if callable(reset_of_network) and not _is_of(module, "spikingjelly"):
        reset_of_network()


def _spikes(layer: nn.Module) -> bool:
    if isinstance(layer, Neuron):
        return not isinstance(layer, ReLU)
    return next((known.spikes for known in _known(layer)), False)


def _known(module: nn.Module) -> list[Known]:
    """What is known of the classes of `module`, the nearest first."""
    names = [(kind.__module__.partition(".")[0], kind.__name__) for kind in type(module).__mro__]
    return [KNOWN[name] for name in names if name in KNOWN]


def _is_of(module: nn.Module, library: str) -> bool:
    """Whether the class of `module` descends from something of `library`."""
    return any(kind.__module__.partition(".")[0] == library for kind in type(module).__mro__)


def _number(value: Any, default: float) -> float:
    if isinstance(value, torch.Tensor):
        is_one_number = value.numel() and bool((value == value.flatten()[0]).all())
        return float(value.detach().flatten()[0]) if is_one_number else 0.5
    return default if value is None else float(value)


def _leaks(value: Any) -> int:
    """A decay of 1 (none) or 0 (no memory) takes no multiplication."""
    return int(_number(value, 0.5) not in (0.0, 1.0))


def _ours(module: nn.Module) -> NeuronCost:
    fires = bool(module.threshold != math.inf)
    adaptive = hasattr(module, "adaptation_decay")
    return NeuronCost(
        leaks=_leaks(module.beta) + (_leaks(module.adaptation_decay) if adaptive else 0),
        states=1 + adaptive,
        resets=int(fires and module.reset_mechanism == "subtract") + adaptive,
        multi_step=True,
        spikes=fires,
    )


def _snntorch(leaks: Callable[[nn.Module], int], states: int) -> Known:
    def cost(module: nn.Module) -> NeuronCost:
        resets = int(getattr(module, "reset_mechanism", "subtract") == "subtract")
        unit = _number(getattr(module, "graded_spikes_factor", 1.0), 1.0)
        return NeuronCost(leaks(module), states, resets, adds=states, unit=unit)

    return Known(cost)


def _spikingjelly(leaks: int, spikes: bool = True) -> Known:
    def cost(module: nn.Module) -> NeuronCost:
        # A v_reset sets the membrane, which is a write that every step has; None subtracts.
        resets = int(spikes and getattr(module, "v_reset", None) is None)
        multi_step = getattr(module, "step_mode", "s") == "m" or not hasattr(module, "step_mode")
        return NeuronCost(leaks, resets=resets, multi_step=multi_step, spikes=spikes)

    return Known(cost, spikes)


def _norse(leaks: int, states: int, multi_step: bool, spikes: bool = True) -> Known:
    def cost(module: nn.Module) -> NeuronCost:
        parameters = getattr(module, "p", None)
        subtracts = "subtract" in repr(getattr(parameters, "reset_method", ""))
        return NeuronCost(leaks, states, int(spikes and subtracts), states, multi_step, spikes)

    return Known(cost, spikes)


_UNKNOWN_STEP, _BY_OPERATORS = Known(), Known(by_operators=True)

KNOWN: dict[tuple[str, str], Known] = {
    ("spikeduel", "LIF"): Known(_ours),
    # Each place of the pooled map keeps the counts of the four neurons below it.
    ("spikeduel", "PooledCounts"): Known(lambda module: NeuronCost(0, states=4, resets=0, adds=4, multi_step=True)),
    ("snntorch", "Leaky"): _snntorch(lambda module: _leaks(module.beta), 1),
    ("snntorch", "Lapicque"): _snntorch(lambda module: 1, 1),
    ("snntorch", "Synaptic"): _snntorch(lambda module: _leaks(module.alpha) + _leaks(module.beta), 2),
    ("snntorch", "Alpha"): _snntorch(lambda module: 2 + _leaks(module.beta), 3),
    ("snntorch", "SpikingNeuron"): _UNKNOWN_STEP,
    **{("snntorch", name): _BY_OPERATORS for name in ("LeakyParallel", "LeakyKernel")},
    ("spikingjelly", "IFNode"): _spikingjelly(0),
    ("spikingjelly", "SimpleIFNode"): _spikingjelly(0),
    ("spikingjelly", "LIFNode"): _spikingjelly(1),
    ("spikingjelly", "SimpleLIFNode"): _spikingjelly(1),
    ("spikingjelly", "ParametricLIFNode"): _spikingjelly(1),
    ("spikingjelly", "NonSpikingIFNode"): _spikingjelly(0, spikes=False),
    ("spikingjelly", "NonSpikingLIFNode"): _spikingjelly(1, spikes=False),
    ("spikingjelly", "NonSpikingBaseNode"): Known(spikes=False),
    **{("spikingjelly", name): _UNKNOWN_STEP for name in ("BaseNode", "SimpleBaseNode")},
    **{
        ("spikingjelly", name): _BY_OPERATORS
        for name in (
            "ILCBaseNode", "ActivationAwareIFNode", "PSN", "MaskedPSN", "SlidingPSN", "DSRIFNode", "DSRLIFNode",
        )
    },
    ("norse", "LIFCell"): _norse(2, 2, multi_step=False),
    ("norse", "LIF"): _norse(2, 2, multi_step=True),
    ("norse", "LIFBoxCell"): _norse(1, 1, multi_step=False),
    ("norse", "IAFCell"): _norse(0, 1, multi_step=False),
    ("norse", "IAF"): _norse(0, 1, multi_step=True),
    ("norse", "LICell"): _norse(2, 2, multi_step=False, spikes=False),
    ("norse", "LI"): _norse(2, 2, multi_step=True, spikes=False),
    ("norse", "LIBoxCell"): _norse(1, 1, multi_step=False, spikes=False),
    **{("norse", name): _UNKNOWN_STEP for name in ("SNN", "SNNCell", "SNNRecurrent", "SNNRecurrentCell")},
}  # fmt: skip
"""By library and class. A layer is what the nearest of its classes here says."""
