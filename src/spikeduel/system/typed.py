"""JSON and TOML as frozen structs, with errors for people."""

import hashlib
import json
import math
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

import msgspec
from msgspec import Meta

from spikeduel.system import files
from spikeduel.system.errors import InputError, naming, unknown, visible

T = TypeVar("T")
Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Positive = Annotated[int, Meta(gt=0, le=2**63 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
MAX_TOML_BYTES = 1 << 20

_PLACE = re.compile(r" - at `(?:key in )?\$(.*?)`$")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class _FrozenMeta(msgspec.StructMeta):
    def __new__(mcls, name: str, bases: Any, namespace: Any, **options: Any) -> Any:
        return super().__new__(
            mcls, name, bases, namespace, **{"frozen": True, "kw_only": True, **options}
        )


class Frozen(msgspec.Struct, metaclass=_FrozenMeta):
    """Base of documents: checked when read, never changed."""


def converted(value: Any, kind: type[T]) -> T:
    """Return plain data as `kind`. Raises `InputError` naming the place, as all readers below
    do.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InputError(error_text(error, kind)) from None
    except UnicodeEncodeError:
        raise InputError("text that is not Unicode (half of a surrogate pair).") from None
    except RecursionError:
        raise InputError("nested too deeply.") from None


def plain(value: Any) -> Any:
    """Return structs and dataclasses as plain data, as JSON has it."""
    return json.loads(json.dumps(msgspec.to_builtins(value)))


def parse_json(content: bytes | str, kind: type[T]) -> T:
    """Return JSON as `kind`, `dict` or `list` for plain data. Texts may be no Unicode, as file
    names are; NaN and infinity are refused.
    """

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"the number {text[:40]} is not possible")
        return value

    try:
        value = json.loads(content, parse_float=number, parse_constant=number)
    except RecursionError:
        raise InputError("nested too deeply.") from None
    except ValueError as error:
        raise InputError(f"not JSON ({error}).") from None
    return converted(value, kind)


def parse_toml(content: bytes, kind: type[T]) -> T:
    try:
        value = tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise InputError("nested too deeply.") from None
    except ValueError as error:
        raise InputError(f"not TOML ({' '.join(str(error).split())[:200]}).") from None
    return converted(value, kind)


def read_json(path: Path, kind: type[T]) -> T:
    content = files.read_bytes(path)
    with naming(path):
        return parse_json(content, kind)


def read_toml(path: Path, kind: type[T]) -> T:
    content = files.read_bytes(path, MAX_TOML_BYTES)
    with naming(path):
        return parse_toml(content, kind)


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, atomically. Raises ValueError for NaN and infinity."""
    files.write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def error_text(error: msgspec.ValidationError, kind: Any = None) -> str:
    """Return an error with its place: `trials[3].epochs: expected int, got str.`"""
    text = str(error)
    place = ""
    if match := _PLACE.search(text):
        text, place = text[: match.start()], match[1].lstrip(".")
    if (name := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.S)) and not place:
        # Most likely misspelt.
        return str(unknown("key", visible(name[1])[:60], getattr(kind, "__struct_fields__", ())))
    text = visible(text.replace("`", ""))
    return f"{place}: {text[0].lower()}{text[1:]}." if place else f"{text}."


def digest(value: Any) -> str:
    """Return a hash of JSON-like `value`: 64 hex digits, the same on every machine."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()
