"""What was counted, added up row by row: a row is one layer's synapses, neurons, or other arithmetic."""

from collections import defaultdict
from typing import Any

from torch import Tensor

AMOUNTS = ("additions", "multiplications", "functions", "bias_additions")
PER_NEURON = ("leaks", "integrations", "resets", "threshold_comparisons", "membrane_reads", "membrane_writes")


class Row:
    """Sums over all images. `kind` is "synapses", "neurons", "arithmetic" or "declared"."""

    def __init__(self, name: str, type_name: str, kind: str) -> None:
        self.name, self.type_name, self.kind = name, type_name, kind
        self.inputs_are: set[str] = set()
        self.input_bits: int | None = None
        self.encoded = False
        self.parameters: dict[str, int] = {}
        self.sums: dict[str, float] = defaultdict(float)
        """By name; of what is counted in two ways as `name.as_written` and `name.cached`."""
        self.steps: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        self.neurons: float | None = None
        self.states = 0
        self.fires = False
        self.folded_into: str | None = None
        self.notes: list[str] = []

    def add(self, name: str, amount: float, copies: int, share: float) -> None:
        """`amount` was done once, stands for `copies` passes, and is new by `share` (0: seen before, 1/T: T alike)."""
        self.sums[f"{name}.as_written"] += amount * copies
        self.sums[f"{name}.cached"] += amount * share

    def add_steps(self, name: str, first_step: int, amounts: Tensor) -> None:
        """float64 `[steps]`, from time step `first_step` on."""
        into = self.steps[name]
        for step, amount in enumerate(amounts.tolist(), first_step):
            into[step] += amount

    def note(self, text: str) -> None:
        """Keeps a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    def entry(self, num_steps: int, num_images: int) -> dict[str, Any]:
        """One of `layers` in `operations`: means per image."""

        def both(name: str) -> dict[str, float]:
            return {way: self.sums[f"{name}.{way}"] / num_images for way in ("as_written", "cached")}

        def over_time(name: str) -> dict[str, Any]:
            amounts = [0.0] * num_steps
            for step, amount in self.steps[name].items():
                amounts[min(step, num_steps - 1)] += amount / num_images
            return {"total": sum(amounts), "per_step": amounts}

        spikes = over_time("spikes") if self.fires else None
        passes, seen = both("passes"), self.sums["elements"]
        return {
            "name": self.name,
            "type": self.type_name,
            "kind": self.kind,
            "input": "mixed" if len(self.inputs_are) > 1 else next(iter(self.inputs_are), None),
            "input_bits": self.input_bits,
            "input_encoded": self.encoded,
            "passes": passes,
            "inputs": self._a_pass("inputs"),
            "outputs": self._a_pass("outputs"),
            "weights": sum(n for name, n in self.parameters.items() if not name.endswith("bias")),
            "biases": sum(n for name, n in self.parameters.items() if name.endswith("bias")),
            "macs": {"dense": both("dense"), "effective": both("effective")},
            "macs_a_pass": self._a_pass("dense_executed"),
            "acs": over_time("acs"),
            "events": over_time("events"),
            "input_zeros": 1 - self.sums["non_zero"] / seen if seen else None,
            **{name: both(name) for name in AMOUNTS},
            "neurons": self.neurons,
            "spikes": spikes,
            "spikes_per_neuron_and_step": spikes and self.neurons and spikes["total"] / self.neurons / num_steps,
            "state_variables": self.states,
            **{name: self.sums[name] / num_images for name in PER_NEURON},
            "folded_into": self.folded_into,
            "note": " ".join(self.notes) or None,
        }

    def _a_pass(self, name: str) -> float:
        executed = self.sums["executed"]
        return self.sums[name] / executed if executed else 0.0


def totals(layers: list[dict[str, Any]], num_steps: int) -> dict[str, Any]:
    """`operations`' `totals`: the sums over `layers`, in the same shapes."""
    found = {
        "macs": _sum([layer["macs"] for layer in layers]),
        **{name: _sum([layer[name] for layer in layers]) for name in ("acs", "events", *AMOUNTS, "traffic")},
        "neurons": sum(layer["neurons"] or 0 for layer in layers),
        "spikes": _sum([layer["spikes"] for layer in layers if layer["spikes"]]) or None,
        **{name: sum(layer[name] for layer in layers) for name in PER_NEURON},
    }
    firing = sum(layer["neurons"] for layer in layers if layer["spikes"])
    rate = found["spikes"]["total"] / firing / num_steps if firing else None
    return {**found, "spikes_per_neuron_and_step": rate}


def _sum(values: list[Any]) -> Any:
    """The sum of numbers, of lists entry by entry, or of dicts key by key."""
    if not values:
        return None
    if isinstance(values[0], dict):
        return {key: _sum([value[key] for value in values]) for key in values[0]}
    if isinstance(values[0], list):
        return [sum(entries) for entries in zip(*values, strict=True)]
    return sum(values)
