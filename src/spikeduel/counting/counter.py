"""The counter: watches a module run, operator by operator, and keeps the books."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from spikeduel.counting.books import (
    IMAGE,
    REAL,
    WEIGHT,
    Books,
    Call,
    NotCounted,
    Tag,
    totals,
)
from spikeduel.counting.operations import Operations
from spikeduel.counting.operators import RULES, SILENT, VIEWS
from spikeduel.counting.units import Declared, Units, flat, tensors
from spikeduel.spiking import ConstantInput


class Counter(TorchDispatchMode):
    """Counts what `module` does, over as many passes as `run` is called; `operations` gives the
    means.

    `num_steps`: how many time steps there are, where that is known beforehand. `declared`: see
    `units.Declared`.
    """

    def __init__(
        self, module: nn.Module, num_steps: int | None = None, declared: Declared | None = None
    ) -> None:
        super().__init__()
        self.books = Books(module, num_steps)
        self._images = 0
        self._units = Units(self.books, declared or {})
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
        """What `call()` returns, which runs the module on `x`: `num_images` images.

        `kind` is "image", "real" or "spikes"; `num_steps` time steps lie along the first axis of
        `x`, whose entries have so many `bits` where they can be several spikes. Fused attention is
        taken apart, which may change its last digits; not with `as_is`, and then it is not known.
        Raises `NotCounted`.
        """
        self.books.num_images = num_images
        self._seen.clear()
        if isinstance(x, ConstantInput):
            self.books.give(x.value, Tag(kind, copies=x.num_steps, encoded=True))
            self.books.last_step = max(self.books.last_step, x.num_steps - 1)
        else:
            self.books.give(x, Tag(kind, steps=num_steps, bits=bits, encoded=True))
        with (
            torch.no_grad(),
            self._units.watched(),
            nullcontext() if as_is else _attention_in_parts(),
            self,
        ):
            result = call()
        self._images += num_images
        return result

    def operations(self, encoding: str | None = None) -> Operations:
        """Means per image. `encoding` is handed on. Raises `NotCounted` where there was nothing to
        count.
        """
        module = self.books.module
        if not self.books.rows:
            raise NotCounted(
                f"{type(module).__name__}: it did nothing with these images that costs anything."
            )
        num_steps = self.books.num_steps or self.books.last_step + 1
        layers = [row.layer(num_steps, self._images) for row in self.books.rows.values()]
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
        # Torch would import all of torch._dynamo, which takes seconds, to keep itself from
        # compiling this.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Applies one operator, and counts it."""
        kwargs = kwargs or {}
        namespace, _, name = func._schema.name.partition("::")
        in_place = name.endswith("_") and not name.endswith("__")
        base_name = name.rstrip("_") if in_place else name
        rule = RULES.get(base_name) if namespace in ("aten", "prims") else None
        if rule is None and self._units.inside is None and base_name not in SILENT:
            # Under inference mode, composite operators come whole.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **kwargs)
        if self._units.inside is not None:
            return result
        given, outs = tensors([args, kwargs]), tensors(result)
        if base_name in VIEWS and given:
            for out in outs:
                if out is not given[0]:
                    self._bases[out] = given[0]
        data = [(x, tag) for x in given if (tag := self.books.tag(x)).is_data]
        if not outs or (data and base_name in SILENT):
            return result
        random = torch.Tag.nondeterministic_seeded in func.tags
        key = None if random or in_place else (name, *map(self._identity, flat([args, kwargs])))
        values = self._seen.get(key) if key is not None else None
        if not data:
            # A weight that is only turned or cast is still that parameter.
            turned = given and (name in VIEWS or name in ("_to_copy", "clone"))
            after = [Tag(WEIGHT, label=self.books.tag(given[0]).label if turned else None)] * len(
                outs
            )
        elif rule is None:
            raise self.books.unknown(f"uses {namespace}.{name}")
        else:
            x, tag = data[0]
            found = rule(
                Call(self.books, base_name, args, outs, data, fresh=values is None), x, tag
            )
            after = found if isinstance(found, list) else [found, *[Tag(REAL)] * (len(outs) - 1)]
        if in_place and data:
            self._overwrite(outs[0], after[0])
            return result
        known = [
            self.books.give(out, each, value).value
            for out, each, value in zip(outs, after, values or repeat(None), strict=False)
        ]
        if key is not None:
            self._seen[key] = known
        return result

    def _identity(self, given: Any) -> Any:
        return self.books.tag(given).value if isinstance(given, Tensor) else ("=", repr(given))

    def _overwrite(self, x: Tensor, tag: Tag) -> None:
        """`x` was written in place: so was what it is a part of."""
        self.books.give(x, tag)
        base = self._bases.get(x)
        while base is not None:
            before = self.books.tag(base)
            alike = not before.is_data or (before.kind, before.unit) == (tag.kind, tag.unit)
            merged = (
                tag
                if alike and tag.is_data
                else replace(before, kind=REAL if tag.is_data else before.kind)
            )
            latest = max(before.last_step if before.is_data else 0, tag.last_step)
            self.books.give(base, replace(merged.without_time(), first_step=latest))
            base = self._bases.get(base)


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Attention as its products and its softmax, which are known, in place of one fused
    operator.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
