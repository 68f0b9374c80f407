"""Callbacks that count the operations of a network after each validation, and log them.

The libraries are imported by the functions that need them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from spikeduel.energy import accounting as accountings
from spikeduel.engine.counting.counter import Declared
from spikeduel.engine.random_keys import seeded
from spikeduel.evaluation.costing import counted_network
from spikeduel.results.cost_results import Accounting
from spikeduel.system.errors import InputError, needing_extra

if TYPE_CHECKING:
    from lightning.pytorch import Callback
    from transformers import Trainer, TrainerCallback

DEFAULT = "memory"
"""Name of the default accounting of energy."""


@dataclass(frozen=True, eq=False)
class PerInference:
    """Operations and energy per inference of a part `network` of a model ("": all of it)."""

    images: Tensor | np.ndarray
    num_steps: int | None
    definition: Accounting
    network: str
    declared: Declared | None

    def of(self, model: nn.Module, prefix: str) -> dict[str, float]:
        """Return the values to log by name. The random numbers of a training stay the same."""
        try:
            module = model.get_submodule(self.network)
        except AttributeError:
            raise InputError(
                f"network: {type(model).__name__} has no module '{self.network}'. Name an "
                "attribute that holds the network, such as 'net', or leave it out."
            ) from None
        with seeded(0):
            operations = counted_network(module, self.images, self.num_steps, self.declared)
        is_spiking = any(layer.input == "spikes" for layer in operations.layers)
        energies = accountings.weighed(
            [operations],
            self.definition,
            "spiking" if is_spiking else "other",
            operations.num_steps,
        )
        unit = self.definition.unit.replace(" ", "_").replace("pJ", "energy_joules")
        values = {"macs": operations.totals.macs.dense.hoisted, "acs": operations.totals.acs.total}
        if len(energies) == 1:
            values[unit] = float(energies[0])
        else:
            # Constants of the accounting are ranges.
            values |= {f"{unit}_low": float(energies.min()), f"{unit}_high": float(energies.max())}
        return {f"{prefix}_{name}": value for name, value in values.items()}


def lightning_callback(
    images: Tensor | np.ndarray,
    num_steps: int | None = None,
    accounting: str | Path = DEFAULT,
    network: str = "",
    declared: Declared | None = None,
) -> "Callback":
    """Make a callback for Lightning that logs operations and energy per inference.

    After each validation it logs `val_macs`, `val_acs` and `val_energy_joules` by
    `LightningModule.log`. So the values are in all loggers of the trainer, and other callbacks can
    monitor them.

    Parameters
    ----------
    images : Tensor or ndarray, shape [N, C, H, W], [N, H, W] or [N, F]
        A few validation images, as the network gets them.
    num_steps : int, optional
        Number of time steps, for networks that do not make their steps themselves.
    accounting : str or Path
        Accounting of energy: a name in `spikeduel.energy.accounting.NAMES`, or a TOML file. A range
        is logged as two values, `_low` and `_high`. Without joules, the unit is in the name.
    network : str
        Name of the network in the LightningModule, such as "net". Default: the module itself.
    declared : mapping, optional
        Costs of modules that the counter does not know, as in `cost`.

    Returns
    -------
    Callback
        For `Trainer(callbacks=[...])`.

    Raises
    ------
    MissingExtra
        If Lightning is not installed.
    InputError
        For an unknown accounting. After a validation: for images that do not fit.

    Examples
    --------
    >>> import spikeduel as sd
    >>> callback = sd.lightning_callback(torch.rand(8, 1, 28, 28), num_steps=25)  # doctest: +SKIP
    >>> trainer = lightning.Trainer(callbacks=[callback])  # doctest: +SKIP
    """
    cost = PerInference(images, num_steps, accountings.read(accounting), network, declared)
    with needing_extra(["lightning"], "lightning"):
        from lightning.pytorch import Callback

    class CostCallback(Callback):
        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            pl_module.log_dict(cost.of(pl_module, "val"))

    return CostCallback()


def trainer_callback(
    trainer: "Trainer",
    images: Tensor | np.ndarray,
    num_steps: int | None = None,
    accounting: str | Path = DEFAULT,
    network: str = "",
    declared: Declared | None = None,
) -> "TrainerCallback":
    """Make a callback for the Trainer of transformers that logs operations and energy.

    After each evaluation it logs `eval_macs`, `eval_acs` and `eval_energy_joules` by `Trainer.log`,
    and adds them to the metrics of the evaluation. So the values are wherever `report_to` says, and
    `metric_for_best_model` can name them.

    Parameters
    ----------
    trainer : Trainer
        The trainer that gets the callback.
    images : Tensor or ndarray, shape [N, C, H, W], [N, H, W] or [N, F]
        A few validation images. They are the first argument of the model, mostly `pixel_values`.
    num_steps : int, optional
        Number of time steps, for networks that do not make their steps themselves.
    accounting : str or Path
        Accounting of energy: a name in `spikeduel.energy.accounting.NAMES`, or a TOML file. A range
        is logged as two values, `_low` and `_high`. Without joules, the unit is in the name.
    network : str
        Name of the network in the model, such as "net". Default: the model itself.
    declared : mapping, optional
        Costs of modules that the counter does not know, as in `cost`.

    Returns
    -------
    TrainerCallback
        For `trainer.add_callback`.

    Raises
    ------
    MissingExtra
        If transformers is not installed.
    InputError
        For an unknown accounting. After an evaluation: for images that do not fit.

    Examples
    --------
    >>> import spikeduel as sd
    >>> callback = sd.trainer_callback(trainer, torch.rand(8, 3, 32, 32))  # doctest: +SKIP
    >>> trainer.add_callback(callback)  # doctest: +SKIP
    """
    cost = PerInference(images, num_steps, accountings.read(accounting), network, declared)
    with needing_extra(["transformers"], "transformers"):
        from transformers import TrainerCallback

    class CostCallback(TrainerCallback):
        def on_evaluate(self, *args: Any, **kwargs: Any) -> None:
            values = cost.of(kwargs["model"], "eval")
            kwargs["metrics"].update(values)
            trainer.log(values)

    return CostCallback()
