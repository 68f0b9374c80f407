"""What answers take on this machine: a model in a fresh process, as somebody who uses it would
start it.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch

from spikeduel.measuring.answering import BATCH_SIZES
from spikeduel.results.times import Latency, Machine
from spikeduel.system import hardware, load, typed
from spikeduel.system.hardware import Compute

NUM_IMAGES = max(BATCH_SIZES)
MOST_SECONDS = 120
_PROCESS = """
import time
begun = time.perf_counter()
from spikeduel.networks.model_files import load_model
imported = time.perf_counter()
from spikeduel.measuring import answering
answering.main(begun, imported)
"""


def latency(
    path: Path,
    images: np.ndarray,
    device: str,
    own_code: Collection[str] = (),
    seconds: float = MOST_SECONDS,
) -> Latency:
    """What the model file at `path` takes to start and to answer prepared images uint8 `[N, C, H,
    W]`, in a process.

    `machine` says where, with its load average before, and `precision` how it computes. `start_up`
    has the seconds of importing spikeduel and torch, of loading the model and of its first answer
    (kernels that are loaded or compiled for it included), and their total; `peak_memory_bytes` the
    process's memory after that, after the largest batches, and the GPU's. The others are those of
    `answering.timed`. All but `machine` are None where the process fails or takes longer than
    `seconds`; `reasons` then says why.
    """
    here = machine(device)
    settings = {
        "path": str(path.absolute()),
        "device": device,
        "threads": torch.get_num_threads(),
        "own_code": list(own_code),
    }
    given = io.BytesIO()
    # From the start again where there are fewer.
    many = images[np.resize(np.arange(len(images)), NUM_IMAGES)]
    np.save(given, np.ascontiguousarray(many), allow_pickle=False)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROCESS, json.dumps(settings)],
            input=given.getvalue(),
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
    """Where it is measured, and how busy that is."""
    surroundings = hardware.environment(Compute(device))
    surroundings["load_average"] = load.load_average(surroundings["threads"])
    return Machine(**{name: surroundings[name] for name in Machine.__struct_fields__})
