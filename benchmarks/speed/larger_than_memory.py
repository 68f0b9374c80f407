"""How much memory a comparison takes on sets of growing size, of which nothing is held in memory.

    python -m benchmarks.speed.larger_than_memory [--images 4000 16000 64000] [--limit 1000]

Each set is of noise, 3×64×64, four classes, made by `noise` below into the file that the cache
keeps. `compare` runs whole (audit, two small networks for one epoch on --limit images, all
measures, the report) in a process of its own that is told that no memory is free: so images and
what the audit makes of them stay in files. Memory is what is no page of a file (RssAnon), highest
while each thing was done. Results go to benchmarks/results/larger-than-memory.json.
"""

import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import shared
from spikeduel.data import DataOptions, Preprocessing, RawDataset
from spikeduel.system import load
from spikeduel.system.large_arrays import empty_npy
from spikeduel.system.progress import Item, Progress

SIDE, AT_ONCE = 64, 1000


def noise(options: DataOptions) -> RawDataset:
    """As many images as the file `count` in the current folder says."""
    assert options.workplace is not None
    count, random = int(Path("count").read_text()), np.random.default_rng(0)
    path, labels = options.workplace / "images.npy", np.arange(count) % 4
    images = empty_npy(path, (count, 3, SIDE, SIDE), np.dtype(np.uint8))
    for start in range(0, count, AT_ONCE):
        part = images[start : start + AT_ONCE]
        part[:] = random.integers(0, 256, part.shape, np.uint8)
        part[:, 0, 0] = 60 * labels[start : start + AT_ONCE, None]
    images.flush()
    return RawDataset(
        np.load(path, mmap_mode="r"), labels, tuple("abcd"), Preprocessing(3, SIDE, SIDE)
    )


class Stages(Progress):
    """Notes the most memory that was held while each thing was done."""

    def __init__(self) -> None:
        self.now, self.most = "loading", dict[str, int]()
        threading.Thread(target=self._watch, daemon=True).start()

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None
    ) -> Iterable[Item]:
        """See `Progress.track`."""
        self.now = description.strip()
        yield from items
        self.now = f"after {description.strip()}"

    def _watch(self) -> None:
        while True:
            self.most[self.now] = max(self.most.get(self.now, 0), shared.memory_of())
            time.sleep(0.02)


def main() -> None:
    options = shared.parser(__doc__, images=[4_000, 16_000, 64_000], limit=1_000).parse_args()
    sets: list[dict[str, Any]] = []
    for count in options.images:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            (Path(folder) / "count").write_text(str(count))
            started = time.perf_counter()
            most = shared.apart(shared.command(compared, options.limit), Path(folder))
        seconds, peak, size = time.perf_counter() - started, max(most.values()), count * 3 * SIDE**2
        about = {"images": count, "bytes": size, "peak_bytes": peak, "seconds": seconds}
        sets.append({**about, "most": most})
        print(about)
    shared.write("larger-than-memory.json", {"sets": sets})


def compared(limit: int) -> dict[str, int]:
    """Compare two networks on `noise`, and return the most memory while each thing was done."""
    load.available_memory = lambda: 0
    # Only now: what asks for it takes it by name.
    import spikeduel
    from spikeduel.data import loader
    from spikeduel.experiment.recipes import baseline
    from spikeduel.system import files, large_arrays

    loader.available_memory = large_arrays.available_memory = load.available_memory
    files.cache_dir = lambda: Path("cache").absolute()
    experiment = baseline(
        f"{__name__}:noise",
        contenders=("dense-snn", "dense-relu"),
        hidden=16,
        epochs=1,
        limit=limit,
    )
    stages = Stages()
    spikeduel.compare(experiment, "run", "store", stages)
    return stages.most


if __name__ == "__main__":
    main()
