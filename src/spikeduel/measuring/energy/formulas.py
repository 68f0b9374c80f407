"""Read small arithmetic formulas from files, without running the text."""

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np

from spikeduel.system.errors import InputError, unknown

FUNCTIONS: dict[str, tuple[Any, int]] = {
    "max": (np.maximum, 2),
    "min": (np.minimum, 2),
    "ceil": (np.ceil, 1),
    "log2": (np.log2, 1),
}
"""Functions that a formula may call, with their numbers of arguments."""
LONGEST = 2000
"""Limit of a formula's length, in characters."""
_ALLOWED = (
    "a formula has numbers, names, + - * / and parentheses, and max, min (of two), ceil and log2"
)
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.UAdd, ast.USub)


@dataclass(frozen=True)
class Expression:
    """A checked formula; `names` are the names that it uses. `value` computes it for arrays."""

    text: str
    names: frozenset[str]
    code: CodeType

    def value(self, values: Mapping[str, Any]) -> Any:
        """Return the value for numbers or arrays by name; NaN or infinite where there is none."""
        functions = {name: function for name, (function, _) in FUNCTIONS.items()}
        try:
            with np.errstate(all="ignore"):
                # `parse` let only arithmetic, names and FUNCTIONS through.
                return eval(self.code, {"__builtins__": {}}, {**functions, **values})
        except ArithmeticError:
            return np.nan


def parse(text: str, known: Collection[str]) -> Expression:
    """Return `text` as a formula over the names `known`. Raises `InputError`."""
    if len(text) > LONGEST:
        raise InputError(f"longer than {LONGEST} characters.")
    try:
        tree = ast.parse(text, mode="eval")
        asked = set(_checked(tree.body, known))
        return Expression(text, frozenset(asked), compile(tree, "<formula>", "eval"))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{' '.join(text.split())[:80]!r} is not a formula: {_ALLOWED}.") from None


def _checked(node: ast.expr, known: Collection[str]) -> list[str]:
    """Return the names in `node`, whose numbers become floats."""
    match node:
        case ast.Constant(value=int() | float() as number) if (
            not isinstance(number, bool) and abs(number) <= 1e300
        ):
            node.value = float(number)
            return []
        case ast.Name(id=name) if name in known:
            return [name]
        case ast.Name(id=name):
            raise unknown(
                "name in a formula", name[:60], known, f"All names: {', '.join(sorted(known))}."
            )
        case ast.UnaryOp(op=operator, operand=inner) if isinstance(operator, _OPERATORS):
            return _checked(inner, known)
        case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _OPERATORS):
            return _checked(left, known) + _checked(right, known)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            if len(arguments) != FUNCTIONS[name][1]:
                raise InputError(
                    f"{name} takes {FUNCTIONS[name][1]} numbers, not {len(arguments)}: {_ALLOWED}."
                )
            return [asked for argument in arguments for asked in _checked(argument, known)]
        case _:
            raise InputError(f"{ast.unparse(node)[:80]!r} cannot stand in a formula: {_ALLOWED}.")
