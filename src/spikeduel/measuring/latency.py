"""What answers take on this machine: a model in a fresh process, as somebody who uses it would start it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeduel import hardware
from spikeduel.hardware import Compute
from spikeduel.measuring.answering import BATCH_SIZES
from spikeduel.progress import Progress
from spikeduel.store import Store

NUM_IMAGES = max(BATCH_SIZES)
MOST_SECONDS = 120
_SAME = ("cpu", "cores", "threads", "device", "gpu", "torch", "python", "platform")
_EMPTY = (
    "precision", "one_image", "throughput", "start_up", "peak_memory_bytes", "joules_per_image", "joules_source",
    "stream_ms",
)  # fmt: skip
_PROCESS = """
import time
begun = time.perf_counter()
from spikeduel.model_files import load_model
imported = time.perf_counter()
from spikeduel.measuring import answering
answering.main(begun, imported)
"""


@dataclass(frozen=True)
class Timed:
    """A stored trial whose model is to be timed: its key, its title for the progress, and where it computes."""

    key: str
    title: str
    device: str


def take(
    trials: Sequence[Timed], images: np.ndarray, own_code: Collection[str], store: Store, progress: Progress
) -> dict[str, dict[str, Any]]:
    """`latency` of each trial by its key, kept in the store beside it. Nothing else should be running meanwhile.

    Where the store has all of them from this machine (processor, threads, device, versions), it is not measured again;
    where one is missing, all are measured, one after the other, since times compare only within one sitting.
    `images` are uint8 `[N, C, H, W]`.
    """
    known = {each.key: _from_here(store.measure(each.key, "latency"), each.device) for each in trials}
    if all(known.values()):
        return {key: found for key, found in known.items() if found}
    taken = {}
    for each in progress.track(trials, "timing answers", len(trials)):
        taken[each.key] = latency(store.model_path(each.key), images, each.device, own_code)
        if taken[each.key]["one_image"] is None:
            progress.say(f"  {each.title}: not timed, {taken[each.key]['reasons']['process']}")
        else:
            store.save_measure(each.key, "latency", taken[each.key])
    return taken


def latency(
    path: Path, images: np.ndarray, device: str, own_code: Collection[str] = (), seconds: float = MOST_SECONDS
) -> dict[str, Any]:
    """What the model file at `path` takes to start and to answer prepared images uint8 `[N, C, H, W]`, in a process.

    `machine` says where, with its load average before, and `precision` how it computes. `start_up` has the seconds of
    importing spikeduel and torch, of loading the model and of its first answer (kernels that are loaded or compiled
    for it included), and their total; `peak_memory_bytes` the process's memory after that, after the largest batches,
    and the GPU's. The others are those of `answering.timed`. All but `machine` are null where the process fails or
    takes longer than `seconds`; `reasons` then says why.
    """
    here = machine(device)
    settings = {
        "path": str(path.absolute()),
        "device": device,
        "threads": torch.get_num_threads(),
        "own_code": list(own_code),
    }
    given = io.BytesIO()
    np.save(given, _as_many(images), allow_pickle=False)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROCESS, json.dumps(settings)],
            input=given.getvalue(),
            capture_output=True,
            timeout=seconds,
            # Code of the user's is found there where it is found here.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folder or os.curdir for folder in sys.path)},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _nothing(here, f"no process for it ({type(error).__name__})")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return _nothing(here, lines[-1] if lines else f"its process ended with exit code {done.returncode}")
    return {"machine": here, **json.loads(done.stdout)}


def machine(device: str) -> dict[str, Any]:
    """Where it is measured, and how busy that is: `load_average` over the last minute."""
    surroundings = hardware.environment(Compute(device))
    return {**{name: surroundings[name] for name in _SAME}, "load_average": hardware.load_average()}


def _from_here(found: dict[str, Any] | None, device: str) -> dict[str, Any] | None:
    here = machine(device)
    return found if found and all(found["machine"].get(name) == here[name] for name in _SAME) else None


def _as_many(images: np.ndarray) -> np.ndarray:
    """`NUM_IMAGES` of them, from the start again where there are fewer."""
    return np.ascontiguousarray(images[np.resize(np.arange(len(images)), NUM_IMAGES)])


def _nothing(here: dict[str, Any], reason: str) -> dict[str, Any]:
    return {"machine": here, **dict.fromkeys(_EMPTY), "reasons": {"process": reason}}
