"""Types of settings: limits, help, and the conversion from text."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, inspect

from spikeduel.system import typed
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.registry import GPUS

MAX_LENGTH = 4096
"""Most characters of a setting that is text."""
MAX_COUNT = 2**63 - 1
"""Largest whole number in TOML."""

# Writable in TOML, JSON and HTML, and as a path.
Text = Annotated[
    str,
    Meta(
        max_length=MAX_LENGTH,
        pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z",
        title=f"text of at most {MAX_LENGTH:,} characters, without control characters and bytes "
        "that are not UTF-8",
    ),
]
DeviceName = Annotated[
    str,
    Meta(
        pattern=rf"^(auto|cpu|({'|'.join(GPUS)})(:[0-9]{{1,3}})?)\Z",
        title="auto, cpu, cuda, cuda:N, mps or xpu",
    ),
]
Count = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
TwoOrMore = Annotated[int, Meta(ge=2, le=MAX_COUNT)]
Steps = Annotated[int, Meta(ge=1, le=100_000)]
Million = Annotated[int, Meta(ge=1, le=1_000_000)]
# The limits refuse infinity, comparisons NaN.
Positive = Annotated[float, Meta(gt=0.0, le=sys.float_info.max)]
NotNegative = Annotated[float, Meta(ge=0.0, le=sys.float_info.max)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]

Need = Literal[
    "preparing",
    "splitting",
    "framing",
    "training",
    "testing",
    "comparing",
    "images",
    "recordings",
    "both kinds",
    "time",
]
"""Part of a command's work, kind of data, or contenders of both kinds, that a setting concerns."""


@dataclass(frozen=True)
class Setting:
    """Help and command-line option of a setting.

    `details` follow `help` in docs/api.md. `option` and `default` (in words) replace the field's.
    `tunable`: contenders with settings of their own: any, or spiking ones. `needs`: what a command
    and the data must have for an effect (`effects`). `listed`: True if `compare --help` has it.
    `recipes`: those that turn a feature's setting on.
    """

    help: str
    details: str = ""
    metavar: str = ""
    option: str = ""
    default: str = ""
    tunable: Literal["", "any", "snn"] = ""
    needs: tuple[Need, ...] = ("training",)
    listed: bool = False
    recipes: tuple[str, ...] = ()


def setting(help: str, details: str = "", **rest: Any) -> Meta:
    """Make the last part of a field's type: `Setting` and JSON Schema description."""
    return Meta(description=help, extra={"setting": Setting(help, details, **rest)})


def setting_of(kind: Any) -> Setting:
    setting_found: Setting = kind.__metadata__[-1].extra["setting"]
    return setting_found


def union_members(kind: Any) -> tuple[inspect.Type, ...]:
    """Return the types of a value of `kind`."""

    def bare(info: inspect.Type) -> inspect.Type:
        return bare(info.type) if isinstance(info, inspect.Metadata) else info

    info = bare(inspect.type_info(kind))
    return tuple(map(bare, info.types)) if isinstance(info, inspect.UnionType) else (info,)


def choices(kind: Any) -> tuple[str, ...]:
    """Return the texts that `kind`, or entries of such a list, are limited to."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((texts for part in get_args(kind) if (texts := choices(part))), ())


def checked(name: str, value: Any, kind: Any) -> Any:
    """Return `value` as `kind`: lists become tuples, whole numbers floats. Raises `InputError`."""
    try:
        return typed.converted(value, kind)
    except ValueError:
        raise refusal(name, value, kind) from None


def parsed(name: str, text: str, kind: Any) -> Any:
    """Return the setting in `text`; "none" unsets it. Raises `InputError`."""
    types = {type(field_of) for field_of in union_members(kind)}
    if inspect.NoneType in types and text.lower() in ("", "none"):
        return None
    written = text
    if types & {inspect.IntType, inspect.FloatType}:
        written = text.strip().replace("_", "")
    try:
        return msgspec.convert(written, kind, strict=False)
    except ValueError:
        raise refusal(name, text, kind) from None


def refusal(name: str, value: Any, kind: Any) -> InputError:
    """Return the error for a wrong `value`, with what it must be or the nearest choice."""
    allowed = choices(kind)
    for part in value if isinstance(value, list | tuple) else [value]:
        if allowed and isinstance(part, str) and part not in allowed:
            return unknown(name, part, allowed)
    try:
        written_value = visible(repr(value))
    except ValueError:  # Python does not write out numbers of thousands of digits
        written_value = "something with a number that is too large"
    if len(written_value) > 80:
        written_value = f"{written_value[:80]}…"
    return InputError(f"{name} must be {described(kind)}, not {written_value}.")


def as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "+".join(map(str, value))
    return "unset" if value is None else str(value)


def described(kind: Any) -> str:
    """Return allowed values in words: `a whole number from 1 to 16 or unset`."""
    match info := kind if isinstance(kind, inspect.Type) else inspect.type_info(kind):
        case inspect.Metadata():
            return (info.extra_json_schema or {}).get("title") or described(info.type)
        case inspect.UnionType():
            return " or ".join(map(described, info.types))
        case inspect.LiteralType():
            return f"{', '.join(map(str, info.values[:-1]))} or {info.values[-1]}"
        case inspect.VarTupleType():
            return f"a list of {described(info.item_type)}"
        case inspect.IntType():
            return f"a whole number{_bounds(info)}"
        case inspect.FloatType():
            return f"a number{_bounds(info)}"
        case inspect.BoolType():
            return "true or false"
        case _:
            return "unset"


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    above, least, most = (
        f"{limit:,}" if isinstance(limit, int) else f"{limit:g}" if limit is not None else ""
        for limit in (
            info.gt,
            info.ge,
            info.le if info.le is not None and info.le < MAX_COUNT else None,
        )
    )
    if above:
        return f" above {above}" + (f" and at most {most}" if most else "")
    if not least:
        return ""
    return f" from {least} to {most}" if most else f" of at least {least}"
