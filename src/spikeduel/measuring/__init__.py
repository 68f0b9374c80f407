"""What is measured of a trained model: functions `(model, batches) -> dict` of JSON-like values.

`batches` can be iterated again and again; it gives `(images uint8 [B, C, H, W], labels int64 [B], indices [B])`.
"""

from collections.abc import Callable, Iterable
from typing import Any

from spikeduel.measuring.quality import draws, quality
from spikeduel.measuring.weights import weights
from spikeduel.models import Model

MEASURES: dict[str, Callable[[Model, Iterable[Any]], dict[str, Any]]] = {
    "quality": quality,
    "draws": draws,
    "weights": weights,
}
