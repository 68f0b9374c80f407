"""Weights as files hold them: batch normalisation folded in, and rounded to eight bits.

int8: one scale for each output channel; biases and activations stay floats.
"""

from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

LEVELS = 127
"""int8 weights are −127 … 127 times the scale of their channel."""


def folded(module: nn.Module) -> nn.Module:
    """`module` (changed in place) with each batch norm that follows a Linear or Conv2d in an `nn.Sequential` folded in.

    An Identity takes the place of the batch norm, so that all names stay.
    """
    module.eval()
    for part in module.modules():
        if not isinstance(part, nn.Sequential):
            continue
        layers = OrderedDict(part.named_children())
        for (name, layer), (next_name, norm) in zip(list(layers.items()), list(layers.items())[1:], strict=False):
            if isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                setattr(part, name, fuse_linear_bn_eval(layer, norm))
            elif isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(part, name, fuse_conv_bn_eval(layer, norm))
            else:
                continue
            setattr(part, next_name, nn.Identity())
    return module


@torch.no_grad()
def rounded_to_int8(module: nn.Module) -> nn.Module:
    """`module` (changed in place), batch norms folded in, with the weights that int8 can hold."""
    folded(module)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            values, scale = _quantised(layer.weight.numpy())
            layer.weight.copy_(torch.from_numpy(values * scale))
    return module


def store_as_int8(proto: Any) -> None:
    """Keeps the weights of an ONNX graph (changed in place) as int8; DequantizeLinear makes floats of them again.

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
        values, scale = _quantised(weight if is_first else weight.T)
        graph.initializer.remove(initializers[name])
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{name}.scale"))
        restored = name if is_first else f"{name}.rows"
        given = [f"{name}.int8", f"{name}.scale"]
        nodes.append(helper.make_node("DequantizeLinear", given, [restored], f"{name}.restored", axis=0))
        if not is_first:
            nodes.append(helper.make_node("Transpose", [restored], [name], f"{name}.transposed", perm=[1, 0]))
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])


def _quantised(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 values, and float32 scales `[channels, 1, …]`: their product is about `weight`, output channels first."""
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)
    return np.rint(weight / scale).astype(np.int8), scale
