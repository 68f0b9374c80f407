"""Optimizers of a training: `Muon` and what `TrainingRules` name, with the learning rate over
time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

WARM_UP = 0.2
"""The share of a training for which a linear schedule rises."""


@dataclass(frozen=True)
class TrainingRules:
    """Settings of a training step, the same for spiking and other networks.

    `optimizer`: "adam" ignores `weight_decay`; "muon" is for hidden layers, with "adamw" for the
    rest. `schedule`: "linear" raises the learning rate for the first fifth of the training and
    lowers it to 0 in the rest. `label_smoothing` is the share of a label that is spread over all
    classes.
    """

    optimizer: Literal["adam", "adamw", "muon"] = "muon"
    learning_rate: float = 0.01
    weight_decay: float = 0.05
    schedule: Literal["constant", "linear"] = "linear"
    label_smoothing: float = 0.0


class Muon(torch.optim.Muon):
    """torch's Muon for filters `[O, I, H, W]` too, taken as matrices `[O, I·H·W]`.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; its steps are
    scaled so that Adam's learning rate fits (Liu et al. 2025, "Muon is Scalable for LLM Training").
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
        """See torch's."""
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = None if weight.grad is None else _matrix(weight.grad, weight)
        return super().step(closure)


class Optimizer:
    """The optimizer that `rules` name, for the weights of `module`, over `num_steps` training
    steps.

    Weight decay concerns matrices and filters only. `step` follows the schedule; the state can be
    kept and put back.
    """

    def __init__(
        self,
        module: nn.Module,
        rules: TrainingRules,
        num_steps: int,
    ) -> None:
        self.rules = rules
        self.num_steps = num_steps
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        self._taken = 0
        self._optimizers = list(_made(module, self.weights, rules))
        self._rates = [(group, group["lr"]) for group in self._groups()]

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for weight in self.weights:
            weight.grad = None

    def step(self) -> None:
        """Take a step along the gradients of the weights."""
        share = self._share_of_rate()
        for group, rate in self._rates:
            group["lr"] = rate * share
        for optimizer in self._optimizers:
            optimizer.step()
        self._taken += 1

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        states = [optimizer.state_dict() for optimizer in self._optimizers]
        return {"taken": self._taken, "optimizers": states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._taken = state["taken"]
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        # Loading makes new groups.
        rates = [rate for _, rate in self._rates]
        self._rates = list(zip(self._groups(), rates, strict=True))

    def _share_of_rate(self) -> float:
        if self.rules.schedule == "constant":
            return 1.0
        rising = WARM_UP * self.num_steps
        falling = (self.num_steps - self._taken) / (self.num_steps - rising)
        return min((self._taken + 1) / rising, 1.0, falling)


def _made(
    module: nn.Module, weights: Sequence[Tensor], rules: TrainingRules
) -> Iterable[torch.optim.Optimizer]:
    rate, decay = rules.learning_rate, rules.weight_decay
    if rules.optimizer == "adam":
        # Momenta and epsilon are torch's defaults, as in the study.
        yield torch.optim.Adam(weights, lr=rate, fused=True)
        return
    # Frozen weights, and what a parametrisation computes, are not among `weights`.
    of_muon = {*weights} & {*_hidden(module)} if rules.optimizer == "muon" else set()
    if of_muon:
        yield Muon([weight for weight in weights if weight in of_muon], rate, decay)
    others = [weight for weight in weights if weight not in of_muon]
    groups = [
        {"params": [weight for weight in others if weight.dim() > 1], "weight_decay": decay},
        {"params": [weight for weight in others if weight.dim() <= 1], "weight_decay": 0.0},
    ]
    yield torch.optim.AdamW([group for group in groups if group["params"]], lr=rate, fused=True)


def _hidden(module: nn.Module) -> list[Tensor]:
    """Return filters and matrices, but for those of the first and the last layer that has some."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    # Filters of a depthwise convolution are no matrices.
    return [
        layer.weight
        for layer in layers[1:-1]
        if not isinstance(layer, nn.Conv2d) or layer.groups == 1
    ]


def _matrix(values: Tensor, weight: Tensor) -> Tensor:
    """Return `values`, of the shape of `weight`, as a matrix `[O, …]`.

    The columns are in the order in which `weight` lies in memory, so that the matrix is a view.
    """
    if weight.is_contiguous():
        return values.flatten(1)
    return values.permute(0, 2, 3, 1).flatten(1)
