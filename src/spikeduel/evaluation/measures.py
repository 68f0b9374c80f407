"""Measures of a trained model: functions `(model, batches)` that return a frozen struct.

`batches` can be iterated repeatedly, and yields `(images uint8 [B, C, H, W], labels int64 [B],
indices [B])`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.correctness import (
    anytime,
    classification,
    encoding_deviation,
    label_confidences,
    weight_shapes,
)
from spikeduel.evaluation.costing import operations
from spikeduel.experiment.settings import Experiment
from spikeduel.features import providing
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import (
    Anytime,
    Classification,
    EncodingDeviation,
    LabelConfidences,
    WeightShapes,
)
from spikeduel.system.progress import Progress


@dataclass(frozen=True)
class Measure:
    """A measure of every trained model. Entries of `MEASURES` are taken, stored and shown.

    Parameters
    ----------
    take : callable
        `take(model, batches)`, or `take(model, batches, validation)` with `on_validation`. A batch
        is a tuple of images, labels and image indices.
    result : type
        Type that `take` returns.
    on_validation : bool
        Whether the measure also needs validation images.
    title, meaning : str
        Title and explanation in tables.
    value : callable, optional
        Function of the result that returns the number to show.
    form : str
        Format of this number.

    Examples
    --------
    >>> import spikeduel as sd
    >>> def brightness(model, batches):
    ...     return {"mean": float(np.mean([images.numpy().mean() for images, _, _ in batches]))}
    >>> sd.MEASURES["brightness"] = sd.Measure(
    ...     brightness, title="brightness", meaning="mean pixel", value=lambda r: r["mean"]
    ... )
    >>> del sd.MEASURES["brightness"]
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
    "encoding_deviation": Measure(encoding_deviation, EncodingDeviation),
    "label_confidences": Measure(label_confidences, LabelConfidences, on_validation=True),
    "weight_shapes": Measure(weight_shapes, WeightShapes),
    "operations": Measure(operations, Counted),
    "by_step": Measure(anytime, Anytime, on_validation=True),
}


def measures_of(experiment: Experiment, progress: Progress, title: str) -> dict[str, Measure]:
    """Return the measures of a trained model by name, those of features last; `title` names the
    model in the progress.
    """
    measures = dict(MEASURES)
    for of_feature in providing("measures").values():
        measures |= of_feature(experiment, progress, title)
    return measures


def measured_after_epochs(experiment: Experiment) -> dict[str, Callable[[Model, Any], Any]]:
    """Return the functions with which features measure on test images after every epoch."""
    return {
        name: measure
        for name, after_epoch in providing("after_epoch").items()
        if (measure := after_epoch(experiment)) is not None
    }
