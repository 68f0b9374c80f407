"""A network that answers what its only pixel names."""

import numpy as np
import torch
from torch import nn

from spikeduel.data import Preprocessing
from spikeduel.engine.networks.cards import ModelCard


class Oracle(nn.Module):
    """Answers with the class that the only pixel names; both classes alike at 9."""

    kind = "cnn"

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        pixel = (x.flatten() * 255).round().long()
        scores = nn.functional.one_hot(pixel.clamp(max=2), 3).float() * 5
        scores[pixel == 9] = 1
        return scores


CARD = ModelCard("oracle", "cnn", (1, 1, 1), ("a", "b", "c"), Preprocessing(1, 1, 1), {})


def batches(pixels, labels):
    images = torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 1, 1)
    half = len(labels) // 2
    parts = [slice(0, half), slice(half, None)]
    return [(images[p], torch.tensor(labels[p]), np.arange(len(labels))[p]) for p in parts]
