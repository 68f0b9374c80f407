"""Batches of uint8 images, no work per image: from memory, or from a memory map, gathered ahead of their use."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from spikeduel.data.events.recordings import Recordings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Batches = Generator[tuple[Tensor, Tensor, np.ndarray], None, None]

Held: TypeAlias = "Tensor | np.memmap | Recordings"
"""What images are taken from: uint8 `[N, C, H, W]`."""

Item = TypeVar("Item")

_ORDER = 0x0DE2
"""Sets this stream of random numbers apart from the others that are drawn from the same seed."""

EVALUATION_BATCH = 256

AHEAD = 2
"""Batches gathered ahead of their use where images stay on disk: one could be late, and more only take memory."""

SHARE = 0.5
"""A data set is held in memory if it takes at most this share of what is available; the rest is for training."""

UNKNOWN = 1 << 31
"""What is taken to be available, in bytes, where the system does not say."""

ROOT = Path("/")

_sharing = 1


def training_batches(
    images: Held,
    labels: "Tensor",
    indices: np.ndarray,
    batch_size: int,
    seed: int,
    epoch: int,
    part: Callable[[np.ndarray], np.ndarray] | None = None,
) -> "Batches":
    """(images uint8 `[B, C, H, W]`, labels int64 `[B]`, indices int64 `[B]`), shuffled.

    `images` and `labels` are `Prepared.held`. A smaller last batch is kept. The order depends on `seed` and `epoch`
    alone, so that all contenders see the same one, resumed or not. Of each batch only `part` of its indices is taken.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([_ORDER, seed, epoch])))
    return evaluation_batches(images, labels, rng.permutation(indices), batch_size, part)


def evaluation_batches(
    images: Held,
    labels: "Tensor",
    indices: np.ndarray,
    batch_size: int,
    part: Callable[[np.ndarray], np.ndarray] | None = None,
) -> "Batches":
    """As `training_batches`, in the order of `indices`."""
    batches = _gathered(images, labels, np.asarray(indices, dtype=np.int64), batch_size, part)
    return prefetched(batches, AHEAD) if isinstance(images, np.memmap | Recordings) else batches


@dataclass(frozen=True)
class EvaluationBatches:
    """The images of `indices` in order, as often as one iterates."""

    images: Held
    labels: "Tensor"
    indices: np.ndarray

    def __iter__(self) -> "Batches":
        return evaluation_batches(self.images, self.labels, self.indices, EVALUATION_BATCH)


def _gathered(
    images: Held,
    labels: "Tensor",
    indices: np.ndarray,
    batch_size: int,
    part: Callable[[np.ndarray], np.ndarray] | None,
) -> "Batches":
    import torch

    for start in range(0, len(indices), batch_size):
        batch = indices[start : start + batch_size]
        batch = batch if part is None else part(batch)
        # A copy, since torch warns about arrays that it could not write to.
        rows = torch.from_numpy(batch.copy())
        if isinstance(images, np.memmap):
            _announce(images, batch)
            # Outside Python's global lock, so that the network computes while the disk is waited for.
            picked = torch.from_numpy(np.take(np.asarray(images), batch, axis=0))
        elif isinstance(images, Recordings):
            picked = torch.from_numpy(images[batch])
        else:
            picked = images.index_select(0, rows.to(images.device))
        yield picked, labels.index_select(0, rows.to(labels.device)), batch


def _announce(images: np.memmap, batch: np.ndarray) -> None:
    """Asks the system to read all of `batch` at once: a map alone reads one place after the other, and around each."""
    if images.filename is not None and hasattr(os, "posix_fadvise"):
        # Only a hint: a map can be read even if its file has been replaced since.
        with suppress(OSError), Path(images.filename).open("rb") as file:
            for index in batch.tolist():
                size = images[0].nbytes
                os.posix_fadvise(file.fileno(), images.offset + index * size, size, os.POSIX_FADV_WILLNEED)


def prefetched(batches: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """`batches`, the next `depth` of them made in a background thread while the consumer works on one.

    What the producer raises is raised here, in its place. The thread ends with the last batch, with an error, or when
    the consumer closes or drops this generator.
    """
    producer, end = iter(batches), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="spikeduel-batches")
    try:
        coming: deque[Any] = deque(pool.submit(next, producer, end) for _ in range(depth))
        while (batch := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, producer, end))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)


def on_device(batches: "Iterable[tuple[Tensor, Tensor, np.ndarray]]", device: "torch.device") -> "Batches":
    """`batches` with images and labels on `device`; CUDA takes them from pinned memory, and nobody waits for that.

    Others are waited for: on Apple's GPUs, what is not arrives with wrong numbers (pytorch/pytorch#139550).
    """
    on_cuda = device.type == "cuda"
    for images, labels, indices in batches:
        if on_cuda and images.device.type == "cpu":
            images, labels = images.pin_memory(), labels.pin_memory()
        yield images.to(device, non_blocking=on_cuda), labels.to(device, non_blocking=on_cuda), indices


def share_memory(num_processes: int) -> None:
    """From now on this process leaves room for others that hold as much."""
    global _sharing
    _sharing = num_processes


def fits_in_memory(num_bytes: int) -> bool:
    """Whether a data set of this size should be held in memory now."""
    return num_bytes * _sharing <= SHARE * available_memory()


def available_memory() -> int:
    """The bytes that this process may still take: the machine's, or less under a control group's limit."""
    machine = _table(ROOT / "proc/meminfo").get("MemAvailable:", 0) * 1024
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        with suppress(AttributeError, ValueError, OSError):
            machine = machine or os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return max(min([machine or UNKNOWN, *_of_control_groups()]), 0)


def _of_control_groups() -> Iterator[int]:
    """What each limit leaves that is set on this process's group, or on one above it."""
    for line in _text(ROOT / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, limit, usage, prefix = ROOT / "sys/fs/cgroup", "memory.max", "memory.current", ""
        elif "memory" in controllers.split(","):
            top, limit, usage = ROOT / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            prefix = "total_"
        else:
            continue
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(top):
                break
            values = _text(folder / limit).strip(), _text(folder / usage).strip()
            if all(value.isdecimal() for value in values):
                statistics = _table(folder / "memory.stat")
                # The kernel gives these pages back when somebody asks for memory.
                cache = sum(statistics.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
                yield int(values[0]) - int(values[1]) + cache


def _table(path: Path) -> dict[str, int]:
    """A file of lines that begin with a name and a number."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
