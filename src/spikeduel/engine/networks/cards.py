"""Cards of models: the metadata of a model file. They import no torch."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system.registry import Family, Precision
from spikeduel.system.typed import Frozen, Positive

COLDEST, HOTTEST = 0.01, 100.0
Temperature = Annotated[float, Meta(ge=COLDEST, le=HOTTEST)]
"""Divisor of scores before the softmax."""
Size = Annotated[int, Meta(gt=0)]
Steps = Annotated[int, Meta(ge=1, le=100_000)]


Output = Literal["scores", "over_time", "spikes"]


class CallConvention(Frozen, kw_only=False):
    """Calling convention of a network of another library.

    `way`: "once", "loop" (image in, `num_steps` steps inside), "step" (called for each time step),
    "sequence" (`[T, B, …]` at once). With `flat`, images come as `[B, C·H·W]`. `output`: "scores"
    `[B, K]`, "over_time" `[T, B, K]`, or "spikes", `(spk, mem)` of `[T, B, K]` each; without T for
    "step".
    """

    way: Literal["once", "loop", "step", "sequence"]
    flat: bool = False
    output: Output = "scores"
    num_steps: Positive | None = None


@dataclass(frozen=True)
class ModelCard:
    """Description of a model and its images.

    `network` has the settings of the architecture and its neurons. `encoding` and `num_steps` (T)
    are None for analogue images. Scores divided by `temperature` give calibrated probabilities.
    `trained_on` identifies data and split, so that no model is tested on its training images.
    `foreign` is None for spikeduel's networks.
    """

    contender: str
    family: Family
    image_shape: tuple[Size, Size, Size]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: dict[str, Any]
    encoding: str | None = None
    num_steps: Steps | None = None
    precision: Precision = "32"
    seed: Annotated[int, Meta(ge=0)] = 0
    dataset: str = ""
    trained_on: dict[str, Any] = field(default_factory=dict)
    foreign: CallConvention | None = None
    temperature: Temperature | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of an input: an image, all frames of a recording, or one if it spikes."""
        channels, height, width = self.image_shape
        binning = self.preprocessing.binning
        return (
            (channels // binning.num_frames if binning and self.num_steps else channels),
            height,
            width,
        )

    @property
    def title(self) -> str:
        fold = self.trained_on.get("fold")
        return f"{self.contender}, seed {self.seed}" + ("" if fold is None else f", fold {fold}")
