"""Types of settings: limits, help, and the conversion from text."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, inspect

from spikeduel.system import typed
from spikeduel.system.errors import InputError, unknown, visible
from spikeduel.system.registry import FAMILIES, GPUS

LONGEST = 4096
"""Most characters of a setting that is text."""
MOST = 2**63 - 1
"""The largest whole number that TOML can write."""

# TOML, JSON and HTML can write it, and a path may be called so.
Text = Annotated[
    str,
    Meta(
        max_length=LONGEST,
        pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z",
        title=f"text of at most {LONGEST:,} characters, without control characters and bytes that "
        "are not UTF-8",
    ),
]
DeclaredFamily = Annotated[
    str,
    Meta(
        max_length=LONGEST,
        pattern=rf"^([^\x00-\x1f\x7f\ud800-\udfff]+=)?({'|'.join(FAMILIES)})\Z",
        title=f"CONTENDER={'|'.join(FAMILIES)}",
    ),
]
DeviceName = Annotated[
    str,
    Meta(
        pattern=rf"^(auto|cpu|({'|'.join(GPUS)})(:[0-9]{{1,3}})?)\Z",
        title="auto, cpu, cuda, cuda:N, mps or xpu",
    ),
]
Count = Annotated[int, Meta(ge=1, le=MOST)]
TwoOrMore = Annotated[int, Meta(ge=2, le=MOST)]
Steps = Annotated[int, Meta(ge=1, le=100_000)]
Million = Annotated[int, Meta(ge=1, le=1_000_000)]
# The limits refuse infinity too, and comparisons refuse NaN.
Positive = Annotated[float, Meta(gt=0.0, le=sys.float_info.max)]
NotNegative = Annotated[float, Meta(ge=0.0, le=sys.float_info.max)]
Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]


@dataclass(frozen=True)
class Setting:
    """Help of a setting, and its option on the command line."""

    help: str
    details: str = ""
    """Sentences that follow `help` where there is room: in `--help-all` and in docs/api.md."""
    metavar: str = ""
    option: str = ""
    """Name of the option, if it is not the field's."""
    default: str = ""
    """The default in words, if it is not the field's."""
    tunable: Literal["", "any", "snn"] = ""
    """Contenders that may have the setting to themselves: any, or spiking ones."""
    flag: bool = False
    """True if the option has no `--no-…`."""


def setting(help: str, details: str = "", **rest: Any) -> Meta:
    """Make the last part of a field's type: a `Setting`, and the description of the JSON Schema."""
    return Meta(description=help, extra={"setting": Setting(help, details, **rest)})


def setting_of(kind: Any) -> Setting:
    """Return the `Setting` in a field's type."""
    found: Setting = kind.__metadata__[-1].extra["setting"]
    return found


def members(kind: Any) -> tuple[inspect.Type, ...]:
    """The types that a value of `kind` may have, without their descriptions."""

    def bare(info: inspect.Type) -> inspect.Type:
        return bare(info.type) if isinstance(info, inspect.Metadata) else info

    info = bare(inspect.type_info(kind))
    return tuple(map(bare, info.types)) if isinstance(info, inspect.UnionType) else (info,)


def choices(kind: Any) -> tuple[str, ...]:
    """The texts that `kind`, or each entry of a list of that kind, is limited to, in their order;
    else none.
    """
    if get_origin(kind) is Literal:
        return get_args(kind)
    return next((texts for part in get_args(kind) if (texts := choices(part))), ())


def checked(name: str, value: Any, kind: Any) -> Any:
    """`value` as `kind`: lists become tuples, whole numbers floats. Raises `InputError` naming the
    setting.
    """
    try:
        return typed.converted(value, kind)
    except ValueError:
        raise refusal(name, value, kind) from None


def parsed(name: str, text: str, kind: Any) -> Any:
    """The value that `text` stands for, as `--set name=text` gives it. Raises `InputError` naming
    the setting.
    """
    types = {type(member) for member in members(kind)}
    if inspect.NoneType in types and text.lower() in ("", "none"):
        return None
    if inspect.DictType in types:
        raise InputError(
            f"{name} cannot be set by --set: write it into a file for --experiment, as `tune` does."
        )
    given: str | list[str] = text
    if inspect.VarTupleType in types:
        given = [part.strip() for part in text.split(",") if part.strip()]
    elif types & {inspect.IntType, inspect.FloatType}:
        given = text.strip().replace("_", "")
    try:
        return msgspec.convert(given, kind, strict=False)
    except ValueError:
        raise refusal(name, given, kind) from None


def refusal(name: str, value: Any, kind: Any) -> InputError:
    """The error for a `value` that is no `kind`: what it must be, or which choice is the
    nearest.
    """
    allowed = choices(kind)
    for each in value if isinstance(value, list | tuple) else [value]:
        if allowed and isinstance(each, str) and each not in allowed:
            return unknown(name, each, allowed)
    if isinstance(value, int) and abs(value) > MOST:
        return InputError(f"{name} is too large: a number of more than 18 digits.")
    try:
        shown = visible(repr(value))
    except ValueError:  # Python does not write out numbers of thousands of digits
        shown = "something with a number that is too large"
    return InputError(
        f"{name} must be {described(kind)}, not {shown if len(shown) <= 80 else f'{shown[:80]}…'}."
    )


def described(kind: Any) -> str:
    """The values of `kind` in words: `a whole number from 1 to 16 or unset`."""
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
        for limit in (info.gt, info.ge, info.le if info.le is not None and info.le < MOST else None)
    )
    if above:
        return f" above {above}" + (f" and at most {most}" if most else "")
    if not least:
        return ""
    return f" from {least} to {most}" if most else f" of at least {least}"
