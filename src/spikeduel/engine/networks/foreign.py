"""Networks of other libraries: which layers spike, and their calls and resets."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves, tree_map

from spikeduel.engine import ConstantInput
from spikeduel.engine.networks.cards import CallConvention, Output
from spikeduel.engine.neurons import Neuron, ReLU
from spikeduel.engine.readouts import LogitReadout, MeanReadout, Readout, SpikeCountReadout
from spikeduel.system.errors import InputError, unknown
from spikeduel.system.registry import NETWORK_KINDS, NetworkKind


@dataclass(frozen=True)
class NeuronCost:
    """Cost of a neuron's time step.

    `leaks` are multiplications, `states` the numbers kept, `resets` additions per spike, `adds`
    numbers added to the state. With `multi_step`, one call takes `[T, B, …]`. Without `spikes`, it
    integrates only. `unit` is the value of a spike.
    """

    leaks: int
    states: int = 1
    resets: int = 1
    adds: int = 1
    multi_step: bool = False
    spikes: bool = True
    unit: float = 1.0


@dataclass(frozen=True)
class NeuronType:
    """A class of layers of neurons; `cost` is None if unknown, or counted `by_operators`."""

    cost: Callable[[Any], NeuronCost] | None = None
    spikes: bool = True
    by_operators: bool = False


def neuron_type(module: nn.Module) -> NeuronType | None:
    """Return the `NEURON_TYPES` entry of the nearest base class, or None."""
    names = ((kind.__module__.partition(".")[0], kind.__name__) for kind in type(module).__mro__)
    return next((NEURON_TYPES[name] for name in names if name in NEURON_TYPES), None)


def spiking_layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return the outermost layers of spiking neurons, by name."""
    layers: dict[str, nn.Module] = {}
    for name, layer in module.named_modules():
        is_inside = any(name.startswith(f"{outer}.") or outer == "" for outer in layers)
        spikes = isinstance(layer, Neuron) and not isinstance(layer, ReLU)
        if not is_inside and (spikes or ((entry := neuron_type(layer)) and entry.spikes)):
            layers[name] = layer
    return layers


def declared(build: Any) -> bool | None:
    """Return the attribute `spikes` of the class or function that builds a network, or None."""
    spikes = getattr(build, "spikes", None)
    return spikes if isinstance(spikes, bool) else None


def kind_of(module: nn.Module, spikes: bool | None = None) -> NetworkKind:
    """Return the module's own kind; else "snn" if it `spikes` (unset: if it has spiking layers),
    "cnn" with convolutions, or "ann". Raises `InputError`.
    """
    if (kind := getattr(module, "kind", None)) in NETWORK_KINDS:
        return kind
    if kind is not None:
        raise unknown(f"kind of {type(module).__name__}", str(kind), NETWORK_KINDS)
    if spiking_layers(module) if spikes is None else spikes:
        return "snn"
    return "cnn" if any(isinstance(layer, _ConvNd) for layer in module.modules()) else "ann"


def is_own(module: nn.Module) -> bool:
    """Return True if the module declares a kind or a readout."""
    return hasattr(module, "kind") or hasattr(module, "readout")


def reset(module: nn.Module) -> None:
    """Reset the network's neurons, and call its own `reset` if it has one.

    snnTorch's `utils.reset` would reset all networks of the process.
    """
    for layer in module.modules():
        if _is_of(layer, "snntorch") and hasattr(layer, "reset_mem"):
            layer.reset_mem()  # type: ignore[operator]
        elif _is_of(layer, "spikingjelly") and hasattr(layer, "reset"):
            layer.reset()  # type: ignore[operator]
    reset_of_network = getattr(module, "reset", None)
    # A module of SpikingJelly is reset by the loop.
    if callable(reset_of_network) and not _is_of(module, "spikingjelly"):
        reset_of_network()


def _is_of(module: nn.Module, library: str) -> bool:
    return any(kind.__module__.partition(".")[0] == library for kind in type(module).__mro__)


def _leaks(*decays: Any) -> int:
    """Return the multiplications for decays: none for 1 (no leak) or 0 (no memory)."""
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


def _snntorch(leaks: Callable[[Any], int], states: int = 1) -> NeuronType:
    def cost(module: Any) -> NeuronCost:
        resets = int(module.reset_mechanism == "subtract")
        unit = float(torch.as_tensor(module.graded_spikes_factor).flatten()[0])
        return NeuronCost(leaks(module), states, resets, adds=states, unit=unit)

    return NeuronType(cost)


def _spikingjelly(leaks: int, spikes: bool = True) -> NeuronType:
    def cost(module: Any) -> NeuronCost:
        # v_reset sets the membrane at every step; None subtracts.
        resets = int(spikes and getattr(module, "v_reset", None) is None)
        return NeuronCost(
            leaks, resets=resets, multi_step=getattr(module, "step_mode", "m") == "m", spikes=spikes
        )

    return NeuronType(cost, spikes)


def _norse(leaks: int, states: int, multi_step: bool = False, spikes: bool = True) -> NeuronType:
    def cost(module: Any) -> NeuronCost:
        subtracts = "subtract" in repr(getattr(getattr(module, "p", None), "reset_method", ""))
        return NeuronCost(leaks, states, int(spikes and subtracts), states, multi_step, spikes)

    return NeuronType(cost, spikes)


NEURON_TYPES: dict[tuple[str, str], NeuronType] = {
    ("spikeduel", "LIF"): NeuronType(_ours),
    ("spikeduel", "IntegerIF"): NeuronType(lambda module: NeuronCost(0, multi_step=True)),
    # A place of the pooled map keeps its neurons' counts: four for a stride of 2.
    ("spikeduel", "PooledCounts"): NeuronType(
        lambda module: NeuronCost(
            0, math.prod(module.stride), resets=0, adds=math.prod(module.stride), multi_step=True
        )
    ),
    ("spikeduel", "CubaLIF"): NeuronType(
        lambda module: NeuronCost(
            _leaks(module.alpha, module.beta), states=2, resets=0, adds=2, multi_step=True
        )
    ),
    ("snntorch", "Leaky"): _snntorch(lambda module: _leaks(module.beta)),
    ("snntorch", "Lapicque"): _snntorch(lambda module: 1),
    ("snntorch", "Synaptic"): _snntorch(lambda module: _leaks(module.alpha, module.beta), 2),
    ("snntorch", "Alpha"): _snntorch(lambda module: 2 + _leaks(module.beta), 3),
    ("snntorch", "SpikingNeuron"): NeuronType(),
    **{
        ("snntorch", name): NeuronType(by_operators=True)
        for name in ("LeakyParallel", "LeakyKernel")
    },
    **{("spikingjelly", name): _spikingjelly(0) for name in ("IFNode", "SimpleIFNode")},
    **{
        ("spikingjelly", name): _spikingjelly(1)
        for name in ("LIFNode", "SimpleLIFNode", "ParametricLIFNode")
    },
    ("spikingjelly", "NonSpikingIFNode"): _spikingjelly(0, spikes=False),
    ("spikingjelly", "NonSpikingLIFNode"): _spikingjelly(1, spikes=False),
    ("spikingjelly", "NonSpikingBaseNode"): NeuronType(spikes=False),
    **{("spikingjelly", name): NeuronType() for name in ("BaseNode", "SimpleBaseNode")},
    **{
        ("spikingjelly", name): NeuronType(by_operators=True)
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
        ("norse", name): NeuronType()
        for name in ("SNN", "SNNCell", "SNNRecurrent", "SNNRecurrentCell")
    },
}
"""Classes by library and name; the nearest base class counts."""


READOUTS: dict[str, type[Readout]] = {
    "scores": LogitReadout,
    "over_time": MeanReadout,
    "spikes": SpikeCountReadout,
}
"""Readouts by `Calling.output`."""
_PROBED_IMAGES, _PROBED_STEPS = 11, 2
"""Lengths that tell the axes of images and time apart in a layer's input."""


class ExternalNetwork(nn.Module):
    """A foreign network, reset at every call."""

    def __init__(self, module: nn.Module, calling: CallConvention, kind: NetworkKind) -> None:
        super().__init__()
        self.module = module
        self.calling = calling
        self.kind = kind
        self.readout = READOUTS[calling.output]()
        for layer in spiking_layers(module).values():
            layer.register_forward_pre_hook(_in_float32)

    def forward(self, x: Tensor | ConstantInput) -> Any:
        return called(self.module, x, self.calling)

    def state_dict(self, *args: Any, **settings: Any) -> Any:
        return self.module.state_dict(*args, **settings)

    def load_state_dict(self, state_dict: Any, *args: Any, **settings: Any) -> Any:
        return self.module.load_state_dict(state_dict, *args, **settings)


def _in_float32(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Keep membranes in float32: foreign neurons take the type of their current."""
    return tuple(
        part.float() if isinstance(part, Tensor) and part.dtype == torch.bfloat16 else part
        for part in inputs
    )


def called(module: nn.Module, x: Tensor | ConstantInput, calling: CallConvention) -> Any:
    """Return the output of `module`, reset before, for an encoder's output or images `[B, C, H,
    W]`.
    """
    reset(module)
    if calling.way == "step":
        # The same tensor for all steps shows the counter that the image stays the same.
        frames = [x.value] * x.num_steps if isinstance(x, ConstantInput) else x.unbind(0)
        frames = [frame.flatten(1) if calling.flat else frame for frame in frames]
        output = tree_map(_stacked, *[module(frame) for frame in frames])
    else:
        over_time = calling.way == "sequence"
        if isinstance(x, ConstantInput):
            x = x.expand() if over_time else x.value
        output = module(x.flatten(2 if over_time else 1) if calling.flat else x)
    # Readouts know tuples.
    return tuple(output) if isinstance(output, list) else output


def _stacked(*steps: Any) -> Any:
    return torch.stack(steps) if isinstance(steps[0], Tensor) else steps[0]


def calling_of(
    module: nn.Module,
    image_shape: tuple[int, ...],
    num_classes: int | None = None,
    spikes: bool | None = None,
    any_output: bool = False,
) -> CallConvention:
    """Return a foreign network's calling convention, found with a few images by what its spiking
    layers receive. `spikes` is what its builder declares. With `any_output`, the network may return
    something else than scores, such as a list or dict of feature maps; `output` then says nothing.
    Raises `InputError`.
    """
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            device = next(module.parameters(), torch.empty(0)).device
            generator = torch.Generator().manual_seed(0)
            images = torch.rand((_PROBED_IMAGES, *image_shape), generator=generator).to(device)
            calling, output = _probed(module, images, spikes, any_output)
            num_outputs = None if num_classes is None else _parts(output)[0].shape[-1]
            if num_outputs != num_classes:
                raise InputError(
                    f"it has {num_outputs} outputs, and the data has {num_classes} classes. Let "
                    "what builds it take num_classes."
                )
            _require_fresh(module, images, calling)
    finally:
        module.train(was_training)
    return calling


def _probed(
    module: nn.Module, images: Tensor, spikes: bool | None, any_output: bool
) -> tuple[CallConvention, Any]:
    """Return the calling convention and the output of the first way of calling `module` that works.

    Ways are tried in the order of their likelihood: flat images or not, one step or a sequence.
    """
    layers = list(spiking_layers(module).values())
    kind_of_output = partial(_kind, any_output=any_output)
    failure: Exception | None = None
    for flat in (True, False) if _starts_linear(module) else (False, True):
        image = images.flatten(1) if flat else images
        for x in (image, torch.stack([image] * _PROBED_STEPS)) if layers else (image,):
            try:
                output, num_steps = _observed(module, x, layers)
            except Exception as error:  # user code can raise anything; the next way may be right
                failure = failure or error
                continue
            if not layers:
                kind, steps = kind_of_output(output)
                return _without_neurons(module, kind, steps, flat, spikes), output
            over_time = any(map(_is_over_time, _tensors(output)))
            if x is not image:
                if num_steps == _PROBED_STEPS:
                    return CallConvention("sequence", flat, kind_of_output(output)[0]), output
            elif num_steps == 1 and not over_time:
                kind, _ = kind_of_output(output, one_step=True)
                return CallConvention("step", flat, kind), output
            elif num_steps:
                kind, steps = kind_of_output(output)
                return CallConvention("loop", flat, kind, steps or num_steps), output
    raise InputError(_refusal(module, tuple(images.shape[1:]), failure))


def _without_neurons(
    module: nn.Module, kind: Output, steps: int | None, flat: bool, spikes: bool | None
) -> CallConvention:
    """Return the calling convention of a network without known spiking layers, by its output."""
    if spikes:
        num_steps = steps or getattr(module, "num_steps", None)
        if isinstance(num_steps, int):
            return CallConvention("loop", flat, kind, num_steps)
        raise InputError(
            "it is said to spike, has no layer that is known to, and returns scores [B, K], so "
            "that its number of time steps cannot be seen. Give it an attribute num_steps."
        )
    if kind == "scores":
        return CallConvention("once", flat, kind)
    raise InputError(
        "it returns something for each time step, and has no layer that is known to spike. If it "
        "is a spiking network, give what builds it the attribute spikes = True."
    )


@contextmanager
def inputs_watched(layers: Iterable[nn.Module]) -> Iterator[dict[nn.Module, list[Any]]]:
    """Yield the first inputs of all calls of `layers`, by layer."""
    taken: dict[nn.Module, list[Any]] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor | ConstantInput):
            taken.setdefault(layer, []).append(inputs[0])

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(layer.register_forward_pre_hook(note))
        yield taken


def _observed(module: nn.Module, x: Tensor, layers: list[nn.Module]) -> tuple[Any, int]:
    """Return the output for `x`, and the time steps that the spiking layers ran (0 if unclear)."""
    reset(module)
    torch.manual_seed(0)
    try:
        with inputs_watched(layers) as seen:
            output = module(x)
    finally:
        reset(module)
    steps = [_steps_of_layer(layer, [x.shape for x in inputs]) for layer, inputs in seen.items()]
    return output, max(steps, default=0) if all(steps) else 0


def _steps_of_layer(layer: nn.Module, shapes: list[torch.Size]) -> int:
    shape, mode = shapes[0], getattr(layer, "step_mode", None)
    if not isinstance(layer, Neuron) and mode != "m" and shape and shape[0] == _PROBED_IMAGES:
        return len(shapes)
    over_time = len(shape) > 2 and shape[1] == _PROBED_IMAGES and mode in (None, "m")
    return shape[0] * len(shapes) if over_time else 0


def _parts(output: Any) -> Any:
    return output if isinstance(output, tuple | list) else (output,)


def _tensors(output: Any) -> list[Tensor]:
    return [part for part in tree_leaves(output) if isinstance(part, Tensor)]


def _is_over_time(part: Tensor) -> bool:
    """Return True for `[T, B, …]`, False for `[B, …]`."""
    return part.dim() > 2 and part.shape[1] == _PROBED_IMAGES != part.shape[0]


def _kind(
    output: Any, one_step: bool = False, any_output: bool = False
) -> tuple[Output, int | None]:
    """Return the kind of `output`, and its time steps if it has them. What is no output of a
    classifier counts as scores with `any_output`, else it raises `InputError`.
    """
    parts = _parts(output)
    shapes = {tuple(part.shape) if isinstance(part, Tensor) else () for part in parts}
    shape = shapes.pop() if len(shapes) == 1 else ()
    over_time = len(shape) == 3
    steps = shape[0] if over_time else None
    if len(shape) in (2, 3) and shape[-2] == _PROBED_IMAGES and not (over_time and one_step):
        if len(parts) == 1:
            return "over_time" if over_time or one_step else "scores", steps
        if len(parts) == 2 and over_time != one_step:
            spk_is_binary, mem_is_binary = (bool(((x == 0) | (x == 1)).all()) for x in parts)
            if mem_is_binary and not spk_is_binary and not any_output:
                raise InputError(
                    "it returns a pair whose second part are the spikes. Return (spk, mem)."
                )
            return "spikes", steps
    if any_output:
        return "scores", None
    raise InputError(
        f"it returns {_described(output)} for {_PROBED_IMAGES} images. It must return scores [B, "
        f"K] (B images, K "
        "classes), or over T time steps [T, B, K], or (spk, mem) of [T, B, K] each, as by "
        "torch.stack."
    )


def _described(output: Any) -> str:
    if isinstance(output, Tensor):
        return str(list(output.shape))
    if isinstance(output, tuple | list):
        return f"{type(output).__name__} of {', '.join(_described(part) for part in output[:4])}"
    return type(output).__name__


def _require_fresh(module: nn.Module, images: Tensor, calling: CallConvention) -> None:
    """Raise `InputError` unless two calls with the same images give the same numbers."""
    outputs = []
    for _ in range(2):
        torch.manual_seed(0)
        outputs.append(_tensors(called(module, ConstantInput(images, _PROBED_STEPS), calling)))
    # First, since NaN is not equal to itself.
    if any(bool(part.isnan().any()) for part in outputs[0]):
        raise InputError(
            "it returns NaN (not a number) for images with values from 0 to 1. Look in it for a "
            "division by zero, or a root or logarithm of what is not above 0."
        )
    if not all(map(torch.equal, *outputs)):
        raise InputError(
            "its outputs for the same images change from one call to the next: it keeps a state "
            "that spikeduel does not know. Give the network a method reset() that puts it back to "
            "the start."
        )


def _starts_linear(module: nn.Module) -> bool:
    layers = (layer for layer in module.modules() if [*layer.parameters(recurse=False)])
    return isinstance(next(layers, None), nn.Linear)


def _refusal(module: nn.Module, image_shape: tuple[int, ...], failure: Exception | None) -> str:
    """Return why no way of calling `module` worked, with the remedy."""
    size, number = "×".join(map(str, image_shape)), torch.Size(image_shape).numel()
    linear = next((layer for layer in module.modules() if isinstance(layer, nn.Linear)), None)
    if linear is not None and _starts_linear(module) and linear.in_features != number:
        return (
            f"its first layer takes {linear.in_features} values, and an image has {size} = "
            f"{number}. Let what builds "
            "it take image_shape, or prepare the images in its size."
        )
    reason = f" ({type(failure).__name__}: {str(failure).partition(chr(10))[0]})" if failure else ""
    return (
        f"it takes images of {size} neither as [B, C, H, W] nor flat, neither at once nor over "
        f"time{reason}. Let what "
        "builds it take image_shape."
    )
