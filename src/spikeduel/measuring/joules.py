"""Joules of answers, from counters of the machine or the log of a meter."""

import io
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from spikeduel.measuring.latency import machine
from spikeduel.networks.models import Model
from spikeduel.results.joules import EnergyWindow, MeasuredJoules, concluded
from spikeduel.system import files, load
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

POWERCAP = Path("/sys/class/powercap")
REPEATS = 5
BATCH_SIZE = 256
WINDOW_SECONDS, SETTLE_SECONDS = 10.0, 2.0
"""Least length of a window, and time of the same work before it."""
STEPS_IN_WINDOW = 100
"""Fewest steps of the counter in a window, which is longer for that."""
READ_SECONDS, POLL_SECONDS, POLLING = 0.1, 1e-3, 2.0
"""Time between reads of an idle machine, and while a counter's step is measured for `POLLING`."""
LOG_SECONDS = 600.0
"""Longest time to wait for a meter's log to reach the end of the measurement."""
MOST_GAP = 3
"""Longest time without a row of a meter's log, in steps."""
_USE_A_METER = "Give the log of a meter: --meter FILE.csv."


class EnergyCounter(NamedTuple):
    """A counter of joules that starts again from 0 after `wraps_at`."""

    source: str
    domain: str
    read: Callable[[], float]
    wraps_at: float


class CounterMeter:
    """The sum of `counters`, read live. Raises `InputError` if they stand still."""

    def __init__(self, counters: list[EnergyCounter]) -> None:
        self._counters, self._reads = counters, list[tuple[float, ...]]()
        self.source, self.domains = counters[0].source, [counter.domain for counter in counters]
        until = self.note() + POLLING
        while self.note() < until:
            time.sleep(POLL_SECONDS)
        moments, joules = self.series(0, until)
        changes = moments[1:][np.diff(joules) > 0]
        if len(changes) < 3:
            raise InputError(
                f"{self.source}: the counter of {', '.join(self.domains)} stands still for "
                f"{POLLING:.0f} s. {_USE_A_METER}"
            )
        self.step_seconds = float(np.median(np.diff(changes)))

    def note(self) -> float:
        """Read the counters; return the time."""
        self._reads.append((time.time(), *(counter.read() for counter in self._counters)))
        return self._reads[-1][0]

    def series(self, begins: float, ends: float) -> tuple[np.ndarray, np.ndarray]:
        """Return moments and joules, `[S]` each. `range_share` is then the largest share of a
        counter's range between two reads, about 1 if the counter was set back.
        """
        reads = np.array(self._reads)
        ranges = np.array([counter.wraps_at for counter in self._counters])
        moved = np.diff(reads[:, 1:], axis=0) % ranges
        self.range_share = float((moved / ranges).max())
        return reads[:, 0], np.cumsum([0.0, *moved.sum(1)])


class LogMeter:
    """The log that a meter's program writes to a CSV file meanwhile: a column `seconds` since 1970,
    and `watts`, or `joules` counted up. Raises `InputError` for another file.
    """

    range_share = 0.0

    def __init__(self, path: Path) -> None:
        self._path, self.source, self.domains = path, str(path), [path.stem]
        self.step_seconds = float(np.median(np.diff(self._read()[0])))

    def note(self) -> float:
        """Return the time."""
        return time.time()

    def series(self, begins: float, ends: float) -> tuple[np.ndarray, np.ndarray]:
        """Return moments and joules, `[S]` each, when there are rows until `ends`. `step_seconds`
        is then the longest gap. Raises `InputError` if rows are missing.
        """
        until = time.time() + LOG_SECONDS
        while (log := self._read())[0][-1] < ends and time.time() < until:
            time.sleep(1.0)
        moments, _ = log
        inside = np.clip(moments, begins, ends)
        gap = float(np.diff(inside, prepend=begins, append=ends).max())
        if gap > MOST_GAP * self.step_seconds:
            raise InputError(
                f"{self._path}: the rows from {moments[0]:.1f} to {moments[-1]:.1f} leave out "
                f"{gap:.3g} s of the measurement, which took the time from {begins:.1f} to "
                f"{ends:.1f} (seconds since 1970), and a row comes every {self.step_seconds:.3g} "
                f"s. Set the meter's clock by this machine's, and log without gaps."
            )
        self.step_seconds = max(gap, self.step_seconds)
        return log

    def _read(self) -> tuple[np.ndarray, np.ndarray]:
        text = files.read_bytes(self._path).decode("utf-8-sig", "replace")
        # The last line may be half written.
        header, _, rows = text[: text.rfind("\n") + 1].partition("\n")
        kind = header.lower().replace(" ", "").strip()
        try:
            moments, amounts = np.loadtxt(io.StringIO(rows or "0"), delimiter=",", ndmin=2).T
        except ValueError:
            moments, amounts = np.zeros((2, 1))
        means = (amounts[1:] + amounts[:-1]) / 2
        moved = np.diff(moments) * means if kind == "seconds,watts" else np.diff(amounts)
        is_rising = (np.diff(moments) > 0).all() and (moved >= 0).all() and len(moved) > 0
        if kind not in ("seconds,watts", "seconds,joules") or not is_rising:
            raise InputError(
                f"{self._path}: a meter's log begins with the line seconds,watts or seconds,joules "
                f"(it is {header[:80]!r}), and has two rows of two numbers or more before the "
                f"measurement begins, seconds rising, joules not falling."
            )
        return moments, np.cumsum([0.0, *moved])


def measure(
    models: Mapping[str, Model],
    images: np.ndarray,
    log: Path | None = None,
    progress: Progress | None = None,
) -> MeasuredJoules:
    """Measure idle, A, B, A, idle, A, B, A, …, idle, in `REPEATS` repeats; `models` by name answer
    all `images` uint8 `[N, C, H, W]` a whole number of times in a window.

    Reads the machine's counters, or the `log` of a meter. Ends at the first window in which the
    machine is busy. Raises `InputError` if there is nothing to read.
    """
    progress, device = progress or Progress(), next(iter(models.values())).device
    meter = LogMeter(log) if log else CounterMeter(counters(device))
    here, seconds = machine(str(device)), max(WINDOW_SECONDS, STEPS_IN_WINDOW * meter.step_seconds)
    # A counter counts all cores, not those of this process alone.
    cores = range(here.cores or 1)
    schedule = [*[None, *models, *list(models)[-2::-1]] * REPEATS, None]
    progress.say(
        f"measuring joules by {meter.source}: {len(schedule)} windows of {seconds:.0f} s or more. "
        f"Leave the machine alone{' and the log going on' if log else ''}."
    )

    def work(name: str | None, seconds: float) -> tuple[float, float, int]:
        begins, answers = meter.note(), 0
        ends = begins
        while ends < begins + seconds:
            if name is None:
                time.sleep(READ_SECONDS)
            else:
                answers += len(models[name].predict(images, batch_size=BATCH_SIZE)[0])
            ends = meter.note()
        return begins, ends, answers

    windows = []
    for name in progress.track(schedule, "measuring joules", len(schedule)):
        work(name, SETTLE_SECONDS)
        before = load.seconds_of_others(cores)
        begins, ends, answers = work(name, seconds)
        others = max(load.seconds_of_others(cores) - before, 0.0) / (ends - begins)
        windows.append((name, begins, ends, answers, others))
        if load.is_busy(others, len(cores)):
            break
    moments, joules = meter.series(windows[0][1], windows[-1][2])
    return concluded(
        MeasuredJoules(
            source=meter.source,
            domains=meter.domains,
            step_seconds=meter.step_seconds,
            range_share=meter.range_share,
            settle_seconds=SETTLE_SECONDS,
            images=len(images),
            batch_size=min(BATCH_SIZE, len(images)),
            machine=here,
            windows=[
                EnergyWindow(
                    network=name,
                    begins=begins,
                    seconds=ends - begins,
                    joules=float(np.diff(np.interp([begins, ends], moments, joules))[0]),
                    answers=answers,
                    others=others,
                )
                for name, begins, ends, answers, others in windows
            ],
        )
    )


def counters(device: torch.device, folder: Path = POWERCAP) -> list[EnergyCounter]:
    """Return the energy counters for work on `device`: a GPU's own by NVML (needs nvidia-ml-py), or
    Intel's RAPL in Linux's `folder`, the packages and their memory. They count all work meanwhile.
    Raises `InputError` with the reason if there is none, or none that may be read.
    """
    if device.type == "cuda":
        return [_of_gpu(device)]
    try:
        # Parts of a package are in it, but for memory; "psys" holds the whole board.
        domains = {
            domain: (domain / "name").read_text(encoding="utf-8").strip()
            for domain in (sorted(folder.glob("intel-rapl:*")) if device.type == "cpu" else ())
        }
        made = [
            EnergyCounter(
                "rapl",
                f"{domain.name} {name}",
                partial(_joules, domain / "energy_uj"),
                _joules(domain / "max_energy_range_uj"),
            )
            for domain, name in domains.items()
            if name.startswith(("package", "dram"))
        ]
        for counter in made:
            counter.read()
    except PermissionError as error:
        raise InputError(
            f"{error.filename}: only root may read this counter. Allow it until the next start: "
            f"sudo chmod a+r {folder}/intel-rapl:*/energy_uj"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: a counter cannot be read ({error}). {_USE_A_METER}") from None
    if not made:
        raise InputError(
            f"this machine shows no energy counter for {device.type}: no package in "
            f"{folder}/intel-rapl:* (Linux on Intel or AMD, mostly not in a virtual machine). "
            f"{_USE_A_METER}"
        )
    return made


def _joules(path: Path) -> float:
    return int(path.read_text(encoding="utf-8")) / 1e6


def _of_gpu(device: torch.device) -> EnergyCounter:
    try:
        import pynvml
    except ModuleNotFoundError:
        raise InputError(
            f"a GPU's counter is read by nvidia-ml-py: pip install nvidia-ml-py. {_USE_A_METER}"
        ) from None
    try:
        pynvml.nvmlInit()
        # NVML counts GPUs that CUDA_VISIBLE_DEVICES hides from torch.
        identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        gpu = pynvml.nvmlDeviceGetHandleByUUID(identity)

        def read() -> float:
            return pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3

        read()
    except pynvml.NVMLError as error:
        raise InputError(f"{device}: no energy counter (NVML: {error}). {_USE_A_METER}") from None
    return EnergyCounter("nvml", identity, read, 2**64 / 1e3)
