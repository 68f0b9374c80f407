"""Batch normalisation folded into the layer before it: in use, both are one linear map."""

from collections import OrderedDict

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def folded(module: nn.Module) -> nn.Module:
    """`module` (changed in place) with each batch norm that follows a Linear or Conv2d in an `nn.Sequential` folded in.

    An Identity stands in its place, so that all names stay.
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
