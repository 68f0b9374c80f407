"""Time the answers of a loaded model: one image, batches, a stream; with memory and energy.

`torch.utils.benchmark` averages over many calls and has no percentiles of single answers, hence the
loop here. `latency` runs this module in a fresh process.
"""

import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel.networks.models import Model, load_model
from spikeduel.system.errors import InputError
from spikeduel.system.hardware import peak_memory_bytes

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class EnergyCounter:
    """A counter of joules since some moment, which starts again from 0 after `wraps_at`."""

    source: str
    read: Callable[[], float]
    wraps_at: float = 0.0

    def since(self, before: float) -> float:
        """Return the joules spent since the counter read `before`."""
        taken = self.read() - before
        return taken + self.wraps_at if taken < 0 else taken


def counters(device: torch.device, folder: Path = POWERCAP) -> list[EnergyCounter]:
    """Return the energy counters for work on `device`; an empty list where the machine has none.

    "cuda": the GPU's own, by NVML (GPUs since Volta; needs the package nvidia-ml-py). "cpu": one
    for each processor package, by Intel's RAPL as Linux shows it in `folder`, which many systems
    let only root read. Both count all work done meanwhile, idling included.
    """
    if device.type == "cuda":
        return _of_gpu(device)
    return _of_processors(folder) if device.type == "cpu" else []


def _of_processors(folder: Path) -> list[EnergyCounter]:
    counters_of_packages = []
    try:
        for domain in sorted(folder.glob("intel-rapl:*")):
            # intel-rapl:0:1 is a part of intel-rapl:0; "psys" holds the whole board, packages
            # included.
            if domain.name.count(":") == 1 and (domain / "name").read_text(
                encoding="utf-8"
            ).startswith("package"):
                read = partial(_joules, domain / "energy_uj")
                read()
                counters_of_packages.append(
                    EnergyCounter("rapl", read, _joules(domain / "max_energy_range_uj"))
                )
    except (OSError, ValueError):
        return []
    return counters_of_packages


def _joules(path: Path) -> float:
    return int(path.read_text(encoding="utf-8")) / 1e6


def _of_gpu(device: torch.device) -> list[EnergyCounter]:
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        # By its identity: NVML counts GPUs that CUDA_VISIBLE_DEVICES hides from torch.
        identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        gpu: Any = pynvml.nvmlDeviceGetHandleByUUID(identity)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    except (pynvml.NVMLError, AttributeError, RuntimeError):
        return []
    return [EnergyCounter("nvml", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3)]


BATCH_SIZES = (1, 32, 256)
SECONDS = 0.35
"""Seconds for which each kind of answer is timed; at least `FEWEST` times, at most `MOST`."""
FEWEST, MOST = 3, 1000
FEWEST_FOR_P95 = 20
"""Fewest answers with a 95th percentile; with fewer it would be the slowest one."""


def main(begun: float, imported: float) -> None:
    """Load and time the model that the first argument names, in a fresh process; see
    `latency.latency`.

    Read images from standard input and write one JSON document to standard output. `begun` and
    `imported` are times of `time.perf_counter`, before and after the import of the loader.
    """
    # What a model prints must not end up in the document.
    document = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings = json.loads(sys.argv[1])
    images = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    torch.set_num_threads(settings["threads"])
    loading = time.perf_counter()
    model = load_model(settings["path"], settings["device"], settings["own_code"])
    model.predict(images[:1])
    start_up_seconds = imported - begun + time.perf_counter() - loading
    peak_memory = peak_memory_bytes()
    times = timed(model, images)
    with document:
        json.dump(
            {
                "precision": model.precision,
                **times,
                "start_up_seconds": start_up_seconds,
                "peak_memory_bytes": peak_memory,
            },
            document,
        )


def timed(model: Model, images: np.ndarray) -> dict[str, Any]:
    """Time `Model.predict` on prepared images uint8 `[N, C, H, W]`, encoding included.

    Batches have 1, 32 and 256 images. `joules_per_image` is measured over the largest batches by
    the counters of `joules_source`; idling is not subtracted. `stream_ms` are medians of several
    streams.
    """
    times: dict[int, dict[str, Any]] = {}
    for size in BATCH_SIZES:
        meters = counters(model.device) if size == BATCH_SIZES[-1] else []
        before = [meter.read() for meter in meters]
        batches = [images[start : start + size] for start in range(0, len(images) - size + 1, size)]
        milliseconds, calls = repeated(model.predict, batches)
        spent = sum(meter.since(start) for meter, start in zip(meters, before, strict=True))
        times[size] = summary(milliseconds)
    reasons = {} if meters else {"joules_per_image": "energy counters are missing or unreadable"}
    try:
        stream = streamed(model, images)
    except (
        Exception
    ) as error:  # a network of the user's may not go on from a state, and still answers
        stream, reasons["stream_ms"] = (
            None,
            str(error) if isinstance(error, InputError) else type(error).__name__,
        )
    return {
        "one_image": times[1],
        "throughput": {
            str(size): {
                "batch_size": size,
                "images_per_second": 1e3 * size / times_of_size["median_ms"],
                **times_of_size,
            }
            for size, times_of_size in times.items()
        },
        "joules_per_image": spent / (size * calls) if meters else None,
        "joules_source": meters[0].source if meters else None,
        "stream_ms": stream,
        "reasons": reasons,
    }


def repeated(
    work: Callable[[Any], Any], inputs: Sequence[Any] | np.ndarray
) -> tuple[list[float], int]:
    """Call `work` with one input after the other, in a circle, for `SECONDS`.

    Return the milliseconds of each call but the first, and the number of calls.
    """
    times: list[float] = []
    # The first one makes room, and loads or compiles what it needs.
    while len(times) <= FEWEST or (sum(times) < SECONDS and len(times) <= MOST):
        started = time.perf_counter()
        work(inputs[len(times) % len(inputs)])
        times.append(time.perf_counter() - started)
    return [1e3 * seconds for seconds in times[1:]], len(times)


def summary(milliseconds: list[float]) -> dict[str, Any]:
    """Return `median_ms`, `p95_ms` (null for fewer than `FEWEST_FOR_P95`) and `n`."""
    enough = len(milliseconds) >= FEWEST_FOR_P95
    return {
        "median_ms": float(np.median(milliseconds)),
        "p95_ms": float(np.percentile(milliseconds, 95)) if enough else None,
        "n": len(milliseconds),
    }


def streamed(model: Model, images: np.ndarray) -> list[float]:
    """Return the milliseconds until the scores after each step are there, `[T]`: one image, step by
    step.

    Raises `InputError` for a network that cannot stream.
    """
    runs: list[list[float]] = []

    def stream(image: np.ndarray) -> None:
        state, times = None, []
        started = time.perf_counter()
        for frame in model.frames(image[None]):
            scores, state = model.step(frame, state)
            scores.cpu()  # a GPU has answered only when one can read it
            times.append(1e3 * (time.perf_counter() - started))
        runs.append(times)

    repeated(stream, images)
    return np.median(runs[1:], axis=0).tolist()
