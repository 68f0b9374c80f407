"""How much memory a comparison takes on sets of growing size, of which nothing is held in memory.

    python benchmarks/larger_than_memory.py [--images 4000 16000 64000] [--limit 1000]

Each set is of noise, 3×64×64, four classes, made by `noise` below into the file that the cache
keeps. `compare` runs whole (audit, two small networks for one epoch on --limit images, all
measures, the report) in a process of its own that is told that no memory is free: so images and
what the audit makes of them stay in files. Memory is what is no page of a file (RssAnon), highest
while each thing was done. Results go to benchmarks/results/larger-than-memory.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data import DataOptions, Preprocessing, RawDataset
from spikeduel.system import hardware, load
from spikeduel.system.large_arrays import empty_npy
from spikeduel.system.progress import Item, Progress

RESULT = Path(__file__).parent / "results" / "larger-than-memory.json"
SIDE, AT_ONCE = 64, 1000


def noise(options: DataOptions) -> RawDataset:
    """As many images as the file `count` in the current folder says."""
    assert options.workplace is not None
    count, path, random = (
        int(Path("count").read_text()),
        options.workplace / "images.npy",
        np.random.default_rng(0),
    )
    images, labels = (
        empty_npy(path, (count, 3, SIDE, SIDE), np.dtype(np.uint8)),
        np.arange(count) % 4,
    )
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
            line = next(
                each
                for each in Path("/proc/self/status").read_text().splitlines()
                if "RssAnon" in each
            )
            self.most[self.now] = max(self.most.get(self.now, 0), int(line.split()[1]) << 10)
            time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[4_000, 16_000, 64_000])
    parser.add_argument("--limit", type=int, default=1_000)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        _one(options.limit)
        return
    sets: list[dict[str, Any]] = []
    for count in options.images:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            (Path(folder) / "count").write_text(str(count))
            command = [
                sys.executable,
                str(Path(__file__).resolve()),
                "--one",
                "--limit",
                str(options.limit),
            ]
            started = time.perf_counter()
            done = subprocess.run(
                command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True
            )
            most = json.loads(done.stdout.splitlines()[-1])
        seconds, peak = time.perf_counter() - started, max(most.values())
        sets.append(
            {
                "images": count,
                "bytes": count * 3 * SIDE**2,
                "peak_bytes": peak,
                "seconds": seconds,
                "most": most,
            }
        )
        print(
            f"{count:,} images, {count * 3 * SIDE**2 / 1e6:,.0f} MB: at most {peak / 1e6:,.0f} MB "
            f"in {seconds:.0f} s"
        )
    environment = hardware.environment(hardware.resolve())
    RESULT.write_text(json.dumps({"environment": environment, "sets": sets}, indent=1) + "\n")


def _one(limit: int) -> None:
    load.available_memory = lambda: 0
    # Only now: what asks for it takes it by name.
    import spikeduel
    from spikeduel.data import loader
    from spikeduel.settings.recipes import baseline
    from spikeduel.system import files, large_arrays

    loader.available_memory = large_arrays.available_memory = load.available_memory
    files.cache_dir = lambda: Path("cache").absolute()
    experiment = baseline(
        f"{Path(__file__).stem}:noise",
        contenders=("dense-snn", "dense-relu"),
        hidden=16,
        epochs=1,
        limit=limit,
    )
    stages = Stages()
    spikeduel.compare(experiment, "run", "store", stages)
    print(json.dumps(stages.most))


if __name__ == "__main__":
    main()
