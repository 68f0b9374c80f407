"""Spiking neurons: layers without weights, from currents to spikes."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel.engine import ConstantInput, as_sequence, kernels
from spikeduel.engine.kernels import Dynamics, reference
from spikeduel.engine.kernels.reference import resolve_alpha
from spikeduel.system.errors import InputError, unknown

State = dict[str, Tensor]
_STATE_NAMES = ("mem", "adaptation")

# Names of the layers, states before and after by name.
_Carry = tuple[dict[nn.Module, str], dict[str, State], dict[str, State]]
_CARRY: ContextVar[_Carry | None] = ContextVar("carry", default=None)


class Neuron(nn.Module):
    """Base class of spiking neurons.

    Subclasses define `step`, or `over_time` for all steps at once, and `initial_state` if their
    state is more than a membrane. A neuron starts each call from a fresh state, except within
    `carried_state`.

    Examples
    --------
    A neuron that spikes at every step with a positive current:

    >>> class Sign(Neuron):
    ...     def step(self, current, state):
    ...         return (current > 0).to(current.dtype), state
    >>> spk, mem = Sign()(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    >>> spk.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def initial_state(self, current: Tensor) -> State:
        """Return the state at rest for `current` `[B, …]`; `state["mem"]` is the membrane."""
        return {"mem": torch.zeros_like(current)}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """Return spikes `[B, …]` and the next state for `current` `[B, …]`."""
        if type(self).over_time is Neuron.over_time:
            raise TypeError(f"{type(self).__name__} must define step(current, state).")
        spk, _, last = self.over_time(current.unsqueeze(0), state, with_mem=False)
        return spk[0], last

    def forward(
        self, current: Tensor | ConstantInput, *, with_mem: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Run the neurons over all time steps.

        Parameters
        ----------
        current : Tensor or ConstantInput, shape [T, B, ...]
            Input current.
        with_mem : bool
            Whether membranes are needed. Without, they may be returned empty: [0, B, ...].

        Returns
        -------
        spk, mem : Tensor, shape [T, B, ...]
            Spikes (0 or 1, type of `current`), and membranes (float32).

        Raises
        ------
        InputError
            If this layer is used twice in a pass within `carried_state`.
        """
        # Dynamo cannot trace a ContextVar.
        carry = None if torch.compiler.is_dynamo_compiling() else _CARRY.get()
        if carry is None:
            return self.over_time(current, None, with_mem)[:2]
        names, before, after = carry
        name = names.get(self)
        if name is None or name in after:
            raise InputError(
                "a layer of neurons is used twice in one pass, or is no submodule of its network, "
                "so that its state cannot be carried: make a layer of its own for each place."
            )
        spk, mem, after[name] = self.over_time(current, before.get(name), with_mem)
        return spk, mem

    def normalised(
        self, current: Tensor | ConstantInput, norm: nn.BatchNorm2d, window: int
    ) -> Tensor | ConstantInput | None:
        """Return the spikes for `norm(current)`, max-pooled by `window`; None without a kernel that
        does all of it.
        """
        return None

    def over_time(
        self, current: Tensor | ConstantInput, state: State | None, with_mem: bool
    ) -> tuple[Tensor, Tensor, State]:
        """Run `step` from `state`, or a fresh one; return `(spk, mem, last state)`."""
        sequence = as_sequence(current)
        if state is None:
            state = self.initial_state(sequence[0])
        spikes, membranes = [], []
        for now in sequence.unbind(0):
            spk, state = self.step(now, state)
            spikes.append(spk)
            if with_mem:
                membranes.append(state["mem"])
        mem = torch.stack(membranes) if with_mem else state["mem"].unsqueeze(0)[:0]
        return torch.stack(spikes), mem, state


class LIF(Neuron):
    """Leaky integrate-and-fire neurons, as snnTorch's `Leaky`.

    The membrane is U[t] = beta·U[t−1] + I[t], with a spike where U[t] > threshold. A spike resets
    the membrane in the next step. `kernels/reference.py` has the equations.

    Parameters
    ----------
    beta : float
        Decay of the membrane per step, clamped to [0, 1].
    threshold : float
        Membrane above which the neuron spikes, > 0.
    reset_mechanism : {"subtract", "zero", "none"}
        Effect of a spike on the membrane: minus the threshold, to 0, or none.
    surrogate : str
        Gradient of the spike: a name of `SURROGATES`, or `module:function`.
    surrogate_alpha : float, optional
        Width of the surrogate. Default: the usual one of `surrogate`.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    A current of 0.4 reaches the threshold at the third step:

    >>> spk, mem = LIF(beta=0.9)(torch.full((4, 1), 0.4))
    >>> spk.flatten().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """

    beta: float | Tensor
    adaptation: tuple[float, float] | None = None

    def __init__(
        self,
        beta: float = 0.95,
        threshold: float = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str = "atan",
        surrogate_alpha: float | None = None,
    ) -> None:
        super().__init__()
        if reset_mechanism not in reference.RESET_MECHANISMS:
            raise unknown("reset_mechanism", reset_mechanism, reference.RESET_MECHANISMS)
        if not threshold > 0:
            raise InputError(f"threshold must be greater than 0, not {threshold}.")
        self._keep_beta(beta)
        self.threshold = float(threshold)
        self.reset_mechanism = reset_mechanism
        self.surrogate = surrogate
        self.surrogate_alpha = resolve_alpha(surrogate, surrogate_alpha)

    def _keep_beta(self, beta: float) -> None:
        self.beta = min(max(float(beta), 0.0), 1.0)

    @property
    def dynamics(self) -> Dynamics:
        return Dynamics(
            self.threshold,
            self.reset_mechanism,
            self.surrogate,
            self.surrogate_alpha,
            self.adaptation,
        )

    def initial_state(self, current: Tensor) -> State:
        return {
            name: torch.zeros_like(current, dtype=_wide(current))
            for name in _STATE_NAMES[: self.dynamics.state_size]
        }

    def over_time(
        self, current: Tensor | ConstantInput, state: State | None, with_mem: bool
    ) -> tuple[Tensor, Tensor, State]:
        before = (
            None
            if state is None
            else torch.stack([state[name] for name in _STATE_NAMES[: self.dynamics.state_size]])
        )
        spk, mem, last = kernels.scan(current, self.beta, self.dynamics, before, with_mem=with_mem)
        return spk, mem, dict(zip(_STATE_NAMES, last.unbind(0), strict=False))

    def normalised(
        self, current: Tensor | ConstantInput, norm: nn.BatchNorm2d, window: int
    ) -> Tensor | ConstantInput | None:
        settings = current, norm, self.beta, self.dynamics, window
        return kernels.normalised_scan(*settings) if kernels.is_normalised(*settings) else None

    def extra_repr(self) -> str:
        beta = torch.as_tensor(self.beta).item()
        return (
            f"beta={beta:g}, threshold={self.threshold}, reset_mechanism={self.reset_mechanism!r}, "
            f"surrogate={self.surrogate!r}, surrogate_alpha={self.surrogate_alpha}"
        )


class IF(LIF):
    """Integrate-and-fire neurons: `LIF` without a leak (beta = 1).

    Parameters
    ----------
    threshold, reset_mechanism, surrogate, surrogate_alpha
        As in `LIF`.

    Examples
    --------
    >>> spk, mem = IF()(torch.full((4, 1), 0.4))
    >>> spk.flatten().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(
        self,
        threshold: float = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str = "atan",
        surrogate_alpha: float | None = None,
    ) -> None:
        super().__init__(1.0, threshold, reset_mechanism, surrogate, surrogate_alpha)


class PLIF(LIF):
    """`LIF` with a learned decay, one for the layer: beta = sigmoid(`beta_logit`).

    Parameters
    ----------
    beta : float
        Decay at the start of training, in (0, 1).
    threshold, reset_mechanism, surrogate, surrogate_alpha
        As in `LIF`.

    References
    ----------
    Fang et al. 2021, "Incorporating learnable membrane time constant to enhance learning of spiking
    neural networks". Here the current is not scaled.

    Examples
    --------
    >>> [name for name, _ in PLIF(beta=0.5).named_parameters()]
    ['beta_logit']
    """

    def _keep_beta(self, beta: float) -> None:
        if not 0 < beta < 1:
            raise InputError(f"a learned beta starts between 0 and 1, not at {beta}.")
        self.beta_logit = nn.Parameter(torch.tensor(math.log(beta / (1 - beta))))

    @property
    def beta(self) -> Tensor:  # type: ignore[override]
        """Decay per step, a scalar."""
        return torch.sigmoid(self.beta_logit)


class ALIF(LIF):
    """Adaptive LIF neurons: each spike raises the threshold for the next ones.

    A spike where U[t] > threshold + gain·A[t], with A[t] = decay·A[t−1] + S[t−1]. The state has
    `mem` and `adaptation`. `kernels/reference.py` has the equations.

    Parameters
    ----------
    beta, threshold, reset_mechanism, surrogate, surrogate_alpha
        As in `LIF`.
    adaptation_decay : float
        Decay of the adaptation A per step, in [0, 1].
    adaptation_gain : float
        Rise of the threshold per spike.

    Raises
    ------
    InputError
        For a parameter out of its range.

    Examples
    --------
    >>> current = torch.full((25, 1), 0.4)
    >>> int(LIF()(current)[0].sum()), int(ALIF(adaptation_gain=0.5)(current)[0].sum())
    (8, 7)
    """

    def __init__(
        self,
        beta: float = 0.95,
        threshold: float = 1.0,
        reset_mechanism: str = "subtract",
        surrogate: str = "atan",
        surrogate_alpha: float | None = None,
        adaptation_decay: float = 0.9,
        adaptation_gain: float = 0.1,
    ) -> None:
        super().__init__(beta, threshold, reset_mechanism, surrogate, surrogate_alpha)
        if not 0 <= adaptation_decay <= 1:
            raise InputError(f"adaptation_decay must be between 0 and 1, not {adaptation_decay}.")
        self.adaptation_decay = float(adaptation_decay)
        self.adaptation_gain = float(adaptation_gain)

    @property
    def adaptation(self) -> tuple[float, float]:  # type: ignore[override]
        """Decay and gain."""
        return self.adaptation_decay, self.adaptation_gain

    def extra_repr(self) -> str:
        adaptation = (
            f"adaptation_decay={self.adaptation_decay}, adaptation_gain={self.adaptation_gain}"
        )
        return f"{super().extra_repr()}, {adaptation}"


class IntegerIF(Neuron):
    """Integrate-and-fire neurons that integrate all T steps of their current, then spike up to T
    times.

    A neuron spikes in a share of the steps: its mean current, rounded to 0, 1/T, … 1. The first
    steps have the spikes, which makes max-pooling of spikes that of shares. In training, the shares
    are sent on as a constant input, and the next layers are computed once, not T times. Predictions
    from spikes are the same if the layers between neurons are linear.

    No spike is sent before all of the current is known: such neurons cannot stream, and a network
    of them sees the sum of a recording's frames.

    Attributes
    ----------
    levels : int, optional
        Most spikes, of which shares are sent in one step: the layer is a ReLU with `levels` + 1
        levels. Default: None, as many as there are steps.

    References
    ----------
    Yao et al. 2024, "Scaling Spike-driven Transformer with Efficient Spike Firing Approximation
    Training", arXiv:2411.16061.

    Examples
    --------
    A mean current of 0.6 is rounded to 2 of 4 steps:

    >>> spk, mem = IntegerIF().eval()(torch.full((4, 1), 0.6))
    >>> spk.flatten().tolist()
    [1.0, 1.0, 0.0, 0.0]
    """

    levels: int | None = None

    @property
    def activation_bits(self) -> int | None:
        """Bits of a number from 0 to `levels`."""
        return self.levels and self.levels.bit_length()

    def over_time(
        self, current: Tensor | ConstantInput, state: State | None, with_mem: bool
    ) -> tuple[Any, Tensor, State]:
        """Return spikes `[T, B, …]`, or shares as a `ConstantInput`; membranes in thresholds."""
        if is_carried():
            raise InputError(
                "IntegerIF cannot stream: it integrates all time steps before it spikes."
            )
        num_steps = self.levels or current.shape[0]
        if isinstance(current, ConstantInput):
            mean, dtype = current.value, current.value.dtype
        else:
            mean, dtype = current.to(_wide(current)).mean(0), current.dtype
        spk: Any
        if self.training or self.levels:
            rate = reference.integer_rate(mean, num_steps).to(dtype)
            if self.levels and not isinstance(current, ConstantInput):
                spk = rate.expand(current.shape)
            else:
                spk = ConstantInput(rate, current.shape[0])
        else:
            spk = reference.integer_spikes(mean, num_steps).to(dtype)
        steps = torch.arange(num_steps if with_mem else 0, device=mean.device)
        rows = mean.unsqueeze(0)[: int(with_mem)]
        mem = num_steps * rows + 0.5 - steps.view(-1, *[1] * mean.dim())
        return spk, mem, {"mem": mean}

    def normalised(
        self,
        current: Tensor | ConstantInput,
        norm: nn.BatchNorm2d,
        window: int,
        shortcut: Tensor | ConstantInput | None = None,
    ) -> ConstantInput | None:
        """Return the shares for `norm(current) + shortcut`, max-pooled by `window`, in training on
        constant inputs.
        """
        if not self.training or not isinstance(current, ConstantInput):
            return None
        num_steps, added = self.levels or current.num_steps, None
        if shortcut is not None:
            if not isinstance(shortcut, ConstantInput):
                return None
            added = shortcut.value
        if kernels.may_normalise(current, norm, window):
            rate = kernels.normalised_rate(current, norm, num_steps, window, added)
            return ConstantInput(rate, current.num_steps)
        # The highest current gets the gradient, of all that are rounded to the same share.
        total = norm(current.value) if added is None else norm(current.value) + added
        rate = reference.integer_rate(F.max_pool2d(total, window), num_steps)
        return ConstantInput(rate, current.num_steps)


class LeakyReadout(nn.Module):
    """Output layer that integrates its current and never spikes.

    Parameters
    ----------
    beta : float
        Decay of the membrane per step, clamped to [0, 1].

    Examples
    --------
    >>> LeakyReadout(beta=0.5)(torch.ones(3, 1, 1)).flatten().tolist()
    [1.0, 1.5, 1.75]
    """

    def __init__(self, beta: float = 0.95) -> None:
        super().__init__()
        self.integrator = LIF(beta, threshold=math.inf, reset_mechanism="none")

    def forward(self, current: Tensor | ConstantInput) -> Tensor:
        """Return the membranes, float32 `[T, B, K]`, for a current `[T, B, K]`."""
        return self.integrator(current)[1]


class ReLU(Neuron):
    """Positive part of the current, in place of a neuron; `mem` is the current."""

    def activation(self, current: Tensor) -> Tensor:
        return current.relu()

    def over_time(
        self, current: Tensor | ConstantInput, state: State | None, with_mem: bool
    ) -> tuple[Tensor, Tensor, State]:
        sequence = as_sequence(current)
        mem = sequence.to(_wide(sequence))
        return self.activation(sequence), mem, {"mem": mem[-1]}


def quantised(x: Tensor, step: Tensor, bits: int) -> Tensor:
    """Round `x` to the 2^`bits` levels 0, `step`, 2·`step`, …, clamped to their range.

    The gradient passes the rounding; that of `step` is equation 3 of Esser et al. 2020, "Learned
    step size quantization", unscaled, since Adam would undo a scale.
    """
    level = (x / step).clamp(0, 2**bits - 1)
    return (level + (level.round() - level).detach()) * step


class QuantisedReLU(ReLU):
    """A `ReLU` with 2^`activation_bits` levels (`quantised`), at first up to `threshold`, of a
    learned step. Raises `InputError`.
    """

    def __init__(self, threshold: float = 1.0, activation_bits: int = 3) -> None:
        super().__init__()
        if activation_bits < 1:
            raise InputError(f"activation_bits must be at least 1, not {activation_bits}.")
        self.activation_bits = activation_bits
        self.level_step = nn.Parameter(torch.tensor(threshold / (2**activation_bits - 1)))

    def activation(self, current: Tensor) -> Tensor:
        step = self.level_step.abs().clamp(min=1e-30)  # training can push it below 0
        return quantised(current.to(_wide(current)), step, self.activation_bits).to(current.dtype)


NEURONS: dict[str, Callable[..., Neuron]] = {
    "lif": LIF,
    "if": IF,
    "plif": PLIF,
    "alif": ALIF,
    "relu": ReLU,
    "quantised-relu": QuantisedReLU,
}


@contextmanager
def carried_state(module: nn.Module, before: dict[str, State]) -> Iterator[dict[str, State]]:
    """Let neurons continue from given states, within a `with` block.

    Parameters
    ----------
    module : Module
        Network with layers of neurons.
    before : dict
        States by layer name, as an earlier block yielded them. Empty: fresh states.

    Yields
    ------
    after : dict
        States after the forward pass, by layer name.

    Raises
    ------
    InputError
        If a layer is used twice in a pass, or no layer left a state (a compiled network).

    Examples
    --------
    Two steps at once, and one after the other:

    >>> net, current = nn.Sequential(IF()), torch.full((2, 1), 0.6)
    >>> at_once = net(current)[0]
    >>> with carried_state(net, {}) as state:
    ...     first, _ = net(current[:1])
    >>> with carried_state(net, state):
    ...     second, _ = net(current[1:])
    >>> torch.equal(at_once, torch.cat([first, second]))
    True
    """
    names: dict[nn.Module, str] = {
        neuron: name for name, neuron in module.named_modules() if isinstance(neuron, Neuron)
    }
    after: dict[str, State] = {}
    token = _CARRY.set((names, before, after))
    try:
        yield after
    finally:
        _CARRY.reset(token)
    if names and not after:
        raise InputError(
            "no layer of neurons has left a state: a compiled network cannot go on from one."
        )


def is_carried() -> bool:
    return not torch.compiler.is_dynamo_compiling() and _CARRY.get() is not None


def _wide(current: Tensor) -> torch.dtype:
    return torch.float64 if current.dtype == torch.float64 else torch.float32
