"""Accuracy against the number of time steps, and leaving early: what a spiking network says before it has finished."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spikeduel.networks.models import Model
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import SpikingReadout

TOLERANCE = 0.002
"""How much accuracy on validation images leaving early may cost: two images in a thousand."""
NUM_THRESHOLDS = 64


@dataclass(frozen=True)
class Running:
    """What a model says of N images after each of T steps.

    `right` bool `[T, N]`; `confidence` float64 `[T, N]`, the highest probability that the answer has had so far.
    """

    right: np.ndarray
    confidence: np.ndarray

    @property
    def num_steps(self) -> int:
        """T."""
        return len(self.right)

    def exits(self, threshold: float | None) -> np.ndarray:
        """The step, 1 … T, at which each image leaves: int64 `[N]`; None is a threshold that nobody reaches."""
        if threshold is None:
            return np.full(self.right.shape[1], self.num_steps)
        return 1 + (self.confidence[:-1] < threshold).sum(0)

    def leaving(self, threshold: float | None) -> dict[str, Any]:
        """`threshold`, `mean_steps`, `accuracy`, and how many images leave at each step: `exit_steps` `[T]`."""
        exits = self.exits(threshold)
        return {
            "threshold": threshold,
            "mean_steps": float(exits.mean()),
            "accuracy": float(self.right[exits - 1, np.arange(len(exits))].mean()),
            "exit_steps": np.bincount(exits, minlength=self.num_steps + 1)[1:].tolist(),
        }


def anytime(model: Model, batches: Iterable[Any], validation: Iterable[Any] | None = None) -> dict[str, Any]:
    """What a spiking network answers after t = 1 … T steps, from one pass over the images.

    `accuracies` `[T]` are those on `batches`, `n` images; `early_exit` is that of `early_exit`, its threshold chosen on
    `validation`, whose accuracies are `validation_accuracies`; both null without. All null for a network that has no
    steps, or whose readout needs them all at once.
    """
    names = ("num_steps", "n", "accuracies", "validation_accuracies", "early_exit")
    if model.card.num_steps is None or not isinstance(model.readout, SpikingReadout):
        return dict.fromkeys(names)
    test = followed(model, batches)
    chosen_on = None if validation is None else followed(model, validation)
    return {
        "num_steps": test.num_steps,
        "n": test.right.shape[1],
        "accuracies": test.right.mean(1).tolist(),
        "validation_accuracies": None if chosen_on is None else chosen_on.right.mean(1).tolist(),
        "early_exit": None if chosen_on is None else early_exit(test, chosen_on),
    }


@torch.inference_mode()
def followed(model: Model, batches: Iterable[Any]) -> Running:
    """The answers so far at every step; random encodings draw by image index, as for the other measures."""
    model.module.eval()
    readout = model.readout
    assert isinstance(readout, SpikingReadout)
    right, confidence = [], []
    for images, labels, indices in batches:
        output = model.run(model.encode(images.to(model.device), RandomKeys.for_evaluation(indices)))
        # In float32 many probabilities of counts of spikes would round to 1.
        highest, answer = readout.running_scores(output).cpu().double().softmax(2).max(2)
        right.append(answer == labels)
        confidence.append(highest.cummax(0).values)
    return Running(torch.cat(right, 1).numpy(), torch.cat(confidence, 1).numpy())


def early_exit(test: Running, validation: Running) -> dict[str, Any]:
    """Leaving at the first step at which the highest probability reaches a threshold, else after all T.

    Probabilities are the softmax of the scores so far (of the study's readout: of counts of spikes). Of the thresholds
    of `thresholds`, the one is chosen with which the images of `validation` leave earliest on average while their
    accuracy is at most `TOLERANCE` below that after all steps. What that gives on `test` is `threshold` (null where
    nobody may leave early), `mean_steps`, `accuracy` and `exit_steps` `[T]`, images by the step at which they leave;
    `curve` has the same for every threshold, and `validation` what the choice rests on. The idea is that of BranchyNet
    (Teerapittayanon et al. 2016), which leaves between layers; SEENN (Li et al. 2023) leaves between time steps.
    """
    known = thresholds(validation)
    full = float(validation.right[-1].mean())
    offered = [found for found in map(validation.leaving, known) if found["accuracy"] >= full - TOLERANCE]
    chosen = min(offered, key=lambda found: found["mean_steps"])
    return {
        **test.leaving(chosen["threshold"]),
        "tolerance": TOLERANCE,
        "validation": {
            "n": validation.right.shape[1],
            "mean_steps": chosen["mean_steps"],
            "accuracy": chosen["accuracy"],
            "full_accuracy": full,
        },
        "curve": [test.leaving(threshold) for threshold in known],
    }


def thresholds(validation: Running) -> list[float | None]:
    """At most `NUM_THRESHOLDS` + 1 thresholds, rising, and None for nobody leaves early.

    Quantiles of the confidence over images and steps before the last: the mean number of steps on these images is one
    and the sum over those steps of the share that is below the threshold, so that it grows evenly from 1 to T.
    """
    if validation.num_steps == 1:
        return [None]
    levels = np.linspace(0, 1, NUM_THRESHOLDS)
    found = np.quantile(validation.confidence[:-1], levels, method="closest_observation")
    return [*np.unique(found).tolist(), None]
