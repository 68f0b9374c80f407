"""What a JSON document from a file must look like before anything is made of it.

A shape is `str`, `int`, `float` or `bool`; a function that returns whether a value is right, with its description as
docstring; a set of the texts to choose from; `[shape]`, a list of any length; `(shape, shape)`, a list of that length;
`{key: shape}`, an object that has these keys (but for those that end in "?") and may have others; `Maybe(shape)`, that
or null.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

from spikeduel.system.errors import InputError
from spikeduel.system.visible import visible

LARGEST = 2**63
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class Maybe:
    """A shape, or null."""

    shape: Any


def share(value: Any) -> bool:
    """a number from 0 to 1"""
    return is_number(value) and 0 <= value <= 1


def count(value: Any) -> bool:
    """a whole number of at least 0"""
    return _is(value, int) and value >= 0


def amount(value: Any) -> bool:
    """a number of at least 0"""
    return is_number(value) and value >= 0


def require(value: Any, shape: Any, where: str = "") -> None:
    """Raises `InputError` with the place in the document (`trials[3].test.accuracy`) that has another shape."""
    if isinstance(shape, Maybe):
        if value is None:
            return
        shape = shape.shape
    if isinstance(shape, dict):
        _require_kind(value, dict, where)
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if name in value:
                require(value[name], inner, f"{where}.{name}" if where else name)
            elif name == key:
                raise InputError(f"{where or 'it'} has no '{name}'.")
    elif isinstance(shape, set):
        if not isinstance(value, str) or value not in shape:
            raise _wrong(value, f"one of {', '.join(sorted(shape))}", where)
    elif isinstance(shape, list | tuple):
        _require_kind(value, list, where)
        if isinstance(shape, tuple) and len(value) != len(shape):
            raise InputError(f"{where} must be a list of {len(shape)}, and has {len(value)} entries.")
        inner_shapes = shape if isinstance(shape, tuple) else shape * len(value)
        for index, (entry, inner) in enumerate(zip(value, inner_shapes, strict=True)):
            require(entry, inner, f"{where}[{index}]")
    elif isinstance(shape, type):
        _require_kind(value, shape, where)
    elif not shape(value):
        raise _wrong(value, str(shape.__doc__), where)


def _require_kind(value: Any, kind: type, where: str) -> None:
    if not _is(value, kind):
        raise _wrong(value, _WORDS[kind], where)


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return is_number(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    return isinstance(value, kind)


def is_number(value: Any) -> bool:
    """a number"""
    return _is(value, int) or (isinstance(value, float) and math.isfinite(value))


def _wrong(value: Any, wanted: str, where: str) -> InputError:
    found = _WORDS.get(type(value), "") if isinstance(value, list | dict) else visible(json.dumps(value))
    return InputError(f"{where or 'it'} must be {wanted}, not {found[:60]}{'…' if len(found) > 60 else ''}.")
