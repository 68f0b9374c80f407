"""A trained ReLU network as a network of integrate-and-fire neurons with its weights: ANN-to-SNN conversion.

What a neuron can say in T steps lies between no spike and T of them, so that each layer's weights are divided by what
its activations hardly ever exceed (a percentile of those on training images) and multiplied by the layer before's:
Rueckauer et al. 2017, "Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks for Image
Classification". A spike takes the threshold off the membrane (reset by subtraction), the image comes as it
is at every step, and the last layer does not spike: the mean of its current is the score. A neuron rounds down what
it could not send; half a threshold more, spread over the T steps, makes that a rounding to the nearest (Deng and Gu
2021, "Optimal Conversion of Conventional Artificial Neural Networks to Spiking Neural Networks"). All of it goes into
the weights, so that the result is a model like any other: dense-lif with neuron `if`, or conv-if, which max-pools
counts of spikes. (Where any spike of a step passes, as in conv-lif, a pooled place spikes more often than the most
active of its neurons, and more steps make that worse.)
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikeduel.data import Prepared
from spikeduel.measuring.answers import Asked
from spikeduel.measuring.correctness import calibrated
from spikeduel.networks import building
from spikeduel.networks.models import Model, ModelCard
from spikeduel.settings import Experiment
from spikeduel.spiking.encoders import analogue
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from spikeduel.trials import trial
from spikeduel.trials.planning import Trial
from spikeduel.trials.store import Store
from spikeduel.trials.training import EvaluationBatches, Training

NUM_IMAGES = 1024
"""Training images on which activations are looked at: some 25 million of them in the first layer of conv-relu."""
_BATCH = 128


@dataclass(frozen=True)
class Shape:
    """Where a ReLU network goes: the spiking architecture with its weights, each layer of neurons there with what
    feeds it, in order, and the last layer.
    """

    spiking: str
    feeds: dict[str, str]
    last: str


CONVERTIBLE = {
    "dense-relu": Shape("dense-lif", {"lif1": "block1", "lif2": "block2"}, "linear"),
    "conv-relu": Shape("conv-if", {"lif1": "block1", "lif2": "block2", "lif3": "linear1"}, "linear2"),
}


def require_convertible(experiment: Experiment) -> None:
    """Raises `InputError` where `experiment` asks for a conversion and none of its contenders can be converted."""
    if experiment.convert and not any(name in CONVERTIBLE for name in experiment.contenders):
        wanted, can = ", ".join(experiment.contenders), " and ".join(CONVERTIBLE)
        raise InputError(f"convert: none of {wanted} can be converted. {can} can, which --recipe matched has.")


def run(trials: Sequence[Trial], prepared: Prepared, store: Store, progress: Progress) -> list[Trial]:
    """The conversion of each of `trials` that is finished and can be converted, as a trial that the store holds."""
    convertible = [(each, store.record(each.key)) for each in trials if each.card.contender in CONVERTIBLE]
    return [_stored(each, len(record.history), prepared, store, progress) for each, record in convertible if record]


def converted(model: Model, images: Tensor, num_steps: int, percentile: float) -> Model:
    """`model`, of one of `CONVERTIBLE`, over `num_steps` steps of integrate-and-fire neurons.

    `images` uint8 `[N, C, H, W]` are training images; of their positive activations in each layer, `percentile` per
    cent fit between no spike and one at every step.
    """
    scales = activation_scales(model, images, percentile)
    module, card = _spiking(model, num_steps, neuron="if", threshold=1.0, reset_mechanism="subtract")
    shape, before = CONVERTIBLE[model.card.contender], 1.0
    with torch.no_grad():
        for neurons, feeding in shape.feeds.items():
            _scale(module.get_submodule(feeding), before, scales[neurons], 0.5 / num_steps)
            before = scales[neurons]
        module.get_parameter(f"{shape.last}.weight").mul_(before)
    return Model(module.to(model.device).eval(), card)


def _spiking(model: Model, num_steps: int, **neuron: Any) -> tuple[nn.Module, ModelCard]:
    """The spiking shape of `model`, with its weights and these neurons."""
    card = replace(
        model.card,
        contender=CONVERTIBLE[model.card.contender].spiking,
        family="snn",
        network={**model.card.network, **neuron},
        encoding="direct",
        num_steps=num_steps,
        temperature=None,
    )
    with torch.random.fork_rng():
        module = building.build(card)
    module.load_state_dict(model.module.state_dict())
    return module, card


def activation_scales(model: Model, images: Tensor, percentile: float) -> dict[str, float]:
    """For each layer of neurons of the spiking shape, the `percentile` of the positive activations in its place."""
    # The same network, with a layer where the neurons will be: it is there that one has to look.
    twin = _spiking(model, 1, neuron="relu")[0].to(model.device).eval()
    seen: dict[str, list[np.ndarray]] = {name: [] for name in CONVERTIBLE[model.card.contender].feeds}

    def note(name: str, layer: nn.Module, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        seen[name].append(output[0][output[0] > 0].float().cpu().numpy())

    hooks = [twin.get_submodule(name).register_forward_hook(partial(note, name)) for name in seen]
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            twin(analogue(images[start : start + _BATCH].to(model.device)).unsqueeze(0))
    for hook in hooks:
        hook.remove()
    values = {name: np.concatenate(parts or [np.empty(0)]) for name, parts in seen.items()}
    # A layer that is silent on all of them has nothing to scale.
    return {name: float(np.percentile(found, percentile)) if len(found) else 1.0 for name, found in values.items()}


def _scale(layer: nn.Module, before: float, scale: float, shift: float) -> None:
    """Takes inputs that are 1/`before` of what they were, and gives currents that are 1/`scale`, plus `shift`."""
    weighted, affine = (layer[-2], layer[-1]) if isinstance(layer, nn.Sequential) else (layer, layer)
    weighted.get_parameter("weight").mul_(before)
    affine.get_parameter("weight").div_(scale)
    affine.get_parameter("bias").div_(scale).add_(shift)


def _stored(source: Trial, epochs: int, prepared: Prepared, store: Store, progress: Progress) -> Trial:
    experiment, split = source.experiment, source.split
    how = {
        "contender": source.card.contender,
        "key": source.key,
        "epochs": epochs,
        "percentile": experiment.conversion_percentile,
        "images": min(NUM_IMAGES, len(split.train)),
    }
    sample = torch.as_tensor(np.asarray(prepared.images[np.sort(split.train[:NUM_IMAGES])]))
    model = trial.load(source, store)
    spiking = converted(model, sample, experiment.conversion_steps, experiment.conversion_percentile)
    card = replace(spiking.card, trained_on={**spiking.card.trained_on, "converted_from": source.card.contender})
    contender = f"{source.card.contender}-converted"
    kept = {name: source.settings[name] for name in ("training", "data", "device", "numerics_version", "sources")}
    settings = {**asdict(card), **kept, "contender": contender, "converted": how}
    for unused in ("dataset", "trained_on", "foreign", "temperature"):
        settings.pop(unused, None)
    made = Trial(experiment, replace(card, contender=contender), settings, split)
    with store.locked(made.key):
        if store.record(made.key) is None:
            progress.say(
                f"  {made.card.title}: {source.card.title} as integrate-and-fire neurons over {card.num_steps} steps"
            )
            val = Asked(EvaluationBatches(*prepared.held, split.val))
            seen, temperature = val.answers(spiking), calibrated(spiking, val).card.temperature
            validation = Training([{"val_loss": seen.loss, "val_accuracy": seen.accuracy}])
            trial.keep(made, Model(spiking.module, replace(card, temperature=temperature)), validation, store)
    return made
