"""Small models with random weights."""

import torch
from torch import nn

from spikeduel.engine.encoders import EVENTS
from spikeduel.engine.networks.building import build
from spikeduel.engine.networks.cards import ModelCard
from spikeduel.engine.networks.models import Model
from spikeduel.inputs.preprocessing import Binning, Preprocessing

SENSOR = (12, 12)


def card(contender="made up", image_shape=(1, 10, 10), classes="abc", num_steps=None, **changes):
    """The card of a network; with time steps, of a spiking one with direct encoding."""
    spiking = num_steps is not None
    made = {
        "kind": "snn" if spiking else "cnn",
        "preprocessing": Preprocessing(*image_shape),
        "network": {},
        "encoding": "direct" if spiking else None,
    }
    return ModelCard(
        contender=contender,
        image_shape=tuple(image_shape),
        classes=tuple(classes),
        num_steps=num_steps,
        **{**made, **changes},
    )


def built(card):
    """A model of the card, with random weights."""
    torch.manual_seed(0)
    return Model(build(card), card)


def make(shape="dense-snn", **changes):
    """A model of 10×10 grey images and three classes; `changes` are fields of its card."""
    spiking = shape == "dense-snn"
    neuron = {"neuron": "lif", "beta": 0.9, "threshold": 0.5} if spiking else {}
    fields = {
        "contender": shape,
        "preprocessing": Preprocessing(1, 10, 10, crop=(1, 2, 3, 4), invert=True, enlarge=False),
        "network": {"hidden": 12, **neuron},
        "encoding": "rate" if spiking else None,
        "num_steps": 6 if spiking else None,
        "seed": 4,
        "dataset": "made up",
    }
    return built(card(**{"kind": "snn" if spiking else "cnn", **fields, **changes}))


def _of_binning(contender, binning, network, classes="abc"):
    spikes = contender.endswith("lif")
    return built(
        card(
            contender,
            binning.shape,
            classes,
            binning.num_frames if spikes else None,
            preprocessing=Preprocessing.of_recordings(binning),
            encoding=EVENTS if spikes else None,
            network={"width": 8, **network},
        )
    )


def of_recordings(contender="vgg-lif", **changes):
    """A model of recordings on a small sensor, by default of 5 frames of 10 ms each; `changes` are
    of its binning.
    """
    binning = Binning(**{"num_frames": 5, "sensor": SENSOR, "frame_us": 10_000, **changes})
    neuron = {"neuron": "lif", "threshold": 0.01} if contender == "vgg-lif" else {}
    model = _of_binning(contender, binning, neuron)
    model.module.eval()
    return model


def make_recorded(contender="vgg-lif", **network):
    """A model of recordings of 6×6 pixels in 3 frames, and the frames of two of them, uint8 `[2, 6,
    6, 6]`.
    """
    binning = Binning(3, (6, 6))
    spikes = contender.endswith("lif")
    neuron = {"neuron": "lif", "beta": 0.5, "threshold": 0.5} if spikes else {}
    model = _of_binning(contender, binning, {**neuron, **network}, "ab")
    frames = torch.randint(0, 2, (2, *binning.shape), dtype=torch.uint8)
    return model, frames * torch.arange(1, 7)[:, None, None].byte()


class Tutorial(nn.Module):
    """A network of leaky neurons as in snnTorch's tutorials: it makes its steps itself and returns
    spikes and membranes.
    """

    def __init__(self, num_pixels, hidden, num_classes=3, num_steps=4):
        super().__init__()
        import snntorch

        self.num_steps = num_steps
        self.fc1, self.lif1 = nn.Linear(num_pixels, hidden), snntorch.Leaky(beta=0.95)
        self.fc2, self.lif2 = nn.Linear(hidden, num_classes), snntorch.Leaky(beta=0.95)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for _ in range(self.num_steps):
            spk1, mem1 = self.lif1(self.fc1(x.flatten(1)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes), torch.stack(membranes)


def louder(module, factor):
    """`module`, with all parameters multiplied."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter *= factor
    return module


def varied(model):
    """Return the model with batch norms that scale, shift and turn around."""
    torch.manual_seed(3)
    for part in model.module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.uniform_(-0.3, 0.3)
            part.running_var.uniform_(0.05, 0.5)
            nn.init.uniform_(part.weight, -0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return model
