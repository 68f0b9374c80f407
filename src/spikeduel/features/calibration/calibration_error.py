"""Measure how well the probabilities of a model are calibrated."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from msgspec.structs import asdict
from torch import Tensor

from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.measures import Measure
from spikeduel.evaluation.predictions_of_model import predict_batches
from spikeduel.experiment.settings import Experiment
from spikeduel.features.calibration.calibration_conclusion import (
    MEASURE,
    Calibrated,
    Calibration,
    CalibrationBin,
)
from spikeduel.system.progress import Progress

NUM_BINS = 15
NUM_PERFECT = 1000
"""Draws of the labels of a perfectly calibrated model."""


def measures(experiment: Experiment, progress: Progress, title: str) -> dict[str, Measure]:
    """Return the measure, which every model gets."""
    return {MEASURE: Measure(calibration, Calibration)}


def calibration(model: Model, batches: Iterable[Any]) -> Calibration:
    """Return the calibration of `Model.predict`, raw and `scaled` by the temperature."""
    predictions, temperature = predict_batches(model, batches), model.card.temperature
    truth = torch.from_numpy(predictions.truth)
    return Calibration(
        **asdict(judged(predictions.scores, truth)),
        temperature=temperature,
        scaled=None if temperature is None else judged(predictions.scores / temperature, truth),
    )


def judged(scores: Tensor, truth: Tensor) -> Calibrated:
    """Judge the probabilities softmax(`scores`) `[N, K]` by the classes `truth` `[N]`.

    `bins` of confidence exclude their low end. `ece` is the mean over images of the bin's |accuracy
    − confidence| (Guo et al. 2017, equation 3), `ece_of_perfect` and `ece_of_perfect_95` the mean
    and 95th percentile of a perfectly calibrated model; `nll` the negative log-likelihood, `brier`
    the mean of Σₖ (pₖ − yₖ)² (Brier 1950).
    """
    logarithms = scores.log_softmax(1)
    probabilities = logarithms.exp()
    confidence, prediction = (part.numpy() for part in probabilities.max(1))
    number = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    right = prediction == truth.numpy()
    bins, ece = [], 0.0
    for k in range(NUM_BINS):
        inside = number == k
        count, mean, accuracy = int(inside.sum()), None, None
        if count:
            mean, accuracy = float(confidence[inside].mean()), float(right[inside].mean())
            ece += count / len(right) * abs(accuracy - mean)
        low, high = k / NUM_BINS, (k + 1) / NUM_BINS
        bins.append(
            CalibrationBin(low=low, high=high, count=count, confidence=mean, accuracy=accuracy)
        )
    wanted = torch.nn.functional.one_hot(truth, scores.shape[1])
    perfect = eces_of_perfect(confidence, number)
    return Calibrated(
        ece=ece,
        ece_of_perfect=float(perfect.mean()),
        ece_of_perfect_95=float(np.quantile(perfect, 0.95)),
        nll=float(-logarithms.gather(1, truth[:, None]).mean()),
        brier=float((probabilities - wanted).square().sum(1).mean()),
        bins=bins,
    )


def eces_of_perfect(confidence: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return `[NUM_PERFECT]` calibration errors of predictions right as often as `confidence` `[N]`
    says, in bins `number` `[N]`.

    Few images put this error above 0 for everybody (Roelofs et al. 2022, "Mitigating Bias in
    Calibration Error Estimation", figure 1).
    """
    order = np.argsort(number, kind="stable")
    sure = confidence[order]
    starts = np.unique(number[order], return_index=True)[1]
    random, errors = np.random.default_rng(0), []
    at_once = max(1, 4_000_000 // len(sure))
    for done in range(0, NUM_PERFECT, at_once):
        right = random.random((min(at_once, NUM_PERFECT - done), len(sure))) < sure
        errors.append(np.abs(np.add.reduceat(right - sure, starts, axis=1)).sum(1) / len(sure))
    return np.concatenate(errors)
