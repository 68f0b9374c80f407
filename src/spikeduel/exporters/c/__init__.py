"""Networks as C99 in int8, without dependencies; compiled and asked before kept."""

import math
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.exporters.exporting import Encoded, Examples, Exported, Run, preparation_of
from spikeduel.exporters.integers import (
    MAX_CURRENT,
    MAX_LISTED,
    IntegerLayer,
    IntegerNetwork,
    Levels,
    Spiking,
    integer_network,
)
from spikeduel.system import __version__
from spikeduel.system.errors import InputError, SpikeduelError, naming

CHECKS = ("-std=c99", "-Wall", "-Wextra", "-Werror")
NUM_CHECKED = 128
"""Training images of which one of each class goes into the folder, of those predicted correctly."""
COMPILERS = ("cc", "gcc", "clang")
_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("spikeduel.exporters", "c"),
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
    autoescape=False,
)


def write(model: Model, path: Path, examples: Examples) -> Exported:
    """Write the folder of a network that is compiled here. Raises `InputError`."""
    compiler, card = _compiler(), model.card
    images, labels = examples()
    with naming(card.contender):
        network = integer_network(model, images)
    for name, content in sources(network).items():
        (path / name).write_text(content)
    if card.image_shape[0] in (1, 3):
        predict = _expected(network, torch.from_numpy(images[:NUM_CHECKED])).scores.argmax(1)
        is_right = predict == labels[:NUM_CHECKED]
        _write_pictures(
            path / "examples", card, images[:NUM_CHECKED][is_right], labels[:NUM_CHECKED][is_right]
        )
    program = Program(compiler, path, identifier(card.contender))
    return Exported(
        {"image": f"uint8 {list(card.image_shape)}, prepared: {'; '.join(preparation_of(card))}"},
        {f"C99, {compiler} {_version(compiler)}": program.run},
        lambda prepared, encoded: _expected(network, prepared),
        **memory(network),
    )


def _compiler() -> str:
    """Return the first compiler that is installed, that of `CC` alone if set, with options as make
    takes it. Raises `InputError`.
    """
    named = os.environ.get("CC", "").strip()
    for compiler in [named] if named else COMPILERS:
        if shutil.which(_words(compiler)[0]):
            return compiler
    if named:
        raise InputError(
            f"CC names {_words(named)[0]}, which is not found: unset CC, or name another compiler."
        )
    raise InputError(
        f"no C compiler is installed ({', '.join(COMPILERS)}): install one to have the program "
        "checked, as by apt install gcc, or name another one in CC."
    )


def _words(compiler: str) -> list[str]:
    """Return the compiler's program and options."""
    try:
        return shlex.split(compiler)
    except ValueError:  # a quote is missing
        return [compiler]


def _expected(network: IntegerNetwork, images: Tensor) -> Run:
    return Run(network.predict(images.numpy(), RandomKeys(content_keys(images.numpy()))).scores, {})


def content_keys(images: np.ndarray) -> np.ndarray:
    """Return a key for each image uint8 `[N, …]`, uint64 `[N]`: FNV-1a of its pixels, as `main.c`
    has it.
    """
    keys = np.full(len(images), 0xCBF29CE484222325, np.uint64)
    for pixels in images.reshape(len(images), -1).T:
        keys = (keys ^ pixels) * np.uint64(0x100000001B3)
    return keys


class Program:
    """A program compiled of the sources of a network; it lies in a folder that goes with it.

    Raises `SpikeduelError` if the compiler refuses the sources.
    """

    def __init__(self, compiler: str, sources: Path, name: str, flags: Sequence[str] = ("-O2",)):
        self.folder = Path(tempfile.mkdtemp(prefix="spikeduel-c-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.compiler, self.path = compiler, self.folder / name
        parts = (sources / "main.c", sources / f"{name}.c", "-o", self.path)
        command = [*_words(compiler), *CHECKS, *flags, *map(str, parts)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SpikeduelError(f"{compiler} refuses the program: {done.stderr.strip()[:300]}")

    def run(self, images: Tensor, encoded: Encoded | None = None) -> Run:
        """Return the scores of prepared images uint8 `[B, C, H, W]`. Raises `SpikeduelError`."""
        content = self.folder / "images"
        content.write_bytes(images.numpy().tobytes())
        command = [str(self.path), "-s", str(content)]
        try:
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise SpikeduelError(
                f"what {self.compiler} made does not run here ({error}): name a compiler for this "
                "machine in CC."
            ) from error
        rows = np.array([line.split() for line in output.splitlines()], np.int64)
        if (rows[:, 1:].argmax(1) != rows[:, 0]).any():
            raise SpikeduelError("the program does not print its highest score's class")
        return Run(rows[:, 1:], {})


def _version(compiler: str) -> str:
    return subprocess.run(
        [*_words(compiler), "-dumpversion"], capture_output=True, text=True, check=False
    ).stdout.strip()


def _write_pictures(folder: Path, card: ModelCard, images: np.ndarray, labels: np.ndarray) -> None:
    """Write an image of each class as PGM or PPM."""
    folder.mkdir()
    for label, first in zip(*np.unique(labels, return_index=True), strict=True):
        kind = "pgm" if card.image_shape[0] == 1 else "ppm"
        name = re.sub(r"\W+", "-", card.classes[label].lower(), flags=re.ASCII).strip("-")
        pixels = images[first].transpose(1, 2, 0)
        Image.fromarray(pixels.squeeze(2) if kind == "pgm" else pixels).save(
            folder / f"{label}-{name}.{kind}"
        )


def identifier(name: str) -> str:
    """Return `name` as an identifier of C."""
    return re.sub(r"\W+|^(?=\d)", "_", name, flags=re.ASCII).strip("_") or "network"


def sources(network: IntegerNetwork) -> dict[str, str]:
    """Return the files of a network by name."""
    about = _about(network)
    name = about["name"]
    return {
        made: _TEMPLATES.get_template(template).render(about)
        for made, template in {
            f"{name}.h": "network.h.j2",
            f"{name}.c": "network.c.j2",
            "main.c": "main.c.j2",
            "Makefile": "Makefile.j2",
        }.items()
    }


def memory(network: IntegerNetwork) -> dict[str, int]:
    """Return the bytes of constants, `flash`, and of variables, `ram`."""
    layout = _layout(network)
    return {"flash": layout.flash, "ram": layout.ram}


@dataclass(frozen=True, eq=False)
class Layout:
    """Layers and arrays of the program.

    Layers `by_event` list values above 0 before they multiply; `with_values`: the values too.
    `sizes` are the elements of each array; `value_bits`, `channel_bits` and `end_bits` are those of
    the types that depend on the network.
    """

    layers: list[IntegerLayer]
    by_event: list[bool]
    is_spiking: bool
    with_values: bool
    sizes: dict[str, int]
    value_bits: int
    channel_bits: int
    end_bits: int

    @property
    def flash(self) -> int:
        """Bytes of constants: a weight has one; a channel has a multiplier and an offset."""
        return sum(layer.weight.size + 12 * len(layer.weight) for layer in self.layers)

    @property
    def ram(self) -> int:
        """Bytes of variables."""
        bits_of_event = self.channel_bits + (self.value_bits if self.with_values else 0)
        bits = {
            "map": 2 * 8,  # two maps
            "window": self.value_bits,
            "events": bits_of_event,
            "places": self.end_bits,
            "sums": 32,
            "membranes": 16 if self.is_spiking else 0,
        }
        # The ends of the events of all places begin with a 0.
        total = self.end_bits + sum(bits[name] * size for name, size in self.sizes.items())
        return total // 8


def _fewest_bits(largest: int) -> int:
    """Return the bits of the smallest unsigned type of C that holds `largest`."""
    return next(bits for bits in (8, 16, 32) if largest < 2**bits)


def _layout(network: IntegerNetwork) -> Layout:
    """Return the layers of the program and the sizes of its arrays."""
    layers = [_flattened(layer, layer is network.layers[0]) for layer in network.layers]
    spiking = any(isinstance(layer.activation, Spiking) for layer in layers)
    planes = -(-network.num_steps // 8) if spiking else 1
    by_event = [not network.is_analogue, *[True] * (len(layers) - 1)]
    listed = [layer for layer, is_listed in zip(layers, by_event, strict=True) if is_listed]
    with_values = not spiking or any(layer.most_value >= MAX_LISTED for layer in listed)
    events = [
        _places(layer) * layer.shape[0] * (1 if with_values else layer.most_value)
        for layer in listed
    ]
    sizes = {
        "map": max([1, *(planes * math.prod(layer.out) for layer in layers[:-1])]),
        "window": max(
            layer.shape[0] * (1 if is_listed else _places(layer))
            for layer, is_listed in zip(layers, by_event, strict=True)
        ),
        "events": max([1, *events]),
        "places": max([1, *map(_places, listed)]),
        "sums": max(
            math.prod(layer.pool_after[1:]) * layer.out[2] * -(-layer.out[0] // 4) * 4
            for layer in layers
        ),
        "membranes": max(layer.out[0] * layer.out[2] for layer in layers),
    }
    return Layout(
        layers=layers,
        by_event=by_event,
        is_spiking=spiking,
        with_values=with_values,
        sizes=sizes,
        value_bits=_fewest_bits(max(layer.most_value for layer in layers)),
        channel_bits=_fewest_bits(max(layer.shape[0] for layer in layers) - 1),
        end_bits=_fewest_bits(sizes["events"]),
    )


def _about(network: IntegerNetwork) -> dict[str, Any]:
    """Return the values of the templates."""
    card, layout = network.card, _layout(network)
    channels, height, width = card.image_shape
    wholes = [
        (1, 1) if layer.shape[1:] == layer.pool_before[1:] == (1, 1) else whole
        for layer, whole in zip(
            layout.layers,
            [(height, width), *(layer.out[1:] for layer in layout.layers[:-1])],
            strict=True,
        )
    ]
    return {
        "name": identifier(card.contender),
        "title": card.title,
        "version": __version__,
        "checks": " ".join(CHECKS),
        "preparation": preparation_of(card),
        "probability_scale": network.score_unit and network.score_unit / (card.temperature or 1.0),
        "channels": channels,
        "height": height,
        "width": width,
        "classes": [_quoted(name) for name in card.classes],
        "encoding": card.encoding or "direct",
        "random": card.encoding == "rate",
        "changes": card.encoding in ("rate", "latency", "events"),
        "num_steps": network.num_steps,
        "most_current": MAX_CURRENT,
        "layers": list(map(_described, layout.layers, wholes, layout.by_event)),
        "flash": layout.flash,
        "ram": layout.ram,
        "spiking": layout.is_spiking,
        "with_values": layout.with_values,
        "sizes": layout.sizes,
        "value_type": f"uint{layout.value_bits}_t",
        "channel_type": f"uint{layout.channel_bits}_t",
        "end_type": f"uint{layout.end_bits}_t",
    }


def _flattened(layer: IntegerLayer, takes_image: bool) -> IntegerLayer:
    """Return a linear layer over a map as one over a single place, which needs no loop over places;
    other layers as they are.

    A map lies place by place, the image channel by channel.
    """
    is_whole = layer.weight.shape[1:] == layer.shape and layer.pool_before[1:] == (1, 1)
    if not is_whole or any(layer.padding) or layer.weight[0].size >= 2**15:
        return layer
    weight = layer.weight if takes_image else layer.weight.transpose(0, 2, 3, 1)
    weight = weight.reshape(len(weight), -1, 1, 1)
    return replace(layer, shape=weight.shape[1:], weight=weight)


def _places(layer: IntegerLayer) -> int:
    """Return the number of places that a row of pooled sums needs."""
    rows = (layer.pool_after.rows - 1) * layer.stride + layer.weight.shape[2]
    return rows * (layer.shape[2] + layer.padding[1] + layer.padding[3])


def _described(layer: IntegerLayer, whole: tuple[int, int], by_event: bool) -> dict[str, Any]:
    """Return the values of one layer in the templates."""
    weight = layer.weight.transpose(0, 2, 3, 1)
    if by_event:
        rest = -len(weight) % 4
        weight = np.pad(layer.weight.transpose(2, 3, 1, 0), ((0, 0), (0, 0), (0, 0), (0, rest)))
    neuron = layer.activation if isinstance(layer.activation, Spiking) else Spiking(0, 0, "none")
    kind = {Levels: "LEVELS", Spiking: "COUNTS" if layer.is_last else "SPIKES"}
    before, after = layer.pool_before, layer.pool_after
    return {
        "name": layer.name,
        "shape": layer.shape,
        "whole": whole,
        "pool_before": (before.rows, before.columns, int(before.kind == "sum")),
        "out": layer.out,
        "pool_after": (after.rows, after.columns, int(after.kind == "sum")),
        "kernel": layer.weight.shape[2:],
        "stride": layer.stride,
        "above": layer.padding[0],
        "left": layer.padding[1],
        "right": layer.padding[3],
        "by_event": int(by_event),
        "kind": kind.get(type(layer.activation), "SCORES"),
        "shift": layer.shift,
        "beta": neuron.beta,
        "threshold": neuron.threshold,
        "reset": f"RESET_{neuron.reset_mechanism.upper()}",
        "most": layer.activation.most if isinstance(layer.activation, Levels) else 0,
        "weights": _rows(weight),
        "multipliers": _rows(layer.multiplier),
        "offsets": _rows(layer.offset),
    }


def _rows(numbers: np.ndarray) -> str:
    flat = numbers.ravel().tolist()
    return ",\n".join(
        ", ".join(map(str, flat[start : start + 24])) for start in range(0, len(flat), 24)
    )


def _quoted(text: str) -> str:
    """Return a string of C."""
    return (
        '"'
        + "".join(
            chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
            for byte in text.encode()
        )
        + '"'
    )
