"""Cards of models: the metadata of a model file. They import no torch."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system.registry import NetworkKind, Precision
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
    """Description of a model and its images, stored in the model's file.

    Parameters
    ----------
    contender : str
        Name of the network.
    kind : {"snn", "cnn", "ann"}
        Kind of network.
    image_shape : tuple of int
        Shape (C, H, W) of a prepared image.
    classes : tuple of str
        Names of the K classes.
    preprocessing : Preprocessing
        Makes prepared images of pictures.
    network : dict
        Settings of the architecture and its neurons.
    encoding, num_steps : str, int, optional
        Encoding and number of time steps T. None for a network without spikes.
    precision : {"32", "bf16"}
        Number format of training.
    seed : int
        Seed of training.
    dataset : str
        Name of the training data.
    trained_on : dict
        Fingerprint of data and split. With it, no model is tested on its training images.
    foreign : CallConvention, optional
        How a network of another library is called. None for spikeduel's.
    temperature : float, optional
        Divisor of scores that makes probabilities calibrated.

    Examples
    --------
    >>> import spikeduel as sd
    >>> card = sd.load_model("mnist-vgg-lif").card
    >>> card.kind, card.image_shape, card.encoding
    ('snn', (1, 28, 28), 'direct')
    """

    contender: str
    kind: NetworkKind
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
