"""Counts of networks that were not run, from those of one that was: fewer steps, other spike rates, its ReLU twin."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from spikeduel.results.costs import Layer, Macs, Operations, OverTime, Ways

_BY_SPIKES = ("acs", "events", "spikes")
_BETWEEN_LAYERS = ("additions", "multiplications", "functions")
_EVERY_STEP = ("leaks", "integrations", "threshold_comparisons", "membrane_reads", "membrane_writes")


def relu_twin(operations: Operations, density: float = 1.0) -> list[Layer]:
    """The layers of the ReLU twin, from the network's shape alone: the same synapses, each once, on numbers.

    `density` is the share of its hidden activations that are not zero, which says how many of its MACs are effective;
    that of the first layer is known where it took the image.
    """
    return [_of_twin(layer, density) for layer in operations.layers if layer.kind != "neurons"]


def _of_twin(layer: Layer, density: float) -> Layer:
    if layer.kind != "synapses":
        passes = max(layer.passes.hoisted, 1.0)
        names = ("bias_additions", *_BETWEEN_LAYERS)
        return replace(layer, **{name: Ways.same(getattr(layer, name).hoisted / passes) for name in names})
    measured = layer.macs.dense.hoisted
    share = layer.macs.effective.hoisted / measured if layer.input == "image" and measured > 0 else density
    none = OverTime(total=0.0, by_step=[0.0])
    return replace(
        layer,
        input="image" if layer.input_encoded else "real",
        passes=Ways.same(1.0),
        macs=Macs(dense=Ways.same(layer.macs_a_pass), effective=Ways.same(layer.macs_a_pass * share)),
        acs=none,
        events=none,
        bias_additions=Ways.same(layer.outputs if layer.biases else 0.0),
    )


def scaled(operations: Operations, rate: float, num_steps: float) -> list[Layer]:
    """The layers as they would be if all neurons fired `rate` times as often a step, over `num_steps` steps.

    How often neurons fire relative to each other stays. Spikes that encode the image are as frequent a step as they
    were, and a layer that runs once still does.
    """
    longer = num_steps / operations.num_steps
    return [_scaled(layer, rate, longer) for layer in operations.layers]


def _scaled(layer: Layer, rate: float, longer: float) -> Layer:
    factors = [1.0 if passes <= 1 else longer for passes in (layer.passes.per_step, layer.passes.hoisted)]
    changed: dict[str, Any] = {
        name: getattr(layer, name).times(*factors) for name in ("passes", "bias_additions", *_BETWEEN_LAYERS)
    }
    frequency = longer * (1.0 if layer.input_encoded else rate)
    for name in _BY_SPIKES:
        if amount := getattr(layer, name):
            changed[name] = OverTime(total=amount.total * frequency, by_step=[])
    changed |= {name: getattr(layer, name) * longer for name in _EVERY_STEP}
    return replace(layer, **changed, macs=_times(layer.macs, factors), resets=layer.resets * longer * rate)


def _times(macs: Macs, factors: Sequence[float]) -> Macs:
    return Macs(dense=macs.dense.times(*factors), effective=macs.effective.times(*factors))


def up_to(operations: Operations, num_steps: int) -> list[Layer]:
    """The layers as they are after the first `num_steps` time steps alone.

    What happens once for all steps stays; what happens at every step is as often as there are steps; spikes and what
    they cause are those of these steps. Raises `ValueError` unless there are so many steps.
    """
    if not 1 <= num_steps <= operations.num_steps:
        raise ValueError(f"num_steps must be from 1 to {operations.num_steps}, not {num_steps}")
    return [_up_to(layer, num_steps, operations.num_steps) for layer in operations.layers]


def _up_to(layer: Layer, num_steps: int, whole: int) -> Layer:
    share = num_steps / whole
    factors = [share if passes >= whole else 1.0 for passes in (layer.passes.per_step, layer.passes.hoisted)]
    cut: dict[str, Any] = {name: getattr(layer, name).times(*factors) for name in ("passes", "bias_additions")}
    # Arithmetic between layers has no passes: it is spread over the steps.
    cut |= {name: getattr(layer, name).times(share, share) for name in _BETWEEN_LAYERS}
    for name in _BY_SPIKES:
        if amount := getattr(layer, name):
            by_step = amount.by_step[:num_steps]
            cut[name] = OverTime(total=sum(by_step), by_step=by_step)
    cut |= {name: getattr(layer, name) * share for name in _EVERY_STEP}
    fired = layer.spikes.total if layer.spikes else 0.0
    cut["resets"] = layer.resets * (cut["spikes"].total / fired if fired else share)
    if layer.spikes and layer.neurons:
        cut["spikes_per_neuron_and_step"] = cut["spikes"].total / layer.neurons / num_steps
    return replace(layer, **cut, macs=_times(layer.macs, factors))
