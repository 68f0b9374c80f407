"""Measure correctness: scores by class, random encodings, shuffled spikes, the temperature,
predictions after each step, early exit.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy
import torch
from msgspec import structs
from torch import Tensor

from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks.cards import COLDEST, HOTTEST
from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.predictions_of_model import (
    CachedPredictions,
    Running,
    predict_batches,
    predict_in_one_pass,
)
from spikeduel.results.accuracy import classified
from spikeduel.results.trials import (
    Anytime,
    Classification,
    Confidences,
    EarlyExit,
    EncodingDeviation,
    ExitChoice,
    LabelConfidences,
    Received,
    WeightShapes,
)
from spikeduel.system.negligible import MAX_EXIT_LOSS

NUM_DRAWS = 5
CONFIDENCE = 0.95
"""Confidence that early exits lose no more accuracy than `MAX_EXIT_LOSS`."""
NUM_THRESHOLDS = 64


def classification(model: Model, batches: Iterable[Any]) -> Classification:
    """Return accuracy, macro and class scores, the confusion matrix and the share of ties."""
    predictions = predict_batches(model, batches)
    scores = classified(model.card.classes, predictions.truth, predictions.predicted)
    return structs.replace(
        scores,
        loss=predictions.loss,
        tie_share=float(predictions.tied.mean()),
        computed_in=model.precision,
    )


def label_confidences(
    model: Model, batches: Iterable[Any], validation: Iterable[Any]
) -> LabelConfidences:
    """Return the calibrated probability of each label, and of the most probable class."""

    def confidences(part: Iterable[Any]) -> Confidences:
        predictions = predict_batches(model, part)
        probabilities = model.probabilities(predictions.scores).numpy()
        of_label = probabilities[np.arange(len(predictions.truth)), predictions.truth]
        return Confidences(
            given=of_label.round(4).tolist(),
            best=predictions.predicted.tolist(),
            highest=model.confidence(predictions.scores).tolist(),
        )

    return LabelConfidences(validation=confidences(validation), test=confidences(batches))


def encoding_deviation(model: Model, batches: Iterable[Any]) -> EncodingDeviation:
    """Return the accuracies of `NUM_DRAWS` more encodings, and their spread; None unless encoding
    is random.
    """
    if model.encoder is None or not model.encoder.random:
        return EncodingDeviation()
    accuracies = [
        predict_in_one_pass(model, batches, repeat).accuracy for repeat in range(1, NUM_DRAWS + 1)
    ]
    return EncodingDeviation(
        accuracies=accuracies, standard_deviation=float(np.std(accuracies, ddof=1))
    )


def weight_shapes(model: Model, batches: Iterable[Any]) -> WeightShapes:
    """Return the shapes of weights and statistics, which twins share, without the activation's
    single numbers.
    """
    shapes = {name: list(value.shape) for name, value in model.module.state_dict().items()}
    return WeightShapes(shapes={name: shape for name, shape in shapes.items() if shape})


def calibrated(model: Model, validation: Iterable[Any]) -> Model:
    """Return `model` in float32 with the temperature that fits `validation` best."""
    predicting_model = model if model.precision == "32" else Model(model.module, model.card)
    predictions = predict_batches(predicting_model, validation)
    temperature = best_temperature(predictions.scores, torch.from_numpy(predictions.truth))
    return Model(model.module, replace(model.card, temperature=temperature))


def best_temperature(scores: Tensor, truth: Tensor) -> float:
    """Return the t for which softmax(`scores` / t) has the lowest negative log-likelihood (Guo et
    al. 2017, "On Calibration of Modern Neural Networks", section 4.2).

    Another image, labelled with all classes equally, keeps the network from being sure of
    everything.
    """

    def nll(log_temperature: float) -> float:
        logarithms = (scores / math.exp(log_temperature)).log_softmax(1)
        return -float(logarithms.gather(1, truth[:, None]).sum() + logarithms.mean())

    limits = (math.log(COLDEST), math.log(HOTTEST))
    return math.exp(
        scipy.optimize.minimize_scalar(
            nll, bounds=limits, method="bounded", options={"xatol": 1e-6}
        ).x
    )


def anytime(
    model: Model, batches: Iterable[Any], validation: Iterable[Any] | None = None
) -> Anytime:
    """Return the predictions of a spiking network after t = 1 … T steps; `early_exit` has a
    threshold chosen on `validation`. All None without steps, or if the readout needs all at once.
    """
    test = predict_batches(model, batches).over_time
    if test is None:
        return Anytime()
    chosen_on = None if validation is None else predict_batches(model, validation).over_time
    return Anytime(
        num_steps=test.num_steps,
        n=test.right.shape[1],
        accuracies=test.right.mean(1).tolist(),
        early_exit=None if chosen_on is None else early_exit(test, chosen_on),
        received=received(batches),
    )


def received(batches: Iterable[Any]) -> Received | None:
    """Return the events until the end of each frame of recordings; None for images."""
    batches = batches.batches if isinstance(batches, CachedPredictions) else batches
    if not isinstance(batches, EvaluationBatches) or not isinstance(batches.images, Recordings):
        return None
    images = batches.images
    received = images.binning.received(images.packed, images.offsets, batches.indices)
    ends, counts = (part.mean(0) for part in received)
    return Received(milliseconds=(ends / 1e3).tolist(), events=counts.tolist())


def early_exit(test: Running, validation: Running) -> EarlyExit:
    """Leave at the first step whose confidence reaches `chosen_threshold`, else after T; `curve`
    has every threshold. A second network is the second of two steps.

    BranchyNet (Teerapittayanon et al. 2016) leaves between layers; SEENN (Li et al. 2023) between
    time steps.
    """
    threshold, bound = chosen_threshold(validation)
    chosen, after_all = validation.leaving(threshold), validation.right[-1]
    return EarlyExit(
        **structs.asdict(test.leaving(threshold)),
        tolerance=MAX_EXIT_LOSS,
        confidence=CONFIDENCE,
        validation=ExitChoice(
            n=len(after_all),
            mean_steps=chosen.mean_steps,
            accuracy=chosen.accuracy,
            most_lost=bound,
            fewest=math.ceil(math.log1p(-CONFIDENCE) / math.log1p(-MAX_EXIT_LOSS)),
        ),
        curve=[test.leaving(candidate) for candidate in thresholds(validation)],
    )


def chosen_threshold(validation: Running) -> tuple[float | None, float]:
    """Return the lowest threshold that validation images show to cost at most `MAX_EXIT_LOSS` of
    accuracy, with `CONFIDENCE`, and the limit of this loss; None and 0 if they show it for none.

    Thresholds are tested from the highest down until one fails. Tests in a fixed order need no
    correction (Angelopoulos et al. 2021, "Learn then Test").
    """
    after_all, chosen, loss = validation.right[-1], None, 0.0
    for threshold in reversed(thresholds(validation)[:-1]):
        right = validation.exits(threshold)[1]
        lost, gained = int((after_all & ~right).sum()), int((right & ~after_all).sum())
        limit = most_lost(lost, gained, len(right))
        if limit > MAX_EXIT_LOSS:
            break
        chosen, loss = threshold, limit
    return chosen, loss


def most_lost(lost: int, gained: int, n: int) -> float:
    """Return the upper confidence limit of the lost share of `n` images: `lost` became wrong and
    `gained` right.

    The score test of paired proportions (Tango 1998), but at least Clopper and Pearson's exact
    limit for the net loss: the score's is too low where hardly any image changes.
    """
    quantile, net = float(scipy.special.ndtri(CONFIDENCE)), max(lost - gained, 0)
    exact = 1.0 if net == n else float(scipy.special.betaincinv(net + 1, n - net, CONFIDENCE))

    def beyond(share: float) -> float:
        linear = (2 * n - lost + gained) * share - lost - gained
        product = 8 * n * gained * share * (1 - share)
        # The likeliest share gained, if `share` is lost.
        gains = (math.sqrt(linear * linear + product) - linear) / (4 * n)
        deviation = math.sqrt(n * (2 * gains + share * (1 - share)))
        return lost - gained - n * share + quantile * deviation

    if beyond(exact) <= 0 or exact == 1:
        return exact
    return float(scipy.optimize.brentq(beyond, exact, 1.0))


def thresholds(validation: Running) -> list[float | None]:
    """Return at most `NUM_THRESHOLDS` rising quantiles of the confidence before the last step, and
    None: no early exit.
    """
    if validation.num_steps == 1:
        return [None]
    levels = np.linspace(0, 1, NUM_THRESHOLDS)
    quantiles = np.quantile(validation.confidence[:-1], levels, method="closest_observation")
    return [*np.unique(quantiles).tolist(), None]
