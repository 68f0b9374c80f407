"""Whether a model is right as often as it says: calibration of its probabilities."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeduel.measuring.answers import answers_of
from spikeduel.networks.models import Model
from spikeduel.results.trials import Calibrated, Calibration, CalibrationBin

NUM_BINS = 15
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0


def calibration(model: Model, batches: Iterable[Any], validation: Iterable[Any] | None = None) -> Calibration:
    """How far the probabilities of `Model.predict` are from the truth, as they come and after one temperature.

    `ece`, `nll`, `brier` and `bins` as in `judged`. `temperature` is the one that fits the `validation` batches best
    (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2), and `scaled` the same four after it; a
    temperature changes no answer. Both are None without validation. Random encodings draw by image index.
    """
    scores, truth = scored(model, batches)
    temperature = None if validation is None else best_temperature(*scored(model, validation))
    found = judged(scores, truth)
    return Calibration(
        ece=found.ece,
        nll=found.nll,
        brier=found.brier,
        bins=found.bins,
        temperature=temperature,
        scaled=None if temperature is None else judged(scores / temperature, truth),
    )


def scored(model: Model, batches: Iterable[Any]) -> tuple[Tensor, Tensor]:
    """Scores float64 `[N, K]`, whose softmax are the probabilities of `Model.predict`, and true classes `[N]`."""
    answers = answers_of(model, batches)
    return answers.scores, torch.from_numpy(answers.truth)


def judged(scores: Tensor, truth: Tensor) -> Calibrated:
    """Of probabilities p = softmax(`scores`) `[N, K]` for images of the classes `truth` `[N]`:

    `bins`   `NUM_BINS` of equal width over the probability of the answer, its confidence: from `low` (excluded) to
             `high`, with `count` images, their mean `confidence` and `accuracy` (None in an empty bin)
    `ece`    expected calibration error: the mean over images of their bin's |accuracy − confidence| (Naeini et al.
             2015; Guo et al. 2017, equation 3)
    `nll`    negative log-likelihood: the mean of −log p of the true class
    `brier`  the mean of Σₖ (pₖ − yₖ)², y being 1 for the true class and 0 for others: 0 … 2 (Brier 1950)
    """
    logarithms = scores.log_softmax(1)
    probabilities = logarithms.exp()
    confidence, answer = (part.numpy() for part in probabilities.max(1))
    right = answer == truth.numpy()
    number = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    bins, error = [], 0.0
    for k in range(NUM_BINS):
        inside = number == k
        count = int(inside.sum())
        mean = float(confidence[inside].mean()) if count else None
        accuracy = float(right[inside].mean()) if count else None
        if mean is not None and accuracy is not None:
            error += count / len(right) * abs(accuracy - mean)
        low, high = k / NUM_BINS, (k + 1) / NUM_BINS
        bins.append(CalibrationBin(low=low, high=high, count=count, confidence=mean, accuracy=accuracy))
    wanted = torch.nn.functional.one_hot(truth, scores.shape[1])
    return Calibrated(
        ece=error,
        nll=float(-logarithms.gather(1, truth[:, None]).mean()),
        brier=float((probabilities - wanted).square().sum(1).mean()),
        bins=bins,
    )


def best_temperature(scores: Tensor, truth: Tensor) -> float:
    """The t between 0.01 and 100 for which softmax(`scores` / t) has the lowest negative log-likelihood.

    It is convex in 1/t, so that a search over log t ends in the one minimum, or at a limit where there is none between.
    """
    from scipy.optimize import minimize_scalar

    def nll(log_temperature: float) -> float:
        return float(torch.nn.functional.cross_entropy(scores / math.exp(log_temperature), truth))

    limits = (math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE))
    return math.exp(minimize_scalar(nll, bounds=limits, method="bounded", options={"xatol": 1e-6}).x)
