"""Programs that read NIR graphs, run over time: spikeduel's own import, snnTorch and Norse."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeduel.exchange.exporting.agreement import Batch, Run, Runner, spikes_of
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
        return _first(network(frame)), True

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
    spikes: list[Tensor] = []
    one_by_one = any(isinstance(layer, torch.nn.Conv2d) for layer in network.modules())
    for layer in network.modules():
        if isinstance(layer, neuron):
            layer.register_forward_hook(lambda module, inputs, output: spikes.append(_first(output).clone()))

    def over_time(frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        state, total, steps = None, torch.zeros(()), []
        for frame in frames:
            spikes.clear()
            output, state = step(frame, state)
            total = total + output
            steps.append(list(spikes))
        return total / len(frames), [torch.stack(layer) for layer in zip(*steps, strict=True)]

    @torch.inference_mode()
    def run(batch: Batch) -> Run:
        if one_by_one:
            each_scores, each_layers = zip(*map(over_time, batch.frames.unbind(1)), strict=True)
            scores = torch.stack(each_scores)
            layers = [torch.stack(layer, 1) for layer in zip(*each_layers, strict=True)]
        else:
            scores, layers = over_time(batch.frames.flatten(2))
        return Run(scores.numpy(), {name: spk.numpy() for name, spk in zip(names.values(), layers, strict=True)})

    return run


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings and the text that programs print while they read."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
