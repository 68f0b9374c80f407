"""What a training step does with its gradients: the optimizer, its learning rate over time, and
averaged weights.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from spikeduel.settings import Experiment

if TYPE_CHECKING:
    from spikeduel.networks.adam import Bf16Copies

WARM_UP = 0.2
"""The share of a training for which a linear schedule rises."""
AVERAGED_EVERY = 5
"""Steps between two averages of the weights."""


class Muon(torch.optim.Muon):
    """torch's Muon for filters `[O, I, H, W]` too, each as a matrix with a row for each output.

    Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; its steps are
    scaled so that Adam's learning rate fits (Liu et al. 2025, "Muon is Scalable for LLM Training").
    """

    def __init__(
        self, weights: Sequence[Tensor], learning_rate: float, weight_decay: float
    ) -> None:
        self._weights = weights
        # They share memory with the weights.
        self._matrices = [nn.Parameter(_matrix(each.detach(), each)) for each in weights]
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
        for weights, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = None if weights.grad is None else _matrix(weights.grad, weights)
        return super().step(closure)


class Optimizer:
    """The optimizer that `experiment` names for the weights of `module`, over `num_steps` training
    steps.

    Weight decay concerns matrices and filters only. `step` follows the schedule; the state can be
    kept and put back. Adam keeps `copies` of weights up to date, and takes their gradients.
    """

    def __init__(
        self,
        module: nn.Module,
        experiment: Experiment,
        num_steps: int,
        copies: "Bf16Copies | None" = None,
    ) -> None:
        self.experiment = experiment
        self.num_steps = num_steps
        self.weights = [weights for weights in module.parameters() if weights.requires_grad]
        self._copies = copies
        self._taken = 0
        self._optimizers = list(_made(module, self.weights, experiment, self._copies))
        self._rates = [
            (group, group["lr"]) for each in self._optimizers for group in each.param_groups
        ]
        self._slow = (
            [weights.detach().clone() for weights in self.weights] if experiment.averaging else []
        )

    @property
    def progress(self) -> float:
        """The share of the training that lies behind, from 0 to 1."""
        return self._taken / self.num_steps

    @property
    def copies(self) -> dict[str, Tensor] | None:
        """Copies by the names of the weights that they stand for in this step; None where there are
        none.
        """
        return None if self._copies is None else self._copies.current()

    def zero_grad(self) -> None:
        """Forgets all gradients."""
        for weights in (*self.weights, *(self._copies.by_name.values() if self._copies else ())):
            weights.grad = None

    def step(self) -> None:
        """Takes a step along the gradients of the weights."""
        share = self._share_of_rate()
        for group, rate in self._rates:
            group["lr"] = rate * share
        for each in self._optimizers:
            each.step()
        self._taken += 1
        if self._slow and self._taken % AVERAGED_EVERY == 0:
            self._average()

    def state_dict(self) -> dict[str, Any]:
        """All that the next steps depend on."""
        states = [each.state_dict() for each in self._optimizers]
        return {"taken": self._taken, "optimizers": states, "slow": self._slow}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""
        self._taken, self._slow = state["taken"], state["slow"]
        for each, its_state in zip(self._optimizers, state["optimizers"], strict=True):
            each.load_state_dict(its_state)
        # Loading makes new groups.
        groups = [group for each in self._optimizers for group in each.param_groups]
        self._rates = [(group, rate) for group, (_, rate) in zip(groups, self._rates, strict=True)]

    def _share_of_rate(self) -> float:
        if self.experiment.schedule == "constant":
            return 1.0
        rising = WARM_UP * self.num_steps
        return min(
            (self._taken + 1) / rising,
            1.0,
            (self.num_steps - self._taken) / (self.num_steps - rising),
        )

    @torch.no_grad()
    def _average(self) -> None:
        """Lookahead: Zhang et al. 2019, "Lookahead Optimizer: k steps forward, 1 step back"."""
        back = self.experiment.averaging * (
            1 - self.progress
        )  # at the end, weights are where they were led
        for slow, weights in zip(self._slow, self.weights, strict=True):
            weights.lerp_(slow, back)
            slow.copy_(weights)


def _made(
    module: nn.Module,
    weights: Sequence[Tensor],
    experiment: Experiment,
    copies: "Bf16Copies | None",
) -> Iterable[torch.optim.Optimizer]:
    from spikeduel.networks.adam import adam  # it takes Numba to start

    rate, decay = experiment.learning_rate, experiment.weight_decay
    if experiment.optimizer == "adam":
        # Momenta and epsilon are torch's defaults, as in the study.
        yield adam(weights, rate, copies=copies)
        return
    # What a parametrisation computes, or is frozen, is not among the weights.
    of_muon = {*weights} & {*_hidden(module)} if experiment.optimizer == "muon" else set()
    if of_muon:
        yield Muon([each for each in weights if each in of_muon], rate, decay)
    others = [each for each in weights if each not in of_muon]
    groups = [
        {"params": [each for each in others if each.dim() > 1], "weight_decay": decay},
        {"params": [each for each in others if each.dim() <= 1], "weight_decay": 0.0},
    ]
    yield torch.optim.AdamW([group for group in groups if group["params"]], lr=rate, fused=True)


def _hidden(module: nn.Module) -> list[Tensor]:
    """Filters and matrices, but for those of the first and the last layer that has some."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    # Muon is for matrices: filters of a depthwise convolution are none.
    return [
        layer.weight
        for layer in layers[1:-1]
        if not isinstance(layer, nn.Conv2d) or layer.groups == 1
    ]


def _matrix(values: Tensor, weights: Tensor) -> Tensor:
    """`values`, of the shape of `weights`, as a matrix `[O, …]` in the order that `weights` has in
    memory: a view of these.
    """
    if weights.is_contiguous():
        return values.flatten(1)
    return values.permute(0, 2, 3, 1).flatten(1)
