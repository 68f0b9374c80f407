"""Small models with random weights."""

import torch

from spikeduel.data import Preprocessing
from spikeduel.networks.building import build
from spikeduel.networks.cards import ModelCard
from spikeduel.networks.models import Model
from spikeduel.networks.preprocessing import Binning
from spikeduel.spiking.encoders import EVENTS

SENSOR = (12, 12)


def of_recordings(contender="vgg-lif", **changes):
    """A model of recordings on a small sensor, by default of 5 frames of 10 ms each; `changes` are
    of its binning.
    """
    binning = Binning(**{"num_frames": 5, "sensor": SENSOR, "frame_us": 10_000, **changes})
    spikes = contender == "vgg-lif"
    neuron = {"neuron": "lif", "threshold": 0.01} if spikes else {}
    card = ModelCard(
        contender=contender,
        family="snn" if spikes else "cnn",
        image_shape=binning.shape,
        classes=("a", "b", "c"),
        preprocessing=Preprocessing.of_recordings(binning),
        num_steps=binning.num_frames if spikes else None,
        encoding=EVENTS if spikes else None,
        network={"width": 8, **neuron},
    )
    torch.manual_seed(0)
    return Model(build(card).eval(), card)


def make(shape="dense-snn", **changes):
    """A model of 10×10 grey images and three classes; `changes` are fields of its card."""
    spiking = shape == "dense-snn"
    network = {
        "hidden": 12,
        **({"neuron": "lif", "beta": 0.9, "threshold": 0.5} if spiking else {}),
    }
    card = {
        "contender": shape,
        "family": "snn" if spiking else "cnn",
        "image_shape": (1, 10, 10),
        "classes": ("a", "b", "c"),
        "preprocessing": Preprocessing(1, 10, 10, crop=(1, 2, 3, 4), invert=True, enlarge=False),
        "network": network,
        "encoding": "rate" if spiking else None,
        "num_steps": 6 if spiking else None,
        "seed": 4,
        "dataset": "made up",
    }
    card = ModelCard(**{**card, **changes})
    torch.manual_seed(0)
    return Model(build(card), card)


def make_recorded(contender="vgg-lif", **network):
    """A model of recordings of 6×6 pixels in 3 frames, and the frames of two of them, uint8 `[2, 6,
    6, 6]`.
    """
    binning = Binning(3, (6, 6))
    spikes = contender.endswith("lif")
    network = {
        "width": 8,
        **({"neuron": "lif", "beta": 0.5, "threshold": 0.5} if spikes else {}),
        **network,
    }
    card = ModelCard(
        contender=contender,
        family="snn" if spikes else "cnn",
        image_shape=binning.shape,
        classes=("a", "b"),
        preprocessing=Preprocessing.of_recordings(binning),
        network=network,
        encoding="events" if spikes else None,
        num_steps=3 if spikes else None,
    )
    torch.manual_seed(0)
    frames = torch.randint(0, 2, (2, *binning.shape), dtype=torch.uint8)
    return Model(build(card), card), frames * torch.arange(1, 7)[:, None, None].byte()
