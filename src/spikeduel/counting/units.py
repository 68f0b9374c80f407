"""Modules that count as one, whatever they compute inside: layers of neurons, quantisers, and what
a user declares.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from spikeduel.counting.books import REAL, SPIKES, Books, NotCounted, Tag
from spikeduel.counting.linear import sums_by_step
from spikeduel.networks.foreign import neurons
from spikeduel.networks.foreign.neurons import NeuronCost
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.neurons import ReLU
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen, converted

Declared = Mapping[Any, Callable[[nn.Module, Any, Any], Mapping[str, Any]]]
"""From the name or the class of a module to `(module, inputs, output) -> dict`: see
`DeclaredCosts`.
"""
Amount = Annotated[float, Meta(ge=0, le=1e30)]


class DeclaredCosts(Frozen, forbid_unknown_fields=True):
    """What one call of a module costs for the whole batch, and what it gives.

    `effective_macs` are those whose input is not zero; as many as `macs` if left out.
    """

    macs: Amount = 0.0
    effective_macs: Amount | None = None
    acs: Amount = 0.0
    additions: Amount = 0.0
    multiplications: Amount = 0.0
    functions: Amount = 0.0
    output: Literal["real", "spikes"] = "real"


def flat(value: Any) -> list[Any]:
    """What lists, tuples and dicts hold, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [entry for part in value for entry in flat(part)]
    return [value.value if isinstance(value, ConstantInput) else value]


def tensors(value: Any) -> list[Tensor]:
    """The tensors in lists, tuples and dicts, at any depth."""
    return [x for x in flat(value) if isinstance(x, Tensor)]


class Units:
    """Follows which module runs, and counts those that are not looked into, `declared` ones before
    all others.
    """

    def __init__(self, books: Books, declared: Declared) -> None:
        self.books, self.declared = books, declared
        self.inside: nn.Module | None = None
        """The unit that is running: what happens in it is not counted."""
        self._steps: dict[nn.Module, int] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, modules that are called are followed, from time step 0 on."""
        self._steps.clear()
        hooks: list[Any] = [
            part.register_forward_pre_hook(self._enter) for part in self.books.names
        ]
        hooks += [
            part.register_forward_hook(self._leave, always_call=True) for part in self.books.names
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self.books.running.clear()
            self.inside = None

    def _enter(self, part: nn.Module, inputs: Any) -> None:
        self.books.running.append(part)
        if self.inside is None and self._counted_by(part) is not None:
            self.inside = part

    def _leave(self, part: nn.Module, inputs: Any, output: Any) -> None:
        if self.inside is part:
            self.inside = None
            count = self._counted_by(part)
            # A forward that raised has no output.
            if count is not None and output is not None:
                count(part, inputs, output)
        self.books.running.pop()

    def _counted_by(self, part: nn.Module) -> Callable[..., None] | None:
        for key in (self.books.names[part], *type(part).__mro__):
            if key and key in self.declared:
                return partial(self._declared, self.declared[key])
        if isinstance(part, ReLU):
            return self._activation
        known = neurons.known(part)
        if known is None or known.by_operators:
            return None
        if known.cost is None:
            raise self.books.unknown("is a layer of neurons")
        return partial(self._neurons, known.cost(part))

    def _given(self, inputs: Any) -> Tag:
        """What is known of a module's first input."""
        x = inputs[0] if inputs else None
        x = x.value if isinstance(x, ConstantInput) else x
        return self.books.tag(x) if isinstance(x, Tensor) else Tag(REAL)

    def _neurons(self, cost: NeuronCost, part: nn.Module, inputs: Any, output: Any) -> None:
        given = self._given(inputs)
        out, *others = tensors(output)
        if not given.is_data:
            return
        steps = out.shape[0] if cost.multi_step else 1
        first_step = self._steps.get(part, 0)
        self._steps[part] = first_step + steps
        kind = SPIKES if cost.spikes else REAL
        tag = self.books.give(out, Tag(kind, unit=cost.unit, first_step=first_step, steps=steps))
        updates = out.numel()
        row = self.books.row("neurons")
        row.inputs_are.add(given.kind)
        row.neurons, row.states, row.fires = (
            updates / (steps * self.books.num_images),
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
            # Membranes are numbers; those that were left out are empty.
            over_time = other.dim() > 0 and other.shape[0] == out.shape[0]
            self.books.give(
                other, Tag(REAL, first_step=first_step, steps=steps if over_time else 1)
            )

    def _activation(self, part: nn.Module, inputs: Any, output: Any) -> None:
        """Spikeduel's `ReLU` and `QuantisedReLU`, which stand for neurons and are activations."""
        given, x = self._given(inputs), inputs[0]
        tag = given.spread(x.num_steps) if isinstance(x, ConstantInput) else given
        for out in tensors(output):
            bits = getattr(part, "activation_bits", None)
            self.books.give(out, replace(tag.real(), bits=bits, encoded=False))

    def _declared(
        self, says: Callable[..., Any], part: nn.Module, inputs: Any, output: Any
    ) -> None:
        given, counts = self._given(inputs), says(part, inputs, output)
        if isinstance(counts, Mapping):
            counts = {
                key: value.item() if hasattr(value, "item") else value
                for key, value in counts.items()
            }
        name = self.books.names[part] or type(part).__name__
        try:
            costs = converted(counts, DeclaredCosts)
        except InputError as error:
            raise NotCounted(f"what is declared of '{name}': {error}") from None
        row = self.books.row("declared")
        row.inputs_are.add(given.kind)
        row.parameters = {each: parameter.numel() for each, parameter in part.named_parameters()}
        row.add_steps(
            "acs", given.first_step, torch.full((given.steps,), costs.acs / given.steps).double()
        )
        passes = given.steps * self.books.num_images
        row.add("passes", passes, given)
        row.add("dense", costs.macs, given)
        row.add(
            "effective", costs.macs if costs.effective_macs is None else costs.effective_macs, given
        )
        for key in ("additions", "multiplications", "functions"):
            row.add(key, getattr(costs, key), given)
        row.sums["executed"] += passes
        row.sums["dense_executed"] += costs.macs
        row.sums["inputs"] += sum(x.numel() for x in tensors(inputs))
        after = replace(
            given, kind=costs.output, unit=1.0, producer=None, pooled=None, encoded=False
        )
        for out in tensors(output):
            row.sums["outputs"] += out.numel()
            apart = out.dim() > 0 and given.time_dim == 0 and out.shape[0] % given.steps == 0
            self.books.give(out, after if apart else after.without_time())
