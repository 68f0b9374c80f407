"""What is timed: one training step of a workload. And the roofline: the least that it takes, by a
machine's limits.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

NUM_CLASSES = 10
_DARKENING = 2.5  # turns uniform levels into a mean of 0.29, that of Fashion-MNIST


@dataclass(frozen=True)
class Workload:
    """One training step: `shape` is "dense" (two linear layers of LIF neurons), "conv" (two
    convolutions and one linear layer of LIF neurons) or "cnn" (the study's). A CNN has no
    `encoding` and no `num_steps`. Images are grey squares of `side` pixels, `batch_size` a step;
    `hidden` is the width of the one hidden linear layer.
    """

    name: str
    shape: str
    side: int
    encoding: str | None = None
    num_steps: int | None = None
    batch_size: int = 128
    hidden: int = 1024


WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("snn-28-direct", "dense", 28, "direct", 25),
        Workload("snn-28-rate", "dense", 28, "rate", 25),
        Workload("cnn-28", "cnn", 28),
        Workload("conv-snn-28", "conv", 28, "direct", 4, hidden=256),
        Workload("snn-97-direct", "dense", 97, "direct", 25),
        Workload("snn-97-rate", "dense", 97, "rate", 25),
        Workload("cnn-97", "cnn", 97),
    )
}


def batch(workload: Workload) -> tuple[Tensor, Tensor]:
    """Images uint8 `[B, C, side, side]` and labels int64 `[B]`, always the same; about as bright as
    Fashion-MNIST.
    """
    generator = torch.Generator().manual_seed(0)
    levels = torch.rand(workload.batch_size, 1, workload.side, workload.side, generator=generator)
    images = (levels**_DARKENING * 255).to(torch.uint8)
    return images, torch.randint(NUM_CLASSES, (workload.batch_size,), generator=generator)


def stages(workload: Workload) -> nn.ModuleList:
    """The stateless layers in plain PyTorch, `[N, …]` to `[N, …]`, of a spiking network between its
    neurons.

    A dense one has neurons after each of its stages, a convolutional one after all but the last; a
    CNN is one stage.
    """
    side, hidden = workload.side, workload.hidden
    if workload.shape == "dense":
        return nn.ModuleList(
            [
                nn.Sequential(nn.Flatten(), nn.Linear(side**2, hidden)),
                nn.Linear(hidden, NUM_CLASSES),
            ]
        )
    if workload.shape == "conv":
        return nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)),
                nn.Sequential(
                    nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
                ),
                nn.Sequential(
                    nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * (side // 4) ** 2, hidden)
                ),
                nn.Linear(hidden, NUM_CLASSES),
            ]
        )
    features = 32 * (((side - 2) // 2 - 2) // 2) ** 2
    return nn.ModuleList(
        [
            nn.Sequential(
                nn.Conv2d(1, 16, 3),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(16, 32, 3),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Flatten(),
                nn.Linear(features, hidden),
                nn.ReLU(),
                nn.Linear(hidden, NUM_CLASSES),
            )
        ]
    )


# ---- the roofline

RULE = (
    "Roofline: max(FLOP / rate, bytes / bandwidth), the same for all contenders of a workload. "
    "FLOP: dense matrix products of the forward pass, the weight gradients and the input "
    "gradients (none for the first layer); under direct encoding the first layer counts once, not "
    "T times. Bytes: 36 per parameter (weight, gradient and Adam's two moments in float32), and "
    "the input of each layer once (images 1 byte a pixel; spikes and activations 2 bytes if bf16 "
    "is the faster precision, else 4). Rate: the higher of bf16 and float32. Work that fits into "
    "the caches can be faster than that."
)

BYTES_PER_PARAMETER = 36
"""float32: the forward pass reads a weight (4), the backward pass writes its gradient (4); Adam
reads both and its two moments (16) and writes weight and moments (12).
"""

SQUARE = (2048, 2048, 2048)
TALL = (3200, 9409, 1024)
"""The largest product of the workloads: 25 steps of 128 images of 97×97 pixels by 1024 neurons."""

_SMALLEST_COPY = 256 << 20


def needs(workload: Workload, operand_bytes: int) -> tuple[int, int]:
    """The least work of one training step: floating-point operations, and bytes to or from memory;
    see `RULE`.

    `operand_bytes` is the size of a number in a matrix product.
    """
    inputs: list[int] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        inputs.append(given[0].numel())

    num_steps, direct = workload.num_steps or 1, workload.encoding == "direct"
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = stages(workload)
        for layer in network.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.register_forward_pre_hook(note)
        rows = workload.batch_size if direct else workload.batch_size * num_steps
        x = network[0](torch.empty(rows, 1, workload.side, workload.side))
        x = x.repeat(num_steps, *[1] * (x.ndim - 1)) if direct else x
        for stage in network[1:]:
            x = stage(x)
        x.sum().backward()
    parameters = sum(p.numel() for p in network.parameters())
    images = workload.batch_size * workload.side**2
    activations = sum(inputs if workload.encoding == "rate" else inputs[1:])
    return (
        counter.get_total_flops(),
        BYTES_PER_PARAMETER * parameters + images + operand_bytes * activations,
    )


@dataclass(frozen=True)
class Limits:
    """The best rates measured: matrix products in bf16 and in float32, and bytes read and
    written.
    """

    bf16_gflops: float
    float32_gflops: float
    bandwidth_gbs: float

    @property
    def faster(self) -> str:
        """The precision whose matrix products are faster here: "bf16" or "float32"."""
        return "bf16" if self.bf16_gflops > self.float32_gflops else "float32"

    def roofline_ms(self, flop: int, moved: int) -> float:
        """The longer of computing `flop` operations in the faster precision and moving `moved`
        bytes.
        """
        gflops = max(self.bf16_gflops, self.float32_gflops)
        return 1e3 * max(flop / (gflops * 1e9), moved / (self.bandwidth_gbs * 1e9))


def measure_limits(threads: int, seconds: float) -> dict[str, float]:
    """The `Limits` with `threads` threads, each the best of about `seconds` of trying per kind of
    work.

    Products: a large square and `TALL`. Bandwidth: copying and adding arrays far larger than the
    caches, counted as STREAM does (McCalpin 1995): each array that is read or written once.
    """
    torch.set_num_threads(threads)
    bf16, float32 = (
        max(_product_rate(shape, dtype, seconds / 2) for shape in (SQUARE, TALL))
        for dtype in (torch.bfloat16, torch.float32)
    )
    size = max(_SMALLEST_COPY, 4 * (last_level_cache_bytes() or 0))
    a, b, c = (torch.ones(size // 4) for _ in range(3))
    copied = 2 * a.nbytes / _shortest(lambda: c.copy_(a), seconds / 2)
    added = 3 * a.nbytes / _shortest(lambda: torch.add(a, b, out=c), seconds / 2)
    return asdict(Limits(bf16 / 1e9, float32 / 1e9, max(copied, added) / 1e9))


def _product_rate(shape: tuple[int, int, int], dtype: torch.dtype, seconds: float) -> float:
    """The most operations a second of `[rows, inner]` by `[inner, columns]`."""
    rows, inner, columns = shape
    a, b = torch.rand(rows, inner).to(dtype), torch.rand(inner, columns).to(dtype)
    out = torch.empty(rows, columns, dtype=dtype)
    return 2 * rows * inner * columns / _shortest(lambda: torch.mm(a, b, out=out), seconds)


def _shortest(work: Callable[[], Any], seconds: float) -> float:
    """The shortest time that `work` takes, of at least 3 and about `seconds`, after one that is not
    counted.
    """
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def last_level_cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int | None:
    """The size of the largest cache of the first core; None where the system does not say."""
    sizes = (path.read_text(encoding="utf-8").strip() for path in folder.glob("index*/size"))
    return max(
        (int(size[:-1]) << 10 for size in sizes if size.endswith("K") and size[:-1].isdigit()),
        default=None,
    )
