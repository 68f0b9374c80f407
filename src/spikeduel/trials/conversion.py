"""Conversion of trained ReLU networks into spiking ones, each a contender of its own. The method is
in `networks.converting`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from spikeduel.data import Prepared
from spikeduel.data.loader import EvaluationBatches
from spikeduel.measuring.answers import Asked
from spikeduel.measuring.correctness import calibrated
from spikeduel.networks.converting import converted, require_convertible
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials.auto_settings import ResolvedExperiment
from spikeduel.trials.contenders import Trial
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.training import Training
from spikeduel.trials.trial import keep, load

NUM_IMAGES = 1024
"""Number of training images by whose activations thresholds are set."""
PERCENTILE = 99.9
"""Percentile of a ReLU layer's activations that the spikes of its conversion can represent."""


def refusals(resolved: ResolvedExperiment) -> dict[str, str]:
    """Return why contenders that do not spike cannot be converted, by name, where the experiment
    asks for `convert`. Raises `InputError` where none can be.
    """
    if not resolved.experiment.convert:
        return {}
    sources = [contender for contender in resolved.contenders if not contender.spikes]
    reasons = {}
    for contender in sources:
        try:
            require_convertible(contender.outline, contender.card.image_shape)
        except InputError as error:
            reasons[contender.name] = str(error)
    if len(reasons) == len(sources):
        why = (
            " ".join(f"{name}: {reason}" for name, reason in reasons.items())
            or "All contenders spike."
        )
        raise InputError(
            f"convert: none of the contenders can be converted. {why} conv-relu can (--contender)."
        )
    return reasons


def run(
    trials: Sequence[Trial],
    refused: dict[str, str],
    prepared: Prepared,
    store: Store,
    progress: Progress,
) -> list[Trial]:
    """Convert every finished trial that can be converted, into a trial of its own in the store.

    Where that fails, the reason is added to `refused`.
    """
    converted_trials = []
    for trial in trials:
        contender, record = trial.card.contender, store.record(trial.key)
        if trial.card.family == "snn" or contender in refused or record is None:
            continue
        try:
            converted_trials.append(_stored(trial, record, prepared, store, progress))
        except InputError as error:
            refused[contender] = str(error)
            progress.say(f"  {trial.card.title}: not converted, {error}")
    return converted_trials


def _stored(
    source: Trial, record: TrialRecord, prepared: Prepared, store: Store, progress: Progress
) -> Trial:
    experiment, split = source.experiment, source.split
    assert experiment.convert is not None
    num_steps = experiment.convert
    how = {
        "contender": source.card.contender,
        "key": source.key,
        "weights": record.model_digest,
        "epochs": len(record.history),
        "percentile": PERCENTILE,
        "images": min(NUM_IMAGES, len(split.train)),
    }
    spiking: dict[str, Any] = {
        "family": "snn",
        "encoding": "direct",
        "num_steps": num_steps,
    }
    card = replace(
        source.card, contender=f"{source.card.contender}-converted", foreign=None, **spiking
    )
    settings = {**source.settings, **spiking, "contender": card.contender, "converted": how}
    settings.pop("foreign", None)
    made = Trial(experiment, card, settings, split)
    with store.locked(made.key):
        if store.record(made.key) is None:
            progress.say(
                f"  {made.card.title}: {source.card.title} as integrate-and-fire neurons over "
                f"{card.num_steps} steps"
            )
            sample = torch.as_tensor(np.asarray(prepared.images[np.sort(split.train[:NUM_IMAGES])]))
            model = load(source, store)
            model = converted(model, sample, num_steps, PERCENTILE)
            model.card = replace(
                model.card, trained_on={**card.trained_on, "converted_from": source.card.contender}
            )
            val = Asked(EvaluationBatches(*prepared.held, split.val))
            seen = val.answers(model)
            validation = Training([{"val_loss": seen.loss, "val_accuracy": seen.accuracy}])
            keep(made, calibrated(model, val), validation, store)
    return made
