"""Measures of a trained model: functions `(model, batches)` that return a frozen struct.

`batches` can be iterated repeatedly, and yields `(images uint8 [B, C, H, W], labels int64 [B],
indices [B])`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spikeduel.evaluation.correctness import (
    anytime,
    calibration,
    classification,
    encoding_spread,
    label_confidences,
    weight_shapes,
)
from spikeduel.evaluation.costing import operations
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import (
    Anytime,
    Calibration,
    Classification,
    EncodingSpread,
    LabelConfidences,
    WeightShapes,
)


@dataclass(frozen=True)
class Measure:
    """A measure: `take(model, batches)`, or `take(model, batches, validation)` with
    `on_validation`.

    `result` is the returned type. A user's own measure, entered in `MEASURES`, is stored, and shown
    by `title`, `meaning`, `value` (the number) and `form`.
    """

    take: Callable[..., Any]
    result: Any = dict
    on_validation: bool = False
    title: str = ""
    meaning: str = ""
    value: Callable[[Any], float | None] | None = None
    form: str = "{:.3g}"


MEASURES: dict[str, Measure] = {
    "classification": Measure(classification, Classification),
    "encoding_spread": Measure(encoding_spread, EncodingSpread),
    "calibration": Measure(calibration, Calibration),
    "label_confidences": Measure(label_confidences, LabelConfidences, on_validation=True),
    "weight_shapes": Measure(weight_shapes, WeightShapes),
    "operations": Measure(operations, Counted),
    "by_step": Measure(anytime, Anytime, on_validation=True),
}
