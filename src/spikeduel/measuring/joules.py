"""The energy counters of this machine: what a piece of work took, in joules, where the machine tells."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Counter:
    """A counter of energy: `read` gives joules since some time, which begin again from 0 after `wraps_at`."""

    source: str
    read: Callable[[], float]
    wraps_at: float | None = None

    def since(self, before: float) -> float:
        """Joules since the counter said `before`."""
        taken = self.read() - before
        return taken + self.wraps_at if taken < 0 and self.wraps_at is not None else taken


def counters(device: str, folder: Path = POWERCAP) -> list[Counter]:
    """The counters that tell what work on `device` takes; empty where this machine does not tell.

    "cuda": the GPU's own, by NVML (GPUs since Volta; needs the package nvidia-ml-py). "cpu": one for each processor
    package, by Intel's RAPL as Linux shows it in `folder`, which many systems let only root read. Both count all that
    happens there meanwhile, idling included.
    """
    return _of_gpu() if device == "cuda" else _of_processors(folder)


def _of_processors(folder: Path) -> list[Counter]:
    found = []
    for domain in sorted(folder.glob("intel-rapl:*")):
        # intel-rapl:0:1 is a part of intel-rapl:0; "psys" holds the whole board, packages included.
        if not re.fullmatch(r"intel-rapl:\d+", domain.name):
            continue
        try:
            if not (domain / "name").read_text(encoding="utf-8").startswith("package"):
                continue
            _joules(domain / "energy_uj")
            wraps_at = _joules(domain / "max_energy_range_uj")
        except (OSError, ValueError):
            return []
        found.append(Counter("rapl", partial(_joules, domain / "energy_uj"), wraps_at))
    return found


def _joules(path: Path) -> float:
    return int(path.read_text(encoding="utf-8")) / 1e6


def _of_gpu() -> list[Counter]:
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        # By its identity: NVML counts GPUs that CUDA_VISIBLE_DEVICES hides from torch.
        identity = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
        gpu: Any = pynvml.nvmlDeviceGetHandleByUUID(identity)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    except (pynvml.NVMLError, AttributeError, RuntimeError):
        return []
    return [Counter("nvml", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3)]
