"""NIR graphs (Pedersen et al. 2024): for networks that NIR can say exactly; the others are refused.

A step lasts 1e-4 seconds (snnTorch's convention). A neuron is NIR's LIF with r = 1, tau = dt/(1 − beta) and the
threshold times (1 − beta): tools that heed r (snnTorch) and those that take it for 1 (Norse) then compute the same, a
membrane (1 − beta) times ours.
"""

import copy
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.exchange.exporting import nir_programs
from spikeduel.exchange.exporting.agreement import Runner, frames_of
from spikeduel.exchange.exporting.weights import folded
from spikeduel.exchange.importing.imported import About
from spikeduel.exchange.importing.nir_graphs import METADATA, STEP_SECONDS
from spikeduel.networks.architectures.conv import ChannelsLastFlatten
from spikeduel.networks.models import Model
from spikeduel.spiking.neurons import ALIF, IF, LIF, Neuron
from spikeduel.spiking.readouts import MeanReadout
from spikeduel.system import __version__
from spikeduel.system.errors import InputError, MissingExtra
from spikeduel.system.hardware import package_version
from spikeduel.system.typed import converted, plain


def write(model: Model, path: Path, weights: str) -> dict[str, Runner]:
    """Writes `model` as a NIR graph; returns who can run the file: spikeduel's own import, and what is installed.

    Raises `InputError` with the reason and the remedy for a model that NIR cannot express.
    """
    try:
        import nir
    except ModuleNotFoundError:
        raise MissingExtra("nir", "export") from None
    _require_expressible(model)
    nodes, names = _nodes(model)
    about = {
        **plain(model.card),
        "spikeduel": __version__,
        "dt": STEP_SECONDS,
        "input": f"float32 at each step, {_input_shape(model)}; {frames_of(model)}",
        "answer": "the mean of the output over the steps is the score of each class",
    }
    metadata = {METADATA: json.dumps(plain(converted(about, About)))}
    graph = nir.NIRGraph(nodes=nodes, edges=list(itertools.pairwise(nodes)), metadata=metadata)
    # A file object, since h5py names its file by what stands in it.
    with path.open("w+b") as file:
        nir.write(file, graph)
    pooled = any(isinstance(node, nir.AvgPool2d) for node in nodes.values())
    runners: dict[str, Runner] = {"spikeduel": nir_programs.spikeduel(path, names)}
    for package, program in nir_programs.PROGRAMS.items():
        installed = package_version(package)
        # Norse 1.1 reads no average pooling.
        if installed and not (package == "norse" and pooled):
            runners[f"{package} {installed}"] = program(path, names)
    return runners


def _input_shape(model: Model) -> str:
    """What the graph's first node takes of images `[B, C, H, W]`."""
    flat = not any(isinstance(layer, nn.Conv2d) for layer in model.module.modules())
    return "[B, C·H·W], an image's rows one after the other" if flat else "[B, C, H, W]"


def _require_expressible(model: Model) -> None:
    """Raises `InputError` with all reasons at once: each remedy is a training."""
    card, module = model.card, model.module
    if card.family != "snn":
        raise InputError(
            f"{card.contender} does not spike, and NIR (whose nodes are spiking neurons and linear maps) has no ReLU: "
            "export it with --to onnx."
        )
    neurons = [layer for layer in module.modules() if isinstance(layer, Neuron)]
    reasons = list(dict.fromkeys(reason for neuron in neurons for reason in _reasons(neuron)))
    if any(isinstance(layer, nn.MaxPool2d) for layer in module.modules()):
        reasons.append("NIR has no maximum pooling: train with --set pooling=avg.")
    if not isinstance(model.readout, MeanReadout):
        reasons.append(
            f"{card.contender} decides by counting its output spikes and breaks ties by membranes, which NIR "
            "programs do not return: train a network whose output integrates, --contender dense-lif or conv-lif."
        )
    if not callable(getattr(module, "layers", None)):
        reasons.append(
            f"the order of the layers of {card.contender} is unknown: give its class a method layers() that returns "
            "them, or export it with --to onnx."
        )
    if reasons:
        raise InputError(" ".join(reasons))


def _reasons(neuron: Neuron) -> Iterator[str]:
    if not isinstance(neuron, LIF) or isinstance(neuron, ALIF):
        yield f"NIR has no neuron like {type(neuron).__name__}: train with --set neuron=lif."
        return
    if neuron.reset_mechanism != "zero":
        yield (
            f"Its neurons reset by '{neuron.reset_mechanism}' and NIR's to a value, so that programs would give other "
            "answers: train with --set reset_mechanism=zero."
        )
    beta = torch.as_tensor(neuron.beta)
    if isinstance(neuron, IF) or not bool((beta < 1).all()):
        yield (
            "Its neurons do not leak, and programs disagree about NIR's neuron without a leak (snnTorch 1.0 lets it "
            "leak): train with --set neuron=lif and a beta below 1."
        )
    if bool((beta <= 0).any()):
        yield "Its neurons keep nothing from one step to the next: train with a beta above 0."


def _nodes(model: Model) -> tuple[dict[str, Any], dict[str, str]]:
    """The graph's nodes in order, and by each node of neurons the name of its layer in the model."""
    import nir

    module = folded(copy.deepcopy(model.module))
    known = {id(part): name for name, part in module.named_modules()}
    layers = list(_flat(module.layers()))  # type: ignore[operator]
    x = torch.zeros(1, *model.card.image_shape)
    permuted: tuple[int, ...] | None = None
    starts_flat = isinstance(layers[0], nn.Flatten)
    if starts_flat:
        x, layers = x.flatten(1), layers[1:]
    nodes: dict[str, Any] = {"input": nir.Input(np.array(x.shape[1:]))}
    names: dict[str, str] = {}
    for layer in layers:
        shape = tuple(x.shape[1:])
        node = _node(layer, shape, permuted)
        if isinstance(layer, ChannelsLastFlatten):
            permuted = shape
        elif isinstance(layer, nn.Linear):
            permuted = None
        name = f"{type(node).__name__.lower()}{len(nodes)}"
        nodes[name] = node
        if isinstance(layer, Neuron):
            names[name] = known[id(layer)]
        else:
            with torch.no_grad():
                x = layer(x)
    nodes["output"] = nir.Output(np.array(x.shape[1:]))
    return nodes, names


def _flat(layers: list[nn.Module]) -> Iterator[nn.Module]:
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from _flat(list(layer))
        elif not isinstance(layer, nn.Identity) and not (isinstance(layer, nn.ZeroPad2d) and not any(layer.padding)):
            yield layer


def _node(layer: nn.Module, shape: tuple[int, ...], permuted: tuple[int, ...] | None) -> Any:
    import nir

    if isinstance(layer, LIF):
        return _lif(layer, shape)
    if isinstance(layer, nn.Linear):
        weight = _array(layer.weight)
        if permuted is not None:
            channels, height, width = permuted
            weight = weight.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(len(weight), -1)
        return nir.Affine(weight=weight, bias=_bias(layer))
    if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
        return nir.Conv2d(
            input_shape=shape[1:],
            weight=_array(layer.weight),
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            bias=_bias(layer),
        )
    if isinstance(layer, nn.AvgPool2d) and layer.divisor_override is None:
        sides = (layer.kernel_size, layer.stride, layer.padding)
        kernel, stride, padding = (np.array(side if isinstance(side, tuple) else (side, side)) for side in sides)
        return nir.AvgPool2d(kernel_size=kernel, stride=stride, padding=padding)
    if isinstance(layer, nn.Flatten | ChannelsLastFlatten):
        return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
    raise InputError(f"NIR has no {type(layer).__name__}: export it with --to onnx.")


def _lif(layer: LIF, shape: tuple[int, ...]) -> Any:
    import nir

    beta = _array(torch.as_tensor(layer.beta)).astype(np.float64)
    threshold = _array(torch.as_tensor(layer.dynamics.threshold)).astype(np.float64)

    def full(value: Any) -> np.ndarray:
        return np.broadcast_to(np.float32(value), shape).copy()

    return nir.LIF(
        tau=full(STEP_SECONDS / (1 - beta)),
        r=full(1),
        v_leak=full(0),
        v_threshold=full(threshold * (1 - beta)),
        v_reset=full(0),
    )


def _bias(layer: nn.Linear | nn.Conv2d) -> np.ndarray:
    return np.zeros(len(layer.weight), np.float32) if layer.bias is None else _array(layer.bias)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().contiguous().numpy()
