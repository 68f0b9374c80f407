"""Readouts: a network's output as a loss to train, and scores to decide by."""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Readout(Protocol):
    """A loss, and scores whose argmax is the label."""

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """Return a scalar for `labels` int64 `[B]`, or probabilities of classes float `[B, K]`."""

    def scores(self, output: Any) -> Tensor:
        """Return scores float32 `[B, K]`; probabilities are their softmax."""

    def ties(self, output: Any) -> Tensor:
        """Return bool `[B]`: True if a tie-break decided the label."""
        return _has_tie(self.scores(output))


class SpikingReadout(Readout):
    """Base class of readouts that sum over time; `grows` if scores grow with the time steps."""

    grows = False

    def accumulate(self, output: Any) -> Tensor:
        """Return the part of `output` to sum over steps, float32 `[…, B, K]`."""
        raise NotImplementedError

    def scores_of(self, total: Tensor, num_steps: int) -> Tensor:
        """Return the scores `[B, K]` of the sum `total` after `num_steps` steps."""
        raise NotImplementedError

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.scores(output), labels)

    def scores(self, output: Any) -> Tensor:
        return self.scores_of(self.accumulate(output), _num_steps(output))

    def steps(self, output: Any) -> list[Any]:
        if isinstance(output, tuple):
            return list(zip(*(part.split(1) for part in output), strict=True))
        return list(output.split(1))

    def running_scores(self, output: Any) -> Tensor:
        """Return the scores after each time step, float32 `[T, B, K]`."""
        total, running = None, []
        for t, step in enumerate(self.steps(output)[:-1]):
            now = self.accumulate(step)
            total = now if total is None else total + now
            running.append(self.scores_of(total, t + 1))
        # Sums in another order could change the last scores.
        return torch.stack([*running, self.scores(output)])


class SpikeCountReadout(SpikingReadout):
    """Readout of the spikes of an output layer, `(spk, mem)`, both `[T, B, K]`: that of the study.

    The loss is the cross-entropy of the membrane, mean over steps. Scores are counts of spikes.
    Ties are broken by the summed membrane: rank/(2K) is added, with rank 0 … K−1.

    Examples
    --------
    >>> spk, mem = torch.zeros(5, 1, 2), torch.zeros(5, 1, 2)
    >>> spk[:, :, 1] = 1
    >>> SpikeCountReadout().scores((spk, mem)).argmax(1)
    tensor([1])
    """

    grows = True

    def loss(self, output: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        _, mem = output
        # Classes in the middle let torch work on rows of images: a quarter of the time.
        every = (
            labels.expand(len(mem), -1) if labels.dim() == 1 else labels.T.expand(len(mem), -1, -1)
        )
        return F.cross_entropy(mem.movedim(2, 1).contiguous(), every)

    def accumulate(self, output: tuple[Tensor, Tensor]) -> Tensor:
        """Return counts of spikes and summed membranes, `[2, B, K]`."""
        spk, mem = output
        # bfloat16 counts no further than 256.
        return torch.stack([spk.sum(0, dtype=torch.float32), mem.sum(0)])

    def scores_of(self, total: Tensor, num_steps: int) -> Tensor:
        counts, summed = total
        order = summed.argsort(dim=1, stable=True)
        steps = torch.arange(counts.shape[1], dtype=torch.float32, device=counts.device) / (
            2 * counts.shape[1]
        )
        return counts.scatter_add(1, order, steps.expand_as(counts))

    def ties(self, output: tuple[Tensor, Tensor]) -> Tensor:
        return _has_tie(output[0].sum(0, dtype=torch.float32))


class MeanReadout(SpikingReadout):
    """Readout of the mean over time steps of an output `[T, B, K]` that does not spike.

    Examples
    --------
    >>> MeanReadout().scores(torch.tensor([[[1.0, 3.0]], [[3.0, 3.0]]]))
    tensor([[2., 3.]])
    """

    def accumulate(self, output: Tensor) -> Tensor:
        return output.sum(0, dtype=torch.float32)

    def scores_of(self, total: Tensor, num_steps: int) -> Tensor:
        return total / num_steps


class LogitReadout(Readout):
    """Readout of one score per class, `[B, K]`, such as the output of a CNN.

    The loss is the cross-entropy of the softmax.

    Examples
    --------
    >>> LogitReadout().scores(torch.tensor([[1.0, 3.0]])).argmax(1)
    tensor([1])
    """

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(output.float(), labels)

    def scores(self, output: Tensor) -> Tensor:
        return output.float()


def _num_steps(output: Any) -> int:
    return len(output[0] if isinstance(output, tuple) else output)


def _has_tie(scores: Tensor) -> Tensor:
    return (scores == scores.amax(1, keepdim=True)).sum(1) > 1
