"""Spiking networks; and what their modules share: an input that is the same at every time step."""

from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor


class ConstantInput:
    """`value` `[B, …]`, repeated for `num_steps` steps without being stored `num_steps` times.

    Stateless layers map the value once; the first neuron expands it. That is how direct encoding
    pays for its first layer once. (A time axis of length 1 would be mistaken for one step.)
    """

    __slots__ = ("num_steps", "value")

    def __init__(self, value: Tensor, num_steps: int) -> None:
        self.value = value
        self.num_steps = num_steps

    @property
    def shape(self) -> torch.Size:
        """The shape `[T, B, …]` it stands for."""
        return torch.Size((self.num_steps, *self.value.shape))

    def expand(self) -> Tensor:
        """The sequence `[T, B, …]` as a view: no memory is copied."""
        return self.value.unsqueeze(0).expand(self.num_steps, *self.value.shape)

    def __repr__(self) -> str:
        return f"ConstantInput(value={list(self.value.shape)}, num_steps={self.num_steps})"


@overload
def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor: ...
@overload
def over_time(layer: Callable[[Tensor], Tensor], x: ConstantInput) -> ConstantInput: ...
def over_time(
    layer: Callable[[Tensor], Tensor], x: Tensor | ConstantInput
) -> Tensor | ConstantInput:
    """Applies a stateless `layer` to every step of `x` `[T, B, …]` at once: T is folded into the
    batch.

    A `ConstantInput` is mapped once and stays one.
    """
    if isinstance(x, ConstantInput):
        return ConstantInput(layer(x.value), x.num_steps)
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
