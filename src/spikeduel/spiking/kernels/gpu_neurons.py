"""One step of neurons in Triton, a block of them at a time: the pieces that `gpu`'s scans are made of.

The equations are `reference.lif_step`'s and `reference.alif_step`'s, in the same order of operations. Where `ADAPTIVE`
is false, `adaptation`, `decay` and `gain` play no part.
"""

import triton
import triton.language as tl


@triton.jit
def initial_state(state, columns, inside, num_neurons, ADAPTIVE: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """The membrane and the adaptation before the first step, of `state` `[S, N]`; None is rest."""
    mem = tl.zeros((BLOCK,), tl.float32)
    adaptation = tl.zeros((BLOCK,), tl.float32)
    if state is not None:
        mem = tl.load(state + columns, mask=inside, other=0.0)
        if ADAPTIVE:
            adaptation = tl.load(state + num_neurons + columns, mask=inside, other=0.0)
    return mem, adaptation


@triton.jit
def overshoot(mem, adaptation, threshold, gain, ADAPTIVE: tl.constexpr):  # type: ignore[no-untyped-def]
    """By how much the membrane is above the threshold: it spikes where this is greater than 0."""
    return mem - (threshold + gain * adaptation) if ADAPTIVE else mem - threshold


@triton.jit
def step(  # type: ignore[no-untyped-def]
    now, mem, adaptation, beta, threshold, decay, gain, RESET: tl.constexpr, ADAPTIVE: tl.constexpr
):
    """The membrane and the adaptation one step later."""
    fired = tl.where(overshoot(mem, adaptation, threshold, gain, ADAPTIVE) > 0, 1.0, 0.0)
    if RESET == "subtract":
        mem = (beta * mem + now) - fired * threshold
    elif RESET == "zero":
        mem = beta * ((1.0 - fired) * mem) + now
    else:
        tl.static_assert(RESET == "none")
        mem = beta * mem + now
    if ADAPTIVE:
        adaptation = decay * adaptation + fired
    return mem, adaptation


@triton.jit
def surrogate_gradient(u, alpha, SURROGATE: tl.constexpr):  # type: ignore[no-untyped-def]
    """The gradient of the spike at `u`; `SURROGATE` is one of `reference.SURROGATE_KERNELS`."""
    if SURROGATE == "atan":
        x = 1.5707963267948966 * alpha * u
        gradient = 0.5 * alpha / (1.0 + x * x)
    elif SURROGATE == "fast_sigmoid":
        x = 1.0 + alpha * tl.abs(u)
        gradient = 1.0 / (x * x)
    elif SURROGATE == "sigmoid":
        # s·(1 − s), written so that neither end of the range overflows or cancels.
        e = tl.exp(-tl.abs(alpha * u))
        gradient = alpha * e / ((1.0 + e) * (1.0 + e))
    elif SURROGATE == "triangular":
        x = 1.0 - alpha * tl.abs(u)
        gradient = alpha * tl.where(x < 0.0, 0.0, x)
    else:
        tl.static_assert(SURROGATE == "straight_through_estimator")
        gradient = tl.full(u.shape, 1.0, tl.float32)
    return gradient
