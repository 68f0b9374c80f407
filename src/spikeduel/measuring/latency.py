"""Measure latency on this machine: a model in a fresh process, as a user would start it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch

from spikeduel.measuring.latency_process import BATCH_SIZES
from spikeduel.results.trials import Latency, Machine
from spikeduel.system import hardware, load, typed
from spikeduel.system.hardware import Compute

NUM_IMAGES = max(BATCH_SIZES)
MOST_SECONDS = 120
_PROCESS = """
import time
begun = time.perf_counter()
from spikeduel.networks.models import load_model
imported = time.perf_counter()
from spikeduel.measuring import latency_process
latency_process.main(begun, imported)
"""


def latency(
    path: Path,
    images: np.ndarray,
    device: str,
    own_code: Collection[str] = (),
    seconds: float = MOST_SECONDS,
) -> Latency:
    """Start the model file at `path` in a process and time its answers to images uint8 `[N, C, H,
    W]`.

    `machine` names the hardware and its load before, `precision` the arithmetic. `start_up_seconds`
    are those of importing spikeduel and torch, of loading and of the first answer (compiling
    kernels included); `peak_memory_bytes` is the process's memory then. All but `machine` are None
    where the process fails or takes longer than `seconds`; `reasons` then says why.
    """
    here = machine(device)
    settings = {
        "path": str(path.absolute()),
        "device": device,
        "threads": torch.get_num_threads(),
        "own_code": list(own_code),
    }
    document = io.BytesIO()
    # From the start again where there are fewer.
    many = images[np.resize(np.arange(len(images)), NUM_IMAGES)]
    np.save(document, np.ascontiguousarray(many), allow_pickle=False)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROCESS, json.dumps(settings)],
            input=document.getvalue(),
            capture_output=True,
            timeout=seconds,
            # Code of the user's is found there where it is found here.
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(folder or os.curdir for folder in sys.path),
            },
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Latency(
            machine=here, reasons={"process": f"no process for it ({type(error).__name__})"}
        )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"its process ended with exit code {done.returncode}"
        return Latency(machine=here, reasons={"process": reason})
    return typed.converted({"machine": typed.plain(here), **json.loads(done.stdout)}, Latency)


def machine(device: str) -> Machine:
    """Return the hardware and its present load."""
    surroundings = hardware.environment(Compute(device))
    surroundings["load_average"] = load.load_average(surroundings["threads"])
    return Machine(**{name: surroundings[name] for name in Machine.__struct_fields__})
