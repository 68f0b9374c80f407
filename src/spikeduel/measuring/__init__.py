"""What is measured of a trained model: functions `(model, batches) -> dict` of JSON-like values.

`batches` can be iterated again and again; it gives `(images uint8 [B, C, H, W], labels int64 [B], indices [B])`.
"""

from collections.abc import Callable
from typing import Any

from spikeduel.measuring.anytime import anytime
from spikeduel.measuring.calibration import calibration
from spikeduel.measuring.classification import classification, encoding_spread
from spikeduel.measuring.operations import operations
from spikeduel.measuring.weight_shapes import weight_shapes

MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "classification": classification,
    "encoding_spread": encoding_spread,
    "calibration": calibration,
    "weight_shapes": weight_shapes,
    "operations": operations,
    "anytime": anytime,
}

ALSO_VALIDATION = ("calibration", "anytime")
"""Measures that choose something, and choose it on other images: `(model, batches, validation) -> dict`."""
