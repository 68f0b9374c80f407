"""Facts about tensors (`Tag`) and sums of layers (`Row`) during one count."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from spikeduel.engine.counting.operations import Layer, Macs, OverTime, Ways
from spikeduel.system.errors import InputError

WEIGHT, IMAGE, REAL, SPIKES = "weight", "image", "real", "spikes"
"""Kinds of tensors: independent of the input, the analogue input, computed numbers, events."""


AMOUNTS = ("additions", "multiplications", "functions", "bias_additions")
PER_NEURON = (
    "leaks",
    "integrations",
    "resets",
    "threshold_comparisons",
    "membrane_reads",
    "membrane_writes",
)

Kind = Literal["synapses", "neurons", "arithmetic", "declared"]


class NotCounted(InputError):
    """Error: a cost in a network is unknown."""


@dataclass(frozen=True)
class Tag:
    """Facts known of a tensor: spikes or numbers, constant over time or not.

    Equal `value` numbers mean equal values. An event has the size `unit`; an element can be the sum
    of `averaged` events (k² after average pooling over k×k spikes). The outer part of axis
    `time_dim` ([T·B, …] or [T, B, …]) has `steps` time steps from `first_step` on; groups of `same`
    steps are equal. The tensor stands for `copies` passes (`ConstantInput`).

    `producer` is the row of the linear operation with this output, `pooled` likewise before
    max-pooling; `label` names a parameter, `bits` is the trained width of an activation, `encoded`
    marks the network's input.
    """

    kind: str
    value: int = 0
    unit: float = 1.0
    averaged: float = 1
    first_step: int = 0
    steps: int = 1
    time_dim: int = 0
    same: int = 1
    copies: int = 1
    producer: str | None = None
    pooled: str | None = None
    label: str | None = None
    bits: int | None = None
    encoded: bool = False

    @property
    def is_data(self) -> bool:
        return self.kind != WEIGHT

    @property
    def last_step(self) -> int:
        return self.first_step + self.steps - 1

    def real(self) -> "Tag":
        return replace(self, kind=REAL, unit=1.0, averaged=1, producer=None, pooled=None, bits=None)

    def without_time(self) -> "Tag":
        """Return the tag after time steps were mixed."""
        return replace(self, first_step=self.last_step, steps=1, time_dim=0, same=1)

    def elementwise(self, before: Sequence[int], after: Sequence[int]) -> "Tag":
        """Return the tag after an operator that broadcasts or keeps the leading axes."""
        axis = self.time_dim + max(len(after) - len(before), 0)
        if before and axis < len(after) and after[axis] == before[self.time_dim]:
            return replace(self, time_dim=axis)
        return self.without_time()

    def viewed(self, before: Sequence[int], after: Sequence[int]) -> "Tag":
        """Return the tag after a view: steps stay apart while whole leading rows belong to one."""
        if self.time_dim == 0 and len(after) and after[0] % self.steps == 0:
            return self
        if self.time_dim and tuple(before[: self.time_dim + 1]) == tuple(
            after[: self.time_dim + 1]
        ):
            return self
        return self.without_time()

    def removed(self, axes: Sequence[int]) -> "Tag":
        if self.time_dim in axes:
            return self.without_time()
        return replace(self, time_dim=self.time_dim - sum(axis < self.time_dim for axis in axes))

    def repeated(self, num_steps: int) -> "Tag":
        """Return the tag after a repetition along a new leading axis of time."""
        return replace(self, steps=num_steps, time_dim=0, same=num_steps, copies=1)


class Row:
    """Sums over all images of one layer."""

    def __init__(self, name: str, type_name: str, kind: Kind) -> None:
        self.name, self.type_name, self.kind = name, type_name, kind
        self.inputs_are: set[str] = set()
        self.input_bits: int | None = None
        self.encoded = self.depthwise = False
        self.parameters: dict[str, int] = {}
        self.sums: dict[str, float] = defaultdict(float)
        self.ways: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        """Sums per step and hoisted, by name."""
        self.steps: dict[str, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        self.neurons: float | None = None
        self.states = 0
        self.fires = False
        self.folded_into: str | None = None
        self.notes: dict[str, None] = {}

    def add(self, name: str, amount: float, tag: Tag, fresh: bool = True) -> None:
        """Add `amount`, done once to a tensor of this `tag`; hoisted only if `fresh`."""
        self.ways[name][0] += amount * tag.copies
        self.ways[name][1] += amount * (fresh / tag.same)

    def add_steps(self, name: str, first_step: int, amounts: Tensor) -> None:
        into = self.steps[name]
        for step, amount in enumerate(amounts.tolist(), first_step):
            into[step] += amount

    def layer(self, num_steps: int, num_images: int) -> Layer:
        """Return the means per image."""

        def ways(name: str) -> Ways:
            per_step, hoisted = self.ways[name]
            return Ways(per_step=per_step / num_images, hoisted=hoisted / num_images)

        def over_time(name: str) -> OverTime:
            amounts = [0.0] * num_steps
            for step, amount in self.steps[name].items():
                amounts[min(step, num_steps - 1)] += amount / num_images
            return OverTime(total=sum(amounts), by_step=amounts)

        def a_pass(name: str) -> float:
            return self.sums[name] / self.sums["executed"] if self.sums["executed"] else 0.0

        spikes = over_time("spikes") if self.fires else None
        biases = sum(n for name, n in self.parameters.items() if name.endswith("bias"))
        seen = self.sums["inputs"]
        counts: dict[str, Any] = {name: ways(name) for name in AMOUNTS}
        counts |= {name: self.sums[name] / num_images for name in PER_NEURON}
        return Layer(
            name=self.name,
            type=self.type_name,
            kind=self.kind,
            input="mixed" if len(self.inputs_are) > 1 else next(iter(self.inputs_are), None),
            input_bits=self.input_bits,
            input_encoded=self.encoded,
            passes=ways("passes"),
            inputs=a_pass("inputs"),
            outputs=a_pass("outputs"),
            weights=sum(self.parameters.values()) - biases,
            biases=biases,
            macs=Macs(dense=ways("dense"), effective=ways("effective")),
            macs_a_pass=a_pass("dense_executed"),
            acs=over_time("acs"),
            events=over_time("events"),
            input_zeros=1 - self.sums["non_zero"] / seen
            if seen and self.kind == "synapses"
            else None,
            neurons=self.neurons,
            spikes=spikes,
            spikes_per_neuron_and_step=spikes.total / self.neurons / num_steps
            if spikes and self.neurons
            else None,
            state_variables=self.states,
            folded_into=self.folded_into,
            depthwise=self.depthwise,
            note=" ".join(self.notes) or None,
            **counts,
        )


class OperationLedger:
    """Everything known while `module` runs."""

    def __init__(self, module: nn.Module, num_steps: int | None) -> None:
        self.module, self.num_steps = module, num_steps
        self.num_images = self.last_step = self._values = 0
        self.names = {part: name for name, part in module.named_modules()}
        self.running: list[nn.Module] = []
        """Running modules, the innermost last."""
        self.rows: dict[tuple[str, str], Row] = {}
        self._tags: Any = WeakTensorKeyDictionary()
        for name, parameter in [*module.named_parameters(), *module.named_buffers()]:
            self.give(parameter, Tag(WEIGHT, label=name))

    def tag(self, x: Tensor) -> Tag:
        """Return the tag of `x`: a weight unless it comes from the input."""
        if (tag := self._tags.get(x)) is None:
            tag = self.give(x, Tag(WEIGHT))
        return tag

    def give(self, x: Tensor, tag: Tag, value: int | None = None) -> Tag:
        """Set the tag of `x`, with a new value number unless `value` was seen."""
        self._values += 1
        self._tags[x] = tag = replace(tag, value=value or self._values)
        self.last_step = max(self.last_step, tag.last_step)
        return tag

    def row(self, kind: Kind, label: str | None = None) -> Row:
        """Return the row of the running module, or of that with the parameter `label`."""
        module = self.running[-1] if self.running else self.module
        name = self.names.get(module, "")
        if label is not None:
            owner, _, attribute = label.rpartition(".")
            module = self.module.get_submodule(owner)
            name = self.names.get(module, owner) if attribute == "weight" else label
        return self.row_named(name, type(module).__name__, kind)

    def row_named(self, name: str, type_name: str = "", kind: Kind = "synapses") -> Row:
        if (name, kind) not in self.rows:
            self.rows[name, kind] = Row(name, type_name, kind)
        return self.rows[name, kind]

    def unknown(self, what: str) -> NotCounted:
        part = self.running[-1] if self.running else self.module
        name, kind = self.names.get(part, ""), type(part).__name__
        who = f"'{name}' ({kind})" if name else kind
        return NotCounted(
            f"{who} {what}, which is not known here: its cost would be a guess. Declare it: "
            f"declared={{{kind}: function}}, with function(module, inputs, output) -> a dict such "
            "as {'macs': …, 'output': 'real'}, of the whole batch."
        )


@dataclass(eq=False)
class Call:
    """Call of an `operator` with its `data`, inputs that depend on the network's.

    `shape` is that of the first input before the call; `fresh` if first in this pass on these
    values.
    """

    ledger: OperationLedger
    operator: Any
    name: str
    shape: Sequence[int]
    args: tuple[Any, ...]
    outs: list[Tensor]
    data: list[tuple[Tensor, Tag]]
    fresh: bool

    @property
    def out(self) -> Tensor:
        return self.outs[0]

    @property
    def merged(self) -> Tag:
        """Return an elementwise output's tag: the first input's kind, with time steps if all inputs
        agree.
        """
        tags = [tag.elementwise(x.shape, self.out.shape) for x, tag in self.data]
        longest = max(tags, key=lambda tag: tag.steps)
        over_time = {(tag.steps, tag.time_dim) for tag in tags if tag.steps > 1}
        if len(over_time) > 1:
            longest = longest.without_time()
        first_step = longest.first_step
        if longest.steps == 1:
            first_step = max(tag.first_step for tag in tags)
        merged = replace(
            tags[0],
            first_step=first_step,
            steps=longest.steps,
            time_dim=longest.time_dim,
            same=min((tag.same for tag in tags if tag.steps == longest.steps), default=1),
            copies=max(tag.copies for tag in tags),
        )
        return merged if len(tags) == 1 else replace(merged, producer=None, pooled=None)

    def count(self, name: str, amount: float, producer: str | None = None) -> None:
        row = self.ledger.row("arithmetic") if producer is None else self.ledger.row_named(producer)
        row.add(name, amount, self.data[0][1], self.fresh)
