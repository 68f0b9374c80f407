"""ONNX files: the network unrolled over its time steps, or one step with its state going in and out."""

import json
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.exchange.exporting.agreement import Batch, Run, Runner, frames_of, spikes_of
from spikeduel.exchange.exporting.weights import store_as_int8
from spikeduel.networks.models import Model
from spikeduel.spiking import ConstantInput, kernels
from spikeduel.spiking.encoders import latency
from spikeduel.spiking.neurons import carried_state
from spikeduel.spiking.readouts import SpikingReadout
from spikeduel.system import __version__
from spikeduel.system.errors import InputError, MissingExtra
from spikeduel.system.typed import plain

OPSET = 18
_EXAMPLES = 2
"""Images in the batch that is traced: 1 would be taken for a fixed size."""

RunFile = Callable[[dict[str, np.ndarray]], tuple[list[np.ndarray], dict[str, np.ndarray]]]
"""Runs a written file: from its inputs by name to its outputs, and the spikes of each layer of neurons by name."""


def unrolled(model: Model, path: Path, weights: str) -> dict[str, Runner]:
    """Writes `model` with all its time steps; returns who can run the file.

    `images` float32 `[B, C, H, W]` in [0, 1] go in, `scores` `[B, K]` come out. Where the encoding draws at random, or
    is the user's own, `encoded` `[T, B, C, H, W]` goes in.
    """
    _require_extra()
    takes_images = model.card.encoding in (None, "direct", "latency")
    shape = (_EXAMPLES, *model.card.image_shape)
    example = torch.rand(shape if takes_images else (model.card.num_steps or 1, *shape)).round()
    input_name, batch_axis = ("images", 0) if takes_images else ("encoded", 1)
    what = (
        "float32 [B, C, H, W] in [0, 1]: prepared pixels / 255"
        if takes_images
        else f"float32 [T, B, C, H, W], encoded by the caller: {model.card.encoding} encoding is not in the graph"
        + (" (each pixel fires at every step with probability pixel / 255)" if model.card.encoding == "rate" else "")
    )
    inputs, outputs = {input_name: what}, {"scores": "[B, K]: the label is the index of the largest"}
    traced = _traced(_Unrolled(model), (example,), ({batch_axis: _batch()},), list(inputs), list(outputs))
    run_file = _written(*traced, model, path, weights, inputs, outputs)

    def run(batch: Batch) -> Run:
        (scores,), spikes = run_file({input_name: (batch.images / 255 if takes_images else batch.frames).numpy()})
        return Run(scores, spikes)

    return {_onnxruntime(): run}


def step(model: Model, path: Path, weights: str) -> dict[str, Runner]:
    """Writes one time step of `model`, for streams and small devices; returns who can run the file.

    `frame` float32 `[B, C, H, W]` and the state go in, the scores so far and the next state come out: each layer's
    `NAME.mem` becomes `NAME.mem.next`, and so do `readout.total` and `readout.num_steps`. All states start from zero.
    Raises `InputError` for a network that cannot stream.
    """
    _require_extra()
    if model.card.encoding is None:
        raise InputError(f"{model.card.contender} has no time steps to take one by one: export it with --to onnx.")
    if not isinstance(model.readout, SpikingReadout):
        raise InputError(
            f"{model.card.contender} gives one answer after all time steps and none after a single step: export it "
            "with --to onnx."
        )
    example = torch.rand(_EXAMPLES, *model.card.image_shape).round()
    _, start = model.step(example)
    if start.total is None or not start.neurons:
        raise InputError(f"{model.card.contender} has no layer of neurons that spikeduel knows: it cannot stream.")
    keys = [(layer, key) for layer, state in start.neurons.items() for key in state]
    states = [torch.zeros_like(start.neurons[layer][key]) for layer, key in keys]
    states += [torch.zeros_like(start.total), torch.zeros(1)]
    batch_axes: list[int | None] = [*(0 for _ in keys), start.total.ndim - 2, None]
    state_names = [*(f"{layer}.{key}" for layer, key in keys), "readout.total", "readout.num_steps"]
    next_names = [f"{name}.next" for name in state_names]
    inputs = {
        "frame": f"float32 [B, C, H, W], {frames_of(model)}",
        **dict.fromkeys(state_names, "the state, zeros at first"),
    }
    outputs = {
        "scores": "[B, K]: those so far; the label is the index of the largest",
        **dict.fromkeys(next_names, "the state for the next step"),
    }
    batch = _batch()
    shapes = ({0: batch}, [None if axis is None else {axis: batch} for axis in batch_axes])
    traced = _traced(_Step(model, keys), (example, states), shapes, list(inputs), list(outputs))
    run_file = _written(*traced, model, path, weights, inputs, outputs)

    def run(batch: Batch) -> Run:
        size = len(batch.images)
        state = {
            name: np.zeros([size if i == axis else side for i, side in enumerate(tensor.shape)], np.float32)
            for name, tensor, axis in zip(state_names, states, batch_axes, strict=True)
        }
        scores, steps = np.empty(0), []
        for frame in batch.frames.numpy():
            (scores, *after), spikes = run_file({"frame": frame, **state})
            state = dict(zip(state_names, after, strict=True))
            steps.append(spikes)
        return Run(scores, {layer: np.concatenate([spikes[layer] for spikes in steps]) for layer in steps[0]})

    return {_onnxruntime(): run}


class _Unrolled(nn.Module):
    """What `unrolled` traces: scores, then every layer's spikes, by which the file is checked."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.readout, self.card = model.module, model.readout, model.card

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        num_steps = self.card.num_steps or 1
        network_input: Tensor | ConstantInput = x
        if self.card.encoding == "direct":
            network_input = ConstantInput(x, num_steps)
        elif self.card.encoding == "latency":
            network_input = latency((x * 255).round().to(torch.uint8), num_steps, None)  # type: ignore[arg-type]
        with spikes_of(self.network) as spikes:
            output = self.network(network_input)
        return (self.readout.scores(output), *spikes.values())


class _Step(nn.Module):
    """What `step` traces: scores so far, the next state, then every layer's spikes."""

    def __init__(self, model: Model, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self.network, self.readout, self.keys = model.module, model.readout, keys

    def forward(self, frame: Tensor, states: list[Tensor]) -> tuple[Tensor, ...]:
        *held, total, num_steps = states
        before: dict[str, dict[str, Tensor]] = {}
        for (layer, key), tensor in zip(self.keys, held, strict=True):
            before.setdefault(layer, {})[key] = tensor
        with carried_state(self.network, before) as after, spikes_of(self.network) as spikes:
            output = self.network(frame.unsqueeze(0))
        assert isinstance(self.readout, SpikingReadout)
        total, num_steps = total + self.readout.accumulate(output), num_steps + 1
        scores = self.readout.scores_of(total, num_steps)  # type: ignore[arg-type]
        return (scores, *(after[layer][key] for layer, key in self.keys), total, num_steps, *spikes.values())


def _require_extra() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            raise MissingExtra(package, "export") from None


def _batch() -> Any:
    return torch.export.Dim("batch")


@torch.no_grad()
def _traced(
    network: "_Unrolled | _Step", example: tuple[Any, ...], shapes: Any, inputs: list[str], outputs: list[str]
) -> tuple[Any, list[str]]:
    """An ONNX graph with the spikes of every layer of neurons as its last outputs, and the names of these layers."""
    network.eval()
    with spikes_of(network.network) as spikes:
        network(*example)
    layers = list(spikes)  # in the order in which they run
    with kernels.unfused(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own parts
        try:
            program = torch.onnx.export(
                network,
                example,
                dynamo=True,
                opset_version=OPSET,
                dynamic_shapes=shapes,
                input_names=inputs,
                output_names=[*outputs, *_spike_names(layers)],
                custom_translation_table={torch.ops.aten.sort.stable: _sort_stable()},
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            # It may be the user's own network, of which anything can be.
            reason = str(error.__cause__ or error).splitlines()[0]
            raise InputError(f"this network cannot be written as ONNX: {reason}") from error
    assert program is not None
    return program.model_proto, layers


def _spike_names(layers: Sequence[str]) -> list[str]:
    return [f"{layer}.spk" for layer in layers]


def _sort_stable() -> Callable[..., Any]:
    """`aten.sort.stable` in ONNX's words: TopK of all, which puts the lower index first among equals."""
    from onnxscript import opset18 as op

    def sort(values: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
        axis = op.Constant(value_ints=[dim])
        length = op.Gather(op.Shape(values), axis, axis=0)  # type: ignore[type-var]
        return op.TopK(values, length, axis=dim, largest=int(descending), sorted=1)

    return sort


def _written(
    proto: Any,
    layers: list[str],
    model: Model,
    path: Path,
    weights: str,
    inputs: dict[str, str],
    outputs: dict[str, str],
) -> RunFile:
    """Writes the graph to `path` without the spikes of `layers`; `inputs` and `outputs` are described in it by name."""
    from onnxscript import optimizer

    if weights == "int8":
        store_as_int8(proto)
    card = {name: value for name, value in plain(model.card).items() if name not in ("trained_on", "precision")}
    about = {**card, "weights": weights, "inputs": inputs, "outputs": outputs}
    proto.producer_name, proto.producer_version = "spikeduel", __version__
    proto.doc_string = f"{model.card.title}, made by spikeduel {__version__}"
    # torch's own notes: where on this machine each operation's source lies.
    for part in (proto, proto.graph, *proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.functions):
        del part.metadata_props[:]
    del proto.graph.value_info[:]
    proto.metadata_props.add(key="spikeduel", value=json.dumps(about))
    with_spikes = _session(proto.SerializeToString()) if layers else None
    del proto.graph.output[len(outputs) :]
    optimizer.remove_unused_nodes(proto)
    path.write_bytes(proto.SerializeToString())
    session = _session(path.read_bytes())

    def run(given: dict[str, np.ndarray]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        spikes = with_spikes.run(_spike_names(layers), given) if with_spikes else ()
        return session.run(None, given), dict(zip(layers, spikes, strict=True))

    return run


def _session(content: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _onnxruntime() -> str:
    return f"onnxruntime {version('onnxruntime')}"
