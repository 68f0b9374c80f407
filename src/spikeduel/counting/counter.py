"""The counter: a module's operators are seen as they run, and counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from spikeduel.counting.atomic_modules import AtomicModules, Declared, flat, tensors
from spikeduel.counting.ledger import (
    IMAGE,
    REAL,
    WEIGHT,
    Call,
    NotCounted,
    OperationLedger,
    Tag,
    totals,
)
from spikeduel.counting.operations import Operations
from spikeduel.counting.operators import RULES, SILENT, VIEWS
from spikeduel.spiking import ConstantInput


class Counter(TorchDispatchMode):
    """Counts what `module` does in all calls of `run`; `operations` returns means per image.

    `num_steps` is given if it is known beforehand. For `declared` costs see `Declared`.
    """

    def __init__(
        self, module: nn.Module, num_steps: int | None = None, declared: Declared | None = None
    ) -> None:
        super().__init__()
        self.ledger = OperationLedger(module, num_steps)
        self._images = 0
        self._atomic = AtomicModules(self.ledger, declared or {})
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
        """Return what `call()` returns, which runs the module on `x` of `num_images` images.

        `kind` is "image", "real" or "spikes". The first axis of `x` has `num_steps` time steps;
        entries have `bits` if they can be several spikes. Fused attention is computed in parts,
        which may change the last digits; with `as_is` it stays fused, and cannot be counted. Raises
        `NotCounted`.
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
            self._atomic.watched(),
            nullcontext() if as_is else _attention_in_parts(),
            self,
        ):
            result = call()
        self._images += num_images
        return result

    def operations(self, encoding: str | None = None) -> Operations:
        """Return means per image; `encoding` is noted in them. Raises `NotCounted` for no costs."""
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
        """Apply one operator and count it."""
        kwargs = kwargs or {}
        namespace, _, name = func._schema.name.partition("::")
        in_place = name.endswith("_") and not name.endswith("__")
        base_name = name.rstrip("_") if in_place else name
        rule = RULES.get(base_name) if namespace in ("aten", "prims") else None
        if rule is None and self._atomic.inside is None and base_name not in SILENT:
            # Under inference mode, composite operators come whole.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        if self._atomic.inside is not None:
            return result
        inputs, outs = tensors([args, kwargs]), tensors(result)
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
            # A weight that is only turned or cast is still that parameter.
            turned = inputs and (name in VIEWS or name in ("_to_copy", "clone"))
            label = self.ledger.tag(inputs[0]).label if turned else None
            tags = [Tag(WEIGHT, label=label)] * len(outs)
        elif rule is None:
            raise self.ledger.unknown(f"uses {namespace}.{name}")
        else:
            call = Call(self.ledger, base_name, args, outs, data, fresh=values is None)
            made = rule(call, *data[0])
            tags = made if isinstance(made, list) else [made, *[Tag(REAL)] * (len(outs) - 1)]
        if in_place and data:
            self._overwrite(outs[0], tags[0])
            return result
        known = [
            self.ledger.give(out, tag, value).value
            for out, tag, value in zip(outs, tags, values or repeat(None), strict=False)
        ]
        if key is not None:
            self._seen[key] = known
        return result

    def _identity(self, value: Any) -> Any:
        return self.ledger.tag(value).value if isinstance(value, Tensor) else ("=", repr(value))

    def _overwrite(self, x: Tensor, tag: Tag) -> None:
        """Tag `x`, which was written in place, and the tensors of which it is a view."""
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
def _attention_in_parts() -> Iterator[None]:
    """Compute attention as products and softmax, in place of one fused operator."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
