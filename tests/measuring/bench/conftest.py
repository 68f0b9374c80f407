"""A rival's step on a small workload, in this process."""

import pytest
import torch

from small_workloads import SMALL
from spikeduel.measuring.bench.workloads import batch


@pytest.fixture
def losses():
    """The losses of `count` steps of what `builder(workload, **settings)` makes."""

    def run(builder, workload, count=30, **settings):
        torch.manual_seed(0)
        built = builder(workload, **settings)
        images, labels = batch(workload)
        return [float(built.step(images, labels)) for _ in range(count)]

    return run


@pytest.fixture(params=["dense-direct", "dense-rate", "conv"])
def spiking(request):
    """A small workload for spiking networks, one of each kind."""
    return SMALL[request.param]
