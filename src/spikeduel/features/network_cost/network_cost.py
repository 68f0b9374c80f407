"""Count the operations of a network of any library, and estimate its energy, without training."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec.structs import asdict
from torch import Tensor, nn

from spikeduel import energy
from spikeduel.energy import Table, accounting
from spikeduel.engine.counting.counter import Declared
from spikeduel.engine.counting.operations import WAYS, Layer, Operations
from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.costing import counted_network
from spikeduel.results.cost_results import AccountedPair, TableEnergy
from spikeduel.sentences.columns import LAYERS, layers, render, text_rows
from spikeduel.sentences.cost_sentences import (
    MEMORY_TITLES,
    TWO_WAYS,
    amount,
    in_order,
    range_in_words,
    ratio,
    summary,
)
from spikeduel.system import notebook
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import counted


class PrintedEnergy(TableEnergy):
    def __str__(self) -> str:
        return energy_text(self)


class PrintedPair(AccountedPair):
    def __str__(self) -> str:
        return accounting_text(self)


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
    >>> import torch
    >>> cost = sd.cost(nn.Linear(4, 2, bias=False), torch.rand(8, 4))
    >>> cost
    <Cost of 1 layer: 8.00 MACs, 0 ACs an image>
    >>> cost.macs
    8.0
    """

    operations: Operations

    @property
    def macs(self) -> float:
        """Multiply-accumulates; work that is equal at all time steps counts once."""
        return self.operations.totals.macs.dense.hoisted

    @property
    def acs(self) -> float:
        """Accumulates: additions that spikes cause, or synaptic operations (SOPs)."""
        return self.operations.totals.acs.total

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
        macs, acs = amount(self.macs), amount(self.acs)
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

    The network may be one of snnTorch, SpikingJelly, Norse, transformers, timm, plain PyTorch or
    spikeduel. It may return anything, such as scores, or a list or dict of feature maps.

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
    >>> import torch
    >>> sd.cost(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), torch.rand(4, 1, 28, 28))
    <Cost of 1 layer: 7.84 k MACs, 0 ACs an image>
    """
    return Cost(counted_network(module, images, num_steps, declared, batch_size))


def network_text(operations: Operations, estimate: TableEnergy, table: str) -> str:
    """Return operations layer by layer, and the energy by a table."""
    images, steps = counted(operations.images, "image"), counted(operations.num_steps, "time step")
    hoisting = any(layer.passes.per_step != layer.passes.hoisted for layer in operations.layers)
    return "\n".join(
        [
            f"Operations of one image, means over {images}, {steps}",
            render(text_rows(LAYERS, layers(operations))),
            "MACs: multiply-accumulates; effective: those whose input is not 0. "
            "ACs: additions that spikes cause.",
            *([f"MACs are per step, hoisted in brackets. {TWO_WAYS}"] if hoisting else []),
            energy_text(estimate, f"table {table} ({estimate.title})"),
        ]
    )


def energy_text(estimate: TableEnergy, table: str | None = None) -> str:
    """Return the energy by a `table`, by default the title of `estimate`."""
    lines = [
        f"Energy of one image, an ESTIMATE by {table or estimate.title}, from the cheapest to the "
        f"most expensive way to compute each layer:"
    ]
    for memory, title in MEMORY_TITLES.items():
        per_step, hoisted = (
            range_in_words(estimate.of(memory, way).range) or "not known" for way in WAYS
        )
        number = per_step if per_step == hoisted else f"{per_step} per step, {hoisted} hoisted"
        lines.append(f"  {title + ':':<30} {number}")
    return "\n".join(lines)


def accounting_text(accounted: AccountedPair) -> str:
    """Return which network needs less energy, and the ratio by each accounting."""
    names = {"spiking": accounted.spiking, "other": accounted.other, None: "open"}
    rows = [
        {
            "accounting": result.accounting,
            "group": result.group,
            "ratio": ratio(result.ratio) if result.ratio else "–",
            "cheaper": result.reason or names[result.cheaper],
        }
        for result in in_order(accounted)
    ]
    return f"{summary(accounted)} Ratio: {accounted.spiking} / {accounted.other}.\n{render(rows)}"
