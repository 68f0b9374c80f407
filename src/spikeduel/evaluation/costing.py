"""Count the operations of a network of any library, and estimate its energy, without training."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import asdict, replace
from torch import Tensor, nn

from spikeduel import energy
from spikeduel.energy import Table, accounting
from spikeduel.engine import ConstantInput
from spikeduel.engine.counting.counter import Counter, Declared
from spikeduel.engine.counting.operations import Layer, Operations
from spikeduel.engine.encoders import analogue
from spikeduel.engine.networks import foreign
from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.predictions_of_model import CachedPredictions, Counting, ask
from spikeduel.results.cost_results import AccountedPair, Counted, TableEnergy
from spikeduel.sentences.columns import LAYERS, layers, text_rows
from spikeduel.sentences.cost_sentences import accounting_text, amount, energy_text, network_text
from spikeduel.system import notebook
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import counted

ACTIVATION_BITS = 8
"""Bits of a number between layers whose weights have few bits."""


class PrintedEnergy(TableEnergy):
    def __str__(self) -> str:
        return energy_text(self)


class PrintedPair(AccountedPair):
    def __str__(self) -> str:
        return accounting_text(self)


def operations(model: Model, batches: Iterable[Any]) -> Counted:
    """Return means per image of the operations over `batches`; `reason` names an unknown one."""
    if isinstance(batches, CachedPredictions) and batches.count:
        batches.predictions(model)
        if batches.counted and batches.counted.operations:
            return batches.counted
    counting = Counting(model)
    ask(model, batches, counting=counting)
    return counting.found()


def cost_entry(counted: Counted | None, weight_bits: int | None = None) -> dict[str, Any]:
    """Return the fields of an entry on its cost; with `weight_bits`, weights have so many, and
    activations `ACTIVATION_BITS`.
    """
    operations = counted.operations if counted else None
    if operations and weight_bits:
        layers = [
            replace(
                layer,
                weight_bits=weight_bits if layer.weights else None,
                # Sums of spikes keep their bits.
                input_bits=layer.input_bits or (ACTIVATION_BITS if layer.input == "real" else None),
            )
            for layer in operations.layers
        ]
        operations = replace(operations, layers=layers)
    return {
        "operations": operations,
        "not_counted": counted.reason if counted and not operations else None,
    }


@dataclass(frozen=True)
class Cost:
    """Operations of a network, means per image. `print` shows a table of its layers.

    Parameters
    ----------
    operations : Operations
        Counts of each layer, and their totals.

    Examples
    --------
    >>> import spikeduel as sd
    >>> cost = sd.cost(nn.Linear(4, 2, bias=False), torch.rand(8, 4))
    >>> cost
    <Cost of 1 layer: 8.00 MACs, 0 ACs an image>
    """

    operations: Operations

    @property
    def layers(self) -> list[Layer]:
        return self.operations.layers

    def energy(self, table: str | Path | Table = energy.HEADLINE) -> TableEnergy:
        """Estimate the energy of one inference, in joules.

        Parameters
        ----------
        table : str, Path or Table
            Energies of operations: a name in `energy.NAMES`, or a TOML file.

        Returns
        -------
        TableEnergy
            Joules, as ranges.

        Raises
        ------
        InputError
            For an unknown table.
        """
        read = table if isinstance(table, Table) else energy.read(table)
        return PrintedEnergy(**asdict(energy.estimate(self.layers, read)))

    def accountings(self, *more: str | Path) -> AccountedPair:
        """Compare this spiking network with its ReLU twin by published accountings of energy.

        Parameters
        ----------
        *more : str or Path
            TOML files of further accountings.

        Returns
        -------
        AccountedPair
            A result for each accounting.

        Raises
        ------
        InputError
            If no layer takes spikes, or a file is wrong.
        """
        if not any(layer.input == "spikes" for layer in self.layers):
            raise InputError(
                "no layer of this network takes spikes, and accountings compare a spiking network."
            )
        accounted = accounting.against_twin(self.operations, list(map(accounting.read, more)))
        return PrintedPair(**asdict(accounted))

    def __str__(self) -> str:
        return network_text(self.operations, self.energy(), energy.HEADLINE)

    def __repr__(self) -> str:
        total = self.operations.totals
        macs, acs = amount(total.macs.dense.hoisted), amount(total.acs.total)
        return f"<Cost of {counted(len(self.layers), 'layer')}: {macs} MACs, {acs} ACs an image>"

    def _repr_html_(self) -> str:
        lines = energy_text(self.energy()).splitlines()
        rows = text_rows(LAYERS, layers(self.operations))
        return notebook.page("What one image takes", rows, *lines)


def cost(
    module: nn.Module | Model,
    images: Tensor | np.ndarray,
    num_steps: int | None = None,
    declared: Declared | None = None,
    batch_size: int = 256,
) -> Cost:
    """Count the operations of one inference.

    The network may be one of snnTorch, SpikingJelly, Norse, plain PyTorch or spikeduel.

    Parameters
    ----------
    module : Module or Model
        Network.
    images : Tensor or ndarray, shape [N, C, H, W], [N, H, W] or [N, F]
        Images that are shown at every time step: float, or uint8, which become [0, 1].
    num_steps : int, optional
        Number of time steps, for networks that do not make their steps themselves.
    declared : mapping, optional
        Costs of modules that the counter does not know, by name or class: functions
        `(module, inputs, output)` that return a dict of `macs`, `effective_macs`, `acs`,
        `additions`, `multiplications` and `functions` of the whole batch, and `output` ("real" or
        "spikes").
    batch_size : int
        Images at a time.

    Returns
    -------
    Cost
        Means per image, by layer and in total.

    Raises
    ------
    InputError
        If the images do not fit, or a module is unknown and not declared.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.cost(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), torch.rand(4, 1, 28, 28))
    <Cost of 1 layer: 7.84 k MACs, 0 ACs an image>
    """
    if not isinstance(module, nn.Module | Model):
        named = f"the class {module.__name__}: call it" if isinstance(module, type) else ""
        kind = named or type(module).__name__
        raise InputError(f"give a network, an instance of torch.nn.Module, not {kind}.")
    if num_steps is not None and num_steps < 1:
        raise InputError(f"num_steps must be at least 1, not {num_steps}.")
    inputs = _with_channels(images)
    if isinstance(module, Model):
        return _of_model(module, inputs)
    inputs = analogue(inputs) if inputs.dtype == torch.uint8 else inputs.float()
    inputs = inputs.to(next((p.device for p in module.parameters()), "cpu"))
    training = module.training
    module.eval()
    try:
        shape = tuple(inputs.shape[1:])
        calling = None if foreign.is_own(module) else foreign.calling_of(module, shape)
        by_step = calling.way in ("step", "sequence") if calling else False
        stepwise = by_step or (calling is None and foreign.family_of(module) == "snn")
        if stepwise and num_steps is None:
            raise InputError("num_steps: this network is called for each time step; say how many.")
        made = calling.num_steps if calling else None
        steps = num_steps if stepwise else made
        if steps is not None and num_steps not in (None, steps):
            raise InputError(f"num_steps: this network makes {steps} steps itself; leave it out.")
        counter = Counter(module, steps, declared)
        for part in inputs.split(batch_size):
            x = ConstantInput(part, steps) if stepwise and steps else part
            call = partial(foreign.called, module, x, calling) if calling else partial(module, x)
            counter.run(call, part if calling else x, len(part))
    finally:
        foreign.reset(module)
        module.train(training)
    counted = counter.operations()
    return Cost(replace(counted, encoding="direct" if counted.num_steps > 1 else None))


def _of_model(model: Model, images: Tensor) -> Cost:
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != model.card.image_shape:
        shape = ", ".join(map(str, model.card.image_shape))
        raise InputError(f"images of {model.card.contender} are prepared: uint8 [N, {shape}].")
    unlabelled = torch.zeros(len(images), dtype=torch.int64)
    counted = operations(model, [(images, unlabelled, np.arange(len(images)))])
    if counted.operations is None:
        raise InputError(str(counted.reason))
    return Cost(counted.operations)


def _with_channels(images: Tensor | np.ndarray) -> Tensor:
    try:
        tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    except (TypeError, ValueError):
        raise InputError("images: give a tensor or an array.") from None
    tensor = tensor.unsqueeze(1) if tensor.dim() == 3 else tensor
    usable = tensor.dtype == torch.uint8 or tensor.is_floating_point()
    if tensor.dim() not in (2, 4) or not len(tensor) or not usable:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise InputError(
            f"images: uint8 or float [N, C, H, W], [N, H, W] or [N, F], not {kind} "
            f"{list(tensor.shape)}."
        )
    return tensor
