"""Spiking neurons, and the readouts that turn a network's output into a loss and scores."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeduel import kernels
from spikeduel.constant import Constant
from spikeduel.errors import InputError, unknown
from spikeduel.kernels import reference
from spikeduel.surrogates import resolve_alpha

State = dict[str, Tensor]


class Neuron(nn.Module):
    """A layer of neurons without weights: `spk, mem = neuron(current)`, all `[T, B, …]`, from a fresh state.

    A subclass gives `initial_state` and `step`; `forward` runs them over time. Nothing is kept between calls, so
    nothing has to be reset.
    """

    def initial_state(self, current: Tensor) -> State:
        """The state before the first step, for `current` `[B, …]`; `state["mem"]` is the membrane."""
        return {"mem": torch.zeros_like(current)}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: `current` `[B, …]` and a state to spikes `[B, …]` and the next state."""
        raise TypeError(f"{type(self).__name__} must define step(current, state).")

    def forward(self, current: Tensor | Constant) -> tuple[Tensor, Tensor]:
        """Spikes and membranes `[T, B, …]` for a current `[T, B, …]` or a `Constant`."""
        sequence = current.expand() if isinstance(current, Constant) else current
        state = self.initial_state(sequence[0])
        spikes, membranes = [], []
        for now in sequence.unbind(0):
            spk, state = self.step(now, state)
            spikes.append(spk)
            membranes.append(state["mem"])
        return torch.stack(spikes), torch.stack(membranes)


class LIF(Neuron):
    """Leaky integrate-and-fire, as snnTorch's `Leaky` defines it (`kernels/reference.py` has the equations).

    `beta` (clamped to [0, 1]) is the decay per step, `threshold` (> 0) the membrane above which it spikes,
    `reset_mechanism` one of `subtract`, `zero`, `none`; `surrogate` names the gradient of the spike, and
    `surrogate_alpha` its width. Membranes are float32, also where the current is bfloat16. Raises `InputError`.
    """

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
        self.beta = min(max(float(beta), 0.0), 1.0)
        self.threshold = float(threshold)
        self.reset_mechanism = reset_mechanism
        self.surrogate = surrogate
        self.alpha = resolve_alpha(surrogate, surrogate_alpha)

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """See `Neuron.step`."""
        spk, mem = reference.lif_step(current, state["mem"], *self._constants())
        return spk, {"mem": mem}

    def forward(self, current: Tensor | Constant) -> tuple[Tensor, Tensor]:
        """See `Neuron.forward`; fused over time where a kernel exists."""
        return kernels.lif(current, *self._constants())

    def _constants(self) -> tuple[float, float, str, str, float]:
        return self.beta, self.threshold, self.reset_mechanism, self.surrogate, self.alpha

    def extra_repr(self) -> str:
        return (
            f"beta={self.beta}, threshold={self.threshold}, reset_mechanism={self.reset_mechanism!r}, "
            f"surrogate={self.surrogate!r}, surrogate_alpha={self.alpha}"
        )


NEURONS: dict[str, Callable[..., Neuron]] = {"lif": LIF}


class Readout(Protocol):
    """How a network's output becomes a loss to train and scores `[B, K]` whose argmax is the label."""

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """A scalar, for `labels` int64 `[B]`."""

    def scores(self, output: Any) -> Tensor:
        """float32 `[B, K]`; probabilities are their softmax."""

    def ties(self, output: Any) -> Tensor:
        """bool `[B]`: where the label was decided by a tie-break."""


class SpikeCount:
    """The study's readout, for `(spk, mem)` of the output layer, both `[T, B, K]`.

    The loss is the mean over steps of the cross-entropy of the membrane. The label has the most spikes, ties broken
    by the summed membrane: scores are count + rank/(2K), with rank 0 … K−1 of the summed membrane.
    """

    def loss(self, output: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        """See `Readout.loss`."""
        _, mem = output
        return F.cross_entropy(mem.flatten(0, 1), labels.repeat(mem.shape[0]))

    def scores(self, output: tuple[Tensor, Tensor]) -> Tensor:
        """See `Readout.scores`."""
        spk, mem = output
        rank = mem.sum(0).argsort(dim=1, stable=True).argsort(dim=1)
        return spk.sum(0) + rank / (2 * spk.shape[2])

    def ties(self, output: tuple[Tensor, Tensor]) -> Tensor:
        """See `Readout.ties`."""
        counts = output[0].sum(0)
        return (counts == counts.amax(1, keepdim=True)).sum(1) > 1


class Logits:
    """The readout of a network that returns one score a class, `[B, K]`: cross-entropy of the softmax."""

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        """See `Readout.loss`."""
        return F.cross_entropy(output.float(), labels)

    def scores(self, output: Tensor) -> Tensor:
        """See `Readout.scores`."""
        return output.float()

    def ties(self, output: Tensor) -> Tensor:
        """See `Readout.ties`."""
        return (output == output.amax(1, keepdim=True)).sum(1) > 1
