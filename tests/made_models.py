"""Small models with random weights."""

import torch

from spikeduel.data import Preprocessing
from spikeduel.networks.building import build
from spikeduel.networks.models import Model, ModelCard


def make(shape="dense-snn", **changes):
    """A model of 10×10 grey images and three classes; `changes` are fields of its card."""
    spiking = shape == "dense-snn"
    network = {"hidden": 12, **({"neuron": "lif", "beta": 0.9, "threshold": 0.5} if spiking else {})}
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
