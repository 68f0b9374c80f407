"""Count the operations of a model, and make the entries of trials and variants from them."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.predictions_of_model import (
    CachedPredictions,
    Counting,
    predict_in_one_pass,
)
from spikeduel.results.cost_results import Counted

ACTIVATION_BITS = 8
"""Bits of a number between layers whose weights have few bits."""


def operations(model: Model, batches: Iterable[Any]) -> Counted:
    """Return means per image of the operations over `batches`; `reason` names an unknown one."""
    if isinstance(batches, CachedPredictions) and batches.count:
        batches.predictions(model)
        if batches.counted and batches.counted.operations:
            return batches.counted
    counting = Counting(model)
    predict_in_one_pass(model, batches, counting=counting)
    return counting.result()


def cost_entry(counted: Counted | None, weight_bits: int | None = None) -> dict[str, Any]:
    """Return the fields of an entry on its cost; with `weight_bits`, weights have so many, and
    activations `ACTIVATION_BITS`.
    """
    operations = counted.operations if counted else None
    if operations and weight_bits:
        layers = [
            replace(
                layer,
                weight_bits=weight_bits if layer.weights else None,
                # Sums of spikes keep their bits.
                input_bits=layer.input_bits or (ACTIVATION_BITS if layer.input == "real" else None),
            )
            for layer in operations.layers
        ]
        operations = replace(operations, layers=layers)
    return {
        "operations": operations,
        "not_counted": counted.reason if counted and not operations else None,
    }
