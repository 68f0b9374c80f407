"""Layers of neurons, of whichever library: what one neuron does in one time step.

They are recognised by the names of their classes, so that no library is imported. Each is one unit: what it computes
inside is not looked at.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class NeuronCost:
    """A neuron's step: multiplications of its leaks, numbers it keeps, and additions a spike for the reset.

    `adds` is how many numbers are added to its state; `multi_step` whether one call takes the whole sequence
    `[T, B, …]`; without `spikes`, it integrates and never fires.
    """

    leaks: int
    states: int = 1
    resets: int = 1
    adds: int = 1
    multi_step: bool = False
    spikes: bool = True
    unit: float = 1.0


def cost_of(module: nn.Module) -> NeuronCost | None:
    """What a layer's neurons do in a step; None where `module` is no layer of neurons that is known here."""
    for kind in type(module).__mro__:
        known = _KNOWN.get((kind.__module__.partition(".")[0], kind.__name__))
        if known is not None:
            return known(module)
    return None


def is_neuron(module: nn.Module) -> bool:
    """Whether `module` is a layer of neurons of spikeduel, snnTorch, SpikingJelly or Norse, known here or not."""
    names = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(module).__mro__}
    return bool(names & _BASES) or cost_of(module) is not None


def activation_bits(module: nn.Module) -> int | None:
    """Of spikeduel's `ReLU` and `QuantisedReLU`, which stand for neurons and are activations: their bits, 0 for any."""
    names = {kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("spikeduel.")}
    if "ReLU" not in names:
        return None
    return int(getattr(module, "activation_bits", 0))


def _number(value: Any, default: float) -> float:
    if isinstance(value, torch.Tensor):
        return (
            float(value.detach().flatten()[0]) if value.numel() and bool((value == value.flatten()[0]).all()) else 0.5
        )
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


def _snntorch(leaks: Callable[[nn.Module], int], states: int) -> Callable[[nn.Module], NeuronCost]:
    def cost(module: nn.Module) -> NeuronCost:
        resets = int(getattr(module, "reset_mechanism", "subtract") == "subtract")
        unit = _number(getattr(module, "graded_spikes_factor", 1.0), 1.0)
        return NeuronCost(leaks(module), states, resets, adds=states, unit=unit)

    return cost


def _spikingjelly(leaks: int, spikes: bool = True) -> Callable[[nn.Module], NeuronCost]:
    def cost(module: nn.Module) -> NeuronCost:
        # A v_reset sets the membrane, which is a write that every step has; None subtracts.
        resets = int(spikes and getattr(module, "v_reset", None) is None)
        multi_step = getattr(module, "step_mode", "s") == "m" or not hasattr(module, "step_mode")
        return NeuronCost(leaks, resets=resets, multi_step=multi_step, spikes=spikes)

    return cost


def _norse(leaks: int, states: int, multi_step: bool, spikes: bool = True) -> Callable[[nn.Module], NeuronCost]:
    def cost(module: nn.Module) -> NeuronCost:
        parameters = getattr(module, "p", None)
        subtracts = "subtract" in repr(getattr(parameters, "reset_method", ""))
        return NeuronCost(leaks, states, int(spikes and subtracts), states, multi_step, spikes)

    return cost


_KNOWN: dict[tuple[str, str], Callable[[nn.Module], NeuronCost]] = {
    ("spikeduel", "LIF"): _ours,
    # Each place of the pooled map keeps the counts of the four neurons below it.
    ("spikeduel", "PooledCounts"): lambda module: NeuronCost(0, states=4, resets=0, adds=4, multi_step=True),
    ("snntorch", "Leaky"): _snntorch(lambda module: _leaks(module.beta), 1),
    ("snntorch", "Lapicque"): _snntorch(lambda module: 1, 1),
    ("snntorch", "Synaptic"): _snntorch(lambda module: _leaks(module.alpha) + _leaks(module.beta), 2),
    ("snntorch", "Alpha"): _snntorch(lambda module: 2 + _leaks(module.beta), 3),
    ("spikingjelly", "IFNode"): _spikingjelly(0),
    ("spikingjelly", "SimpleIFNode"): _spikingjelly(0),
    ("spikingjelly", "LIFNode"): _spikingjelly(1),
    ("spikingjelly", "SimpleLIFNode"): _spikingjelly(1),
    ("spikingjelly", "ParametricLIFNode"): _spikingjelly(1),
    ("spikingjelly", "NonSpikingIFNode"): _spikingjelly(0, spikes=False),
    ("spikingjelly", "NonSpikingLIFNode"): _spikingjelly(1, spikes=False),
    ("norse", "LIFCell"): _norse(2, 2, multi_step=False),
    ("norse", "LIF"): _norse(2, 2, multi_step=True),
    ("norse", "LIFBoxCell"): _norse(1, 1, multi_step=False),
    ("norse", "IAFCell"): _norse(0, 1, multi_step=False),
    ("norse", "IAF"): _norse(0, 1, multi_step=True),
    ("norse", "LICell"): _norse(2, 2, multi_step=False, spikes=False),
    ("norse", "LI"): _norse(2, 2, multi_step=True, spikes=False),
    ("norse", "LIBoxCell"): _norse(1, 1, multi_step=False, spikes=False),
}

_BASES = {
    ("snntorch", "SpikingNeuron"),
    ("spikingjelly", "BaseNode"),
    ("spikingjelly", "SimpleBaseNode"),
    ("spikingjelly", "NonSpikingBaseNode"),
    ("norse", "SNN"),
    ("norse", "SNNCell"),
    ("norse", "SNNRecurrent"),
    ("norse", "SNNRecurrentCell"),
}
"""Layers of neurons derive from these: one that is not in `_KNOWN` is not guessed at."""
