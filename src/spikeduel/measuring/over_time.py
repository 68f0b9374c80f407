"""Measure a spiking network's answers after each step, and leaving early."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from msgspec.structs import asdict

from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring.answers import Asked, Running, answers_of
from spikeduel.networks.models import Model
from spikeduel.results.trials import Anytime, EarlyExit, ExitChoice, Received

TOLERANCE, CONFIDENCE = 0.002, 0.95
"""Loss of accuracy that leaving early may cost, two images in a thousand, and the confidence that
it is not more.
"""
NUM_THRESHOLDS = 64


def anytime(
    model: Model, batches: Iterable[Any], validation: Iterable[Any] | None = None
) -> Anytime:
    """Return the answers of a spiking network after t = 1 … T steps; `early_exit` has a threshold
    chosen on `validation`. All None without steps, or if the readout needs all at once.
    """
    test = answers_of(model, batches).over_time
    if test is None:
        return Anytime()
    chosen_on = None if validation is None else answers_of(model, validation).over_time
    return Anytime(
        num_steps=test.num_steps,
        n=test.right.shape[1],
        accuracies=test.right.mean(1).tolist(),
        early_exit=None if chosen_on is None else early_exit(test, chosen_on),
        received=received(batches),
    )


def received(batches: Iterable[Any]) -> Received | None:
    """Return the events that had come at the end of each frame of recordings; None of images."""
    batches = batches.batches if isinstance(batches, Asked) else batches
    if not isinstance(batches, EvaluationBatches) or not isinstance(batches.images, Recordings):
        return None
    images = batches.images
    received = images.binning.received(images.packed, images.offsets, batches.indices)
    ends, counts = (part.mean(0) for part in received)
    return Received(milliseconds=(ends / 1e3).tolist(), events=counts.tolist())


def early_exit(test: Running, validation: Running) -> EarlyExit:
    """Leave at the first step whose highest probability so far reaches `chosen_threshold`, else
    after T; `curve` has every threshold.

    BranchyNet (Teerapittayanon et al. 2016) leaves between layers; SEENN (Li et al. 2023) between
    time steps.
    """
    threshold, bound = chosen_threshold(validation)
    chosen, after_all = validation.leaving(threshold), validation.right[-1]
    return EarlyExit(
        **asdict(test.leaving(threshold)),
        tolerance=TOLERANCE,
        confidence=CONFIDENCE,
        validation=ExitChoice(
            n=len(after_all),
            mean_steps=chosen.mean_steps,
            accuracy=chosen.accuracy,
            most_lost=bound,
            fewest=math.ceil(math.log1p(-CONFIDENCE) / math.log1p(-TOLERANCE)),
        ),
        curve=[test.leaving(candidate) for candidate in thresholds(validation)],
    )


def chosen_threshold(validation: Running) -> tuple[float | None, float]:
    """Return the confidence at which images may leave (None: never), and the most accuracy that
    this costs.

    Thresholds are tested from the highest down, while leaving costs at most `TOLERANCE` with
    `CONFIDENCE`. Tests in a fixed order need no correction (Angelopoulos et al. 2021, "Learn then
    Test").
    """
    after_all = validation.right[-1]
    threshold, bound = None, 0.0
    for candidate in reversed(thresholds(validation)[:-1]):
        right = validation.exits(candidate)[1]
        lost, gained = int((after_all & ~right).sum()), int((right & ~after_all).sum())
        limit = most_lost(lost, gained, len(right))
        if limit > TOLERANCE:
            break
        threshold, bound = candidate, limit
    return threshold, bound


def most_lost(lost: int, gained: int, n: int) -> float:
    """Return the upper confidence limit of the lost share of `n` images, of which `lost` became
    wrong and `gained` right.

    The score test of paired proportions (Tango 1998), but at least Clopper and Pearson's exact
    limit for the net loss: the score's is too low where hardly any image changes.
    """
    from scipy.optimize import brentq
    from scipy.stats import beta, norm

    quantile, net = float(norm.ppf(CONFIDENCE)), max(lost - gained, 0)
    exact = 1.0 if net == n else float(beta.ppf(CONFIDENCE, net + 1, n - net))

    def beyond(share: float) -> float:
        linear = (2 * n - lost + gained) * share - lost - gained
        product = 8 * n * gained * share * (1 - share)
        # The likeliest share gained, if `share` is lost.
        gains = (math.sqrt(linear * linear + product) - linear) / (4 * n)
        deviation = math.sqrt(n * (2 * gains + share * (1 - share)))
        return lost - gained - n * share + quantile * deviation

    if beyond(exact) <= 0 or exact == 1:
        return exact
    return float(brentq(beyond, exact, 1.0))


def thresholds(validation: Running) -> list[float | None]:
    """Return at most `NUM_THRESHOLDS` rising quantiles of the confidence, with evenly growing mean
    steps, and None (nobody leaves early).
    """
    if validation.num_steps == 1:
        return [None]
    levels = np.linspace(0, 1, NUM_THRESHOLDS)
    quantiles = np.quantile(validation.confidence[:-1], levels, method="closest_observation")
    return [*np.unique(quantiles).tolist(), None]
