"""One step of training, for both families."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from spikeduel.networks.data_parallel import ALONE, Ranks, data_parallel
from spikeduel.networks.models import Model
from spikeduel.networks.optimizers import Optimizer
from spikeduel.settings import Experiment
from spikeduel.spiking.neurons import LIF, State, carried_state
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.spiking.readouts import LogitReadout, SpikingReadout
from spikeduel.system.errors import InputError
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
    """One of the `num_steps` steps of a training by the rules of `experiment`, for both families:
    forward, backward, optimizer. Its model is trained in place.

    With `chunk_steps`, a spiking network takes its time steps that many at a time, and keeps of
    those before only the neurons' states: backward computes them again. With several `ranks`, each
    rank calls the step with its part of a batch.
    """

    def __init__(
        self,
        model: Model,
        experiment: Experiment,
        num_steps: int,
        twin: Model | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        from spikeduel.networks.adam import Bf16Copies  # it takes Numba to start

        keep_freed_memory()
        self.model = model
        self.module = model.module
        # First: copies and averages of weights begin with the weights of rank 0.
        is_alone = ranks.size == 1
        self._run = self._forward if is_alone else data_parallel(self.module, self._forward)
        self.experiment = experiment
        self.twin = twin if experiment.distillation else None
        self._given: list[tuple[Any, Tensor]] = []
        self._right: int | Tensor = 0
        self._neurons: list[tuple[LIF, float, float]] = []
        if (first := experiment.first_surrogate_alpha) is not None and model.card.foreign is None:
            layers = (layer for layer in self.module.modules() if isinstance(layer, LIF))
            self._neurons = [(layer, first, layer.surrogate_alpha) for layer in layers]
        norms = (layer for layer in self.module.modules() if isinstance(layer, _BatchNorm))
        self._young: list[tuple[_BatchNorm, float]] = [
            (norm, norm.momentum)
            for norm in norms
            if norm.num_batches_tracked is not None and norm.momentum
        ]
        self.chunk_steps = experiment.chunk_steps if model.card.num_steps is not None else None
        # The gradients of chunks would be summed up in bf16, and those of processes are added up as
        # those of weights.
        has_copies = experiment.optimizer == "adam" and self.chunk_steps is None and is_alone
        copies = Bf16Copies(model) if has_copies else None
        self.optimizer = Optimizer(self.module, experiment, num_steps, copies)
        if self.chunk_steps is not None:
            why = None
            if model.card.foreign is not None:
                why = "was not made of spikeduel's neurons, so that its state cannot be handed to the next chunk"
            elif any(isinstance(layer, _BatchNorm) for layer in self.module.modules()):
                why = "has batch normalisation, whose statistics are taken over all time steps at once"
            if why is not None:
                raise InputError(
                    f"chunk_steps: {model.card.contender} {why}. Leave chunk_steps unset; a "
                    f"smaller batch_size also "
                    "takes less memory."
                )

    def __call__(
        self,
        images: Tensor,
        labels: Tensor,
        keys: RandomKeys,
        targets: Tensor | None = None,
        weight: float = 1.0,
    ) -> Tensor:
        """Learns from prepared images uint8 `[B, C, H, W]` with labels int64 `[B]`. The gradient
        is multiplied by `weight`.

        `targets` float `[B, K]` are probabilities of classes to learn in place of the labels.
        Returns the loss as it was before it learned: a tensor, since reading a number would make a
        device wait.
        """
        self._set_surrogates()
        self._average_statistics()
        output = self._output(images, keys)
        readout = self.model.readout
        loss = self._loss(
            output, self._targets(images, labels if targets is None else targets, keys)
        )
        self.optimizer.zero_grad()
        (loss if weight == 1.0 else loss * weight).backward()
        self.optimizer.step()
        if isinstance(readout, SpikingReadout | LogitReadout):
            detached = (
                tuple(part.detach() for part in output)
                if isinstance(output, tuple)
                else output.detach()
            )
            if self._given and _length(self._given[0][0]) != _length(detached):
                self._count()  # the number of time steps has grown, and these cannot be joined
            self._given.append((detached, labels))
            if len(self._given) == COUNTED_AT_ONCE:
                self._count()
        else:
            self._add_right(output, labels)  # somebody's own may give what cannot be joined
        return loss.detach()

    def _set_surrogates(self) -> None:
        """Makes them as wide as they are at this point of the training, where their width
        changes.
        """
        for neuron, first, last in self._neurons:
            neuron.surrogate_alpha = first + (last - first) * self.optimizer.progress

    def _average_statistics(self) -> None:
        """Has the running statistics of batch norms forget what they began with in the first steps:
        after twenty, as small sets have them, that would still be an eighth of them.
        """
        young, self._young = self._young, []
        for norm, usual in young:
            seen = 0 if norm.num_batches_tracked is None else int(norm.num_batches_tracked)
            norm.momentum = momentum = max(usual, FORGETTING / (FORGETTING + seen))
            if momentum > usual:
                self._young.append((norm, usual))

    def _targets(self, images: Tensor, labels: Tensor, keys: RandomKeys) -> Tensor:
        """`labels` int64 `[B]`, or float `[B, K]`, smoothed and mixed with the twin's answers."""
        smoothing, share = self.experiment.label_smoothing, self.experiment.distillation
        if not smoothing and self.twin is None:
            return labels
        num_classes = len(self.model.card.classes)
        certain = labels if labels.is_floating_point() else F.one_hot(labels, num_classes).float()
        targets = certain * (1 - smoothing) + smoothing / num_classes
        if self.twin is None:
            return targets
        # Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", at temperature 1.
        with torch.no_grad():
            answers = self.twin.readout.scores(
                self.twin.run(self.twin.encode(images, keys))
            ).softmax(1)
        return targets * (1 - share) + answers * share

    def _loss(self, output: Any, targets: Tensor) -> Tensor:
        readout, share = self.model.readout, self.experiment.per_step_loss
        loss = readout.loss(output, targets)
        if not share or not isinstance(readout, SpikingReadout):
            return loss
        # Deng et al. 2022, "Temporal Efficient Training of Spiking Neural Network via Gradient
        # Re-weighting".
        single = [readout.loss(each, targets) for each in readout.steps(output)]
        return (1 - share) * loss + share * torch.stack(single).mean()

    def num_right(self) -> int:
        """The right answers since this was last asked, as they were before it learned from them."""
        self._count()
        right, self._right = int(self._right), 0
        return right

    def _count(self) -> None:
        if self._given:
            outputs, labels = zip(*self._given, strict=True)
            self._add_right(_joined(outputs, axis=-2), torch.cat(labels))
            self._given.clear()

    @torch.no_grad()
    def _add_right(self, output: Any, labels: Tensor) -> None:
        self._right = self._right + (self.model.readout.scores(output).argmax(1) == labels).sum()

    def _output(self, images: Tensor, keys: RandomKeys) -> Any:
        """The network's. Batch norm refuses a last batch of one image where that is one number for
        each channel: then it takes the statistics that it has.
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
        num_steps = self.model.card.num_steps
        if self.chunk_steps is None or num_steps is None:
            return self.model.run(
                self.model.encode(images, keys, self._window_now()), self.optimizer.copies
            )
        outputs: list[Any] = []
        state: dict[str, State] = {}
        for start in range(0, num_steps, self.chunk_steps):
            window = range(start, min(start + self.chunk_steps, num_steps))
            output, state = checkpoint(
                self._window, images, keys, window, state, use_reentrant=False
            )
            outputs.append(output)
        return _joined(outputs, axis=0)

    def _window_now(self) -> range | None:
        """The time steps that a spiking network takes at this point of its training; None for all
        of them.
        """
        growing, card = self.experiment.first_steps, self.model.card
        # What counts or unrolls its steps itself has a number of them.
        if not growing or card.num_steps is None or card.foreign is not None:
            return None
        stages = [*growing, card.num_steps]
        return range(min(stages[int(self.optimizer.progress * len(stages))], card.num_steps))

    def _window(
        self, images: Tensor, keys: RandomKeys, window: range, state: dict[str, State]
    ) -> tuple[Any, Any]:
        with carried_state(self.module, state) as after:
            output = self.model.run(self.model.encode(images, keys, window))
        return output, after


def _length(output: Any) -> int:
    return len(output[0] if isinstance(output, tuple) else output)


def _joined(outputs: Sequence[Any], axis: int) -> Any:
    """A network's outputs, tensors or tuples of them, one after another along `axis`."""
    if isinstance(outputs[0], tuple):
        return tuple(torch.cat(parts, axis) for parts in zip(*outputs, strict=True))
    return torch.cat(list(outputs), axis)
