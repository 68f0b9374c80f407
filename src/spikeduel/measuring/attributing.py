"""Attribute an answer to pixels: integrated gradients, through the autograd that trained the
network.
"""

import numpy as np
import torch
from torch import Tensor

from spikeduel.networks.models import Model
from spikeduel.spiking import ConstantInput
from spikeduel.spiking.random_keys import RandomKeys

POINTS = 32
"""Points on the way from no input to the image at which the gradient is taken."""


def attribution(
    model: Model,
    image: np.ndarray,
    label: int | None = None,
    keys: RandomKeys | None = None,
    points: int = POINTS,
) -> np.ndarray:
    """Return the amount that each pixel of a prepared image uint8 `[C, H, W]` adds to the score of
    class `label`.

    float32 `[H, W]`, over channels and time steps together; without `label`, of the model's own
    answer. Integrated gradients from no input to the image (Sundararajan et al. 2017, "Axiomatic
    Attribution for Deep Networks", equation 1), by the midpoint rule with `points` steps. The
    values add up to what the image adds to the score; in a spiking network only roughly, since its
    gradients are those of the surrogate.
    """
    prepared = torch.from_numpy(np.array(image)).unsqueeze(0)
    keys = keys or RandomKeys.for_content(prepared)
    label = int(model.predict(prepared, keys)[0][0]) if label is None else label
    x = model.encode(prepared.to(model.device), keys)
    value = (x.value if isinstance(x, ConstantInput) else x).float()
    shares = (torch.arange(points, device=value.device) + 0.5) / points
    total = torch.zeros_like(value)
    with torch.enable_grad():
        for some in shares.split(model.images_at_once):
            # [B, C, H, W] or [T, B, C, H, W], an image of the batch for each point.
            scaled = (value * some.view(-1, 1, 1, 1)).requires_grad_()
            scores = model.readout.scores(model.run(_like(x, scaled)))
            total += torch.autograd.grad(scores[:, label].sum(), scaled)[0].sum(-4, keepdim=True)
    by_pixel: np.ndarray = (total * value / points).flatten(0, -3).sum(0).cpu().numpy()
    return by_pixel


def _like(x: Tensor | ConstantInput, value: Tensor) -> Tensor | ConstantInput:
    return ConstantInput(value, x.num_steps) if isinstance(x, ConstantInput) else value
