"""What turns a network's output into a loss to train and scores to decide by."""

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Readout(Protocol):
    """How a network's output becomes a loss to train and scores `[B, K]` whose argmax is the
    label.
    """

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        """A scalar, for `labels` int64 `[B]`, or float `[B, K]` where they are probabilities of
        classes.
        """

    def scores(self, output: Any) -> Tensor:
        """float32 `[B, K]`; probabilities are their softmax."""

    def ties(self, output: Any) -> Tensor:
        """bool `[B]`: where the label was decided by a tie-break."""
        return _has_tie(self.scores(output))


class SpikingReadout(Readout):
    """A readout of what is summed up over time, so that it can also say what the scores are so
    far.
    """

    def accumulate(self, output: Any) -> Tensor:
        """What one has to keep of `output`, to be added to that of other steps: float32 `[…, B,
        K]`.
        """
        raise NotImplementedError

    def scores_of(self, total: Tensor, num_steps: int) -> Tensor:
        """The scores `[B, K]` after `num_steps` steps that accumulated to `total`."""
        raise NotImplementedError

    def loss(self, output: Any, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.scores(output), labels)

    def scores(self, output: Any) -> Tensor:
        return self.scores_of(self.accumulate(output), _num_steps(output))

    def steps(self, output: Any) -> list[Any]:
        """The outputs of single steps, of the shape of `output` with one step."""
        if isinstance(output, tuple):
            return list(zip(*(part.split(1) for part in output), strict=True))
        return list(output.split(1))

    def running_scores(self, output: Any) -> Tensor:
        """The scores so far after each of the T steps of `output`: float32 `[T, B, K]`; the last
        are those of `scores`.

        One pass of the network is enough for what it would have answered at any time.
        """
        total, running = None, []
        for t, step in enumerate(self.steps(output)[:-1]):
            now = self.accumulate(step)
            total = now if total is None else total + now
            running.append(self.scores_of(total, t + 1))
        # Sums in another order differ in the last digit, which would let the answer after all steps
        # be another one.
        return torch.stack([*running, self.scores(output)])


class SpikeCountReadout(SpikingReadout):
    """The study's readout, for `(spk, mem)` of the output layer, both `[T, B, K]`.

    The loss is the mean over steps of the cross-entropy of the membrane. The label has the most
    spikes, ties broken by the summed membrane: scores are count + rank/(2K), with rank 0 … K−1 of
    the summed membrane.
    """

    def loss(self, output: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        _, mem = output
        # With the classes in the middle, torch works on whole rows of images: a quarter of the
        # time, the same numbers.
        every = (
            labels.expand(len(mem), -1) if labels.dim() == 1 else labels.T.expand(len(mem), -1, -1)
        )
        return F.cross_entropy(mem.movedim(2, 1).contiguous(), every)

    def accumulate(self, output: tuple[Tensor, Tensor]) -> Tensor:
        """Counts of spikes and summed membranes: `[2, B, K]`."""
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
    """For an output layer that does not spike, `[T, B, K]`: its mean over steps is the score, for
    loss and label.
    """

    def accumulate(self, output: Tensor) -> Tensor:
        """The sum over steps `[B, K]`."""
        return output.sum(0, dtype=torch.float32)

    def scores_of(self, total: Tensor, num_steps: int) -> Tensor:
        return total / num_steps


class LogitReadout(Readout):
    """The readout of a network that returns one score a class, `[B, K]`: cross-entropy of the
    softmax.
    """

    def loss(self, output: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(output.float(), labels)

    def scores(self, output: Tensor) -> Tensor:
        return output.float()


def _num_steps(output: Any) -> int:
    return len(output[0] if isinstance(output, tuple) else output)


def _has_tie(scores: Tensor) -> Tensor:
    return (scores == scores.amax(1, keepdim=True)).sum(1) > 1
