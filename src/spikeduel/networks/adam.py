"""Adam on the CPU in one pass over memory, which also writes the bf16 copies that the next step
multiplies.

Under autocast PyTorch copies each weight to bf16 in every step, and its gradient back to float32.
Here a copy stays, takes the weight's place while the network trains (`Bf16Copies`), and so gets the
gradient, which Adam reads as it is.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from spikeduel.networks import architectures
from spikeduel.networks.models import Model
from spikeduel.spiking.kernels.cpu import empty, flat, run_chunks
from spikeduel.spiking.kernels.cpu_numbers import COMPILED, from_bf16, to_bf16

_CACHE_LINE = 16
Arrays = tuple[np.ndarray | None, ...]


class Bf16Copies:
    """bf16 copies of the weights and biases of a model's linear and convolutional layers; see the
    module.

    There are some where the model is one of `architectures` itself and trains in bf16 on the CPU:
    in somebody else's code a weight may be used for more than a product, and in `vgg` and `resnet`
    there are too few to save time. `by_name` has them by the names of their weights.
    """

    def __init__(self, model: Model) -> None:
        layers = model.module.named_modules() if _is_ours_in_bf16(model) else ()
        self.weights: dict[str, nn.Parameter] = {
            f"{name}.{part}": weight
            for name, layer in layers
            if isinstance(layer, nn.Linear | nn.Conv2d)
            for part, weight in layer.named_parameters()
        }
        self.by_name = {
            name: _like(weight, torch.bfloat16).requires_grad_()
            for name, weight in self.weights.items()
        }
        self._versions: dict[str, int] = {}

    def current(self) -> dict[str, Tensor]:
        """`by_name`, made anew where something else than `Adam` has changed a weight in place."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                if self._versions.get(name) != weight._version:
                    self.by_name[name].copy_(weight)
        self.written()
        return self.by_name

    def written(self) -> None:
        """Says that the copies are those of the weights as they are."""
        self._versions = {name: weight._version for name, weight in self.weights.items()}


def _is_ours_in_bf16(model: Model) -> bool:
    own = type(model.module).__module__ == architectures.__name__
    return own and model.precision == "bf16" and _fit(model.module.parameters())


def adam(
    weights: Sequence[Tensor], lr: float, copies: Bf16Copies | None = None
) -> torch.optim.Optimizer:
    """The fastest Adam for `weights`: `Adam` where it can, else PyTorch's fused one."""
    return (
        Adam(weights, lr, copies=copies)
        if _fit(weights)
        else torch.optim.Adam(weights, lr=lr, fused=True)
    )


def _fit(weights: Iterable[Tensor]) -> bool:
    """Whether `Adam` takes `weights`: float32 on the CPU, each without gaps in memory."""
    return all(
        weight.device.type == "cpu" and weight.dtype == torch.float32 and _has_no_gaps(weight)
        for weight in weights
    )


def _has_no_gaps(x: Tensor) -> bool:
    expected = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


class Adam(torch.optim.Optimizer):
    """Adam (Kingma, Ba 2015) of float32 weights on the CPU.

    Its results differ from those of `torch.optim.Adam` in the last digits: no multiply-add is
    fused, so that they are the same in all vector widths and for any number of threads.
    `state_dict` is like torch's. Gradients are those of the weights and of their `copies`, which it
    keeps up to date.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        copies: Bf16Copies | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        self._copies = copies
        self._arrays: dict[Tensor, tuple[tuple[int, ...], Arrays]] = {}
        self._copy_of: dict[Tensor, Tensor] = {}
        if copies is not None:
            self._copy_of = {
                weight: copies.by_name[name] for name, weight in copies.weights.items()
            }

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step, by the gradients that there are."""
        for group in self.param_groups:
            told: dict[float, np.ndarray] = {}
            for weight in group["params"]:
                copy = self._copy_of.get(weight)
                grad = _sum(weight.grad, None if copy is None else copy.grad)
                if grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"], state["exp_avg_sq"] = (
                        _like(weight).zero_() for _ in range(2)
                    )
                state["step"] += 1
                step = state["step"].item()
                if step not in told:
                    told[step] = numbers(group, step)
                if grad.stride() != weight.stride():
                    grad = _like(weight, grad.dtype).copy_(grad)
                kernel = partial(update, _flat(grad), *self._arrays_of(weight), told[step])
                run_chunks(kernel, weight.numel(), work=weight.numel(), grain=_CACHE_LINE)
                torch.autograd.graph.increment_version(weight)
        if self._copies is not None:
            self._copies.written()

    def _arrays_of(self, weight: Tensor) -> Arrays:
        """What `update` changes: to make it anew in each step would take as long as a small layer's
        update.
        """
        tensors = weight, self.state[weight]["exp_avg"], self.state[weight]["exp_avg_sq"]
        at = tuple(x.data_ptr() for x in tensors)
        known = self._arrays.get(weight)
        if known is None or known[0] != at:
            copy = self._copy_of.get(weight)
            known = self._arrays[weight] = (
                at,
                (*map(_flat, tensors), None if copy is None else _flat(copy)),
            )
        return known[1]


def numbers(group: Mapping[str, Any], step: float) -> np.ndarray:
    """What `update` is told of a group's settings at the given step, the first being 1."""
    beta1, beta2 = group["betas"]
    rate, scale = float(group["lr"]) / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    return np.array((1 - beta1, beta2, 1 - beta2, rate, scale, group["eps"]), np.float32)


@njit(**COMPILED)
def update(grads, weights, means, squares, copies, numbers, start, stop):  # type: ignore[no-untyped-def]
    """Updates places `start` to `stop` of `weights`, `means` and `squares` float32 `[N]` and of
    `copies`, the bits of bf16 as int16 (or None), by `grads` of either type.
    """
    here = slice(start, stop)
    rows = weights[here], grads[here], means[here], squares[here]
    if copies is None:
        _update(*rows, None, numbers)
    else:
        _update(*rows, copies[here], numbers)


@njit(**COMPILED)
def _update(weights, grads, means, squares, copies, numbers):  # type: ignore[no-untyped-def]
    new1, beta2, new2 = numbers[0], numbers[1], numbers[2]
    rate, scale, eps = numbers[3], numbers[4], numbers[5]
    # A plain loop over plain rows, which is what LLVM vectorises.
    for i in range(len(weights)):
        grad = from_bf16(grads[i])
        mean = means[i] + new1 * (grad - means[i])
        square = beta2 * squares[i] + (new2 * grad) * grad
        weight = weights[i] - (rate * mean) / (np.sqrt(square) * scale + eps)
        means[i], squares[i], weights[i] = mean, square, weight
        if copies is not None:
            copies[i] = to_bf16(weight)


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def _like(x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Memory for a tensor with the shape and the strides of `x`, which has no gaps."""
    return empty((x.numel(),), dtype).as_strided(x.shape, x.stride())


def _flat(x: Tensor) -> np.ndarray:
    """The numbers of `x`, which has no gaps, in the order in which they lie in memory; bf16 as
    int16.
    """
    return flat(x.detach().as_strided((x.numel(),), (1,)))
