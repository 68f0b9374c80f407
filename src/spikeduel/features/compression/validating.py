"""Validation accuracies and confidences of variants, in float32."""

from typing import Any

import numpy as np

from spikeduel.results.trials import LabelConfidences
from spikeduel.system.errors import InputError
from spikeduel.training.variants import VariantContext


def validated_in_float32(context: VariantContext, key: str) -> dict[str, Any]:
    """Return the validation accuracy in float32, by which early exits are ranked, too. Training may
    validate in bfloat16.
    """
    best = confidences_of(context, key).validation.best
    labels = np.asarray(context.prepared.labels)[context.trial.split.val]
    return {"val_accuracy": float((best == labels).mean())}


def confidences_of(context: VariantContext, key: str) -> LabelConfidences:
    """Return the confidences of a network, in float32. Raises `InputError` if not measured."""
    confidences = context.store.measure(key, "label_confidences", LabelConfidences)
    if confidences is None:
        raise InputError("its confidences were not measured.")
    return confidences
