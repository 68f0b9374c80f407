"""Counter of a module's operators as they run."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from itertools import repeat
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from spikeduel.engine import ConstantInput
from spikeduel.engine.counting.ledger import (
    AMOUNTS,
    IMAGE,
    REAL,
    SPIKES,
    WEIGHT,
    Call,
    NotCounted,
    OperationLedger,
    Tag,
)
from spikeduel.engine.counting.operations import Operations, totals
from spikeduel.engine.counting.operators import RULES, SILENT, VIEWS, sums_by_step
from spikeduel.engine.networks import foreign
from spikeduel.engine.networks.foreign import NeuronCost
from spikeduel.engine.neurons import IntegerIF, ReLU
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen, converted

Declared = Mapping[Any, Callable[[nn.Module, Any, Any], Mapping[str, Any]]]
"""Costs by a module's name or class: functions `(module, inputs, output) -> dict`, see
`DeclaredCosts`.
"""
Amount = Annotated[float, Meta(ge=0, le=1e30)]


class DeclaredCosts(Frozen, forbid_unknown_fields=True):
    """Cost of a module's call for the whole batch, and the kind of its output; `effective_macs`
    default to `macs`.
    """

    macs: Amount = 0.0
    effective_macs: Amount | None = None
    acs: Amount = 0.0
    additions: Amount = 0.0
    multiplications: Amount = 0.0
    functions: Amount = 0.0
    output: Literal["real", "spikes"] = "real"


def flat(value: Any) -> list[Any]:
    return [x.value if isinstance(x, ConstantInput) else x for x in tree_leaves(value)]


def tensors(value: Any) -> list[Tensor]:
    return [x for x in flat(value) if isinstance(x, Tensor)]


class Counter(TorchDispatchMode):
    """Count the operations of a network while it runs.

    Parameters
    ----------
    module : Module
        Network of any library.
    num_steps : int, optional
        Number of time steps, if the network is called once for all of them.
    declared : mapping, optional
        Costs of unknown modules, as in `cost`.

    Examples
    --------
    >>> counter = Counter(nn.Linear(4, 2, bias=False))
    >>> images = torch.rand(8, 4)
    >>> output = counter.run(lambda: counter.ledger.module(images), images, num_images=8)
    >>> counter.operations().totals.macs.dense.hoisted
    8.0
    """

    def __init__(
        self, module: nn.Module, num_steps: int | None = None, declared: Declared | None = None
    ) -> None:
        super().__init__()
        self.ledger, self.declared = OperationLedger(module, num_steps), declared or {}
        self.inside: nn.Module | None = None
        """The running module that counts as a whole: nothing inside is counted."""
        self._images = 0
        self._steps: dict[nn.Module, int] = {}
        self._bases: Any = WeakTensorKeyDictionary()
        self._seen: dict[Any, list[int]] = {}

    def run(
        self,
        call: Callable[[], Any],
        x: Tensor | ConstantInput,
        num_images: int,
        kind: str = IMAGE,
        num_steps: int = 1,
        as_is: bool = False,
        bits: int | None = None,
    ) -> Any:
        """Return the result of `call()`, which runs the module on `x` of `num_images` images.

        `kind` is "image", "real" or "spikes". The first axis of `x` has `num_steps` time steps;
        entries have `bits` if they can be several spikes. `as_is` keeps attention fused, and
        uncounted. Raises `NotCounted`.
        """
        self.ledger.num_images = num_images
        self._seen.clear()
        if isinstance(x, ConstantInput):
            self.ledger.give(x.value, Tag(kind, copies=x.num_steps, encoded=True))
            self.ledger.last_step = max(self.ledger.last_step, x.num_steps - 1)
        else:
            self.ledger.give(x, Tag(kind, steps=num_steps, bits=bits, encoded=True))
        with (
            torch.no_grad(),
            self._watched(),
            nullcontext() if as_is else _attention_in_parts(),
            self,
        ):
            result = call()
        self._images += num_images
        return result

    def operations(self, encoding: str | None = None) -> Operations:
        """Return means per image. Raises `NotCounted` for no costs."""
        module = self.ledger.module
        if not self.ledger.rows:
            raise NotCounted(
                f"{type(module).__name__}: it did nothing with these images that costs anything."
            )
        num_steps = self.ledger.num_steps or self.ledger.last_step + 1
        layers = [row.layer(num_steps, self._images) for row in self.ledger.rows.values()]
        return Operations(
            encoding=encoding,
            num_steps=num_steps,
            images=self._images,
            parameters=sum(p.numel() for p in module.parameters()),
            bytes=sum(
                x.numel() * x.element_size() for x in [*module.parameters(), *module.buffers()]
            ),
            layers=layers,
            totals=totals(layers, num_steps),
        )

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Keeps torch from importing torch._dynamo, which takes seconds.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        namespace, _, name = func._schema.name.partition("::")
        in_place = name.endswith("_") and not name.endswith("__")
        base_name = name.rstrip("_") if in_place else name
        rule = RULES.get(base_name) if namespace in ("aten", "prims") else None
        if rule is None and self.inside is None and base_name not in SILENT:
            # Under inference mode, composite operators come whole.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        inputs = tensors([args, kwargs])
        shape = inputs[0].shape if inputs else ()
        result = func(*args, **kwargs)
        if self.inside is not None:
            return result
        outs = tensors(result)
        if base_name in VIEWS and inputs:
            for out in outs:
                if out is not inputs[0]:
                    self._bases[out] = inputs[0]
        data = [(x, tag) for x in inputs if (tag := self.ledger.tag(x)).is_data]
        if not outs or (data and base_name in SILENT):
            return result
        random = torch.Tag.nondeterministic_seeded in func.tags
        key = None if random or in_place else (name, *map(self._identity, flat([args, kwargs])))
        values = self._seen.get(key) if key is not None else None
        if not data:
            # A weight only turned or cast is still that parameter.
            turned = inputs and (name in VIEWS or name in ("_to_copy", "clone"))
            label = self.ledger.tag(inputs[0]).label if turned else None
            tags = [Tag(WEIGHT, label=label)] * len(outs)
        elif rule is None:
            raise self.ledger.unknown(f"uses {namespace}.{name}")
        else:
            fresh = values is None
            call = Call(self.ledger, func, base_name, shape, args, outs, data, fresh)
            made = rule(call, *data[0])
            tags = made if isinstance(made, list) else [made, *[Tag(REAL)] * (len(outs) - 1)]
        if in_place and data:
            self._overwrite(outs[0], tags[0])
            return result
        numbers = [
            self.ledger.give(out, tag, value).value
            for out, tag, value in zip(outs, tags, values or repeat(None), strict=False)
        ]
        if key is not None:
            self._seen[key] = numbers
        return result

    def _identity(self, value: Any) -> Any:
        return self.ledger.tag(value).value if isinstance(value, Tensor) else ("=", repr(value))

    def _overwrite(self, x: Tensor, tag: Tag) -> None:
        """Set the tag of a tensor that was written in place, and merge it into its bases' tags."""
        self.ledger.give(x, tag)
        base = self._bases.get(x)
        while base is not None:
            before = self.ledger.tag(base)
            alike = not before.is_data or (before.kind, before.unit) == (tag.kind, tag.unit)
            merged = tag if alike and tag.is_data else before
            if tag.is_data and not alike:
                merged = replace(before, kind=REAL)
            latest = max(before.last_step if before.is_data else 0, tag.last_step)
            self.ledger.give(base, replace(merged.without_time(), first_step=latest))
            base = self._bases.get(base)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Know, within, which module of the network runs."""
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
        """Return the method that counts `part` as a whole; None if its operators are counted."""
        for key in (self.ledger.names[part], *type(part).__mro__):
            if key and key in self.declared:
                return partial(self._declared, self.declared[key])
        if isinstance(part, ReLU) or (isinstance(part, IntegerIF) and part.levels):
            return self._activation
        neurons = foreign.neuron_type(part)
        if neurons is None or neurons.by_operators:
            return None
        if neurons.cost is None:
            raise self.ledger.unknown("is a layer of neurons")
        return partial(self._neurons, neurons.cost(part))

    def _input_tag(self, inputs: Any) -> Tag:
        x = inputs[0] if inputs else None
        x = x.value if isinstance(x, ConstantInput) else x
        return self.ledger.tag(x) if isinstance(x, Tensor) else Tag(REAL)

    def _neurons(self, cost: NeuronCost, part: nn.Module, inputs: Any, output: Any) -> None:
        """Count a call of a layer of neurons by the cost of a neuron's time step."""
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
        input_tag, x = self._input_tag(inputs), inputs[0]
        tag = input_tag.repeated(x.num_steps) if isinstance(x, ConstantInput) else input_tag
        for out in tensors(output):
            bits = getattr(part, "activation_bits", None)
            self.ledger.give(out, replace(tag.real(), bits=bits, encoded=False))

    def _declared(
        self, says: Callable[..., Any], part: nn.Module, inputs: Any, output: Any
    ) -> None:
        """Count a call of a module by the costs that the user declared."""
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
        effective = costs.macs if costs.effective_macs is None else costs.effective_macs
        amounts = {"passes": passes, "dense": costs.macs, "effective": effective}
        amounts |= {key: getattr(costs, key) for key in AMOUNTS if key != "bias_additions"}
        for key, amount in amounts.items():
            row.add(key, amount, input_tag)
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


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Let attention run as single operators within, which the counter knows."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
