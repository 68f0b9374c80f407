"""What an imported file says: layers as plain data, their weights, and what spikeduel wrote about the network."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen, converted, parse_json


class About(Frozen):
    """What spikeduel writes into a NIR file about the network; None is what a file does not say.

    `dt` is the seconds of a step, `preprocessing` what `Preprocessing.from_dict` reads.
    """

    spikeduel: str | None = None
    dt: Annotated[float, Meta(gt=0, lt=1e6)] | None = None
    contender: str | None = None
    dataset: str | None = None
    classes: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    preprocessing: dict[str, Any] | None = None
    encoding: str | None = None
    num_steps: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    input: str | None = None
    answer: str | None = None

    @classmethod
    def from_json(cls, text: Any) -> "About":
        """What a file says, as far as it makes sense: other entries are taken as missing.

        Raises `InputError` for a `dt` that is no time, since every time constant depends on it.
        """
        try:
            entries = parse_json(text, dict[str, Any])
        except (InputError, TypeError):
            return cls()
        sensible = {}
        for entry in msgspec.structs.fields(cls):
            try:
                sensible[entry.name] = converted(entries.get(entry.name), entry.type)
            except InputError as error:
                if entry.name == "dt":
                    raise InputError(f"its dt is not a time in seconds ({error})") from None
        return cls(**sensible)


@dataclass(frozen=True)
class ImportedNetwork:
    """A network's `layers` (see `architectures.sequential`), and its weights by layer: `{index: {name: array}}`.

    `input_shape` is that of one image as far as the file says it: (C, H, W), (N,), or None.
    """

    layers: list[dict[str, Any]]
    weights: dict[int, dict[str, np.ndarray]]
    input_shape: tuple[int, ...] | None
    num_classes: int
    about: About = field(default_factory=About)
