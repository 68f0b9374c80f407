"""Operations of a network at another spike rate or number of time steps, and of its ReLU twin."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from spikeduel.engine.counting.operations import Layer, Macs, Operations, OverTime, Ways

_BETWEEN_LAYERS = ("additions", "multiplications", "functions")
_BY_STEP = ("leaks", "integrations", "threshold_comparisons", "membrane_reads", "membrane_writes")


def relu_twin(operations: Operations) -> Operations:
    """Return the operations of the ReLU twin: the same synapses, each used once, no hidden
    activation zero.
    """
    layers = [_of_twin(layer) for layer in operations.layers if layer.kind != "neurons"]
    return replace(operations, layers=layers, num_steps=1)


def _of_twin(layer: Layer) -> Layer:
    """Return a layer of the twin: once, with real values, and on the image itself where the spiking
    network encodes it.
    """
    if layer.kind != "synapses":
        passes = max(layer.passes.hoisted, 1.0)
        names = ("bias_additions", *_BETWEEN_LAYERS)
        return replace(
            layer, **{name: Ways.same(getattr(layer, name).hoisted / passes) for name in names}
        )
    measured, nonzero_share = layer.macs.dense.hoisted, 1.0
    if layer.input == "image" and measured > 0:
        nonzero_share = layer.macs.effective.hoisted / measured
    none = OverTime(total=0.0, by_step=[0.0])
    macs = Macs(
        dense=Ways.same(layer.macs_a_pass), effective=Ways.same(layer.macs_a_pass * nonzero_share)
    )
    return replace(
        layer,
        input="image" if layer.input_encoded else "real",
        input_bits=None if layer.input == "spikes" else layer.input_bits,
        input_zeros=layer.input_zeros if layer.input == "image" else 1 - nonzero_share,
        passes=Ways.same(1.0),
        macs=macs,
        acs=none,
        events=none,
        bias_additions=Ways.same(layer.outputs if layer.biases else 0.0),
    )


def scaled(operations: Operations, rate: float, num_steps: float) -> Operations:
    """Return the operations as if neurons fired `rate` times as often, over `num_steps` steps; the
    encoding keeps its rate.
    """
    longer = num_steps / operations.num_steps

    def spiking(layer: Layer, amount: OverTime) -> OverTime:
        frequency = longer * (1.0 if layer.input_encoded else rate)
        return OverTime(total=amount.total * frequency, by_step=[])

    return _varied(operations, num_steps, spiking)


def up_to(operations: Operations, num_steps: int) -> Operations:
    """Return the operations of the first `num_steps` steps; work done once stays."""

    def first(_: Layer, amount: OverTime) -> OverTime:
        by_step = amount.by_step[:num_steps]
        return OverTime(total=sum(by_step), by_step=by_step)

    return _varied(operations, num_steps, first)


def _varied(
    operations: Operations, num_steps: float, spiking: Callable[[Layer, OverTime], OverTime]
) -> Operations:
    """Return `operations` over `num_steps` steps, with `spiking` amounts; the totals stay."""
    longer = num_steps / operations.num_steps
    layers = [_varied_layer(layer, longer, spiking) for layer in operations.layers]
    return replace(operations, layers=layers, num_steps=num_steps)


def _varied_layer(
    layer: Layer, longer: float, spiking: Callable[[Layer, OverTime], OverTime]
) -> Layer:
    """Return `layer` over `longer` times as many steps, with `spiking` amounts; work done once
    stays.
    """
    changed: dict[str, Any] = {
        name: spiking(layer, amount)
        for name in ("acs", "events", "spikes")
        if (amount := getattr(layer, name))
    }
    changed |= {name: getattr(layer, name) * longer for name in _BY_STEP}
    changed |= {name: getattr(layer, name).times(longer, longer) for name in _BETWEEN_LAYERS}
    passes = [
        1.0 if number <= 1 else longer for number in (layer.passes.per_step, layer.passes.hoisted)
    ]
    changed |= {name: getattr(layer, name).times(*passes) for name in ("passes", "bias_additions")}
    fired = layer.spikes.total if layer.spikes else 0.0
    dense, effective = layer.macs.dense.times(*passes), layer.macs.effective.times(*passes)
    return replace(
        layer,
        **changed,
        macs=Macs(dense=dense, effective=effective),
        resets=layer.resets * (changed["spikes"].total / fired if fired else longer),
    )
