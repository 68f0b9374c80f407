"""The counter: watches a module run, operator by operator, and keeps the books."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from spikeduel.measuring.counting import tags
from spikeduel.measuring.counting.layout import VIEWS
from spikeduel.measuring.counting.operators import RULES, SILENT
from spikeduel.measuring.counting.rows import Kind, Row, totals
from spikeduel.measuring.counting.tags import IMAGE, REAL, WEIGHT, Call, CannotCount, NotCounted, Tag, flat
from spikeduel.measuring.counting.units import Declared, Units
from spikeduel.results.costs import Operations
from spikeduel.spiking import ConstantInput


class Counter:
    """Counts what `module` does, over as many passes as `run` is called; `operations` gives the means.

    `num_steps`: how many time steps there are, where that is known beforehand. `declared`: see `units.Units`.
    """

    def __init__(self, module: nn.Module, num_steps: int | None = None, declared: Declared | None = None) -> None:
        self.module, self.num_steps = module, num_steps
        self.num_images = 0
        self._images = 0
        self._values = self._last_step = 0
        self._names: dict[nn.Module, str] = {}
        for name, part in module.named_modules():
            self._names.setdefault(part, name)
        self._rows: dict[tuple[str, str], Row] = {}
        self._tags: Any = WeakTensorKeyDictionary()
        self._bases: Any = WeakTensorKeyDictionary()
        for name, parameter in [*module.named_parameters(), *module.named_buffers()]:
            self.give(parameter, Tag(WEIGHT, label=name))
        self._units = Units(self, self._names, dict(declared or {}))
        self._seen: dict[Any, tuple[int, ...]] = {}

    def run(
        self,
        call: Callable[[], Any],
        x: Tensor | ConstantInput,
        num_images: int,
        kind: str = IMAGE,
        num_steps: int = 1,
        as_is: bool = False,
    ) -> Any:
        """What `call()` returns, which runs the module on `x`: `num_images` images.

        `kind` is "image", "real" or "spikes"; `num_steps` time steps lie along the first axis of `x`. Fused attention
        is taken apart, which may change its last digits; not with `as_is`, and then it is not known. Raises
        `NotCounted`.
        """
        self.num_images = num_images
        self._seen.clear()
        if isinstance(x, ConstantInput):
            self.give(x.value, Tag(kind, copies=x.num_steps, encoded=True))
            self.reach(x.num_steps - 1)
        else:
            self.give(x, Tag(kind, steps=num_steps, encoded=True))
        with torch.no_grad(), self._units.watched(), nullcontext() if as_is else _attention_in_parts(), _Watch(self):
            result = call()
        self._images += num_images
        return result

    def operations(self, encoding: str | None = None) -> Operations:
        """Means per image. `encoding` is handed on. Raises `NotCounted` where there was nothing to count."""
        if not self._rows:
            raise NotCounted(f"{type(self.module).__name__}: it did nothing with these images that costs anything.")
        num_steps = self.num_steps or self._last_step + 1
        layers = [row.layer(num_steps, self._images) for row in self._rows.values()]
        kept = [*self.module.parameters(), *self.module.buffers()]
        return Operations(
            encoding=encoding,
            num_steps=num_steps,
            images=self._images,
            parameters=sum(p.numel() for p in self.module.parameters()),
            bytes=sum(x.numel() * x.element_size() for x in kept),
            layers=layers,
            totals=totals(layers, num_steps),
        )

    def tag(self, x: Tensor) -> Tag:
        """What is known of `x`; what does not come from the input is a weight."""
        known = self._tags.get(x)
        if known is None:
            self.give(x, Tag(WEIGHT))
            known = self._tags[x]
        return known

    def give(self, x: Tensor, tag: Tag) -> None:
        """From now on `tag` is known of `x`, which holds something new."""
        self._values += 1
        self._tags[x] = replace(tag, value=self._values)
        self.reach(tag.last_step)

    def reach(self, step: int) -> None:
        """There is a time step of this number."""
        self._last_step = max(self._last_step, step)

    def row(self, kind: Kind, label: str | None = None) -> Row:
        """The row of the module that is running, or of the one whose parameter is called `label`."""
        module = self._units.running
        name = self._names.get(module, "")
        if label is not None:
            owner, _, attribute = label.rpartition(".")
            module = self.module.get_submodule(owner)
            name = self._names.get(module, owner) if attribute == "weight" else label
        return self.row_named(name, type(module).__name__, kind)

    def row_named(self, name: str, type_name: str = "", kind: Kind = "synapses") -> Row:
        """The row of this name."""
        if (name, kind) not in self._rows:
            self._rows[name, kind] = Row(name, type_name, kind)
        return self._rows[name, kind]

    def watched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Counts one operator that has just been applied."""
        if self._units.inside is not None:
            return
        full_name = func._schema.name.split("::")
        name = full_name[-1]
        given = [x for x in (*flat(args), *flat(kwargs)) if isinstance(x, Tensor)]
        in_place = name.endswith("_") and not name.endswith("__")
        base_name = name.rstrip("_") if in_place else name
        outs = [x for x in flat(result) if isinstance(x, Tensor)]
        if base_name in VIEWS and outs and given:
            for out in outs:
                if out is not given[0]:
                    self._bases[out] = given[0]
        data = [(x, tag) for x in given if (tag := self.tag(x)).is_data]
        random = torch.Tag.nondeterministic_seeded in func.tags
        key = None if random or in_place else self._key(name, args, kwargs)
        values = self._seen.get(key) if key is not None else None
        if not data or not outs or base_name in SILENT:
            if outs and not data and not in_place:
                self._number(outs, key, values, [Tag(WEIGHT, label=self._label(base_name, given))] * len(outs))
            elif in_place and not data and outs:
                self.give(outs[0], Tag(WEIGHT))
            return
        if base_name in ("zero", "fill") and in_place:
            self._overwrite(outs[0], Tag(WEIGHT))
            return
        rule = RULES.get(base_name) if full_name[0] in ("aten", "prims") else None
        if rule is None:
            raise self._units.unknown(f"uses {'.'.join(full_name)}, which is not known here")
        try:
            given_tags = rule(Call(self, base_name, args, kwargs, outs, data, fresh=values is None))
        except CannotCount as error:
            raise self._units.unknown(f"uses {error}, which is not known here") from None
        after = given_tags if isinstance(given_tags, list) else [given_tags, *[Tag(REAL)] * (len(outs) - 1)]
        if in_place:
            self._overwrite(outs[0], after[0])
        else:
            self._number(outs, key, values, after)

    def _key(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        parts = [self.tag(x).value if isinstance(x, Tensor) else ("=", repr(x)) for x in (*flat(args), *flat(kwargs))]
        return (name, *parts)

    def _number(self, outs: list[Tensor], key: Any, values: tuple[int, ...] | None, after: list[Tag]) -> None:
        for out, tag in zip(outs, after, strict=True):
            self.give(out, tag)
        if values is not None:
            for out, value in zip(outs, values, strict=True):
                self._tags[out] = replace(self._tags[out], value=value)
        elif key is not None:
            self._seen[key] = tuple(self._tags[out].value for out in outs)

    def _label(self, name: str, given: list[Tensor]) -> str | None:
        """A weight that is only turned or cast is still that parameter."""
        turned = name in VIEWS or name in ("_to_copy", "clone")
        return self.tag(given[0]).label if turned and given else None

    def _overwrite(self, x: Tensor, tag: Tag) -> None:
        """`x` was written in place: so was what it is a part of."""
        self.give(x, tag)
        base = self._bases.get(x)
        while base is not None:
            before = self.tag(base)
            alike = not before.is_data or (before.kind, before.unit) == (tag.kind, tag.unit)
            merged = tag if alike and tag.is_data else replace(before, kind=REAL if tag.is_data else before.kind)
            latest = max(before.last_step if before.is_data else 0, tag.last_step)
            self.give(base, replace(tags.without_time(tags.altered(merged)), first_step=latest))
            base = self._bases.get(base)


class _Watch(TorchDispatchMode):
    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self.counter = counter

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Torch would import all of torch._dynamo, which takes seconds, to keep itself from compiling this.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.counter.watched(func, args, kwargs or {}, result)
        return result


@contextmanager
def _attention_in_parts() -> Iterator[None]:
    """Attention as its products and its softmax, which are known, in place of one fused operator."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
