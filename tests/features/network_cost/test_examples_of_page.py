"""The examples of the page, one a library, against counts that know nothing of the counter.

A layer's additions are the sum over its unfolded input, times its outputs; its multiplications are
those of an input of ones.
"""

import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import spikeduel as sd

PAGE = Path(__file__).parents[3] / "docs" / "features" / "network_cost.md"
EXAMPLES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PAGE.read_text(), re.M | re.S))


def example(name):
    """Run an example of the page; return its `net`, `images` and `cost`. Skip without its library."""
    for library in re.findall(r"^(?:from|import) (\w+)", EXAMPLES[name], re.M):
        pytest.importorskip(library)
    torch.manual_seed(0)
    namespace = {}
    exec(compile(EXAMPLES[name], f"{name}.py", "exec"), namespace)
    return [namespace[variable] for variable in ("net", "images", "cost")]


def reached(layer, x):
    """Sum of `x` over all synapses of `layer`, border excluded."""
    if isinstance(layer, nn.Linear):
        return float(x.sum()) * layer.out_features
    if isinstance(layer, nn.Conv1d):
        assert layer.kernel_size == (1,)
        return float(x.sum()) * layer.out_channels
    seen = F.unfold(
        x.reshape(-1, *x.shape[-3:]), layer.kernel_size, layer.dilation, layer.padding, layer.stride
    )
    return float(seen.sum()) * layer.out_channels / layer.groups


def by_hand(net, run, num_images, numbers=None):
    """Return MACs of the layers `numbers` (unset: of all) and ACs of the others, per image."""
    counts = {"macs": 0.0, "acs": 0.0}

    def add(name, layer, inputs):
        is_number = numbers is None or name in numbers
        x = torch.ones_like(inputs[0]) if is_number else inputs[0]
        counts["macs" if is_number else "acs"] += reached(layer, x) / num_images

    layers = [
        (name, layer)
        for name, layer in net.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)
    ]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: add(name, layer, inputs))
        for name, layer in layers
    ]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return counts["macs"], counts["acs"]


def loud(net):
    """Let every layer of SpikingJelly's neurons fire."""
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    for layer in net.modules():
        if isinstance(layer, neuron.BaseNode):
            layer.v_threshold = 0.05
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.constant_(layer.bias, 0.05)
    return net.eval()


def in_sequence(net, images, num_steps):
    """Run a network of SpikingJelly as its documentation does."""
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    functional.reset_net(net)
    net(images.expand(num_steps, *images.shape))
    functional.reset_net(net)


def test_all_examples_are_tested():
    tests = {name for name in globals() if name.startswith("test_of_")}
    assert tests == {f"test_{name}" for name in EXAMPLES}


def test_of_snntorch():
    net, images, cost = example("of_snntorch")
    utils = pytest.importorskip("snntorch.utils")

    def run():
        utils.reset(net)
        for _ in range(25):
            net(images)

    macs, acs = by_hand(net.eval(), run, len(images), numbers=["1"])
    assert cost.macs == macs / 25 == 78_400
    assert cost.operations.totals.macs.dense.per_step == macs
    assert cost.acs == pytest.approx(acs)
    assert acs > 0


def test_of_spikingjelly():
    net, images, cost = example("of_spikingjelly")
    # 82 · 82 places of a 3 × 3 kernel lie within an image of 28 × 28: 3 a side, but 2 at a border.
    assert cost.macs == 82 * 82 * 8
    cost = sd.cost(loud(net), images, num_steps=4)
    macs, acs = by_hand(net, lambda: in_sequence(net, images, 4), len(images), numbers=["0"])
    assert cost.macs == macs / 4
    assert cost.acs == pytest.approx(acs)
    assert acs > 0


def test_of_transformer():
    net, images, cost = example("of_transformer")
    functional = pytest.importorskip("spikingjelly.activation_based.functional")
    cost = sd.cost(loud(net), images)
    spikes = []
    qkv = net.blocks[0].attn.qkv_lif
    hook = qkv.register_forward_hook(lambda layer, inputs, output: spikes.append(output))

    def run():
        functional.reset_net(net)
        net(images)
        functional.reset_net(net)

    first = "patch_embed.stages.0.conv_bn.block.0"
    macs, acs = by_hand(net, run, len(images), numbers=[first])
    hook.remove()
    # Spikes [T, N, 3 · 32, L] of queries, keys and values. Heads have 16 channels: the products are
    # v kᵀ, in which each spike of v adds 16 numbers, and (v kᵀ) q, in which each spike of q does.
    queries, _, values = spikes[0].chunk(3, dim=2)
    products = float((queries.sum() + values.sum()) * 16 / len(images))
    (attention,) = (
        layer
        for layer in cost.layers
        if layer.type == "SpikingSelfAttention" and layer.kind == "synapses"
    )
    assert attention.acs.total == pytest.approx(products)
    assert products > 0
    assert attention.macs.dense.per_step == 0
    # The head takes means over 64 places, whose spikes are added one by one.
    head = float(spikes_of_head(net, run)) * 63 * 10 / len(images)
    assert cost.acs == pytest.approx(acs + products + head)
    assert cost.macs == macs / 4


def spikes_of_head(net, run):
    sums = []
    hook = net.head.register_forward_pre_hook(lambda layer, inputs: sums.append(inputs[0].sum()))
    with torch.no_grad():
        run()
    hook.remove()
    return sums[0]


def test_of_detector():
    net, images, cost = example("of_detector")
    # 95 of 96 places a side lie within: 32 outputs of 3, less one at the border.
    assert cost.macs == 95 * 95 * 3 * 8
    cost = sd.cost(loud(net), images, num_steps=4)
    macs, acs = by_hand(net, lambda: in_sequence(net, images, 4), len(images), numbers=["stem.0"])
    assert cost.macs == macs / 4
    assert cost.acs == pytest.approx(acs)
    assert {layer.name for layer in cost.layers if layer.acs.total} == {"fine.0", "coarse.0"}


def test_of_transformers():
    net, images, cost = example("of_transformers")
    # It does not count fused attention on a CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(images)
    # A multiply-accumulate is two floating-point operations.
    assert cost.macs == counter.get_total_flops() / 2 / len(images)
    assert cost.acs == 0


def test_of_timm():
    net, images, cost = example("of_timm")
    macs, _ = by_hand(net.eval(), lambda: net(images), len(images))
    assert cost.macs == macs
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(images)
    # It counts the borders, too.
    assert macs < counter.get_total_flops() / 2 / len(images) < 1.5 * macs
