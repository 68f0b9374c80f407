"""What was counted, added up row by row: a row is one layer's synapses, neurons, or other arithmetic."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, cast

from torch import Tensor

from spikeduel.results.costs import Layer, Macs, OverTime, Totals, Ways
from spikeduel.system.typed import Frozen

AMOUNTS = ("additions", "multiplications", "functions", "bias_additions")
PER_NEURON = ("leaks", "integrations", "resets", "threshold_comparisons", "membrane_reads", "membrane_writes")

Kind = Literal["synapses", "neurons", "arithmetic", "declared"]


class Row:
    """Sums over all images."""

    def __init__(self, name: str, type_name: str, kind: Kind) -> None:
        self.name, self.type_name, self.kind = name, type_name, kind
        self.inputs_are: set[str] = set()
        self.input_bits: int | None = None
        self.encoded = False
        self.parameters: dict[str, int] = {}
        self.sums: dict[str, float] = defaultdict(float)
        self.ways: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        """Sums per step and hoisted, by name."""
        self.steps: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        self.neurons: float | None = None
        self.states = 0
        self.fires = False
        self.folded_into: str | None = None
        self.notes: list[str] = []

    def add(self, name: str, amount: float, copies: int, share: float) -> None:
        """`amount` was done once, stands for `copies` passes, and is new by `share` (0: seen before, 1/T: T alike)."""
        self.ways[name][0] += amount * copies
        self.ways[name][1] += amount * share

    def add_steps(self, name: str, first_step: int, amounts: Tensor) -> None:
        """float64 `[steps]`, from time step `first_step` on."""
        into = self.steps[name]
        for step, amount in enumerate(amounts.tolist(), first_step):
            into[step] += amount

    def note(self, text: str) -> None:
        """Keeps a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    def layer(self, num_steps: int, num_images: int) -> Layer:
        """Means per image."""

        def ways(name: str) -> Ways:
            per_step, hoisted = self.ways[name]
            return Ways(per_step=per_step / num_images, hoisted=hoisted / num_images)

        def over_time(name: str) -> OverTime:
            amounts = [0.0] * num_steps
            for step, amount in self.steps[name].items():
                amounts[min(step, num_steps - 1)] += amount / num_images
            return OverTime(total=sum(amounts), by_step=amounts)

        amounts: dict[str, Any] = {name: ways(name) for name in AMOUNTS}
        per_neuron: dict[str, Any] = {name: self.sums[name] / num_images for name in PER_NEURON}
        spikes = over_time("spikes") if self.fires else None
        seen = self.sums["elements"]
        return Layer(
            name=self.name,
            type=self.type_name,
            kind=self.kind,
            input="mixed" if len(self.inputs_are) > 1 else next(iter(self.inputs_are), None),
            input_bits=self.input_bits,
            input_encoded=self.encoded,
            passes=ways("passes"),
            inputs=self._a_pass("inputs"),
            outputs=self._a_pass("outputs"),
            weights=sum(n for name, n in self.parameters.items() if not name.endswith("bias")),
            biases=sum(n for name, n in self.parameters.items() if name.endswith("bias")),
            macs=Macs(dense=ways("dense"), effective=ways("effective")),
            macs_a_pass=self._a_pass("dense_executed"),
            acs=over_time("acs"),
            events=over_time("events"),
            input_zeros=1 - self.sums["non_zero"] / seen if seen else None,
            **amounts,
            neurons=self.neurons,
            spikes=spikes,
            spikes_per_neuron_and_step=spikes.total / self.neurons / num_steps if spikes and self.neurons else None,
            state_variables=self.states,
            **per_neuron,
            folded_into=self.folded_into,
            note=" ".join(self.notes) or None,
        )

    def _a_pass(self, name: str) -> float:
        executed = self.sums["executed"]
        return self.sums[name] / executed if executed else 0.0


def totals(layers: Sequence[Layer], num_steps: int) -> Totals:
    """The sums over `layers`, of which there is at least one."""
    firing = [layer for layer in layers if layer.spikes]
    num_firing = sum(layer.neurons or 0 for layer in firing)
    spikes = cast(OverTime, _sum([layer.spikes for layer in firing])) if firing else None
    summed = ("macs", "acs", "events", "traffic", *AMOUNTS, *PER_NEURON)
    return Totals(
        **{name: _sum([getattr(layer, name) for layer in layers]) for name in summed},
        neurons=sum(layer.neurons or 0 for layer in layers),
        spikes=spikes,
        spikes_per_neuron_and_step=spikes.total / num_firing / num_steps if spikes and num_firing else None,
    )


def _sum(values: Sequence[Any]) -> Any:
    """The sum of numbers, of lists entry by entry, or of structs field by field."""
    first = values[0]
    if isinstance(first, Frozen):
        fields = first.__struct_fields__
        return type(first)(**{name: _sum([getattr(value, name) for value in values]) for name in fields})
    if isinstance(first, list):
        return [sum(entries) for entries in zip(*values, strict=True)]
    return sum(values)
