"""A trained ReLU network as a network of integrate-and-fire neurons with its weights: ANN-to-SNN
conversion.

What a neuron can say in T steps lies between no spike and T of them, so that what enters each layer
of neurons is divided by what its activations hardly ever exceed (a percentile of those on training
images): Rueckauer et al. 2017, "Conversion of Continuous-Valued Deep Networks to Efficient
Event-Driven Networks for Image Classification". So every tensor in the network has a scale: what it
is a mean of over time, times the scale, is what the source has there. The weights take a scale off
and put the next one on; where branches meet (a sum, a concatenation), all are brought to one. A
spike takes the threshold off the membrane (reset by subtraction), the image comes as it is at every
step, and the last layer does not spike: the mean of its current is the score. A neuron rounds down
what it could not send; half a threshold more, spread over the T steps, makes that a rounding to the
nearest (Deng and Gu 2021, "Optimal Conversion of Conventional Artificial Neural Networks to Spiking
Neural Networks"). Max-pooling counts spikes (`PooledCounts`): where any spike of a step passes, a
pooled place spikes more often than the most active of its neurons.

All of it goes into weights and into layers of plain data, so that the result is a model like any
other.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.networks import building, tracing
from spikeduel.networks.following import Layer
from spikeduel.networks.models import Model
from spikeduel.networks.plain import (
    IMAGES,
    Add,
    Affine,
    AsPretrained,
    ChannelsLastFlatten,
    Concat,
    PooledCounts,
    Scale,
)
from spikeduel.spiking.encoders import analogue
from spikeduel.spiking.neurons import LIF
from spikeduel.system.errors import InputError

MOST_VALUES = 100_000_000
"""Activations of all layers together; of more, evenly many of each batch are looked at."""
_BATCH = 128
_ACTIVATIONS = (nn.ReLU, nn.ReLU6)
_WEIGHTED = (nn.Linear, nn.Conv2d, Affine, Scale)


def require_convertible(module: nn.Module) -> None:
    """Raise `InputError` naming a part of a network, trained or not, that no spiking layer can
    replace.
    """
    layers = tracing.traced(module)
    _Conversion(layers, {}, 1).run()


def converted(model: Model, images: Tensor, num_steps: int, percentile: float) -> Model:
    """Return `model` as integrate-and-fire neurons over `num_steps` steps: a `Sequential`.

    `images` uint8 `[N, C, H, W]` are training images; `percentile` per cent of the positive
    activations of each layer fit between no spike and one at every step. Raises `InputError`.
    """
    layers = tracing.traced(model.module)
    scales = activation_scales(model, images, percentile, layers)
    found = _Conversion(layers, scales, num_steps).run()
    data = [_described(each, index) for index, each in enumerate(found)]
    card = replace(
        model.card,
        contender="sequential",
        family="snn",
        network={"layers": data},
        encoding="direct",
        num_steps=num_steps,
        foreign=None,
        temperature=None,
    )
    with torch.random.fork_rng():
        module = building.build(card)
    weights = {
        f"chain.{i}.{name}": w
        for i, each in enumerate(found)
        for name, w in each.module.state_dict().items()
    }
    module.load_state_dict(weights)
    return Model(module.to(model.device).eval(), card)


def activation_scales(
    model: Model, images: Tensor, percentile: float, layers: Sequence[Layer] | None = None
) -> dict[str, float]:
    """Return the `percentile` of the positive activations of each ReLU of `model`, by layer name.

    `images` are uint8 `[N, C, H, W]`. Raises `InputError`, also if the network does something else
    than its layers one by one.
    """
    layers = tracing.traced(model.module) if layers is None else layers
    seen: dict[str, list[np.ndarray]] = {
        each.name: [] for each in layers if isinstance(each.module, _ACTIVATIONS)
    }

    def note(name: str, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        every = output.numel() // len(output) * len(images) * len(seen) // MOST_VALUES
        # An odd stride goes through all columns.
        kept = output.flatten()[:: every | 1]
        seen[name].append(kept[kept > 0].float().cpu().numpy())

    rectified = [each for each in layers if isinstance(each.module, _ACTIVATIONS)]
    hooks = [each.module.register_forward_hook(partial(note, each.name)) for each in rectified]
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            x = analogue(images[start : start + _BATCH].to(model.device))
            found, expected = tracing.run(layers, x), model.readout.scores(model.run(x))
            # A final log-softmax was left out.
            alike = torch.allclose(
                found.log_softmax(1), expected.log_softmax(1), rtol=1e-2, atol=1e-3
            )
            if not alike:
                raise InputError("it answers otherwise than its layers, followed by torch.fx, do.")
    for hook in hooks:
        hook.remove()
    values = {name: np.concatenate(parts or [np.empty(0)]) for name, parts in seen.items()}
    # A layer without activations has no scale.
    return {
        name: float(np.percentile(found, percentile)) if len(found) else 1.0
        for name, found in values.items()
    }


class _Conversion:
    """Makes the spiking layers of `source`, one after another; `scales` are those of its ReLUs."""

    def __init__(self, source: Sequence[Layer], scales: dict[str, float], num_steps: int) -> None:
        self.source, self.scales, self.shift = source, scales, 0.5 / num_steps
        self.found: list[Layer] = []
        self._uses = Counter(each for layer in source for each in layer.inputs)
        # By layer of the source: the layer made for it, and its scale. Images are unscaled.
        self._known: dict[int, tuple[int, float]] = {IMAGES: (IMAGES, 1.0)}
        self._steady = {IMAGES}
        """Layers before all neurons: equal at every step."""

    def run(self) -> list[Layer]:
        """Return the layers of the spiking network."""
        if not any(isinstance(layer.module, _ACTIVATIONS) for layer in self.source):
            raise InputError(
                "it has no ReLU: there is nothing that neurons could take the place of."
            )
        for index, layer in enumerate(self.source):
            if isinstance(layer.module, _ACTIVATIONS):
                scale = self.scales.get(layer.name, 1.0)
                current = self._at(layer.inputs[0], scale, self.shift)
                neurons = LIF(beta=1.0, threshold=1.0, reset_mechanism="subtract")
                self._known[index] = self._add(layer.name, neurons, current), scale
        last = self._at(len(self.source) - 1, 1.0, 0.0)
        if last != len(self.found) - 1 or isinstance(self.found[last].module, LIF | PooledCounts):
            self._add("scores", Scale(1.0), last)
        return self.found

    def _add(self, name: str, module: nn.Module, *inputs: int) -> int:
        self.found.append(Layer(name, module, inputs))
        index = len(self.found) - 1
        if not isinstance(module, LIF) and self._steady.issuperset(inputs):
            self._steady.add(index)
        return index

    def _at(self, index: int, scale: float, shift: float) -> int:
        """Return a layer with the output of the source's layer `index`, divided by `scale`, plus
        `shift`.
        """
        if index not in self._known and self._uses[index] <= 1 and self._bends(index):
            return self._made(index, scale, shift)
        found, own = self._natural(index)
        if own == scale and not shift:
            return found
        return self._add(f"{self._name(index)}, scaled", Scale(own / scale, shift), found)

    def _natural(self, index: int) -> tuple[int, float]:
        """Return a layer with the output of the source's layer `index`, and its scale."""
        if index not in self._known:
            module, inputs = self.source[index].module, self.source[index].inputs
            if isinstance(module, nn.MaxPool2d):
                self._known[index] = self._pooled(index)
            elif isinstance(module, (*_WEIGHTED, AsPretrained)):
                self._known[index] = self._made(index, 1.0, 0.0), 1.0
            else:
                # Where branches meet, the first keeps its scale.
                scale = self._natural(inputs[0])[1]
                self._known[index] = self._made(index, scale, 0.0), scale
        return self._known[index]

    def _bends(self, index: int) -> bool:
        """Return True if a layer can be made at any scale."""
        return not isinstance(self.source[index].module, nn.MaxPool2d | AsPretrained)

    def _made(self, index: int, scale: float, shift: float) -> int:
        """Make the source's layer `index` at this scale and shift, and the layers before it."""
        layer, name = self.source[index], self.source[index].name
        module = layer.module
        if isinstance(module, _WEIGHTED):
            before, own = self._natural(layer.inputs[0])
            return self._add(name, _scaled(module, own, scale, shift), before)
        if isinstance(module, AsPretrained):
            return self._add(name, module, self._at(layer.inputs[0], 1.0, 0.0))
        if isinstance(module, Add):
            takes = next((i for i in layer.inputs if self._takes_shift(i)), layer.inputs[-1])
            shifts = [0.0] * len(layer.inputs)
            shifts[layer.inputs.index(takes)] = shift
            return self._add(
                name,
                module,
                *(self._at(i, scale, s) for i, s in zip(layer.inputs, shifts, strict=True)),
            )
        if not shift or _keeps_shift(module):
            return self._add(name, module, *(self._at(i, scale, shift) for i in layer.inputs))
        made = self._add(name, module, *(self._at(i, scale, 0.0) for i in layer.inputs))
        return self._add(f"{name}, shifted", Scale(1.0, shift), made)

    def _takes_shift(self, index: int) -> bool:
        """Return True if a shift can go into the weights of this layer, used nowhere else."""
        module = None if index == IMAGES else self.source[index].module
        return index not in self._known and self._uses[index] == 1 and isinstance(module, _WEIGHTED)

    def _pooled(self, index: int) -> tuple[int, float]:
        """Pool spikes by their counts; pool inputs that are equal at every step as they are."""
        layer = self.source[index]
        before, scale = self._natural(layer.inputs[0])
        pool: Any = layer.module
        if before in self._steady:
            return self._add(layer.name, pool, before), scale
        if not self._counts(before):
            raise InputError(
                f"{layer.name} (MaxPool2d) pools what is no sum of spikes, and changes from step "
                f"to step. Put a ReLU "
                "before it."
            )
        counts = PooledCounts(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
        return self._add(layer.name, counts, before), scale

    def _counts(self, index: int) -> bool:
        """Return True for a layer of spikes, or of sums of spikes, which are never below 0."""
        module = self.found[index].module if index != IMAGES else None
        if isinstance(module, LIF | PooledCounts):
            return True
        passing = Add | Concat | nn.AvgPool2d | nn.AdaptiveAvgPool2d | nn.ZeroPad2d
        grows = isinstance(module, passing) or (
            isinstance(module, Scale) and module.factor > 0 and not module.shift
        )
        return grows and all(map(self._counts, self.found[index].inputs))

    def _name(self, index: int) -> str:
        return "images" if index == IMAGES else self.source[index].name


def _keeps_shift(module: nn.Module) -> bool:
    """Return True if a number added to the input is added to the output: not with a border of
    zeros.
    """
    if isinstance(module, nn.AvgPool2d):
        return module.divisor_override is None and (
            not np.any(module.padding) or not module.count_include_pad
        )
    return not isinstance(module, nn.ZeroPad2d)


def _scaled(module: nn.Module, before: float, scale: float, shift: float) -> nn.Module:
    """Return `module` for inputs divided by `before`, with outputs divided by `scale`, plus
    `shift`.
    """
    if isinstance(module, Scale):
        return Scale(module.factor * before / scale, module.shift / scale + shift)
    weight, given = module.get_parameter("weight"), module._parameters.get("bias")
    bias = torch.zeros(len(weight), device=weight.device) if given is None else given
    made: nn.Module = tracing.copied(
        module, weight=weight * (before / scale), bias=bias / scale + shift
    )
    return made


def _described(layer: Layer, index: int) -> dict[str, Any]:
    """Return the layer with number `index` as plain data for `plain.made`."""
    module = layer.module
    data = _settings(module)
    return data if layer.inputs == (index - 1,) else {**data, "inputs": list(layer.inputs)}


def _settings(module: Any) -> dict[str, Any]:
    match module:
        case LIF():
            return {
                "type": "lif",
                "beta": 1.0,
                "threshold": 1.0,
                "reset_mechanism": module.reset_mechanism,
            }
        case nn.Linear():
            return {
                "type": "linear",
                "num_inputs": module.in_features,
                "num_outputs": module.out_features,
            }
        case nn.Conv2d():
            more = {
                name: _plain(getattr(module, name))
                for name in ("stride", "padding", "dilation", "groups")
            }
            more |= {} if module.padding_mode == "zeros" else {"padding_mode": module.padding_mode}
            sizes = {"num_inputs": module.in_channels, "num_outputs": module.out_channels}
            return {"type": "conv2d", **sizes, "kernel": _plain(module.kernel_size), **more}
        case Affine():
            return {"type": "affine", "num_channels": len(module.weight)}
        case Scale():
            return {"type": "scale", "factor": module.factor, "shift": module.shift}
        case AsPretrained():
            values = {"mean": module.mean.flatten().tolist(), "std": module.std.flatten().tolist()}
            return {"type": "as_pretrained", "size": module.size, **values}
        case PooledCounts():
            return {"type": "pooled_counts", **_pooling(module.pool)}
        case nn.MaxPool2d():
            return {"type": "maxpool2d", **_pooling(module)}
        case nn.AvgPool2d():
            more = {
                name: getattr(module, name) for name in ("count_include_pad", "divisor_override")
            }
            return {"type": "avgpool2d", **_pooling(module), **more}
        case nn.AdaptiveAvgPool2d():
            return {"type": "adaptive_avgpool2d", "size": _plain(module.output_size)}
        case nn.ZeroPad2d():
            return {"type": "zeropad2d", "padding": _plain(module.padding)}
    names = {
        nn.Flatten: "flatten",
        ChannelsLastFlatten: "channels_last_flatten",
        Add: "add",
        Concat: "concat",
    }
    return {"type": names[type(module)]}


def _pooling(pool: Any) -> dict[str, Any]:
    sizes = {"kernel": pool.kernel_size, "stride": pool.stride, "padding": pool.padding}
    return {**{name: _plain(value) for name, value in sizes.items()}, "ceil_mode": pool.ceil_mode}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
