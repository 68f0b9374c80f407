"""Who is timed: spikeduel, and peers in the ways that their users write them, each in its fastest form too."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from spikeduel.measuring.bench.workloads import Workload

Step = Callable[[Tensor, Tensor], Tensor]
"""One training step on images uint8 `[B, 1, H, W]` and labels int64 `[B]`: returns the loss."""

SPIKING = ("dense", "conv")
ALL = (*SPIKING, "cnn")
ALWAYS, NEVER = ("bf16", "float32"), ()
FIRST_STEPS_COMPILED = 5
"""torch.compile compiles again when it sees what changed since the first step."""


@dataclass(frozen=True)
class Built:
    """A network ready to be trained, and the precision of its matrix products: "float32" or "bf16".

    The `first_steps` are slower than the others: they compile, or use memory for the first time.
    """

    step: Step
    precision: str
    first_steps: int = 1


@dataclass(frozen=True)
class Contender:
    """`builder` (`module:function`) makes a `Built` of a workload and `settings`, in a process of its own.

    `shapes` says which workloads it takes part in. `--quick` includes it on machines whose faster precision is in
    `quick`. `keeps_memory`: the process keeps freed memory, as in spikeduel's training.
    """

    name: str
    about: str
    builder: str
    shapes: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict, hash=False)
    quick: tuple[str, ...] = ALWAYS
    keeps_memory: bool = False


def is_spikeduel(name: str) -> bool:
    """Whether the contender called so is spikeduel itself, in whatever precision."""
    return name.startswith("spikeduel")


def _fastest_forms(name: str, about: str, builder: str) -> Iterator[Contender]:
    """A peer in float32, in bf16, and compiled; the last two also with spikeduel's setting of the memory allocator."""
    kept = "freed memory kept as in spikeduel"
    bf16, compiled = {"bf16": True}, {"bf16": True, "compiled": True}
    yield Contender(name, f"{about}; float32", builder, SPIKING, {}, ("float32",))
    yield Contender(f"{name}-bf16", f"{about}; bf16 autocast", builder, SPIKING, bf16, ("bf16",))
    yield Contender(f"{name}-inductor", f"{about}; bf16, compiled by torch.compile", builder, SPIKING, compiled, NEVER)
    yield Contender(f"{name}-bf16+memory", f"{about}; bf16, {kept}", builder, SPIKING, bf16, NEVER, True)
    yield Contender(f"{name}-inductor+memory", f"{about}; compiled, {kept}", builder, SPIKING, compiled, NEVER, True)


_HERE = "spikeduel.measuring.bench"
_OURS, _CNN = f"{_HERE}.networks:build", f"{_HERE}.networks:build_cnn"

CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        Contender("spikeduel", "as `spikeduel compare` trains", _OURS, ALL, keeps_memory=True),
        Contender("spikeduel-float32", "the same with --precision 32", _OURS, ALL, {"precision": "32"}, NEVER, True),
        Contender(
            "snntorch-study",
            "snnTorch as the study wrote it, the whole network at every step (a conv network likewise); float32",
            f"{_HERE}.with_snntorch:study",
            SPIKING,
        ),
        *_fastest_forms(
            "snntorch-fastest",
            "snnTorch, stateless layers once over all steps, a constant input once, its neurons in a loop",
            f"{_HERE}.with_snntorch:fastest",
        ),
        Contender(
            "spikingjelly",
            "SpikingJelly in multi-step mode as its documentation teaches; float32",
            f"{_HERE}.with_spikingjelly:taught",
            SPIKING,
            quick=NEVER,
        ),
        *_fastest_forms(
            "spikingjelly-hoisted",
            "SpikingJelly in multi-step mode, a constant input through the first layer once",
            f"{_HERE}.with_spikingjelly:hoisted",
        ),
        Contender("torch-cnn", "the study's CNN in plain PyTorch; float32", _CNN, ("cnn",)),
        Contender(
            "torch-cnn-tuned", "the same; channels last, bf16 autocast, fused Adam", _CNN, ("cnn",), {"tuned": True}
        ),
    )
}

PEER_OF_SCALING = "spikingjelly-hoisted-bf16"


def taking_part(workload: Workload, quick: bool, faster: str) -> list[Contender]:
    """The contenders of `workload`, spikeduel first; `faster` ("bf16" or "float32") is faster on this machine."""
    return [
        contender
        for contender in CONTENDERS.values()
        if workload.shape in contender.shapes and (not quick or faster in contender.quick)
    ]
