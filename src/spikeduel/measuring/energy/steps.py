"""What a network has done after only some of its time steps."""

from typing import Any

from spikeduel.measuring.energy.traffic import traffic

_OVER_TIME = ("acs", "events", "spikes")
_PER_PASS = ("bias_additions", "additions", "multiplications", "functions")
_EVERY_STEP = ("leaks", "integrations", "threshold_comparisons", "membrane_reads", "membrane_writes")


def up_to(operations: dict[str, Any], num_steps: int) -> dict[str, Any]:
    """`operations` of the first `num_steps` time steps alone; `totals` are left out.

    What happens once for all steps stays; what happens at every step is as often as there are steps; spikes and what
    they cause are those of these steps. Raises `ValueError` unless there are so many steps.
    """
    whole = operations["num_steps"]
    if not 1 <= num_steps <= whole:
        raise ValueError(f"num_steps must be from 1 to {whole}, not {num_steps}")
    layers = [_up_to(layer, num_steps, whole) for layer in operations["layers"]]
    return {**operations, "num_steps": num_steps, "layers": layers, "totals": None}


def _up_to(layer: dict[str, Any], num_steps: int, whole: int) -> dict[str, Any]:
    share = num_steps / whole

    def of_passes(amounts: dict[str, float]) -> dict[str, float]:
        return {way: n * (share if layer["passes"][way] >= whole else 1.0) for way, n in amounts.items()}

    cut: dict[str, Any] = {name: of_passes(layer[name]) for name in ("passes", "bias_additions")}
    cut["macs"] = {kind: of_passes(amounts) for kind, amounts in layer["macs"].items()}
    for name in _PER_PASS[1:]:
        # Arithmetic between layers has no passes of its own: it is spread over the steps.
        cut[name] = {way: n * share for way, n in layer[name].items()}
    for name in _OVER_TIME:
        if layer[name]:
            steps = layer[name]["per_step"][:num_steps]
            cut[name] = {"total": sum(steps), "per_step": steps}
    for name in _EVERY_STEP:
        cut[name] = layer[name] * share
    fired = layer["spikes"]["total"] if layer["spikes"] else 0.0
    cut["resets"] = layer["resets"] * (cut["spikes"]["total"] / fired if fired else share)
    if layer["spikes"] and layer["neurons"]:
        cut["spikes_per_neuron_and_step"] = cut["spikes"]["total"] / layer["neurons"] / num_steps
    shorter = {**layer, **cut}
    return {**shorter, "traffic": {way: traffic(shorter, way) for way in ("as_written", "cached")}}
