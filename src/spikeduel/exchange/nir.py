"""NIR graphs (Pedersen et al. 2024): written for networks that NIR expresses exactly, and run.

A step lasts 1e-4 seconds (snnTorch's convention). A neuron is NIR's LIF with r = 1, tau = dt/(1 −
beta) and the threshold times (1 − beta). Tools that use r (snnTorch) and those that take it for 1
(Norse) then compute the same membrane, (1 − beta) times ours.
"""

import contextlib
import copy
import io
import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.exchange.agreement import Encoded, Run, Runner, folded, frames_of, probabilities_of
from spikeduel.exchange.importing import METADATA, STEP_SECONDS, import_model
from spikeduel.networks.models import Model, neurons_watched
from spikeduel.networks.plain import ChannelsLastFlatten
from spikeduel.spiking import as_sequence
from spikeduel.spiking.neurons import ALIF, IF, LIF, Neuron
from spikeduel.spiking.readouts import MeanReadout
from spikeduel.system import __version__
from spikeduel.system.errors import InputError
from spikeduel.system.hardware import package_version
from spikeduel.system.typed import plain

_OF_CARD = (
    "contender",
    "dataset",
    "classes",
    "preprocessing",
    "encoding",
    "num_steps",
    "temperature",
)


def write(model: Model, path: Path, weights: str) -> dict[str, Runner]:
    """Write `model` as a NIR graph; return runners: spikeduel's import, and installed programs.

    Raises `InputError` with reason and remedy for a model that NIR cannot express.
    """
    import nir

    if reasons := dict.fromkeys(_reasons(model)):
        raise InputError(" ".join(reasons))
    nodes, names = _nodes(model)
    # the input of the graph's first node, for images [B, C, H, W]
    flat = not any(isinstance(layer, nn.Conv2d) for layer in model.module.modules())
    shape = "[B, C·H·W], an image's rows one after the other" if flat else "[B, C, H, W]"
    card = plain(model.card)
    about = {
        "spikeduel": __version__,
        "dt": STEP_SECONDS,
        **{name: card[name] for name in _OF_CARD},
        "input": f"float32 at each step, {shape}; {frames_of(model)}",
        "answer": "the mean of the output over the steps is the score of each class",
        "probabilities": f"not in the graph, as NIR has no softmax: {probabilities_of(model)}",
    }
    graph = nir.NIRGraph(
        nodes, list(itertools.pairwise(nodes)), metadata={METADATA: json.dumps(about)}
    )
    # A file object, since h5py names its file by the path.
    with path.open("w+b") as file:
        nir.write(file, graph)
    pooled = any(isinstance(node, nir.AvgPool2d) for node in nodes.values())
    runners: dict[str, Runner] = {"spikeduel": _spikeduel(path, names)}
    for package in PROGRAMS:
        installed = package_version(package)
        # Norse 1.1 reads no average pooling.
        if installed and not (package == "norse" and pooled):
            runners[f"{package} {installed}"] = _stepped(package, path, names)
    return runners


def _reasons(model: Model) -> Iterator[str]:
    """Return all reasons why NIR cannot express `model`, since each remedy is a training."""
    contender, layers = model.card.contender, list(model.module.modules())
    if model.card.family != "snn":
        yield f"{contender} does not spike, and NIR has no ReLU: export it with --to onnx."
        return
    for neuron in layers:
        if isinstance(neuron, LIF) and not isinstance(neuron, ALIF):
            beta = torch.as_tensor(neuron.beta)
            if neuron.reset_mechanism != "zero":
                yield (
                    f"NIR has no reset by '{neuron.reset_mechanism}': train with "
                    "--reset-mechanism zero."
                )
            if isinstance(neuron, IF) or not bool((beta < 1).all()):
                # snnTorch 1.0 lets it leak.
                yield (
                    "Programs disagree about neurons without a leak: train with --neuron lif "
                    "and a beta below 1."
                )
            if bool((beta <= 0).any()):
                yield (
                    "Its neurons keep nothing from one step to the next: train with a beta above 0."
                )
        elif isinstance(neuron, Neuron):
            yield f"NIR has no neuron like {type(neuron).__name__}: train with --neuron lif."
    if any(isinstance(layer, nn.MaxPool2d) for layer in layers):
        yield "NIR has no maximum pooling: train with --pooling avg."
    if not isinstance(model.readout, MeanReadout):
        yield (
            f"{contender} breaks ties by membranes, which NIR programs do not return: train a "
            f"network whose output "
            "integrates, --contender dense-lif or conv-lif."
        )
    if not callable(getattr(model.module, "layers", None)):
        yield (
            f"Give the class of {contender} a method layers() that returns them in order, or use "
            "--to onnx."
        )


def _nodes(model: Model) -> tuple[dict[str, Any], list[str]]:
    """Return the graph's nodes in order, and the model's names of those that are neurons."""
    import nir

    module = folded(copy.deepcopy(model.module))
    known = {id(part): name for name, part in module.named_modules()}
    layers = list(_flat(module.layers()))  # type: ignore[operator]
    x = torch.zeros(1, *model.card.input_shape)
    if isinstance(layers[0], nn.Flatten):
        x, layers = x.flatten(1), layers[1:]
    nodes: dict[str, Any] = {"input": nir.Input(np.array(x.shape[1:]))}
    names: list[str] = []
    permuted: tuple[int, ...] | None = None
    for layer in layers:
        shape = tuple(x.shape[1:])
        node = _node(layer, shape, permuted)
        if isinstance(layer, ChannelsLastFlatten):
            permuted = shape
        elif isinstance(layer, nn.Linear):
            permuted = None
        nodes[f"{type(node).__name__.lower()}{len(nodes)}"] = node
        if isinstance(layer, Neuron):
            names.append(known[id(layer)])
        else:
            with torch.no_grad():
                x = layer(x)
    nodes["output"] = nir.Output(np.array(x.shape[1:]))
    return nodes, names


def _flat(layers: list[nn.Module]) -> Iterator[nn.Module]:
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from _flat(list(layer))
        elif not isinstance(layer, nn.Identity | nn.Dropout) and not (
            isinstance(layer, nn.ZeroPad2d) and not any(layer.padding)
        ):
            yield layer


def _node(layer: nn.Module, shape: tuple[int, ...], permuted: tuple[int, ...] | None) -> Any:
    """Return the node of `layer` for inputs of `shape`; `permuted` (C, H, W) was flattened channels
    last.
    """
    import nir

    if isinstance(layer, LIF):
        given = (layer.beta, layer.dynamics.threshold)
        beta, threshold = (_array(torch.as_tensor(value)).astype(np.float64) for value in given)
        tau, v_threshold = STEP_SECONDS / (1 - beta), threshold * (1 - beta)
        r, v_leak, v_reset = np.ones(()), np.zeros(()), np.zeros(())
        values = (tau, r, v_leak, v_threshold, v_reset)
        return nir.LIF(*(np.broadcast_to(np.float32(value), shape).copy() for value in values))
    if isinstance(layer, nn.Linear | nn.Conv2d):
        weight = _array(layer.weight)
        bias = np.zeros(len(weight), np.float32) if layer.bias is None else _array(layer.bias)
    if isinstance(layer, nn.Linear):
        if permuted is not None:
            channels, height, width = permuted
            weight = (
                weight.reshape(-1, height, width, channels)
                .transpose(0, 3, 1, 2)
                .reshape(len(weight), -1)
            )
        return nir.Affine(weight, bias)
    if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
        return nir.Conv2d(
            shape[1:], weight, layer.stride, layer.padding, layer.dilation, layer.groups, bias
        )
    if isinstance(layer, nn.AvgPool2d) and layer.divisor_override is None:
        sides = (layer.kernel_size, layer.stride, layer.padding)
        return nir.AvgPool2d(*(np.broadcast_to(np.array(side), 2).copy() for side in sides))
    if isinstance(layer, nn.Flatten | ChannelsLastFlatten):
        return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)
    raise InputError(f"NIR has no {type(layer).__name__}: export it with --to onnx.")


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().contiguous().numpy()


def _spikeduel(path: Path, names: list[str]) -> Runner:
    """Return the network as spikeduel reads it back."""
    model = import_model(path)

    @torch.inference_mode()
    def run(images: Tensor, encoded: Encoded) -> Run:
        with neurons_watched(model.module) as seen:
            scores = model.readout.scores(model.module(as_sequence(encoded)))
        spikes = [spk.numpy() for _, spk, _ in seen.values()]
        return Run(scores.numpy(), dict(zip(names, spikes, strict=True)))

    return run


Step = Callable[[Tensor, Any], tuple[Tensor, Any]]


def _snntorch(graph: Any) -> tuple[nn.Module, type[nn.Module], Step]:
    """Return the network as snnTorch reads it, hidden states reset before each batch."""
    from snntorch import Leaky, import_nir

    network = import_nir.import_from_nir(graph)

    def step(frame: Tensor, state: Any) -> tuple[Tensor, Any]:
        if state is None:
            for layer in network.modules():
                if isinstance(layer, Leaky):
                    layer.reset_mem()
        return _first(network(frame)), True

    return network, Leaky, step


def _norse(graph: Any) -> tuple[nn.Module, type[nn.Module], Step]:
    """Return the network as Norse reads it, at the file's time step."""
    from norse.torch import LIFBoxCell, from_nir

    network = from_nir(graph, ignore_warnings=True, dt=STEP_SECONDS)
    return network, LIFBoxCell, network


PROGRAMS: dict[str, Callable[[Any], tuple[nn.Module, type[nn.Module], Step]]] = {
    "snntorch": _snntorch,
    "norse": _norse,
}
"""Programs: each makes a network of a graph, and names its class of neurons and a function for a
step.
"""


def _stepped(package: str, path: Path, names: list[str]) -> Runner:
    """Make a runner that takes one step at a time; scores are the mean output over the steps.

    NIR's shapes have no batch: inputs other than vectors are given one image at a time.
    """
    import nir

    # Programs warn and print while they read.
    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
        network, neuron, step = PROGRAMS[package](nir.read(path))
    spikes: list[Tensor] = []
    one_by_one = any(isinstance(layer, nn.Conv2d) for layer in network.modules())
    for layer in network.modules():
        if isinstance(layer, neuron):
            layer.register_forward_hook(
                lambda module, inputs, output: spikes.append(_first(output).clone())
            )

    def over_time(frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        state, total, steps = None, torch.zeros(()), []
        for frame in frames:
            spikes.clear()
            output, state = step(frame, state)
            total = total + output
            steps.append(list(spikes))
        return total / len(frames), [torch.stack(layer) for layer in zip(*steps, strict=True)]

    @torch.inference_mode()
    def run(images: Tensor, encoded: Encoded) -> Run:
        frames = as_sequence(encoded)
        if one_by_one:
            each_scores, each_layers = zip(*map(over_time, frames.unbind(1)), strict=True)
            scores, layers = (
                torch.stack(each_scores),
                [torch.stack(each, 1) for each in zip(*each_layers, strict=True)],
            )
        else:
            scores, layers = over_time(frames.flatten(2))
        return Run(
            scores.numpy(), {name: spk.numpy() for name, spk in zip(names, layers, strict=True)}
        )

    return run


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
