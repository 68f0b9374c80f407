"""What a network costs: of trials, and of a network one already has, whichever library it is of,
without training.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import asdict, replace
from torch import Tensor, nn

from spikeduel.measuring import energy
from spikeduel.measuring.answers import Asked, Counting
from spikeduel.measuring.counting import Counter
from spikeduel.measuring.counting.units import Declared
from spikeduel.measuring.energy import Table, accounting, court
from spikeduel.measuring.energy.accounting import Accounting
from spikeduel.networks import foreign
from spikeduel.networks.models import Model
from spikeduel.results.costs import Counted, Layer, Operations, TableEnergy
from spikeduel.results.court import Case
from spikeduel.results.run import Results
from spikeduel.results.trials import Trial
from spikeduel.results.words import court as court_words
from spikeduel.results.words import notebook
from spikeduel.results.words.costs import amount
from spikeduel.results.words.tables import energy_text, layer_rows, network_text
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.encoders import analogue
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import counted


class PrintedEnergy(TableEnergy):
    """A table's energy that `print` shows."""

    def __str__(self) -> str:
        return energy_text(self)


class PrintedCase(Case):
    """A case of the court that `print` shows."""

    def __str__(self) -> str:
        return court_words.text(self)


def operations(model: Model, batches: Iterable[Any]) -> Counted:
    """What was counted over `batches` of (images uint8 `[B, C, H, W]`, labels `[B]`, indices
    `[B]`).

    Random encodings draw by image index. `reason` says what in the network is not known to the
    counter. Takes no pass of its own where `batches` were counted as they were answered.
    """
    if isinstance(batches, Asked) and batches.count:
        batches.answers(model)
        if batches.counted and batches.counted.operations:
            return batches.counted
    model.module.eval()
    counting = Counting(model)
    for images, _, indices in batches:
        counting.run(
            model.encode(images.to(model.device), RandomKeys.for_evaluation(indices)), len(images)
        )
        if counting.reason:
            break
    return counting.found()


def cost_entry(counted: Counted | None) -> dict[str, Any]:
    """`operations`, `energy` and `not_counted` of a trial, or of a control of one."""
    operations = counted.operations if counted else None
    return {
        "operations": operations,
        "energy": energy.energies(operations),
        "not_counted": counted.reason if counted and not operations else None,
    }


def with_energy(results: Results, tables: Sequence[energy.Table]) -> Results:
    """`results` with all energies estimated again from their counts: by `tables` first, then by
    those with a name.
    """
    names = {table.name for table in tables}
    chosen = [*tables, *(energy.read(name) for name in energy.NAMES if name not in names)]

    def of(trial: Trial) -> Trial:
        estimated = partial(energy.energies, chosen=chosen)
        controls = {
            name: replace(each, energy=estimated(each.operations))
            for name, each in trial.controls.items()
        }
        return replace(trial, energy=estimated(trial.operations), controls=controls)

    return replace(results, trials=[of(trial) for trial in results.trials])


def with_court(results: Results, more: Sequence[Accounting] = ()) -> Results:
    """`results` with every spiking contender judged by all accountings, from their counts: by
    `more` ones first.
    """
    return replace(results, court=court.hold(results, more))


@dataclass(frozen=True)
class Cost:
    """What `cost` found, means per image; `print` shows it as a table."""

    operations: Operations

    @property
    def layers(self) -> list[Layer]:
        """What was counted layer by layer: means per image."""
        return self.operations.layers

    def energy(self, table: str | Path | Table = energy.HEADLINE) -> TableEnergy:
        """Joules of one image, an estimate; `print` shows it.

        `table` is a name of `energy.NAMES` or a TOML file. Raises `InputError`.
        """
        found = energy.estimate(
            self.layers, table if isinstance(table, Table) else energy.read(table)
        )
        return PrintedEnergy(**asdict(found))

    def court(self, *more: str | Path) -> Case:
        """This spiking network against its ReLU twin, by all published accountings, and `more`,
        each a TOML file.

        The twin is known from the shape alone: the same synapses, each once, none of them skipped.
        `print` shows the case. Raises `InputError`, also for a network without spikes.
        """
        if not any(layer.input == "spikes" for layer in self.layers):
            raise InputError(
                "no layer of this network takes spikes, and the court judges a spiking network."
            )
        found = court.against_twin(self.operations, [accounting.read(each) for each in more])
        return PrintedCase(**asdict(found))

    def __str__(self) -> str:
        return network_text(self.operations, self.energy(), energy.HEADLINE)

    def __repr__(self) -> str:
        total = self.operations.totals
        macs, acs = amount(total.macs.dense.hoisted), amount(total.acs.total)
        steps = counted(self.operations.num_steps, "time step")
        return f"<Cost of {counted(len(self.layers), 'layer')}: {macs} MACs, {acs} ACs an image, over {steps}>"

    def _repr_html_(self) -> str:
        """What notebooks show: the layers, and the energy by the table that leads."""
        told = energy_text(self.energy()).splitlines()
        return notebook.page("What one image takes", layer_rows(self.operations), *told)


def cost(
    module: nn.Module | Model,
    images: Tensor | np.ndarray,
    num_steps: int | None = None,
    declared: Declared | None = None,
    batch_size: int = 256,
) -> Cost:
    """What `module` computes for an image: any network of snnTorch, SpikingJelly, Norse, plain
    PyTorch or spikeduel.

    `images` are float, as the network wants them, or uint8, which become [0, 1]: `[N, C, H, W]`,
    `[N, H, W]` or `[N, F]`; each is shown at every time step. `num_steps` counts where the network
    does not make its steps itself. `declared` says what a module costs that is not known: it maps
    its name or class to a function `(module, inputs, output) -> dict` of `macs`, `effective_macs`,
    `acs`, `additions`, `multiplications`, `functions` (of the whole batch) and `output` ("real" or
    "spikes"). The network is left as it was, its neurons at rest. Raises `InputError`.
    """
    if not isinstance(module, nn.Module | Model):
        kind = (
            f"the class {module.__name__}: call it"
            if isinstance(module, type)
            else type(module).__name__
        )
        raise InputError(f"give a network, an instance of torch.nn.Module, not {kind}.")
    if num_steps is not None and num_steps < 1:
        raise InputError(f"num_steps must be at least 1, not {num_steps}.")
    given = _with_channels(images)
    if isinstance(module, Model):
        return _of_model(module, given, batch_size)
    given = analogue(given) if given.dtype == torch.uint8 else given.float()
    given = given.to(next((p.device for p in module.parameters()), "cpu"))
    training = module.training
    module.eval()
    try:
        calling = (
            None if foreign.is_own(module) else foreign.calling_of(module, tuple(given.shape[1:]))
        )
        each_step = (
            calling.way in ("step", "sequence") if calling else foreign.family_of(module) == "snn"
        )
        if each_step and num_steps is None:
            raise InputError("num_steps: this network is called for each time step; say how many.")
        steps = num_steps if each_step else calling.num_steps if calling else None
        if steps is not None and num_steps not in (None, steps):
            raise InputError(f"num_steps: this network makes {steps} steps itself; leave it out.")
        counter = Counter(module, steps, declared)
        for part in given.split(batch_size):
            x = ConstantInput(part, steps) if each_step and steps else part
            # A network of another library makes its steps itself, or is called for each: the
            # counter sees them.
            call = partial(foreign.called, module, x, calling) if calling else partial(module, x)
            counter.run(call, part if calling else x, len(part))
    finally:
        foreign.reset(module)
        module.train(training)
    counted = counter.operations()
    return Cost(replace(counted, encoding="direct" if counted.num_steps > 1 else None))


def _of_model(model: Model, images: Tensor, batch_size: int) -> Cost:
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != model.card.image_shape:
        shape = ", ".join(map(str, model.card.image_shape))
        raise InputError(f"images of {model.card.contender} are prepared: uint8 [N, {shape}].")
    numbers = torch.arange(len(images))
    parts = zip(images.split(batch_size), numbers.split(batch_size), strict=True)
    counted = operations(model, [(part, None, indices.numpy()) for part, indices in parts])
    if counted.operations is None:
        raise InputError(str(counted.reason))
    return Cost(counted.operations)


def _with_channels(images: Tensor | np.ndarray) -> Tensor:
    """uint8 or float `[N, C, H, W]` or `[N, F]`."""
    try:
        given = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    except (TypeError, ValueError):
        raise InputError("images: give a tensor or an array.") from None
    given = given.unsqueeze(1) if given.dim() == 3 else given
    usable = given.dtype == torch.uint8 or given.is_floating_point()
    if given.dim() not in (2, 4) or not len(given) or not usable:
        kind = str(given.dtype).removeprefix("torch.")
        raise InputError(
            f"images: uint8 or float [N, C, H, W], [N, H, W] or [N, F], not {kind} "
            f"{list(given.shape)}."
        )
    return given
