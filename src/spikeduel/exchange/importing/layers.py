"""What an imported file says: layers as plain data, and their weights."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ImportedNetwork:
    """A network's `layers` (see `architectures.sequential`), and its weights by layer: `{index: {name: array}}`.

    `input_shape` is that of one image or what else the file says of its input: (C, H, W), (N,), or None. `about` holds
    what spikeduel wrote into the file about itself, if it did.
    """

    layers: list[dict[str, Any]]
    weights: dict[int, dict[str, np.ndarray]]
    input_shape: tuple[int, ...] | None
    num_classes: int
    about: dict[str, Any] = field(default_factory=dict)
