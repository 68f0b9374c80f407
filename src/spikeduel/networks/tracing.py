"""A trained network as a list of simple layers, traced by `torch.fx` for conversion to spikes.

Batch norms are folded into the linear layer before them, or become a `plain.Affine`; dropout goes;
a ReLU behind a max-pooling moves before it, which gives the same. Layers other than ReLU and those
of `plain.LAYERS` are refused by name.
"""

import copy
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from spikeduel.networks import plain
from spikeduel.networks.following import Followed, Layer, Output, Rules, Size, Tracer
from spikeduel.networks.foreign import Foreign
from spikeduel.networks.plain import (
    IMAGES,
    Add,
    Affine,
    AsPretrained,
    ChannelsLastFlatten,
    Concat,
    Scale,
)
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.readouts import LogitReadout
from spikeduel.system.errors import InputError


def traced(module: nn.Module) -> list[Layer]:
    """Return the layers of a network from images `[B, C, H, W]` to scores `[B, K]`, after training.

    The network's layers are not changed. Raises `InputError` naming an unknown layer.
    """
    flat = isinstance(module, Foreign) and module.calling.flat
    if not isinstance(getattr(module, "readout", LogitReadout()), LogitReadout):
        raise InputError("it does not give one score a class for an image.")
    network = module.module if isinstance(module, Foreign) else module
    network.eval()
    tracer = Tracer()
    try:
        graph = tracer.trace(network)
    except Exception as error:  # torch.fx may not follow the user's code
        raise InputError(
            f"torch.fx cannot follow its forward ({type(error).__name__}: "
            f"{str(error).partition(chr(10))[0]}). It must "
            "not decide by the values or sizes of tensors."
        ) from None
    followed = Followed(dict(network.named_modules()), Rules(MODULES, FUNCTIONS, METHODS))
    if flat:
        followed.add("images", nn.Flatten(), Output(IMAGES))
    for node in graph.nodes:
        followed.take(node)
    return followed.layers


def run(layers: Sequence[Layer], images: Tensor) -> Tensor:
    """Return the scores `[B, K]` of layers without spikes for images `[B, C, H, W]`."""
    output, _ = plain.run(
        [each.module for each in layers], tuple(e.inputs for e in layers), ConstantInput(images, 1)
    )
    assert isinstance(output, ConstantInput)
    return output.value


# ---- Rules: functions of the `Followed`, the called module, and the arguments of the call.


def copied(module: nn.Module, **parameters: Tensor | None) -> Any:
    """Return a copy of `module` with these parameters."""
    made = copy.deepcopy(module)
    for name, value in parameters.items():
        setattr(
            made,
            name,
            None if value is None else nn.Parameter(value.detach().clone(), requires_grad=False),
        )
    return made


def _linear(on: Followed, module: nn.Linear | nn.Conv2d, x: Output) -> Output:
    return on.add(on.name, copied(module, weight=module.weight, bias=module.bias), x)


def _batch_norm(on: Followed, norm: Any, x: Output) -> Output:
    if norm.running_mean is None:
        raise on.refused("keeps no statistics: what it does depends on the other images of a batch")
    mean, var, weight, bias = norm.running_mean, norm.running_var, norm.weight, norm.bias
    before = on.layers[x.layer] if x.layer != IMAGES else None
    if (
        before is not None
        and isinstance(before.module, nn.MaxPool2d)
        and on.uses(x) == 1
        and _rises(norm)
    ):
        # Scaled up, the largest stays the largest: the norm can come before the pooling.
        below = Output(before.inputs[0])
        if (
            below.layer != IMAGES
            and isinstance(on.layers[below.layer].module, nn.Conv2d)
            and on.uses(below) == 1
        ):
            _batch_norm(on, norm, below)
            return x
    if before is not None and isinstance(before.module, nn.Linear | nn.Conv2d) and on.uses(x) == 1:
        fuse = (
            fuse_conv_bn_weights if isinstance(before.module, nn.Conv2d) else fuse_linear_bn_weights
        )
        fused = fuse(before.module.weight, before.module.bias, mean, var, norm.eps, weight, bias)
        before.module = copied(before.module, weight=fused[0], bias=fused[1])
        return x
    scale = (var + norm.eps).rsqrt() * (1 if weight is None else weight)
    shift = -mean * scale + (0 if bias is None else bias)
    return on.add(on.name, copied(Affine(len(mean)), weight=scale, bias=shift), x)


def _rises(norm: Any) -> bool:
    """Return True if the norm is increasing; without numbers, it is taken to be."""
    return norm.weight is None or norm.weight.is_meta or bool((norm.weight > 0).all())


def _relu(on: Followed, x: Output, inplace: bool = False) -> Output:
    before = on.layers[x.layer] if x.layer != IMAGES else None
    if before is not None and isinstance(before.module, nn.MaxPool2d) and on.uses(x) == 1:
        # max(ReLU(x)) = ReLU(max(x))
        on.layers[x.layer] = Layer(on.unlike(on.name), nn.ReLU(), before.inputs)
        return on.add(before.name, before.module, x)
    return on.add(on.name, nn.ReLU(), x)


def _relu6(on: Followed, x: Output, *limits: Any, inplace: bool = False) -> Output:
    relu = _relu(on, x)
    where = relu.layer if isinstance(on.layers[relu.layer].module, nn.ReLU) else x.layer
    on.layers[where].module = nn.ReLU6()
    return relu


def _hardtanh(on: Followed, module: nn.Hardtanh, x: Output) -> Output:
    if (module.min_val, module.max_val) != (0.0, 6.0):
        raise on.refused("cuts off at other values than 0 and 6")
    return _relu6(on, x)


def _max_pool(
    on: Followed,
    x: Output,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Output:
    if return_indices or dilation not in (1, (1, 1), [1, 1]):
        raise on.refused("is dilated, or asked for indices")
    return on.add(on.name, nn.MaxPool2d(kernel_size, stride, padding, ceil_mode=ceil_mode), x)


def _average_pool(
    on: Followed,
    x: Output,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Output:
    pool = nn.AvgPool2d(
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return on.add(on.name, pool, x)


def _of_pool(rule: Callable[..., Output], *names: str) -> Callable[..., Output]:
    """Make the rule of a module from its function's, with these settings of the module."""
    return lambda on, module, x: rule(on, x, **{name: getattr(module, name) for name in names})


def _adaptive_average_pool(on: Followed, x: Output, output_size: Any) -> Output:
    return on.add(on.name, nn.AdaptiveAvgPool2d(output_size), x)


def _mean(on: Followed, x: Output, dim: Any = None, keepdim: bool = False) -> Output:
    if sorted(dim) not in ([2, 3], [-2, -1]):
        raise on.refused("takes the mean of something else than the places of a map")
    pooled = on.add(on.name, nn.AdaptiveAvgPool2d(1), x)
    return pooled if keepdim else on.add(f"{on.name}, flat", nn.Flatten(), pooled)


def _flatten(on: Followed, x: Output, start_dim: int = 0, end_dim: int = -1) -> Output:
    if (start_dim, end_dim) not in ((1, -1), (1, 3)):
        raise on.refused("joins other axes than all but the first")
    return on.add(on.name, nn.Flatten(), x)


def _view(on: Followed, x: Output, *shape: Any) -> Output:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], list) else shape
    if len(sizes) != 2 or (isinstance(sizes[0], int) and sizes[0] != -1):
        raise on.refused("gives another shape than [B, all the rest]")
    return on.add(on.name, nn.Flatten(), x)


def _pad(
    on: Followed, x: Output, pad: Any, mode: str = "constant", value: float | None = None
) -> Output:
    if (
        mode != "constant"
        or value not in (None, 0)
        or not all(isinstance(each, int) for each in pad)
    ):
        raise on.refused("pads with something else than zeros")
    if len(pad) > 4:
        raise on.refused("pads other axes than rows and columns")
    return on.add(on.name, nn.ZeroPad2d(tuple([*pad, 0, 0][:4])), x)


def _add(on: Followed, a: Any, b: Any, *, alpha: float = 1) -> Output:
    if alpha != 1:
        raise on.refused("adds a multiple")
    if isinstance(a, Output) and isinstance(b, Output):
        return on.add(on.name, Add(), a, b)
    x, number = _with_number(on, a, b)
    return on.add(on.name, Scale(1.0, number), x)


def _subtract(on: Followed, a: Any, b: Any) -> Output:
    x, number = _with_number(on, a, b)
    return on.add(on.name, Scale(1.0, -number) if x is a else Scale(-1.0, number), x)


def _multiply(on: Followed, a: Any, b: Any) -> Output:
    x, number = _with_number(on, a, b)
    return on.add(on.name, Scale(number), x)


def _divide(on: Followed, a: Any, b: Any) -> Output:
    x, number = _with_number(on, a, b)
    if x is not a or not number:
        raise on.refused()
    return on.add(on.name, Scale(1 / number), x)


def _with_number(on: Followed, a: Any, b: Any) -> tuple[Output, float]:
    """Return the layer and the number of an arithmetic of the two."""
    x, number = (a, b) if isinstance(a, Output) else (b, a)
    if not isinstance(x, Output) or isinstance(number, bool) or not isinstance(number, int | float):
        raise on.refused()
    return x, float(number)


def _concat(on: Followed, tensors: Any, dim: int = 0) -> Output:
    if dim not in (1, -3) or not all(isinstance(each, Output) for each in tensors):
        raise on.refused("joins along another axis than the channels")
    return on.add(on.name, Concat(), *tensors)


def _same(on: Followed, x: Output, *args: Any, **settings: Any) -> Output:
    return x


def _logarithm(on: Followed, x: Output, dim: int | None = None, **settings: Any) -> Output:
    """Leave a final log-softmax out: the softmax of the scores stays."""
    if any(user.op != "output" for user in on.node.users) or dim not in (1, -1, None):
        raise on.refused("is not the last layer")
    return x


def _shape(on: Followed, x: Output, *args: Any) -> Size:
    return Size()


def _own(on: Followed, module: nn.Module, x: Output) -> Output:
    return on.add(on.name, module, x)


def _module(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Make the rule of a module without settings from its function's."""
    return lambda on, module, *args, **settings: rule(on, *args, **settings)


_POOL = ("kernel_size", "stride", "padding", "ceil_mode")
MODULES: dict[type[nn.Module], Callable[..., Any]] = {
    nn.Linear: _linear,
    nn.Conv2d: _linear,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: _module(_relu),
    nn.ReLU6: _module(_relu6),
    nn.Hardtanh: _hardtanh,
    nn.MaxPool2d: _of_pool(_max_pool, *_POOL, "dilation", "return_indices"),
    nn.AvgPool2d: _of_pool(_average_pool, *_POOL, "count_include_pad", "divisor_override"),
    nn.AdaptiveAvgPool2d: _of_pool(_adaptive_average_pool, "output_size"),
    nn.Flatten: _of_pool(_flatten, "start_dim", "end_dim"),
    nn.ZeroPad2d: lambda on, module, x: _pad(on, x, module.padding),
    **dict.fromkeys(
        (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Dropout1d, nn.AlphaDropout), _module(_same)
    ),
    nn.LogSoftmax: lambda on, module, x: _logarithm(on, x, module.dim),
    **dict.fromkeys((AsPretrained, ChannelsLastFlatten, Affine), _own),
}
FUNCTIONS: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((F.relu, torch.relu, F.relu_, torch.relu_), _relu),
    F.relu6: _relu6,
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _max_pool),
    F.avg_pool2d: _average_pool,
    F.adaptive_avg_pool2d: _adaptive_average_pool,
    torch.mean: _mean,
    torch.flatten: _flatten,
    torch.reshape: _view,
    F.pad: _pad,
    **dict.fromkeys((operator.add, operator.iadd, torch.add), _add),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub), _subtract),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul), _multiply),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div), _divide),
    **dict.fromkeys((torch.cat, torch.concat), _concat),
    **dict.fromkeys((F.dropout, F.dropout2d), _same),
    **dict.fromkeys((F.log_softmax, torch.log_softmax), _logarithm),
    getattr: _shape,
}
METHODS: dict[Any, Callable[..., Any]] = {
    "relu": _relu,
    "relu_": _relu,
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
    "mean": _mean,
    "add": _add,
    "add_": _add,
    "sub": _subtract,
    "mul": _multiply,
    "div": _divide,
    "contiguous": _same,
    "clone": _same,
    "size": _shape,
    "log_softmax": _logarithm,
}
