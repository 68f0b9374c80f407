"""An input that is the same at every time step."""

from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor


class ConstantInput:
    """The same input at every time step, stored once.

    Layers without state compute it once for all steps.

    Parameters
    ----------
    value : Tensor, shape [B, ...]
        Input of each step.
    num_steps : int
        Number of time steps T.

    Examples
    --------
    >>> ConstantInput(torch.zeros(8, 1, 28, 28), num_steps=25).shape
    torch.Size([25, 8, 1, 28, 28])
    """

    __slots__ = ("num_steps", "value")

    def __init__(self, value: Tensor, num_steps: int) -> None:
        self.value = value
        self.num_steps = num_steps

    @property
    def shape(self) -> torch.Size:
        """Shape `[T, B, …]` of the sequence."""
        return torch.Size((self.num_steps, *self.value.shape))

    def expand(self) -> Tensor:
        return self.value.unsqueeze(0).expand(self.num_steps, *self.value.shape)

    def __repr__(self) -> str:
        return f"ConstantInput(value={list(self.value.shape)}, num_steps={self.num_steps})"


def as_sequence(x: Tensor | ConstantInput) -> Tensor:
    """Return an input as a tensor over time.

    Parameters
    ----------
    x : Tensor of shape [T, B, ...] or ConstantInput
        Input.

    Returns
    -------
    Tensor, shape [T, B, ...]
        `x` itself, or a view of the constant value.

    Examples
    --------
    >>> as_sequence(ConstantInput(torch.ones(2), num_steps=3)).shape
    torch.Size([3, 2])
    """
    return x.expand() if isinstance(x, ConstantInput) else x


@overload
def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor: ...
@overload
def over_time(layer: Callable[[Tensor], Tensor], x: ConstantInput) -> ConstantInput: ...
def over_time(
    layer: Callable[[Tensor], Tensor], x: Tensor | ConstantInput
) -> Tensor | ConstantInput:
    """Apply a layer without state to all time steps at once.

    Parameters
    ----------
    layer : callable
        Function of a tensor [B, ...], such as a convolution.
    x : Tensor of shape [T, B, ...] or ConstantInput
        Input. Of a constant one, one step is computed.

    Returns
    -------
    Tensor of shape [T, B, ...] or ConstantInput
        Outputs, of the same type as `x`.

    Examples
    --------
    >>> over_time(torch.nn.Linear(4, 2), torch.zeros(25, 8, 4)).shape
    torch.Size([25, 8, 2])
    """
    if isinstance(x, ConstantInput):
        return ConstantInput(layer(x.value), x.num_steps)
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
