"""Finds out how a network wants to be called, by calling it with a few images."""

from typing import Any

import torch
from torch import Tensor, nn

from spikeduel.networks.foreign.calling import Calling, Output, called
from spikeduel.networks.foreign.neurons import family_of, is_own, reset, spiking_layers
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import Neuron
from spikeduel.system.errors import InputError

_PROBED_IMAGES, _PROBED_STEPS = 11, 2
"""Lengths by which the axis of images and that of time are told apart in what a layer receives."""


def run(
    module: nn.Module, images: Tensor, num_steps: int | None = None, calling: Calling | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """What `module` gives for the same images float `[B, C, H, W]` at every step, from a fresh state.

    Scores `[B, K]`, or over time `[T, B, K]`, or `(spk, mem)` of `[T, B, K]` each. `num_steps` counts where the network
    does not make its steps itself. `calling` spares finding out how it is called (`calling_of`), which runs it twice.
    Also for spikeduel's own networks. Raises `InputError`.
    """
    if is_own(module):
        return module(ConstantInput(images, _required(num_steps)) if family_of(module) == "snn" else images)
    calling = calling or calling_of(module, tuple(images.shape[1:]))
    if calling.way in ("step", "sequence"):
        return called(module, ConstantInput(images, _required(num_steps)), calling)
    return called(module, images, calling)


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
            calling, output = _probed(module, image_shape, family)
            _require_classes(output, num_classes)
            _require_fresh(module, image_shape, calling)
    finally:
        module.train(training)
    return calling


def _probed(module: nn.Module, image_shape: tuple[int, ...], family: str | None) -> tuple[Calling, Any]:
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
        if inputs and isinstance(inputs[0], Tensor | ConstantInput):
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


def _kind(output: Any, over_time: bool) -> Output:
    """What it returned: for all steps, with `over_time`, or for a single one. Raises `InputError`."""
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


def _require_fresh(module: nn.Module, image_shape: tuple[int, ...], calling: Calling) -> None:
    images = _probe(module, image_shape)
    answers = []
    for _ in range(2):
        torch.manual_seed(0)
        x = ConstantInput(images, _PROBED_STEPS) if calling.way in ("step", "sequence") else images
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


def _required(num_steps: int | None) -> int:
    if num_steps is None:
        raise InputError("this network is called for each time step: say how many (num_steps).")
    return num_steps
