"""Trained ReLU networks as spiking ones, one more contender each: how that goes is in
`networks.converting`.
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
from spikeduel.trials import trial
from spikeduel.trials.planning import Trial, tried
from spikeduel.trials.store import Store, TrialRecord
from spikeduel.trials.training import Training

NUM_IMAGES = 1024
"""Training images on which activations are looked at."""


def refusals(trials: Sequence[Trial]) -> dict[str, str]:
    """Which of the contenders that do not spike cannot be converted, and why, if `convert` asks for
    it.

    Raises `InputError` where none can.
    """
    asked = {
        each.card.contender: each
        for each in trials
        if each.experiment.convert and each.card.family != "snn"
    }
    reasons = {}
    for contender, each in asked.items():
        try:
            require_convertible(tried(each.card))
        except InputError as error:
            reasons[contender] = str(error)
    if len(reasons) == len(asked) and any(each.experiment.convert for each in trials):
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
    """The conversion of each of `trials` that is finished and can be converted, as a trial that the
    store holds.

    Why one cannot be, once it is trained, is added to `refused`.
    """
    made = []
    for each in trials:
        contender, record = each.card.contender, store.record(each.key)
        if (
            each.card.family == "snn"
            or contender in refused
            or record is None
            or record.status != "done"
        ):
            continue
        try:
            made.append(_stored(each, record, prepared, store, progress))
        except InputError as error:
            refused[contender] = str(error)
            progress.say(f"  {each.card.title}: not converted, {error}")
    return made


def _stored(
    source: Trial, record: TrialRecord, prepared: Prepared, store: Store, progress: Progress
) -> Trial:
    experiment, split = source.experiment, source.split
    how = {
        "contender": source.card.contender,
        "key": source.key,
        "weights": record.model_digest,
        "epochs": len(record.history),
        "percentile": experiment.conversion_percentile,
        "images": min(NUM_IMAGES, len(split.train)),
    }
    spiking: dict[str, Any] = {
        "family": "snn",
        "encoding": "direct",
        "num_steps": experiment.conversion_steps,
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
            model = trial.load(source, store)
            model = converted(
                model, sample, experiment.conversion_steps, experiment.conversion_percentile
            )
            model.card = replace(
                model.card, trained_on={**card.trained_on, "converted_from": source.card.contender}
            )
            val = Asked(EvaluationBatches(*prepared.held, split.val))
            seen = val.answers(model)
            validation = Training([{"val_loss": seen.loss, "val_accuracy": seen.accuracy}])
            trial.keep(made, calibrated(model, val), validation, store)
    return made
