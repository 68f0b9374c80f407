"""Conversion of a trained ReLU network to integrate-and-fire neurons with the same weights.

A spike stands for its threshold, a high percentile of the activations on training images: Rueckauer
et al. 2017, "Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks for
Image Classification". The image is analogue at every step; the last layer's mean current is the
score. Half a threshold more, spread over the T steps, rounds to the nearest (Deng and Gu 2021,
"Optimal Conversion of Conventional Artificial Neural Networks to Spiking Neural Networks").
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from spikeduel.engine import ConstantInput
from spikeduel.engine.encoders import analogue
from spikeduel.engine.networks import building, plain
from spikeduel.engine.networks.foreign import ExternalNetwork
from spikeduel.engine.networks.models import Model
from spikeduel.engine.networks.plain import (
    IMAGES,
    Add,
    Affine,
    AsPretrained,
    ChannelsLastFlatten,
    Concat,
    PooledCounts,
    Scale,
)
from spikeduel.engine.neurons import LIF
from spikeduel.engine.readouts import LogitReadout
from spikeduel.system.errors import InputError, naming, refusing

MAX_VALUES = 100_000_000
"""Activations of all layers together; of more, evenly many of each batch count."""
_BATCH = 128
_ACTIVATIONS = nn.ReLU | nn.ReLU6
_WEIGHTED = nn.Linear | nn.Conv2d | Affine


@dataclass
class Layer:
    """A layer, the layers whose outputs it takes, and its part's `name`."""

    name: str
    module: nn.Module
    inputs: tuple[int, ...]


def require_convertible(module: nn.Module, image_shape: Sequence[int]) -> None:
    """Raise `InputError` naming a part without a spiking layer."""
    _with_neurons(traced(module, image_shape), {}, 1)


def converted(model: Model, images: Tensor, num_steps: int, percentile: float) -> Model:
    """Return `model` as integrate-and-fire neurons over `num_steps` steps: a `Sequential`.

    `percentile` per cent of a layer's positive activations on `images` uint8 `[N, C, H, W]` lie
    below its threshold. Raises `InputError`.
    """
    layers = traced(model.module, model.card.image_shape)
    made = _with_neurons(layers, activation_scales(model, images, percentile, layers), num_steps)
    described = [{**plain.described(layer.module), "inputs": list(layer.inputs)} for layer in made]
    card = replace(
        model.card,
        contender="sequential",
        kind="snn",
        network={"layers": described},
        encoding="direct",
        num_steps=num_steps,
        foreign=None,
        temperature=None,
    )
    with torch.random.fork_rng():
        module = building.build(card)
    weights = nn.ModuleList(layer.module for layer in made).state_dict(prefix="chain.")
    module.load_state_dict(weights)
    return Model(module.to(model.device).eval(), card)


def activation_scales(
    model: Model, images: Tensor, percentile: float, layers: Sequence[Layer]
) -> dict[int, float]:
    """Return the `percentile` of each ReLU's positive activations on `images`, by layer number.

    Raises `InputError` if the network does more than its `layers`.
    """
    seen: dict[int, list[np.ndarray]] = {
        index: [] for index, layer in enumerate(layers) if isinstance(layer.module, _ACTIVATIONS)
    }

    def note(index: int, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        every = output.numel() // len(output) * len(images) * len(seen) // MAX_VALUES
        # An odd stride goes through all columns.
        remaining = output.flatten()[:: every | 1]
        seen[index].append(remaining[remaining > 0].float().cpu().numpy())

    modules, inputs = [layer.module for layer in layers], tuple(layer.inputs for layer in layers)
    with ExitStack() as hooks, torch.inference_mode():
        for index in seen:
            hooks.enter_context(modules[index].register_forward_hook(partial(note, index)))
        for start in range(0, len(images), _BATCH):
            x = analogue(images[start : start + _BATCH].to(model.device))
            output, _ = plain.run(modules, inputs, ConstantInput(x, 1))
            assert isinstance(output, ConstantInput)
            expected = model.readout.scores(model.run(x)).log_softmax(1)
            # A final log-softmax was left out.
            if not torch.allclose(output.value.log_softmax(1), expected, rtol=1e-2, atol=1e-3):
                raise InputError("its layers, run one by one, give other scores than the network.")
    # A layer without activations has no scale.
    return {
        index: float(np.percentile(positive, percentile))
        for index, parts in seen.items()
        if len(positive := np.concatenate(parts))
    }


def _with_neurons(layers: Sequence[Layer], scales: dict[int, float], num_steps: int) -> list[Layer]:
    """Return the layers with a `LIF` in place of each ReLU.

    `scales` are thresholds by layer number (missing: 1). A `Scale` behind neurons gives spikes the
    size of their threshold. Raises `InputError`.
    """
    if not any(isinstance(layer.module, _ACTIVATIONS) for layer in layers):
        raise InputError("it has no ReLU: there is nothing that neurons could take the place of.")
    made: list[Layer] = []
    made_as = {IMAGES: IMAGES}
    steady = {IMAGES}  # equal at every step: before all neurons
    uses = _uses(layers)

    def add(module: nn.Module, *inputs: int) -> int:
        made.append(Layer("", module, inputs))
        if not isinstance(module, LIF) and steady.issuperset(inputs):
            steady.add(len(made) - 1)
        return len(made) - 1

    def is_alone(index: int, kind: Any) -> bool:
        return index != IMAGES and uses[index] == 1 and isinstance(layers[index].module, kind)

    def shifted(index: int, amount: float) -> int:
        """Return the number of a layer that gives `amount` more than the source's `index`."""
        for source in (index, *(layers[index].inputs if is_alone(index, Add) else ())):
            if is_alone(source, _WEIGHTED):
                layer: Any = made[made_as[source]].module
                layer.bias = nn.Parameter(layer.bias + amount, requires_grad=False)
                return made_as[index]
        return add(Scale(1.0, amount), made_as[index])

    def pooled(index: int, pool: Any, name: str) -> int:
        """Add the pooling of the spikes that layer `index` passes on; return its number."""
        module, inputs = made[index].module, made[index].inputs
        if isinstance(module, LIF | PooledCounts):
            return add(
                PooledCounts(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode), index
            )
        if isinstance(module, Scale) and module.factor > 0 and not module.shift:
            return add(Scale(module.factor), pooled(inputs[0], pool, name))
        if isinstance(module, Concat):
            return add(Concat(), *[pooled(source, pool, name) for source in inputs])
        raise InputError(
            f"{name} (MaxPool2d) pools what are no spikes, and changes from step to step. Put a "
            "ReLU before it."
        )

    for index, layer in enumerate(layers):
        inputs = [made_as[source] for source in layer.inputs]
        if isinstance(layer.module, _ACTIVATIONS):
            scale = scales.get(index, 1.0)
            neurons = LIF(beta=1.0, threshold=scale, reset_mechanism="subtract")
            current = shifted(layer.inputs[0], 0.5 * scale / num_steps)
            made_as[index] = add(Scale(scale), add(neurons, current))
        elif isinstance(layer.module, nn.MaxPool2d) and inputs[0] not in steady:
            made_as[index] = pooled(inputs[0], layer.module, layer.name)
        else:
            made_as[index] = add(layer.module, *inputs)
    if made_as[len(layers) - 1] != len(made) - 1:
        add(Scale(1.0), made_as[len(layers) - 1])
    return made


def traced(module: nn.Module, image_shape: Sequence[int]) -> list[Layer]:
    """Return the layers of a trained network from images `[B, C, H, W]` to scores `[B, K]`, found
    by running it once.

    Batch norms are folded, or become a `plain.Affine`; dropout and a final log-softmax go; a ReLU
    behind a max-pooling moves before it. Raises `InputError` naming a part that is no layer of
    `plain`.
    """
    if not isinstance(getattr(module, "readout", LogitReadout()), LogitReadout):
        raise InputError("it does not give one score a class for an image.")
    device = next(module.parameters(), torch.empty(0)).device
    tape = _Tape(module.eval())

    def described(error: BaseException) -> InputError:
        reason = str(error).partition("\n")[0]
        return InputError(f"it cannot be followed ({type(error).__name__}: {reason}).")

    # It may be the user's code. Inference mode keeps composite operators, such as a linear layer,
    # whole.
    with refusing(described), torch.inference_mode():
        images = torch.rand(1, *image_shape, device=device)
        tape.outputs[id(images)] = images, IMAGES
        with ExitStack() as hooks, tape:
            for part in tape.names:
                hooks.enter_context(part.register_forward_pre_hook(tape.start))
                hooks.enter_context(part.register_forward_hook(tape.end))
            scores = module(images)
    if tape.outputs.get(id(scores), (None, IMAGES))[1] != len(tape.layers) - 1:
        raise InputError("its output is not that of its last layer.")
    uses = _uses(tape.layers)
    for index in range(len(tape.layers)):
        _simplify(tape.layers, index, uses)
    remaining: list[Layer] = []
    numbers = {IMAGES: IMAGES}
    for index, layer in enumerate(tape.layers):
        layer.inputs = tuple(numbers[source] for source in layer.inputs)
        if isinstance(layer.module, nn.Identity):
            (numbers[index],) = layer.inputs
        else:
            numbers[index] = len(remaining)
            remaining.append(layer)
    return remaining


def _uses(layers: Sequence[Layer]) -> Counter[int]:
    return Counter(source for layer in layers for source in layer.inputs)


@torch.inference_mode()
def _simplify(layers: list[Layer], index: int, uses: Counter[int]) -> None:
    """Fold a batch norm into the weights before it, or move a ReLU before a max-pooling, in place.

    A folded layer becomes an `Identity`.
    """
    layer, source = layers[index], layers[index].inputs[0]
    if source == IMAGES or uses[source] > 1:
        return
    before = layers[source]
    rises = isinstance(layer.module, _ACTIVATIONS) or (
        # A batch norm without numbers is taken for one that rises.
        isinstance(layer.module, Affine)
        and (layer.module.weight.is_meta or bool((layer.module.weight > 0).all()))
    )
    if isinstance(before.module, nn.MaxPool2d) and rises:
        # max(ReLU(x)) = ReLU(max(x))
        layer.module, before.module = before.module, layer.module
        layer.name, before.name = before.name, layer.name
        _simplify(layers, source, uses)
    elif isinstance(layer.module, Affine) and isinstance(before.module, nn.Linear | nn.Conv2d):
        weighted: Any = before.module
        norm = layer.module
        scale = norm.weight.view(-1, *[1] * (weighted.weight.dim() - 1))
        bias = weighted.bias * norm.weight + norm.bias
        _with_weights(weighted, weighted.weight * scale, bias)
        layer.module = nn.Identity()


def _with_weights(layer: Any, weight: Tensor, bias: Tensor | None) -> Any:
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


class _Tape(TorchDispatchMode):
    """Records each operator on values that depend on the images as a `Layer`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.names = {part: name for name, part in module.named_modules()}
        if isinstance(module, ExternalNetwork):
            self.names |= {part: name for name, part in module.module.named_modules()}
        self.layers: list[Layer] = []
        self.outputs: dict[int, tuple[Tensor, int]] = {}
        """Each tensor (held, so that no other has its id) with the number of its layer."""
        self.running: list[nn.Module] = []

    def start(self, part: nn.Module, inputs: Any) -> None:
        self.running.append(part)

    def end(self, part: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(part, AsPretrained | ChannelsLastFlatten):
            self._add(output, part, *(self._layer(x) for x in inputs))
        self.running.pop()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Keeps torch from importing torch._dynamo, which takes seconds.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        part = self.running[-1]
        if isinstance(part, AsPretrained | ChannelsLastFlatten):
            return result
        operands = args[0] if isinstance(args[0], list | tuple) else args
        sources = [index for x in operands if (index := self._layer(x)) is not None]
        if not sources:
            return result
        operator = func._schema.name.partition("::")[2].removesuffix("_")
        is_layer = type(part).__module__.startswith("torch.nn.")
        with naming(f"{self.names[part]} ({type(part).__name__})" if is_layer else operator):
            if operator not in OPERATORS:
                raise InputError(
                    "it has no counterpart among neurons that integrate and fire, and what lies "
                    "between them."
                )
            module = OPERATORS[operator](result, *args, **kwargs)
            if isinstance(module, Add | Concat) and len(sources) < len(operands):
                raise InputError("it joins what comes from the images with something else.")
        self.outputs[id(result)] = result, sources[0]
        for layer in module if isinstance(module, nn.Sequential) else filter(None, [module]):
            self._add(result, layer, *sources)
            sources = [len(self.layers) - 1]
        return result

    def _layer(self, x: Any) -> int | None:
        entry = self.outputs.get(id(x))
        return entry[1] if entry else None

    def _add(self, output: Tensor, module: nn.Module, *sources: Any) -> None:
        self.layers.append(Layer(self.names[self.running[-1]], module, sources))
        self.outputs[id(output)] = output, len(self.layers) - 1


def _convolution(
    result: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None, *settings: Any
) -> nn.Module:
    named = dict(zip(("stride", "padding", "dilation", "groups"), settings, strict=False))
    kernel = (weight.shape[2], weight.shape[3])
    layer = nn.Conv2d(x.shape[1], len(weight), kernel, **named, device="meta")
    return _with_weights(layer, weight, bias)


def _linear(result: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    layer = nn.Linear(weight.shape[1], len(weight), device="meta")
    return _with_weights(layer, weight, bias)


def _batch_norm(
    result: Tensor,
    x: Tensor,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool,
) -> nn.Module:
    if mean is None:
        raise InputError("it keeps no statistics: its result depends on other images of a batch.")
    scale = (var + eps).rsqrt() * (1 if weight is None else weight)
    shift = -mean * scale + (0 if bias is None else bias)
    return _with_weights(Affine(len(mean)), scale, shift)


def _clipped(result: Tensor, x: Tensor, low: float = -1, high: float = 1) -> nn.Module:
    if (low, high) != (0, 6):
        raise InputError("it cuts off at other values than 0 and 6.")
    return nn.ReLU6()


def _max_pool(
    result: Tensor,
    x: Tensor,
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> nn.Module:
    if np.any(np.array(dilation) != 1):
        raise InputError("it is dilated.")
    return nn.MaxPool2d(kernel, stride or None, padding, ceil_mode=ceil_mode)


def _average_pool(
    result: Tensor, x: Tensor, kernel: Any, stride: Any = None, *settings: Any
) -> nn.Module:
    return nn.AvgPool2d(kernel, stride or None, *settings)


def _mean(result: Tensor, x: Tensor, dim: Any = None, keepdim: bool = False) -> nn.Module:
    if x.dim() != 4 or sorted(axis % 4 for axis in dim or ()) != [2, 3]:
        raise InputError("it takes the mean of something else than the places of a map.")
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), *([] if keepdim else [nn.Flatten()]))


def _shape(result: Tensor, x: Tensor, *shape: Any) -> nn.Module | None:
    if result.shape == x.shape:
        return None
    if result.dim() != 2 or len(result) != len(x):
        raise InputError("it gives another shape than [B, all the rest].")
    return nn.Flatten()


def _pad(
    result: Tensor, x: Tensor, pad: Any, mode: str = "constant", value: float | None = None
) -> nn.Module:
    if mode != "constant" or value or len(pad) > 4:
        raise InputError("it pads with something else than zeros, or other axes of a map.")
    return nn.ZeroPad2d(tuple([*pad, 0, 0][:4]))


def _sum(result: Tensor, a: Any, b: Any, *, alpha: float = 1) -> nn.Module:
    return Add() if isinstance(b, Tensor) and alpha == 1 else Scale(1.0, _number(b) * alpha)


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise InputError("it computes with something else than one layer and a number.")
    return float(value)


def _concat(result: Tensor, parts: Any, dim: int = 0) -> nn.Module:
    if dim % result.dim() != 1:
        raise InputError("it joins along another axis than the channels.")
    return Concat()


def _same(result: Tensor, *operands: Any, **settings: Any) -> None: ...


OPERATORS: dict[str, Callable[..., nn.Module | None]] = {
    "conv2d": _convolution,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "relu": lambda result, x: nn.ReLU(),
    "relu6": lambda result, x: nn.ReLU6(),
    "hardtanh": _clipped,
    "max_pool2d": _max_pool,
    "avg_pool2d": _average_pool,
    "adaptive_avg_pool2d": lambda result, x, size: nn.AdaptiveAvgPool2d(tuple(size)),
    "mean": _mean,
    **dict.fromkeys(("flatten", "view", "reshape", "_unsafe_view"), _shape),
    "pad": _pad,
    "add": _sum,
    "sub": lambda result, a, b, alpha=1: Scale(1.0, -_number(b) * alpha),
    "rsub": lambda result, a, b, alpha=1: Scale(-alpha, _number(b)),
    "mul": lambda result, a, b: Scale(_number(b)),
    "div": lambda result, a, b: Scale(1 / _number(b)),
    "cat": _concat,
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "log_softmax"), _same),
    **dict.fromkeys(("contiguous", "clone", "alias", "detach", "to"), _same),
}
"""Makers of a layer from an operator's result and arguments; None where it changes no output."""
