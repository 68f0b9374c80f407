"""Networks of other libraries as they are: which of their layers spike, how they are called, their state reset."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikeduel.constant import Constant
from spikeduel.errors import InputError
from spikeduel.neurons import Neuron, ReLU
from spikeduel.readouts import Logits, MeanOverSteps, Readout, SpikeCount

WAYS = ("once", "loop", "step", "sequence")
OUTPUTS = ("scores", "over_time", "spikes")

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

_PROBED_IMAGES, _PROBED_STEPS = 11, 2
"""Numbers that no network has as its own number of steps or neurons, so that an axis can be told by its length."""


@dataclass(frozen=True)
class Calling:
    """How a foreign network is called, and what it gives.

    `way`: "once" (an image in, an answer out), "loop" (an image in, `num_steps` steps are made inside), "step" (called
    for each time step, keeps its state between), "sequence" (all time steps at once, `[T, B, …]`). With `flat`, images
    come as `[B, C·H·W]`. `output`: "scores" `[B, K]`, "over_time" `[T, B, K]`, or "spikes", `(spk, mem)` of `[T, B, K]`
    each; of a single step where it is called for each.
    """

    way: str
    flat: bool
    output: str
    num_steps: int | None = None

    @property
    def readout(self) -> Readout:
        """What makes a loss and scores of its output."""
        readouts: dict[str, Readout] = {"scores": Logits(), "over_time": MeanOverSteps(), "spikes": SpikeCount()}
        return readouts[self.output]


class Foreign(nn.Module):
    """A foreign network in the form that spikeduel trains: fresh at every call, with a `family` and a `readout`.

    Its weights have the names that they have in the network itself.
    """

    def __init__(self, module: nn.Module, calling: Calling, family: str) -> None:
        super().__init__()
        self.module = module
        self.calling = calling
        self.family = family
        self.readout = calling.readout
        for layer in spiking_layers(module).values():
            layer.register_forward_pre_hook(_in_float32)

    def forward(self, x: Tensor | Constant) -> Any:
        """Of images `[B, C, H, W]`, `[T, B, C, H, W]` or a `Constant`, what the network gives (`Calling.output`)."""
        return called(self.module, x, self.calling)

    def state_dict(self, *args: Any, **settings: Any) -> Any:
        """See `nn.Module`; under the network's own names."""
        return self.module.state_dict(*args, **settings)

    def load_state_dict(self, state_dict: Any, *args: Any, **settings: Any) -> Any:
        """See `nn.Module`; under the network's own names."""
        return self.module.load_state_dict(state_dict, *args, **settings)


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


def run(
    module: nn.Module, images: Tensor, num_steps: int | None = None, calling: Calling | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """What `module` gives for the same images float `[B, C, H, W]` at every step, from a fresh state.

    Scores `[B, K]`, or over time `[T, B, K]`, or `(spk, mem)` of `[T, B, K]` each. `num_steps` counts where the network
    does not make its steps itself. `calling` spares finding out how it is called (`calling_of`), which runs it twice.
    Also for spikeduel's own networks. Raises `InputError`.
    """
    if is_own(module):
        return module(Constant(images, _required(num_steps)) if family_of(module) == "snn" else images)
    calling = calling or calling_of(module, tuple(images.shape[1:]))
    if calling.way in ("step", "sequence"):
        return called(module, Constant(images, _required(num_steps)), calling)
    return called(module, images, calling)


def is_own(module: nn.Module) -> bool:
    """Whether it is made for spikeduel: says its family or its readout."""
    return hasattr(module, "family") or hasattr(module, "readout")


def called(module: nn.Module, x: Tensor | Constant, calling: Calling) -> Any:
    """The output of `module` for what an encoder gives, or for images `[B, C, H, W]`, from a fresh state."""
    reset(module)
    if calling.way in ("once", "loop"):
        images = x.value if isinstance(x, Constant) else x
        return _as_tuple(module(images.flatten(1) if calling.flat else images))
    if calling.way == "sequence":
        sequence = x.expand() if isinstance(x, Constant) else x
        return _as_tuple(module(sequence.flatten(2) if calling.flat else sequence))
    # The same tensor at every step, where it is the same image: who counts operations can tell by that.
    frames = [x.value.flatten(1) if calling.flat else x.value] * x.num_steps if isinstance(x, Constant) else x.unbind(0)
    if calling.flat and not isinstance(x, Constant):
        frames = [frame.flatten(1) for frame in frames]
    steps = [_as_tuple(module(frame)) for frame in frames]
    if isinstance(steps[0], tuple):
        return tuple(torch.stack(parts) for parts in zip(*steps, strict=True))
    return torch.stack(steps)


def reset(module: nn.Module) -> None:
    """Puts the neurons of this network at rest, and of no other: snnTorch's and SpikingJelly's, and its own `reset()`.

    (snnTorch's `utils.reset` does it to every network of the process.)
    """
    for layer in module.modules():
        if _descends(layer, "snntorch") and hasattr(layer, "reset_mem"):
            layer.reset_mem()  # type: ignore[operator]
        elif _descends(layer, "spikingjelly") and hasattr(layer, "reset"):
            layer.reset()  # type: ignore[operator]
    own = getattr(module, "reset", None)
    if callable(own) and not _descends(module, "spikingjelly"):
        own()


def calling_of(
    module: nn.Module, image_shape: tuple[int, ...], num_classes: int | None = None, family: str | None = None
) -> Calling:
    """Finds out how a foreign network wants to be called, by calling it with a few images of `image_shape`.

    What its spiking layers then receive tells whether it makes its time steps itself. `family` is what its owner says
    it is. Raises `InputError` where it takes no such images, or returns something else than `Calling.output`.
    """
    training = module.training
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            found, output = _found(module, image_shape, family)
            _require_classes(output, num_classes)
            _require_fresh(module, image_shape, found, output)
    finally:
        module.train(training)
    return found


def _found(module: nn.Module, image_shape: tuple[int, ...], family: str | None) -> tuple[Calling, Any]:
    layers = list(spiking_layers(module).values())
    images = _probe(module, image_shape)
    failures: list[Exception] = []
    for flat in (True, False) if _starts_linear(module) else (False, True):
        given = images.flatten(1) if flat else images
        try:
            output, seen = _observed(module, given, layers)
        except Exception as error:  # it is somebody else's code, and the next way may be the right one
            failures.append(error)
        else:
            if not layers:
                return _without_neurons(module, output, flat, family)
            if num_steps := _steps_seen(seen):
                if num_steps == 1 and not _has_time(output):
                    return Calling("step", flat, _kind(output, over_time=False)), output
                return Calling("loop", flat, _kind(output, over_time=True), _steps_of(output) or num_steps), output
        if layers:
            try:
                output, seen = _observed(module, torch.stack([given] * _PROBED_STEPS), layers)
            except Exception as error:
                failures.append(error)
            else:
                if _steps_seen(seen) == _PROBED_STEPS:
                    return Calling("sequence", flat, _kind(output, over_time=True)), output
    raise InputError(_refusal(module, image_shape, failures))


def _without_neurons(module: nn.Module, output: Any, flat: bool, family: str | None) -> tuple[Calling, Any]:
    kind = _kind(output, over_time=True)
    if family != "snn":
        if kind != "scores":
            raise InputError(
                "it returns something for each time step, and has no layer that is known to spike. If it is a spiking "
                "network, say so: --family NAME=snn."
            )
        return Calling("once", flat, kind), output
    num_steps = _steps_of(output) or getattr(module, "num_steps", None)
    if not isinstance(num_steps, int):
        raise InputError(
            "it is said to spike, has no layer that is known to, and returns scores [B, K], so that its number of time "
            "steps cannot be seen. Give it an attribute num_steps."
        )
    return Calling("loop", flat, kind, num_steps), output


def _probe(module: nn.Module, image_shape: tuple[int, ...]) -> Tensor:
    weights = next(module.parameters(), torch.empty(0))
    generator = torch.Generator().manual_seed(0)
    return torch.rand((_PROBED_IMAGES, *image_shape), generator=generator).to(weights.device)


def _observed(module: nn.Module, x: Tensor, layers: list[nn.Module]) -> tuple[Any, dict[nn.Module, list[Any]]]:
    """The output for `x`, and for each of `layers` the shapes of what it received, call by call."""
    seen: dict[nn.Module, list[Any]] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if inputs and isinstance(inputs[0], Tensor | Constant):
            seen.setdefault(layer, []).append(inputs[0].shape)

    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    reset(module)
    torch.manual_seed(0)
    try:
        return module(x), seen
    finally:
        for hook in hooks:
            hook.remove()
        reset(module)


def _steps_seen(seen: dict[nn.Module, list[Any]]) -> int:
    """How many steps the layers made, 0 where one of them took another axis for that of the images."""
    steps = []
    for layer, shapes in seen.items():
        shape = shapes[0]
        over_time = isinstance(layer, Neuron) or getattr(layer, "step_mode", None) == "m"
        if not over_time and shape and shape[0] == _PROBED_IMAGES:
            steps.append(len(shapes))
        elif len(shape) > 2 and shape[1] == _PROBED_IMAGES and getattr(layer, "step_mode", "m") == "m":
            steps.append(shape[0] * len(shapes))
        else:
            return 0
    return max(steps, default=0)


def _kind(output: Any, over_time: bool) -> str:
    """Which of `OUTPUTS` it is: of all steps, with `over_time`, or of a single one. Raises `InputError`."""
    num_axes = 3 if over_time else 2
    parts = output if isinstance(output, tuple | list) else (output,)
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if len(tensors) == len(parts) == 2 and all(
        part.dim() == num_axes and part.shape == tensors[0].shape and part.shape[-2] == _PROBED_IMAGES
        for part in tensors
    ):
        _require_spikes_first(*tensors)
        return "spikes"
    if len(tensors) == len(parts) == 1:
        (scores,) = tensors
        if scores.dim() == 2 and len(scores) == _PROBED_IMAGES:
            return "scores" if over_time else "over_time"
        if scores.dim() == 3 and scores.shape[1] == _PROBED_IMAGES and over_time:
            return "over_time"
    raise InputError(
        f"it returns {_described(output)} for {_PROBED_IMAGES} images. It must return scores [B, K] (B images, K "
        "classes), or over T time steps [T, B, K], or (spk, mem) of [T, B, K] each, as by torch.stack."
    )


def _require_spikes_first(spk: Tensor, mem: Tensor) -> None:
    def binary(values: Tensor) -> bool:
        return bool(((values == 0) | (values == 1)).all())

    if binary(mem) and not binary(spk):
        raise InputError("it returns a pair whose second part are the spikes. Return (spk, mem), in this order.")


def _require_classes(output: Any, num_classes: int | None) -> None:
    scores = output[0] if isinstance(output, tuple | list) else output
    if num_classes is not None and scores.shape[-1] != num_classes:
        raise InputError(
            f"it has {scores.shape[-1]} outputs, and the data has {num_classes} classes. Let what builds it take "
            "num_classes."
        )


def _require_fresh(module: nn.Module, image_shape: tuple[int, ...], calling: Calling, first: Any) -> None:
    images = _probe(module, image_shape)
    answers = []
    for _ in range(2):
        torch.manual_seed(0)
        x = Constant(images, _PROBED_STEPS) if calling.way in ("step", "sequence") else images
        answer = called(module, x, calling)
        answers.append(answer if isinstance(answer, tuple) else (answer,))
    if not all(torch.equal(one, other) for one, other in zip(*answers, strict=True)):
        raise InputError(
            "its answers to the same images change from one call to the next: it keeps a state that spikeduel does not "
            "know. Give the network a method reset() that puts it back to the start."
        )


def _steps_of(output: Any) -> int | None:
    first = output[0] if isinstance(output, tuple | list) else output
    return len(first) if first.dim() == 3 else None


def _has_time(output: Any) -> bool:
    parts = output if isinstance(output, tuple | list) else (output,)
    return any(isinstance(part, Tensor) and part.dim() == 3 for part in parts)


def _as_tuple(output: Any) -> Any:
    return tuple(output) if isinstance(output, list) else output


def _starts_linear(module: nn.Module) -> bool:
    weighted = (layer for layer in module.modules() if next(layer.parameters(recurse=False), None) is not None)
    return isinstance(next(weighted, None), nn.Linear)


def _refusal(module: nn.Module, image_shape: tuple[int, ...], failures: list[Exception]) -> str:
    size = "×".join(map(str, image_shape))
    number = torch.Size(image_shape).numel()
    linear = next((layer for layer in module.modules() if isinstance(layer, nn.Linear)), None)
    if linear is not None and _starts_linear(module) and linear.in_features != number:
        return (
            f"its first layer takes {linear.in_features} values, and an image has {size} = {number}. Let what builds "
            "it take image_shape, or prepare the images in its size."
        )
    reason = f" ({type(failures[0]).__name__}: {str(failures[0]).splitlines()[0]})" if failures else ""
    return (
        f"it takes images of {size} neither as [B, C, H, W] nor flat, neither at once nor over time{reason}. Let what "
        "builds it take image_shape."
    )


def _described(output: Any) -> str:
    if isinstance(output, Tensor):
        return str(list(output.shape))
    if isinstance(output, tuple | list):
        return f"{type(output).__name__} of {', '.join(_described(part) for part in output[:4])}"
    return type(output).__name__


def _spikes(layer: nn.Module) -> bool:
    if isinstance(layer, Neuron):
        return not isinstance(layer, ReLU)
    if any(_descends(layer, library, names) for library, names in _INTEGRATORS.items()):
        return False
    return any(_descends(layer, library, names) for library, names in _SPIKING.items())


def _descends(layer: nn.Module, library: str, names: tuple[str, ...] | None = None) -> bool:
    return any(
        kind.__module__.partition(".")[0] == library and (names is None or kind.__name__ in names)
        for kind in type(layer).__mro__
    )


def _in_float32(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Membranes are float32 under any precision, in foreign neurons too, which take the type of their current."""
    return tuple(part.float() if isinstance(part, Tensor) and part.dtype == torch.bfloat16 else part for part in inputs)


def _required(num_steps: int | None) -> int:
    if num_steps is None:
        raise InputError("this network is called for each time step: say how many (num_steps).")
    return num_steps
