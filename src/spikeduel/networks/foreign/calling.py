"""How a network that was not made for spikeduel is called, and the form in which spikeduel holds it."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from spikeduel.networks.foreign.neurons import reset, spiking_layers
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.readouts import LogitReadout, MeanReadout, Readout, SpikeCountReadout
from spikeduel.system.registry import Family

Output = Literal["scores", "over_time", "spikes"]
Steps = Annotated[int, Meta(ge=1, le=100_000)]
"""A number of time steps."""


@dataclass(frozen=True)
class Calling:
    """How a foreign network is called, and what it gives.

    `way`: "once" (an image in, an answer out), "loop" (an image in, `num_steps` steps are made inside), "step" (called
    for each time step, keeps its state between), "sequence" (all time steps at once, `[T, B, …]`). With `flat`, images
    come as `[B, C·H·W]`. `output`: "scores" `[B, K]`, "over_time" `[T, B, K]`, or "spikes", `(spk, mem)` of `[T, B, K]`
    each; of a single step where it is called for each.
    """

    way: Literal["once", "loop", "step", "sequence"]
    flat: bool
    output: Output
    num_steps: Steps | None = None

    @property
    def readout(self) -> Readout:
        """What makes a loss and scores of its output."""
        readouts: dict[Output, Readout] = {
            "scores": LogitReadout(),
            "over_time": MeanReadout(),
            "spikes": SpikeCountReadout(),
        }
        return readouts[self.output]


class Foreign(nn.Module):
    """A foreign network in the form that spikeduel trains: fresh at every call, with a `family` and a `readout`.

    Its weights have the names that they have in the network itself.
    """

    def __init__(self, module: nn.Module, calling: Calling, family: Family) -> None:
        super().__init__()
        self.module = module
        self.calling = calling
        self.family = family
        self.readout = calling.readout
        for layer in spiking_layers(module).values():
            layer.register_forward_pre_hook(_in_float32)

    def forward(self, x: Tensor | ConstantInput) -> Any:
        """What the network gives (`Calling.output`) for images `[B, C, H, W]`, `[T, B, C, H, W]` or a
        `ConstantInput`."""
        return called(self.module, x, self.calling)

    def state_dict(self, *args: Any, **settings: Any) -> Any:
        """See `nn.Module`; under the network's own names."""
        return self.module.state_dict(*args, **settings)

    def load_state_dict(self, state_dict: Any, *args: Any, **settings: Any) -> Any:
        """See `nn.Module`; under the network's own names."""
        return self.module.load_state_dict(state_dict, *args, **settings)


def called(module: nn.Module, x: Tensor | ConstantInput, calling: Calling) -> Any:
    """The output of `module` for what an encoder gives, or for images `[B, C, H, W]`, from a fresh state."""
    reset(module)
    if calling.way in ("once", "loop"):
        images = x.value if isinstance(x, ConstantInput) else x
        return as_tuple(module(images.flatten(1) if calling.flat else images))
    if calling.way == "sequence":
        sequence = x.expand() if isinstance(x, ConstantInput) else x
        return as_tuple(module(sequence.flatten(2) if calling.flat else sequence))
    if isinstance(x, ConstantInput):
        # The same tensor at every step, so that counting can tell that it is the same image.
        frames = [x.value.flatten(1) if calling.flat else x.value] * x.num_steps
    else:
        frames = [frame.flatten(1) if calling.flat else frame for frame in x.unbind(0)]
    steps = [as_tuple(module(frame)) for frame in frames]
    if isinstance(steps[0], tuple):
        return tuple(torch.stack(parts) for parts in zip(*steps, strict=True))
    return torch.stack(steps)


def as_tuple(output: Any) -> Any:
    """A list of tensors as a tuple, which is what readouts know."""
    return tuple(output) if isinstance(output, list) else output


def _in_float32(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Membranes are float32 under any precision, in foreign neurons too, which take the type of their current."""
    return tuple(part.float() if isinstance(part, Tensor) and part.dtype == torch.bfloat16 else part for part in inputs)
