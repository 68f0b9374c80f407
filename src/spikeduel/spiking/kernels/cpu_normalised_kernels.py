# mypy: disable-error-code="no-untyped-def, call-arg, var-annotated"
"""The compiled part of the CPU's blocks of batch norm, neurons and pooling, written in vectors of 16 channels.

A block works on one window of pooling and 16 channels at a time, over all time steps: what it computes stays in
registers and the nearest cache. LLVM would not turn such loops into vector instructions by itself, hence vectors are a
type here, which it fits to what the machine has. Operations come in the order of `reference`, and no multiply-add is
fused, so that results equal the reference's to the last bit.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, overload, register_model

# Numba caches by file: whoever changes that function has to save this file anew.
from spikeduel.spiking.kernels.cpu_kernels import COMPILED, SUBTRACT, ZERO, surrogate_gradient

LANES = 16
"""Channels in a vector: as many as the widest registers of common CPUs hold. Others take several registers for it."""


class _Lanes(types.Type):
    """A vector of `LANES` values of one LLVM type."""

    def __init__(self, name: str, lane: ir.Type) -> None:
        super().__init__(f"{name}x{LANES}")
        self.vector = ir.VectorType(lane, LANES)

    def filled(self, value: float) -> ir.Constant:
        """A constant with `value` in each lane."""
        return ir.Constant(self.vector, [value] * LANES)


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: _Lanes) -> None:
        super().__init__(manager, lanes, lanes.vector)


_NUMBERS, _TRUTHS = _Lanes("float32", ir.FloatType()), _Lanes("boolean", ir.IntType(1))
_WORDS, _HALVES = _Lanes("int32", ir.IntType(32)), _Lanes("int16", ir.IntType(16))


def _binary(symbol: Any, operands: _Lanes, result: _Lanes, emit: Callable[[ir.IRBuilder, Any, Any], Any]) -> None:
    """Gives two vectors of `operands` the operator `symbol`, whose instructions `emit` writes."""

    @intrinsic
    def compute(typingctx, a, b):
        return result(a, b), lambda context, builder, signature, values: emit(builder, *values)

    @overload(symbol, jit_options=COMPILED)  # type: ignore[arg-type]
    def overloaded(a, b):
        return (lambda a, b: compute(a, b)) if a is operands and b is operands else None


_binary(operator.add, _NUMBERS, _NUMBERS, lambda builder, a, b: builder.fadd(a, b))
_binary(operator.sub, _NUMBERS, _NUMBERS, lambda builder, a, b: builder.fsub(a, b))
_binary(operator.mul, _NUMBERS, _NUMBERS, lambda builder, a, b: builder.fmul(a, b))
_binary(operator.gt, _NUMBERS, _TRUTHS, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_binary(operator.eq, _NUMBERS, _TRUTHS, lambda builder, a, b: builder.fcmp_ordered("==", a, b))


@intrinsic
def filled(typingctx, value):
    """A vector with the float32 `value` in each lane."""

    def emit(context, builder, signature, values):
        first = builder.insert_element(ir.Constant(_NUMBERS.vector, ir.Undefined), values[0], ir.IntType(32)(0))
        return builder.shuffle_vector(first, first, _WORDS.filled(0))

    return _NUMBERS(types.float32), emit


@intrinsic
def where(typingctx, truths, a, b):
    """`a` in the lanes in which `truths` hold, else `b`."""
    return _NUMBERS(truths, a, b), lambda context, builder, signature, values: builder.select(*values)


def _address(context, builder, row, row_type, at, lanes):
    """Where the vector of `lanes` begins that lies at index `at` of an array."""
    first = builder.gep(context.make_array(row_type)(context, builder, row).data, [at])
    return builder.bitcast(first, lanes.vector.as_pointer())


@intrinsic
def load(typingctx, row, at):
    """The vector at index `at` of `row`: float32, or the bits of bfloat16 as int16."""
    narrow = row.dtype == types.int16

    def emit(context, builder, signature, values):
        lanes = _HALVES if narrow else _NUMBERS
        vector = builder.load(_address(context, builder, values[0], row, values[1], lanes), align=2 if narrow else 4)
        if narrow:
            bits = builder.shl(builder.zext(vector, _WORDS.vector), _WORDS.filled(16))
            vector = builder.bitcast(bits, _NUMBERS.vector)
        return vector

    return _NUMBERS(row, types.intp), emit


@intrinsic
def store(typingctx, vector, row, at):
    """Writes a vector at index `at` of `row`: as float32, or as bfloat16 rounded to nearest, ties to even."""
    narrow = row.dtype == types.int16

    def emit(context, builder, signature, values):
        vector, into, lanes = values[0], _address(context, builder, values[1], row, values[2], _NUMBERS), _NUMBERS
        if narrow:
            lanes, into = _HALVES, builder.bitcast(into, _HALVES.vector.as_pointer())
            bits, half = builder.bitcast(vector, _WORDS.vector), _WORDS.filled(16)
            is_odd = builder.and_(builder.lshr(bits, half), _WORDS.filled(1))
            rounded = builder.lshr(builder.add(builder.add(bits, _WORDS.filled(0x7FFF)), is_odd), half)
            # Rounding could carry a NaN's bits over into another number's.
            no_number = builder.fcmp_unordered("uno", vector, vector)
            vector = builder.trunc(builder.select(no_number, _WORDS.filled(0x7FC0), rounded), lanes.vector)
        builder.store(vector, into, align=2 if narrow else 4)
        return context.get_dummy_value()

    return types.void(_NUMBERS, row, types.intp), emit


@njit(**COMPILED)
def add_to(row, at, vector):
    """Adds a vector to the one at index `at` of `row`."""
    store(load(row, at) + vector, row, at)


@njit(**COMPILED)
def sums(current, pivot, shape, out, start, stop):
    """Fills images `start` to `stop` of `out` `[images, 2, C]`: sums of what lies above `pivot` `[C]`, and squares."""
    _, height, width, channels = shape
    for image in range(start, stop):
        for row in range(image * height, (image + 1) * height):
            for channel in range(0, channels, LANES):
                middle = load(pivot, channel)
                total = squares = filled(np.float32(0))
                for at in range(row * width * channels + channel, (row + 1) * width * channels, channels):
                    above = load(current, at) - middle
                    total, squares = total + above, squares + above * above
                add_to(out, 2 * image * channels + channel, total)
                add_to(out, (2 * image + 1) * channels + channel, squares)


@njit(**COMPILED)
def advance(mem, current, beta, threshold, reset):
    """The membranes after `mem`."""
    _0, _1 = filled(np.float32(0)), filled(np.float32(1))
    if reset == SUBTRACT:
        return (beta * mem + current) - where(mem > threshold, threshold, _0)
    if reset == ZERO:
        return beta * (where(mem > threshold, _0, _1) * mem) + current
    return beta * mem + current


@njit(**COMPILED)
def _places(side, width, channels):
    """How far the places of a window are from its first: in a current, and in sums over its rows."""
    offsets, lines = np.empty(side * side, np.int64), np.empty(side * side, np.int64)
    for place in range(side * side):
        offsets[place] = (place // side * width + place % side) * channels
        lines[place] = place // side * channels
    return offsets, lines


@njit(**COMPILED)
def forward(current, scale, shift, beta, dynamics, shape, side, spk, num_steps, start, stop):
    """Fills strips `start` to `stop` of `spk` `[T, B, H / side, W / side, C]`: a strip is a row of one image.

    `current` is `[T, B, H, W, C]`, `[1, B, H, W, C]` if constant; `scale` and `shift` `[C]` normalise it. All are flat.
    """
    batch, height, width, channels = shape
    rows, columns = height // side, width // side
    step = 0 if len(current) == batch * height * width * channels else batch * height * width * channels
    level, reset = filled(dynamics[0]), dynamics[1]
    leak, _0, _1 = filled(beta), filled(np.float32(0)), filled(np.float32(1))
    fired = np.empty(num_steps * LANES, np.float32)
    offsets, _ = _places(side, width, channels)
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * side) * width + column * side) * channels
            for channel in range(0, channels, LANES):
                a, b = load(scale, channel), load(shift, channel)
                for place in range(len(offsets)):
                    at = corner + offsets[place] + channel
                    mem = now = _0
                    for t in range(num_steps):
                        if t == 0 or step > 0:
                            now = load(current, at + t * step) * a + b
                        mem = advance(mem, now, leak, level, reset)
                        before = load(fired, t * LANES) if place > 0 else _0
                        store(where(mem > level, _1, before), fired, t * LANES)
                at = (strip * columns + column) * channels + channel
                for t in range(num_steps):
                    store(load(fired, t * LANES), spk, at + t * batch * rows * columns * channels)


@njit(**COMPILED, inline="always")
def _trace(current, at, step, scale, shift, leak, level, reset, num_steps, mems, row):
    """Fills `T` vectors of `mems`, from `row` on, with the membranes of 16 channels at one place."""
    mem = now = filled(np.float32(0))
    for t in range(num_steps):
        if t == 0 or step > 0:
            now = load(current, at + t * step) * scale + shift
        mem = advance(mem, now, leak, level, reset)
        store(mem, mems, row + t * LANES)


@njit(**COMPILED, inline="always")
def _find_first(mems, row, level, places, num_steps, first, highest, to):
    """Fills `T` vectors of `first` and `highest`: which place of a window spiked first (0 if none), its membrane."""
    for t in range(num_steps):
        index, mem = filled(np.float32(0)), load(mems, row + t * LANES)
        for place in range(places - 1, -1, -1):
            here = load(mems, row + (place * num_steps + t) * LANES)
            spiked = here > level
            index, mem = where(spiked, filled(np.float32(place)), index), where(spiked, here, mem)
        store(index, first, to + t * LANES)
        store(mem, highest, to + t * LANES)


@njit(**COMPILED)
def backward(
    grad_spk, current, scale, shift, mean, beta, dynamics, shape, side, grad, totals, num_steps, learns_beta,
    start, stop,
):  # fmt: skip
    """Fills strips `start` to `stop` of `grad`, of the normalised current and shaped as `current`, and of `totals`.

    `totals` `[2, B, H, C]` (zeros) gets sums over steps, along rows: of the gradient, and of it times the current above
    its mean; if `learns_beta`, it is `[3, B, H, C]`, and the last what the gradient says about beta.
    """
    batch, height, width, channels = shape
    rows, columns, pixels = height // side, width // side, batch * height * width * channels
    step, pooled_step = 0 if len(current) == pixels else pixels, batch * rows * columns * channels
    threshold, reset, surrogate, alpha = dynamics
    level, leak, _0 = filled(threshold), filled(beta), filled(np.float32(0))
    (offsets, lines), places = _places(side, width, channels), side * side
    mems = np.empty(places * num_steps * channels, np.float32)
    first, highest = np.empty(num_steps * channels, np.float32), np.empty(num_steps * channels, np.float32)
    slope, levels = np.empty(num_steps * channels, np.float32), np.full(num_steps * channels, threshold, np.float32)
    for strip in range(start, stop):
        image, row = divmod(strip, rows)
        for column in range(columns):
            corner = ((image * height + row * side) * width + column * side) * channels
            for channel in range(0, channels, LANES):
                a, b = load(scale, channel), load(shift, channel)
                for place in range(places):
                    at = corner + offsets[place] + channel
                    to = (channel * places + place * LANES) * num_steps
                    _trace(current, at, step, a, b, leak, level, reset, num_steps, mems, to)
                to = channel * num_steps
                _find_first(mems, to * places, level, places, num_steps, first, highest, to)
            surrogate_gradient(highest, levels, surrogate, alpha, slope)
            for channel in range(0, channels, LANES):
                at = (strip * columns + column) * channels + channel
                to = channel * num_steps
                middle = load(mean, channel)
                for t in range(num_steps):
                    through = load(grad_spk, at + t * pooled_step) * load(slope, to + t * LANES)
                    store(through, slope, to + t * LANES)
                for place in range(places):
                    pixel = corner + offsets[place] + channel
                    number = filled(np.float32(place))
                    here = (channel * places + place * LANES) * num_steps
                    adjoint = total = product = about_beta = _0
                    for t in range(num_steps - 1, -1, -1):
                        kept = where(load(mems, here + t * LANES) > level, _0, leak) if reset == ZERO else leak
                        is_first = load(first, to + t * LANES) == number
                        adjoint = adjoint * kept + where(is_first, load(slope, to + t * LANES), _0)
                        total = total + adjoint
                        if step > 0:
                            product = product + adjoint * (load(current, pixel + t * step) - middle)
                            store(adjoint, grad, pixel + t * step)
                        if learns_beta and t > 0:
                            before = load(mems, here + (t - 1) * LANES)
                            before = where(before > level, _0, before) if reset == ZERO else before
                            about_beta = about_beta + adjoint * before
                    if step == 0:
                        product = total * (load(current, pixel) - middle)
                        store(total, grad, pixel)
                    line = (image * height + row * side) * channels + lines[place] + channel
                    add_to(totals, line, total)
                    add_to(totals, line + batch * height * channels, product)
                    if learns_beta:
                        add_to(totals, line + 2 * batch * height * channels, about_beta)


@njit(**COMPILED)
def normalise_gradient(grad, current, coefficients, shape, start, stop):
    """Turns images `start` to `stop` of `grad`, of the normalised current, into the gradient of `current`, in place.

    `coefficients` `[4, C]` are the mean gradient, the mean current, what is taken off for a current above it, and the
    scale.
    """
    _, height, width, channels = shape
    for pixel in range(start * height * width * channels, stop * height * width * channels, channels):
        for channel in range(0, channels, LANES):
            a, middle = load(coefficients, channel), load(coefficients, channels + channel)
            slope, scale = load(coefficients, 2 * channels + channel), load(coefficients, 3 * channels + channel)
            at = pixel + channel
            store(((load(grad, at) - a) - (load(current, at) - middle) * slope) * scale, grad, at)
