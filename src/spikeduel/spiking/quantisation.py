"""Activations of few bits that can be trained."""

from torch import Tensor


def quantised(x: Tensor, step: Tensor, bits: int) -> Tensor:
    """`x` rounded to the 2^`bits` levels 0, `step`, 2·`step`, …: below them it is 0, above them the highest.

    The gradient goes straight through the rounding to `x` within the levels, and to the `step` size (a scalar above 0)
    as Esser et al. 2020, "Learned step size quantization" (LSQ), equation 3, have it. LSQ also scales the gradient of
    the step, which Adam, whose steps do not depend on the scale of a gradient, would undo.
    """
    level = (x / step).clamp(0, 2**bits - 1)
    return (level + (level.round() - level).detach()) * step
