"""Convert trained ReLU networks into spiking contenders (`networks.converting`)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from spikeduel.data import Prepared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine.networks.converting import converted, require_convertible
from spikeduel.evaluation.correctness import calibrated
from spikeduel.evaluation.predictions_of_model import CachedPredictions
from spikeduel.features.conversion import adds
from spikeduel.features.conversion.conversion_conclusion import Conclusion
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.system.sentences import counted
from spikeduel.training.contenders import Contender, Trial
from spikeduel.training.plan import Plan
from spikeduel.training.store import Store, TrialRecord
from spikeduel.training.training import Training
from spikeduel.training.trial import keep, load_of

NUM_IMAGES = 1024
"""Training images whose activations set the thresholds."""
PERCENTILE = 99.9
"""Percentile of a ReLU layer's activations that spikes can represent."""


def refusals(contenders: Sequence[Contender]) -> dict[str, str]:
    """Return the reasons, by name, why contenders without spikes cannot be converted. Raises
    `InputError` if none can be.
    """
    sources = [contender for contender in contenders if contender.card.kind != "snn"]
    reasons = {}
    for contender in sources:
        try:
            require_convertible(contender.outline, contender.card.image_shape)
        except InputError as error:
            reasons[contender.name] = str(error)
    if len(reasons) == len(sources):
        why = [f"{name}: {reason}" for name, reason in reasons.items()]
        raise InputError(
            "convert: none of the contenders can be converted. "
            f"{' '.join(why) or 'All contenders spike.'} conv-relu can (--contender)."
        )
    return reasons


def further_trials(
    plan: Plan, prepared: Prepared, store: Store, progress: Progress
) -> tuple[list[Trial], Conclusion | None]:
    """Convert finished trials into stored trials, and record why others could not be."""
    if not adds(plan.experiment):
        return [], None
    refused = refusals(plan.contenders)
    converted_trials = []
    for trial in plan.trials:
        name, record = trial.card.contender, store.record(trial.key)
        if trial.card.kind == "snn" or name in refused or record is None:
            continue
        try:
            converted_trials.append(_converted(trial, record, prepared, store, progress))
        except InputError as error:
            refused[name] = str(error)
            progress.say(f"  {trial.card.title}: not converted, {error}")
    return converted_trials, Conclusion(not_converted=refused) if refused else None


def _converted(
    source: Trial, record: TrialRecord, prepared: Prepared, store: Store, progress: Progress
) -> Trial:
    split, name, num_steps = source.split, source.card.contender, adds(source.experiment)["snn"]
    how = {
        "contender": name,
        "key": source.key,
        "weights": record.model_digest,
        "epochs": len(record.history),
        "percentile": PERCENTILE,
        "images": min(NUM_IMAGES, len(split.train)),
    }
    spiking: dict[str, Any] = {"kind": "snn", "encoding": "direct", "num_steps": num_steps}
    card = replace(source.card, contender=f"{name}-converted", foreign=None, **spiking)
    settings = {**source.settings, **spiking, "contender": card.contender, "derived": how}
    settings.pop("foreign", None)
    trial = Trial(source.experiment, card, settings, split)
    with store.locked(trial.key):
        if store.record(trial.key) is None:
            progress.say(
                f"  {card.title}: {source.card.title} as integrate-and-fire neurons over "
                f"{counted(num_steps, 'step')}"
            )
            sample = torch.as_tensor(np.asarray(prepared.images[np.sort(split.train[:NUM_IMAGES])]))
            model = converted(load_of(source.key, source, store), sample, num_steps, PERCENTILE)
            model.card = replace(model.card, trained_on={**card.trained_on, "derived_from": name})
            val = CachedPredictions(EvaluationBatches(*prepared.arrays, split.val))
            seen = val.predictions(model)
            validation = Training(
                [{"val_loss": seen.loss, "val_accuracy": seen.accuracy}],
                epoch_seconds=record.epoch_seconds,
            )
            keep(trial, calibrated(model, val), validation, store)
    return trial
