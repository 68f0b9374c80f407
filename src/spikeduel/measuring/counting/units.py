"""Modules that count as one, whatever they compute inside: layers of neurons, quantisers, and what a user declares."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from spikeduel.measuring.counting import tags
from spikeduel.measuring.counting.linear import sums_by_step
from spikeduel.measuring.counting.tags import REAL, SPIKES, NotCounted, Tag, flat
from spikeduel.networks.foreign import neurons
from spikeduel.networks.foreign.neurons import NeuronCost
from spikeduel.spiking import ConstantInput

if TYPE_CHECKING:
    from spikeduel.measuring.counting.counter import Counter

Declared = Mapping[Any, Callable[[nn.Module, Any, Any], Mapping[str, Any]]]

AMOUNTS = ("macs", "effective_macs", "acs", "additions", "multiplications", "functions")


class Units:
    """Follows which module runs, and counts those that are not looked into.

    `declared` maps the name or the class of a module to a function `(module, inputs, output) -> dict` that says what
    one call of it costs: `AMOUNTS` (for the whole batch; 0 if left out, `effective_macs` as many as `macs`) and
    `output` ("real" or "spikes").
    """

    def __init__(self, books: "Counter", names: dict[nn.Module, str], declared: Declared) -> None:
        self.books, self.names, self.declared = books, names, declared
        self.inside: nn.Module | None = None
        """The unit that is running: what happens in it is not counted."""
        self._stack: list[nn.Module] = []
        self._steps: dict[nn.Module, int] = {}

    @property
    def running(self) -> nn.Module:
        """The innermost module that is running, or the whole network."""
        return self._stack[-1] if self._stack else next(iter(self.names))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within, modules that are called are followed, from time step 0 on."""
        self._steps.clear()
        hooks: list[Any] = [part.register_forward_pre_hook(self._enter) for part in self.names]
        hooks += [part.register_forward_hook(self._leave, always_call=True) for part in self.names]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self._stack.clear()
            self.inside = None

    def unknown(self, what: str, part: nn.Module | None = None) -> NotCounted:
        """The error that says what is not known of a module, and what to do."""
        part = part or self.running
        name, kind = self.names.get(part, ""), type(part).__name__
        who = f"'{name}' ({kind})" if name else kind
        return NotCounted(
            f"{who} {what}, so that its cost would be a guess. Say what it costs: sd.cost(…, declared={{{kind}: "
            "function}), with function(module, inputs, output) -> a dict such as {'macs': …, 'output': 'real'}, of the "
            "whole batch."
        )

    def _enter(self, part: nn.Module, inputs: Any) -> None:
        self._stack.append(part)
        if self.inside is None and self._counted_by(part) is not None:
            self.inside = part

    def _leave(self, part: nn.Module, inputs: Any, output: Any) -> None:
        if self.inside is part:
            self.inside = None
            count = self._counted_by(part)
            # A forward that raised has no output.
            if count is not None and output is not None:
                count(part, inputs, output)
        self._stack.pop()

    def _counted_by(self, part: nn.Module) -> Callable[[nn.Module, Any, Any], None] | None:
        for key in (self.names[part], *type(part).__mro__):
            if key and key in self.declared:
                return partial(self._declared, self.declared[key])
        if neurons.activation_bits(part) is not None:
            return self._activation
        cost = neurons.cost_of(part)
        if cost is not None:
            return partial(self._neurons, cost)
        if neurons.is_neuron(part):
            raise self.unknown("is a layer of neurons that is not known here", part)
        return None

    def _neurons(self, cost: NeuronCost, part: nn.Module, inputs: Any, output: Any) -> None:
        given, _ = self._input(inputs)
        out, *others = [x for x in flat(output) if isinstance(x, Tensor)]
        if not given.is_data:
            return
        steps = out.shape[0] if cost.multi_step else 1
        first_step = self._steps.get(part, 0)
        self._steps[part] = first_step + steps
        tag = Tag(SPIKES if cost.spikes else REAL, unit=cost.unit, first_step=first_step, steps=steps)
        self.books.give(out, tag)
        updates = out.numel()
        row = self.books.row_named(self.names[part], type(part).__name__, "neurons")
        row.inputs_are.add(given.kind)
        row.neurons, row.states, row.fires = updates / (steps * self.books.num_images), cost.states, cost.spikes
        row.sums["leaks"] += cost.leaks * updates
        row.sums["integrations"] += cost.adds * updates
        row.sums["membrane_reads"] += cost.states * updates
        row.sums["membrane_writes"] += cost.states * updates
        if cost.spikes:
            spikes, _ = sums_by_step(out, self.books.tag(out), 1.0, events=True)
            row.add_steps("spikes", first_step, spikes)
            row.sums["resets"] += cost.resets * float(spikes.sum())
            row.sums["threshold_comparisons"] += updates
        for other in others:
            # Membranes are numbers; those that were left out are empty.
            over_time = other.dim() > 0 and other.shape[0] == out.shape[0]
            self.books.give(other, Tag(REAL, first_step=first_step, steps=steps if over_time else 1))

    def _activation(self, part: nn.Module, inputs: Any, output: Any) -> None:
        given, num_steps = self._input(inputs)
        bits = neurons.activation_bits(part) or None
        tag = tags.altered(tags.spread(given, num_steps) if num_steps else given)
        for out in (x for x in flat(output) if isinstance(x, Tensor)):
            self.books.give(out, replace(tags.real(tag), bits=bits, encoded=False))

    def _declared(self, says: Callable[..., Any], part: nn.Module, inputs: Any, output: Any) -> None:
        name, counts = self.names[part], says(part, inputs, output)
        _require_counts(name or type(part).__name__, counts)
        amounts = {key: float(counts.get(key, 0)) for key in AMOUNTS}
        amounts["effective_macs"] = float(counts.get("effective_macs", amounts["macs"]))
        given, _ = self._input(inputs)
        row = self.books.row_named(name, type(part).__name__, "declared")
        row.inputs_are.add(given.kind)
        row.parameters = {each: x.numel() for each, x in part.named_parameters()}
        row.add_steps("acs", given.first_step, torch.full((given.steps,), amounts.pop("acs") / given.steps).double())
        for key, amount in amounts.items():
            key = {"macs": "dense", "effective_macs": "effective"}.get(key, key)
            row.add(key, amount, given.copies, 1 / given.same)
        passes = given.steps * self.books.num_images
        row.add("passes", passes, given.copies, 1 / given.same)
        row.sums["executed"] += passes
        row.sums["dense_executed"] += amounts["macs"]
        row.sums["inputs"] += sum(x.numel() for x in flat(inputs) if isinstance(x, Tensor))
        after = replace(tags.altered(given), kind=counts.get("output", REAL), unit=1.0, producer=None, encoded=False)
        for out in (x for x in flat(output) if isinstance(x, Tensor)):
            row.sums["outputs"] += out.numel()
            apart = out.dim() > 0 and given.time_dim == 0 and out.shape[0] % given.steps == 0
            self.books.give(out, after if apart else tags.without_time(after))

    def _input(self, inputs: Any) -> tuple[Tag, int | None]:
        """The tag of a module's input, and the steps of a `ConstantInput`."""
        x = inputs[0] if inputs else None
        if isinstance(x, ConstantInput):
            return self.books.tag(x.value), x.num_steps
        return (self.books.tag(x), None) if isinstance(x, Tensor) else (Tag(REAL), None)


def _require_counts(name: str, counts: Any) -> None:
    """Raises `NotCounted` unless they are what `Units` says a declaration returns."""
    if not isinstance(counts, Mapping):
        raise NotCounted(f"what is declared of '{name}' must return a dict, not {type(counts).__name__}.")
    if unknown := sorted(set(counts) - {*AMOUNTS, "output"}):
        raise NotCounted(
            f"what is declared of '{name}' returns {unknown[0]!r}, which is none of {', '.join(AMOUNTS)} and output."
        )
    if counts.get("output", REAL) not in (REAL, SPIKES):
        raise NotCounted(f"what is declared of '{name}' gives output {counts['output']!r}: say 'real' or 'spikes'.")
    for key in AMOUNTS:
        amount = counts.get(key, 0)
        if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount < math.inf:
            raise NotCounted(f"what is declared of '{name}': {key} must be a number of at least 0, not {amount!r}.")
