"""What a network costs: of trials, and of a network one already has, whichever library it is of, without training."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import structs
from msgspec.structs import replace
from torch import Tensor, nn

from spikeduel.measuring import energy
from spikeduel.measuring.answers import Asked, Counting
from spikeduel.measuring.counting import Counter
from spikeduel.measuring.counting.units import Declared
from spikeduel.measuring.energy import Table
from spikeduel.networks import foreign
from spikeduel.networks.models import Model
from spikeduel.results.costs import Counted, Energy, Layer, Operations, TableEnergy
from spikeduel.results.run import Results
from spikeduel.results.trials import ControlResult, Trial
from spikeduel.results.words.tables import network_text
from spikeduel.spiking.constant_input import ConstantInput
from spikeduel.spiking.encoders import analogue
from spikeduel.spiking.random_keys import RandomKeys
from spikeduel.system.errors import InputError


def operations(model: Model, batches: Iterable[Any]) -> Counted:
    """What was counted over `batches` of (images uint8 `[B, C, H, W]`, labels `[B]`, indices `[B]`).

    Random encodings draw by image index. `reason` says what in the network is not known to the counter. Takes no pass
    of its own where `batches` were counted as they were answered.
    """
    if isinstance(batches, Asked) and batches.count:
        batches.answers(model)
        if batches.counted and batches.counted.operations:
            return batches.counted
    model.module.eval()
    counting = Counting(model)
    for images, _, indices in batches:
        counting.run(model.encode(images.to(model.device), RandomKeys.for_evaluation(indices)), len(images))
        if counting.reason:
            break
    return counting.found()


def cost_entry(counted: Counted | None) -> dict[str, Any]:
    """`operations`, `energy` and `not_counted` of a trial, or of a control of one."""
    operations = counted and counted.operations
    return {
        "operations": operations,
        "energy": energy.energies(operations) if operations else None,
        "not_counted": counted.reason if counted and not operations else None,
    }


def with_energy(results: Results, tables: Sequence[energy.Table]) -> Results:
    """`results` with all energies estimated again from their counts: by `tables` first, then by those with a name."""
    names = {table.name for table in tables}
    chosen = [*tables, *(energy.read(name) for name in energy.NAMES if name not in names)]

    def estimated(operations: Operations | None) -> Energy | None:
        return energy.energies(operations, chosen) if operations else None

    def of_control(control: ControlResult) -> ControlResult:
        return structs.replace(control, energy=estimated(control.operations))

    def of_trial(trial: Trial) -> Trial:
        controls = {name: of_control(control) for name, control in trial.controls.items()}
        return structs.replace(trial, energy=estimated(trial.operations), controls=controls)

    return structs.replace(results, trials=[of_trial(trial) for trial in results.trials])


@dataclass(frozen=True)
class Cost:
    """What `cost` found, means per image; `print` shows it as a table."""

    operations: Operations

    @property
    def layers(self) -> list[Layer]:
        """What was counted layer by layer: means per image."""
        return self.operations.layers

    def energy(self, table: str | Path | Table = energy.HEADLINE) -> TableEnergy:
        """Joules of one image, an estimate.

        `table` is a name ("45nm-fp32", "45nm-fp16", "45nm-int8", "loihi") or a TOML file. Raises `InputError`.
        """
        return energy.estimate(self.layers, table if isinstance(table, Table) else energy.read(table))

    def __str__(self) -> str:
        return network_text(self.operations, self.energy(), energy.HEADLINE)


def cost(
    module: nn.Module | Model,
    images: Tensor | np.ndarray,
    num_steps: int | None = None,
    declared: Declared | None = None,
    batch_size: int = 256,
) -> Cost:
    """What `module` computes for an image: any network of snnTorch, SpikingJelly, Norse, plain PyTorch or spikeduel.

    `images` are float, as the network wants them, or uint8, which become [0, 1]: `[N, C, H, W]`, `[N, H, W]` or
    `[N, F]`; each is shown at every time step. `num_steps` counts where the network does not make its steps itself.
    `declared` says what a module costs that is not known: it maps its name or class to a function `(module, inputs,
    output) -> dict` of `macs`, `effective_macs`, `acs`, `additions`, `multiplications`, `functions` (of the whole
    batch) and `output` ("real" or "spikes"). The network is left as it was, its neurons at rest. Raises `InputError`.
    """
    if not isinstance(module, nn.Module | Model):
        raise InputError(f"give a network, an instance of torch.nn.Module, not {_kind(module)}.")
    given = _prepared(images)
    if isinstance(module, Model):
        return _of_model(module, images if isinstance(images, Tensor) else torch.from_numpy(np.array(images)))
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    given = given.to(device)
    training = module.training
    module.eval()
    try:
        of_spikeduel = foreign.is_own(module)
        calling = None if of_spikeduel else foreign.calling_of(module, tuple(given.shape[1:]))
        steps = _num_steps(module, calling, num_steps)
        counter = Counter(module, steps, declared)
        for part in given.split(batch_size):
            spiking = of_spikeduel and foreign.family_of(module) == "snn"
            x = ConstantInput(part, steps or 1) if spiking else part
            run = partial(module, x) if of_spikeduel else partial(foreign.run, module, part, steps, calling)
            counter.run(run, x, len(part))
    finally:
        foreign.reset(module)
        module.train(training)
    counted = counter.operations()
    return Cost(replace(counted, encoding="direct" if counted.num_steps > 1 else None))


def _of_model(model: Model, images: Tensor) -> Cost:
    if images.dim() == 3:
        images = images.unsqueeze(1)
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != model.card.image_shape:
        shape = ", ".join(map(str, model.card.image_shape))
        raise InputError(f"images of {model.card.contender} are prepared: uint8 [N, {shape}].")

    def batches() -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        for start in range(0, len(images), 256):
            part = images[start : start + 256]
            yield part, torch.zeros(len(part)), np.arange(start, start + len(part))

    counted = operations(model, batches())
    if counted.operations is None:
        raise InputError(str(counted.reason))
    return Cost(counted.operations)


def _kind(given: Any) -> str:
    return f"the class {given.__name__}: call it" if isinstance(given, type) else type(given).__name__


def _prepared(images: Tensor | np.ndarray) -> Tensor:
    """float `[N, C, H, W]` or `[N, F]`."""
    try:
        given = images if isinstance(images, Tensor) else torch.from_numpy(np.array(images))
    except (TypeError, ValueError):
        raise InputError("images: give a tensor or an array.") from None
    if given.dim() == 3:
        given = given.unsqueeze(1)
    usable = given.dtype == torch.uint8 or given.is_floating_point()
    if given.dim() not in (2, 4) or not len(given) or not usable:
        kind = str(given.dtype).removeprefix("torch.")
        raise InputError(f"images: uint8 or float [N, C, H, W], [N, H, W] or [N, F], not {kind} {list(given.shape)}.")
    return analogue(given) if given.dtype == torch.uint8 else given.float()


def _num_steps(module: nn.Module, calling: foreign.Calling | None, given: int | None) -> int | None:
    if given is not None and given < 1:
        raise InputError(f"num_steps must be at least 1, not {given}.")
    if calling is None:
        if foreign.family_of(module) == "snn" and given is None:
            raise InputError("num_steps: say for how many time steps the network is to run.")
        return given if foreign.family_of(module) == "snn" else None
    if calling.way in ("step", "sequence"):
        if given is None:
            raise InputError("num_steps: this network is called for each time step; say how many.")
        return given
    if given is not None and calling.num_steps is not None and calling.num_steps != given:
        raise InputError(f"num_steps: this network makes {calling.num_steps} steps itself; leave it out.")
    return calling.num_steps
