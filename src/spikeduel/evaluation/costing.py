"""Count the operations of a network, and make the entries of trials and variants from them."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from spikeduel.engine import ConstantInput
from spikeduel.engine.counting.counter import Counter, Declared
from spikeduel.engine.counting.operations import Operations
from spikeduel.engine.encoders import analogue
from spikeduel.engine.networks import foreign
from spikeduel.engine.networks.models import Model
from spikeduel.evaluation.predictions_of_model import (
    CachedPredictions,
    Counting,
    predict_in_one_pass,
)
from spikeduel.results.cost_results import Counted
from spikeduel.system.errors import InputError

ACTIVATION_BITS = 8
"""Bits of a number between layers whose weights have few bits."""


def operations(model: Model, batches: Iterable[Any]) -> Counted:
    """Return means per image of the operations over `batches`; `reason` names an unknown one."""
    if isinstance(batches, CachedPredictions) and batches.count:
        batches.predictions(model)
        if batches.counted and batches.counted.operations:
            return batches.counted
    counting = Counting(model)
    predict_in_one_pass(model, batches, counting=counting)
    return counting.result()


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


def counted_network(
    module: nn.Module | Model,
    images: Tensor | np.ndarray,
    num_steps: int | None = None,
    declared: Declared | None = None,
    batch_size: int = 256,
) -> Operations:
    """Return the operations of one inference of a network of any library, as `cost` explains."""
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
        is_own = foreign.is_own(module)
        calling = None if is_own else foreign.calling_of(module, shape, any_output=True)
        by_step = calling.way in ("step", "sequence") if calling else False
        stepwise = by_step or (calling is None and foreign.kind_of(module) == "snn")
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
    return replace(counted, encoding="direct" if counted.num_steps > 1 else None)


def _of_model(model: Model, images: Tensor) -> Operations:
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != model.card.image_shape:
        shape = ", ".join(map(str, model.card.image_shape))
        raise InputError(f"images of {model.card.contender} are prepared: uint8 [N, {shape}].")
    unlabelled = torch.zeros(len(images), dtype=torch.int64)
    counted = operations(model, [(images, unlabelled, np.arange(len(images)))])
    if counted.operations is None:
        raise InputError(str(counted.reason))
    return counted.operations


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
    if not tensor.isfinite().all():
        raise InputError("images: some values are not finite (NaN or infinite).")
    return tensor
