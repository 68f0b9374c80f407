"""Vary counts: the ReLU twin of a network, other spike rates and numbers of steps, the first steps
alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from spikeduel.counting.operations import Layer, Macs, Operations, OverTime, Ways

_BETWEEN_LAYERS = ("additions", "multiplications", "functions")
_BY_STEP = ("leaks", "integrations", "threshold_comparisons", "membrane_reads", "membrane_writes")


def relu_twin(operations: Operations, density: float = 1.0) -> list[Layer]:
    """Return the layers of the ReLU twin: the same synapses, each used once, on numbers.

    `density` is the share of hidden activations that are not zero, which decides how many MACs are
    effective; the share of the first layer is known where that took the image.
    """
    return [_of_twin(layer, density) for layer in operations.layers if layer.kind != "neurons"]


def _of_twin(layer: Layer, density: float) -> Layer:
    if layer.kind != "synapses":
        passes = max(layer.passes.hoisted, 1.0)
        names = ("bias_additions", *_BETWEEN_LAYERS)
        return replace(
            layer, **{name: Ways.same(getattr(layer, name).hoisted / passes) for name in names}
        )
    measured = layer.macs.dense.hoisted
    share = density
    if layer.input == "image" and measured > 0:
        share = layer.macs.effective.hoisted / measured
    none = OverTime(total=0.0, by_step=[0.0])
    macs = Macs(dense=Ways.same(layer.macs_a_pass), effective=Ways.same(layer.macs_a_pass * share))
    return replace(
        layer,
        input="image" if layer.input_encoded else "real",
        input_bits=None if layer.input == "spikes" else layer.input_bits,
        input_zeros=layer.input_zeros if layer.input == "image" else 1 - share,
        passes=Ways.same(1.0),
        macs=macs,
        acs=none,
        events=none,
        bias_additions=Ways.same(layer.outputs if layer.biases else 0.0),
    )


def scaled(operations: Operations, rate: float, num_steps: float) -> list[Layer]:
    """Return the layers as if all neurons fired `rate` times as often a step, over `num_steps`
    steps.

    Rates of neurons relative to each other stay. Spikes that encode the image keep their rate, and
    a layer that runs once still does.
    """
    longer = num_steps / operations.num_steps

    def vary(layer: Layer) -> Layer:
        both = (layer.passes.per_step, layer.passes.hoisted)
        factors = [1.0 if passes <= 1 else longer for passes in both]
        frequency = longer * (1.0 if layer.input_encoded else rate)
        resets = layer.resets * longer * rate

        def spiking(amount: OverTime) -> OverTime:
            return OverTime(total=amount.total * frequency, by_step=[])

        return _varied(layer, factors, factors, longer, spiking, resets=resets)

    return [vary(layer) for layer in operations.layers]


def up_to(operations: Operations, num_steps: int) -> list[Layer]:
    """Return the layers after the first `num_steps` time steps alone.

    What happens once for all steps stays; what happens at every step happens `num_steps` times;
    spikes and their consequences are those of these steps. Raises `ValueError` for a number of
    steps that the network does not reach.
    """
    whole = operations.num_steps
    if not 1 <= num_steps <= whole:
        raise ValueError(f"num_steps must be from 1 to {whole}, not {num_steps}")
    share = num_steps / whole

    def first(amount: OverTime) -> OverTime:
        by_step = amount.by_step[:num_steps]
        return OverTime(total=sum(by_step), by_step=by_step)

    def vary(layer: Layer) -> Layer:
        both = (layer.passes.per_step, layer.passes.hoisted)
        factors = [share if passes >= whole else 1.0 for passes in both]
        before, rate, fewer = layer.spikes, layer.spikes_per_neuron_and_step, share
        if before:
            fired = first(before).total
            fewer = fired / before.total if before.total else share
            rate = fired / layer.neurons / num_steps if layer.neurons else rate
        others = {"resets": layer.resets * fewer, "spikes_per_neuron_and_step": rate}
        # Arithmetic between layers has no passes: it is spread over the steps.
        return _varied(layer, factors, (share, share), share, first, **others)

    return [vary(layer) for layer in operations.layers]


def _varied(
    layer: Layer,
    passes: Sequence[float],
    between: Sequence[float],
    steps: float,
    by_spikes: Callable[[OverTime], OverTime],
    **others: Any,
) -> Layer:
    """Return `layer` with other passes and steps (factors, for both `Ways`) and other spikes."""
    factors = dict.fromkeys(("passes", "bias_additions"), passes)
    factors |= dict.fromkeys(_BETWEEN_LAYERS, between)
    changed: dict[str, Any] = {
        name: getattr(layer, name).times(*both) for name, both in factors.items()
    }
    spiking = {name: getattr(layer, name) for name in ("acs", "events", "spikes")}
    changed |= {name: by_spikes(amount) for name, amount in spiking.items() if amount}
    changed |= {name: getattr(layer, name) * steps for name in _BY_STEP}
    dense, effective = layer.macs.dense.times(*passes), layer.macs.effective.times(*passes)
    return replace(layer, **changed, macs=Macs(dense=dense, effective=effective), **others)
