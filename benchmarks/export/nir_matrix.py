"""Do other programs give the spikes of our NIR files? A matrix of programs, versions and networks.

    python -m benchmarks.export.nir_matrix --python LABEL=PYTHON [--python …] [--images 4]

Each PYTHON is the interpreter of an environment with nir and some of the programs (snnTorch, Norse,
SpikingJelly, Sinabs, Rockpool); it runs nir_matrix_run.py, so that no program's code runs in the
process of spikeduel. Networks are dense-lif, conv-lif with average pooling, and vgg-lif of the recipe
chip, with random weights; images are of the embedded test set. A file gives the same spikes, or
differs first in a layer (1 is the first layer of neurons) at a step (from 1), or is refused. The
result goes to benchmarks/results/nir-matrix.json.
"""

import json
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import shared
from benchmarks.export.nir_matrix_run import PROGRAMS
from spikeduel import data
from spikeduel.engine import as_sequence
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.models import Model
from spikeduel.engine.random_keys import RandomKeys
from spikeduel.experiment.recipes import EMBEDDED, chip
from spikeduel.experiment.settings import Experiment
from spikeduel.exporters import exporting
from spikeduel.features.export import model_exchange
from spikeduel.system.hardware import compute_on
from spikeduel.training import contenders

RESULT = "nir-matrix.json"
RUN = Path(__file__).parent / "nir_matrix_run.py"
NETWORKS = {
    "dense-lif": ("dense-lif", {"hidden": 64}),
    "conv-lif": ("conv-lif", {"hidden": 8}),
    "vgg-lif, recipe chip": ("vgg-lif", {"width": 8}),
}
SEED = 36


def main() -> None:
    parser = shared.parser(__doc__, images=4)
    parser.add_argument("--python", action="append", required=True, metavar="LABEL=PYTHON")
    options = parser.parse_args()
    compute_on(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        expected = {name: _written(Path(folder), name, options.images) for name in NETWORKS}
        for environment in options.python:
            label, _, python = environment.partition("=")
            for program in PROGRAMS:
                rows += _rows(label, python, program, Path(folder), expected)
                settings = {"images": options.images, "seed": SEED}
                shared.write(RESULT, {"settings": settings, "rows": rows})


def _written(folder: Path, name: str, num_images: int) -> list[np.ndarray]:
    """Write a network's NIR file and frames; return spikes bool `[T, …]` by layer."""
    contender, changes = NETWORKS[name]
    experiment: Experiment = replace(chip(EMBEDDED, device="cpu"), **changes)  # type: ignore[arg-type]
    prepared = data.load(experiment)
    card = contenders.describe(contender, experiment, prepared).card
    torch.manual_seed(SEED)
    model = Model(build(card).eval(), card)
    for layer in model.module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.get_buffer("running_mean").uniform_(-0.3, 0.3)
            layer.get_buffer("running_var").uniform_(0.05, 0.5)
    some = torch.from_numpy(np.array(prepared.images[-num_images:]))
    labels = np.array(prepared.labels[-num_images:])
    path = folder / f"{name}.nir"
    model_exchange.export(model, path, "nir", images=some.numpy(), labels=labels)
    encoded = model.encode(some, RandomKeys.for_content(some))
    frames = as_sequence(encoded)
    takes = frames.flatten(2) if contender == "dense-lif" else frames
    np.savez(path.with_suffix(".npz"), frames=takes.numpy())
    spikes = exporting.reference_run(model, encoded).spikes.values()
    return [layer.reshape(len(layer), -1) > 0 for layer in spikes]


def _rows(
    label: str, python: str, program: str, folder: Path, expected: dict[str, list[np.ndarray]]
) -> list[dict[str, Any]]:
    done = subprocess.run(
        [python, str(RUN), program, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1][:200]
        return [{"environment": label, "program": program, "absent": reason}]
    document = json.loads(done.stdout.splitlines()[-1])
    rows = []
    for name, layers in expected.items():
        graph = document["graphs"][name]
        found = (
            {"error": graph["error"]} if "error" in graph else _compared(layers, graph["spikes"])
        )
        about = {"environment": label, "program": program, "network": name}
        rows.append({**about, "versions": document["versions"], **found})
        print(label, program, name, found, flush=True)
    return rows


def _compared(expected: list[np.ndarray], spikes: list[list[int]]) -> dict[str, Any]:
    """Return the first layer and step that differ, from 1, and the share of unequal entries."""
    if len(spikes) != len(expected):
        return {"error": f"it has {len(spikes)} layers of neurons, not {len(expected)}"}
    num_differing = 0
    first: tuple[int, int] | None = None
    for number, (layer, indices) in enumerate(zip(expected, spikes, strict=True), start=1):
        theirs = np.zeros(layer.size, bool)
        theirs[indices] = True
        differs = layer != theirs.reshape(layer.shape)
        num_differing += int(differs.sum())
        if first is None and differs.any():
            first = number, int(differs.any(1).argmax()) + 1
    size = sum(layer.size for layer in expected)
    return {
        "equal": first is None,
        "layer": first[0] if first else None,
        "step": first[1] if first else None,
        "differing": num_differing / size,
        "spikes": [int(layer.sum()) for layer in expected],
    }


if __name__ == "__main__":
    main()
