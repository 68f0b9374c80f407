"""Energy of an answer given before the last time step."""

from collections.abc import Sequence
from typing import Any

from spikeduel.measuring.energy.estimating import estimate, joules
from spikeduel.measuring.energy.steps import up_to
from spikeduel.measuring.energy.tables import Table


def over_time(
    operations: dict[str, Any],
    table: Table,
    memory: str = "compute",
    scope: str = "synapses",
    counting: str = "cached",
    macs: str = "dense",
) -> list[float] | None:
    """Joules per image up to and including each time step, `[T]`, as `estimate` counts; None where it cannot tell.

    With `counting` "cached", the first layer under direct encoding is paid for in the first step.
    """
    steps = range(1, operations["num_steps"] + 1)
    found = [joules(estimate(up_to(operations, t), table), memory, scope, counting, macs) for t in steps]
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None


def mean_at(values: Sequence[float], exit_steps: Sequence[int]) -> float:
    """The mean of `values` `[T]` over images of which `exit_steps[t]` leave at step t.

    Whoever leaves at a step is taken to cost what images do on average up to there. Those that leave early may in fact
    have fired less, or more.
    """
    return sum(value * images for value, images in zip(values, exit_steps, strict=True)) / sum(exit_steps)
