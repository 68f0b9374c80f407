"""Train and test cheaper variants of contenders: fewer bits, channels, steps, spikes, and early
exits. Both kinds have the same widths, bits and pairs of networks, and equally many trained
variants.
"""

import math
import statistics
import timeit
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from msgspec import structs
from torch import Tensor

from spikeduel.data import Prepared
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.loader import EvaluationBatches
from spikeduel.engine import ConstantInput
from spikeduel.engine.counting.operations import Operations
from spikeduel.engine.networks.models import Model
from spikeduel.engine.networks.narrowing import can_narrow
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.correctness import early_exit
from spikeduel.evaluation.costing import ACTIVATION_BITS, cost_entry
from spikeduel.evaluation.predictions_of_model import (
    Counting,
    Running,
    predict_batches,
    predict_in_one_pass,
)
from spikeduel.features.compression import Settings
from spikeduel.features.compression.first_spikes import first_spikes
from spikeduel.features.compression.validating import confidences_of, validated_in_float32
from spikeduel.results.accuracy import classified
from spikeduel.results.cost_results import Counted
from spikeduel.results.trials import (
    Anytime,
    CascadeExit,
    Classification,
    Confidences,
    EarlyExit,
    TemporalExit,
)
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen
from spikeduel.training.contenders import Contender, Trial, outline
from spikeduel.training.trial import load_of
from spikeduel.training.twins import QUANTISED, quantised_twin
from spikeduel.training.variants import TRIAL, Predicted, Variant, VariantContext

LOW_SPIKE_PENALTY, HIGH_SPIKE_PENALTY = 1.0, 4.0
"""Penalties on spikes in training."""
EPOCHS = 0.3
"""Epochs of a variant, in those of its contender: equally many variants with spikes and without
train for as long as their contenders did.
"""
MAX_STEPS = 8
"""Most time steps of a variant."""


def variants(trial: Trial, prepared: Prepared) -> dict[str, Variant]:
    """Return the variants of a trial, and the quantised twin of a spiking network on images."""
    experiment = trial.experiment
    if not (isinstance(experiment, Settings) and experiment.frontier):
        return {}
    is_spiking = trial.card.kind == "snn"
    has_twin = is_spiking and not isinstance(prepared.images, Recordings)
    return ({QUANTISED: quantised_twin(trial.card)} if has_twin else {}) | variants_of(is_spiking)


def variants_of(is_spiking: bool) -> dict[str, Variant]:
    """Return the variants with spikes, or those without."""
    return OF_BOTH | (OF_SPIKING if is_spiking else OF_OTHERS)


@dataclass(frozen=True)
class Compressed:
    """A cheaper network, trained from the weights of `source`: the trial's width divided by
    `fewer_channels`, its time steps times `steps`, with `weight_bits`, `activation_bits` of a
    network without spikes, and other `settings`.
    """

    title: str
    meaning: str
    source: str = "8_bits"
    fewer_channels: int = 1
    steps: float = 1
    weight_bits: int = 8
    activation_bits: int = ACTIVATION_BITS
    settings: Mapping[str, Any] = field(default_factory=dict)

    def changes(self, context: VariantContext) -> dict[str, Any]:
        """Return the settings in which its training differs. Raises `InputError`."""
        trial, others = context.trial, 1
        if self.source != TRIAL:
            others = COMPRESSED[self.source].fewer_channels
        # A network that loses channels has more to learn again.
        share = EPOCHS * (2 if self.fewer_channels > others else 1)
        changed = {
            "weight_bits": self.weight_bits,
            **self.settings,
            "epochs": math.ceil(share * trial.experiment.num_epochs),
        }
        if self.steps != 1:
            changed["num_steps"] = int(context.num_steps * self.steps)
            if not 1 <= changed["num_steps"] <= MAX_STEPS:
                raise InputError(
                    f"it would have {context.num_steps * self.steps:g} time steps, and variants "
                    f"have 1 to {MAX_STEPS}."
                )
        if self.fewer_channels > 1:
            width = trial.card.network.get("width")
            if not width or not can_narrow(outline(trial.card)):
                raise InputError(
                    "channels can be taken only from a chain of layers with the setting width, "
                    "such as vgg-lif and vgg-relu."
                )
            changed["width"] = max(1, width // self.fewer_channels)
        return changed

    def with_levels(self, context: VariantContext, contender: Contender) -> Contender:
        """Give activations the bits at which they are charged. Raises `InputError`."""
        card = contender.card
        if card.kind == "snn" or "activation_bits" not in (contender.architecture.arguments or ()):
            if self.activation_bits < ACTIVATION_BITS:
                raise InputError("few levels of activations are for vgg-relu alone.")
            return contender
        network = {**card.network, "activation_bits": self.activation_bits}
        return replace(contender, card=replace(card, network=network))

    @property
    def variant(self) -> Variant:
        return Variant(
            self.title,
            self.meaning,
            settings=self.changes,
            compressed=True,
            source=self.source,
            network=self.with_levels,
            fields=validated_in_float32,
            timed=True,
        )


WIDTHS = {"": "", "half_": "half the channels, ", "quarter_": "a quarter of the channels, "}
"""Titles by the widths of networks whose activations have few bits."""
COMPRESSED_OF_BOTH: dict[str, Compressed] = {
    "8_bits": Compressed("8 bits", "weights of 8 bits", TRIAL),
    "4_bits": Compressed("4 bits", "weights of 4 bits", weight_bits=4),
    "2_bits": Compressed("2 bits", "weights of 2 bits", "4_bits", weight_bits=2),
    "half_channels": Compressed("half the channels", "half as wide", fewer_channels=2),
    "half_channels_4_bits": Compressed(
        "half the channels, 4 bits",
        "half as wide, weights of 4 bits",
        "half_channels",
        weight_bits=4,
        fewer_channels=2,
    ),
    "half_channels_2_bits": Compressed(
        "half the channels, 2 bits",
        "half as wide, weights of 2 bits",
        "half_channels_4_bits",
        weight_bits=2,
        fewer_channels=2,
    ),
    "quarter_channels": Compressed(
        "a quarter of the channels", "a quarter as wide", "half_channels", fewer_channels=4
    ),
    "quarter_channels_4_bits": Compressed(
        "a quarter of the channels, 4 bits",
        "a quarter as wide, weights of 4 bits",
        "quarter_channels",
        weight_bits=4,
        fewer_channels=4,
    ),
    "eighth_channels": Compressed(
        "an eighth of the channels", "an eighth as wide", "quarter_channels", fewer_channels=8
    ),
    "eighth_channels_4_bits": Compressed(
        "an eighth of the channels, 4 bits",
        "an eighth as wide, weights of 4 bits",
        "eighth_channels",
        weight_bits=4,
        fewer_channels=8,
    ),
}
"""Trained variants of all contenders by name, each after the one that it begins with."""
COMPRESSED_OF_SPIKING: dict[str, Compressed] = {
    "twice_steps": Compressed("twice the steps", "twice as many time steps", steps=2),
    "half_steps": Compressed(
        "half the steps, 4 bits", "half as many time steps", steps=0.5, weight_bits=4
    ),
    "quarter_steps": Compressed(
        "a quarter of the steps, 4 bits",
        "a quarter as many time steps",
        "half_steps",
        steps=0.25,
        weight_bits=4,
    ),
    "fewer_spikes": Compressed(
        "fewer spikes, 4 bits",
        "spikes cost loss in training",
        settings={"spike_penalty": LOW_SPIKE_PENALTY},
        weight_bits=4,
    ),
    "few_spikes": Compressed(
        "few spikes, 4 bits",
        "spikes cost four times as much loss",
        "fewer_spikes",
        settings={"spike_penalty": HIGH_SPIKE_PENALTY},
        weight_bits=4,
    ),
    "few_spikes_half_channels": Compressed(
        "few spikes, half the channels, 4 bits",
        "spikes cost as much, half as wide",
        "few_spikes",
        settings={"spike_penalty": HIGH_SPIKE_PENALTY},
        fewer_channels=2,
        weight_bits=4,
    ),
}
"""Trained variants of spiking contenders: of fewer spikes and other numbers of steps."""
COMPRESSED_OF_OTHERS: dict[str, Compressed] = {
    f"{name}activations_{bits}_bits": Compressed(
        f"{title}4 bits, {bits}-bit activations",
        f"weights of 4 bits, activations of {bits}",
        source.replace("activations_4_bits", f"{name}activations_4_bits"),
        fewer_channels=2**index,
        weight_bits=4,
        activation_bits=bits,
    )
    for index, (name, title) in enumerate(WIDTHS.items())
    for bits, source in (
        (4, f"{name}channels_4_bits" if name else "4_bits"),
        (2, "activations_4_bits"),
    )
}
"""Trained variants of contenders without spikes: of activations with few bits."""
COMPRESSED = COMPRESSED_OF_BOTH | COMPRESSED_OF_SPIKING | COMPRESSED_OF_OTHERS


def _cascade(first: str, then: str) -> Variant:
    return Variant(
        f"{COMPRESSED[first].title}; if not sure, {COMPRESSED[then].title}",
        "the cheaper of two networks predicts, and the dearer where that one is not sure",
        predict=partial(predict_in_turn, first=first, then=then),
        compressed=True,
    )


def predict_in_turn(context: VariantContext, first: str, then: str) -> Predicted:
    """Return the predictions of two variants for the test images: of the second where the first
    has less confidence than the cascade's threshold, which validation images decide.
    """
    labels = np.asarray(context.prepared.labels)
    both = [confidences_of(context, context.key_of(name)) for name in (first, then)]
    split = context.trial.split
    val = _running([network.validation for network in both], labels[split.val])
    test = _running([network.test for network in both], labels[split.test])
    threshold, val_accuracy = _required(early_exit(test, val))
    steps, _ = test.exits(threshold)
    predictions = classified(context.prepared.classes, labels[split.test], test.at_exit(steps))
    return predictions, {
        "early": CascadeExit(
            first=first,
            then=then,
            threshold=threshold,
            share=float((steps - 1).mean()),
            deciding_ms=deciding_ms(load_of(context.key_of(first), context.trial, context.store)),
        ),
        "val_accuracy": val_accuracy,
    }


def deciding_ms(model: Model) -> float:
    """Return the milliseconds that the comparison of a confidence with a threshold takes."""
    scores = torch.zeros(1, len(model.card.classes), device=model.device)
    seconds = timeit.repeat(lambda: bool(model.confidence(scores) >= 0.5), number=50, repeat=9)
    return 1e3 * statistics.median(seconds) / 50


def _required(chosen: EarlyExit | None) -> tuple[float, float]:
    """Return the threshold of an early exit, and the validation accuracy with it. Raises
    `InputError` if there is none.
    """
    if chosen is None:
        raise InputError("its readout needs all time steps at once.")
    if chosen.threshold is None:
        raise InputError(
            f"by {chosen.validation.n:,} validation images, no early exit surely costs at most "
            f"{100 * chosen.tolerance:g} points of accuracy. At least "
            f"{chosen.validation.fewest:,} are needed."
        )
    return chosen.threshold, chosen.validation.accuracy


def _running(confidences: Sequence[Confidences], labels: np.ndarray) -> Running:
    """Return the predictions of two networks as steps: the second predicts after the first."""
    predicted = np.array([network.best for network in confidences])
    highest = np.array([network.highest for network in confidences])
    return Running(predicted, predicted == labels, highest)


class ExitedEarly(Frozen):
    """Predictions of a network with an early exit."""

    predictions: Classification
    exit: TemporalExit


class _Shorter(Model):
    """A model that stops after the first `num_steps` of its time steps."""

    def __init__(self, model: Model, num_steps: int) -> None:
        vars(self).update(vars(model))
        self.whole, self.card = model, replace(model.card, num_steps=num_steps)

    def encode(self, images: Tensor, keys: RandomKeys) -> Tensor | ConstantInput:
        x, num_steps = self.whole.encode(images, keys), self.card.num_steps or 1
        return ConstantInput(x.value, num_steps) if isinstance(x, ConstantInput) else x[:num_steps]


def exited_early(
    model: Model, source: str, threshold: float, test: EvaluationBatches
) -> ExitedEarly:
    """Return the predictions of the variant `source` with an early exit at `threshold`, and the
    operations of the images that leave after each step. Raises `InputError` if an operation is
    unknown.
    """
    predictions = predict_batches(model, test)
    running = predictions.over_time
    assert running is not None
    steps, _ = running.exits(threshold)
    operations: list[Operations | None] = []
    for num_steps in range(1, running.num_steps + 1):
        counted = Counted(operations=None)
        if len(leaving := test.indices[steps == num_steps]):
            counting = Counting(_Shorter(model, num_steps))
            of_leaving = EvaluationBatches(test.images, test.labels, leaving)
            predict_in_one_pass(counting.model, of_leaving, counting=counting)
            counted = counting.result()
        if counted.reason:
            raise InputError(counted.reason)
        operations.append(counted.operations)
    return ExitedEarly(
        predictions=classified(model.card.classes, predictions.truth, running.at_exit(steps)),
        exit=TemporalExit(
            source=source,
            threshold=threshold,
            shares=(np.bincount(steps - 1, minlength=running.num_steps) / len(steps)).tolist(),
            operations=operations,
        ),
    )


def _temporal(source: str) -> Variant:
    return Variant(
        f"{COMPRESSED[source].title}, early exit",
        "it predicts once it is sure",
        predict=partial(predict_until_exit, source=source),
        compressed=True,
    )


def predict_until_exit(context: VariantContext, source: str) -> Predicted:
    """Return the predictions of a variant with the early exit that was chosen when it was trained.

    Their mean time is by the steps of the network that was timed: each step's scores are known
    before the next one.
    """
    key, record = context.key_of(source), context.records[context.trial.key, source]
    by_step = context.store.measure(key, "by_step", Anytime) or Anytime()
    threshold, val_accuracy = _required(by_step.early_exit)

    def exit_early() -> ExitedEarly:
        _, prepared = context.changed(VARIANTS[source])
        test = EvaluationBatches(*prepared.arrays, context.trial.split.test)
        model = load_of(key, context.trial, context.store)
        return exited_early(model, source, threshold, test)

    exited = context.cached(key, "temporal-early-exit", exit_early, ExitedEarly)
    bits = record.settings["training"].get("weight_bits")
    counts = [
        network and cost_entry(Counted(operations=network), bits)["operations"]
        for network in exited.exit.operations
    ]
    alike = (
        context.latencies.get(other.key)
        for (_, name), other in context.records.items()
        if name == source and other.settings["contender"] == context.trial.card.contender
    )
    until_step = next((latency.stream_ms for latency in alike if latency), None)
    return exited.predictions, {
        "temporal_exit": structs.replace(exited.exit, operations=counts),
        "val_accuracy": val_accuracy,
        "one_image_ms": until_step and float(np.dot(exited.exit.shares, until_step)),
    }


def _trained(compressed: Mapping[str, Compressed]) -> dict[str, Variant]:
    return {name: one.variant for name, one in compressed.items()}


OF_BOTH: dict[str, Variant] = {
    **_trained(COMPRESSED_OF_BOTH),
    "early_exit": _cascade("quarter_channels", "8_bits"),
    "early_exit_narrow": _cascade("eighth_channels", "half_channels"),
    "early_exit_4_bits": _cascade("quarter_channels_4_bits", "4_bits"),
    "early_exit_half_4_bits": _cascade("quarter_channels_4_bits", "half_channels_4_bits"),
    "early_exit_narrow_4_bits": _cascade("eighth_channels_4_bits", "half_channels_4_bits"),
}
"""Variants of all contenders: the same widths, bits of weights, and pairs for early exits."""
OF_SPIKING: dict[str, Variant] = {
    **_trained(COMPRESSED_OF_SPIKING),
    "twice_steps_until_sure": _temporal("twice_steps"),
    "fewer_spikes_until_sure": _temporal("fewer_spikes"),
    "half_channels_until_sure": _temporal("half_channels"),
    "quarter_channels_until_sure": _temporal("quarter_channels"),
}
OF_OTHERS: dict[str, Variant] = {
    **_trained(COMPRESSED_OF_OTHERS),
    **{
        f"{name}_first_spikes": first_spikes(name, COMPRESSED[name].title)
        for name in ("8_bits", *COMPRESSED_OF_OTHERS)
    },
}
VARIANTS = OF_BOTH | OF_SPIKING | OF_OTHERS
"""All variants by name."""
