import numpy as np
import torch
from torch import nn

from spikeduel.exchange.exporting.weights import folded, rounded_to_int8, store_as_int8


def test_a_folded_network_computes_the_same():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3)),
        nn.Flatten(),
        nn.Sequential(nn.Linear(48, 5), nn.BatchNorm1d(5)),
    )
    for norm in (network[0][2], network[2][1]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 3)
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.rand(6, 2, 4, 4)
    expected = network.eval()(x)
    result = folded(network)
    torch.testing.assert_close(result(x), expected)
    assert not [layer for layer in result.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]


def test_a_norm_that_follows_nothing_linear_stays():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4))
    assert isinstance(folded(network)[2], nn.BatchNorm1d)


def test_weights_by_hand():
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, -0.504], [0.0, 0.0], [-2.54, 0.021]]))
    bias = layer.bias.clone()
    rounded_to_int8(layer)
    # Scales 0.01, none, 0.02: values 127 and −50, 0 and 0, −127 and 1.
    torch.testing.assert_close(layer.weight, torch.tensor([[1.27, -0.5], [0.0, 0.0], [-2.54, 0.02]]))
    assert torch.equal(layer.bias, bias)


def test_no_weight_moves_by_more_than_half_a_level_of_its_channel():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 5, 3)
    before = layer.weight.detach().clone()
    rounded_to_int8(layer)
    levels = before.abs().amax((1, 2, 3), keepdim=True) / 127
    assert ((layer.weight - before).abs() <= levels * 0.5001).all()
    assert not torch.equal(layer.weight, before)
    # What is rounded once is not rounded further.
    once = layer.weight.detach().clone()
    torch.testing.assert_close(rounded_to_int8(layer).weight, once, rtol=1e-6, atol=0)


def test_a_graph_computes_the_same_with_its_weights_stored_as_int8():
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = {"a": random.normal(size=(4, 6)), "b": random.normal(size=(4, 5)), "bias": random.normal(size=4)}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "a", "bias"], ["y"], transB=1),
            helper.make_node("MatMul", ["y", "b"], ["z"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 6])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [None, 5])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    store_as_int8(proto)
    x = random.normal(size=(3, 6)).astype(np.float32)
    (z,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    scale_a = np.abs(weights["a"]).max(1, keepdims=True) / 127
    scale_b = np.abs(weights["b"]).max(0, keepdims=True) / 127
    a, b = np.rint(weights["a"] / scale_a) * scale_a, np.rint(weights["b"] / scale_b) * scale_b
    np.testing.assert_allclose(z, (x @ a.T + weights["bias"]) @ b, atol=1e-4)
    assert {tensor.data_type for tensor in proto.graph.initializer if ".int8" in tensor.name} == {TensorProto.INT8}
