"""A step of training, for spiking and other networks."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from spikeduel.networks.data_parallel import ALONE, Ranks, data_parallel
from spikeduel.networks.joining import join_layers
from spikeduel.networks.models import Model
from spikeduel.networks.optimizers import Optimizer, TrainingRules
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import LogitReadout, SpikingReadout
from spikeduel.system.hardware import keep_freed_memory

COUNTED_AT_ONCE = 16
"""Steps whose right answers are counted together: one by one, the many small calls add up beside a
short step.
"""
FORGETTING = 4
"""With momentum 4 / (4 + n) after n batches, later ones count for more than with the mean over all,
which 1 gives.
"""


class TrainingStep:
    """A step of a training by `rules`: forward, backward, optimizer. The model is trained in place.

    Layers that have a kernel for it are computed as one (`join_layers`).
    `num_steps` is the number of steps of the whole training, which the learning rate follows. With
    several `ranks`, each rank calls the step with its part of a batch.
    """

    def __init__(
        self, model: Model, rules: TrainingRules, num_steps: int, ranks: Ranks = ALONE
    ) -> None:
        keep_freed_memory()
        self.model = model
        self.module = model.module
        join_layers(self.module)
        # First: all ranks begin with the weights of rank 0.
        is_alone = ranks.size == 1
        self._run = self._forward if is_alone else data_parallel(self.module, self._forward)
        self.rules = rules
        self._outputs: list[tuple[Any, Tensor]] = []
        self._right: int | Tensor = 0
        norms = (layer for layer in self.module.modules() if isinstance(layer, _BatchNorm))
        self._young: list[tuple[_BatchNorm, float]] = [
            (norm, norm.momentum)
            for norm in norms
            if norm.num_batches_tracked is not None and norm.momentum
        ]
        self.optimizer = Optimizer(self.module, rules, num_steps)

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        keys: RandomKeys,
        targets: Tensor | None = None,
        weight: float = 1.0,
    ) -> Tensor:
        """Learn from prepared images uint8 `[B, C, H, W]` with labels int64 `[B]`.

        The gradient is multiplied by `weight`. `targets` float `[B, K]` are probabilities of
        classes to learn in place of the labels. Returns the loss as it was before the step: a
        tensor, since reading a number would make a device wait.
        """
        self._average_statistics()
        output = self._output(images, keys)
        readout = self.model.readout
        loss = readout.loss(output, self._smoothed(labels if targets is None else targets))
        self.optimizer.zero_grad()
        (loss if weight == 1.0 else loss * weight).backward()
        self.optimizer.step()
        if isinstance(readout, SpikingReadout | LogitReadout):
            detached = (
                tuple(part.detach() for part in output)
                if isinstance(output, tuple)
                else output.detach()
            )
            self._outputs.append((detached, labels))
            if len(self._outputs) == COUNTED_AT_ONCE:
                self._count()
        else:
            self._add_right(output, labels)  # a user's own output may not be one that can be joined
        return loss.detach()

    def num_right(self) -> int:
        """Return the number of right answers, as they were before each step, since the last
        call.
        """
        self._count()
        right, self._right = int(self._right), 0
        return right

    def _average_statistics(self) -> None:
        """Let the running statistics of batch norms forget their first values in the first steps.

        After twenty steps, as small data sets have them, these would still be an eighth.
        """
        young, self._young = self._young, []
        for norm, usual in young:
            seen = 0 if norm.num_batches_tracked is None else int(norm.num_batches_tracked)
            norm.momentum = momentum = max(usual, FORGETTING / (FORGETTING + seen))
            if momentum > usual:
                self._young.append((norm, usual))

    def _smoothed(self, labels: Tensor) -> Tensor:
        """Return `labels` int64 `[B]`, or smoothed as float `[B, K]`."""
        smoothing, num_classes = self.rules.label_smoothing, len(self.model.card.classes)
        if not smoothing:
            return labels
        certain = labels if labels.is_floating_point() else F.one_hot(labels, num_classes).float()
        return certain * (1 - smoothing) + smoothing / num_classes

    def _count(self) -> None:
        if self._outputs:
            outputs, labels = zip(*self._outputs, strict=True)
            joined = (
                tuple(torch.cat(parts, -2) for parts in zip(*outputs, strict=True))
                if isinstance(outputs[0], tuple)
                else torch.cat(outputs, -2)
            )
            self._add_right(joined, torch.cat(labels))
            self._outputs.clear()

    @torch.no_grad()
    def _add_right(self, output: Any, labels: Tensor) -> None:
        self._right = self._right + (self.model.readout.scores(output).argmax(1) == labels).sum()

    def _output(self, images: Tensor, keys: RandomKeys) -> Any:
        """Return the network's output.

        Batch norm refuses a last batch of one image where that is one number for each channel: then
        it takes the statistics that it has.
        """
        try:
            return self._run(images, keys)
        except ValueError:
            if len(images) > 1:
                raise
        self.module.eval()
        try:
            return self._run(images, keys)
        finally:
            self.module.train()

    def _forward(self, images: Tensor, keys: RandomKeys) -> Any:
        return self.model.run(self.model.encode(images, keys))
