"""Networks that begin with another one's weights, perhaps of fewer channels."""

from typing import Any

import torch
from torch import Tensor, nn

from spikeduel.engine.networks.chains import BatchNorm, SpikingChain
from spikeduel.system.errors import InputError


def can_narrow(module: nn.Module) -> bool:
    """Return True if `inherit` takes the weights of a wider network of the same kind."""
    if not isinstance(module, SpikingChain):
        return False
    narrowed = {*(weight for part in _weighted(module) for weight in part.parameters())}
    return narrowed == {*module.parameters()}


@torch.no_grad()
def inherit(module: nn.Module, source: nn.Module) -> None:
    """Give `module` the weights of `source`, a chain of the same layers with at least as many
    channels: of each layer those that count for most.

    A channel counts for the scale of its batch norm (Liu et al. 2017, "Learning Efficient
    Convolutional Networks through Network Slimming"), times the norm of the next layer's weights
    for it. The range of few levels of activations is that of `module`. Raises `InputError` for
    networks that are no chains.
    """
    wide_shapes, shapes = (
        {name: value.shape for name, value in network.state_dict().items()}
        for network in (source, module)
    )
    if wide_shapes == shapes:
        module.load_state_dict(source.state_dict())
    else:
        _narrow(module, source)
    if isinstance(module, SpikingChain) and isinstance(source, SpikingChain):
        _rescale(module, module.norm_scale / source.norm_scale)


def _rescale(chain: SpikingChain, times: float) -> None:
    """Multiply what neurons get and send; the last layer undoes it."""
    if times == 1:
        return
    norms = [part for part in _weighted(chain) if isinstance(part, BatchNorm)]
    for index, norm in enumerate(norms):
        norm.weight.mul_(times)
        norm.bias.mul_(times)
        if index:  # the first one sees the image
            norm.running_mean.mul_(times)  # type: ignore[union-attr]
            norm.running_var.mul_(times**2)  # type: ignore[union-attr]
    _weighted(chain)[-1].weight.div_(times)


def _narrow(module: nn.Module, source: nn.Module) -> None:
    if not isinstance(module, SpikingChain) or not isinstance(source, SpikingChain):
        raise InputError("channels of a chain of layers alone can be left out.")
    pairs = list(zip(_weighted(source), _weighted(module), strict=True))
    taken: Tensor | None = None
    for index, (wide, narrow) in enumerate(pairs):
        if isinstance(narrow, BatchNorm):
            assert taken is not None
            chosen = {name: v[taken] for name, v in wide.state_dict().items() if v.dim()}
            narrow.load_state_dict(chosen, strict=False)
            continue
        inputs = slice(None) if taken is None else taken
        norm, following = (
            next((layer for layer, _ in pairs[index + 1 :] if isinstance(layer, kind)), None)
            for kind in (BatchNorm, nn.Conv2d | nn.Linear)
        )
        taken = _most_important(len(narrow.weight), wide, norm, following)
        weight = wide.weight[taken][:, inputs]
        bias = {} if wide.bias is None else {"bias": wide.bias[taken]}
        narrow.load_state_dict({"weight": weight, **bias})


def _weighted(chain: SpikingChain) -> list[Any]:
    parts = (part for layer in chain.layers() for part in layer.modules())
    return [part for part in parts if isinstance(part, nn.Conv2d | nn.Linear | BatchNorm)]


def _most_important(number: int, layer: Any, norm: Any, following: Any) -> Tensor:
    """Return the indices of the `number` most important outputs of `layer`, in order."""
    if following is None or number == len(layer.weight):
        return torch.arange(number, device=layer.weight.device)
    scale = layer.weight.flatten(1).norm(dim=1) if norm is None else norm.weight.abs()
    importance = scale * following.weight.transpose(0, 1).flatten(1).norm(dim=1)
    return importance.topk(number).indices.sort().values
