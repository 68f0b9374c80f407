"""A model in words: the metadata of a model file, light to import."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.system.registry import Family, Precision
from spikeduel.system.typed import Frozen, Positive

COLDEST, HOTTEST = 0.01, 100.0
Temperature = Annotated[float, Meta(ge=COLDEST, le=HOTTEST)]
"""What scores are divided by before the softmax."""
Size = Annotated[int, Meta(gt=0)]
Steps = Annotated[int, Meta(ge=1, le=100_000)]
"""A number of time steps."""


class Calling(Frozen, kw_only=False):
    """How a network of another library is called, and what it gives.

    `way`: "once" (an image in, an answer out), "loop" (an image in, `num_steps` steps are made
    inside), "step" (called for each time step, keeps its state between), "sequence" (all time steps
    at once, `[T, B, …]`). With `flat`, images come as `[B, C·H·W]`. `output`: "scores" `[B, K]`,
    "over_time" `[T, B, K]`, or "spikes", `(spk, mem)` of `[T, B, K]` each; of a single step where
    it is called for each.
    """

    way: str
    flat: bool = False
    output: str = "scores"
    num_steps: Positive | None = None


@dataclass(frozen=True)
class ModelCard:
    """What a model is and how it wants its images: the metadata of a model file.

    `image_shape` is (C, H, W). `network` holds what its architecture was built with: `hidden`, and
    for a spiking one `neuron` and its settings. `encoding` and `num_steps` (T) are None for a
    network that takes the analogue image. `precision` is the one that it was trained in. Scores
    after all time steps, divided by `temperature`, give calibrated probabilities; None where none
    was fitted. `trained_on` identifies the data (`fingerprint`, and `ungrouped` without `group_by`)
    and its split (`split`, `split_seed`, `limit`, `folds`, `fold`), so that it is never tested on
    images that it has seen. `foreign` says how a network of another library is called; None for all
    others.
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
    foreign: Calling | None = None
    temperature: Temperature | None = None

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what its network takes: an image, or all frames of a recording; one frame,
        if it spikes.
        """
        channels, height, width = self.image_shape
        binning = self.preprocessing.binning
        return (
            (channels // binning.num_frames if binning and self.num_steps else channels),
            height,
            width,
        )

    @property
    def title(self) -> str:
        """What a trial is called in text: its contender, its seed, and its fold where there are
        several.
        """
        fold = self.trained_on.get("fold")
        return f"{self.contender}, seed {self.seed}" + ("" if fold is None else f", fold {fold}")
