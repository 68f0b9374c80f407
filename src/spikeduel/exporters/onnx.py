"""ONNX files: a network unrolled over time, or one step with its state in and out."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxscript import opset18 as op, optimizer
from torch import Tensor, nn

from spikeduel.engine import ConstantInput, as_sequence, kernels
from spikeduel.engine.encoders import EVENTS, analogue, events, latency
from spikeduel.engine.networks.models import Model, neurons_watched
from spikeduel.engine.neurons import carried_state
from spikeduel.engine.readouts import SpikingReadout
from spikeduel.exporters.exporting import (
    Encoded,
    Examples,
    Exported,
    Run,
    frames_of,
    probabilities_of,
)
from spikeduel.exporters.preparing import OPSET, PREPARED, preparing, unprepared
from spikeduel.system import __version__
from spikeduel.system.errors import InputError
from spikeduel.system.typed import plain

_EXAMPLES = 2
"""Images in the traced batch: 1 would be a fixed size."""
_PROGRAM = f"onnxruntime {onnxruntime.__version__}"

Words = dict[str, str]
"""Descriptions of inputs or outputs, by name."""
RunFile = Callable[[dict[str, np.ndarray]], tuple[list[np.ndarray], dict[str, np.ndarray]]]
"""Runs a written file: inputs by name to outputs, and spikes by layer of neurons."""


def unrolled(model: Model, path: Path, examples: Examples) -> Exported:
    """Write `model` with all its time steps.

    Inputs are `images` uint8 `[B, C, H, W]` of any size, which the file prepares, `frames`
    `[B, 2·T, H, W]`, or else `encoded` `[T, B, C, H, W]`; outputs `scores` and `probabilities`
    `[B, K]`.
    """
    card = model.card
    recorded, num_steps = card.preprocessing.binning is not None, card.num_steps or 1
    name, batch_axis, shape = "images", 0, [_EXAMPLES, *card.image_shape]
    colours = "grey" if card.image_shape[0] == 1 else "red, green, blue"
    takes = (
        f"uint8 [B, {card.image_shape[0]}, H, W], 0 to 255, {colours}, of any height and width: "
        "the file scales, pads and resizes them"
    )
    if recorded:
        name = "frames"
        takes = "float32 [B, 2·T, H, W]: numbers of events, frame after frame, darker first"
    elif card.encoding not in (None, "direct", "latency"):
        name, batch_axis, shape = "encoded", 1, [num_steps, *shape]
        takes = (
            f"float32 [T, B, C, H, W], encoded by the caller: {card.encoding} encoding is not in "
            "the graph"
        )
        if card.encoding == "rate":
            takes += " (each pixel fires at every step with probability pixel / 255)"

    def predict(x: Tensor, states: list[Tensor]) -> list[Tensor]:
        encoded: Encoded = x
        if card.encoding == "direct":
            encoded = ConstantInput(x, num_steps)
        elif card.encoding == "latency":
            encoded = latency((x * 255).round().to(torch.uint8), num_steps, None)  # type: ignore[arg-type]
        elif card.encoding == EVENTS:
            encoded = events(x, num_steps, None)  # type: ignore[arg-type]
        scores = model.readout.scores(model.module(encoded))
        return [scores, model.probabilities(scores)]

    example, shapes = (torch.rand(shape).round(),), ({batch_axis: torch.export.Dim("batch")},)
    outputs = {
        "scores": "[B, K]: the label is the index of the largest",
        "probabilities": f"[B, K]: {probabilities_of(card)}",
    }
    preparation = preparing(card.preprocessing) if name == "images" else None
    inputs = {name: takes}
    run_file = _written(model, predict, example, shapes, inputs, outputs, path, preparation)

    def run(images: Tensor, encoded: Encoded) -> Run:
        x = images.float() if recorded else as_sequence(encoded)
        if preparation is not None:
            x = unprepared(images, card.preprocessing)
        (scores, _), spikes = run_file({name: x.numpy()})
        return Run(scores, spikes)

    return Exported(inputs, {_PROGRAM: run})


def step(model: Model, path: Path, examples: Examples) -> Exported:
    """Write one time step of `model`, for streams and small devices.

    Inputs are `frame` `[B, C, H, W]`, uint8 for direct encoding, else float32, and the state, at
    first zeros; outputs the scores so far, their probabilities and the next state
    (`NAME.mem.next`). Raises `InputError` for a network that cannot stream.
    """
    contender, readout = model.card.contender, model.readout
    if model.card.encoding is None:
        raise InputError(
            f"{contender} has no time steps to take one by one: export it with --to onnx."
        )
    if not isinstance(readout, SpikingReadout):
        raise InputError(
            f"{contender} gives its scores after all time steps: export it with --to onnx."
        )
    example = torch.rand(_EXAMPLES, *model.card.input_shape).round()
    is_direct = model.card.encoding == "direct"
    _, start = model.step(example)
    if start.total is None or not start.neurons:
        raise InputError(
            f"{contender} has no layer of neurons that spikeduel knows: it cannot stream."
        )
    places = [(layer, key) for layer, state in start.neurons.items() for key in state]
    # Tensors with the axis of their batch.
    states: dict[str, tuple[Tensor, int | None]] = {
        **{f"{layer}.{key}": (start.neurons[layer][key], 0) for layer, key in places},
        "readout.total": (start.total, start.total.ndim - 2),
        "readout.num_steps": (torch.zeros(1), None),
    }
    inputs = {
        "frame": "uint8 [B, C, H, W], 0 to 255, the same prepared image at every step: the file "
        "scales it, and does not resize"
        if is_direct
        else f"float32 [B, C, H, W], {frames_of(model.card)}",
        **dict.fromkeys(states, "the state, zeros at first"),
    }
    outputs = {
        "scores": "[B, K]: those so far; the label is the index of the largest",
        "probabilities": f"[B, K]: {probabilities_of(model.card)} after all steps"
        + ("; of counts after t of T steps it is t/T of that" if readout.grows else ""),
        **dict.fromkeys([f"{name}.next" for name in states], "the state for the next step"),
    }
    dim = torch.export.Dim("batch")
    shapes = ({0: dim}, [None if axis is None else {axis: dim} for _, axis in states.values()])

    def predict(frame: Tensor, carried: list[Tensor]) -> list[Tensor]:
        before: dict[str, dict[str, Tensor]] = {layer: {} for layer, _ in places}
        for (layer, key), tensor in zip(places, carried[:-2], strict=True):
            before[layer][key] = tensor
        with carried_state(model.module, before) as after:
            x = analogue(frame) if is_direct else frame
            total = carried[-2] + readout.accumulate(model.module(x.unsqueeze(0)))
        steps = carried[-1] + 1
        scores = readout.scores_of(total, steps)  # type: ignore[arg-type]
        neurons = [after[layer][key] for layer, key in places]
        return [scores, model.probabilities(scores, num_steps=steps), *neurons, total, steps]

    if is_direct:
        example = example.to(torch.uint8)
    traced = (example, [torch.zeros_like(tensor) for tensor, _ in states.values()])
    run_file = _written(model, predict, traced, shapes, inputs, outputs, path)

    def run(images: Tensor, encoded: Encoded) -> Run:
        state = {
            name: np.zeros(
                [len(images) if i == axis else edge for i, edge in enumerate(tensor.shape)],
                np.float32,
            )
            for name, (tensor, axis) in states.items()
        }
        scores, steps = np.empty(0), []
        frames = as_sequence(encoded)
        for frame in [images] * len(frames) if is_direct else frames:
            (scores, _, *after), spikes = run_file({"frame": frame.numpy(), **state})
            state = dict(zip(states, after, strict=True))
            steps.append(spikes)
        return Run(
            scores, {layer: np.concatenate([spk[layer] for spk in steps]) for layer in steps[0]}
        )

    return Exported(inputs, {_PROGRAM: run})


class _Traced(nn.Module):
    """The network as torch traces it: outputs of `predict`, then the spikes of each layer."""

    def __init__(
        self, model: Model, predict: Callable[[Tensor, list[Tensor]], list[Tensor]]
    ) -> None:
        super().__init__()
        self.network, self.predict = model.module, predict

    def forward(self, x: Tensor, states: Any = ()) -> tuple[Tensor, ...]:
        with neurons_watched(self.network) as seen:
            outputs = self.predict(x, states)
        return (*outputs, *(spk for _, spk, _ in seen.values()))


@torch.no_grad()
def _written(
    model: Model,
    predict: Any,
    example: Any,
    shapes: Any,
    inputs: Words,
    outputs: Words,
    path: Path,
    preparation: Any = None,
) -> RunFile:
    """Write the graph of `predict`, traced with `example`, behind that of `preparation`; one with
    spikes stays in memory.
    """
    network = _Traced(model, predict).eval()
    with neurons_watched(model.module) as seen:
        network(*example)
    spikes = {layer: f"{layer}.spk" for layer in seen}  # in the order in which they run
    # torch's exporter warns of its own parts
    with kernels.unfused(), warnings.catch_warnings(action="ignore"):
        try:
            proto = torch.onnx.export(
                network,
                example,
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                dynamic_shapes=shapes,
                input_names=list(inputs) if preparation is None else [PREPARED],
                output_names=[*outputs, *spikes.values()],
                custom_translation_table={torch.ops.aten.sort.stable: _sort_stable},
            ).model_proto  # type: ignore[union-attr]
        except torch.onnx.errors.OnnxExporterError as error:
            # A user's network can hold anything.
            reason = str(error.__cause__ or error).splitlines()[0]
            raise InputError(f"this network cannot be written as ONNX: {reason}") from error
    about = {**plain(model.card), "inputs": inputs, "outputs": outputs}
    del about["trained_on"], about["precision"]
    proto.producer_name, proto.producer_version = "spikeduel", __version__
    proto.doc_string = f"{model.card.title}, made by spikeduel {__version__}"
    # torch notes where each operation's source lies on this machine.
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *proto.functions):
        del part.metadata_props[:]
    del graph.value_info[:]
    if preparation is not None:
        before, nodes = preparation.graph, list(graph.node)
        del graph.node[:], graph.input[:]
        graph.node.extend([*before.node, *nodes])
        graph.initializer.extend(before.initializer)
        graph.input.extend(before.input)
    proto.metadata_props.add(key="spikeduel", value=json.dumps(about))
    with_spikes = _session(proto.SerializeToString()) if spikes else None
    del graph.output[len(outputs) :]
    optimizer.remove_unused_nodes(proto)
    path.write_bytes(proto.SerializeToString())
    session = _session(path.read_bytes())

    def run(arrays: dict[str, np.ndarray]) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        fired = with_spikes.run(list(spikes.values()), arrays) if with_spikes else ()
        return session.run(None, arrays), dict(zip(spikes, fired, strict=True))

    return run


def _sort_stable(values: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
    """Translate `aten.sort.stable`: TopK of all puts the lower index first among equals."""
    axis = op.Constant(value_ints=[dim])
    length = op.Gather(op.Shape(values), axis, axis=0)  # type: ignore[type-var]
    return op.TopK(values, length, axis=dim, largest=int(descending), sorted=1)


def _session(content: bytes) -> Any:
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
