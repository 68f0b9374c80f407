"""Modules that count as a whole: layers of neurons, quantisers, and what a user declares."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from spikeduel.counting.ledger import REAL, SPIKES, NotCounted, OperationLedger, Tag
from spikeduel.counting.linear import sums_by_step
from spikeduel.networks import foreign
from spikeduel.networks.foreign import NeuronCost
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import ReLU
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen, converted

Declared = Mapping[Any, Callable[[nn.Module, Any, Any], Mapping[str, Any]]]
"""Costs by a module's name or class: functions `(module, inputs, output) -> dict`, see
`DeclaredCosts`.
"""
Amount = Annotated[float, Meta(ge=0, le=1e30)]


class DeclaredCosts(Frozen, forbid_unknown_fields=True):
    """Cost of one call of a module for the whole batch, and the kind of its output.

    `effective_macs` have an input that is not zero; by default they are all `macs`.
    """

    macs: Amount = 0.0
    effective_macs: Amount | None = None
    acs: Amount = 0.0
    additions: Amount = 0.0
    multiplications: Amount = 0.0
    functions: Amount = 0.0
    output: Literal["real", "spikes"] = "real"


def flat(value: Any) -> list[Any]:
    """Return the entries of nested lists, tuples and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [entry for part in value for entry in flat(part)]
    return [value.value if isinstance(value, ConstantInput) else value]


def tensors(value: Any) -> list[Tensor]:
    """Return the tensors in nested lists, tuples and dicts."""
    return [x for x in flat(value) if isinstance(x, Tensor)]


class AtomicModules:
    """Follows which module runs, and counts those that are not looked into, `declared` ones
    first.
    """

    def __init__(self, ledger: OperationLedger, declared: Declared) -> None:
        self.ledger, self.declared = ledger, declared
        self.inside: nn.Module | None = None
        """The running module that counts as a whole: nothing inside is counted."""
        self._steps: dict[nn.Module, int] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Follow all modules that are called, from time step 0 on."""
        self._steps.clear()
        hooks: list[Any] = [
            part.register_forward_pre_hook(self._enter) for part in self.ledger.names
        ]
        hooks += [
            part.register_forward_hook(self._leave, always_call=True) for part in self.ledger.names
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self.ledger.running.clear()
            self.inside = None

    def _enter(self, part: nn.Module, inputs: Any) -> None:
        self.ledger.running.append(part)
        if self.inside is None and self._counted_by(part) is not None:
            self.inside = part

    def _leave(self, part: nn.Module, inputs: Any, output: Any) -> None:
        if self.inside is part:
            self.inside = None
            count = self._counted_by(part)
            # A forward that raised has no output.
            if count is not None and output is not None:
                count(part, inputs, output)
        self.ledger.running.pop()

    def _counted_by(self, part: nn.Module) -> Callable[..., None] | None:
        for key in (self.ledger.names[part], *type(part).__mro__):
            if key and key in self.declared:
                return partial(self._declared, self.declared[key])
        if isinstance(part, ReLU):
            return self._activation
        known = foreign.known(part)
        if known is None or known.by_operators:
            return None
        if known.cost is None:
            raise self.ledger.unknown("is a layer of neurons")
        return partial(self._neurons, known.cost(part))

    def _input_tag(self, inputs: Any) -> Tag:
        """Return the tag of a module's first input."""
        x = inputs[0] if inputs else None
        x = x.value if isinstance(x, ConstantInput) else x
        return self.ledger.tag(x) if isinstance(x, Tensor) else Tag(REAL)

    def _neurons(self, cost: NeuronCost, part: nn.Module, inputs: Any, output: Any) -> None:
        input_tag = self._input_tag(inputs)
        out, *others = tensors(output)
        if not input_tag.is_data:
            return
        steps = out.shape[0] if cost.multi_step else 1
        first_step = self._steps.get(part, 0)
        self._steps[part] = first_step + steps
        kind = SPIKES if cost.spikes else REAL
        tag = self.ledger.give(out, Tag(kind, unit=cost.unit, first_step=first_step, steps=steps))
        updates = out.numel()
        row = self.ledger.row("neurons")
        row.inputs_are.add(input_tag.kind)
        row.neurons, row.states, row.fires = (
            updates / (steps * self.ledger.num_images),
            cost.states,
            cost.spikes,
        )
        row.sums["leaks"] += cost.leaks * updates
        row.sums["integrations"] += cost.adds * updates
        row.sums["membrane_reads"] += cost.states * updates
        row.sums["membrane_writes"] += cost.states * updates
        if cost.spikes:
            spikes, _ = sums_by_step(out, tag, 1.0)
            row.add_steps("spikes", first_step, spikes)
            row.sums["resets"] += cost.resets * float(spikes.sum())
            row.sums["threshold_comparisons"] += updates
        for other in others:
            # Membranes are numbers; left out, they are empty.
            over_time = other.dim() > 0 and other.shape[0] == out.shape[0]
            self.ledger.give(
                other, Tag(REAL, first_step=first_step, steps=steps if over_time else 1)
            )

    def _activation(self, part: nn.Module, inputs: Any, output: Any) -> None:
        """Tag the output of `ReLU` and `QuantisedReLU`: activations in the place of neurons."""
        input_tag, x = self._input_tag(inputs), inputs[0]
        tag = input_tag.spread(x.num_steps) if isinstance(x, ConstantInput) else input_tag
        for out in tensors(output):
            bits = getattr(part, "activation_bits", None)
            self.ledger.give(out, replace(tag.real(), bits=bits, encoded=False))

    def _declared(
        self, says: Callable[..., Any], part: nn.Module, inputs: Any, output: Any
    ) -> None:
        input_tag, counts = self._input_tag(inputs), says(part, inputs, output)
        if isinstance(counts, Mapping):
            counts = {
                key: value.item() if hasattr(value, "item") else value
                for key, value in counts.items()
            }
        name = self.ledger.names[part] or type(part).__name__
        try:
            costs = converted(counts, DeclaredCosts)
        except InputError as error:
            raise NotCounted(f"what is declared of '{name}': {error}") from None
        row = self.ledger.row("declared")
        row.inputs_are.add(input_tag.kind)
        row.parameters = {name: parameter.numel() for name, parameter in part.named_parameters()}
        row.add_steps(
            "acs",
            input_tag.first_step,
            torch.full((input_tag.steps,), costs.acs / input_tag.steps).double(),
        )
        passes = input_tag.steps * self.ledger.num_images
        row.add("passes", passes, input_tag)
        row.add("dense", costs.macs, input_tag)
        row.add(
            "effective",
            costs.macs if costs.effective_macs is None else costs.effective_macs,
            input_tag,
        )
        for key in ("additions", "multiplications", "functions"):
            row.add(key, getattr(costs, key), input_tag)
        row.sums["executed"] += passes
        row.sums["dense_executed"] += costs.macs
        row.sums["inputs"] += sum(x.numel() for x in tensors(inputs))
        after = replace(
            input_tag, kind=costs.output, unit=1.0, producer=None, pooled=None, encoded=False
        )
        for out in tensors(output):
            row.sums["outputs"] += out.numel()
            apart = (
                out.dim() > 0 and input_tag.time_dim == 0 and out.shape[0] % input_tag.steps == 0
            )
            self.ledger.give(out, after if apart else after.without_time())
