"""A device that is not there: what torch takes for a GPU of another maker, computed on the CPU, and
as strict as one.

Its type is "away". It has no kernels of ours and no float64, takes no operation that torch has no
kernel for on Apple's GPUs, or a wrong one, and lets no tensor of the CPU meet its own. A process
that has made it keeps it: tests run it as a program, `python away.py FOLDER`, which writes
FOLDER/found.json.
"""

import functools
import json
import os
import sys
import traceback
from pathlib import Path

import numpy as np
import torch
import torchgen
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)
from torchgen.gen import parse_native_yaml

from factories import existing
from made_pages import unreported
from spikeduel import comparing, data
from spikeduel.engine.encoders import ENCODERS
from spikeduel.engine.kernels.reference import SURROGATES
from spikeduel.engine.networks import building
from spikeduel.engine.networks.models import Model
from spikeduel.engine.networks.training_step import TrainingStep
from spikeduel.engine.neurons import NEURONS
from spikeduel.engine.random_keys import RandomKeys, seeded
from spikeduel.experiment.recipes import baseline, strong
from spikeduel.system import hardware, typed
from spikeduel.training import contenders, outcomes
from spikeduel.training.training import rules_of

HERE = torch.device("cpu")
COPIES = (torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default)


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self):
        return [torch.bfloat16]

    def get_rng_state(self, device):
        return torch.get_rng_state()

    def set_rng_state(self, state, device):
        pass


_setup_privateuseone_for_python_backend(rename="away", backend_module=_Module())


@functools.cache
def not_on_apples():
    """The operations that torch has a kernel for on each kind of device that it knows, and none for
    Apple's GPUs.
    """
    native = Path(torchgen.__file__).parent / "packaged/ATen/native"
    known = parse_native_yaml(str(native / "native_functions.yaml"), str(native / "tags.yaml"))
    everywhere = {"MPS", "CompositeExplicitAutograd", "CompositeImplicitAutograd"}
    there = {
        str(name.name)
        for kind, indices in known.backend_indices.items()
        if str(kind) in everywhere
        for name in indices.index
    }
    functions = known.native_functions
    there |= {
        str(function.func.name.name) for function in functions if function.has_composite_kernel
    }
    return {str(function.func.name.name) for function in functions} - there


REFUSED = {}
"""Operations that a real device would have refused, and where they were asked for. Nothing can be
raised: torch would abort.
"""


def refuse(problem):
    asking = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_stack()
        if "/spikeduel/" in frame.filename
    ]
    REFUSED.setdefault(problem, asking[-1] if asking else "")


class Away(torch.Tensor):
    """A tensor on the device, which `tensor` computes."""

    @staticmethod
    def __new__(cls, tensor, device):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            tensor.shape,
            strides=tensor.stride(),
            storage_offset=tensor.storage_offset(),
            dtype=tensor.dtype,
            device=device,
        )
        made.arrays = tensor
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


class Present(TorchDispatchMode):
    """Within, tensors can be made on the device, and moved there."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


def computed(function, args, kwargs):
    """Return the result of an operation, there or here."""
    operands = tree_leaves((args, kwargs))
    there = [operand for operand in operands if isinstance(operand, Away)]
    device = kwargs.get("device") or (there[0].device if there else HERE)
    # Single numbers may come from the CPU.
    others = [
        operand
        for operand in operands
        if isinstance(operand, torch.Tensor) and not isinstance(operand, Away) and operand.dim()
    ]
    if there and others and function not in COPIES:
        refuse(f"{function}: tensors on two devices")
    away = torch.device(device).type == "away"
    # Operations in place are not listed where those that they are made of are not in place.
    if away and function.overloadpacket.__name__.removesuffix("_") in not_on_apples():
        refuse(f"{function}: not on Apple's GPUs")
    contiguous = all(operand.is_contiguous() for operand in there)
    if away and "batch_norm_backward" in str(function) and not contiguous:
        refuse(f"{function}: wrong gradients on Apple's GPUs, of what is not contiguous")
    wrapper = {id(operand.arrays): operand for operand in there}
    args, kwargs = tree_map(
        lambda operand: operand.arrays if isinstance(operand, Away) else operand, (args, kwargs)
    )
    results = function(*args, **(kwargs | {"device": HERE} if kwargs.get("device") else kwargs))
    if function is torch.ops.aten.convolution.default and not contiguous:
        # As GPUs do where weights or images lie so.
        results = results.contiguous(memory_format=torch.channels_last)

    def back(result):
        if not isinstance(result, torch.Tensor) or not away:
            return result
        if result.dtype == torch.float64:
            refuse(f"{function}: float64")
        return wrapper[id(result)] if id(result) in wrapper else Away(result, device)

    return tree_map(back, results)


def trained(device, contender, **changes):
    """Two training steps of a small network on `device`: its losses, and of each weight's first
    gradient the sum.
    """
    experiment = baseline(
        "digits", hidden=8, width=8, num_steps=3, batch_size=4, epochs=1, **changes
    )
    prepared = data.load(experiment)
    card = contenders.describe(contender, experiment, prepared).card
    with seeded(0):
        model = Model(building.build(card).to(device), card)
    step, images, labels = TrainingStep(model, rules_of(experiment), 2), *prepared.arrays
    losses, gradients = [], []
    for rows in np.arange(8).reshape(2, 4):
        batch = images[rows].to(device), labels[rows].to(device)
        losses.append(float(step(*batch, RandomKeys.for_training(0, 0, rows))))
        gradients.append([float(weights.grad.abs().sum()) for weights in model.module.parameters()])
    return {"losses": losses, "gradients": gradients[0]}


def steps(device):
    """Return what `trained` returns for each kind of network, neuron, encoding and surrogate."""
    names = ("dense-snn", "small-cnn", "conv-relu", "vgg-lif", "vgg-relu", "resnet-silu")
    asked = {name: (name, {}) for name in names}
    kinds = {"neuron": tuple(NEURONS), "surrogate": tuple(SURROGATES), "encoding": tuple(ENCODERS)}
    for number in range(max(map(len, kinds.values()))):
        changes = {kind: options[number % len(options)] for kind, options in kinds.items()}
        asked[" ".join(changes.values())] = ("conv-lif" if number % 2 else "dense-lif", changes)
    asked["optimizer"] = "vgg-lif", {"optimizer": "muon"}
    return {title: trained(device, name, **changes) for title, (name, changes) in asked.items()}


def compared(folder, device, *contenders, **changes):
    """Return the trials of a whole comparison, trained and measured on `device`."""
    hardware.resolve = lambda *_: hardware.Compute(device)
    # In a process of its own, which does not know the device.
    outcomes.time_inference = lambda *_: {}
    comparing.report = unreported  # figures take seconds, and compute nothing
    small = {"width": 8} if "vgg-lif" in contenders else {}
    experiment = strong(
        "digits", contenders=contenders, hidden=8, limit=100, epochs=1, **small, **changes
    )
    run = comparing.compare(experiment, folder / device, folder / f"{device}-store")
    return [
        {
            "contender": trial.contender,
            "error": trial.error,
            "failed_measures": trial.failed_measures,
            "loss": trial.test and trial.test.loss,
            "operations": typed.plain(trial.operations),
        }
        for trial in run.results.trials
    ]


def main(folder):
    outcome = {"here": steps("cpu"), "compared_here": compared(folder, "cpu", "dense-lif")}
    with Present():
        outcome["away"] = steps("away")
        contenders = ("dense-lif", "vgg-lif", "vgg-relu")
        outcome["compared_away"] = compared(folder, "away", *contenders, **existing(convert=4))
        outcome["refused"] = dict(REFUSED)
        REFUSED.clear()
        torch.zeros((), dtype=torch.float64, device="away")
        torch.linalg.eig(torch.ones(2, 2, device="away"))
        torch.ones(2, device="away") + torch.ones(2)
        images = torch.ones(3, 2, 4, 4).to("away", memory_format=torch.channels_last)
        torch.nn.BatchNorm2d(2).to("away")(images).sum().backward()
    return outcome | {"planted": list(REFUSED)}


if __name__ == "__main__":
    to = Path(sys.argv[1])
    (to / "found.json").write_text(json.dumps(main(to)))
    # Autograd's thread of the device may still free Python objects, and torch aborts where it asks
    # for Python's lock while the interpreter ends.
    os._exit(0)
