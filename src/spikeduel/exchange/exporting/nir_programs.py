"""Programs that read NIR graphs, run over time: spikeduel's own import, snnTorch and Norse."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeduel.exchange.exporting.runs import Batch, Run, Runner, spikes_of
from spikeduel.exchange.importing import import_model
from spikeduel.exchange.importing.nir_graphs import STEP_SECONDS
from spikeduel.spiking.neurons import Neuron

Names = dict[str, str]
"""By each node of neurons in the file, the layer of the model that it was."""


def spikeduel(path: Path, names: Names) -> Runner:
    """As spikeduel reads it back."""
    model = import_model(path)
    neurons = [name for name, layer in model.module.named_modules() if isinstance(layer, Neuron)]
    layers = dict(zip(neurons, names.values(), strict=True))

    @torch.inference_mode()
    def run(batch: Batch) -> Run:
        with spikes_of(model.module) as spikes:
            scores = model.readout.scores(model.module(batch.frames))
        return Run(scores.numpy(), {layers[name]: spk.numpy() for name, spk in spikes.items()})

    return run


def snntorch(path: Path, names: Names) -> Runner:
    """As snnTorch reads it, its hidden states reset before each batch."""
    with _quiet():
        import nir
        from snntorch import Leaky, import_nir

        network = import_nir.import_from_nir(nir.read(path))
    leaky = [layer for layer in network.modules() if isinstance(layer, Leaky)]

    def step(frame: Tensor, state: Any) -> tuple[Tensor, Any]:
        if state is None:
            for layer in leaky:
                layer.reset_mem()
        output = network(frame)
        return output[0] if isinstance(output, tuple) else output, True

    return _stepped(network, Leaky, step, names)


def norse(path: Path, names: Names) -> Runner:
    """As Norse reads it, at the file's time step."""
    with _quiet():
        import nir
        from norse.torch import LIFBoxCell, from_nir

        network = from_nir(nir.read(path), ignore_warnings=True, dt=STEP_SECONDS)
    return _stepped(network, LIFBoxCell, network, names)


PROGRAMS: dict[str, Callable[[Path, Names], Runner]] = {"snntorch": snntorch, "norse": norse}


def _stepped(network: Any, neuron: Any, step: Callable[[Tensor, Any], tuple[Tensor, Any]], names: Names) -> Runner:
    """A network that takes one step at a time; the mean of its output over the steps is the score.

    NIR's shapes have no batch: images are given one by one where something else than a batch of vectors goes in.
    """
    found: list[Tensor] = []
    one_by_one = any(isinstance(layer, torch.nn.Conv2d) for layer in network.modules())
    for layer in network.modules():
        if isinstance(layer, neuron):
            layer.register_forward_hook(lambda module, inputs, output: found.append(_spikes(output)))

    @torch.inference_mode()
    def run(batch: Batch) -> Run:
        groups = batch.frames.unbind(1) if one_by_one else [batch.frames.flatten(2)]
        runs = [_over_time(group) for group in groups]
        scores, spikes = zip(*runs, strict=True)
        if one_by_one:
            together = [torch.stack(layer, 1) for layer in zip(*spikes, strict=True)]
            return Run(torch.stack(scores).numpy(), _named(together))
        return Run(scores[0].numpy(), _named(spikes[0]))

    def _named(layers: Sequence[Tensor]) -> dict[str, np.ndarray]:
        return {name: layer.numpy() for name, layer in zip(names.values(), layers, strict=True)}

    def _over_time(frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        state, total, steps = None, torch.zeros(()), []
        for frame in frames:
            found.clear()
            output, state = step(frame, state)
            total = total + output
            steps.append([spk.clone() for spk in found])
        return total / len(frames), [torch.stack(layer) for layer in zip(*steps, strict=True)]

    return run


def _spikes(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Programs that print what they think while they read."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
