"""A step of training, for spiking and other networks."""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from spikeduel.engine.networks.chains import BatchNorm, join_layers, spiking_chains
from spikeduel.engine.networks.models import Model, WithoutSpikes
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.engine.readouts import LogitReadout, SpikingReadout
from spikeduel.system.hardware import keep_freed_memory

T = TypeVar("T")

NUM_TURNS = 5
"""Turns of rounding weights and fitting their steps."""
WARM_UP = 0.2
"""Share of a training for which a linear schedule rises."""


@dataclass(frozen=True)
class TrainingRules:
    """Settings of a training step, the same for all networks.

    "adam" ignores `weight_decay`; "muon" is for hidden layers, with "adamw" for the rest. "linear"
    raises the learning rate for a fifth of the training, then lowers it to 0. With `weight_bits`,
    weights are `rounded` after each step, which goes on from those before rounding (Courbariaux et
    al. 2015, "BinaryConnect"). `spike_penalty` times the share of synapses that spikes reach is
    added to the loss (Sorbaro et al. 2020, "Optimizing the Energy Consumption of Spiking Neural
    Networks for Neuromorphic Applications").
    """

    optimizer: Literal["adam", "adamw", "muon"] = "muon"
    learning_rate: float = 0.01
    weight_decay: float = 0.05
    schedule: Literal["constant", "linear"] = "linear"
    label_smoothing: float = 0.0
    weight_bits: int | None = None
    spike_penalty: float = 0.0


def rounded(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return integers, at most 2^(`bits` − 1) − 1, and steps `[O, 1, …]` with a product near
    `weight` `[O, …]`, all of the weight's type.

    With 8 bits, no weight is cut. Fewer have steps of the least squared error, found by turns
    (Zhang et al. 2018, "LQ-Nets", section 3.2).
    """
    of_output, most = tuple(range(1, weight.dim())), 2 ** (bits - 1) - 1
    step = weight.abs().amax(of_output, keepdim=True) / most
    step = step.where(step > 0, 1)
    if bits == 8:
        return (weight / step).round(), step
    for _ in range(NUM_TURNS):
        whole = (weight / step).round().clamp(-most, most)
        squares = whole.square().sum(of_output, keepdim=True)
        least = (weight * whole).sum(of_output, keepdim=True) / squares
        step = least.where(squares > 0, step)
    return whole, step


def _never_compiled(kind: type[T]) -> type[T]:
    """Strip an optimizer's methods of what keeps `torch.compile` out of them: its first call loads
    torch._dynamo, which takes seconds. `step` is then to be called without gradients.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "step"):
        setattr(kind, name, inspect.unwrap(getattr(kind, name)))
    return kind


@_never_compiled
class Adam(torch.optim.Adam):
    """torch's."""


@_never_compiled
class AdamW(torch.optim.AdamW):
    """torch's."""


@_never_compiled
class Muon(torch.optim.Muon):
    """torch's Muon for filters `[O, I, H, W]` too, as matrices `[O, I·H·W]`.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", scaled to Adam's
    learning rate (Liu et al. 2025, "Muon is Scalable for LLM Training").
    """

    def __init__(
        self, weights: Sequence[Tensor], learning_rate: float, weight_decay: float
    ) -> None:
        self._weights = weights
        # The matrices share memory with the weights.
        self._matrices = [nn.Parameter(_matrix(weight.detach(), weight)) for weight in weights]
        super().__init__(
            self._matrices,
            lr=learning_rate,
            weight_decay=weight_decay,
            momentum=0.9,
            ns_steps=3,
            adjust_lr_fn="match_rms_adamw",
        )

    def step(self, closure: Any = None) -> Any:
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad, weight)
        return super().step(closure)


class Optimizer:
    """Optimizer of `rules` over `num_steps` training steps; weight decay is for matrices and
    filters.
    """

    def __init__(self, module: nn.Module, rules: TrainingRules, num_steps: int) -> None:
        self.rules, self.num_steps = rules, num_steps
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        self._taken = 0
        self._optimizers = list(_optimizers_of(module, self.weights, rules))
        self.unrounded = [
            (layer.weight, layer.weight.detach().clone())
            for layer in (module.modules() if rules.weight_bits else ())
            if isinstance(layer, nn.Conv2d | nn.Linear)
        ]
        self._round()

    def zero_grad(self) -> None:
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def step(self) -> None:
        rate = self.rules.learning_rate * self._share_of_rate()
        for weight, unrounded in self.unrounded:
            weight.copy_(unrounded)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        for weight, unrounded in self.unrounded:
            unrounded.copy_(weight)
        self._round()
        self._taken += 1

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        states = [optimizer.state_dict() for optimizer in self._optimizers]
        unrounded = [weight for _, weight in self.unrounded]
        return {"taken": self._taken, "optimizers": states, "unrounded": unrounded}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._taken = state["taken"]
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for (_, unrounded), saved in zip(self.unrounded, state["unrounded"], strict=True):
            unrounded.copy_(saved)
        self._round()

    @torch.no_grad()
    def _round(self) -> None:
        if bits := self.rules.weight_bits:
            for weight, unrounded in self.unrounded:
                torch.mul(*rounded(unrounded, bits), out=weight)

    def _share_of_rate(self) -> float:
        if self.rules.schedule == "constant":
            return 1.0
        rising = WARM_UP * self.num_steps
        falling = (self.num_steps - self._taken) / (self.num_steps - rising)
        return min((self._taken + 1) / rising, 1.0, falling)


def _optimizers_of(
    module: nn.Module, weights: Sequence[Tensor], rules: TrainingRules
) -> Iterable[torch.optim.Optimizer]:
    """Yield the optimizers of `rules`: Adam, or AdamW, perhaps with Muon for hidden layers."""
    rate, decay = rules.learning_rate, rules.weight_decay
    if rules.optimizer == "adam":
        # Momenta and epsilon are torch's defaults, as in the study.
        yield Adam(weights, lr=rate, fused=True)
        return
    # Frozen and parametrised weights are not among `weights`.
    of_muon = {*weights} & {*_hidden(module)} if rules.optimizer == "muon" else set()
    if of_muon:
        yield Muon([weight for weight in weights if weight in of_muon], rate, decay)
    others = [weight for weight in weights if weight not in of_muon]
    groups = [
        {"params": [weight for weight in others if weight.dim() > 1], "weight_decay": decay},
        {"params": [weight for weight in others if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    yield AdamW([group for group in groups if group["params"]], lr=rate, fused=True)


def _hidden(module: nn.Module) -> list[Tensor]:
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    # Filters of a depthwise convolution are no matrices.
    return [layer.weight for layer in layers[1:-1] if getattr(layer, "groups", 1) == 1]


def _matrix(values: Tensor, weight: Tensor) -> Tensor:
    """Return a matrix `[O, …]`, columns in the order of `weight` in memory."""
    return (values if weight.is_contiguous() else values.permute(0, 2, 3, 1)).flatten(1)


COUNTED_AT_ONCE = 16
"""Steps whose correct predictions are counted together: many small calls take time beside short
steps."""
FORGETTING = 4
"""Momentum is 4 / (4 + n) after n batches: later ones count for more than with the mean over all,
which 1 gives.
"""


def batch_norms(module: nn.Module) -> list[BatchNorm]:
    """Return the batch norms of `module` that have running statistics."""
    norms = [layer for layer in module.modules() if isinstance(layer, BatchNorm)]
    return [norm for norm in norms if norm.track_running_stats]


class TrainingStep:
    """A training step by `rules`, of `num_steps`: forward, backward, optimizer, in place."""

    def __init__(self, model: Model, rules: TrainingRules, num_steps: int) -> None:
        keep_freed_memory()
        self.model, self.module, self.rules = model, model.module, rules
        join_layers(self.module)
        self._chains = []
        if rules.spike_penalty and not isinstance(model, WithoutSpikes):
            self._chains = spiking_chains(self.module)
        for chain in self._chains:
            chain.weighs_spikes = True
        self._outputs: list[tuple[Any, Tensor]] = []
        self._right: int | Tensor = 0
        self._young: list[tuple[BatchNorm, float]] = [
            (norm, norm.momentum) for norm in batch_norms(self.module) if norm.momentum
        ]
        self.optimizer = Optimizer(self.module, rules, num_steps)

    def __call__(self, images: Tensor, labels: Tensor, keys: RandomKeys) -> Tensor:
        """Learn from prepared images uint8 `[B, C, H, W]` with labels int64 `[B]`; return the loss
        before the step.
        """
        self._average_statistics()
        output = self._output(images, keys)
        readout = self.model.readout
        loss = readout.loss(output, self._smoothed(labels))
        for chain in self._chains:
            share, chain.spike_share = chain.spike_share, None
            if share is not None:
                loss = loss + self.rules.spike_penalty * share
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        # Outputs of a user's readout may not be joinable.
        is_joinable = isinstance(readout, SpikingReadout | LogitReadout)
        if is_joinable:
            is_pair = isinstance(output, tuple)
            output = tuple(part.detach() for part in output) if is_pair else output.detach()
        self._outputs.append((output, labels))
        if len(self._outputs) == COUNTED_AT_ONCE or not is_joinable:
            self._count()
        return loss.detach()

    def num_right(self) -> int:
        """Return how many predictions, made before each step, were correct since the last call."""
        self._count()
        right, self._right = int(self._right), 0
        return right

    @torch.no_grad()
    def renew_statistics(self, batches: Iterable[tuple[Tensor, RandomKeys]]) -> None:
        """Replace the running statistics of batch norms by their means over `batches`, with the
        present weights (Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm").
        """
        norms = [(norm, norm.momentum) for norm in batch_norms(self.module) if norm.training]
        for seen, (images, keys) in enumerate(batches):
            for norm, _ in norms:
                norm.momentum = 1 / (1 + seen)
            self._output(images, keys)
        for norm, usual in norms:
            norm.momentum = usual

    def end(self) -> None:
        """Give batch norms their usual momentum back, so that another step can begin."""
        for chain in self._chains:
            chain.weighs_spikes = False
        for norm, usual in self._young:
            norm.momentum = usual

    def _average_statistics(self) -> None:
        """Let batch norms forget their first statistics, an eighth even after twenty steps."""
        young, self._young = self._young, []
        for norm, usual in young:
            seen = int(norm.num_batches_tracked or 0)
            norm.momentum = momentum = max(usual, FORGETTING / (FORGETTING + seen))
            if momentum > usual:
                self._young.append((norm, usual))

    def _smoothed(self, labels: Tensor) -> Tensor:
        smoothing, num_classes = self.rules.label_smoothing, len(self.model.card.classes)
        if not smoothing:
            return labels
        return F.one_hot(labels, num_classes) * (1 - smoothing) + smoothing / num_classes

    @torch.no_grad()
    def _count(self) -> None:
        """Add the correct predictions of the collected outputs to the total."""
        if self._outputs:
            outputs, labels = zip(*self._outputs, strict=True)
            joined = outputs[0]
            if len(outputs) > 1:
                joined = tree_map(lambda *parts: torch.cat(parts, -2), *outputs)
            scores = self.model.readout.scores(joined)
            self._right = self._right + (scores.argmax(1) == torch.cat(labels)).sum()
            self._outputs.clear()

    def _output(self, images: Tensor, keys: RandomKeys) -> Any:
        """Return the network's output; a last batch of one image, which batch norm can refuse,
        takes running statistics.
        """
        try:
            return self._forward(images, keys)
        except ValueError:
            if len(images) > 1:
                raise
        self.module.eval()
        try:
            return self._forward(images, keys)
        finally:
            self.module.train()

    def _forward(self, images: Tensor, keys: RandomKeys) -> Any:
        return self.model.run(self.model.encode(images, keys))
