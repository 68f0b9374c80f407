"""Measure the accuracy of a model on corrupted images."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from spikeduel.evaluation.measures import Measure
from spikeduel.evaluation.predictions_of_model import predict_in_one_pass
from spikeduel.experiment.settings import Experiment
from spikeduel.features.robustness import Settings
from spikeduel.features.robustness.robustness_conclusion import PREFIX, CorruptedAccuracies
from spikeduel.system.hardware import keep_freed_memory
from spikeduel.system.progress import Progress


def measures(experiment: Experiment, progress: Progress, title: str) -> dict[str, Measure]:
    """Return a measure for each corruption, so that an interruption costs one corruption.

    `title` names the model in the progress. Empty without the setting.
    """
    if not (isinstance(experiment, Settings) and experiment.robustness):
        return {}
    return {
        PREFIX + name: Measure(partial(_accuracies, name, progress, title), CorruptedAccuracies)
        for name in CORRUPTIONS
    }


def _accuracies(
    name: str, progress: Progress, title: str, model: Model, batches: Iterable[Any]
) -> CorruptedAccuracies:
    """Return the accuracies of `model` on images with corruption `name`, by severity."""
    # New memory for the images of each batch took half of the time.
    keep_freed_memory()
    description = f"  {title}, {name} 1 to {SEVERITIES[-1]}"
    predictions = [
        predict_in_one_pass(model, corrupted(batches, name, severity))
        for severity in progress.track(SEVERITIES, description, len(SEVERITIES))
    ]
    return CorruptedAccuracies(
        n=len(predictions[0].truth), accuracies=[prediction.accuracy for prediction in predictions]
    )
