"""An input that is the same at every time step."""

from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor


class ConstantInput:
    """An input `value` `[B, …]` for all `num_steps` steps, stored and computed once."""

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
    """Return `[T, B, …]`; of a `ConstantInput` a view."""
    return x.expand() if isinstance(x, ConstantInput) else x


@overload
def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor: ...
@overload
def over_time(layer: Callable[[Tensor], Tensor], x: ConstantInput) -> ConstantInput: ...
def over_time(
    layer: Callable[[Tensor], Tensor], x: Tensor | ConstantInput
) -> Tensor | ConstantInput:
    """Apply a stateless `layer` to all steps of `x` `[T, B, …]` at once, to a constant one once."""
    if isinstance(x, ConstantInput):
        return ConstantInput(layer(x.value), x.num_steps)
    return layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
