"""ONNX files: a network unrolled over its time steps, or one step with its state in and out."""

import json
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.exchange.agreement import Encoded, Run, Runner, as_int8, frames_of, probabilities_of
from spikeduel.networks.models import Model, neurons_watched
from spikeduel.spiking import ConstantInput, as_sequence, kernels
from spikeduel.spiking.encoders import EVENTS, events, latency
from spikeduel.spiking.neurons import carried_state
from spikeduel.spiking.readouts import SpikingReadout
from spikeduel.system import __version__
from spikeduel.system.errors import InputError
from spikeduel.system.typed import plain

OPSET = 18
_EXAMPLES = 2
"""Images in the traced batch: 1 would be taken for a fixed size."""

Words = dict[str, str]
"""Descriptions of inputs or outputs, by name."""
RunFile = Callable[[dict[str, np.ndarray]], tuple[list[np.ndarray], dict[str, np.ndarray]]]
"""Runs a written file: inputs by name to outputs, and spikes by layer of neurons."""


def unrolled(model: Model, path: Path, weights: str) -> dict[str, Runner]:
    """Write `model` with all its time steps; return the runner.

    Inputs are `images` float32 `[B, C, H, W]` in [0, 1], `frames` `[B, 2·T, H, W]`, or else
    `encoded` `[T, B, C, H, W]`; outputs `scores` and `probabilities` `[B, K]`.
    """
    recorded = model.card.preprocessing.binning is not None
    takes_images = model.card.encoding in (None, "direct", "latency", EVENTS)
    shape = [_EXAMPLES, *model.card.image_shape]
    if takes_images:
        name, batch_axis, what = (
            "images",
            0,
            "float32 [B, C, H, W] in [0, 1]: prepared pixels / 255",
        )
        if recorded:
            name, what = (
                "frames",
                "float32 [B, 2·T, H, W]: numbers of events, frame after frame, darker first",
            )
    else:
        name, batch_axis, shape = "encoded", 1, [model.card.num_steps or 1, *shape]
        what = (
            f"float32 [T, B, C, H, W], encoded by the caller: {model.card.encoding} encoding is "
            "not in the graph"
        )
        if model.card.encoding == "rate":
            what += " (each pixel fires at every step with probability pixel / 255)"

    def answer(x: Tensor, states: list[Tensor]) -> list[Tensor]:
        num_steps = model.card.num_steps or 1
        network_input: Tensor | ConstantInput = x
        if model.card.encoding == "direct":
            network_input = ConstantInput(x, num_steps)
        elif model.card.encoding == "latency":
            network_input = latency((x * 255).round().to(torch.uint8), num_steps, None)  # type: ignore[arg-type]
        elif model.card.encoding == EVENTS:
            network_input = events(x, num_steps, None)  # type: ignore[arg-type]
        scores = model.readout.scores(model.module(network_input))
        return [scores, model.probabilities(scores)]

    example, shapes = (torch.rand(shape).round(),), ({batch_axis: torch.export.Dim("batch")},)
    outputs = {"scores": "[B, K]: the label is the index of the largest"}
    outputs |= {"probabilities": f"[B, K]: {probabilities_of(model)}"}
    run_file = _written(model, answer, example, shapes, {name: what}, outputs, path, weights)

    def run(images: Tensor, encoded: Encoded) -> Run:
        given = (
            (images.float() if recorded else images / 255) if takes_images else as_sequence(encoded)
        )
        (scores, _), spikes = run_file({name: given.numpy()})
        return Run(scores, spikes)

    return {f"onnxruntime {version('onnxruntime')}": run}


def step(model: Model, path: Path, weights: str) -> dict[str, Runner]:
    """Write one time step of `model`, for streams and small devices; return the runner.

    Inputs are `frame` float32 `[B, C, H, W]` and the state, at first zeros; outputs the scores so
    far, their probabilities and the next state (`NAME.mem.next`). Raises `InputError` for a network
    that cannot stream.
    """
    contender, readout = model.card.contender, model.readout
    if model.card.encoding is None:
        raise InputError(
            f"{contender} has no time steps to take one by one: export it with --to onnx."
        )
    if not isinstance(readout, SpikingReadout):
        raise InputError(
            f"{contender} gives one answer after all its time steps: export it with --to onnx."
        )
    example = torch.rand(_EXAMPLES, *model.card.input_shape).round()
    _, start = model.step(example)
    if start.total is None or not start.neurons:
        raise InputError(
            f"{contender} has no layer of neurons that spikeduel knows: it cannot stream."
        )
    places = [(layer, key) for layer, state in start.neurons.items() for key in state]
    states: dict[str, tuple[Tensor, int | None]]
    states = {f"{layer}.{key}": (start.neurons[layer][key], 0) for layer, key in places}
    states |= {
        "readout.total": (start.total, start.total.ndim - 2),
        "readout.num_steps": (torch.zeros(1), None),
    }
    inputs = {"frame": f"float32 [B, C, H, W], {frames_of(model)}"}
    inputs |= dict.fromkeys(states, "the state, zeros at first")
    outputs = {"scores": "[B, K]: those so far; the label is the index of the largest"}
    outputs |= {"probabilities": f"[B, K]: {probabilities_of(model)} after all steps"}
    outputs |= dict.fromkeys([f"{name}.next" for name in states], "the state for the next step")
    dim = torch.export.Dim("batch")
    shapes = ({0: dim}, [None if axis is None else {axis: dim} for _, axis in states.values()])
    examples = (example, [torch.zeros_like(tensor) for tensor, _ in states.values()])

    def answer(frame: Tensor, held: list[Tensor]) -> list[Tensor]:
        before: dict[str, dict[str, Tensor]] = {}
        for (layer, key), tensor in zip(places, held[:-2], strict=True):
            before.setdefault(layer, {})[key] = tensor
        with carried_state(model.module, before) as after:
            output = model.module(frame.unsqueeze(0))
        total, num_steps = held[-2] + readout.accumulate(output), held[-1] + 1
        scores = readout.scores_of(total, num_steps)  # type: ignore[arg-type]
        return [
            scores,
            model.probabilities(scores),
            *(after[layer][key] for layer, key in places),
            total,
            num_steps,
        ]

    run_file = _written(model, answer, examples, shapes, inputs, outputs, path, weights)

    def run(images: Tensor, encoded: Encoded) -> Run:
        size = len(images)
        state = {
            name: np.zeros(
                [size if i == axis else side for i, side in enumerate(tensor.shape)], np.float32
            )
            for name, (tensor, axis) in states.items()
        }
        scores, steps = np.empty(0), []
        for frame in as_sequence(encoded).numpy():
            (scores, _, *after), spikes = run_file({"frame": frame, **state})
            state = dict(zip(states, after, strict=True))
            steps.append(spikes)
        return Run(
            scores,
            {layer: np.concatenate([spikes[layer] for spikes in steps]) for layer in steps[0]},
        )

    return {f"onnxruntime {version('onnxruntime')}": run}


class _Traced(nn.Module):
    def __init__(
        self, model: Model, answer: Callable[[Tensor, list[Tensor]], list[Tensor]]
    ) -> None:
        super().__init__()
        self.network, self.answer = model.module, answer

    def forward(self, x: Tensor, states: Any = ()) -> tuple[Tensor, ...]:
        with neurons_watched(self.network) as seen:
            outputs = self.answer(x, states)
        return (*outputs, *(spk for _, spk, _ in seen.values()))


@torch.no_grad()
def _written(
    model: Model,
    answer: Any,
    example: Any,
    shapes: Any,
    inputs: Words,
    outputs: Words,
    path: Path,
    weights: str,
) -> RunFile:
    """Write the graph of `answer`, traced with `example`; one with spikes stays in memory."""
    from onnxscript import optimizer

    network = _Traced(model, answer).eval()
    with neurons_watched(model.module) as seen:
        network(*example)
    spikes = {layer: f"{layer}.spk" for layer in seen}  # in the order in which they run
    how: dict[str, Any] = {
        "dynamo": True,
        "opset_version": OPSET,
        "verbose": False,
        "dynamic_shapes": shapes,
    }
    how |= {"input_names": list(inputs), "output_names": [*outputs, *spikes.values()]}
    how["custom_translation_table"] = {torch.ops.aten.sort.stable: _sort_stable()}
    with (
        kernels.unfused(),
        warnings.catch_warnings(action="ignore"),
    ):  # torch's exporter warns of its own parts
        try:
            proto = torch.onnx.export(network, example, **how).model_proto  # type: ignore[union-attr]
        except torch.onnx.errors.OnnxExporterError as error:
            # A user's network can hold anything.
            reason = str(error.__cause__ or error).splitlines()[0]
            raise InputError(f"this network cannot be written as ONNX: {reason}") from error
    if weights == "int8":
        store_as_int8(proto)
    card = {
        name: value
        for name, value in plain(model.card).items()
        if name not in ("trained_on", "precision")
    }
    about = {**card, "weights": weights, "inputs": inputs, "outputs": outputs}
    proto.producer_name, proto.producer_version = "spikeduel", __version__
    proto.doc_string = f"{model.card.title}, made by spikeduel {__version__}"
    # torch notes where each operation's source lies on this machine.
    for part in (
        proto,
        proto.graph,
        *proto.graph.node,
        *proto.graph.input,
        *proto.graph.output,
        *proto.functions,
    ):
        del part.metadata_props[:]
    del proto.graph.value_info[:]
    proto.metadata_props.add(key="spikeduel", value=json.dumps(about))
    with_spikes = _session(proto.SerializeToString()) if spikes else None
    del proto.graph.output[len(outputs) :]
    optimizer.remove_unused_nodes(proto)
    path.write_bytes(proto.SerializeToString())
    session = _session(path.read_bytes())

    def run(given: dict[str, np.ndarray]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        fired = with_spikes.run(list(spikes.values()), given) if with_spikes else ()
        return session.run(None, given), dict(zip(spikes, fired, strict=True))

    return run


def _sort_stable() -> Callable[..., Any]:
    """Translate `aten.sort.stable`: TopK of all puts the lower index first among equals."""
    from onnxscript import opset18 as op

    def sort(values: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
        axis = op.Constant(value_ints=[dim])
        length = op.Gather(op.Shape(values), axis, axis=0)  # type: ignore[type-var]
        return op.TopK(values, length, axis=dim, largest=int(descending), sorted=1)

    return sort


def _session(content: bytes) -> Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def store_as_int8(proto: Any) -> None:
    """Keep weights of an ONNX graph as int8, in place, before a DequantizeLinear.

    A Transpose follows where output channels come last: else onnxruntime would merge both into an
    operation that rounds activations.
    """
    from onnx import helper, numpy_helper

    graph = proto.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    channels_first: dict[str, bool] = {}
    for node in graph.node:
        if (
            node.op_type in ("Conv", "Gemm", "MatMul")
            and len(node.input) > 1
            and node.input[1] in initializers
        ):
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            channels_first[node.input[1]] = node.op_type == "Conv" or transposed
    nodes = []
    for name, is_first in channels_first.items():
        weight = numpy_helper.to_array(initializers[name])
        if not is_first and weight.ndim != 2:
            continue
        values, scale = as_int8(weight if is_first else weight.T)
        graph.initializer.remove(initializers[name])
        graph.initializer.append(
            numpy_helper.from_array(np.ascontiguousarray(values), f"{name}.int8")
        )
        graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{name}.scale"))
        restored = name if is_first else f"{name}.rows"
        given = [f"{name}.int8", f"{name}.scale"]
        nodes.append(
            helper.make_node("DequantizeLinear", given, [restored], f"{name}.restored", axis=0)
        )
        if not is_first:
            nodes.append(
                helper.make_node("Transpose", [restored], [name], f"{name}.transposed", perm=[1, 0])
            )
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])
