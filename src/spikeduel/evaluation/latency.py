"""Latency on this machine: a model in a fresh process, as for a user."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel.engine.networks.models import Model, load_model
from spikeduel.results.trials import Latency, Machine
from spikeduel.system import hardware, load, typed
from spikeduel.system.errors import InputError
from spikeduel.system.hardware import Compute, peak_memory_bytes

BATCH_SIZES = (1, 32, 256)
NUM_IMAGES = max(BATCH_SIZES)
MAX_SECONDS = 120
WARM_UP_SECONDS = 0.4
"""Seconds of predictions that are not timed: a process's first ones take up to a quarter longer."""
SECONDS = 0.3
"""Seconds for which each kind of prediction is timed: `MIN_CALLS` to `MAX_CALLS` times."""
MIN_CALLS, MAX_CALLS = 3, 1000
MIN_FOR_P95 = 20
"""Fewest predictions with a 95th percentile other than the slowest one."""
_PROCESS = """
import gc, os, time
begun = time.perf_counter()
gc.disable()
from spikeduel.engine.networks.models import load_model
gc.freeze()
gc.enable()
imported = time.perf_counter()
from spikeduel.evaluation import latency
latency.main(imported - begun)
os._exit(0)
"""
"""The program, too, searches no loaded modules for garbage, and ends quickly."""


def latency(
    path: Path,
    images: np.ndarray,
    device: str,
    own_code: Collection[str] = (),
    seconds: float = MAX_SECONDS,
) -> Latency:
    """Start the model file at `path` in a process and time its predictions of images uint8 `[N, C,
    H, W]`.

    `start_up_seconds` are importing, loading and the first prediction, `peak_memory_bytes` the
    memory then. All but `machine` are None where the process fails or exceeds `seconds`; `reasons`
    says why.
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
    """
    times: dict[int, dict[str, Any]] = {}
    reasons: dict[str, str] = {}
    repeated(model.predict, [images[:1]], WARM_UP_SECONDS)
    for size in BATCH_SIZES:
        batches = [images[start : start + size] for start in range(0, len(images) - size + 1, size)]
        times[size] = summary(repeated(model.predict, batches))
    stream = None
    try:
        stream = streamed(model, images)
    # A user's network may not go on from a state.
    except Exception as error:
        is_input_error = isinstance(error, InputError)
        reasons["stream_ms"] = str(error) if is_input_error else type(error).__name__
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
        "stream_ms": stream,
        "reasons": reasons,
    }


def repeated(
    work: Callable[[Any], Any], inputs: Sequence[Any] | np.ndarray, seconds: float | None = None
) -> list[float]:
    """Call `work` with the inputs in a circle, for `seconds` (None: `SECONDS`); return the
    milliseconds of each call but the first.
    """
    times: list[float] = []
    limit = SECONDS if seconds is None else seconds
    # The first call makes room, and loads or compiles.
    while len(times) <= MIN_CALLS or (sum(times) < limit and len(times) <= MAX_CALLS):
        started = time.perf_counter()
        work(inputs[len(times) % len(inputs)])
        times.append(time.perf_counter() - started)
    return [1e3 * seconds for seconds in times[1:]]


def summary(milliseconds: list[float]) -> dict[str, Any]:
    """Return `median_ms`, `p95_ms` (null for fewer than `MIN_FOR_P95`) and `n`."""
    enough = len(milliseconds) >= MIN_FOR_P95
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
            scores.cpu()  # a GPU is done only when one can read it
            times.append(1e3 * (time.perf_counter() - started))
        runs.append(times)

    repeated(stream, images)
    return np.median(runs[1:], axis=0).tolist()
