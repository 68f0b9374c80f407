"""Counts of two small networks, made up so that sums can be done by hand."""

import torch
from msgspec.structs import replace
from torch import nn
from torch.nn import functional as F

from spikeduel.engine.counting.counter import Counter
from spikeduel.engine.counting.operations import Layer, Macs, Operations, OverTime, Ways, totals


class Written(nn.Module):
    """A network by its forward function, of the network and x, with its layers by name."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x):
        return self.function(self, x)


class Odd(nn.Module):
    """An operator that the counter does not know, and five weights."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(5))

    def forward(self, x):
        return torch.fft.fft(x).real


def counted(module, x, num_images, kind="image", steps=1, num_steps=None, declared=None, call=None):
    """Return the operations of `module` on `x`, whose first axis has `steps` time steps."""
    counter = Counter(module.eval(), num_steps, declared)
    counter.run(call or (lambda: module(x)), x, num_images, kind, steps)
    return counter.operations()


def both(per_step, hoisted=None):
    return Ways(per_step=per_step, hoisted=per_step if hoisted is None else hoisted)


def over_time(*amounts):
    return OverTime(total=sum(amounts), by_step=list(amounts))


def macs(dense, effective=None):
    return Macs(dense=dense, effective=dense if effective is None else effective)


def macs_of_padding(module, call):
    """Return the number of multiplications by padding in the convolutions of `module` while `call()`
    runs it.
    """
    counts = []

    def count(conv, inputs, output):
        ones = torch.ones(1, 1, *inputs[0].shape[-2:])
        seen = F.conv2d(
            ones,
            torch.ones(1, 1, *conv.kernel_size),
            None,
            conv.stride,
            conv.padding,
            conv.dilation,
        )
        places = conv.kernel_size[0] * conv.kernel_size[1] * seen.numel()
        channels = conv.in_channels // conv.groups * conv.out_channels
        counts.append(int(places - seen.sum()) * channels * len(inputs[0]))

    hooks = [
        part.register_forward_hook(count)
        for part in module.modules()
        if isinstance(part, nn.Conv2d)
    ]
    with torch.no_grad():
        call()
    for hook in hooks:
        hook.remove()
    return sum(counts)


def layer(name, kind="synapses", **changes):
    """A layer of `Operations.layers`, all zero but for `changes`."""
    empty = dict(  # noqa: C408
        name=name,
        type="Linear",
        kind=kind,
        input="real",
        input_bits=None,
        input_encoded=False,
        passes=both(0),
        inputs=0,
        outputs=0,
        weights=0,
        biases=0,
        macs=macs(both(0)),
        macs_a_pass=0,
        acs=over_time(),
        events=over_time(),
        input_zeros=None,
        bias_additions=both(0),
        additions=both(0),
        multiplications=both(0),
        functions=both(0),
        neurons=None,
        spikes=None,
        spikes_per_neuron_and_step=None,
        state_variables=0,
        leaks=0,
        integrations=0,
        resets=0,
        threshold_comparisons=0,
        membrane_reads=0,
        membrane_writes=0,
        folded_into=None,
        note=None,
    )
    return Layer(**{**empty, **changes})


def operations(layers, num_steps):
    """Counts of 7 images; layers that spikes do not reach get zeros at each step."""
    nothing = over_time(*[0] * num_steps)
    layers = [
        replace(
            part,
            acs=part.acs if part.acs.by_step else nothing,
            events=part.events if part.events.by_step else nothing,
        )
        for part in layers
    ]
    return Operations(
        encoding="direct" if num_steps > 1 else None,
        num_steps=num_steps,
        images=7,
        parameters=69,
        bytes=276,
        layers=layers,
        totals=totals(layers, num_steps),
    )


def spiking():
    """Two steps, direct encoding: 10 inputs, 4 hidden neurons (3 spikes, then 1), 5 outputs."""
    layers = [
        layer(
            "in",
            input="image",
            input_encoded=True,
            passes=both(2, 1),
            inputs=10,
            outputs=4,
            weights=40,
            biases=4,
            macs=macs(both(80, 40), both(40, 20)),
            macs_a_pass=40,
            bias_additions=both(8, 4),
        ),
        layer(
            "lif",
            "neurons",
            neurons=4,
            spikes=over_time(3, 1),
            spikes_per_neuron_and_step=0.5,
            state_variables=1,
            leaks=8,
            integrations=8,
            resets=4,
            threshold_comparisons=8,
            membrane_reads=8,
            membrane_writes=8,
        ),
        layer(
            "out",
            input="spikes",
            passes=both(2),
            inputs=4,
            outputs=5,
            weights=20,
            biases=5,
            macs_a_pass=20,
            acs=over_time(15, 5),
            events=over_time(3, 1),
            bias_additions=both(10),
        ),
    ]
    return operations(layers, 2)


def plain():
    """A network without time, of the same shape."""
    layers = [
        layer(
            "in",
            input="image",
            input_encoded=True,
            passes=both(1),
            inputs=10,
            outputs=4,
            weights=40,
            biases=4,
            macs=macs(both(40), both(20)),
            macs_a_pass=40,
            bias_additions=both(4),
        ),
        layer(
            "out",
            passes=both(1),
            inputs=4,
            outputs=5,
            weights=20,
            biases=5,
            macs=macs(both(20), both(10)),
            macs_a_pass=20,
            bias_additions=both(5),
        ),
    ]
    return operations(layers, 1)
