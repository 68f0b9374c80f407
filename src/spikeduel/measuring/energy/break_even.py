"""Where the border lies: how rarely a network's neurons must fire for it to need no more energy than a rival."""

from typing import Any

from spikeduel.measuring.energy.estimating import estimate, joules
from spikeduel.measuring.energy.tables import Table

_BY_SPIKES = ("acs", "events", "spikes")
_EVERY_STEP = ("leaks", "integrations", "threshold_comparisons", "membrane_reads", "membrane_writes")
_ARITHMETIC = ("bias_additions", "additions", "multiplications", "functions")


def relu_twin(operations: dict[str, Any], density: float = 1.0) -> dict[str, Any]:
    """The operations of the ReLU twin, from its shape alone: the same synapses, each once, on numbers for spikes.

    `density` is the share of its hidden activations that are not zero, which says how many of its MACs are effective;
    of the first layer it is known where that took the image.
    """
    layers = [_of_twin(layer, density) for layer in operations["layers"] if layer["kind"] != "neurons"]
    return {**operations, "num_steps": 1, "layers": layers, "totals": None}


def _of_twin(layer: dict[str, Any], density: float) -> dict[str, Any]:
    if layer["kind"] != "synapses":
        return {**layer, **{name: _both(layer[name]["cached"] / _times(layer)) for name in _ARITHMETIC}}
    dense = layer["macs_a_pass"]
    measured = layer["macs"]["dense"]["cached"]
    of_image = layer["input"] == "image" and measured > 0
    share = layer["macs"]["effective"]["cached"] / measured if of_image else density
    none = {"total": 0.0, "per_step": [0.0]}
    return {
        **layer,
        "input": "image" if layer["input_encoded"] else "real",
        "passes": _both(1.0),
        "macs": {"dense": _both(dense), "effective": _both(dense * share)},
        "acs": none,
        "events": none,
        "bias_additions": _both(layer["outputs"] if layer["biases"] else 0.0),
    }


def _times(layer: dict[str, Any]) -> float:
    return max(layer["passes"]["cached"], 1.0)


def _both(amount: float) -> dict[str, float]:
    return {"as_written": amount, "cached": amount}


def scaled(operations: dict[str, Any], rate: float, num_steps: float) -> dict[str, Any]:
    """`operations` as they would be if all neurons fired `rate` times as often a step, over `num_steps` steps.

    Who fires how often relative to others stays. Spikes that encode the image are as frequent a step as they were, and
    a layer that runs once still does.
    """
    layers = [_scaled(layer, rate, num_steps / operations["num_steps"]) for layer in operations["layers"]]
    return {**operations, "num_steps": num_steps, "layers": layers, "totals": None}


def _scaled(layer: dict[str, Any], rate: float, longer: float) -> dict[str, Any]:
    def of_passes(amounts: dict[str, float]) -> dict[str, float]:
        once = {way: layer["passes"][way] <= 1 for way in amounts}
        return {way: n * (1.0 if once[way] else longer) for way, n in amounts.items()}

    changed: dict[str, Any] = {name: of_passes(layer[name]) for name in ("passes", *_ARITHMETIC)}
    changed["macs"] = {kind: of_passes(amounts) for kind, amounts in layer["macs"].items()}
    frequency = longer * (1.0 if layer["input_encoded"] else rate)
    for name in _BY_SPIKES:
        if layer[name]:
            changed[name] = {"total": layer[name]["total"] * frequency, "per_step": []}
    changed |= {name: layer[name] * longer for name in _EVERY_STEP}
    changed["resets"] = layer["resets"] * longer * rate
    return {**layer, **changed}


def break_even_rate(
    operations: dict[str, Any],
    rival: dict[str, Any],
    table: Table,
    num_steps: float,
    memory: str = "compute",
    scope: str = "synapses",
    counting: str = "cached",
    macs: str = "dense",
) -> float | None:
    """Spikes per neuron and step at which `operations`, over `num_steps` steps, take as much energy as `rival`'s.

    Energy is linear in the rate, so that two points tell it. 0 or less: even without a spike it takes more. None where
    the table cannot tell, or where spikes cost nothing. The other arguments are as in `energy.joules`.
    """
    measured = operations["totals"]["spikes_per_neuron_and_step"]
    chosen = (memory, scope, counting, macs)
    silent, firing = (joules(estimate(scaled(operations, rate, num_steps), table), *chosen) for rate in (0.0, 1.0))
    target = joules(estimate(rival, table), *chosen)
    if not measured or silent is None or firing is None or target is None or firing <= silent:
        return None
    return measured * (target - silent) / (firing - silent)
