"""Gradients of the step function. Forward is always the Heaviside step; only the gradient differs.

`u` is the membrane minus the threshold. `alpha` is the width parameter, named and scaled as in snnTorch
(its `slope` for `fast_sigmoid` and `sigmoid`). Source of the idea: Neftci, Mostafa, Zenke 2019,
"Surrogate Gradient Learning in Spiking Neural Networks".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikeduel.system import registry
from spikeduel.system.errors import InputError


def atan(u: Tensor, alpha: float) -> Tensor:
    """alpha/2 / (1 + (π/2·alpha·u)²)"""
    return alpha / 2 / (1 + (math.pi / 2 * alpha * u) ** 2)


def fast_sigmoid(u: Tensor, alpha: float) -> Tensor:
    """1 / (1 + alpha·|u|)²"""
    return 1 / (1 + alpha * u.abs()) ** 2


def sigmoid(u: Tensor, alpha: float) -> Tensor:
    """alpha·s·(1 − s), with s = 1 / (1 + exp(−alpha·u))"""
    s = torch.sigmoid(alpha * u)
    return alpha * s * (1 - s)


def triangular(u: Tensor, alpha: float) -> Tensor:
    """alpha·max(0, 1 − alpha·|u|): a triangle of area 1 (snnTorch's function of that name is a sign function)"""
    return alpha * (1 - alpha * u.abs()).clamp(min=0)


def straight_through_estimator(u: Tensor, alpha: float) -> Tensor:
    """1 everywhere; alpha has no effect"""
    return torch.ones_like(u)


@dataclass(frozen=True)
class Surrogate:
    """A gradient function `(u, alpha) -> gradient`, elementwise on `u`, and its customary `alpha`."""

    gradient: Callable[[Tensor, float], Tensor]
    alpha: float = 1.0


SURROGATES: dict[str, Surrogate] = {
    "atan": Surrogate(atan, 2.0),
    "fast_sigmoid": Surrogate(fast_sigmoid, 25.0),
    "sigmoid": Surrogate(sigmoid, 25.0),
    "triangular": Surrogate(triangular, 1.0),
    "straight_through_estimator": Surrogate(straight_through_estimator, 1.0),
}


def surrogate_of(name: str) -> Surrogate:
    """The surrogate of a name, or of `module:attribute`: a `Surrogate`, or a function `(u, alpha) -> gradient`.

    Raises `InputError`.
    """
    named = registry.resolve("surrogate", name, SURROGATES)
    if isinstance(named, Surrogate):
        return named
    if not callable(named):
        raise InputError(f"surrogate '{name}' must be a function (u, alpha) -> gradient, not {type(named).__name__}.")
    return Surrogate(named)


def resolve_alpha(name: str, alpha: float | None = None) -> float:
    """The width to use: `alpha`, or the customary one of surrogate `name`. Raises `InputError`."""
    resolved = surrogate_of(name).alpha if alpha is None else float(alpha)
    if not resolved > 0 or not math.isfinite(resolved):
        raise InputError(f"surrogate_alpha must be a positive number, not {alpha}.")
    return resolved


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, gradient: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(u)
        ctx.gradient = gradient
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.gradient(u), None


def spike(u: Tensor, surrogate: str = "atan", alpha: float | None = None) -> Tensor:
    """1 where `u` > 0, else 0, in `u`'s dtype; its gradient is that of the named surrogate. Raises `InputError`."""
    gradient, width = surrogate_of(surrogate).gradient, resolve_alpha(surrogate, alpha)
    return _Spike.apply(u, lambda at: gradient(at, width))
