"""The models that answer, their sample images, and models under other settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta

from spikeduel import data
from spikeduel.data import pictures
from spikeduel.engine.encoders import ENCODERS
from spikeduel.engine.networks import shipped
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model, alike
from spikeduel.engine.neurons import Neuron
from spikeduel.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from spikeduel.experiment.fields import Fraction, parsed
from spikeduel.experiment.settings import Experiment
from spikeduel.reporting.images import source
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.progress import Progress
from spikeduel.training.model_data import images_at, split_for, trained_on

MAX_MODELS = 4
MAX_STEPS = 64
"""Time steps at most, unless a model was trained with more: a prediction must not take long."""
MAX_PIXELS = 20_000_000
"""Most pixels of a picture; a larger one is not decoded."""
MAX_SAMPLES = 20
SAMPLE_SIZE = 64
"""Pixels of a sample's side on the page, at most."""
_OF_NEURONS = ("threshold", "beta")


@dataclass(frozen=True, eq=False)
class Table:
    """Models by name, of the same classes and preprocessing, and `samples` uint8 `[N, C, H, W]`
    with `labels` `[N]`.
    """

    models: Mapping[str, Model]
    samples: np.ndarray
    labels: np.ndarray

    @property
    def card(self) -> ModelCard:
        """The first model's card, for what all have in common."""
        return next(iter(self.models.values())).card

    @cached_property
    def limits(self) -> dict[str, tuple[float, float]]:
        """Ends of sliders: at least up to twice a model's value."""
        trained = [takes(model) for model in self.models.values()]
        steps, thresholds = (
            [values[name] for values in trained if name in values]
            for name in ("num_steps", "threshold")
        )
        twice = [min(2 * num_steps, MAX_STEPS) for num_steps in steps]
        highest = max([2.0, *(2 * threshold for threshold in thresholds)])
        return {
            "num_steps": (1, max([16, *steps, *twice])),
            "threshold": (min([0.05, *thresholds]), highest),
        }

    @cached_property
    def kinds(self) -> dict[str, Any]:
        """Types of settings, which limit their values."""
        steps, thresholds = self.limits["num_steps"], self.limits["threshold"]
        return {
            "sample": Annotated[int, Meta(ge=0, le=max(0, len(self.samples) - 1))],
            "num_steps": Annotated[int, Meta(ge=steps[0], le=steps[1])],
            "threshold": Annotated[float, Meta(ge=thresholds[0], le=thresholds[1])],
            "beta": Fraction,
            # Plain text of the form module:attribute would be imported.
            "encoding": Literal[tuple(ENCODERS)],
            "corruption": Literal[tuple(CORRUPTIONS)],
            "severity": Annotated[int, Meta(ge=SEVERITIES[0], le=SEVERITIES[-1])],
        }

    def about(self) -> dict[str, Any]:
        """Return models, limits and samples for the page's start."""
        border = np.concatenate([self.samples[..., 0, :].ravel(), self.samples[..., -1, :].ravel()])
        # Images are drawn on black where samples have dark borders, or there are none.
        is_dark = not border.size or bool(np.median(border) < 128)
        return {
            "models": [
                {"name": name, "spiking": model.card.encoding is not None, "takes": takes(model)}
                for name, model in self.models.items()
            ],
            "limits": self.limits,
            "encodings": {
                name: f"{encoder.help[0].upper()}{encoder.help[1:]}."
                for name, encoder in ENCODERS.items()
            },
            "corruptions": list(CORRUPTIONS),
            "severities": len(SEVERITIES),
            "samples": [
                {"picture": source(image, SAMPLE_SIZE), "label": self.card.classes[label]}
                for image, label in zip(self.samples, self.labels, strict=True)
            ],
            "dark": is_dark != self.card.preprocessing.invert,
        }

    def settings(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Return the settings in `texts`. Raises `InputError` for an unknown setting or value."""
        for name in texts:
            if name not in self.kinds:
                raise unknown("setting", visible(name)[:60], self.kinds)
        return {
            name: parsed(name, text[:200], self.kinds[name]) for name, text in texts.items() if text
        }

    def image(self, content: bytes, settings: Mapping[str, Any]) -> np.ndarray:
        """Return uint8 `[C, H, W]`: the picture in `content`, else the sample, corrupted if
        `settings` say so. Raises `InputError`.
        """
        sample = settings.get("sample")
        if content:
            image = pictures.prepared_picture(content, self.card.preprocessing, MAX_PIXELS)
        elif sample is not None and sample < len(self.samples):
            image = self.samples[sample]
        else:
            raise InputError(
                "No image was given, or its file is empty: choose a sample, upload an image, or "
                "draw one."
            )
        if name := settings.get("corruption"):
            number = np.array([0 if content else sample])
            image = corrupt(
                name, torch.from_numpy(image[None].copy()), settings.get("severity", 3), number
            )[0].numpy()
        return image

    def players(self, settings: Mapping[str, Any]) -> dict[str, Model]:
        """Return the models, rebuilt where a setting changed. Raises `InputError`."""
        return {name: _with(model, settings) for name, model in self.models.items()}


def lay(models: Sequence[Model], progress: Progress | None = None) -> Table:
    """Return a table of `models`, with samples if the training data is at hand. Raises `InputError`
    for models that cannot take the same image.
    """
    if not 1 <= len(models) <= MAX_MODELS:
        raise InputError(f"give from one to {MAX_MODELS} models, not {len(models)}.")
    first = models[0].card
    if first.preprocessing.binning is not None:
        raise InputError(
            f"{first.contender} takes recordings; `spikeduel play` shows images alone."
        )
    return Table(alike(models), *samples(models[0], MAX_SAMPLES, progress))


def samples(
    model: Model, most: int, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `most` test images of the training's data, evenly over the classes: uint8 `[N,
    C, H, W]`, int64 `[N]`; none if the data are absent. Nothing is scored, so no use is noted.
    """
    progress, card = progress or Progress(), model.card
    origin = shipped.origin_of(model.file) if model.file else None
    try:
        experiment = Experiment(dataset=origin.checked.dataset) if origin else trained_on(model)
        if not data.is_at_hand(experiment.dataset):
            raise InputError(f"{visible(experiment.dataset)[:80]} is not on this machine.")
        prepared, split = split_for(card, experiment, progress)
    except InputError as error:
        progress.say(f"note: no sample images are at hand ({error}) Upload one, or draw.")
        return np.empty((0, *card.image_shape), np.uint8), np.empty(0, np.int64)
    labels = np.asarray(prepared.labels)[split.test]
    # The first of each class, then the second of each, and so on.
    places = np.zeros_like(labels)
    for label in np.unique(labels):
        places[labels == label] = np.arange((labels == label).sum())
    chosen = np.sort(np.lexsort((labels, places))[:most])
    chosen = chosen[np.argsort(labels[chosen], kind="stable")]
    return images_at(prepared, split.test[chosen])


def takes(model: Model) -> dict[str, Any]:
    """Return the settings of a model that can be changed, with values; {} without spikes."""
    card = model.card
    if card.encoding is None or card.foreign is not None:
        return {}
    neurons = [layer for layer in model.module.modules() if isinstance(layer, Neuron)]
    # Values that are learned, or differ between neurons, come with the weights.
    same = [
        name
        for name in _OF_NEURONS
        if all(isinstance(getattr(neuron, name, None), float) for neuron in neurons)
    ]
    of_neurons = {name: card.network[name] for name in same if name in card.network}
    return {"num_steps": card.num_steps, **of_neurons, "encoding": card.encoding}


def _with(model: Model, settings: Mapping[str, Any]) -> Model:
    trained = takes(model)
    changes = {
        name: value
        for name, value in settings.items()
        if name in trained and value != trained[name]
    }
    if not changes:
        return model
    network = model.card.network | {
        name: value for name, value in changes.items() if name in _OF_NEURONS
    }
    rest = {name: value for name, value in changes.items() if name not in _OF_NEURONS}
    card = replace(model.card, network=network, **rest)
    module = build(card)
    module.load_state_dict(model.module.state_dict())
    return Model(module.eval(), card, model.precision, model.file)
