"""Weights of eight bits: one scale for each output channel, biases and activations as they were."""

from typing import Any

import numpy as np
import torch
from torch import nn

from spikeduel.exchange.exporting.folding import folded

LEVELS = 127
"""Weights are −127 … 127 times their channel's scale."""


@torch.no_grad()
def rounded(module: nn.Module) -> nn.Module:
    """`module` (changed in place), batch norms folded, with the weights that int8 can hold."""
    folded(module)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            values, scale = _quantised(layer.weight.numpy(), axis=0)
            layer.weight.copy_(torch.from_numpy(_restored(values, scale, axis=0)))
    return module


def store(proto: Any) -> None:
    """Keeps the weights of an ONNX graph (changed in place) as int8, of which DequantizeLinear makes floats again.

    Output channels come first. Where the graph has them last, a Transpose follows: without it onnxruntime would make
    one operation of both that rounds activations to eight bits as well.
    """
    from onnx import helper, numpy_helper

    graph = proto.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    channels_first: dict[str, bool] = {}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and len(node.input) > 1 and node.input[1] in initializers:
            transposed = any(a.name == "transB" and a.i for a in node.attribute)
            channels_first[node.input[1]] = node.op_type == "Conv" or transposed
    nodes = []
    for name, is_first in channels_first.items():
        weight = numpy_helper.to_array(initializers[name])
        if not is_first and weight.ndim != 2:
            continue
        values, scale = _quantised(weight if is_first else weight.T, axis=0)
        graph.initializer.remove(initializers[name])
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        restored = name if is_first else f"{name}.rows"
        given = [f"{name}.int8", f"{name}.scale"]
        nodes.append(helper.make_node("DequantizeLinear", given, [restored], f"{name}.restored", axis=0))
        if not is_first:
            nodes.append(helper.make_node("Transpose", [restored], [name], f"{name}.transposed", perm=[1, 0]))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])


def _quantised(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(int8 values, float32 scales, one for each index along `axis`)"""
    largest = np.abs(weight).max(axis=tuple(i for i in range(weight.ndim) if i != axis), keepdims=True)
    scale = np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale.reshape(-1)


def _restored(values: np.ndarray, scale: np.ndarray, axis: int) -> np.ndarray:
    return values * scale.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
