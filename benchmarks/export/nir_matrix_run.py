"""Run NIR graphs in one program, for nir_matrix.py; in an environment of the program's own.

    python nir_matrix_run.py PROGRAM FOLDER

FOLDER has graphs NAME.nir, and NAME.npz with `frames` float32 `[T, B, …]`. Prints a document in JSON:
versions, and for each graph the spikes of layers in order, as lists of the indices that are not
zero `[T, B, …]` flattened, or the error. It imports nothing of spikeduel.
"""

import contextlib
import importlib.metadata
import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

DT = 1e-4
"""Seconds of a step, as snnTorch has it."""


def snntorch(graph: Any) -> nn.Module:
    from snntorch.import_nir import import_from_nir

    return import_from_nir(graph)


def norse(graph: Any) -> nn.Module:
    from norse.torch import from_nir

    return from_nir(graph, ignore_warnings=True, dt=DT)


def spikingjelly(graph: Any) -> nn.Module:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph, dt=DT)


def sinabs(graph: Any) -> nn.Module:
    from sinabs.nir import from_nir

    return from_nir(graph, batch_size=1)


def rockpool(graph: Any) -> nn.Module:
    from rockpool.nn.modules.torch.nir import from_nir

    return from_nir(graph)


PROGRAMS: dict[str, Callable[[Any], nn.Module]] = {
    "snntorch": snntorch,
    "norse": norse,
    "spikingjelly": spikingjelly,
    "sinabs": sinabs,
    "rockpool": rockpool,
}
NEURONS = (
    *("Leaky", "Synaptic", "LIFBoxCell", "IAFCell", "LIFNode", "IFNode", "_NIRStatefulModule"),
    *("LIFSqueeze", "IAFSqueeze", "LIFTorch", "LIFNeuronTorch"),
)
"""Classes of layers of neurons; SpikingJelly's are in a wrapper, which alone is called."""


def main() -> None:
    program, folder = sys.argv[1], Path(sys.argv[2])
    names = {program, "nir", "nirtorch", "torch"}
    versions = {name: importlib.metadata.version(name) for name in sorted(names)}
    rows: dict[str, Any] = {}
    for path in sorted(folder.glob("*.nir")):
        frames = torch.from_numpy(np.load(path.with_suffix(".npz"))["frames"])
        # Programs warn and print while they read.
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            try:
                rows[path.stem] = {"spikes": spikes(program, path, frames)}
            except Exception as error:  # a refusal is a result
                text = " ".join(str(error).split())[:200]
                rows[path.stem] = {"error": f"{type(error).__name__}: {text}"}
    print(json.dumps({"versions": versions, "graphs": rows}))


@torch.inference_mode()
def spikes(program: str, path: Path, frames: Tensor) -> list[list[int]]:
    """Return the flat indices of spikes `[T, B, …]` by layer; more than one spike counts as one."""
    network = PROGRAMS[program](nir.read(path))
    by_image = [over_time(network, frames[:, image], program) for image in range(frames.shape[1])]
    layers = [torch.stack(layer, 1) for layer in zip(*by_image, strict=True)]
    return [layer.flatten().nonzero().flatten().tolist() for layer in layers]


def over_time(network: nn.Module, frames: Tensor, program: str) -> list[Tensor]:
    """Return spikes `[T, …]` by layer for an image's `frames` `[T, …]`."""
    seen: dict[nn.Module, list[Tensor]] = {}

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        spk = output[0] if isinstance(output, tuple) else output
        seen.setdefault(layer, []).append(spk.detach().clone())

    layers = [layer for layer in network.modules() if type(layer).__name__ in NEURONS]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    for layer in network.modules():
        for name in ("reset_mem", "reset_states", "reset_state", "reset"):
            if name in dir(type(layer)):
                getattr(layer, name)()
                break
    if program == "sinabs":  # takes time and images in one axis
        network(frames)
    elif program == "rockpool":
        network(frames.unsqueeze(0))
    else:
        state = None
        for frame in frames:
            # Of one image: snnTorch's flattening begins at the first axis.
            is_flat = program == "snntorch" or program == "norse"
            output = network(frame if is_flat else frame.unsqueeze(0), state)
            state = output[1]
    for hook in hooks:
        hook.remove()
    steps = [torch.stack(seen[layer]) for layer in layers if layer in seen]
    return [layer.reshape(len(frames), -1) for layer in steps]


if __name__ == "__main__":
    main()
