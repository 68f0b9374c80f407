"""Estimate the energy of any network on a device, without training."""

import numpy as np
from torch import Tensor, nn

from spikeduel.engine.counting.counter import Declared
from spikeduel.engine.counting.operations import Operations
from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.costing import counted_network
from spikeduel.features.device_energy.device_models import (
    DeviceEnergy,
    device_named,
    devices,
    estimate,
    measured_range,
    models,
)
from spikeduel.results.cost_results import Kind
from spikeduel.sentences.cost_sentences import energy_in_words, range_in_words
from spikeduel.system.errors import InputError


class PrintedDeviceEnergy(DeviceEnergy):
    def __str__(self) -> str:
        device = devices()[self.device]
        text = (
            f"{energy_in_words(self.joules)} ({range_in_words(self.interval)}) an inference on "
            f"{device.title} with {device.software}"
        )
        if self.extrapolated == "kind":
            return f"{text}; extrapolated: no spiking network was measured there"
        if self.extrapolated == "energy":
            measured = range_in_words(measured_range(self.device))
            return f"{text}; extrapolated: the measured networks take {measured}"
        return text


def energy_of(
    module: nn.Module | Model,
    images: Tensor | np.ndarray,
    device: str,
    num_steps: int | None = None,
    declared: Declared | None = None,
    batch_size: int = 256,
) -> DeviceEnergy:
    """Estimate the energy of one inference on a device, by a model fitted to a power meter.

    Parameters
    ----------
    module : Module or Model
        Network of snnTorch, SpikingJelly, Norse, plain PyTorch or spikeduel. It runs in int8.
    images : Tensor or ndarray, shape [N, C, H, W], [N, H, W] or [N, F]
        Images, as for `cost`. The spikes that they cause decide the energy of a spiking network.
    device : str
        Board, such as "nucleo-u385", for its newest software; or a device with its software.
    num_steps, declared, batch_size
        As for `cost`.

    Returns
    -------
    DeviceEnergy
        Joules, with the 80 % interval for a network that was not measured. As text, it says if
        the network lies far outside those that were measured.

    Raises
    ------
    InputError
        For an unknown device, or one that does not run the network; and as `cost`.

    Examples
    --------
    >>> import spikeduel as sd
    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Flatten(), nn.Linear(21632, 10))
    >>> print(sd.energy_of(network, torch.rand(4, 1, 28, 28), device="nucleo-u385"))
    38.7 µJ (26.9 to 55.7 µJ) an inference on Nucleo-U385 (Cortex-M33) with X-CUBE-AI 10.2
    """
    name = device_named(device)
    counted = counted_network(module, images, num_steps, declared, batch_size)
    takes_spikes = any(layer.input == "spikes" for layer in counted.layers)
    kind: Kind = "spiking" if takes_spikes else "other"
    found = estimate(name, kind, [counted])
    if found.reason:
        boards = ", ".join(_boards(kind, counted)) or "none"
        raise InputError(f"{device}: {found.reason}. Devices for it: {boards}.")
    return PrintedDeviceEnergy(
        device=name,
        joules=found.joules,
        interval=found.interval,
        fixed_share=found.fixed_share,
        extrapolated=found.extrapolated,
    )


def _boards(kind: Kind, counted: Operations) -> list[str]:
    """Return the boards that run a network of a kind."""
    runs = (name for name in models() if estimate(name, kind, [counted]).reason is None)
    return sorted({devices()[name].board for name in runs})
