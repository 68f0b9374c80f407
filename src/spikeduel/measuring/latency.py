"""Latency on this machine: a model in a fresh process, as for a user."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from spikeduel.networks.models import Model, load_model
from spikeduel.results.trials import Latency, Machine
from spikeduel.system import hardware, load, typed
from spikeduel.system.errors import InputError
from spikeduel.system.hardware import Compute, peak_memory_bytes

BATCH_SIZES = (1, 32, 256)
NUM_IMAGES = max(BATCH_SIZES)
MOST_SECONDS = 120
SECONDS = 0.2
"""Seconds for which each kind of answer is timed; at least `FEWEST` times, at most `MOST`."""
FEWEST, MOST = 3, 1000
FEWEST_FOR_P95 = 20
"""Fewest answers with a 95th percentile other than the slowest one."""
POWERCAP = Path("/sys/class/powercap")
_PROCESS = """
import gc, os, time
begun = time.perf_counter()
gc.disable()
from spikeduel.networks.models import load_model
gc.freeze()
gc.enable()
imported = time.perf_counter()
from spikeduel.measuring import latency
latency.main(imported - begun)
os._exit(0)
"""
"""The program, too, searches no loaded modules for garbage, and ends quickly."""


def latency(
    path: Path,
    images: np.ndarray,
    device: str,
    own_code: Collection[str] = (),
    seconds: float = MOST_SECONDS,
) -> Latency:
    """Start the model file at `path` in a process and time its answers to images uint8 `[N, C, H,
    W]`.

    `start_up_seconds` are importing, loading and the first answer, `peak_memory_bytes` the memory
    then. All but `machine` are None where the process fails or exceeds `seconds`; `reasons` says
    why.
    """
    here = machine(device)
    settings = {
        "path": str(path.absolute()),
        "device": device,
        "threads": torch.get_num_threads(),
        "own_code": list(own_code),
    }
    document = io.BytesIO()
    # Fewer images are repeated.
    many = images[np.resize(np.arange(len(images)), NUM_IMAGES)]
    np.save(document, np.ascontiguousarray(many), allow_pickle=False)
    # The user's code is found there where it is found here.
    folders = os.pathsep.join(folder or os.curdir for folder in sys.path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROCESS, json.dumps(settings)],
            input=document.getvalue(),
            capture_output=True,
            timeout=seconds,
            env={**os.environ, "PYTHONPATH": folders},
            check=True,
        )
        return typed.converted({"machine": typed.plain(here), **json.loads(done.stdout)}, Latency)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"its process ended with exit code {error.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = f"no process for it ({type(error).__name__})"
    return Latency(machine=here, reasons={"process": reason})


def machine(device: str) -> Machine:
    """Return the hardware and its present load."""
    surroundings = hardware.environment(Compute(device))
    surroundings["load_average"] = load.load_average(surroundings["threads"])
    return Machine(**{name: surroundings[name] for name in Machine.__struct_fields__})


def main(import_seconds: float) -> None:
    """Load and time the model of the first argument: images from standard input, JSON to standard
    output.
    """
    # Prints of a model must not end up in the document.
    document = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings = json.loads(sys.argv[1])
    images = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    torch.set_num_threads(settings["threads"])
    loading = time.perf_counter()
    model = load_model(settings["path"], settings["device"], settings["own_code"])
    model.predict(images[:1])
    start_up = {
        "precision": model.precision,
        "start_up_seconds": import_seconds + time.perf_counter() - loading,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    with document:
        json.dump({**start_up, **timed(model, images)}, document)


def timed(model: Model, images: np.ndarray) -> dict[str, Any]:
    """Time `Model.predict` on prepared images uint8 `[N, C, H, W]`, encoding included, in batches
    of `BATCH_SIZES`.

    `joules_per_image` is of the largest batches, idling included.
    """
    times: dict[int, dict[str, Any]] = {}
    for size in BATCH_SIZES:
        meters = counters(model.device) if size == BATCH_SIZES[-1] else []
        before = [meter.read() for meter in meters]
        batches = [images[start : start + size] for start in range(0, len(images) - size + 1, size)]
        milliseconds, calls = repeated(model.predict, batches)
        spent = sum(
            (meter.read() - start) % meter.wraps_at
            for meter, start in zip(meters, before, strict=True)
        )
        times[size] = summary(milliseconds)
    reasons = {} if meters else {"joules_per_image": "energy counters are missing or unreadable"}
    stream = None
    try:
        stream = streamed(model, images)
    # A user's network may not go on from a state.
    except Exception as error:
        told = isinstance(error, InputError)
        reasons["stream_ms"] = str(error) if told else type(error).__name__
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
    """Call `work` with the inputs in a circle, for `SECONDS`; return the milliseconds of each call
    but the first, and the number of calls.
    """
    times: list[float] = []
    # The first call makes room, and loads or compiles.
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
    """Return milliseconds until the scores after each step of one image, `[T]`. Raises `InputError`
    for a network that cannot stream.
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


class EnergyCounter(NamedTuple):
    """A counter of joules that starts again from 0 after `wraps_at`."""

    source: str
    read: Callable[[], float]
    wraps_at: float = float("inf")


def counters(device: torch.device, folder: Path = POWERCAP) -> list[EnergyCounter]:
    """Return the readable energy counters for work on `device`: a GPU's own by NVML (needs
    nvidia-ml-py), Intel's RAPL for each processor package in Linux's `folder`. Both count all
    work meanwhile.
    """
    try:
        if device.type == "cuda":
            return [_of_gpu(device)]
        # intel-rapl:0:1 is a part of intel-rapl:0; "psys" holds the whole board.
        packages = [
            domain
            for domain in sorted(folder.glob("intel-rapl:*"))
            if domain.name.count(":") == 1
            and (domain / "name").read_text(encoding="utf-8").startswith("package")
        ]
        made = [
            EnergyCounter(
                "rapl",
                partial(_joules, domain / "energy_uj"),
                _joules(domain / "max_energy_range_uj"),
            )
            for domain in packages
            if device.type == "cpu"
        ]
        for counter in made:
            counter.read()
        return made
    except Exception:  # no package, no permission, a GPU that is too old
        return []


def _joules(path: Path) -> float:
    return int(path.read_text(encoding="utf-8")) / 1e6


def _of_gpu(device: torch.device) -> EnergyCounter:
    import pynvml

    pynvml.nvmlInit()
    # NVML counts GPUs that CUDA_VISIBLE_DEVICES hides from torch.
    identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    gpu = pynvml.nvmlDeviceGetHandleByUUID(identity)

    def read() -> float:
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3

    read()
    return EnergyCounter("nvml", read)
