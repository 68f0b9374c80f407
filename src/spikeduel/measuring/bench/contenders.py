"""Who is timed: spikeduel, and peers in the ways that their users write them, each at its best too."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from spikeduel.measuring.bench.workloads import Workload

Step = Callable[[Tensor, Tensor], Tensor]
"""One training step on images uint8 `[B, 1, H, W]` and labels int64 `[B]`: returns the loss."""

SPIKING = ("dense", "conv")
ALL = (*SPIKING, "cnn")
ALWAYS, FASTER, NEVER = "always", "faster", "never"
FIRST_STEPS_COMPILED = 5
"""torch.compile compiles again when it sees what changed since the first step."""


@dataclass(frozen=True)
class Built:
    """A network ready to be trained, and the precision of its matrix products: "float32" or "bf16".

    The `first_steps` are unlike the others, because something is compiled in them, or memory first used.
    """

    step: Step
    precision: str
    first_steps: int = 1


@dataclass(frozen=True)
class Contender:
    """`builder` (`module:function`) makes a `Built` of a workload and `settings`, in a process of its own.

    `shapes` says which workloads it takes part in; `quick` whether `--quick` has it: "always", "never", or "faster",
    where its matrix products are in the precision that is faster on this machine. `keeps_memory`: freed memory stays
    with its process, as spikeduel's training has it.
    """

    name: str
    about: str
    builder: str
    shapes: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    quick: str = ALWAYS
    keeps_memory: bool = False

    @property
    def own(self) -> bool:
        """Whether it is spikeduel itself."""
        return self.name.startswith("spikeduel")

    def in_quick(self, faster: str) -> bool:
        """Whether `--quick` has it, where `faster` ("bf16" or "float32") is this machine's faster precision."""
        bf16 = self.settings.get("bf16", False)
        return self.quick == ALWAYS or (self.quick == FASTER and bf16 == (faster == "bf16"))


def _at_its_best(name: str, about: str, builder: str) -> list[Contender]:
    """A peer in float32, in bf16, and compiled; these two with spikeduel's setting of the memory allocator as well."""
    bf16, compiled, kept = {"bf16": True}, {"bf16": True, "compiled": True}, "freed memory kept as in spikeduel"
    return [
        Contender(name, f"{about}; float32", builder, SPIKING, {}, FASTER),
        Contender(f"{name}-bf16", f"{about}; bf16 autocast", builder, SPIKING, bf16, FASTER),
        Contender(f"{name}-inductor", f"{about}; bf16, compiled by torch.compile", builder, SPIKING, compiled, NEVER),
        Contender(f"{name}-bf16+memory", f"{about}; bf16, {kept}", builder, SPIKING, bf16, NEVER, keeps_memory=True),
        Contender(
            f"{name}-inductor+memory",
            f"{about}; compiled, {kept}",
            builder,
            SPIKING,
            compiled,
            NEVER,
            keeps_memory=True,
        ),
    ]


_OURS, _SNNTORCH = "spikeduel.measuring.bench.ours:build", "spikeduel.measuring.bench.with_snntorch"
_SPIKINGJELLY, _TORCH = "spikeduel.measuring.bench.with_spikingjelly", "spikeduel.measuring.bench.with_torch:build"

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender("spikeduel", "as `spikeduel compare` trains", _OURS, ALL, keeps_memory=True),
        Contender(
            "spikeduel-float32",
            "the same with --precision 32",
            _OURS,
            ALL,
            {"precision": "32"},
            NEVER,
            keeps_memory=True,
        ),
        Contender(
            "snntorch-study",
            "snnTorch as the study wrote it, the whole network at every step (a conv network likewise); float32",
            f"{_SNNTORCH}:study",
            SPIKING,
        ),
        *_at_its_best(
            "snntorch-fastest",
            "snnTorch, stateless layers once over all steps, a constant input once, its neurons in a loop",
            f"{_SNNTORCH}:fastest",
        ),
        Contender(
            "spikingjelly",
            "SpikingJelly in multi-step mode as its documentation teaches; float32",
            f"{_SPIKINGJELLY}:taught",
            SPIKING,
            quick=NEVER,
        ),
        *_at_its_best(
            "spikingjelly-hoisted",
            "SpikingJelly in multi-step mode, a constant input through the first layer once",
            f"{_SPIKINGJELLY}:hoisted",
        ),
        Contender("torch-cnn", "the study's CNN in plain PyTorch; float32", _TORCH, ("cnn",)),
        Contender(
            "torch-cnn-tuned", "the same; channels last, bf16 autocast, fused Adam", _TORCH, ("cnn",), {"tuned": True}
        ),
    )
}

PEER_OF_SCALING = "spikingjelly-hoisted-bf16"


def taking_part(workload: Workload, quick: bool, faster: str) -> list[Contender]:
    """The contenders of `workload`, spikeduel first."""
    return [
        contender
        for contender in CONTENDERS.values()
        if workload.shape in contender.shapes and (not quick or contender.in_quick(faster))
    ]
