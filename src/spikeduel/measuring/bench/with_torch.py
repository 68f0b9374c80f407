"""The study's CNN in plain PyTorch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from spikeduel.measuring.bench.contenders import Built
from spikeduel.measuring.bench.networks import adam, analogue, cnn
from spikeduel.measuring.bench.workloads import Workload


def build(workload: Workload, tuned: bool = False) -> Built:
    """As the study wrote it, or `tuned`: channels last, bf16 autocast, fused Adam."""
    network = cnn(workload)
    if tuned:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = adam(network.parameters(), fused=tuned)

    def step(images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=tuned):
            scores = network(analogue(images, channels_last=tuned))
        loss = F.nll_loss(F.log_softmax(scores.float(), dim=1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return Built(step, "bf16" if tuned else "float32")
