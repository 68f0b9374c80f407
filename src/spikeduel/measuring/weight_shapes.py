"""Which weights a network has: twins have the same, shape for shape."""

from collections.abc import Iterable
from typing import Any

from spikeduel.networks.models import Model


def weight_shapes(model: Model, batches: Iterable[Any]) -> dict[str, Any]:
    """`shapes`: name to shape of all that the network keeps, statistics of batch norm included.

    Single numbers are left out, such as a learned decay of the neurons: they belong to the activation.
    """
    return {"shapes": {name: list(value.shape) for name, value in model.module.state_dict().items() if value.dim() > 0}}
