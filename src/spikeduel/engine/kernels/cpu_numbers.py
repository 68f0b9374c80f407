# mypy: disable-error-code="no-untyped-def, call-arg"
"""Vectors in compiled functions, loaded from and stored to float32 or bfloat16 (as int16 bits).

A vector is `LANES` float32 with `+ - * / > ==`, so that no kernel depends on LLVM's vectorising.
bfloat16 is rounded to nearest, ties to even.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_jitable, register_model

from spikeduel.engine import kernels
from spikeduel.system.parallel import COMPILED

LANES = kernels.LANES


class _Lanes(types.Type):
    def __init__(self, name: str, lane: ir.Type) -> None:
        super().__init__(f"{name}x{LANES}")
        self.vector = ir.VectorType(lane, LANES)

    def filled(self, value: float) -> ir.Constant:
        return ir.Constant(self.vector, [value] * LANES)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: _Lanes) -> None:
        super().__init__(manager, lanes, lanes.vector)


_NUMBERS, _TRUTHS = _Lanes("float32", ir.FloatType()), _Lanes("boolean", ir.IntType(1))
_WORDS, _HALVES = _Lanes("int32", ir.IntType(32)), _Lanes("int16", ir.IntType(16))


def _binary(
    symbol: Any, operands: _Lanes, result: _Lanes, emit: Callable[[ir.IRBuilder, Any, Any], Any]
) -> None:
    @intrinsic
    def compute(typingctx, a, b):
        return result(a, b), lambda context, builder, signature, values: emit(builder, *values)

    @overload(symbol, jit_options=COMPILED)  # type: ignore[arg-type]
    def overloaded(a, b):
        return (lambda a, b: compute(a, b)) if a is operands and b is operands else None


_binary(operator.add, _NUMBERS, _NUMBERS, lambda builder, a, b: builder.fadd(a, b))
_binary(operator.sub, _NUMBERS, _NUMBERS, lambda builder, a, b: builder.fsub(a, b))
_binary(operator.mul, _NUMBERS, _NUMBERS, lambda builder, a, b: builder.fmul(a, b))
_binary(operator.truediv, _NUMBERS, _NUMBERS, lambda builder, a, b: builder.fdiv(a, b))
_binary(operator.gt, _NUMBERS, _TRUTHS, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_binary(operator.eq, _NUMBERS, _TRUTHS, lambda builder, a, b: builder.fcmp_ordered("==", a, b))


@intrinsic
def filled(typingctx, value):
    def emit(context, builder, signature, values):
        first = builder.insert_element(
            ir.Constant(_NUMBERS.vector, ir.Undefined), values[0], ir.IntType(32)(0)
        )
        return builder.shuffle_vector(first, first, _WORDS.filled(0))

    return _NUMBERS(types.float32), emit


@intrinsic
def where(typingctx, truths, a, b):
    return _NUMBERS(truths, a, b), lambda context, builder, signature, values: builder.select(
        *values
    )


def _pointer(context, builder, row, row_type, at):
    """Return the type of the lanes of `row`, a pointer to the vector that begins at number `at`,
    and its alignment in bytes.
    """
    lanes = _HALVES if row_type.dtype == types.int16 else _NUMBERS
    first = builder.gep(context.make_array(row_type)(context, builder, row).data, [at])
    return lanes, builder.bitcast(first, lanes.vector.as_pointer()), 2 if lanes is _HALVES else 4


def _widened(builder, vector, lanes):
    if lanes is _NUMBERS:
        return vector
    bits = builder.shl(builder.zext(vector, _WORDS.vector), _WORDS.filled(16))
    return builder.bitcast(bits, _NUMBERS.vector)


def _narrowed(builder, vector, lanes):
    if lanes is _NUMBERS:
        return vector
    bits, half = builder.bitcast(vector, _WORDS.vector), _WORDS.filled(16)
    is_odd = builder.and_(builder.lshr(bits, half), _WORDS.filled(1))
    rounded = builder.lshr(builder.add(builder.add(bits, _WORDS.filled(0x7FFF)), is_odd), half)
    no_number = builder.fcmp_unordered("uno", vector, vector)
    return builder.trunc(builder.select(no_number, _WORDS.filled(0x7FC0), rounded), lanes.vector)


def _first_lanes(builder, count):
    word = builder.insert_element(
        ir.Constant(_WORDS.vector, ir.Undefined),
        builder.trunc(count, ir.IntType(32)),
        ir.IntType(32)(0),
    )
    counts = builder.shuffle_vector(word, word, _WORDS.filled(0))
    return builder.icmp_signed("<", ir.Constant(_WORDS.vector, list(range(LANES))), counts)


def _masked(builder, name, lanes, result, *arguments):
    name = f"llvm.masked.{name}.v{LANES}{'f32' if lanes is _NUMBERS else 'i16'}.p0"
    function = builder.module.globals.get(name)
    function_type = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(function or ir.Function(builder.module, function_type, name), arguments)


@intrinsic
def load(typingctx, row, at):
    """Compile to a load of `LANES` numbers of `row` from `at` on, widened to float32."""

    def emit(context, builder, signature, values):
        lanes, pointer, align = _pointer(context, builder, values[0], row, values[1])
        return _widened(builder, builder.load(pointer, align=align), lanes)

    return _NUMBERS(row, types.intp), emit


@intrinsic
def store(typingctx, vector, row, at):
    def emit(context, builder, signature, values):
        lanes, pointer, align = _pointer(context, builder, values[1], row, values[2])
        builder.store(_narrowed(builder, values[0], lanes), pointer, align=align)
        return context.get_dummy_value()

    return types.void(_NUMBERS, row, types.intp), emit


@intrinsic
def _load_first(typingctx, row, at, count):
    """Compile to a load of the first `count` lanes (LLVM's masked load); the rest are 0."""

    def emit(context, builder, signature, values):
        array, index, num_lanes = values
        lanes, pointer, align = _pointer(context, builder, array, row, index)
        mask, zeros = _first_lanes(builder, num_lanes), ir.Constant(lanes.vector, None)
        vector = _masked(
            builder, "load", lanes, lanes.vector, pointer, ir.IntType(32)(align), mask, zeros
        )
        return _widened(builder, vector, lanes)

    return _NUMBERS(row, types.intp, types.intp), emit


@intrinsic
def _store_first(typingctx, vector, row, at, count):
    def emit(context, builder, signature, values):
        lanes, pointer, align = _pointer(context, builder, values[1], row, values[2])
        arguments = (
            _narrowed(builder, values[0], lanes),
            pointer,
            ir.IntType(32)(align),
            _first_lanes(builder, values[3]),
        )
        _masked(builder, "store", lanes, ir.VoidType(), *arguments)
        return context.get_dummy_value()

    return types.void(_NUMBERS, row, types.intp, types.intp), emit


@register_jitable(**COMPILED)
def read(row, at, left):
    """Return the vector at `at` of `row`, 0 beyond the `left` channels."""
    return load(row, at) if left >= LANES else _load_first(row, at, left)


@register_jitable(**COMPILED)
def put(vector, row, at, left):
    """Write the first `left` lanes of a vector at `at` of `row`."""
    if left >= LANES:
        store(vector, row, at)
    else:
        _store_first(vector, row, at, left)


@register_jitable(**COMPILED)
def add_to(row, at, vector, left):
    put(read(row, at, left) + vector, row, at, left)
