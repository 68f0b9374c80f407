"""Count right test images after every epoch."""

from collections.abc import Callable, Iterable
from typing import Any

from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.predictions_of_model import predict_batches
from spikeduel.experiment.settings import Experiment
from spikeduel.features.optimism import Settings


def after_epoch(experiment: Experiment) -> Callable[[Model, Iterable[Any]], int] | None:
    """Return the function that counts right test images after an epoch; None without the setting.

    No choice in training reads the counts.
    """
    return _num_right if isinstance(experiment, Settings) and experiment.optimism else None


def _num_right(model: Model, test: Iterable[Any]) -> int:
    predictions = predict_batches(model, test)
    return int((predictions.truth == predictions.predicted).sum())
